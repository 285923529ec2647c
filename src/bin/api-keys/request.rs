//! [`RequestArgs`]: the request that `verify` judges.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use clap::Args;
use http::header::{HeaderValue, ORIGIN, REFERER};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Empty;
use tower_api_key::guard::{RequireStage, RequireTenant};
use tower_api_key::{
    Ability, ApiKeyLayer, PeerAddress, Rejection, RejectionKind, RequireAbility, Stage, TenantId,
};

use crate::id::parse_ability;

/// A request, and what the server requires of its key
#[derive(Args)]
#[command(next_help_heading = "The request to judge")]
pub(crate) struct RequestArgs {
    /// The route requires this ability, such as `imports:write`; may be repeated
    #[arg(long = "ability", value_name = "ABILITY", value_delimiter = ',')]
    #[arg(value_parser = parse_action)]
    abilities: Vec<Ability>,
    /// The server requires this stage
    #[arg(long)]
    stage: Option<Stage>,
    /// The server requires this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The method; by default GET
    #[arg(long)]
    method: Option<Method>,
    /// The path; by default `/`
    #[arg(long, value_parser = parse_path)]
    path: Option<PathAndQuery>,
    /// The address of the client
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// The Origin header
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<HeaderValue>,
    /// The Referer header
    #[arg(long, value_name = "URL")]
    referrer: Option<HeaderValue>,
    /// The server accepts public keys on this route
    #[arg(long)]
    accept_public_keys: bool,
}

impl RequestArgs {
    /// Returns whether any option was given.
    pub(crate) fn is_given(&self) -> bool {
        !self.abilities.is_empty()
            || self.stage.is_some()
            || self.tenant.is_some()
            || self.method.is_some()
            || self.path.is_some()
            || self.from.is_some()
            || self.origin.is_some()
            || self.referrer.is_some()
            || self.accept_public_keys
    }

    /// Adds what the server requires.
    pub(crate) fn require(&self, mut layer: ApiKeyLayer) -> ApiKeyLayer {
        if let Some(stage) = &self.stage {
            layer = layer.guard(RequireStage::fixed(stage.clone()));
        }
        if let Some(tenant) = &self.tenant {
            layer = layer.guard(RequireTenant::fixed(tenant.clone()));
        }
        if !self.abilities.is_empty() {
            layer = layer.guard(RequireAbility::all_of(self.abilities.clone()));
        }
        if self.accept_public_keys {
            layer = layer.accept_public_keys();
        }
        layer
    }

    /// Returns the request with this key, unless no header can have it.
    pub(crate) fn request(&self, secret: &str) -> Result<Request<Empty<Bytes>>, Rejection> {
        let malformed = |_| Rejection::new(RejectionKind::Malformed);
        let mut key = HeaderValue::from_bytes(secret.as_bytes()).map_err(malformed)?;
        key.set_sensitive(true);
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone().unwrap_or_default();
        *request.uri_mut() = self.path.clone().map(Uri::from).unwrap_or_default();
        request.headers_mut().insert("x-api-key", key);
        for (name, value) in [(ORIGIN, &self.origin), (REFERER, &self.referrer)] {
            if let Some(value) = value {
                request.headers_mut().insert(name, value.clone());
            }
        }
        if let Some(address) = self.from {
            request.extensions_mut().insert(PeerAddress((address, 0).into()));
        }
        Ok(request)
    }
}

impl fmt::Display for RequestArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_ref().unwrap_or(&Method::GET);
        let path = self.path.as_ref().map_or("/", PathAndQuery::as_str);
        write!(f, "{method} {path}")?;
        match self.from {
            Some(address) => write!(f, " from {address}"),
            None => write!(f, " from an unknown address"),
        }
    }
}

/// Reads an ability that a route may require.
fn parse_action(text: &str) -> Result<Ability, String> {
    let ability = parse_ability(text)?;
    match ability.is_wildcard() {
        true => Err("wildcards are not allowed here: pass one ability".to_owned()),
        false => Ok(ability),
    }
}

fn parse_path(text: &str) -> Result<PathAndQuery, String> {
    let path = text.parse().ok().filter(|_| text.starts_with('/'));
    path.ok_or_else(|| "invalid path: write it like `/v1/imports`".to_owned())
}
