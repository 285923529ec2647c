//! Behind proxies: their effects on keys, refusals and addresses, and how to configure them.
//!
//! Each row was tested with the layer behind the proxy (`tests/all --test request behind_proxies`):
//! nginx 1.22, HAProxy 2.6, Apache 2.4, Squid 5.7, Varnish 7.1, Traffic Server 9.2, Caddy 2.6 and
//! lighttpd 1.4, each with its defaults except for the named settings.
//!
//! # Keys
//!
//! | proxy | `x-api-key` | `Authorization` | two `x-api-key` lines |
//! |---|---|---|---|
//! | nginx, Traffic Server, HAProxy, Varnish, Caddy | passes | passes; nginx answers 400 to two lines | pass: 400 by the layer |
//! | Apache, lighttpd | passes | passes | are joined into one: 401 by the layer |
//! | Squid | passes | **is removed**, unless `cache_peer` has `login=PASSTHRU` | pass: 400 by the layer |
//!
//! nginx drops headers whose name has an underscore, such as `x_api_key`.
//!
//! # Refusals
//!
//! All of them forward 401, 403, 429 and 503 unchanged, with `WWW-Authenticate`, `Retry-After`,
//! `RateLimit` and the body. Some settings change that:
//!
//! | setting | effect |
//! |---|---|
//! | nginx, `auth_request` | forwards 401 and 403 with a page of its own, **turns 429 and 503 into 500**, and drops `Retry-After`: see [authorization for a proxy](crate::reject#authorization-for-a-proxy) |
//! | Caddy, `forward_auth` | forwards every refusal unchanged |
//! | nginx, `proxy_next_upstream http_429` | asks the next node, and **takes nodes out**: after two requests with a limited key, everyone gets a 502 for 10 seconds |
//! | nginx, `proxy_next_upstream http_503` | the same, when a store cannot be reached |
//! | Apache, `failonstatus=429` | takes the node out for a minute, while another is left |
//! | Caddy, `unhealthy_status 429` with `fail_duration` | takes nodes out: everyone gets a 503 |
//! | HAProxy, `observe layer7` with `on-error mark-down` | 401, 403 and 429 are not errors; a 503 is one and takes the node out, although the other nodes have the same store |
//! | HAProxy, `retry-on` | does not support 429 |
//!
//! So let no proxy count a 429: it is caused by one client. A 503 means that the store cannot be
//! reached, usually for all nodes: leave it to health checks.
//!
//! # Addresses
//!
//! | proxy | `X-Forwarded-For` |
//! |---|---|
//! | Apache, Squid, Varnish, Traffic Server, lighttpd | append the address of the client to what the client sent |
//! | Caddy | overwrites it with the address of the client |
//! | nginx, HAProxy | **forward what the client sent**, unless configured |
//!
//! | configure | |
//! |---|---|
//! | nginx | `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;` |
//! | HAProxy | `option forwardfor` (it adds a line of its own, which is read as the last entry) |
//!
//! If a trusted proxy appends nothing, every client can choose its address. All proxies forward a
//! `Forwarded` header of the client, so use
//! [`forwarded_header`](crate::TrustedProxies::forwarded_header) only behind a proxy that overwrites
//! it.
//!
//! ```
//! use http::Request;
//! use tower_api_key::{ApiKeyLayer, MemoryStore, PeerAddress, RequestHead, TrustedProxies};
//!
//! // The addresses of the proxies, not a network with clients in it.
//! let proxies = TrustedProxies::networks(["10.0.0.2", "10.0.0.3"]);
//! let layer = ApiKeyLayer::new(MemoryStore::new()).trusted_proxies(proxies.clone());
//!
//! // The client at 198.51.100.7 claims another address.
//! let mut request = Request::get("/").header("x-forwarded-for", "203.0.113.9, 198.51.100.7").body(())?;
//! request.extensions_mut().insert(PeerAddress(([10, 0, 0, 2], 50000).into()));
//! let address = proxies.client_address(&RequestHead::new(&request));
//! assert_eq!(address, Some([198, 51, 100, 7].into()));
//! # Ok::<_, http::Error>(())
//! ```
//!
//! If a proxy does not name its client, the client's address is unknown, and a key that is restricted
//! to addresses is refused; [`may_be_clients`](crate::TrustedProxies::may_be_clients) is for health
//! checks of the proxies themselves. With axum, serve with
//! `into_make_service_with_connect_info::<SocketAddr>()`.
//!
//! # Paths
//!
//! Policies and endpoints of keys judge the path that arrives. Apache and lighttpd turn `/a/../b` and
//! `/a/%2e%2e/b` into `/b`, and `/a//b` into `/a/b`. lighttpd turns `/a%2Fb` into `/a/b`, and Apache
//! answers 404. The others forward paths unchanged (nginx if `proxy_pass` has no path), and the layer
//! refuses those that servers could read in two ways.
//!
//! # Caches
//!
//! A response to a key has `Cache-Control: private`, unless the handler sets `Cache-Control`, and every
//! response has one `Vary` line with the headers in which a key may be. Outer layers that add `Vary`
//! lines, such as those for CORS and compression, need a [`JoinVary`](crate::JoinVary) outside of them:
//! nginx 1.22 and Traffic Server 9.2 read only one line. Tested with both, Varnish, Squid and Apache. A
//! cache that ignores `Vary`, as some CDNs do, must not keep responses to keys.
//!
//! # Refused uploads
//!
//! A refused upload is answered at once, and the rest of it is read and dropped after the answer, up to
//! 64 MiB within 30 seconds ([`drain_refused`](crate::ApiKeyLayer::drain_refused)). Otherwise the
//! server closes the connection while the client still sends, and the answer is lost: after two uploads
//! with a wrong key, nginx treated both nodes of an upstream as broken, and answered 502 to everyone.
//! The same applies to guards on routes and to the management API. Connections with longer bodies stay
//! open for two seconds, in which nginx reads the answer. The extractor `VerifiedKey` does not see the
//! body: if keys are optional, refuse uploads by a guard instead.
//!
//! # Streams
//!
//! A response that ends with its key is truncated. Some proxies turn that into a complete response: see
//! [what clients cannot know](super::streams#what-clients-cannot-know).
