//! [`Admitted`] and [`Refusal`]: the results of a layer without a service.

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

/// A request that [`ApiKeyLayer::verify`](crate::ApiKeyLayer::verify) accepts.
///
/// The head of the request is the one that a service would see: without the credential, and with the
/// [`VerifiedKey`] in its extensions. [`finish`](Self::finish) completes the response. If this is
/// dropped instead, the cost of the request stays spent, and [observers](crate::Observe) see a dropped
/// request.
///
/// # Examples
///
/// ```
/// use http::{Request, Response};
/// use tower_api_key::{KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// let key = keys.issue(NewKey::named("a device")).await?.secret;
///
/// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
/// let admitted = keys.layer().verify(&mut request.into_parts().0).await?;
/// assert_eq!(admitted.key().unwrap().name(), "a device");
/// let response = admitted.finish(Response::new("…")).await;
/// assert_eq!(response.headers()["cache-control"], "private");
/// # Ok(())
/// # }
/// ```
#[must_use = "`finish` completes the response"]
pub struct Admitted {
    key: Option<VerifiedKey>,
    finish: Finish,
}

impl Admitted {
    /// Returns the key, or none if the layer accepted the request without one.
    #[must_use]
    pub fn key(&self) -> Option<&VerifiedKey> {
        self.key.as_ref()
    }

    /// Completes the response like the service of a layer: adds `Cache-Control`, `Vary` and the rate
    /// limits, and ends the body with the key.
    ///
    /// If the response is the refusal of a [guard](crate::guard), the cost of the request is given back
    /// first. For responses without a body, and for types of other frameworks, pass a response with the
    /// status and the headers, and copy the headers of the result.
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
///
/// # Examples
///
/// ```
/// use axum::body::Body;
/// use http::{Request, StatusCode};
/// use tower_api_key::{KeyManager, MemoryStore, RejectionKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = KeyManager::new(MemoryStore::new()).layer();
///
/// let (mut parts, body) = Request::post("/").body(Body::from("an upload"))?.into_parts();
/// let refusal = layer.verify(&mut parts).await.unwrap_err();
/// assert_eq!(refusal.rejection().kind(), RejectionKind::Missing);
/// let response = refusal.into_response_draining(body);
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
///
/// let (mut parts, ()) = Request::get("/").body(())?.into_parts();
/// let response = layer.verify(&mut parts).await.unwrap_err().into_response();
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// # Ok(())
/// # }
/// ```
pub struct Refusal(Box<Refused>);

struct Refused {
    rejection: Rejection,
    response: Response<Bytes>,
    draining: Draining,
}

impl Refusal {
    /// Returns why the request is refused. Do not send all of it to the client.
    #[must_use]
    pub fn rejection(&self) -> &Rejection {
        &self.0.rejection
    }

    /// Returns the response. The caller decides what happens to the body of the request.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        self.0.response
    }

    /// Returns the response, and reads the rest of the body of the request [after
    /// it](crate::ApiKeyLayer::drain_refused).
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
    /// Takes all steps of a request, and prepares its head for the handler.
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
