//! Clients: keys on outgoing requests, the key of a user, and the meaning of refusals.
//!
//! # A key on requests
//!
//! This program calls the server of the README:
//!
//! ```sh
//! cargo add tower-api-key --features client
//! cargo add bytes http http-body-util
//! cargo add hyper-util --features client-legacy,http1,tokio
//! cargo add tower --features retry,util
//! cargo add tokio --features macros,rt-multi-thread
//! ```
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use tower::retry::RetryLayer;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_api_key::client::{AddApiKeyLayer, Advice, ApiKey, RetryPolicy};
//!
//! fn explain<B>(response: &Response<B>) -> String {
//!     match Advice::of(response) {
//!         Advice::Proceed => "done".to_owned(),
//!         Advice::FixKey(fault) => fault.to_string(),
//!         Advice::Wait(time) => format!("try again in {} seconds", time.as_secs()),
//!         _ => format!("failed: {}", response.status()),
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let key: ApiKey = std::env::var("API_KEY")?.parse()?;
//!     let client = ServiceBuilder::new()
//!         .layer(RetryLayer::new(RetryPolicy::new().max_wait(Duration::from_secs(10))))
//!         .layer(AddApiKeyLayer::bearer(&key, ["http://127.0.0.1:3000"])?)
//!         .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
//!
//!     let request = Request::get("http://127.0.0.1:3000/bots").body(Full::default())?;
//!     let response = client.oneshot(request).await?;
//!     println!("{}", explain(&response));
//!     Ok(())
//! }
//! ```
//!
//! * [`AddApiKeyLayer`](crate::client::AddApiKeyLayer) sends the key only to the given origins,
//!   compared by whole scheme, host and port. `http://` is allowed only for this machine, except by
//!   [`Origin::in_plain_text`](crate::client::Origin::in_plain_text). The key is sent as Bearer, as
//!   `x-api-key` or in a header of your own, marked as sensitive. A key that the caller has set stays,
//!   and no second one is added.
//! * Proxies can read requests to `http://`, even those to this machine: a client for such an origin
//!   must not use a proxy, such as by `no_proxy()` of `reqwest`.
//! * Follow redirects outside of the layer (tower-http's `FollowRedirectLayer`). A client that follows
//!   them inside copies `x-api-key` to any host: set `redirect::Policy::none()` for `reqwest`.
//! * Make a tonic client by `with_origin`: otherwise it sends no origin and gets no key.
//! * [`RetryPolicy`](crate::client::RetryPolicy) waits as long as the server says, or returns its
//!   response if that exceeds the cap. It retries a 429 for every method, a 503 for idempotent ones,
//!   and never a wrong key or a failed connection.
//!
//! # The meaning of a response
//!
//! [`Advice`](crate::client::Advice) is read from the status, the challenge, `Retry-After` and
//! `RateLimit`, or from a gRPC status. [`Problem`](crate::client::Problem) is the server's description
//! of the error.
//!
//! ```
//! use std::time::Duration;
//!
//! use http::Response;
//! use tower_api_key::client::Advice;
//!
//! let ok = Response::builder().status(200).body(())?;
//! assert_eq!(Advice::of(&ok), Advice::Proceed);
//! let limited = Response::builder().status(429).header("retry-after", "30").body(())?;
//! assert_eq!(Advice::of(&limited), Advice::Wait(Duration::from_secs(30)));
//! # Ok::<_, http::Error>(())
//! ```
//!
//! # The key of a user
//!
//! A command-line program stores the key of its user with [`Credentials`](crate::client::Credentials):
//!
//! ```sh
//! cargo add tower-api-key --features client
//! ```
//!
//! ```no_run
//! use tower_api_key::KeyFormat;
//! use tower_api_key::client::Credentials;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let credentials = Credentials::new("hapnd") // ~/.hapnd/config.json, unless HAPND_API_KEY is set
//!         .formats([KeyFormat::new("sk_live_"), KeyFormat::new("sk_test_")]);
//!
//!     let mut text = String::new();
//!     std::io::stdin().read_line(&mut text)?;
//!     credentials.login(&text)?; // an error that describes the format unless it is a key
//!     if let Some(loaded) = credentials.load()? {
//!         println!("with the key from {}", loaded.source);
//!     }
//!     credentials.logout()?;
//!     Ok(())
//! }
//! ```
//!
//! * An environment variable overrides the file. If its value is not a key, or is empty, that is an
//!   error that names the variable; the file is not read.
//! * Only its owner can read the file: it has mode 0600 whatever the umask is, in a folder with mode
//!   0700. It is written beside the old one and renamed, so that a full disk or a crash leaves the old
//!   one. Other members of the JSON are kept, and a file that does not parse is not changed. If a login
//!   and another tool write at the same moment, the last one wins.
//! * A file is refused if its group or others may read or write it (the error says `chmod 600 …`), if
//!   it belongs to another user, or if it is not a regular file, such as a symbolic link or a pipe. The
//!   open file is checked, so that it cannot be exchanged in between.
//! * No error shows a key, whether it is valid or not.
//! * [`in_config_folder`](crate::client::Credentials::in_config_folder) stores the file in the
//!   platform's configuration folder, and [`at`](crate::client::Credentials::at) at a path of your
//!   choice. On Windows, files are as private as the user's profile; modes and owners are not checked
//!   there.
//!
//! Example: `hapnd`.
