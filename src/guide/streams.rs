//! Streams and revocation: open streams end when their key does.
//!
//! A request is checked when it arrives. Its stream may last for hours, and by default the
//! [layer](crate::ApiKeyLayer) continues to check: **when a key is revoked, disabled or removed, when
//! it expires, or when it no longer allows what the request asked for, the layer ends every response
//! body that was admitted with that key and is still being sent.** A stream ends when the next request
//! with its key would be refused, and for the same reason.
//!
//! This needs no setup:
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
//! # Guarantees
//!
//! Once the layer knows of the end of a key, it passes no further byte of the body to the connection,
//! and drops the body. Bytes that were passed before may still arrive. The time depends on the
//! [store](#when-the-layer-knows).
//!
//! A body is checked from its second frame on, and while it waits. A body that is complete with its
//! first frame is not watched: nothing is allocated or registered for it, unless the layer has guards
//! or a policy, or the key is bound to endpoints or addresses. Then the method, the path and the
//! address are kept, in one allocation, for as long as the response lasts.
//!
//! A key that was [rotated](crate::KeyManager) counts as valid until its grace is over.
//!
//! # When a key loses rights
//!
//! When the record of a key has changed, the layer's policy, its guards and the key's restrictions are
//! checked again, with the new record, for the method, the path and the address of the request.
//!
//! * Headers are not kept. If a guard also refuses the old record, it needs something that is no longer
//!   known, and its decision is ignored.
//! * Added or changed restrictions that cannot be checked, such as sites, end the stream: the client
//!   may send a new request.
//! * Guards on routes are not checked again. Those of the layer are, and its policy.
//! * [`StreamWatch::ignore_reductions`](crate::StreamWatch::ignore_reductions) turns this off.
//!
//! # How a stream ends
//!
//! In the way that clients of its kind understand. Each row is a test with that client.
//!
//! | response | ends by | reaction of clients |
//! |---|---|---|
//! | `application/grpc` | trailers with `grpc-status` 16 (7 if the key may do less, 14 if it cannot be verified) and a message | grpcio 1.76, `@grpc/grpc-js` 1.14, tonic 0.14.9 and tonic 0.14.5 return the status and the message |
//! | `application/grpc-web`, `-text` | the frame of trailers, with the same | as above |
//! | `text/event-stream` | the end, after a [last event](crate::StreamWatch::last_event) if one is set | `EventSource` of Chromium 156 and of npm 4.1 asks once more, is refused with 401 and stops; so does `fetch-event-source` 2.0 |
//! | WebSocket | a close frame with code 1008 and a reason, [by its handler](#handlers-and-sockets) | `ws` 8.23 of npm, `websockets` 17 of Python and Chromium return code and reason; their next handshake is refused with 401, and `websockets`, which reconnects by itself, stops |
//! | any other | an error of the body: HTTP/1.1 without the last chunk, HTTP/2 with `RST_STREAM` | reqwest 0.13, curl 7.88 (exit codes 18 and 92) and `fetch` of Node 20 fail, and do not treat the response as complete |
//!
//! A call of the Model Context Protocol (MCP) is answered by an event stream, too. The SDK for
//! TypeScript 1.32 waits for its result until the call's time-out, a minute by default, although the
//! stream has ended; the next call fails with 401. The SDK requests its listening stream again, is
//! refused, and gives up after the second time. A last event tells it at once, in a handler of
//! `notifications/message`:
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
//! Sockets without `TCP_NODELAY` hold back the last bytes of a stream for up to 40 ms, and
//! `axum::serve` does not set it: use `ListenerExt::tap_io`, as in `examples/cluster`.
//!
//! # What clients cannot know
//!
//! Some proxies turn a truncated response into a complete one: nginx without `proxy_http_version 1.1`,
//! Caddy 2.6, lighttpd 1.4 and, towards HTTP/2 clients, HAProxy 2.6 and Varnish 7.1. The guarantee is
//! that the data *stops*. A client that has to know whether a response is complete needs a mark in it:
//! a length, a checksum, a last event.
//!
//! # Handlers and sockets
//!
//! A WebSocket has no body that the layer could end. Run its handler in
//! [`VerifiedKey::while_valid`](crate::VerifiedKey::while_valid), and close it with code 1008:
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
//! The client's next handshake is refused with 401. If a handshake is accepted and then closed, some
//! clients retry at once, endlessly.
//!
//! A handler that has not answered continues when its key ends, because half of its work may be worse
//! than all of it. [`StreamWatch::cancel_handlers`](crate::StreamWatch::cancel_handlers) drops it, and
//! answers with the refusal that a new request would get.
//!
//! # When the layer knows
//!
//! | store | a stream ends |
//! |---|---|
//! | [`MemoryStore`](crate::MemoryStore) | before the change returns |
//! | `CachedStore` that is notified of changes | as soon as it was notified and has loaded the record, also for a change by another node, by SQL or by `api-keys` |
//! | `CachedStore` whose notifications are interrupted | when they are back, and within the period of the next row |
//! | `CachedStore` without a source | at once after changes through it; after others like the next row, by what the cache may still serve |
//! | [`new.or(old)`](crate::store::KeyStoreExt::or) | when one of the two reports it, and within the period of the next row if one of them reports no changes |
//! | any other | within the [period](crate::StreamWatch::recheck_every), 5 seconds, with up to a fifth more |
//!
//! The store is asked
//!
//! * once for a key in a period, however many streams it has, and not at all while it reports all
//!   changes;
//! * for up to a hundred keys at a time;
//! * at most twenty times in any second and four times at once. This includes the time after a lost
//!   subscription, when all keys are asked for, those first that waited longest. Only keys with a
//!   reported change are asked for immediately and together, with at most four such questions at the
//!   same time.
//!
//! So a period is as long as the store takes to be asked for all keys with open streams: above 10 000
//! keys it is longer than 5 seconds, one second for 2000 keys. While the store does not answer, it is
//! asked less and less often. After [a minute](crate::StreamWatch::max_unchecked) without an answer
//! streams end as [unavailable](crate::EndReason::Unavailable). A store of your own reports changes by
//! [`KeyStore::changes`](crate::KeyStore::changes), and finds many keys by
//! [`KeyStore::find_many`](crate::KeyStore::find_many).
//!
//! Keys expire by the layer's [clock](crate::Clock), which is read at every frame, and at least once a
//! second for waiting bodies.
//!
//! One task of tokio's runtime does this for a layer with open streams. Without a runtime, or without
//! its timer, every frame is still checked, but only stores that answer at once wake a waiting body.
//!
//! # Monitoring
//!
//! [`ApiKeyLayer::open_streams`](crate::ApiKeyLayer::open_streams) returns the number of open streams,
//! also for [one key](crate::ApiKeyLayer::open_streams_of). Each end is an `INFO` event of the feature
//! `tracing`, and is reported to [observers](crate::Observe::stream_ended), with the reason, the key
//! and how long the stream had been open.
//!
//! # Turning it off
//!
//! ```
//! use tower_api_key::{ApiKeyLayer, MemoryStore, StreamWatch};
//!
//! let layer = ApiKeyLayer::new(MemoryStore::new()).streams(StreamWatch::off());
//! ```
