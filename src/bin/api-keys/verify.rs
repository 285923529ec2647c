//! `api-keys verify`.

use std::error::Error as _;

use clap::Args;
use serde::Serialize;
use tower_api_key::store::StoredKey;
use tower_api_key::{ApiKeyLayer, Rejection, RejectionKind, StoreError};

use crate::exit::{Exit, Failure};
use crate::explain::{explain_known, explain_unknown, explain_without_pepper};
use crate::format::FormatArgs;
use crate::formats::refuse_options;
use crate::input;
use crate::judge::{Verdict, judge, key_id};
use crate::request::RequestArgs;
use crate::session::Session;
use crate::text::printable;
use crate::view::{Key, details};

/// Explain whether servers accept a key, which is read from standard input
///
/// The same code as on servers judges the key. The command records no use of the key, and does not
/// count against its limits. White space around the key is ignored.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys verify < key.txt
  api-keys verify    # asks for the key, and does not show what is typed
  api-keys verify --ability imports:write --method POST --path /v1/imports --from 192.0.2.7 < key.txt

If your servers have a format of their own, pass it with these options, or with API_KEYS_FORMATS for\nall commands. Then keys of another format are refused like on the servers.")]
pub(crate) struct Verify {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// The result as JSON.
#[derive(Serialize)]
struct Answer {
    valid: bool,
    /// The reason why the key is not valid.
    reason: Option<&'static str>,
    explanation: String,
    key: Option<Key>,
    /// Whether the request would be accepted, if the key is valid and a request was described.
    request: Option<Judgement>,
}

#[derive(Serialize)]
struct Judgement {
    passes: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verify {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let layer = self.layer(session)?;
        let secret = input::secret()?;
        let verdict = match self.request.request(&secret) {
            Ok(request) => judge(&layer, request).await,
            Err(rejection) => Err(rejection),
        };
        let key = match key_id(&verdict) {
            Some(id) => Some(session.keys.get(id).await?),
            None => None,
        };
        let invalid = why_invalid(&verdict)?;
        let explanation = match (&key, invalid) {
            (Some(key), None) => format!("{} works", key.record.id()),
            (Some(key), Some(rejection)) => explain_known(key, rejection.kind(), session.now),
            (None, _) => match session.find_without_pepper(&secret).await? {
                Some(id) => explain_without_pepper(&id),
                None => explain_unknown(&secret, invalid),
            },
        };
        let described = invalid.is_none() && self.request.is_given();
        let answer = Answer {
            valid: invalid.is_none(),
            reason: invalid.map(|rejection| rejection.kind().as_str()),
            explanation,
            key: key.as_ref().map(|key| Key::new(key, session.now)),
            request: described.then(|| Judgement::of(&verdict)),
        };
        let printed = match session.output.json {
            true => session.output.json(&answer),
            false => {
                let words = self.in_words(&answer, key.as_ref(), session);
                session.output.write(words)
            }
        };
        match printed.map_err(Failure::from) {
            // The exit status has the result as well.
            Err(failure) if failure.is_closed_pipe() => Ok(answer.exit()),
            printed => printed.map(|()| answer.exit()),
        }
    }

    fn layer(&self, session: &Session) -> Result<ApiKeyLayer, Failure> {
        let is_given = self.format.is_given();
        let options = "--prefix, --body and --checksum";
        refuse_options(&session.formats, options, is_given)?;
        let scheme = match is_given {
            true => session.scheme(self.format.format()?),
            false => session.scheme(session.formats.clone()),
        };
        let layer = ApiKeyLayer::new(session.database.repository());
        Ok(self.request.require(layer.scheme(scheme)))
    }

    fn in_words(&self, answer: &Answer, key: Option<&StoredKey>, session: &Session) -> String {
        let valid = if answer.valid { "valid" } else { "not valid" };
        let mut text = format!("{valid}: {}\n", printable(&answer.explanation));
        if let Some(judgement) = &answer.request {
            text += &format!("{}: {}\n", self.request, judgement.in_words());
        }
        if let Some(key) = key {
            text += &format!("\n{}", details(key, session.now));
        }
        text
    }
}

/// Returns the rejection of a key that is not valid. A key that may not make the request is valid.
fn why_invalid(verdict: &Verdict) -> Result<Option<&Rejection>, Failure> {
    let Err(rejection) = verdict else { return Ok(None) };
    match rejection.kind() {
        RejectionKind::Unavailable => Err(unavailable(rejection)),
        RejectionKind::Unknown
        | RejectionKind::Malformed
        | RejectionKind::Disabled
        | RejectionKind::Revoked
        | RejectionKind::Expired
        | RejectionKind::Suspended => Ok(Some(rejection)),
        // Who got as far as a record, and no further than what it allows.
        _ if rejection.key_id().is_some() => Ok(None),
        _ => Ok(Some(rejection)),
    }
}

fn unavailable(rejection: &Rejection) -> Failure {
    let error = rejection.source().and_then(|source| source.downcast_ref::<StoreError>());
    error.cloned().unwrap_or_else(|| StoreError::new(rejection.to_string())).into()
}

impl Answer {
    fn exit(&self) -> Exit {
        match &self.request {
            _ if !self.valid => Exit::Invalid,
            Some(judgement) if !judgement.passes => Exit::NotAllowed,
            _ => Exit::Done,
        }
    }
}

impl Judgement {
    fn of(verdict: &Verdict) -> Self {
        let rejection = verdict.as_ref().err();
        Self {
            passes: rejection.is_none(),
            reason: rejection.map(|rejection| rejection.kind().as_str()),
            message: rejection.map(|rejection| rejection.message().into_owned()),
        }
    }

    fn in_words(&self) -> String {
        match &self.message {
            None => "would pass".to_owned(),
            Some(message) => format!("would be refused: {}", printable(message)),
        }
    }
}
