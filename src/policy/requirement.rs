//! [`Requirement`]: what an endpoint requires of a key.

use std::fmt;
use std::sync::Arc;

use crate::guard::has_one_of;
use crate::key::{Ability, KeyKind, Stage};
use crate::reject::{Reason, Rejection, RejectionKind};
use crate::store::KeyRecord;

/// What an endpoint requires of a key: abilities, a kind, a stage.
///
/// By default, the key has to be a valid secret key. Text that does not parse, a wildcard and an empty
/// list are errors when the policy is [built](super::AccessPolicyBuilder::build).
///
/// # Examples
///
/// ```
/// use tower_api_key::policy::Requirement;
///
/// let writers = Requirement::all_of(["users:write", "audit:write"]).stage("prod");
/// assert_eq!(writers.to_string(), "users:write, audit:write, stage prod");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Requirement {
    /// The key needs one ability of each list.
    pub(super) abilities: Vec<Arc<[Ability]>>,
    /// The only accepted kind, if there is one.
    pub(super) kind: Option<KeyKind>,
    pub(super) stage: Option<Stage>,
    pub(super) report_only: bool,
    /// The texts that do not parse.
    pub(super) mistakes: Vec<String>,
}

impl Requirement {
    /// Requires a valid secret key.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::Requirement;
    ///
    /// assert_eq!(Requirement::key().to_string(), "any secret key");
    /// ```
    pub const fn key() -> Self {
        Self {
            abilities: Vec::new(),
            kind: Some(KeyKind::Secret),
            stage: None,
            report_only: false,
            mistakes: Vec::new(),
        }
    }

    /// Requires an ability.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::Requirement;
    ///
    /// assert_eq!(Requirement::ability("bots:read").to_string(), "bots:read");
    /// ```
    pub fn ability<A>(ability: A) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        Self::all_of([ability])
    }

    /// Requires every one of several abilities.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::Requirement;
    ///
    /// let writers = Requirement::all_of(["bots:write", "audit:write"]);
    /// assert_eq!(writers.to_string(), "bots:write, audit:write");
    /// ```
    pub fn all_of<A>(abilities: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let mut requirement = Self::key();
        for ability in abilities {
            if let Some(ability) = requirement.parse(ability) {
                requirement.abilities.push(Arc::new([ability]));
            }
        }
        requirement.with_some_ability()
    }

    /// Requires one of several abilities.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::Requirement;
    ///
    /// let readers = Requirement::any_of(["bots:read", "bots:write"]);
    /// assert_eq!(readers.to_string(), "one of bots:read | bots:write");
    /// ```
    pub fn any_of<A>(abilities: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let mut requirement = Self::key();
        let one_of: Arc<[_]> =
            abilities.into_iter().filter_map(|ability| requirement.parse(ability)).collect();
        if !one_of.is_empty() {
            requirement.abilities.push(one_of);
        }
        requirement.with_some_ability()
    }

    fn parse<A>(&mut self, ability: A) -> Option<Ability>
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        match ability.try_into() {
            Ok(ability) if ability.is_wildcard() => {
                self.mistakes.push(format!("`{ability}` is a wildcard: require single abilities"));
                None
            }
            Ok(ability) => Some(ability),
            Err(error) => {
                self.mistakes.push(error.to_string());
                None
            }
        }
    }

    fn with_some_ability(mut self) -> Self {
        if self.abilities.is_empty() && self.mistakes.is_empty() {
            self.mistakes.push("no ability is named: use `key()` for any secret key".to_owned());
        }
        self
    }

    /// Requires a key of this kind instead of a secret one.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyKind;
    /// use tower_api_key::policy::Requirement;
    ///
    /// let widgets = Requirement::key().kind(KeyKind::Public);
    /// assert_eq!(widgets.to_string(), "any public key");
    /// ```
    pub fn kind(mut self, kind: KeyKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Accepts keys of every kind.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::Requirement;
    ///
    /// assert_eq!(Requirement::key().any_kind().to_string(), "any key");
    /// ```
    pub fn any_kind(mut self) -> Self {
        self.kind = None;
        self
    }

    /// Requires a key of a stage.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::Requirement;
    ///
    /// assert_eq!(Requirement::ability("bots:read").stage("prod").to_string(), "bots:read, stage prod");
    /// ```
    pub fn stage<S>(mut self, stage: S) -> Self
    where
        S: TryInto<Stage, Error: fmt::Display>,
    {
        match stage.try_into() {
            Ok(stage) => self.stage = Some(stage),
            Err(error) => self.mistakes.push(error.to_string()),
        }
        self
    }

    /// Only reports valid keys that lack an ability or are of another stage, and accepts them.
    ///
    /// A request without a key is still refused, and so is a key of another kind.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Method;
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::NewKey;
    ///
    /// let policy = AccessPolicy::builder()
    ///     .allow("GET /bots", Requirement::ability("bots:read").report_only())
    ///     .build()?;
    /// let key = verified_key(NewKey::named("old"));
    /// assert!(policy.explain(Some(key.record()), &Method::GET, "/bots").is_allowed());
    /// assert!(!policy.explain(None, &Method::GET, "/bots").is_allowed());
    /// # Ok::<_, tower_api_key::policy::PolicyError>(())
    /// ```
    pub fn report_only(mut self) -> Self {
        self.report_only = true;
        self
    }

    fn accepts(&self, kind: KeyKind) -> bool {
        self.kind.is_none_or(|accepted| accepted == kind)
    }

    /// Tells whether the key is accepted, whatever else it lacks.
    pub(super) fn only_reports(&self, key: &KeyRecord) -> bool {
        self.report_only && self.accepts(key.kind)
    }

    /// Returns the sets of abilities; a key needs one of the sets.
    #[cfg(feature = "openapi")]
    pub(crate) fn sets_of_abilities(&self) -> Vec<Vec<Ability>> {
        let nothing = vec![Vec::new()];
        if self.report_only {
            return nothing;
        }
        self.abilities.iter().fold(nothing, |sets, one_of| {
            let with = |ability: &Ability, mut set: Vec<_>| {
                set.push(ability.clone());
                set
            };
            let each = |set: Vec<_>| one_of.iter().map(move |ability| with(ability, set.clone()));
            sets.into_iter().flat_map(each).collect()
        })
    }

    pub(super) fn check(&self, key: &KeyRecord) -> Result<(), Rejection> {
        if !self.accepts(key.kind) {
            return Err(Rejection::not_allowed(Reason::KeyKind));
        }
        if self.stage.is_some() && self.stage.as_ref() != key.stage() {
            return Err(RejectionKind::WrongStage.into());
        }
        self.abilities.iter().try_for_each(|one_of| has_one_of(&key.abilities, one_of))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for one_of in &self.abilities {
            parts.push(match &**one_of {
                [ability] => ability.to_string(),
                several => {
                    let several: Vec<_> = several.iter().map(Ability::as_str).collect();
                    format!("one of {}", several.join(" | "))
                }
            });
        }
        match self.kind {
            Some(KeyKind::Secret) if parts.is_empty() => parts.push("any secret key".to_owned()),
            Some(KeyKind::Secret) => {}
            Some(kind) if parts.is_empty() => parts.push(format!("any {kind} key")),
            Some(kind) => parts.push(format!("{kind} key")),
            None if parts.is_empty() => parts.push("any key".to_owned()),
            None => parts.push("key of any kind".to_owned()),
        }
        if let Some(stage) = &self.stage {
            parts.push(format!("stage {stage}"));
        }
        f.write_str(&parts.join(", "))
    }
}
