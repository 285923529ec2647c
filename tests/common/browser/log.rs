//! What the browser notes: the errors of its console, and the requests of the page.

use serde_json::{Value, json};

use super::{Browser, Command};

/// A request that the page made, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub method: String,
    pub url: String,
    /// What a form or a script sent.
    pub body: Option<String>,
    /// That of the answer, if there was one.
    pub status: Option<u16>,
    /// Why there was none, such as `csp` or `net::ERR_CONNECTION_REFUSED`.
    pub error: Option<String>,
}

impl Browser {
    /// Returns what the console has had of errors since it was asked last: those of scripts, what
    /// a policy (CSP) refused, and what could not be loaded.
    pub async fn console_errors(&self) -> Vec<String> {
        let entries = self.log("browser").await.into_iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns the requests that the page has made since it was asked last, in their order, also
    /// those for pages, for redirections, and those that the browser did not let it send.
    pub async fn requests(&self) -> Vec<Sent> {
        let mut requests = Vec::new();
        for entry in self.log("performance").await {
            let entry: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            note(&mut requests, &entry["message"]["method"], &entry["message"]["params"]);
        }
        let requests = requests.into_iter().map(|(_, sent)| sent);
        // The browser has pages of its own, such as that of a new tab.
        requests.filter(|sent| sent.url.starts_with("http")).collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.tell(Command::new("se/log", json!({ "type": kind }))).await;
        entries.as_array().unwrap().clone()
    }
}

/// Adds what an event of the protocol says. A request has its id also after redirections.
fn note(requests: &mut Vec<(String, Sent)>, event: &Value, said: &Value) {
    let id = said["requestId"].as_str().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let status = |response: &Value| response["status"].as_u64().map(|status| status as u16);
    let last = requests.iter_mut().rev().find(|(of, _)| of == id).map(|(_, sent)| sent);
    match (event.as_str().unwrap_or_default(), last) {
        ("Network.requestWillBeSent", last) => {
            if let Some(last) = last {
                last.status = status(&said["redirectResponse"]);
            }
            let request = &said["request"];
            let sent = Sent {
                method: text(&request["method"]).unwrap(),
                url: text(&request["url"]).unwrap(),
                body: text(&request["postData"]),
                status: None,
                error: None,
            };
            requests.push((id.to_owned(), sent));
        }
        ("Network.responseReceived", Some(sent)) => sent.status = status(&said["response"]),
        ("Network.loadingFailed", Some(sent)) => {
            sent.error = text(&said["blockedReason"]).or_else(|| text(&said["errorText"]));
        }
        _ => {}
    }
}
