//! Open streams and sockets: they end when the key does with which they were opened.
//!
//! 1. [`admission`]: what is kept of a request that was let through.
//! 2. [`stream`]: one open stream, which compares at every frame and waits between them.
//! 3. [`entry`]: the one place for a key, however many streams it has.
//! 4. [`registry`]: the keys of all open streams of a layer, and what the store says of changes.
//! 5. [`task`]: asks the clock and the store, while there are open streams.
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
