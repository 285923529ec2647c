//! Operators: `api-keys`, the command-line program that works on the database of the servers.
//!
//! ```sh
//! cargo install tower-api-key --features cli
//! ```
//!
//! (In a checkout, `cargo run --features cli -- list --database sqlite:keys.db` lists the keys of a quickstart that was
//! started with `DATABASE=keys.db`.)
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
//! api-keys revoke --tenant acme        # permanently; asks for the name again
//! api-keys audit --since 7d --tenant acme --by name:cli:alice
//! api-keys audit prune --older-than 730d
//! api-keys prune --older-than 365d
//! api-keys import old-keys.csv --hash-column key_hash --tenant-column account --dry-run
//! api-keys verify --ability imports:write --from 192.0.2.7 < key.txt
//! api-keys invalidate                  # all servers forget what they know, after a restore
//! ```
//!
//! `api-keys COMMAND --help` has the details. `api-keys completions bash` (zsh, fish, powershell) and
//! `api-keys man --directory …` use the same definition.
//!
//! # Secrets
//!
//! Only `issue` and `rotate` print secrets: on standard output, alone on their line. `issue
//! --names-stdin` prints a line of JSON for each key, and names the keys whose lines it could not
//! write. Secrets are read from standard input, one line, or typed without echo. A secret among the
//! arguments, which others on the machine can see, is refused and not repeated. So is a URL with a
//! password: put it into `DATABASE_URL`.
//!
//! # The scheme of the servers
//!
//! | variable | meaning |
//! |---|---|
//! | `API_KEYS_FORMATS` | the formats of keys: `sk_live_,stage=live sk_test_,stage=test`. Each prefix may be followed by `body=hex:40`, `checksum=crc32`, `stage` and `kind`. Keys of other formats are not issued |
//! | `API_KEYS_ABILITIES` | the abilities that the servers know, so that a misspelt one is refused |
//! | `API_KEYS_PEPPER`, `API_KEYS_PREVIOUS_PEPPER` | the pepper, and the previous one. `verify` reports a key that was issued without the pepper |
//! | `API_KEYS_CHECKSUM_SECRET` | the secret of `checksum=keyed` |
//! | `API_KEYS_MAX_PER_TENANT` | the most keys of a tenant |
//!
//! Without formats, `--prefix`, `--body` and `--checksum` set the format for one command, with
//! `--stage` or `--kind` if the prefix stands for one on the servers. `rotate` asks for what follows
//! the prefix, which is not in the record. A line end, spaces or quotes around a variable or around the
//! database's URL are refused, because they would silently mean other keys.
//!
//! The servers have the same [scheme](crate::KeyScheme) in code, over the same database:
//!
//! ```
//! use tower_api_key::{KeyFormat, KeyManager, KeyQuery, KeyScheme, NewKey, SqliteStore};
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
//! `--json` prints an object, or one per line if there may be several, with the fields of
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
//! Messages for people go to standard error.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the database failed, or has no tables |
//! | 2 | the command is wrong |
//! | 3 | the key does not exist |
//! | 4 | a rule refuses it |
//! | 5 | `verify`: the key is not valid |
//! | 6 | `verify`: the key is valid, but the request would be refused |
//! | 130 | Ctrl-C, which stops `prune` and `issue --names-stdin` after a batch |
//!
//! # Notes
//!
//! * `verify` calls the layer itself, so it has the decision of the servers and the reason. It counts
//!   neither a use nor a request.
//! * Every change is recorded in the audit table of SQLite and PostgreSQL, with the actor `name:cli:`
//!   and `--actor`, `SUDO_USER` or `USER`. Each command says when servers apply the change.
//!   `--table-owner` names the role that created the tables in PostgreSQL, if it is neither yours nor
//!   the owner of the database or schema: see [roles](super::roles).
//! * After a restore, or a failover that lost changes, revoked keys may be valid again. `--audit-file
//!   PATH`, and [`JsonLinesAudit`](crate::store::JsonLinesAudit) in servers, write every change to a
//!   file that survives a restore; `api-keys audit --since … --json` prints the events of the database
//!   in the same form. If the events of a command cannot be written to that file, the command fails,
//!   although its change is made. `revoke --ids-stdin` reads ids from there and prints the result for
//!   each. [Failover and restore](super::failover) has the steps.
