//! [`Asked`]: the parts of a request that are judged again.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, header};

use crate::head::RequestHead;

/// The parts of a request that are judged again.
#[derive(Default)]
pub(crate) struct Asked {
    method: Method,
    /// With the query. Empty if the client's path is not known.
    path: String,
    address: Option<IpAddr>,
    /// Whether it may have been a `POST` to a server that ignores the method.
    as_post: bool,
}

thread_local! {
    static RECENT: RefCell<Recent> = const { RefCell::new(Recent { asked: Vec::new(), last: 0 }) };
}

/// The recent requests of a thread. Most of them are over when the next one comes, which reuses their
/// place: nothing is allocated for a request whose response is complete at once.
struct Recent {
    asked: Vec<Arc<Asked>>,
    last: usize,
}

/// The most requests that a thread keeps.
const MOST: usize = 64;

/// The longest path that is written into a reused place.
const LONGEST: usize = 1024;

impl Asked {
    /// Keeps what `head` asks for, and `address` if it matters.
    ///
    /// If it is `secret`, because a key may be in the path, the memory is overwritten after the
    /// request.
    pub(crate) fn of(head: &RequestHead<'_>, address: Option<IpAddr>, secret: bool) -> Arc<Self> {
        // A WebSocket over HTTP/2 is judged as `GET` again.
        let (method, as_post) = (head.judged_method(), head.may_act_as_post());
        let path = head.original_uri().path_and_query().map_or("", PathAndQuery::as_str);
        if path.len() <= LONGEST && !secret {
            let kept = RECENT.try_with(|recent| {
                recent.try_borrow_mut().ok()?.write(|asked| {
                    // Usually it is the same.
                    if asked.method != *method {
                        asked.method.clone_from(method);
                    }
                    asked.path.clear();
                    asked.path.push_str(path);
                    (asked.address, asked.as_post) = (address, as_post);
                })
            });
            if let Ok(Some(asked)) = kept {
                return asked;
            }
        }
        Arc::new(Self { method: method.clone(), path: path.to_owned(), address, as_post })
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns a request that asks for the same, without headers. It has no path if `asked` is not
    /// known.
    pub(crate) fn request(asked: Option<&Self>) -> Request<()> {
        let mut request = Request::new(());
        let Some(asked) = asked else {
            *request.uri_mut() = Uri::from_static("*");
            return request;
        };
        *request.method_mut() = asked.method.clone();
        let path = PathAndQuery::try_from(&*asked.path).ok().filter(|_| !asked.path.is_empty());
        *request.uri_mut() = path.map_or(Uri::from_static("*"), Uri::from);
        if asked.as_post {
            let grpc = HeaderValue::from_static("application/grpc");
            request.headers_mut().insert(header::CONTENT_TYPE, grpc);
        }
        request
    }
}

impl Recent {
    /// Reuses the last place, or the next one if its request is not over.
    #[inline]
    fn write(&mut self, write: impl FnOnce(&mut Asked)) -> Option<Arc<Asked>> {
        if self.asked.get(self.last).is_none_or(|last| Arc::strong_count(last) > 1) {
            self.advance();
        }
        let place = self.asked.get_mut(self.last)?;
        write(Arc::get_mut(place)?);
        Some(Arc::clone(place))
    }

    /// Makes the next place free.
    #[cold]
    fn advance(&mut self) {
        if self.asked.len() < MOST {
            self.last = self.asked.len();
            self.asked.push(Arc::default());
            return;
        }
        self.last = (self.last + 1) % MOST;
        if let Some(place) = self.asked.get_mut(self.last)
            && Arc::get_mut(place).is_none()
        {
            *place = Arc::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(method: &str, path: &str, lines: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().method(method).uri(path);
        let request =
            lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).unwrap();
        Asked::request(Some(&Asked::of(&RequestHead::new(&request), None, false)))
    }

    fn asked(path: &str, secret: bool) -> Arc<Asked> {
        let request = Request::get(path).body(()).unwrap();
        Asked::of(&RequestHead::new(&request), None, secret)
    }

    #[test]
    fn what_is_over_is_written_over_and_what_is_not_stays() {
        let first = asked("/first", false);
        let place = Arc::as_ptr(&first);
        drop(first);
        let second = asked("/second", false);
        assert_eq!(Arc::as_ptr(&second), place);
        let others: Vec<_> = (0..3 * MOST).map(|_| asked("/other", false)).collect();
        assert_eq!((&*second.path, &*others[0].path), ("/second", "/other"));
        drop((second, others));
        RECENT.with_borrow(|recent| assert_eq!(recent.asked.len(), MOST));
    }

    #[test]
    fn neither_what_is_secret_nor_what_is_long_stays() {
        let long = format!("/long{}", "g".repeat(LONGEST));
        for asked in [asked("/secret", true), asked(&long, false)] {
            assert_eq!(Arc::strong_count(&asked), 1);
        }
    }

    #[test]
    fn method_and_path_are_asked_for_again() {
        for method in ["GET", "POST", "CONNECT", "BREW"] {
            let request = again(method, "/a/b?c=d", &[]);
            assert_eq!(
                (request.method().as_str(), request.uri()),
                (method, &"/a/b?c=d".parse().unwrap())
            );
            assert!(!RequestHead::new(&request).may_act_as_post());
        }
        assert_eq!(again("OPTIONS", "*", &[]).uri(), "*");
        assert_eq!(Asked::request(None).uri(), "*");
    }

    #[test]
    fn what_may_have_been_a_post_still_may() {
        let request = again("GET", "/a", &[("content-length", "5")]);
        assert!(RequestHead::new(&request).may_act_as_post());
        let request = again("PUT", "/a", &[("content-type", "application/grpc-web")]);
        assert!(RequestHead::new(&request).may_act_as_post());
    }
}
