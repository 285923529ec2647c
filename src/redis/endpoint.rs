//! [`Endpoint`]: the address of the server.

use std::sync::Arc;

use redis::{Client, ErrorKind, IntoConnectionInfo as _, RedisResult};

use super::sentinel::Sentinels;

/// The address of the server, which may differ for each connection.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// At one address.
    Server(Box<Client>),
    /// The address that sentinels return.
    Sentinels(Arc<Sentinels>),
}

impl Endpoint {
    pub(super) fn parse(url: &str) -> RedisResult<Self> {
        if let Some(sentinels) = Sentinels::parse(url)? {
            return Ok(Self::Sentinels(Arc::new(sentinels)));
        }
        if has_a_loose_at_sign(url) {
            return Err((
                ErrorKind::InvalidClientConfig,
                "there is an `@` behind the host of the URL: in a password, `/` is written as %2F, \
                 `?` as %3F and `#` as %23",
            )
                .into());
        }
        let info = url.into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        Ok(Client::open(info.set_tcp_settings(tcp))?.into())
    }

    /// Returns the client of the current server.
    pub(super) async fn client(&self) -> RedisResult<Client> {
        match self {
            Self::Server(client) => Ok(Client::clone(client)),
            Self::Sentinels(sentinels) => sentinels.primary().await,
        }
    }

    pub(super) fn database(&self) -> i64 {
        match self {
            Self::Server(client) => client.get_connection_info().redis_settings().db(),
            Self::Sentinels(sentinels) => sentinels.database(),
        }
    }
}

impl From<Client> for Endpoint {
    fn from(client: Client) -> Self {
        Self::Server(Box::new(client))
    }
}

/// Tells whether a password may have ended the host too early, so that errors would contain it.
fn has_a_loose_at_sign(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let rest_of_host = rest.find(['/', '?', '#']).map_or("", |end| &rest[end..]);
    !scheme.to_ascii_lowercase().ends_with("unix") && rest_of_host.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_not_encoded_is_not_taken_for_a_host() {
        for url in ["redis://app:12/34@db:6379", "redis://:pa?ss@db", "rediss://a:1#2@db:6379/0"] {
            let error = Endpoint::parse(url).err().unwrap().to_string();
            assert!(error.contains("behind the host"), "{error}");
        }
        for url in ["redis://app:12%2F34@db:6379/1", "redis+unix:///run/me@home.sock?db=1"] {
            assert_eq!(Endpoint::parse(url).ok().unwrap().database(), 1, "{url}");
        }
    }
}
