//! Operators: `api-keys`, the command line that works on the database of the servers.
//!
//! ```sh
//! cargo install tower-api-key --features cli
//! ```
//!
//! (In a checkout, `cargo run --features cli -- list --database sqlite:keys.db` lists the keys of the quickstart.)
//!
//! ```sh
//! export DATABASE_URL=sqlite:keys.db   # or postgres://app@host/app, or redis://host
//! api-keys init                        # makes or migrates the tables; no other command does
//! SECRET=$(api-keys issue 'nightly import' --tenant acme --ability imports:write \
//!     --expires-in 90d --limit '1000 per hour' --address 192.0.2.0/24)
//! api-keys issue --names-stdin --tenant acme --ability sales:write < tills.txt > tills.jsonl
//! api-keys list --tenant acme --state active
//! api-keys list --name import --created-by name:cli:alice
//! api-keys list --unused-for 90d
//! api-keys due-for-rotation --within 14d
//! api-keys usage --tenant acme         # accepted and refused requests of its keys
//! api-keys show key_…
//! api-keys update key_… --name 'hourly import' --any-address
//! api-keys rotate key_… --grace 24h
//! api-keys revoke key_… --with-successors
//! api-keys revoke --secret-stdin < leaked.txt
//! api-keys revoke --ids-stdin < ids.txt
//! api-keys tenant suspend acme         # refuses all its keys, until `tenant resume`
//! api-keys revoke --tenant acme        # for good; asks for the name again
//! api-keys audit --since 7d --tenant acme --by name:cli:alice
//! api-keys audit prune --older-than 730d
//! api-keys prune --older-than 365d
//! api-keys import old-keys.csv --hash-column key_hash --tenant-column account --dry-run
//! api-keys verify --ability imports:write --from 192.0.2.7 < key.txt
//! api-keys invalidate                  # all servers forget what they know, after a restore
//! ```
//!
//! `api-keys COMMAND --help` has the rest. `api-keys completions bash` (zsh, fish, powershell) and
//! `api-keys man --directory …` are made of the same definition.
//!
//! # Secrets
//!
//! `issue` and `rotate` alone print secrets: on standard output, alone on their line. `issue --names-stdin` prints a
//! line of JSON for each key, and names the keys whose lines it could not write. Secrets are read from standard input,
//! one line, or typed without being shown. A secret among the arguments, which others on the machine can see, is refused
//! and not repeated, and so is a URL with a password: that belongs in `DATABASE_URL`.
//!
//! # The scheme of the servers
//!
//! | variable | is |
//! |---|---|
//! | `API_KEYS_FORMATS` | what keys look like: `sk_live_,stage=live sk_test_,stage=test`. Each prefix may be followed by `body=hex:40`, `checksum=crc32`, `stage` and `kind`. No key of another look is issued |
//! | `API_KEYS_ABILITIES` | the abilities that the servers know, so that a misspelt one is refused |
//! | `API_KEYS_PEPPER`, `API_KEYS_PREVIOUS_PEPPER` | the pepper, and the one before. `verify` says so if a key was issued without the pepper |
//! | `API_KEYS_CHECKSUM_SECRET` | the secret of `checksum=keyed` |
//! | `API_KEYS_MAX_PER_TENANT` | how many keys a tenant has at most |
//!
//! Without formats, `--prefix`, `--body` and `--checksum` say it for one command, with `--stage` or `--kind` if the
//! prefix stands for one to the servers; `rotate` asks for what follows the prefix, which no record says. A line end,
//! spaces or quotes around a variable or around the database's URL are refused: they would silently mean other keys.
//!
//! The servers have the same [scheme](crate::KeyScheme) in code, over the same database:
//!
//! ```
//! use tower_api_key::store::KeyQuery;
//! use tower_api_key::{KeyFormat, KeyManager, KeyScheme, NewKey, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let file = directory.path().join("keys.db");
//! // API_KEYS_FORMATS='sk_live_,stage=live sk_test_,stage=test'
//! let scheme = KeyScheme::new([
//!     KeyFormat::new("sk_live_").stage("live"),
//!     KeyFormat::new("sk_test_").stage("test"),
//! ]);
//! let keys = KeyManager::new(SqliteStore::open(&file).await?).scheme(scheme);
//! keys.issue(NewKey::named("nightly import").stage("live")).await?;
//! // api-keys list --database sqlite:keys.db
//! assert_eq!(keys.list(&KeyQuery::new()).await?.keys.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Programs
//!
//! `--json` prints an object, or one a line where there may be many, with the fields of
//! [`KeyView`](crate::manage::KeyView), `tenant` and `metadata`.
//!
//! | command | adds |
//! |---|---|
//! | `issue`, `rotate` | `secret` |
//! | `rotate` | `predecessor` |
//! | `revoke` | `revoked_successors` and `working_successors`, if there are any |
//! | `verify` | `valid`, `reason`, `explanation`, `key` and `request` |
//! | `prune` | `removed` and `stopped` |
//!
//! What is for people goes to standard error.
//!
//! | exit status | says |
//! |---|---|
//! | 0 | done |
//! | 1 | the database failed, or has no tables |
//! | 2 | the command is wrong |
//! | 3 | there is no such key |
//! | 4 | a rule refuses it |
//! | 5 | `verify`: the key is not valid |
//! | 6 | `verify`: the key is valid, but the request would be refused |
//! | 130 | Ctrl-C, which stops `prune` and `issue --names-stdin` after a batch |
//!
//! # Notes
//!
//! * `verify` asks the layer itself, so it says what servers say, and why. It counts neither a use nor a request.
//! * Every change is noted in the audit table of SQLite and PostgreSQL, as that of `name:cli:` and `--actor`,
//!   `SUDO_USER` or `USER`; and each says when servers apply it. `--table-owner` names the role that made the tables in
//!   PostgreSQL, where it is neither yours nor the owner of the database or schema: see [roles](super::roles).
//! * After a restore, or a failover that lost changes, revoked keys may be valid again. `--audit-file PATH`, and
//!   [`JsonLinesAudit`](crate::store::JsonLinesAudit) in servers, write every change to a file that no restore undoes;
//!   `api-keys audit --since … --json` has the events of the database in the same form. A command whose events are not in
//!   that file fails, though what it did is done. `revoke --ids-stdin` takes ids from there and says of each what became
//!   of it. [Failover and restore](super::failover) has the steps.
