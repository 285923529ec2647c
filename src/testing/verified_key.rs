//! [`verified_key`]: a verified key for tests of handlers.

use std::sync::Arc;

use crate::clock::SystemClock;
use crate::gate::Gate;
use crate::store::{MemoryStore, NewKey};
use crate::verify::{Claims, Known, VerifiedKey, verify};

/// Makes a [`VerifiedKey`] for tests that call a handler as a function.
///
/// The key is issued in a store of its own. Its restrictions and limits are not checked, because there
/// is no request.
///
/// # Panics
///
/// Panics if the key is not valid now, or if it cannot be issued.
///
/// # Examples
///
/// ```
/// use tower_api_key::testing::verified_key;
/// use tower_api_key::{NewKey, VerifiedKey};
///
/// fn greeting(key: &VerifiedKey) -> String {
///     format!("hello {}", key.tenant().map_or("nobody", |tenant| tenant.as_str()))
/// }
/// let key = verified_key(NewKey::named("a test").tenant("acme").abilities(["bots:read"]));
/// assert_eq!(greeting(&key), "hello acme");
/// assert!(key.can("bots:read") && !key.can("bots:write"));
/// ```
#[must_use]
pub fn verified_key(key: NewKey) -> VerifiedKey {
    let store = MemoryStore::new();
    let issued = store.issue(key).unwrap_or_else(|error| panic!("the key is not issued: {error}"));
    let record = issued.record;
    let (digest, gate) = (record.digest, Arc::new(Gate::new(Arc::new(store))));
    let verified = verify(Known::new(record, &gate), &digest, &Claims::default(), &SystemClock);
    verified.unwrap_or_else(|rejection| panic!("the key is not valid: {rejection}"))
}
