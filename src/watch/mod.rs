//! Open streams and sockets, which end with the key that opened them.
//!
//! 1. [`admission`]: what is kept of an admitted request.
//! 2. [`stream`]: one open stream, which checks at every frame and waits in between.
//! 3. [`entry`]: the shared state of a key, for all its streams.
//! 4. [`registry`]: the keys of all open streams of a layer, and the store's notifications of changes.
//! 5. [`task`]: asks the clock and the store while there are open streams.
//! 6. [`ended`]: why a stream ended.

mod admission;
mod asked;
mod authority;
mod ended;
mod entry;
mod handler;
mod registry;
mod schedule;
mod settings;
mod stream;
mod streams;
mod task;
mod wakers;
mod watcher;

pub use self::ended::{EndReason, KeyEnded};
pub use self::settings::StreamWatch;

pub(crate) use self::admission::Admission;
pub(crate) use self::asked::Asked;
pub(crate) use self::authority::Authority;
pub(crate) use self::schedule::Kind;
pub(crate) use self::stream::Stream;
pub(crate) use self::streams::Streams;
pub(crate) use self::watcher::Watcher;
