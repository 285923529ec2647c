//! OpenAPI documents: the security schemes of API keys.
//!
//! The security of a layer is added to an application's own document, which
//! [utoipa](https://docs.rs/utoipa) 6 makes:
//!
//! ```
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//! use utoipa::OpenApi;
//!
//! /// Lists the bots.
//! #[utoipa::path(get, path = "/bots", responses((status = 200)))]
//! async fn list() {}
//!
//! #[derive(OpenApi)]
//! #[openapi(paths(list))]
//! struct Api;
//!
//! let layer = ApiKeyLayer::new(MemoryStore::new());
//! let mut document = Api::openapi();
//! layer.security_schemes().add_to(&mut document);
//!
//! let document = serde_json::to_value(&document)?;
//! let security = serde_json::json!([{ "header.x-api-key": [] }, { "authorization.bearer": [] }]);
//! assert_eq!(document["security"], security);
//! # Ok::<_, serde_json::Error>(())
//! ```

#[cfg(feature = "policy")]
mod policy;
mod responses;
mod schemes;

pub use self::schemes::SecuritySchemes;
