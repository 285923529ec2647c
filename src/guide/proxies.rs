//! Behind proxies: what they do to keys, refusals and addresses, and how to set them.
//!
//! Each row was tried with the layer behind the proxy (`tests/all --test request behind_proxies`): nginx 1.22, HAProxy
//! 2.6, Apache 2.4, Squid 5.7, Varnish 7.1, Traffic Server 9.2, Caddy 2.6 and lighttpd 1.4, each with its defaults but
//! for what is named.
//!
//! # Keys
//!
//! | proxy | `x-api-key` | `Authorization` | two `x-api-key` lines |
//! |---|---|---|---|
//! | nginx, Traffic Server, HAProxy, Varnish, Caddy | passes | passes; nginx answers 400 to two lines | pass: 400 by the layer |
//! | Apache, lighttpd | passes | passes | are joined to one: 401 by the layer |
//! | Squid | passes | **is removed**, unless `cache_peer` has `login=PASSTHRU` | pass: 400 by the layer |
//!
//! nginx drops headers whose name has an underscore, such as `x_api_key`.
//!
//! # Refusals
//!
//! All of them hand on 401, 403, 429 and 503 as they are, with `WWW-Authenticate`, `Retry-After`, `RateLimit` and the
//! body. What some settings make of them:
//!
//! | setting | does |
//! |---|---|
//! | nginx, `auth_request` | hands on 401 and 403 with a page of its own, **makes 500 of 429 and 503**, and drops `Retry-After`: see [judging for a proxy](crate::reject#judging-for-a-proxy) |
//! | Caddy, `forward_auth` | hands on every refusal as it is |
//! | nginx, `proxy_next_upstream http_429` | asks the next node, and **takes nodes out**: two requests with a limited key, and everybody gets 502 for 10 seconds |
//! | nginx, `proxy_next_upstream http_503` | the same, when a store cannot be reached |
//! | Apache, `failonstatus=429` | takes the node out for a minute, while another is left |
//! | Caddy, `unhealthy_status 429` with `fail_duration` | takes nodes out: 503 for everybody |
//! | HAProxy, `observe layer7` with `on-error mark-down` | 401, 403 and 429 are no errors; a 503 is one and takes the node out, though the other nodes have the same store |
//! | HAProxy, `retry-on` | knows no 429 |
//!
//! So let no proxy count a 429: it is the fault of one client. A 503 says that the store cannot be reached, which is
//! mostly the same for all nodes: leave it to health checks.
//!
//! # Addresses
//!
//! | proxy | `X-Forwarded-For` |
//! |---|---|
//! | Apache, Squid, Varnish, Traffic Server, lighttpd | append the address of the client to what the client sent |
//! | Caddy | overwrites it with the address of the client |
//! | nginx, HAProxy | **hand on what the client sent**, until they are told otherwise |
//!
//! | to set | |
//! |---|---|
//! | nginx | `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;` |
//! | HAProxy | `option forwardfor` (it adds a line of its own, which is read as the last entry) |
//!
//! A proxy that is trusted and appends nothing lets every client choose its address. All hand on a `Forwarded` that the
//! client sent, so read [that](crate::TrustedProxies::forwarded_header) only behind a proxy that overwrites it.
//!
//! ```
//! use http::Request;
//! use tower_api_key::{ApiKeyLayer, MemoryStore, PeerAddress, RequestHead, TrustedProxies};
//!
//! // The addresses of the proxies, and not of a network in which clients are as well.
//! let proxies = TrustedProxies::networks(["10.0.0.2", "10.0.0.3"]);
//! let layer = ApiKeyLayer::new(MemoryStore::new()).trusted_proxies(proxies.clone());
//!
//! // The client at 198.51.100.7 says that it is another.
//! let mut request = Request::get("/").header("x-forwarded-for", "203.0.113.9, 198.51.100.7").body(())?;
//! request.extensions_mut().insert(PeerAddress(([10, 0, 0, 2], 50000).into()));
//! let address = proxies.client_address(&RequestHead::new(&request));
//! assert_eq!(address, Some([198, 51, 100, 7].into()));
//! # Ok::<_, http::Error>(())
//! ```
//!
//! A proxy that does not say for whom it asks is not the client, and a key that is restricted to addresses is refused;
//! [`may_be_clients`](crate::TrustedProxies::may_be_clients) is for health checks of the proxies themselves. axum has to
//! serve with `into_make_service_with_connect_info::<SocketAddr>()`.
//!
//! # Paths
//!
//! Policies and endpoints of keys judge the path that arrives. Apache and lighttpd make `/b` of `/a/../b` and of
//! `/a/%2e%2e/b`, and `/a/b` of `/a//b`; of `/a%2Fb` lighttpd makes `/a/b`, and Apache answers 404. The others hand paths on
//! as they are (nginx where `proxy_pass` has no path), and the layer refuses those that could be read in two ways.
//!
//! # Caches
//!
//! A response to a key is `Cache-Control: private`, unless the handler has a `Cache-Control` of its own, and every
//! response has one `Vary` line with the headers in which a key may be. Layers outside that add `Vary` lines, such as
//! those for CORS and compression, need a [`JoinVary`](crate::JoinVary) outside of them: nginx 1.22 and Traffic Server 9.2
//! read one line only. Tested with both, Varnish, Squid and Apache. A cache that ignores `Vary`, as some CDNs do, must not
//! keep responses to keys.
//!
//! # Uploads that are refused
//!
//! An upload that is refused is answered at once, and what is left of it is read and dropped behind the answer, up to
//! 64 MiB within 30 seconds ([`drain_refused`](crate::ApiKeyLayer::drain_refused)). Otherwise the server closes the
//! connection while the client still sends, and the answer is lost: two uploads with a wrong key had nginx take both nodes
//! of an upstream for broken, and answer 502 to everybody. The same holds for guards on routes and for the management API.
//! Longer bodies are held for two seconds, in which nginx reads the answer. The extractor `VerifiedKey` does not see the
//! body: where keys are optional, a guard refuses uploads better.
//!
//! # Streams
//!
//! A response that ends with its key is cut. Some proxies make a whole answer of that:
//! see [what clients cannot know](super::streams#what-clients-cannot-know).
