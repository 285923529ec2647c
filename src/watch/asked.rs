//! [`Asked`]: what a request asked for, as far as it is judged again.

use std::net::IpAddr;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, header};

use crate::head::RequestHead;

/// What a request asked for, as far as it is judged again.
pub(crate) struct Asked {
    method: Method,
    /// None if what the client sent is not known.
    path: Option<PathAndQuery>,
    address: Option<IpAddr>,
    /// Whether it may have been a `POST` to a server that does not look at the method.
    as_post: bool,
}

impl Asked {
    /// Keeps what `head` asks for, from `address` if that matters.
    pub(crate) fn of(head: &RequestHead<'_>, address: Option<IpAddr>) -> Self {
        Self {
            // A WebSocket over HTTP/2 is judged as a `GET` again.
            method: head.judged_method().clone(),
            path: head.original_uri().path_and_query().cloned(),
            address,
            as_post: head.may_act_as_post(),
        }
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
        *request.uri_mut() = asked.path.clone().map_or(Uri::from_static("*"), Uri::from);
        if asked.as_post {
            let grpc = HeaderValue::from_static("application/grpc");
            request.headers_mut().insert(header::CONTENT_TYPE, grpc);
        }
        request
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
        Asked::request(Some(&Asked::of(&RequestHead::new(&request), None)))
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
