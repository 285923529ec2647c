//! Reading current data only: nothing is read from a server that cannot make changes.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};

use super::RedisStore;
use super::draft::Kept;
use crate::key::{KeyDigest, KeyId};
use crate::redis::{Call, Connection, Script};
use crate::store::StoreError;

/// The maximum number of names or fields in one script: Lua passes on only some thousands.
const MOST: usize = 1000;

const BODY: &str = "
-- KEYS: what is read
-- ARGV: the command, and what follows its only key, if something does
if #ARGV == 1 then return redis.call(ARGV[1], unpack(KEYS)) end
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
";

static READ: LazyLock<ReadScript> = LazyLock::new(|| ReadScript::new(BODY));

/// A script that reads current data.
pub(super) struct ReadScript {
    /// Not declared as read-only: so a replica, such as a former primary, refuses it, and so does a
    /// primary with `min-replicas-to-write` that has lost its replicas.
    script: Script,
    /// Reads from a primary that cannot write to its disk, and refuses to run the other for that.
    without_disk: Script,
}

impl ReadScript {
    pub(super) fn new(body: &str) -> Self {
        Self {
            script: Script::new(&format!("#!lua flags=allow-oom\n{body}")),
            without_disk: Script::new(&format!(
                "#!lua flags=no-writes
if not redis.call('INFO', 'replication'):find('role:master', 1, true) then
  return redis.error_reply('READONLY the server is a replica')
end
{body}"
            )),
        }
    }

    /// Runs it, and once more if the connection was closed.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        connection: &Connection,
        add_arguments: impl Fn(&mut Call<'_>),
    ) -> Result<T, StoreError> {
        let mut connection = connection.repeating();
        let mut call = self.script.call();
        add_arguments(&mut call);
        let answer = match call.run(&mut connection).await {
            Err(error) if error.code() == Some("MISCONF") => {
                let mut call = self.without_disk.call();
                add_arguments(&mut call);
                call.run(&mut connection).await
            }
            answer => answer,
        };
        answer.map_err(failed)
    }
}

/// Reads records, and tells of each whether its tenant is suspended.
static FIND: LazyLock<ReadScript> = LazyLock::new(|| {
    ReadScript::new(
        "
-- KEYS: the suspended tenants, and the records
-- Returns the records, and for each 1 if its tenant is suspended, 2 if that cannot be told, or else 0.
local records, standings = {}, {}
local nobody = redis.call('ZCARD', KEYS[1]) == 0
for i = 1, #KEYS - 1 do
  -- Not `MGET`, for which what is no text is not there.
  local json = redis.call('GET', KEYS[i + 1])
  records[i], standings[i] = json, 0
  if json and not nobody then
    local is_read, record = pcall(cjson.decode, json)
    if not is_read or type(record) ~= 'table' then
      standings[i] = 2
    elseif type(record.tenant) == 'string'
      and redis.call('ZMSCORE', KEYS[1], record.tenant)[1] then
      standings[i] = 1
    end
  end
end
return { records, standings }
",
    )
});

/// Reads several hashes, each as its fields and values one after the other.
static READ_HASHES: LazyLock<ReadScript> = LazyLock::new(|| {
    ReadScript::new(
        "local hashes = {}
for i, key in ipairs(KEYS) do hashes[i] = redis.call('HGETALL', key) end
return hashes",
    )
});

/// What becomes of something that was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It must be current.
    Believed,
    /// It is compared with the stored record when a change is made, so it may be outdated.
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

    fn add_to(&self, call: &mut Call<'_>) {
        for key in &self.keys {
            call.key(key.clone());
        }
        call.arg(self.command).arg(&self.args);
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd(self.command);
        command.arg(&self.keys).arg(&self.args);
        command
    }
}

impl RedisStore {
    /// Asks on behalf of lists and changes.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        what: &Read,
        to_be: Use,
    ) -> Result<T, StoreError> {
        match to_be {
            Use::Compared => {
                let answer = what.command().query_async(&mut self.management.repeating()).await;
                answer.map_err(failed)
            }
            Use::Believed => READ.run(&self.management, |call| what.add_to(call)).await,
        }
    }

    /// Looks up the current records of digests, in their order.
    pub(super) async fn look_up(&self, digests: &[KeyDigest]) -> Result<Vec<Kept>, StoreError> {
        self.find(&self.connection, digests).await
    }

    /// Returns what is kept under digests, in their order, on behalf of lists and changes. What is
    /// [compared](Use::Compared) does not say whether its tenant is suspended.
    pub(super) async fn kept(
        &self,
        digests: &[KeyDigest],
        to_be: Use,
    ) -> Result<Vec<Kept>, StoreError> {
        if to_be == Use::Believed {
            return self.find(&self.management, digests).await;
        }
        let mut kept = Vec::with_capacity(digests.len());
        for digests in digests.chunks(MOST) {
            let keys = digests.iter().map(|digest| self.record(digest)).collect();
            let read = Read { command: "MGET", keys, args: Vec::new() };
            let found: Vec<Option<Vec<u8>>> = self.read(&read, to_be).await?;
            for (json, digest) in found.into_iter().zip(digests) {
                kept.push(Kept::read(json, digest, false)?);
            }
        }
        Ok(kept)
    }

    async fn find(
        &self,
        connection: &Connection,
        digests: &[KeyDigest],
    ) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::with_capacity(digests.len());
        for digests in digests.chunks(MOST) {
            let answer = FIND.run(connection, |call| {
                call.key(self.suspended_tenants());
                for digest in digests {
                    call.key(self.record(digest));
                }
            });
            let (found, standings): (Vec<Option<Vec<u8>>>, Vec<u8>) = answer.await?;
            for ((json, digest), standing) in found.into_iter().zip(digests).zip(standings) {
                kept.push(Kept::read(json, digest, is_suspended(standing)?)?);
            }
        }
        Ok(kept)
    }

    /// Returns the fields of hashes.
    pub(super) async fn hashes(
        &self,
        names: &[String],
    ) -> Result<Vec<Vec<(String, String)>>, StoreError> {
        let answer = READ_HASHES.run(&self.management, |call| {
            for name in names {
                call.key(name.clone());
            }
        });
        answer.await
    }

    /// Returns texts, each if there is one.
    pub(super) async fn texts(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut texts = Vec::with_capacity(names.len());
        for names in names.chunks(MOST) {
            let read = Read { command: "MGET", keys: names.to_vec(), args: Vec::new() };
            texts.extend(self.read::<Vec<_>>(&read, Use::Believed).await?);
        }
        Ok(texts)
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

/// Reads what a script says of the tenant of a record.
pub(super) fn is_suspended(standing: u8) -> Result<bool, StoreError> {
    match standing {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(StoreError::answered("a record cannot be read by the server")),
    }
}
