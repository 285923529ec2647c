//! [`Sentinels`]: finds the primary.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, RedisError, RedisResult, ServerErrorKind,
};
use tokio::time::timeout;

use super::failure::{cannot_connect, no_answer};

/// How long a sentinel may take: less than connecting in all.
const TIMEOUT: Duration = Duration::from_millis(700);

const DEFAULT_PORT: u16 = 26379;

const FORM: &str = "the URL of sentinels has their hosts and the name of what they watch, as in \
     `redis+sentinel://:password@host-1:26379,host-2:26379/name/0`";

/// Some sentinels, and how to connect to a server that they name.
pub(crate) struct Sentinels {
    sentinels: Vec<Client>,
    /// The name of the primary for the sentinels.
    name: String,
    /// How to connect, except for the address.
    server: ConnectionInfo,
}

impl Sentinels {
    /// Parses a URL. Returns none if it is that of a server.
    pub(super) fn parse(url: &str) -> RedisResult<Option<Self>> {
        let wrong = || RedisError::from((ErrorKind::InvalidClientConfig, FORM));
        let Some((scheme, rest)) = url.split_once("://") else { return Ok(None) };
        let scheme = match &*scheme.to_ascii_lowercase() {
            "redis+sentinel" | "valkey+sentinel" => "redis",
            "rediss+sentinel" | "valkeys+sentinel" => "rediss",
            _ => return Ok(None),
        };
        let (authority, path) = rest.split_once('/').ok_or_else(wrong)?;
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), authority),
        };
        let (name, database) = path.split_once('/').unwrap_or((path, "0"));
        if name.is_empty() || name.contains(['@', '?', '#']) || database.contains(['@', '?', '#']) {
            return Err(wrong());
        }
        let sentinels: RedisResult<_> =
            hosts.split(',').map(|host| sentinel(scheme, host)).collect();
        let server = format!("{scheme}://{credentials}server/{database}").into_connection_info()?;
        let tcp = server.tcp_settings().clone().set_nodelay(true);
        let server = server.set_tcp_settings(tcp);
        Ok(Some(Self { sentinels: sentinels?, name: name.to_owned(), server }))
    }

    pub(super) fn database(&self) -> i64 {
        self.server.redis_settings().db()
    }

    /// Asks all sentinels, and uses the answer with the latest failover: others may have been cut off
    /// before it.
    pub(super) async fn primary(&self) -> RedisResult<Client> {
        let answers = join_all(self.sentinels.iter().map(|sentinel| self.ask(sentinel))).await;
        let (mut failed, mut latest) = (None, None);
        for answer in answers {
            match answer {
                Ok(answer) => latest = latest.max(Some(answer)),
                Err(error) => failed = Some(error),
            }
        }
        match (latest, failed) {
            (Some((_, host, port)), _) => {
                let address = at(self.server.addr(), host, port);
                Client::open(self.server.clone().set_addr(address))
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err((ErrorKind::EmptySentinelList, FORM).into()),
        }
    }

    /// Returns the number of the last failover, and the address of the primary since then.
    async fn ask(&self, sentinel: &Client) -> RedisResult<(u64, String, u16)> {
        let asked = async {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            let connection = sentinel.get_multiplexed_async_connection_with_config(&config).await;
            let mut command = redis::cmd("SENTINEL");
            command.arg("MASTER").arg(&self.name);
            command.query_async::<HashMap<String, String>>(&mut connection?).await
        };
        let answer = timeout(TIMEOUT, asked).await.unwrap_or_else(|_| Err(no_answer()));
        let says = answer.map_err(|error| cannot_connect(sentinel, self.of_name(error)))?;
        let number = |field: &str| says.get(field)?.parse::<u64>().ok();
        let read = || {
            let port = number("port")?.try_into().ok()?;
            Some((number("config-epoch")?, says.get("ip")?.clone(), port))
        };
        read().ok_or_else(|| cannot_connect(sentinel, self.unknown("an answer without an address")))
    }

    /// Adds the requested name to an error, if the sentinel does not know it.
    fn of_name(&self, error: RedisError) -> RedisError {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) => self.unknown(&error.to_string()),
            _ => error,
        }
    }

    fn unknown(&self, why: &str) -> RedisError {
        let detail = format!("`{}`: {why}", self.name);
        (ErrorKind::MasterNameNotFoundBySentinel, "it names no primary", detail).into()
    }
}

fn sentinel(scheme: &str, host: &str) -> RedisResult<Client> {
    let behind_address = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    let url = if behind_address.contains(':') {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{DEFAULT_PORT}")
    };
    Client::open(url)
}

/// Returns another address to connect to in the same way.
fn at(address: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match address {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> RedisResult<Option<Sentinels>> {
        Sentinels::parse(url)
    }

    #[test]
    fn sentinels_are_read_with_what_they_watch() {
        let sentinels = parse("redis+sentinel://app:pass@a,b:1,[::1],[::2]:3/main/5");
        let sentinels = sentinels.unwrap().unwrap();
        let addresses =
            sentinels.sentinels.iter().map(|client| client.get_connection_info().addr());
        let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
        assert_eq!(addresses, ["a:26379", "b:1", "::1:26379", "::2:3"]);
        let server = sentinels.server.redis_settings();
        assert_eq!(
            (&*sentinels.name, server.db(), server.username(), server.password()),
            ("main", 5, Some("app"), Some("pass"))
        );
        // Sentinels have passwords of their own.
        let of_sentinel = sentinels.sentinels[0].get_connection_info().redis_settings();
        assert_eq!(of_sentinel.password(), None);
        assert_eq!(parse("valkey+sentinel://a/main").unwrap().unwrap().database(), 0);
    }

    #[test]
    fn what_is_no_list_of_sentinels_is_refused_without_the_password() {
        for url in ["redis://a", "rediss://a,b/main", "a", "redis+unix:///run/a"] {
            assert!(parse(url).unwrap().is_none(), "{url}");
        }
        for url in [
            "redis+sentinel://:hush@a",
            "redis+sentinel://:hush@a/",
            "redis+sentinel:///main",
            "redis+sentinel://:hush@/main",
            "redis+sentinel://:hush@a,,b/main",
            "redis+sentinel://:hush@a/main/x",
            "redis+sentinel://:hu/sh@a/main",
            "redis+sentinel://:hush@a:port/main",
        ] {
            let error = parse(url).err().unwrap();
            assert!(!error.to_string().contains("hu"), "{error}");
        }
    }
}
