//! [`Demands`]: which servers are refused, by what they say of themselves.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use thiserror::Error;

/// The requirements for a server, checked before anything is stored there or read.
#[derive(Clone, Debug)]
pub(crate) struct Demands {
    /// The prefix of all names.
    pub(crate) prefix: Arc<str>,
    pub(crate) eviction: Eviction,
}

/// What a server may evict when its memory is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// Nothing.
    None,
    /// Entries that expire, which none of this crate does.
    OfWhatExpires,
    /// Any entry.
    Any,
}

/// Why a server is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Unsuitable {
    #[error(
        "the server is a replica of {0}: it may lack the latest changes, connect to \
         the primary"
    )]
    Replica(String),
    #[error(
        "the server is a sentinel: the URL of sentinels is like \
         `redis+sentinel://host-1:26379,host-2:26379/name-of-the-primary/0`"
    )]
    Sentinel,
    #[error("the server is Redis {0}: version 7 or later is needed, or Valkey")]
    Older(String),
    #[error(
        "the server evicts (`maxmemory-policy {0}`), so keys would be gone, or revocations, without \
         a word: set `maxmemory-policy noeviction`, or use a server of its own"
    )]
    EvictsRecords(String),
    #[error(
        "the server evicts (`maxmemory-policy {0}`), so limits would begin anew without a word: set \
         `maxmemory-policy noeviction`, or accept it with `accept_eviction`"
    )]
    EvictsCounts(String),
    #[error(
        "the server is part of a cluster, which would keep names that begin with `{0}` on several \
         servers: have the prefix hold a hash tag, such as `{{api-keys}}:`, and connect to the server \
         that has its slot"
    )]
    ManySlots(Arc<str>),
    #[error(
        "the server is part of a cluster, in which {to} has the slot of `{prefix}`: connect to that"
    )]
    OtherSlot { prefix: Arc<str>, to: String },
    #[error(
        "the server is part of a cluster, in which the slot of `{prefix}` is not served: {why}"
    )]
    NoSlot { prefix: Arc<str>, why: String },
}

impl Demands {
    /// Asks the server. Returns the error that keeps it from answering, if there is one: whether it
    /// meets the demands is then not known.
    pub(super) async fn check(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Option<RedisError>> {
        let says: String = match redis::cmd("INFO").query_async(connection).await {
            Ok(says) => says,
            Err(error) if is_not_permitted(&error) => return Ok(Some(error)),
            Err(error) => return Err(error),
        };
        let server = Server::read(&says);
        self.accept(&server).map_err(refused)?;
        if server.says("role").is_none() {
            return Ok(Some((ErrorKind::Client, "INFO does not say what the server is").into()));
        }
        if server.is_in_a_cluster() {
            let probe = redis::cmd("EXISTS").arg(&*self.prefix).query_async(connection).await;
            probe.or_else(|error| self.has_slot(error))?;
        }
        Ok(None)
    }

    fn accept(&self, server: &Server<'_>) -> Result<(), Unsuitable> {
        if server.says("redis_mode") == Some("sentinel") {
            return Err(Unsuitable::Sentinel);
        }
        if let Some(version) = server.says("redis_version")
            && is_older(version)
        {
            return Err(Unsuitable::Older(version.to_owned()));
        }
        if let Some(primary) = server.primary() {
            return Err(Unsuitable::Replica(primary));
        }
        let policy = server.says("maxmemory_policy").unwrap_or("noeviction");
        match self.eviction {
            // Also without a limit, because one can be set at any time.
            Eviction::None if policy != "noeviction" => {
                return Err(Unsuitable::EvictsCounts(policy.to_owned()));
            }
            Eviction::OfWhatExpires
                if policy != "noeviction" && !policy.starts_with("volatile-") =>
            {
                return Err(Unsuitable::EvictsRecords(policy.to_owned()));
            }
            _ => {}
        }
        if server.is_in_a_cluster() && !has_hash_tag(&self.prefix) {
            return Err(Unsuitable::ManySlots(Arc::clone(&self.prefix)));
        }
        Ok(())
    }

    fn has_slot(&self, error: RedisError) -> RedisResult<()> {
        let prefix = Arc::clone(&self.prefix);
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => {
                let to = error.redirect_node().map_or("another server", |(address, _)| address);
                Err(refused(Unsuitable::OtherSlot { prefix, to: to.to_owned() }))
            }
            ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::TryAgain) => {
                Err(refused(Unsuitable::NoSlot { prefix, why: error.to_string() }))
            }
            // It has the slot, and does not allow this user to read it.
            ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(()),
            _ => Err(error),
        }
    }
}

/// What `INFO` says.
struct Server<'a>(HashMap<&'a str, &'a str>);

impl<'a> Server<'a> {
    fn read(info: &'a str) -> Self {
        Self(info.lines().filter_map(|line| line.split_once(':')).collect())
    }

    fn says(&self, field: &str) -> Option<&'a str> {
        self.0.get(field).copied()
    }

    /// Returns the address of its primary, if it has one.
    fn primary(&self) -> Option<String> {
        if self.says("role").is_none_or(|role| role == "master") {
            return None;
        }
        let part = |field| self.says(field).unwrap_or("?");
        Some(format!("{}:{}", part("master_host"), part("master_port")))
    }

    fn is_in_a_cluster(&self) -> bool {
        self.says("cluster_enabled") == Some("1")
    }
}

/// Tells whether the scripts of this version cannot declare flags. Valkey and others report the version
/// that they are compatible with.
fn is_older(version: &str) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major < 7)
}

/// Tells whether all names with this prefix are in one slot of a cluster: whether there is a text
/// between the first `{` and the next `}`.
fn has_hash_tag(prefix: &str) -> bool {
    let tag = prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    tag.is_some_and(|(tag, _)| !tag.is_empty())
}

/// Tells whether the user may not ask, or an intermediary does not support the question.
fn is_not_permitted(error: &RedisError) -> bool {
    use ServerErrorKind::{NoPerm, ResponseError};

    matches!(error.kind(), ErrorKind::Server(NoPerm | ResponseError))
}

fn refused(why: Unsuitable) -> RedisError {
    io::Error::other(why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demands(prefix: &str, eviction: Eviction) -> Demands {
        Demands { prefix: prefix.into(), eviction }
    }

    fn accept(eviction: Eviction, info: &str) -> Result<(), Unsuitable> {
        demands("{api-keys}:", eviction).accept(&Server::read(info))
    }

    #[test]
    fn a_replica_is_refused_by_the_name_of_its_primary() {
        let info = "# Replication\r\nrole:slave\r\nmaster_host:db-1\r\nmaster_port:6380\r\n";
        let refused = accept(Eviction::Any, info).unwrap_err();
        assert_eq!(refused, Unsuitable::Replica("db-1:6380".to_owned()));
        assert_eq!(accept(Eviction::None, "role:master\r\nconnected_slaves:2\r\n"), Ok(()));
    }

    #[test]
    fn an_old_server_and_a_sentinel_are_told_to_be_such() {
        let old = accept(Eviction::Any, "redis_version:6.2.14\r\nrole:master\r\n");
        assert_eq!(old, Err(Unsuitable::Older("6.2.14".to_owned())));
        for version in ["7.0.15", "7.2.4", "10.0", "unstable", "255.255.255"] {
            let info = format!("redis_version:{version}\r\nrole:master\r\n");
            assert_eq!(accept(Eviction::None, &info), Ok(()), "{version}");
        }
        let sentinel = accept(Eviction::Any, "redis_version:7.0.15\r\nredis_mode:sentinel\r\n");
        assert_eq!(sentinel, Err(Unsuitable::Sentinel));
    }

    #[test]
    fn a_server_may_forget_what_is_demanded_and_nothing_else() {
        let policies = ["noeviction", "volatile-lru", "volatile-ttl", "allkeys-lru", "new-policy"];
        for (eviction, accepted) in
            [(Eviction::None, 1), (Eviction::OfWhatExpires, 3), (Eviction::Any, 5)]
        {
            for (number, policy) in policies.iter().enumerate() {
                let info = format!("role:master\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n");
                let said = accept(eviction, &info);
                assert_eq!(said.is_ok(), number < accepted, "{eviction:?} {policy}: {said:?}");
            }
        }
    }

    #[test]
    fn names_in_a_cluster_need_a_hash_tag() {
        let cluster = Server::read("role:master\r\ncluster_enabled:1\r\n");
        for (prefix, is_tagged) in [
            ("{api-keys}:", true),
            ("app:{api-keys}:", true),
            ("{a}{}", true),
            ("api-keys:", false),
            ("{}api-keys:", false),
            ("{}{a}:", false),
            ("{api-keys", false),
            ("}api-keys{", false),
            ("", false),
        ] {
            let said = demands(prefix, Eviction::None).accept(&cluster);
            assert_eq!(said.is_ok(), is_tagged, "{prefix}");
        }
        let alone = Server::read("role:master\r\ncluster_enabled:0\r\n");
        assert_eq!(demands("api-keys:", Eviction::None).accept(&alone), Ok(()));
    }
}
