//! The servers of the other tests, and the proxy before them, do what those tests rely on.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::common::in_time;
use crate::common::proxy::Proxy;
use crate::common::servers::{Postgres, Redis, database_url, redis_url};

/// Sends a line and reads one.
async fn ask(stream: &mut TcpStream, line: &str) -> io::Result<String> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(in_time(stream.read_u8()).await?);
    }
    Ok(str::from_utf8(&line).unwrap().trim_end().to_owned())
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Asserts that it waits, for as long as is reasonable in a test.
async fn assert_waits(future: impl Future) {
    assert!(tokio::time::timeout(Duration::from_millis(200), future).await.is_err());
}

/// Returns whether the server closes the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(in_time(stream.read(&mut [0])).await, Ok(1))
}

/// Serves what sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

#[tokio::test]
async fn a_proxy_forwards_both_directions_and_their_ends() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = connect(proxy.address()).await;
    assert_eq!(ask(&mut stream, "hello").await.unwrap(), "hello");

    let sent = vec![b'x'; 1_000_000];
    let (mut read, mut write) = stream.split();
    let mut received = Vec::new();
    let (sent_all, received_all) = in_time(async {
        let send = async {
            write.write_all(&sent).await?;
            write.shutdown().await
        };
        tokio::join!(send, read.read_to_end(&mut received))
    })
    .await;
    sent_all.unwrap();
    received_all.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_cut_closes_the_connections_of_now() {
    let proxy = Proxy::to(echo().await).await;
    let mut before = connect(proxy.address()).await;
    ask(&mut before, "hello").await.unwrap();
    proxy.cut();
    assert!(is_closed(&mut before).await);

    let mut after = connect(proxy.address()).await;
    assert_eq!(ask(&mut after, "hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_refusing_proxy_closes_connections_of_now_and_new_ones_until_it_resumes() {
    let proxy = Proxy::to(echo().await).await;
    let mut before = connect(proxy.address()).await;
    ask(&mut before, "hello").await.unwrap();
    proxy.refuse();
    assert!(is_closed(&mut before).await);
    assert!(is_closed(&mut connect(proxy.address()).await).await);

    proxy.resume();
    let mut after = connect(proxy.address()).await;
    assert_eq!(ask(&mut after, "hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_stalled_proxy_delivers_what_it_held_once_it_resumes() {
    let proxy = Proxy::to(echo().await).await;
    let mut before = connect(proxy.address()).await;
    ask(&mut before, "hello").await.unwrap();
    proxy.stall();
    let mut after = connect(proxy.address()).await;
    before.write_all(b"first\r\n").await.unwrap();
    after.write_all(b"second\r\n").await.unwrap();
    assert_waits(before.read_u8()).await;
    assert_waits(after.read_u8()).await;

    proxy.resume();
    assert_eq!(answer(&mut before).await.unwrap(), "first");
    assert_eq!(answer(&mut after).await.unwrap(), "second");
}

#[tokio::test]
async fn a_stalled_proxy_tells_nobody_of_the_end_of_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap()).await;
    let mut client = connect(proxy.address()).await;
    let (server, _) = in_time(listener.accept()).await.unwrap();
    proxy.stall();
    drop(server);
    assert_waits(client.read_u8()).await;
    proxy.resume();
    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn a_stalled_connection_can_be_cut() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = connect(proxy.address()).await;
    ask(&mut stream, "hello").await.unwrap();
    proxy.stall();
    proxy.cut();
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn a_delay_is_added_to_both_directions_until_the_proxy_resumes() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = connect(proxy.address()).await;
    let delay = Duration::from_millis(100);
    proxy.delay(delay);
    let start = Instant::now();
    assert_eq!(ask(&mut stream, "hello").await.unwrap(), "hello");
    assert!(start.elapsed() >= 2 * delay);

    proxy.delay(Duration::from_secs(3600));
    proxy.resume();
    assert_eq!(ask(&mut stream, "hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_connections_and_its_port() {
    let proxy = Proxy::to(echo().await).await;
    let mut stream = connect(proxy.address()).await;
    ask(&mut stream, "hello").await.unwrap();
    let address = proxy.address();
    drop(proxy);
    assert!(is_closed(&mut stream).await);
    in_time(async { while TcpStream::connect(address).await.is_ok() {} }).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn the_shared_postgres_has_connections_for_all_tests() {
    let mut connection = in_time(PgConnection::connect(&database_url())).await.unwrap();
    let query = "SELECT current_setting('max_connections')::int";
    let limit: i32 = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    assert!(limit >= 200);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_killed_postgres_ends_its_connections_and_keeps_its_data() {
    let mut server = Postgres::start().await;
    let mut connection = in_time(PgConnection::connect(&server.url())).await.unwrap();
    let insert = "CREATE TABLE kept AS SELECT 7 AS number";
    sqlx::query(insert).execute(&mut connection).await.unwrap();

    server.kill().await;
    assert!(in_time(connection.ping()).await.is_err());
    assert!(TcpStream::connect(server.address()).await.is_err());

    server.start_again().await;
    let mut connection = in_time(PgConnection::connect(&server.url())).await.unwrap();
    let select = sqlx::query_scalar("SELECT number FROM kept");
    let number: i32 = in_time(select.fetch_one(&mut connection)).await.unwrap();
    assert_eq!(number, 7);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_killed_postgres_ends_a_backend_that_is_busy() {
    let mut server = Postgres::start().await;
    let mut connection = in_time(PgConnection::connect(&server.url())).await.unwrap();
    let work = "SELECT count(*) FROM generate_series(1, 1000000000000)";
    let work = tokio::spawn(async move { sqlx::query(work).execute(&mut connection).await });
    let mut other = in_time(PgConnection::connect(&server.url())).await.unwrap();
    let busy = "SELECT EXISTS (SELECT FROM pg_stat_activity \
        WHERE state = 'active' AND pid <> pg_backend_pid())";
    let mut is_busy = false;
    while !is_busy {
        let ask = sqlx::query_scalar(busy).fetch_one(&mut other);
        is_busy = in_time(ask).await.unwrap();
    }

    server.kill().await;
    assert!(in_time(work).await.unwrap().is_err());
    server.start_again().await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_paused_postgres_hangs_until_it_resumes() {
    let server = Postgres::start().await;
    let mut connection = in_time(PgConnection::connect(&server.url())).await.unwrap();
    server.pause().await;
    let waiting = tokio::spawn(async move { connection.ping().await });
    assert_waits(PgConnection::connect(&server.url())).await;
    assert!(!waiting.is_finished());

    server.resume();
    in_time(waiting).await.unwrap().unwrap();
    in_time(PgConnection::connect(&server.url())).await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_postgres_is_reached_through_a_proxy() {
    let server = Postgres::start().await;
    let proxy = Proxy::to(server.address()).await;
    let url = Postgres::url_at(proxy.address());
    let mut connection = in_time(PgConnection::connect(&url)).await.unwrap();
    in_time(connection.ping()).await.unwrap();
    proxy.cut();
    assert!(in_time(connection.ping()).await.is_err());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_dropped_postgres_is_gone_also_when_it_was_killed_or_paused() {
    let mut killed = Postgres::start().await;
    killed.kill().await;
    let paused = Postgres::start().await;
    let connection = in_time(PgConnection::connect(&paused.url())).await.unwrap();
    paused.pause().await;
    for server in [killed, paused] {
        let (address, directory) = (server.address(), server.directory().to_owned());
        drop(server);
        assert!(TcpStream::connect(address).await.is_err());
        assert!(!directory.exists());
    }
    drop(connection);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn the_shared_redis_answers() {
    let url = redis_url();
    let mut stream = connect(url.strip_prefix("redis://").unwrap().parse().unwrap()).await;
    assert_eq!(ask(&mut stream, "PING").await.unwrap(), "+PONG");
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_killed_redis_ends_its_connections_and_keeps_its_data() {
    let mut server = Redis::start().await;
    let mut stream = connect(server.address()).await;
    assert_eq!(ask(&mut stream, "INCR kept").await.unwrap(), ":1");

    server.kill().await;
    assert!(is_closed(&mut stream).await);
    assert!(TcpStream::connect(server.address()).await.is_err());

    server.start_again().await;
    let mut stream = connect(server.address()).await;
    assert_eq!(ask(&mut stream, "INCR kept").await.unwrap(), ":2");
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_paused_redis_hangs_until_it_resumes() {
    let server = Redis::start().await;
    let mut before = connect(server.address()).await;
    server.pause().await;
    let mut after = connect(server.address()).await;
    assert_waits(ask(&mut before, "PING")).await;
    assert_waits(ask(&mut after, "PING")).await;

    server.resume();
    assert_eq!(answer(&mut before).await.unwrap(), "+PONG");
    assert_eq!(answer(&mut after).await.unwrap(), "+PONG");
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn servers_of_one_kind_stand_beside_each_other_until_they_are_dropped() {
    let (first, second) = (Redis::start().await, Redis::start().await);
    let mut stream = connect(first.address()).await;
    assert_eq!(ask(&mut stream, "INCR count").await.unwrap(), ":1");
    drop(first);
    assert!(is_closed(&mut stream).await);
    let mut stream = connect(second.address()).await;
    assert_eq!(ask(&mut stream, "INCR count").await.unwrap(), ":1");
}
