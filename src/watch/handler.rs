//! What handlers can do when their key ends.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};

use super::{KeyEnded, Stream};
use crate::verify::VerifiedKey;

impl VerifiedKey {
    /// Waits until the key has ended: it was revoked, disabled or removed, has expired, or no longer
    /// allows what the request asked for.
    ///
    /// It never resolves if the layer [does not watch](crate::StreamWatch::off). Most handlers need
    /// only [`while_valid`](Self::while_valid).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{EndReason, KeyManager, KeyUpdate, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let layer = keys.layer();
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    ///
    /// let ended = admitted.key().unwrap().ended();
    /// keys.update(issued.record.id(), &KeyUpdate::new().disabled(true)).await?;
    /// assert_eq!(ended.await.reason(), EndReason::Disabled);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ended(&self) -> impl Future<Output = KeyEnded> + Send + 'static + use<> {
        let mut admission = self.clone().admission();
        let mut stream = None;
        poll_fn(move |cx| {
            if let Some(admission) = admission.take() {
                stream = Some(Stream::open(admission));
            }
            let Some(open) = &mut stream else { return Poll::Pending };
            let ended = ready!(open.poll_ended(cx));
            open.report(&ended);
            // It is no longer open, even if the future is kept.
            stream = None;
            Poll::Ready(ended)
        })
    }

    /// Runs `future` while the key is valid. If the key ends first, the future is dropped at its
    /// current await point.
    ///
    /// Response bodies do not need it: the layer ends them. Use it for what is not in a body, such as a
    /// WebSocket, and for handlers that must not continue.
    ///
    /// # Errors
    ///
    /// Returns why the key ended.
    ///
    /// # Examples
    ///
    /// A handler of a WebSocket:
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, VerifiedKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # struct Socket { reason: String }
    /// # impl Socket { async fn close(&mut self, _: u16, reason: String) { self.reason = reason } }
    /// # async fn serve(_: &mut Socket) { std::future::pending().await }
    /// async fn on_socket(key: VerifiedKey, socket: &mut Socket) {
    ///     if let Err(ended) = key.while_valid(serve(socket)).await {
    ///         socket.close(1008, ended.to_string()).await;
    ///     }
    /// }
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let layer = keys.layer();
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    /// let key = admitted.key().unwrap().clone();
    ///
    /// assert_eq!(key.while_valid(async { "done" }).await.unwrap(), "done");
    /// # let mut socket = Socket { reason: String::new() };
    /// let (_, revoked) = tokio::join!(on_socket(key, &mut socket), keys.revoke(issued.record.id()));
    /// revoked?;
    /// assert_eq!(socket.reason, "the API key is not valid any more");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn while_valid<F: Future>(&self, future: F) -> Result<F::Output, KeyEnded> {
        let mut ended = pin!(self.ended());
        let mut future = pin!(future);
        poll_fn(|cx| {
            // Checked first, so that a future that is always ready stops at the end of the key.
            if let Poll::Ready(ended) = ended.as_mut().poll(cx) {
                return Poll::Ready(Err(ended));
            }
            future.as_mut().poll(cx).map(Ok)
        })
        .await
    }
}
