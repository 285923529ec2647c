//! API-key authentication as a [Tower](tower) middleware for axum, tonic and hyper.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod body;
mod clock;
pub mod extract;
mod future;
pub mod guard;
mod head;
pub mod key;
mod layer;
mod lookup;
pub mod reject;
mod service;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
mod verify;

#[cfg(feature = "axum")]
pub use self::axum::VerifiedKeyRejection;
pub use self::body::ResponseBody;
pub use self::clock::{Clock, SystemClock};
#[doc(inline)]
pub use self::extract::Extract;
pub use self::future::ResponseFuture;
#[doc(inline)]
pub use self::guard::{
    Guard, GuardLayer, RequireAbility, RequireKind, RequireStage, RequireTenant,
};
pub use self::head::RequestHead;
#[doc(inline)]
pub use self::key::{
    Ability, AbilitySet, Alphabet, Checksum, KeyDigest, KeyFormat, KeyHasher, KeyId, KeyKind,
    Secret, Stage, TenantId,
};
pub use self::layer::ApiKeyLayer;
#[doc(inline)]
pub use self::reject::{Rejection, RejectionKind, Respond, Responder};
pub use self::service::ApiKeyService;
#[doc(inline)]
pub use self::store::{IssuedKey, KeyRecord, KeyStore, MemoryStore, NewKey, StoreError};
pub use self::verify::VerifiedKey;
