//! Errors of connecting, with advice.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::{Client, ConnectionAddr, RedisError};

/// Names the server, which errors of the system and of a server do not.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {address}: {source}{advice}")]
struct CannotConnect {
    address: String,
    source: RedisError,
    advice: &'static str,
}

type Shared = Arc<dyn Error + Send + Sync>;

const IS_IT_TLS: &str = ". It did not answer as TLS does: if the server does not speak it, its URL \
     begins with `redis://`";

const IS_IT_PLAIN: &str = ". It may speak TLS only: its URL begins with `rediss://` then";

/// Adds the address to an error, and a possible cause.
pub(super) fn cannot_connect(client: &Client, source: RedisError) -> RedisError {
    let kind = kind(&source);
    let address = client.get_connection_info().addr();
    let advice = match address {
        ConnectionAddr::TcpTls { .. } if may_be_of_another_protocol(kind) => IS_IT_TLS,
        ConnectionAddr::Tcp(..) if kind == io::ErrorKind::UnexpectedEof || was_reset(kind) => {
            IS_IT_PLAIN
        }
        _ => "",
    };
    io::Error::new(kind, CannotConnect { address: address.to_string(), source, advice }).into()
}

pub(super) fn no_answer() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, "Redis did not answer in time").into()
}

/// Returns the system's error, if it is one.
fn kind(error: &RedisError) -> io::ErrorKind {
    // What the crate names as the source is the pointer to it.
    let source = error.source().and_then(|source| source.downcast_ref::<Shared>());
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    source.map_or(io::ErrorKind::Other, io::Error::kind)
}

/// A server without TLS reads a TLS greeting as the start of a command and waits for its end, or
/// answers to it, or closes the connection.
/// answers to it, or closes the connection.
fn may_be_of_another_protocol(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{InvalidData, TimedOut, UnexpectedEof};

    matches!(kind, InvalidData | TimedOut | UnexpectedEof) || was_reset(kind)
}

fn was_reset(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_stays_what_it_is() {
        let client = Client::open("redis://127.0.0.1:7").unwrap();
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = cannot_connect(&client, refused.into());
        assert!(error.is_connection_refusal() && error.is_connection_dropped());
        assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:7: "), "{error}");
        assert!(cannot_connect(&client, no_answer()).is_timeout());
        let closed = cannot_connect(&client, io::Error::from(io::ErrorKind::UnexpectedEof).into());
        assert!(closed.to_string().contains("`rediss://`"), "{closed}");
    }
}
