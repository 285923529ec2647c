//! [`EndedStream`]: a stream that ended with its key.

use std::time::Duration;

use crate::key::KeyId;
use crate::watch::{EndReason, KeyEnded};

/// A stream that the layer ended with its key, for [observers](super::Observe).
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// use http::Request;
/// use tower_api_key::observe::{EndedStream, Observe};
/// use tower_api_key::{EndReason, KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// struct Ends(Arc<Mutex<Vec<EndReason>>>);
///
/// impl Observe for Ends {
///     fn stream_ended(&self, stream: &EndedStream<'_>) {
///         assert!(stream.key_id().is_some() && stream.open_for() < Duration::from_secs(60));
///         self.0.lock().unwrap().push(stream.reason());
///     }
/// }
/// let keys = KeyManager::new(MemoryStore::new());
/// let issued = keys.issue(NewKey::named("a device")).await?;
/// let ends = Arc::new(Mutex::new(Vec::new()));
/// let layer = keys.layer().observer(Ends(Arc::clone(&ends)));
///
/// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
/// let admitted = layer.verify(&mut request.into_parts().0).await?;
/// let ended = admitted.key().unwrap().ended();
/// keys.revoke(issued.record.id()).await?;
/// ended.await;
/// assert_eq!(*ends.lock().unwrap(), [EndReason::Revoked]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EndedStream<'a> {
    ended: &'a KeyEnded,
    open: Duration,
}

impl<'a> EndedStream<'a> {
    pub(crate) fn new(ended: &'a KeyEnded, open: Duration) -> Self {
        Self { ended, open }
    }

    /// Returns why the stream ended.
    #[must_use]
    pub fn reason(&self) -> EndReason {
        self.ended.reason()
    }

    /// Returns the public id of the key.
    #[must_use]
    pub fn key_id(&self) -> Option<&'a KeyId> {
        self.ended.key_id()
    }

    /// Returns how long the stream was open, counted from its second frame or from its first wait.
    #[must_use]
    pub fn open_for(&self) -> Duration {
        self.open
    }
}
