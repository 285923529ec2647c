//! Streams and revocation: what is open ends when its key does.
//!
//! A request is judged when it comes. A stream that it opened may last for hours, and by default the
//! [layer](crate::ApiKeyLayer) goes on judging: **when a key is revoked, disabled or removed, when it
//! expires, or when it may not do any more what the request asked for, the layer ends every response
//! body that was let through with that key and is still being sent.** A stream ends when the next
//! request with its key would be refused, and for the same reason.
//!
//! Nothing has to be set up for that:
//!
//! ```
//! use axum::response::sse::{Event, Sse};
//! use axum::{Router, routing::get};
//! use futures_util::stream;
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! async fn events() -> Sse<impl stream::Stream<Item = Result<Event, axum::Error>>> {
//!     Sse::new(stream::repeat_with(|| Ok(Event::default().data("tick"))))
//! }
//! let keys = MemoryStore::new();
//! let app: Router = Router::new().route("/events", get(events)).layer(ApiKeyLayer::new(keys));
//! ```
//!
//! # What is promised
//!
//! After the end of a key is known to the layer, it hands no byte of the body to the connection, and drops
//! what made the frames. What was handed over before may still be on its way. When the end is known
//! depends on the [store](#when-the-layer-knows).
//!
//! A body is compared from its second frame on, and while it waits. What is whole with its first frame
//! is not watched: nothing is allocated or put on a list for it, unless the layer has guards or a policy, or
//! the key is bound to endpoints or addresses. Then the method, the path and the address are kept, in one
//! allocation, for as long as the response lasts.
//!
//! A key that was [rotated](crate::KeyManager) counts as valid until its grace is over.
//!
//! # What a key may not do any more
//!
//! When the record of a key has changed, the layer's policy, its guards and the key's restrictions are
//! asked again, with the record as it is now, for the method, the path and the address of the request.
//!
//! * Headers are not kept. A guard that refuses the key as it was, too, asks for something that is not
//!   known any more, and what it says is ignored.
//! * Restrictions that were added or changed and that cannot be compared, such as sites, end the stream:
//!   the client may ask anew.
//! * Guards on routes are not asked again. Those of the layer are, and its policy.
//! * [`StreamWatch::ignore_reductions`](crate::StreamWatch::ignore_reductions) leaves all this away.
//!
//! # How a stream ends
//!
//! As clients of its kind understand it. Each row is a test with that client.
//!
//! | response | ends by | what clients make of it |
//! |---|---|---|
//! | `application/grpc` | trailers with `grpc-status` 16 (7 if the key may do less, 14 if it cannot be verified) and a message | grpcio 1.76, `@grpc/grpc-js` 1.14, tonic 0.14.9 and tonic 0.14.5 return the status and the message |
//! | `application/grpc-web`, `-text` | the frame of trailers, with the same | as above |
//! | `text/event-stream` | the end, after a [last event](crate::StreamWatch::last_event) if one is set | `EventSource` of Chromium 156 and of npm 4.1 asks once more, is refused with 401 and stops; so does `fetch-event-source` 2.0 |
//! | WebSocket | a close frame with code 1008 and a reason, [by its handler](#handlers-and-sockets) | `ws` 8.23 of npm, `websockets` 17 of Python and Chromium return code and reason; their next handshake is refused with 401, and `websockets`, which connects again by itself, stops |
//! | any other | an error of the body: HTTP/1.1 without the last chunk, HTTP/2 with `RST_STREAM` | reqwest 0.13, curl 7.88 (exit codes 18 and 92) and `fetch` of Node 20 fail, and take nothing for whole |
//!
//! A call of the Model Context Protocol (MCP) is answered by an event stream, too. The SDK for TypeScript 1.32 waits
//! for its result until the call's time-out, a minute by default, though the stream has ended; the next call fails
//! with 401. The stream on which it listens is asked for again, refused, and given up after the second time. A last
//! event tells it at once, to a handler of `notifications/message`:
//!
//! ```
//! use serde_json::json;
//! use tower_api_key::StreamWatch;
//!
//! let streams = StreamWatch::new().last_event(|ended| {
//!     let message = json!({
//!         "jsonrpc": "2.0",
//!         "method": "notifications/message",
//!         "params": { "level": "error", "data": ended.to_string() },
//!     });
//!     Some(format!("event: message\ndata: {message}\n\n").into())
//! });
//! ```
//!
//! # Delay on the way
//!
//! The few bytes by which a stream ends are held back for up to 40 ms by sockets without `TCP_NODELAY`, which
//! `axum::serve` does not set: use `ListenerExt::tap_io`, as `examples/cluster` does.
//!
//! # What clients cannot know
//!
//! Some proxies make a whole answer of one that was cut: nginx without `proxy_http_version 1.1`, Caddy
//! 2.6, lighttpd 1.4 and, towards clients of HTTP/2, HAProxy 2.6 and Varnish 7.1. The promise is that
//! what is sent *stops*. Who has to know whether an answer is whole needs a mark in it: a length, a
//! checksum, a last event.
//!
//! # Handlers and sockets
//!
//! A WebSocket has no body that the layer could end. Its handler runs by
//! [`VerifiedKey::while_valid`](crate::VerifiedKey::while_valid), and closes with code 1008:
//!
//! ```
//! use tower_api_key::VerifiedKey;
//!
//! # struct Socket;
//! # impl Socket { async fn close(&mut self, _: u16, _: String) {} }
//! # async fn serve(_: &mut Socket) {}
//! async fn on_socket(key: VerifiedKey, mut socket: Socket) {
//!     if let Err(ended) = key.while_valid(serve(&mut socket)).await {
//!         socket.close(1008, ended.to_string()).await;
//!     }
//! }
//! ```
//!
//! The client's next handshake is refused with 401. A handshake that is accepted and then closed has
//! some clients try again at once, for ever.
//!
//! A handler that has not answered yet goes on when its key ends, because half of what it does may be
//! worse than all of it. [`StreamWatch::cancel_handlers`](crate::StreamWatch::cancel_handlers) drops it,
//! and answers with the refusal that a new request would get.
//!
//! # When the layer knows
//!
//! | store | a stream ends |
//! |---|---|
//! | [`MemoryStore`](crate::MemoryStore) | before the change returns |
//! | `CachedStore` that hears of changes | as soon as it has heard of the change and loaded the record, also of a change by another node, by SQL or by `api-keys` |
//! | `CachedStore` that does not hear at the moment | when it hears again, and within the period of the next row |
//! | `CachedStore` without a source | at once after changes through it; after others as the next row says, by what the cache may still serve |
//! | [`new.or(old)`](crate::store::KeyStoreExt::or) | as one of the two tells, and within the period of the next row if one of them tells of nothing |
//! | any other | within the [period](crate::StreamWatch::recheck_every), 5 seconds, with up to a fifth more |
//!
//! The store is asked
//!
//! * once for a key in a period, however many streams it has, and not at all while it tells of all changes;
//! * for up to a hundred keys at a time;
//! * at most twenty times in any second and four times at once, also after a subscription was lost, when
//!   all keys are asked for: those first that have waited for the longest time. Only a key of which the store
//!   says that it was changed is asked for at once, with others of which it says so, and four times at once
//!   at most.
//!
//! So a period is as long as the store has to be asked for all keys with open streams: above 10 000 it grows
//! beyond 5 seconds, 2000 keys for each. While the store does not answer, it is
//! asked less and less often. After [a minute](crate::StreamWatch::max_unchecked) without an answer
//! streams end as [unavailable](crate::EndReason::Unavailable). A store of your own tells by
//! [`KeyStore::changes`](crate::KeyStore::changes), and finds many keys by
//! [`KeyStore::find_many`](crate::KeyStore::find_many).
//!
//! Keys expire by the layer's [clock](crate::Clock): it is asked at every frame, and at least once a
//! second for bodies that wait.
//!
//! One task of tokio's runtime does this for a layer with open streams. Without a runtime, or without its
//! timer, every frame is compared all the same, but a body that waits is woken only by stores that answer
//! at once.
//!
//! # What can be seen
//!
//! [`ApiKeyLayer::open_streams`](crate::ApiKeyLayer::open_streams) counts, also for
//! [one key](crate::ApiKeyLayer::open_streams_of). Each end is an event of the feature `tracing`, at
//! `INFO`, and a moment for [observers](crate::Observe::stream_ended), with the reason, the key and how
//! long the stream had been open.
//!
//! # Turning it off
//!
//! ```
//! use tower_api_key::{ApiKeyLayer, MemoryStore, StreamWatch};
//!
//! let layer = ApiKeyLayer::new(MemoryStore::new()).streams(StreamWatch::off());
//! ```
