//! Reading, and only what is true now: nothing is read where changes cannot be made.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};

use super::RedisStore;
use super::draft::Kept;
use crate::key::{KeyDigest, KeyId};
use crate::redis::{Call, Script};
use crate::store::StoreError;

/// How many names or fields one script is asked for. Lua hands no more than some thousands on.
const MOST: usize = 1000;

const BODY: &str = "
-- KEYS: what is read
-- ARGV: the command, and what follows its only key, if something does
if #ARGV == 1 then return redis.call(ARGV[1], unpack(KEYS)) end
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
";

/// Does not say that it only reads: so a replica, such as a primary of yesterday, refuses it by
/// itself, and so does a primary with `min-replicas-to-write` that has lost its replicas.
static READ: LazyLock<Script> =
    LazyLock::new(|| Script::new(&format!("#!lua flags=allow-oom{BODY}")));

/// Reads from a primary that cannot write to its disk, and refuses to run the other for that.
static READ_WITHOUT_DISK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(&format!(
        "#!lua flags=no-writes
if not redis.call('INFO', 'replication'):find('role:master', 1, true) then
  return redis.error_reply('READONLY the server is a replica')
end{BODY}"
    ))
});

/// Reads several hashes, each as its fields and values one after the other.
static READ_HASHES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
local hashes = {}
for i, key in ipairs(KEYS) do hashes[i] = redis.call('HGETALL', key) end
return hashes",
    )
});

/// What becomes of something that was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is taken for what is true now.
    Believed,
    /// It is compared with what there is when a change is made, so that it may be anything.
    Compared,
}

/// Something to read.
pub(super) struct Read {
    command: &'static str,
    keys: Vec<String>,
    args: Vec<String>,
}

impl Read {
    pub(super) fn new(command: &'static str, key: String) -> Self {
        Self { command, keys: vec![key], args: Vec::new() }
    }

    pub(super) fn args<T: ToString>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.to_string()));
        self
    }

    fn call<'a>(&self, script: &'a Script) -> Call<'a> {
        let mut call = script.call();
        for key in &self.keys {
            call.key(key.clone());
        }
        call.arg(self.command).arg(&self.args);
        call
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd(self.command);
        command.arg(&self.keys).arg(&self.args);
        command
    }
}

impl RedisStore {
    /// Asks, and once more if the connection was closed.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        what: &Read,
        to_be: Use,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.repeating();
        let answer: RedisResult<T> = match to_be {
            Use::Compared => what.command().query_async(&mut connection).await,
            Use::Believed => what.call(&READ).run(&mut connection).await,
        };
        let answer = match answer {
            Err(error) if error.code() == Some("MISCONF") => {
                what.call(&READ_WITHOUT_DISK).run(&mut connection).await
            }
            answer => answer,
        };
        answer.map_err(failed)
    }

    /// Returns what is kept under digests, in their order.
    pub(super) async fn kept(
        &self,
        digests: &[KeyDigest],
        to_be: Use,
    ) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::with_capacity(digests.len());
        for digests in digests.chunks(MOST) {
            let keys = digests.iter().map(|digest| self.record(digest)).collect();
            let read = Read { command: "MGET", keys, args: Vec::new() };
            let found: Vec<Option<Vec<u8>>> = self.read(&read, to_be).await?;
            for (json, digest) in found.into_iter().zip(digests) {
                kept.push(Kept::read(json, digest)?);
            }
        }
        Ok(kept)
    }

    /// Returns the fields of hashes that count something.
    pub(super) async fn hashes(
        &self,
        names: &[String],
    ) -> Result<Vec<Vec<(String, u64)>>, StoreError> {
        let mut call = READ_HASHES.call();
        for name in names {
            call.key(name.clone());
        }
        call.run(&mut self.connection.repeating()).await.map_err(failed)
    }

    /// Returns the digests of ids, in their order.
    pub(super) async fn digests(
        &self,
        ids: &[KeyId],
        to_be: Use,
    ) -> Result<Vec<Option<KeyDigest>>, StoreError> {
        let mut digests = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MOST) {
            let read = Read::new("HMGET", self.ids()).args(ids);
            let texts: Vec<Option<String>> = self.read(&read, to_be).await?;
            for text in texts {
                digests.push(text.map(|text| text.parse().map_err(StoreError::new)).transpose()?);
            }
        }
        Ok(digests)
    }
}

/// Tells a server that has answered, and cannot tell, from one that cannot be asked.
fn failed(error: RedisError) -> StoreError {
    let has_answered = error.kind() == ErrorKind::UnexpectedReturnType
        || error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || error.code() == Some("WRONGTYPE");
    if has_answered { StoreError::answered(error) } else { StoreError::new(error) }
}
