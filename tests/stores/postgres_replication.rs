//! PostgreSQL with a standby, and what leads to them: a name that moves, and PgBouncer.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::common::in_time;
use crate::common::server::{command, free_port, log};
use crate::common::servers::Postgres;

/// A primary, and a standby that streams from it.
pub struct Pair {
    pub primary: Postgres,
    pub standby: Postgres,
}

impl Pair {
    pub async fn start() -> Self {
        let primary = Postgres::start().await;
        // With the account and the directory of a server of its own, but the data of the other.
        let mut standby = Postgres::start().await;
        standby.kill().await;
        let directory = standby.directory().to_owned();
        std::fs::remove_dir_all(directory.join("data")).unwrap();
        let mut copy = command(pg_basebackup(), &directory);
        copy.args(["--pgdata", "data", "--write-recovery-conf", "--wal-method=stream"]);
        copy.args(["--checkpoint=fast", "--no-sync", "--username=postgres", "--host=127.0.0.1"]);
        copy.args(["--port", &primary.address().port().to_string()]);
        let copied = tokio::task::spawn_blocking(move || copy.status()).await.unwrap().unwrap();
        assert!(copied.success(), "{}", log(&directory));
        standby.start_again().await;
        Self { primary, standby }
    }

    /// Waits until the standby has repeated all that was changed.
    pub async fn catches_up(&self) {
        let [primary, standby] = [&self.primary, &self.standby].map(|server| server.url());
        let (primary, standby) = (pool(&primary).await, pool(&standby).await);
        let now = "SELECT pg_current_wal_lsn()::text";
        let now: String = sqlx::query_scalar(now).fetch_one(&primary).await.unwrap();
        let repeated = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        let catches_up = async {
            while !sqlx::query_scalar::<_, bool>(repeated)
                .bind(&now)
                .fetch_one(&standby)
                .await
                .unwrap()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        in_time(catches_up).await;
    }

    /// Makes the standby a primary. The old one lives on and does not notice.
    pub async fn promote(&self) {
        let standby = pool(&self.standby.url()).await;
        let promoted: bool =
            sqlx::query_scalar("SELECT pg_promote()").fetch_one(&standby).await.unwrap();
        assert!(promoted);
    }
}

/// It is where the server is, to which there may be a link elsewhere.
fn pg_basebackup() -> PathBuf {
    let server = Path::new(&std::env::var("POSTGRES_BIN").unwrap()).join("postgres");
    server.canonicalize().unwrap().with_file_name("pg_basebackup")
}

pub async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(1).connect(url).await.unwrap()
}

pub async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

/// An address that leads new connections to another server from some time on, and leaves those that
/// there are where they are, as a name in DNS and many a proxy do.
pub struct Name {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
}

impl Name {
    pub async fn of(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Arc::new(Mutex::new(server));
        let now = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                let mut client = listener.accept().await.unwrap().0;
                let server = *now.lock().unwrap();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, server }
    }

    pub fn url(&self) -> String {
        Postgres::url_at(self.address)
    }

    pub fn moves_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap() = server;
    }
}

/// PgBouncer in front of a server. It ends with the test, however that ends.
pub struct PgBouncer {
    port: u16,
    process: Child,
    _directory: tempfile::TempDir,
}

impl PgBouncer {
    pub async fn start(server: &Postgres, pool_mode: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        // With the settings that it has by default.
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = users\npool_mode = {pool_mode}\n",
            server.address().port()
        );
        std::fs::write(directory.path().join("pgbouncer.ini"), settings).unwrap();
        std::fs::write(directory.path().join("users"), "\"postgres\" \"\"\n").unwrap();
        // It does not run as root.
        let owner = server.directory().metadata().unwrap();
        chown(directory.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), mode).unwrap();
        let script = "pgbouncer --quiet pgbouncer.ini & cat; kill $!";
        let mut shell: Command = command("sh", directory.path());
        shell.args(["-c", script]).env("PATH", path()).stdin(Stdio::piped());
        let process = shell.spawn().unwrap();
        let comes_up = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let log = directory.path().join("log");
        tokio::time::timeout(Duration::from_secs(20), comes_up)
            .await
            .unwrap_or_else(|_| panic!("{}", std::fs::read_to_string(log).unwrap_or_default()));
        Self { port, process, _directory: directory }
    }

    pub fn url(&self) -> String {
        Postgres::url_at((Ipv4Addr::LOCALHOST, self.port).into())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Debian keeps servers out of the PATH of users.
fn path() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}
