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
    /// ```
    /// use tower_api_key::{KeyEnded, VerifiedKey};
    ///
    /// # struct Socket;
    /// # impl Socket { async fn close(&mut self, _: u16, _: String) {} }
    /// # async fn serve(_: &mut Socket) {}
    /// async fn on_socket(key: VerifiedKey, mut socket: Socket) {
    ///     if let Err(ended) = key.while_valid(serve(&mut socket)).await {
    ///         socket.close(1008, ended.to_string()).await;
    ///     }
    /// }
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
