//! [`Cancel`]: cancels a handler that has not answered when its key ends.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};

use crate::head::RequestHead;
use crate::reject::Rejection;
use crate::watch::{Admission, Stream};

/// Waits for the end of a key while a handler works, and keeps the head of the request for the refusal.
pub(crate) struct Cancel {
    head: Request<()>,
    admission: Option<Admission>,
    stream: Option<Stream>,
}

impl Cancel {
    pub(crate) fn new(head: &RequestHead<'_>, admission: Admission) -> Self {
        let mut request = Request::new(());
        *request.method_mut() = head.method().clone();
        *request.uri_mut() = head.original_uri().clone();
        *request.version_mut() = head.version();
        *request.headers_mut() = head.headers().clone();
        *request.extensions_mut() = head.extensions().clone();
        Self { head: request, admission: Some(admission), stream: None }
    }

    /// Waits until the key has ended, and then refuses the request.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(Rejection, Response<Bytes>)> {
        if let Some(admission) = self.admission.take() {
            self.stream = Some(Stream::open(admission));
        }
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        let ended = ready!(stream.poll_ended(cx));
        stream.report(&ended);
        let rejection = ended.rejection().clone();
        let rejector = stream.authority().rejector();
        let response = rejector.reject(rejection.clone(), &RequestHead::new(&self.head));
        self.stream = None;
        Poll::Ready((rejection, response))
    }
}
