//! [`Admitted`] and [`Refusal`]: the decision of a layer without a service.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::mem;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;

use crate::body::ResponseBody;
use crate::charge::Charged;
use crate::decide::Decision;
use crate::drain::Draining;
use crate::ending::Ending;
use crate::front::Entrance;
use crate::gate::Gate;
use crate::head::{Noted, RequestHead};
use crate::observe::{Arrival, Outcome};
use crate::pass::Finish;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// A request that [`ApiKeyLayer::verify`](crate::ApiKeyLayer::verify) lets pass.
///
/// The head of the request is what a service would see: without the credential, and with the
/// [`VerifiedKey`] in its extensions. [`finish`](Self::finish) completes the response. If this is dropped
/// instead, what the request cost is spent, and [observers](crate::Observe) see a request that was dropped.
#[must_use = "`finish` completes the response"]
pub struct Admitted {
    key: Option<VerifiedKey>,
    finish: Finish,
}

impl Admitted {
    /// Returns the key; none if the layer lets the request pass without one.
    #[must_use]
    pub fn key(&self) -> Option<&VerifiedKey> {
        self.key.as_ref()
    }

    /// Completes the response, as the service of a layer does: `Cache-Control`, `Vary` and the rate limits.
    /// The body ends when the key does.
    ///
    /// If the response is that of a [guard](crate::guard) which refused the request, what the request cost
    /// is given back first. Where there is no body, and for types of other frameworks, pass a response with
    /// the status and the headers, and take these from what is returned.
    pub async fn finish<B>(self, mut response: Response<B>) -> Response<ResponseBody<B>> {
        let Self { key: _, mut finish } = self;
        let ending = Ending::of(response.headers());
        let refunding = finish.write(&mut response);
        let is_refused = refunding.is_some();
        if let Some(refunding) = refunding {
            let usage = refunding.await;
            Charged::write_refunded(&usage, &mut response);
        }
        finish.observation.answered(&response);
        let key = finish.observation.take_watched().filter(|_| !is_refused);
        response.map(|body| ResponseBody::watched(body, key, ending))
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A request that [`ApiKeyLayer::verify`](crate::ApiKeyLayer::verify) refuses, and the response to it.
pub struct Refusal(Box<Refused>);

struct Refused {
    rejection: Rejection,
    response: Response<Bytes>,
    draining: Draining,
}

impl Refusal {
    /// Returns why the request is refused. Clients are not told all of it.
    #[must_use]
    pub fn rejection(&self) -> &Rejection {
        &self.0.rejection
    }

    /// Returns the response. The body of the request is left to the caller.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        self.0.response
    }

    /// Returns the response, and reads what is left of the body of the request
    /// [behind it](crate::ApiKeyLayer::drain_refused).
    pub fn into_response_draining<B>(self, body: B) -> Response<Bytes>
    where
        B: Body + Send + 'static,
    {
        self.0.draining.refuse(body, self.0.response).answer()
    }
}

impl From<Refusal> for Response<Bytes> {
    fn from(refusal: Refusal) -> Self {
        refusal.into_response()
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> axum::response::Response {
        self.0.response.map(axum::body::Body::from)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusal").field(&self.0.rejection).finish()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.rejection.fmt(f)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.rejection.source()
    }
}

impl Entrance {
    /// Takes all steps of a request, and prepares its head for what is to handle it.
    pub(crate) async fn verify(&self, parts: &mut Parts) -> Result<Admitted, Refusal> {
        let Self { gate, front } = self;
        let noted = Noted::default();
        let head = RequestHead::from_parts(parts).noting(&noted);
        let mut arrival = gate.observe(&head);
        let mut decision = gate.decide(front, &head, &mut arrival);
        let mut waited = false;
        let decided = loop {
            let mut wait = match decision {
                Ok(Decision::Wait(wait)) => wait,
                Ok(Decision::Admit(pass)) => break Ok(pass),
                Err(rejection) => break Err(rejection),
            };
            if !waited {
                arrival = arrival.map(Arrival::waits);
            }
            waited = true;
            let head = RequestHead::from_parts(parts);
            let waiting = poll_fn(|cx| wait.poll_observed(cx, gate, &head, &mut arrival));
            decision = waiting.await;
        };
        let admitted = decided.and_then(|pass| {
            as_request(parts, |request| {
                pass.stamp(request, |request| RequestHead::new(request), gate, &noted, &mut arrival)
            })
        });
        match admitted {
            Ok(finish) => {
                let key = parts.extensions.get().cloned();
                Ok(Admitted { key, finish })
            }
            Err(rejection) => {
                if !waited {
                    gate.count_failure(&rejection, &RequestHead::from_parts(parts));
                }
                if let Some(arrival) = arrival {
                    arrival.end(Outcome::Refused(&rejection));
                }
                Err(gate.refuse_parts(rejection, parts))
            }
        }
    }
}

impl Gate {
    fn refuse_parts(&self, rejection: Rejection, parts: &Parts) -> Refusal {
        let head = RequestHead::from_parts(parts);
        let draining = self.rejector.drain.of(&head);
        let response = self.rejector.reject(rejection.clone(), &head);
        Refusal(Box::new(Refused { rejection, response, draining }))
    }
}

/// Lends the head of a request as a request without a body.
fn as_request<T>(parts: &mut Parts, act: impl FnOnce(&mut Request<()>) -> T) -> T {
    let (empty, ()) = Request::new(()).into_parts();
    let mut request = Request::from_parts(mem::replace(parts, empty), ());
    let result = act(&mut request);
    *parts = request.into_parts().0;
    result
}
