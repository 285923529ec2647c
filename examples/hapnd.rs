//! A command line that keeps the key of its user (hapnd.txt). It is a client of the example
//! `environments`, which has to run beside it and prints the keys, for which `$ACME_LIVE` and
//! `$ACME_TEST` stand:
//!
//! ```sh
//! cargo run --example environments
//! ```
//!
//! ```sh
//! cargo build -p tower-api-key-examples --example hapnd && PATH=$PWD/target/debug/examples:$PATH
//! hapnd login $ACME_LIVE                 # kept in ~/.hapnd/config.json, for its owner only
//! hapnd deploy                           # Deployed to live
//! HAPND_API_KEY=$ACME_TEST hapnd deploy  # Deployed to test
//! hapnd login pk_live_1234               # refused: shows the format of a key
//! hapnd logout
//! hapnd deploy                           # refused: not logged in
//! ```
//!
//! Other users of a machine can see the arguments of its commands, and a shell keeps them in its history.
//! `hapnd login` without a key, or with `-`, reads it from standard input:
//!
//! ```sh
//! hapnd login <key.txt
//! ```
//!
//! `HAPND_URL` is the URL of the server, by default `http://127.0.0.1:3000`. It has to be on this
//! machine, because the example has no TLS. The exit status is 0 for success, 1 for an error, and 2
//! for a wrong command.

use std::env::VarError;
use std::error::Error;
use std::io::{BufRead as _, Read as _};
use std::process::ExitCode;
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Body, Client};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_api_key::KeyFormat;
use tower_api_key::client::{
    AddApiKeyLayer, Advice, ApiKey, Credentials, KeyFault, KeySource, LoadedKey, Problem,
};

const USAGE: &str = "\
usage: hapnd login [<key>]  keep a key, which is read from standard input if it is left out or `-`
       hapnd logout         forget it
       hapnd deploy         send an event with it";

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn credentials() -> Credentials {
    Credentials::new("hapnd").formats([
        KeyFormat::new("sk_live_").stage("live"),
        KeyFormat::new("sk_test_").stage("test"),
    ])
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Arguments that are not Unicode are neither commands nor keys.
    let arguments: Option<Vec<_>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let outcome = match arguments.as_deref() {
        Some(["login"] | ["login", "-"]) => read_key().and_then(|key| login(key.trim_end())),
        Some(["login", key]) => login(key),
        Some(["logout"]) => logout(),
        Some(["deploy"]) => deploy().await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hapnd: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn read_key() -> Result<String> {
    let mut key = String::new();
    // Keys are shorter.
    std::io::stdin().lock().take(4096).read_line(&mut key)?;
    Ok(key)
}

fn login(key: &str) -> Result<String> {
    let credentials = credentials();
    credentials.login(key)?;
    Ok(format!("Logged in: the key is in {}", credentials.path()?.display()))
}

fn logout() -> Result<String> {
    let was_there = credentials().logout()?;
    Ok(if was_there { "Logged out" } else { "You were not logged in" }.to_owned())
}

async fn deploy() -> Result<String> {
    let Some(LoadedKey { key, source, .. }) = credentials().load()? else {
        return Err("you are not logged in: run `hapnd login`, or set HAPND_API_KEY".into());
    };
    let url = match std::env::var("HAPND_URL") {
        Err(VarError::NotPresent) => "http://127.0.0.1:3000".to_owned(),
        url => url?,
    };
    let response = post(&url, &key).await?;
    let (status, advice) = (response.status(), Advice::of(&response));
    let body = reqwest::Response::from(response).bytes().await?;
    if status == StatusCode::CREATED {
        let created: Value = serde_json::from_slice(&body)
            .map_err(|error| format!("what the server answers is not understood: {error}"))?;
        // Nothing else is printed, so that a server cannot write to the terminal.
        let environment = created["environment"].as_str();
        let known = environment.filter(|name| ["live", "test"].contains(name));
        let environment = known.unwrap_or("an unknown environment");
        return Ok(format!("Deployed to {environment}"));
    }
    Err(refusal(status, &advice, &body, &source).into())
}

/// Sends an event. The key goes only to this server: redirects are not followed.
async fn post(url: &str, key: &ApiKey) -> Result<Response<Body>> {
    let with_key =
        AddApiKeyLayer::bearer(key, [url]).map_err(|error| format!("HAPND_URL: {error}"))?;
    let client = Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(30));
    // A proxy would see the key, which is sent without TLS.
    let client = client.no_proxy().build()?;
    let event = json!({ "type": "deploy" }).to_string();
    let request = Request::post(format!("{url}/v1/events"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(event))?;
    let send = service_fn(async |request: Request<Body>| {
        client.execute(request.try_into()?).await.map(Response::from)
    });
    match ServiceBuilder::new().layer(with_key).service(send).oneshot(request).await {
        Err(error) if error.is_connect() => {
            let cause = causes(&error).last().unwrap_or_default();
            Err(format!("no server answers at {url}: is it running? ({cause})").into())
        }
        response => Ok(response?),
    }
}

fn refusal(status: StatusCode, advice: &Advice, body: &[u8], source: &KeySource) -> String {
    match advice {
        Advice::FixKey(KeyFault::Missing | KeyFault::Invalid) => {
            format!("the server refused the key from {source}: log in again with another one")
        }
        Advice::Wait(time) => format!("try again in {} seconds", time.as_secs()),
        _ => {
            let problem = Problem::parse(body);
            let detail = problem.as_ref().and_then(Problem::detail).unwrap_or("nothing more");
            format!("the server said {status}: {detail}")
        }
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    causes(error).collect::<Vec<_>>().join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = String> + 'a {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string)
}
