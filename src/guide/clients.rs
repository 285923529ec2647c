//! Clients: a key on outgoing requests, the key of a user, and what refusals say.
//!
//! # A key on requests
//!
//! This program calls the one of the README:
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
//! * [`AddApiKeyLayer`](crate::client::AddApiKeyLayer) sends the key to the origins it was given, by whole scheme, host
//!   and port, and nowhere else: `http://` only on this machine, unless
//!   [`Origin::in_plain_text`](crate::client::Origin::in_plain_text) says otherwise. It is sent as Bearer, as `x-api-key`
//!   or in a header of your own, and is marked as sensitive. A key that the caller set stays, and no second one is
//!   added.
//! * Proxies see what goes to `http://`, also to this machine: a client for such an origin needs to use none, as by
//!   `no_proxy()` of `reqwest`.
//! * Redirects are followed outside of the layer (tower-http's `FollowRedirectLayer`). A client that follows them within
//!   copies `x-api-key` to any host: give `reqwest` `redirect::Policy::none()`.
//! * A client of tonic is made by `with_origin`, or it sends no origin and gets no key.
//! * [`RetryPolicy`](crate::client::RetryPolicy) waits as long as the server says, or returns its answer if that is
//!   longer than the cap. 429 is tried again for every method, 503 for idempotent ones, a wrong key and a failed
//!   connection never.
//!
//! # What an answer says
//!
//! [`Advice`](crate::client::Advice) is read from the status, the challenge, `Retry-After` and `RateLimit`, and from a
//! gRPC status. [`Problem`](crate::client::Problem) is what the server says in words.
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
//! A command line keeps the key of its user with [`Credentials`](crate::client::Credentials):
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
//!     credentials.login(&text)?; // refused unless it is a key, with words on what one looks like
//!     if let Some(loaded) = credentials.load()? {
//!         println!("with the key from {}", loaded.source);
//!     }
//!     credentials.logout()?;
//!     Ok(())
//! }
//! ```
//!
//! * An environment variable overrides the file. If it is set to something that is no key, or to nothing, that is an
//!   error which names the variable; the file is not asked instead.
//! * The file is for its owner only: mode 0600 whatever the umask is, in a folder of mode 0700. It is written beside and
//!   renamed, so that a full disk or a crash leaves the old one. What other tools wrote into the JSON is kept, and a file
//!   that does not parse is left alone. A login and another tool that write at the same moment are not told apart: the
//!   last one counts.
//! * A file is refused if its group or others may read or write it (the error says `chmod 600 …`), if it is another
//!   user's, or if it is a symbolic link, a pipe or anything else but a regular file. That is checked on the open file,
//!   so that it cannot be swapped in between.
//! * No error shows a key, neither a right nor a wrong one.
//! * [`in_config_folder`](crate::client::Credentials::in_config_folder) keeps the file where the platform keeps such
//!   files, and [`at`](crate::client::Credentials::at) where you say. On Windows, files are as private as the user's
//!   profile is; modes and owners are not checked there.
//!
//! Example: `hapnd`.
