//! `api-keys issue`.

use clap::{Args, ValueEnum};
use tower_api_key::{KeyKind, NewKey, Stage, TenantId};

use crate::checks::{Checks, check_name};
use crate::exit::{Exit, Failure};
use crate::format::FormatArgs;
use crate::formats::refuse_options;
use crate::grants::{Dates, Granted, Grants};
use crate::issue_names;
use crate::issued::Issued;
use crate::mistakes::{Given, Mistakes, given};
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
    #[arg(long, value_parser = given(str::parse::<TenantId>))]
    tenant: Option<Given<TenantId>>,
    /// The only stage in which the key works, such as `live`
    #[arg(long, value_parser = given(str::parse::<Stage>))]
    stage: Option<Given<Stage>>,
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
    /// Reports all mistakes at once, before the database is opened.
    pub(crate) fn check(&self, checks: &Checks<'_>) -> Result<(), Failure> {
        let mut mistakes = Mistakes::default();
        if let Some(name) = &self.name {
            check_name(name, "<NAME>".to_owned(), &mut mistakes);
        }
        let _ = self.key(String::new(), checks, &mut mistakes);
        mistakes.check()
    }

    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let checks = session.checks();
        let key = |name| {
            let mut mistakes = Mistakes::default();
            let key = self.key(name, &checks, &mut mistakes);
            mistakes.check().map(|()| key)
        };
        let Some(name) = &self.name else { return issue_names::run(session, key).await };
        let issued = session.keys.issue(key(name.clone())?).await?;
        Issued { record: &issued.record, secret: &issued.secret, predecessor: None }.print(session)
    }

    fn key(&self, name: String, checks: &Checks<'_>, mistakes: &mut Mistakes) -> NewKey {
        let is_given = self.format.body.is_given();
        mistakes.ok(refuse_options(checks.formats, "--body and --checksum", is_given));
        let mut key = NewKey::named(name);
        if checks.formats.is_empty() {
            if let Some(format) = mistakes.ok(self.format.format()) {
                key = key.format(&format);
            }
        } else if let Some(prefix) = &self.format.prefix {
            key = key.prefix(prefix);
        }
        if let Some(kind) = self.kind {
            key = key.kind(kind.into());
        }
        if let Some(tenant) = mistakes.take("--tenant", self.tenant.clone()) {
            key = key.tenant(tenant);
        }
        if let Some(stage) = mistakes.take("--stage", self.stage.clone()) {
            key = key.stage(stage);
        }
        if let Some(time) = self.dates.expires_at(checks.now, mistakes) {
            key = key.expires_at(time);
        }
        if let Some(time) = self.dates.rotation_due_at(checks.now, mistakes) {
            key = key.rotation_due_at(time);
        }
        self.grants.check(checks, mistakes).grant(key)
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

impl Granted {
    fn grant(self, key: NewKey) -> NewKey {
        let mut key = key.abilities(self.abilities).limits(self.limits);
        // A list without anything in it would allow nothing.
        if !self.addresses.is_empty() {
            key = key.addresses(self.addresses);
        }
        if !self.origins.is_empty() {
            key = key.origins(self.origins);
        }
        if !self.referrers.is_empty() {
            key = key.referrers(self.referrers);
        }
        if !self.endpoints.is_empty() {
            key = key.endpoints(self.endpoints);
        }
        let metadata = self.metadata.into_iter().flatten();
        metadata.fold(key, |key, (name, value)| key.metadata(name, value))
    }
}
