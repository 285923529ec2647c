//! An upload that is refused is answered, and harms nobody else.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, RequireAbility};

use self::common::proxies::ProxyProgram;
use self::common::{in_time, issue, serve};

async fn upload(
    address: SocketAddr,
    path: &str,
    key: &str,
    size: usize,
    chunked: bool,
) -> Result<u16, String> {
    let work = async {
        let mut stream = TcpStream::connect(address).await?;
        let length = if chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {size}")
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n{length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let block = vec![b'x'; 64 * 1024];
        let mut left = size;
        while left > 0 {
            let part = &block[..left.min(block.len())];
            if chunked {
                stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await?;
            }
            stream.write_all(part).await?;
            if chunked {
                stream.write_all(b"\r\n").await?;
            }
            left -= part.len();
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").await?;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = in_time(work).await.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&answer);
    text.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(format!("no answer: {text}"))
}

fn app(keys: &MemoryStore) -> Router {
    Router::new()
        .route("/upload", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/guarded",
            post(|body: Bytes| async move { body.len().to_string() })
                .layer(RequireAbility::new("up:load")),
        )
        .route("/small", get(|| async { "here" }))
        .layer(ApiKeyLayer::new(keys.clone()).drain_refused(
            std::env::var("BYTES").map_or(64 << 20, |n| n.parse().unwrap()),
            std::time::Duration::from_secs(if std::env::var("OFF").is_ok() { 0 } else { 30 }),
        ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("small"));
    let nodes = [serve(app(&keys)).await, serve(app(&keys)).await];
    let nginx = match std::env::var("P").as_deref() {
        Ok("haproxy") => {
            ProxyProgram::start("uploads-haproxy.cfg", &["haproxy", "-db", "-f"], nodes)
        }
        Ok("apache") => {
            ProxyProgram::start("uploads-apache.conf", &["apache2", "-DFOREGROUND", "-f"], nodes)
        }
        Ok("haproxy2") => {
            ProxyProgram::start("uploads-haproxy2.cfg", &["haproxy", "-db", "-f"], nodes)
        }
        Ok("apache2") => {
            ProxyProgram::start("uploads-apache2.conf", &["apache2", "-DFOREGROUND", "-f"], nodes)
        }
        Ok("curl") => {
            for (size, http2, te) in [
                (900_000, true, ""),
                (3_000_000, true, ""),
                (64_000_000, true, ""),
                (64_000_000, true, "-Htransfer-encoding: chunked"),
            ] {
                let f = tempfile::NamedTempFile::new().unwrap();
                f.as_file().set_len(size).unwrap();
                for _ in 0..3 {
                    let out = tokio::process::Command::new("curl")
                        .args([
                            "-sv",
                            "-o",
                            "/dev/null",
                            "--http2-prior-knowledge",
                            "-Hx-api-key: wrong",
                            "-w",
                            "%{http_code} %{size_upload}",
                            "--data-binary",
                        ])
                        .arg(format!("@{}", f.path().display()))
                        .arg(format!("http://{}/upload", nodes[0]))
                        .output()
                        .await
                        .unwrap();
                    eprintln!(
                        "{size} {http2} {te} {:?} {}",
                        out.status.code(),
                        String::from_utf8_lossy(&out.stdout)
                    );
                    eprintln!(
                        "{}",
                        String::from_utf8_lossy(&out.stderr)
                            .lines()
                            .skip(0)
                            .take(60)
                            .collect::<Vec<_>>()
                            .join("\n")
                    );
                }
            }
            return;
        }
        _ => ProxyProgram::start("uploads-nginx.conf", &["nginx", "-c"], nodes),
    };
    let n: usize = std::env::var("N").map_or(10, |n| n.parse().unwrap());
    for prefix in if std::env::var("P").is_ok() { vec![""] } else { vec!["", "/streamed"] } {
        for size in [900_000, 3_000_000, 64_000_000] {
            for chunked in [false, true] {
                let start = Instant::now();
                let mut seen = std::collections::BTreeMap::<String, usize>::new();
                for _ in 0..n {
                    let up =
                        upload(nginx.address, &format!("{prefix}/upload"), "wrong", size, chunked)
                            .await;
                    *seen.entry(format!("up {up:?}")).or_default() += 1;
                    let small =
                        common::get_raw(nginx.address, "/small", &[&format!("x-api-key: {key}")])
                            .await
                            .status;
                    *seen.entry(format!("small {small:?}")).or_default() += 1;
                }
                eprintln!("{prefix} {size} {chunked} {seen:?} {:?}", start.elapsed());
            }
        }
    }
    eprintln!("{}", nginx.log().lines().count());
    for l in nginx.log().lines().filter(|l| !l.contains("buffered")).take(12) {
        eprintln!("{l}");
    }
}
