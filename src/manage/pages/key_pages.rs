//! [`KeyPages`]: the settings of the pages, and their router.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::request::Parts;
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::assets::Assets;
use super::deed::Deed;
use super::expiry::Expiry;
use super::headers::secure;
use super::offered::Offered;
use super::origin::{FromElsewhere, refuse_unknown};
use super::page::Page;
use super::reply::trouble;
use super::settings::Settings;
use super::site::Site;
use super::texts::PageTexts;
use super::way::{answer, site};
use crate::key::{AbilityCatalogue, Stage};
use crate::manage::KeyManager;
use crate::manage::api::{ApiError, Bodies, IdentifyOwner, drain_unread};

/// Builds the HTML pages with which owners manage their keys in a browser.
///
/// The [module](crate::manage::pages) describes the pages, and what the application provides.
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use http::StatusCode;
/// use http::request::Parts;
/// use tower_api_key::key::AbilityCatalogue;
/// use tower_api_key::manage::Owner;
/// use tower_api_key::manage::api::{KeyAction, Refused};
/// use tower_api_key::manage::pages::{Expiry, KeyPages};
/// use tower_api_key::{KeyManager, MemoryStore, TenantId};
///
/// #[derive(Clone)]
/// struct Session {
///     user: String,
///     tenant: TenantId,
/// }
///
/// fn session(parts: &mut Parts, _: &KeyAction) -> Result<Owner, Refused> {
///     let session = parts.extensions.get::<Session>().ok_or(StatusCode::UNAUTHORIZED)?.clone();
///     let ceiling = ["bots:read", "bots:write"].try_into().map_err(|_| StatusCode::FORBIDDEN)?;
///     Ok(Owner::of_tenant(session.tenant, ceiling, session.user))
/// }
///
/// let catalogue = AbilityCatalogue::new()
///     .ability("bots:read", "List and read bots")
///     .ability("bots:write", "Create, change and delete bots");
/// let pages = KeyPages::new(KeyManager::new(MemoryStore::new()), session)
///     .catalogue(catalogue)
///     .expiries([Expiry::Days(30), Expiry::Days(90)])
///     .api_url("https://api.shop.example/v1/bots");
/// let app: Router = Router::new().nest("/settings/api-keys", pages.into_router());
/// assert!(app.has_routes());
/// ```
#[derive(Clone)]
#[must_use]
pub struct KeyPages {
    pub(super) settings: Settings,
}

impl KeyPages {
    /// Creates the pages for the keys of a manager. `owner` identifies the user of each request.
    ///
    /// Every request acts [on behalf](KeyManager::on_behalf_of) of its owner, even if `keys` may do everything.
    /// Owners that are API keys are refused: pages are for people.
    pub fn new(keys: KeyManager, owner: impl IdentifyOwner + 'static) -> Self {
        let offered = keys.settings.abilities.as_deref().map(Offered::of).unwrap_or_default();
        Self {
            settings: Settings {
                keys,
                owner: Arc::new(owner),
                offered,
                stages: Vec::new(),
                expiries: Expiry::DEFAULT.into(),
                usage: true,
                layout: None,
                texts: PageTexts::english(),
                base: None,
                api_url: None,
                variable: "API_KEY".to_owned(),
                page_size: 50,
                public_keys: true,
                history: true,
                bodies: Bodies::default(),
                assets: Assets::new(),
            },
        }
    }

    /// Sets the catalogue of abilities that the forms offer, with their descriptions. By default, it is that of the
    /// [manager](KeyManager::abilities).
    ///
    /// The forms offer an owner only abilities that it may grant, and accept no others: no ability that is not in
    /// the catalogue, and no wildcard unless a preset has it. If the manager has no catalogue, it uses this one.
    pub fn catalogue(mut self, catalogue: AbilityCatalogue) -> Self {
        self.settings.offered = Offered::of(&catalogue);
        if self.settings.keys.settings.abilities.is_none() {
            self.settings.keys = self.settings.keys.abilities(catalogue);
        }
        self
    }

    /// Sets the stages that the form offers and accepts, if the prefixes of the scheme do not determine them.
    pub fn stages(mut self, stages: impl IntoIterator<Item = Stage>) -> Self {
        self.settings.stages = stages.into_iter().collect();
        self
    }

    /// Sets the choices for the expiry of a key. By default, they are [`Expiry::DEFAULT`].
    pub fn expiries(mut self, expiries: impl IntoIterator<Item = Expiry>) -> Self {
        self.settings.expiries = expiries.into_iter().collect();
        self
    }

    /// Sets the layout of the application: a function that makes the document of a page, with the head of the
    /// request, whose extensions may have the session.
    ///
    /// Without a layout, pages are complete documents. The layout can use only stylesheets and scripts of its own
    /// origin, and no style attributes, because of the
    /// [`Content-Security-Policy`](crate::manage::pages#security).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::request::Parts;
    /// use tower_api_key::manage::pages::{KeyPages, Page};
    ///
    /// fn with_layout(pages: KeyPages) -> KeyPages {
    ///     pages.layout(|page: &Page, _: &Parts| {
    ///         let (head, content) = (page.head(), page.content());
    ///         format!(
    ///             "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">{head}</head>\
    ///              <body><nav>The shop</nav><main>{content}</main></body></html>",
    ///         )
    ///     })
    /// }
    /// ```
    pub fn layout<F>(mut self, layout: F) -> Self
    where
        F: Fn(&Page, &Parts) -> String + Send + Sync + 'static,
    {
        self.settings.layout = Some(Arc::new(layout));
        self
    }

    /// Sets the texts of the pages. By default, they are [in English](PageTexts::english).
    pub fn texts(mut self, texts: PageTexts) -> Self {
        self.settings.texts = texts;
        self
    }

    /// Sets a URL of the application's API, such as `https://api.shop.example/v1/bots`, for the `curl` command beside
    /// a new key.
    pub fn api_url(mut self, url: impl Into<String>) -> Self {
        self.settings.api_url = Some(url.into());
        self
    }

    /// Sets the environment variable that the pages show for a key. By default, it is `API_KEY`.
    pub fn variable(mut self, name: impl Into<String>) -> Self {
        self.settings.variable = name.into();
        self
    }

    /// Sets how many keys a page of the list has, from 1 to 1000. By default, it is 50.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use axum::Router;
    /// use http::request::Parts;
    /// use tower_api_key::manage::Owner;
    /// use tower_api_key::manage::api::{KeyAction, Refused};
    /// use tower_api_key::manage::pages::{KeyPages, PageTexts};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// fn owner(_: &mut Parts, _: &KeyAction) -> Result<Owner, Refused> {
    ///     Err(http::StatusCode::UNAUTHORIZED.into()) // or the owner of the session
    /// }
    /// let mut texts = PageTexts::english();
    /// texts.stage = "Environment".into();
    /// let pages = KeyPages::new(KeyManager::new(MemoryStore::new()), owner)
    ///     .stages(["live".parse()?, "test".parse()?])
    ///     .texts(texts)
    ///     .variable("SHOP_API_KEY")
    ///     .page_size(20)
    ///     .without_public_keys()
    ///     .without_history()
    ///     .mounted_at("/settings/api-keys")
    ///     .body_timeout(Duration::from_secs(5));
    /// let app: Router = pages.into_router();
    /// assert!(app.has_routes());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn page_size(mut self, keys: usize) -> Self {
        self.settings.page_size = keys.clamp(1, 1000);
        self
    }

    /// Leaves out the form for public keys. It is shown if the [scheme](KeyManager::scheme) has a prefix for them.
    pub fn without_public_keys(mut self) -> Self {
        self.settings.public_keys = false;
        self
    }

    /// Leaves out the usage of keys: the sparklines and the charts.
    ///
    /// By default, they are shown if the repository [keeps usage](KeyManager::usage), which a
    /// [`UsageRecorder`](crate::UsageRecorder) on the layer records.
    pub fn without_usage(mut self) -> Self {
        self.settings.usage = false;
        self
    }

    /// Leaves out the history of a key. By default, everybody who may see a key sees its history.
    ///
    /// The history is the [audit log](KeyManager::audit_log) of the repository, if it keeps one.
    pub fn without_history(mut self) -> Self {
        self.settings.history = false;
        self
    }

    /// Sets the path at which browsers find the pages, such as `/settings/api-keys`.
    ///
    /// By default, it is the path at which the router is nested. Set it if a proxy changes paths.
    pub fn mounted_at(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.settings.base = Some(match path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        });
        self
    }

    /// Sets how long a form may take to arrive. By default, it is 10 seconds.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.settings.bodies.set_timeout(timeout);
        self
    }

    /// Builds the router. Nest it at the path of the pages, inside the layer of the sessions.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let settings = Arc::new(self.settings);
        let mut router = Router::new();
        for deed in Deed::ALL {
            let of_deed = |settings: &Arc<Settings>| {
                let settings = Arc::clone(settings);
                move |request: Request| answer(Arc::clone(&settings), deed, request)
            };
            let route = match deed.is_form() {
                true => get(of_deed(&settings)).post(of_deed(&settings)),
                false => get(of_deed(&settings)),
            };
            router = router.route(deed.path(), route);
        }
        let assets = settings.assets.clone();
        let asset = get(async move |Path(name): Path<String>| assets.serve(&name));
        let check_origin =
            move |request, next| from_elsewhere(Arc::clone(&settings), request, next);
        router
            .route("/assets/{name}", asset)
            .layer(axum::middleware::from_fn(drain_unread))
            .layer(CsrfLayer::new())
            .layer(axum::middleware::from_fn(refuse_unknown))
            .layer(axum::middleware::from_fn(check_origin))
            .layer(axum::middleware::map_response(secure))
    }
}

/// Explains why a cross-site request was refused.
async fn from_elsewhere(
    settings: Arc<Settings>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    let base = site(&settings, &parts).base;
    let response = next.run(Request::from_parts(parts, body)).await;
    let extensions = response.extensions();
    let says = match (extensions.get::<FromElsewhere>(), extensions.get::<ProtectionError>()) {
        (Some(_), _) => &settings.texts.from_nowhere,
        (None, Some(_)) => &settings.texts.from_elsewhere,
        (None, None) => return Ok(response),
    };
    let error = ApiError::new(StatusCode::FORBIDDEN, says.clone());
    // Without the layout, which may rely on a session.
    let site = Site { settings: &settings, base, now: settings.keys.now() };
    Ok(trouble(&site, &error).alone(&site).into_response())
}

impl fmt::Debug for KeyPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPages")
            .field("keys", &self.settings.keys)
            .field("expiries", &self.settings.expiries)
            .field("page_size", &self.settings.page_size)
            .finish_non_exhaustive()
    }
}
