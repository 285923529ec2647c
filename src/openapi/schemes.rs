//! [`SecuritySchemes`]: the security schemes of a layer.

use std::fmt;

use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

use super::responses::Responses;
use crate::extract::CredentialPlace;
use crate::gate::Gate;
use crate::guard::needed;
use crate::key::Ability;
#[cfg(feature = "policy")]
use crate::policy::AccessPolicy;

/// The OpenAPI security schemes of an [`ApiKeyLayer`](crate::ApiKeyLayer): how clients present keys.
///
/// Each [place](CredentialPlace) in which the layer looks is a scheme:
///
/// | the key is in | name of the scheme | scheme |
/// |---|---|---|
/// | the header `x-api-key` | `header.x-api-key` | `apiKey` in `header` |
/// | `Authorization: Bearer` | `authorization.bearer` | `http`, `bearer` |
/// | `Authorization: Basic` | `authorization.basic` | `http`, `basic` |
/// | `Authorization: Token` | `authorization.token` | `apiKey` in `header`, because HTTP has no such scheme |
/// | the query parameter `api_key` | `query.api_key` | `apiKey` in `query` |
/// | the cookie `api_key` | `cookie.api_key` | `apiKey` in `cookie` |
/// | the subprotocol `key.…` of a WebSocket | `subprotocol.key.2E` | `apiKey` in `header`, because OpenAPI has no WebSockets |
///
/// The names are stable: they depend on nothing else. Characters that names cannot have are written as
/// a dot and two hexadecimal digits.
///
/// The places of functions and closures are not known, unless they implement
/// [`places`](crate::Extract::places): a layer with such an extractor adds nothing to the document.
#[derive(Clone, Debug)]
pub struct SecuritySchemes {
    pub(super) places: Vec<CredentialPlace>,
    optional: bool,
    responses: Option<Responses>,
    answers: Responses,
    pub(super) abilities_are_extension: bool,
    #[cfg(feature = "policy")]
    policy: Option<AccessPolicy>,
}

impl SecuritySchemes {
    pub(crate) fn new(gate: &Gate) -> Self {
        Self {
            places: gate.extractor.places(),
            optional: gate.lets_strangers_pass(),
            responses: None,
            answers: Responses::of(&gate.rejector),
            abilities_are_extension: false,
            #[cfg(feature = "policy")]
            policy: gate.enforced_policy().cloned(),
        }
    }

    /// Also describes the layer's refusals: each operation that is not public gets the responses with
    /// their headers, unless it has a response with that status.
    ///
    /// These are 401 for a key that is missing or not valid, 403, 429 and 503, or the statuses of the
    /// layer's [responder](crate::ApiKeyLayer::responder). They have the schema of the bodies if it is
    /// a [`Responder`](crate::Responder) of problems or of JSON.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use utoipa::OpenApi;
    ///
    /// #[utoipa::path(get, path = "/bots", responses((status = 200)))]
    /// async fn list() {}
    ///
    /// #[derive(OpenApi)]
    /// #[openapi(paths(list))]
    /// struct Api;
    ///
    /// let mut document = Api::openapi();
    /// ApiKeyLayer::new(MemoryStore::new()).security_schemes().with_responses().add_to(&mut document);
    /// let document = serde_json::to_value(&document)?;
    /// let refusal = &document["paths"]["/bots"]["get"]["responses"]["401"];
    /// assert_eq!(refusal["$ref"], "#/components/responses/ApiKeyUnauthorized");
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn with_responses(mut self) -> Self {
        self.responses = Some(self.answers.clone());
        self
    }

    /// Writes the abilities that a policy requires as `x-required-abilities` of an operation, and not
    /// as scopes of its security requirements: some linters warn of scopes if a scheme is not OAuth.
    ///
    /// The extension is a list of lists: a key needs all abilities of one of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::policy::{AccessPolicy, Requirement};
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use utoipa::OpenApi;
    ///
    /// #[utoipa::path(get, path = "/bots", responses((status = 200)))]
    /// async fn list() {}
    ///
    /// #[derive(OpenApi)]
    /// #[openapi(paths(list))]
    /// struct Api;
    ///
    /// let policy =
    ///     AccessPolicy::builder().allow("GET /bots", Requirement::ability("bots:read")).build()?;
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).policy(policy);
    /// let mut document = Api::openapi();
    /// layer.security_schemes().with_abilities_as_extension().add_to(&mut document);
    ///
    /// let document = serde_json::to_value(&document)?;
    /// let list = &document["paths"]["/bots"]["get"];
    /// assert_eq!(list["x-required-abilities"], serde_json::json!([["bots:read"]]));
    /// assert_eq!(list["security"][0], serde_json::json!({ "header.x-api-key": [] }));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_abilities_as_extension(mut self) -> Self {
        self.abilities_are_extension = true;
        self
    }

    /// Adds the schemes to the components of a document, and each as an alternative to what the
    /// document requires of all operations.
    ///
    /// If keys are [`optional`](crate::ApiKeyLayer::optional), no key is another alternative, unless
    /// the document has requirements of its own.
    ///
    /// If the layer has a policy, its requirements are written into the operations: `security: []` for
    /// `public` ones, and the required abilities as scopes. The paths of the document have to be those
    /// of the policy: nest first, then add. A policy that is only tried adds nothing.
    ///
    /// Existing entries of the document stay as they are, and adding twice has no further effect.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use utoipa::openapi::{Info, OpenApi, Paths};
    ///
    /// let mut document = OpenApi::new(Info::new("Bots", "1"), Paths::new());
    /// ApiKeyLayer::new(MemoryStore::new()).security_schemes().add_to(&mut document);
    /// let schemes = document.components.unwrap().security_schemes;
    /// assert!(schemes.contains_key("header.x-api-key"));
    /// assert!(schemes.contains_key("authorization.bearer"));
    /// ```
    pub fn add_to(&self, document: &mut OpenApi) {
        if self.places.is_empty() {
            return;
        }
        let schemes = &mut document.components.get_or_insert_default().security_schemes;
        for place in &self.places {
            schemes.entry(name(place)).or_insert_with(|| scheme(place).into());
        }
        let security = document.security.get_or_insert_default();
        let mut alternatives = self.with_scopes(&[]);
        if self.optional && security.is_empty() {
            alternatives.push(SecurityRequirement::default());
        }
        for alternative in alternatives {
            if !security.contains(&alternative) {
                security.push(alternative);
            }
        }
        #[cfg(feature = "policy")]
        if let Some(policy) = &self.policy {
            self.add_policy(policy, &mut document.paths);
        }
        if let Some(responses) = &self.responses {
            responses.add_to(document);
        }
    }

    /// Returns the security requirements of an operation that needs a key with all of these abilities:
    /// one of the schemes, with the abilities as its scopes.
    ///
    /// `None` if no place is known. An empty list would mean that the operation requires nothing.
    ///
    /// # Panics
    ///
    /// Panics if an ability does not parse or is a wildcard.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::extract::Bearer;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    /// use utoipa::openapi::path::Operation;
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).extractor(Bearer);
    /// let mut operation = Operation::new();
    /// operation.security = layer.security_schemes().requirements(["bots:read"]);
    ///
    /// let security = serde_json::json!([{ "authorization.bearer": ["bots:read"] }]);
    /// assert_eq!(serde_json::to_value(&operation)?["security"], security);
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn requirements<A>(
        &self,
        abilities: impl IntoIterator<Item = A>,
    ) -> Option<Vec<SecurityRequirement>>
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let abilities: Vec<_> = abilities.into_iter().map(needed).collect();
        (!self.places.is_empty()).then(|| self.with_scopes(&abilities))
    }

    pub(super) fn with_scopes(&self, abilities: &[Ability]) -> Vec<SecurityRequirement> {
        let scopes = if self.abilities_are_extension { &[] } else { abilities };
        let requirement = |place| {
            SecurityRequirement::new(name(place), scopes.iter().map(|ability| ability.as_str()))
        };
        self.places.iter().map(requirement).collect()
    }
}

fn name(place: &CredentialPlace) -> String {
    match place {
        CredentialPlace::Header(name) => format!("header.{}", escaped(name.as_str())),
        CredentialPlace::Authorization(scheme) => {
            format!("authorization.{}", escaped(&scheme.to_ascii_lowercase()))
        }
        CredentialPlace::Query(name) => format!("query.{}", escaped(name)),
        CredentialPlace::Cookie(name) => format!("cookie.{}", escaped(name)),
        CredentialPlace::Subprotocol(prefix) => format!("subprotocol.{}", escaped(prefix)),
    }
}

/// Escapes a text for the names of components, so that different texts have different names.
fn escaped(text: &str) -> String {
    let character = |byte: u8| match byte {
        b'-' | b'_' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!(".{byte:02X}"),
    };
    text.bytes().map(character).collect()
}

fn scheme(place: &CredentialPlace) -> SecurityScheme {
    match place {
        CredentialPlace::Header(name) => {
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name.as_str())))
        }
        CredentialPlace::Authorization(scheme) => in_authorization(scheme),
        CredentialPlace::Query(name) => {
            SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new(&**name)))
        }
        CredentialPlace::Cookie(name) => {
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(&**name)))
        }
        CredentialPlace::Subprotocol(prefix) => {
            let description = format!(
                "For WebSockets: the subprotocol `{prefix}` followed by the key, beside the one that \
                 is to be spoken."
            );
            let value =
                ApiKeyValue::with_description("Sec-WebSocket-Protocol".to_owned(), description);
            SecurityScheme::ApiKey(ApiKey::Header(value))
        }
    }
}

fn in_authorization(scheme: &str) -> SecurityScheme {
    let http = HttpBuilder::new();
    if scheme.eq_ignore_ascii_case("Bearer") {
        let http = http.scheme(HttpAuthScheme::Bearer).bearer_format("API key");
        return SecurityScheme::Http(http.build());
    }
    if scheme.eq_ignore_ascii_case("Basic") {
        let description = "The key is the user name, and the password is empty.";
        let http = http.scheme(HttpAuthScheme::Basic).description(Some(description));
        return SecurityScheme::Http(http.build());
    }
    // utoipa has a closed list of the registered schemes.
    let description = format!("`{scheme}`, a space, and the key.");
    let value = ApiKeyValue::with_description("Authorization".to_owned(), description);
    SecurityScheme::ApiKey(ApiKey::Header(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_only_characters_that_names_may_have() {
        let query = |text: &str| name(&CredentialPlace::Query(text.to_owned().into()));
        assert_eq!(query("api_key"), "query.api_key");
        assert_eq!(query("api[key]"), "query.api.5Bkey.5D");
        assert_eq!(query("a.b"), "query.a.2Eb");
        assert_eq!(query("schlüssel"), "query.schl.C3.BCssel");
        assert_eq!(name(&CredentialPlace::Authorization("ApiKey".into())), "authorization.apikey");
    }

    proptest! {
        #[test]
        fn no_two_parameters_have_one_name(one in "[a.2E%é]{0,4}", other in "[a.2E%é]{0,4}") {
            let place = |text: &str| CredentialPlace::Query(text.to_owned().into());
            prop_assert_eq!(one == other, name(&place(&one)) == name(&place(&other)));
        }
    }
}
