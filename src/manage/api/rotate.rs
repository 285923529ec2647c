//! [`RotateKey`]: the body of a request that rotates a key.

use std::time::Duration;

use serde_json::Value;
use utoipa::ToSchema;

use super::ApiError;
use super::field::{Fields, Mistakes};

/// The longest grace period of a rotated key, in seconds: 90 days.
const MAX_GRACE: u64 = 90 * 24 * 60 * 60;

/// The settings of a rotation.
#[derive(ToSchema)]
#[schema(as = ApiKeyRotation)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateKey {
    /// The grace period of the old key, in seconds. By default, it is revoked at once.
    #[schema(required = false, maximum = 7_776_000)]
    grace_seconds: u64,
}

impl RotateKey {
    pub(super) fn read(body: Option<Value>) -> Result<Self, ApiError> {
        let Some(body) = body else { return Ok(Self { grace_seconds: 0 }) };
        let (mut fields, mut mistakes) = (Fields::of_body(body)?, Mistakes::default());
        let grace = fields.take("grace_seconds").map(|field| field.number(MAX_GRACE)).transpose();
        let grace_seconds = mistakes.or_default(grace).unwrap_or_default();
        mistakes.or_default(fields.end());
        mistakes.finish(Self { grace_seconds })
    }

    pub(super) const fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}
