//! [`RequireAbility`]: requires that a key has abilities.

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::Guard;
use super::layer::guard_is_a_layer;
use crate::head::RequestHead;
use crate::key::{Ability, AbilitySet};
use crate::reject::{Reason, Rejection};
use crate::valid::valid;
use crate::verify::VerifiedKey;

/// Refuses requests whose key lacks an ability.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, RequireAbility};
///
/// let app: Router = Router::new()
///     .route("/bots", get(|| async { "…" }).layer(RequireAbility::new("bots:read")))
///     .layer(ApiKeyLayer::new(MemoryStore::new()));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RequireAbility(Needs);

/// Each list is named by a rejection: the key needs one ability of each list.
#[derive(Clone, Debug)]
enum Needs {
    OneOf(Arc<[Ability]>),
    OneOfEach(Arc<[Arc<[Ability]>]>),
    ByMethod { read: Arc<[Ability]>, write: Arc<[Ability]> },
}

impl RequireAbility {
    /// Requires one ability.
    ///
    /// # Panics
    ///
    /// Panics if `ability` does not parse, or is a wildcard: a request needs one action. The same
    /// applies to the other constructors.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireAbility};
    ///
    /// let key = verified_key(NewKey::named("reader").abilities(["bots:read"]));
    /// let request = Request::get("/bots").body(())?;
    /// let head = RequestHead::new(&request);
    /// assert!(RequireAbility::new("bots:read").check(&key, &head).is_ok());
    /// let refusal = RequireAbility::new("bots:write").check(&key, &head).unwrap_err();
    /// assert_eq!(refusal.abilities()[0].as_str(), "bots:write");
    /// # Ok::<_, http::Error>(())
    /// ```
    #[track_caller]
    pub fn new<A>(ability: A) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        Self(Needs::OneOf(Arc::new([needed(ability)])))
    }

    /// Requires one of several abilities. An empty list refuses every request.
    ///
    /// # Panics
    ///
    /// Panics if an ability does not parse or is a wildcard.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireAbility};
    ///
    /// let key = verified_key(NewKey::named("reader").abilities(["bots:read"]));
    /// let request = Request::get("/bots").body(())?;
    /// let head = RequestHead::new(&request);
    /// let guard = RequireAbility::any_of(["bots:read", "bots:write"]);
    /// assert!(guard.check(&key, &head).is_ok());
    /// # Ok::<_, http::Error>(())
    /// ```
    #[track_caller]
    pub fn any_of<A>(abilities: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let mut one: Vec<Ability> = Vec::new();
        for ability in abilities {
            one.push(needed(ability));
        }
        Self(Needs::OneOf(one.into()))
    }

    /// Requires every one of several abilities.
    ///
    /// # Panics
    ///
    /// Panics if an ability does not parse or is a wildcard, or if the list is empty, because every key
    /// would then pass.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireAbility};
    ///
    /// let key = verified_key(NewKey::named("reader").abilities(["bots:read"]));
    /// let request = Request::get("/bots").body(())?;
    /// let head = RequestHead::new(&request);
    /// let guard = RequireAbility::all_of(["bots:read", "bots:write"]);
    /// assert!(guard.check(&key, &head).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    #[track_caller]
    pub fn all_of<A>(abilities: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let mut each: Vec<Arc<[Ability]>> = Vec::new();
        for ability in abilities {
            each.push(Arc::new([needed(ability)]));
        }
        assert!(
            !each.is_empty(),
            "`all_of` needs at least one ability: with none, every key would pass"
        );
        Self(Needs::OneOfEach(each.into()))
    }

    /// Requires `resource:read` for `GET` and `HEAD`, and `resource:write` for `POST`, `PUT`,
    /// `PATCH` and `DELETE`.
    ///
    /// Any other method is refused. A WebSocket over HTTP/2 is [judged](RequestHead::judged_method) as
    /// `GET`, as it is over HTTP/1.1. Headers that would override the method are ignored. A `GET` or
    /// `HEAD` with a body or a content type of gRPC requires both abilities, because servers such as
    /// tonic look at the body and not at the method.
    ///
    /// # Panics
    ///
    /// Panics if `resource` is not the first part of an ability, such as `bots`.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireAbility};
    ///
    /// let key = verified_key(NewKey::named("reader").abilities(["bots:read"]));
    /// let guard = RequireAbility::by_method("bots");
    /// let (read, write) = (Request::get("/bots").body(())?, Request::post("/bots").body(())?);
    /// assert!(guard.check(&key, &RequestHead::new(&read)).is_ok());
    /// assert!(guard.check(&key, &RequestHead::new(&write)).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    #[track_caller]
    pub fn by_method(resource: &str) -> Self {
        let [read, write] = ["read", "write"].map(|action| format!("{resource}:{action}"));
        let (read, write) = (Arc::new([needed(read)]), Arc::new([needed(write)]));
        Self(Needs::ByMethod { read, write })
    }
}

#[track_caller]
pub(crate) fn needed<A>(ability: A) -> Ability
where
    A: TryInto<Ability, Error: fmt::Display>,
{
    let ability = valid(ability.try_into());
    assert!(!ability.is_wildcard(), "a guard requires one action, not the wildcard {ability}");
    ability
}

pub(crate) fn has_one_of(own: &AbilitySet, needed: &Arc<[Ability]>) -> Result<(), Rejection> {
    if needed.iter().any(|ability| own.grants(ability)) {
        Ok(())
    } else {
        Err(Rejection::missing_one_of(Arc::clone(needed)))
    }
}

impl Guard for RequireAbility {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        let own = key.abilities();
        match &self.0 {
            Needs::OneOf(abilities) => has_one_of(own, abilities),
            Needs::OneOfEach(each) => each.iter().try_for_each(|one| has_one_of(own, one)),
            Needs::ByMethod { read, write } => match *head.judged_method() {
                Method::GET | Method::HEAD if head.may_act_as_post() => {
                    has_one_of(own, read).and_then(|()| has_one_of(own, write))
                }
                Method::GET | Method::HEAD => has_one_of(own, read),
                Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                    has_one_of(own, write)
                }
                _ => Err(Rejection::not_allowed(Reason::Method)),
            },
        }
    }
}

guard_is_a_layer!(RequireAbility);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "an ability is `resource:action`")]
    fn an_ability_that_does_not_parse_is_refused_when_the_guard_is_built() {
        let _ = RequireAbility::new("bots:");
    }

    #[test]
    #[should_panic(expected = "not the wildcard bots:*")]
    fn a_wildcard_cannot_be_required() {
        let _ = RequireAbility::any_of(["bots:read", "bots:*"]);
    }

    #[test]
    #[should_panic(expected = "every key would pass")]
    fn all_of_nothing_is_refused() {
        let _ = RequireAbility::all_of::<&str>([]);
    }

    #[test]
    #[should_panic(expected = "an ability is `resource:action`")]
    fn a_resource_that_is_no_segment_is_refused() {
        let _ = RequireAbility::by_method("");
    }
}
