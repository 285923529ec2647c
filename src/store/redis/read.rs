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

/// A script that reads, in two forms.
struct Scripts {
    /// Does not say that it only reads: so a replica, such as a primary of yesterday, refuses it by
    /// itself, and so does a primary with `min-replicas-to-write` that has lost its replicas.
    usual: Script,
    /// Reads from a primary that cannot write to its disk, and refuses to run the other for that.
    without_disk: Script,
}

impl Scripts {
    fn new(body: &str) -> Self {
        let usual = format!("#!lua flags=allow-oom{body}");
        let without_disk = format!(
            "#!lua flags=no-writes
if not redis.call('INFO', 'replication'):find('role:master', 1, true) then
  return redis.error_reply('READONLY the server is a replica')
end{body}"
        );
        Self { usual: Script::new(&usual), without_disk: Script::new(&without_disk) }
    }
}

static READ: LazyLock<Scripts> = LazyLock::new(|| {
    Scripts::new(
        "
-- KEYS: what is read
-- ARGV: the command, and what follows its only key, if something does
if #ARGV == 1 then return redis.call(ARGV[1], unpack(KEYS)) end
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
",
    )
});

/// Reads records, and tells of each whether its tenant is suspended.
static FIND: LazyLock<Scripts> = LazyLock::new(|| {
    Scripts::new(
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
        match to_be {
            Use::Compared => {
                let answer = what.command().query_async(&mut self.connection.repeating()).await;
                answer.map_err(failed)
            }
            Use::Believed => self.run(&READ, |script| what.call(script)).await,
        }
    }

    /// Runs a script that reads.
    async fn run<T: FromRedisValue>(
        &self,
        scripts: &'static Scripts,
        call: impl Fn(&'static Script) -> Call<'static>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.repeating();
        let answer: RedisResult<T> = call(&scripts.usual).run(&mut connection).await;
        let answer = match answer {
            Err(error) if error.code() == Some("MISCONF") => {
                call(&scripts.without_disk).run(&mut connection).await
            }
            answer => answer,
        };
        answer.map_err(failed)
    }

    /// Returns what is kept under digests, in their order. What is [compared](Use::Compared) does not say
    /// whether its tenant is suspended.
    pub(super) async fn kept(
        &self,
        digests: &[KeyDigest],
        to_be: Use,
    ) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::with_capacity(digests.len());
        for digests in digests.chunks(MOST) {
            let keys: Vec<_> = digests.iter().map(|digest| self.record(digest)).collect();
            let (found, standings): (Vec<Option<Vec<u8>>>, Vec<u8>) = match to_be {
                Use::Compared => {
                    let read = Read { command: "MGET", keys, args: Vec::new() };
                    (self.read(&read, to_be).await?, vec![0; digests.len()])
                }
                Use::Believed => self.run(&FIND, |script| self.find(script, &keys)).await?,
            };
            for ((json, digest), standing) in found.into_iter().zip(digests).zip(standings) {
                let is_suspended = match standing {
                    0 => false,
                    1 => true,
                    _ => return Err(StoreError::answered("a record cannot be read by the server")),
                };
                kept.push(Kept::read(json, digest, is_suspended)?);
            }
        }
        Ok(kept)
    }

    fn find(&self, script: &'static Script, records: &[String]) -> Call<'static> {
        let mut call = script.call();
        call.key(self.suspended_tenants());
        for record in records {
            call.key(record.clone());
        }
        call
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
