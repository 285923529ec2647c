//! Requests over HTTP/2 as no gRPC client would send them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::common::in_time;

/// The path of a method that every health service has.
pub const CHECK: &str = "/grpc.health.v1.Health/Check";

/// A message without fields, as gRPC frames it.
pub const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// What native gRPC sends.
pub const NATIVE: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// What came back over HTTP/2.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Returns the status in the head, as refusals have it.
    pub fn grpc_status(&self) -> Option<&str> {
        self.header("grpc-status")
    }

    /// Tells whether the method of a service ran and answered.
    pub fn was_served(&self) -> bool {
        self.trailers.get("grpc-status").is_some_and(|status| status == "0")
    }
}

/// Sends a request over HTTP/2. A method whose response does not end is not for this.
pub async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    lines: &[(&str, &str)],
    body: &'static [u8],
) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = in_time(handshake).await.unwrap();
    tokio::spawn(connection);
    let request = lines.iter().fold(
        Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .version(Version::HTTP_2),
        |request, (name, value)| request.header(*name, *value),
    );
    let request = request.body(Full::new(Bytes::from_static(body))).unwrap();
    let (head, body) = in_time(client.send_request(request)).await.unwrap().into_parts();
    let body = in_time(body.collect()).await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers }
}
