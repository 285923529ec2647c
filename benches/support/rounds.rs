//! Services that are measured in turn, batch by batch, so that what else the machine does falls on all.

use std::convert::Infallible;
use std::task::{Context, Waker};
use std::time::Instant;

use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use tower::Service;

use super::{BATCH, request};

/// How many batches each service gets.
const ROUNDS: usize = 3000;

/// Serves a batch, and returns what a request took, in nanoseconds.
pub type Batch<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Returns what serves batches of requests with these headers.
pub fn batch<'a, S, B, R>(mut service: S, headers: &'a [(&'static str, &'a str)]) -> Batch<'a>
where
    B: Default + 'a,
    R: 'a,
    S: Service<Request<B>, Response = Response<R>, Error = Infallible> + 'a,
{
    Box::new(move || {
        let mut context = Context::from_waker(Waker::noop());
        let requests: [_; BATCH as usize] = std::array::from_fn(|_| request(headers));
        let started = Instant::now();
        for request in requests {
            assert!(service.poll_ready(&mut context).is_ready());
            let response = service.call(request).now_or_never().unwrap().unwrap();
            assert_eq!(response.status(), StatusCode::OK);
        }
        started.elapsed().as_secs_f64() * 1e9 / BATCH as f64
    })
}

/// Returns the median of each service.
pub fn medians<const N: usize>(mut services: [Batch<'_>; N]) -> [f64; N] {
    let mut times = [(); N].map(|()| Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        for (batch, times) in services.iter_mut().zip(&mut times) {
            times.push(batch());
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    })
}
