//! `api-keys issue`.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use tower_api_key::key::Restrictions;
use tower_api_key::{KeyKind, NewKey, Stage, TenantId};

use crate::exit::{Exit, Failure};
use crate::format::FormatArgs;
use crate::formats::refuse_options;
use crate::grants::{Dates, Grants};
use crate::issue_names;
use crate::issued::Issued;
use crate::session::Session;

/// Issue a key, and print its secret, which is not shown again
///
/// Standard output has only the secret.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys issue 'nightly import' --tenant acme --ability imports:write --expires-in 90d \\
      --limit '1000 per hour' --address 192.0.2.0/24 --endpoint 'POST /v1/imports'
  SECRET=$(api-keys issue ci-pipeline --prefix sk_test_ --stage test --ability 'events:*')
  api-keys issue 'shop widget' --prefix hania_ --kind public --origin 'https://*.shop.example'
  api-keys issue 'backend' --prefix hania_sk_ --body hex:40 --ability bots:read --json
  api-keys issue --names-stdin --tenant acme --ability sales:write < tills.txt > tills.jsonl

If a prefix means a stage or a kind on your servers, pass --stage or --kind: they refuse a key without
it. With API_KEYS_FORMATS set for all commands, --stage, --kind or --prefix choose the format.")]
pub(crate) struct Issue {
    /// The name of the key, 3 to 100 characters: what it is for
    #[arg(required_unless_present = "names_stdin")]
    name: Option<String>,
    /// Issue one key for each line of standard input, which has its name, and print each key with its
    /// secret as a line of JSON
    ///
    /// Keys are issued in batches. If one of the names is wrong, no key is issued.
    #[arg(long, conflicts_with = "name")]
    names_stdin: bool,
    /// The tenant of the key
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The only stage in which the key works, such as `live`
    #[arg(long)]
    stage: Option<Stage>,
    /// The kind; by default `secret`, or the one of API_KEYS_FORMATS
    #[arg(long)]
    kind: Option<Kind>,
    #[command(flatten)]
    grants: Grants,
    #[command(flatten)]
    dates: Dates,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// A secret, for servers only
    Secret,
    /// A public key in web pages, which everybody can read; it needs an --origin or a --referrer
    Public,
}

impl Issue {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Some(name) = &self.name else {
            return issue_names::run(session, |name| self.key(name, session)).await;
        };
        let key = self.key(name.clone(), session)?;
        let issued = session.keys.issue(key).await?;
        Issued { record: &issued.record, secret: &issued.secret, predecessor: None }.print(session)
    }

    fn key(&self, name: String, session: &Session) -> Result<NewKey, Failure> {
        let is_given = self.format.body.is_given();
        refuse_options(&session.formats, "--body and --checksum", is_given)?;
        let key = NewKey::named(name);
        let mut key = match &self.format.prefix {
            _ if session.formats.is_empty() => key.format(&self.format.format()?),
            Some(prefix) => key.prefix(prefix),
            None => key,
        };
        if let Some(kind) = self.kind {
            key = key.kind(kind.into());
        }
        if let Some(tenant) = self.tenant.clone() {
            key = key.tenant(tenant);
        }
        if let Some(stage) = self.stage.clone() {
            key = key.stage(stage);
        }
        if let Some(time) = self.dates.expires_at(session.now)? {
            key = key.expires_at(time);
        }
        if let Some(time) = self.dates.rotation_due_at(session.now)? {
            key = key.rotation_due_at(time);
        }
        self.grants.clone().grant(key)
    }
}

impl From<Kind> for KeyKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Secret => Self::Secret,
            Kind::Public => Self::Public,
        }
    }
}

impl Grants {
    fn grant(self, key: NewKey) -> Result<NewKey, Failure> {
        let limits = self.limits()?;
        let mut restrictions = Restrictions::default();
        restrictions.addresses = list(self.addresses);
        restrictions.origins = list(self.origins);
        restrictions.referrers = list(self.referrers);
        restrictions.endpoints = list(self.endpoints);
        let key = key.abilities(self.abilities).limits(limits).restrictions(restrictions);
        let metadata = self.metadata.into_iter().flatten();
        Ok(metadata.fold(key, |key, (name, value)| key.metadata(name, value)))
    }
}

/// Returns no restriction for an empty list of arguments. An empty restriction would allow nothing.
fn list<T>(items: Vec<T>) -> Option<Arc<[T]>> {
    (!items.is_empty()).then(|| items.into())
}
