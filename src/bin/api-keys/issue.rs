//! `api-keys issue`.

use clap::{Args, ValueEnum};
use tower_api_key::{KeyKind, NewKey, Stage, TenantId};

use crate::exit::{Exit, Failure};
use crate::format::FormatArgs;
use crate::grants::{Dates, Grants};
use crate::issued::Issued;
use crate::session::Session;

/// Issue a key, and print its secret for the only time
///
/// The secret is alone on standard output.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys issue 'nightly import' --tenant acme --ability imports:write --expires-in 90d \\
      --limit '1000 per hour' --address 192.0.2.0/24 --endpoint 'POST /v1/imports'
  SECRET=$(api-keys issue ci-pipeline --prefix sk_test_ --stage test --ability 'events:*')
  api-keys issue 'shop widget' --prefix hania_ --kind public --origin 'https://*.shop.example'
  api-keys issue 'backend' --prefix hania_sk_ --body hex:40 --ability bots:read --json

If a prefix stands for a stage or a kind on your servers, say which: they refuse a key without it.")]
pub(crate) struct Issue {
    /// What the key is for: 3 to 100 characters
    name: String,
    /// On whose behalf it acts
    #[arg(long)]
    tenant: Option<TenantId>,
    /// The only stage in which it works, such as `live`
    #[arg(long)]
    stage: Option<Stage>,
    /// Whether it is a secret
    #[arg(long, default_value = "secret")]
    kind: Kind,
    #[command(flatten)]
    grants: Grants,
    #[command(flatten)]
    dates: Dates,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// From server to server only
    Secret,
    /// For pages, where everybody can read it; it needs an --origin or a --referrer
    Public,
}

impl Issue {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let key = self.key(session)?;
        let issued = session.keys.issue(key).await?;
        Issued { record: &issued.record, secret: &issued.secret, predecessor: None }.print(session)
    }

    fn key(self, session: &Session) -> Result<NewKey, Failure> {
        // What could not be set without a panic is refused here.
        self.grants.limits()?;
        let mut key =
            NewKey::named(self.name).format(&self.format.format()?).kind(match self.kind {
                Kind::Secret => KeyKind::Secret,
                Kind::Public => KeyKind::Public,
            });
        if let Some(tenant) = self.tenant {
            key = key.tenant(tenant);
        }
        if let Some(stage) = self.stage {
            key = key.stage(stage);
        }
        if let Some(time) = self.dates.expires_at(session.now)? {
            key = key.expires_at(time);
        }
        if let Some(time) = self.dates.rotation_due_at(session.now)? {
            key = key.rotation_due_at(time);
        }
        Ok(self.grants.grant(key))
    }
}

impl Grants {
    /// Sets what was said. What was not said is not restricted, while an empty list would allow
    /// nothing.
    fn grant(self, key: NewKey) -> NewKey {
        let mut key = key.abilities(self.abilities);
        for limit in self.limits {
            key = key.limit(limit);
        }
        if !self.addresses.is_empty() {
            key = key.addresses(self.addresses.iter().map(ToString::to_string));
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
        for (name, value) in self.metadata.into_iter().flatten() {
            key = key.metadata(name, value);
        }
        key
    }
}
