//! A client that sends an upload to its end before it reads, over HTTP/1.1.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::common::in_time;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug)]
pub enum Framing {
    Length,
    Chunked,
}

/// A connection that is kept as long as the server keeps it.
pub struct Connection(BufReader<TcpStream>);

/// An answer, with its header lines in lower case.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        // A head and a body are no reason to wait for an acknowledgement.
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends `POST path` with a key, unless it is empty, and returns what was answered after all was sent.
    pub async fn upload(
        &mut self,
        path: &str,
        key: &str,
        size: usize,
        framing: Framing,
    ) -> io::Result<Answer> {
        let framed = match framing {
            Framing::Length => format!("content-length: {size}"),
            Framing::Chunked => "transfer-encoding: chunked".to_owned(),
        };
        in_time(async {
            self.send_head("POST", path, &[&presented(key), &framed]).await?;
            self.send_body(size, framing).await?;
            self.answer().await
        })
        .await
    }

    pub async fn get(&mut self, path: &str, key: &str) -> io::Result<Answer> {
        in_time(async {
            self.send_head("GET", path, &[&presented(key)]).await?;
            self.answer().await
        })
        .await
    }

    pub async fn send_head(&mut self, method: &str, path: &str, lines: &[&str]) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        for line in lines.iter().filter(|line| !line.is_empty()) {
            head += &format!("{line}\r\n");
        }
        self.send((head + "\r\n").as_bytes()).await
    }

    pub async fn send_body(&mut self, size: usize, framing: Framing) -> io::Result<()> {
        static BLOCK: [u8; 64 * 1024] = [b'x'; 64 * 1024];
        let mut left = size;
        while left > 0 {
            let part = &BLOCK[..left.min(BLOCK.len())];
            left -= part.len();
            match framing {
                Framing::Length => self.send(part).await?,
                Framing::Chunked => {
                    self.send(format!("{:x}\r\n", part.len()).as_bytes()).await?;
                    self.send(part).await?;
                    self.send(b"\r\n").await?;
                }
            }
        }
        match framing {
            Framing::Length => Ok(()),
            Framing::Chunked => self.send(b"0\r\n\r\n").await,
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes).await
    }

    /// Tells the server that nothing more comes.
    pub async fn stop_sending(&mut self) -> io::Result<()> {
        self.0.get_mut().shutdown().await
    }

    /// Reads one answer, which has a `Content-Length`.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if in_time(self.0.read_line(&mut head)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        in_time(self.0.read_exact(&mut body)).await?;
        Ok(Answer { status, head, body: String::from_utf8(body).unwrap() })
    }

    /// Reads until the server closes the connection, and returns what else it sent.
    pub async fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        in_time(self.0.read_to_string(&mut rest)).await?;
        Ok(rest)
    }
}

fn presented(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("x-api-key: {key}") }
}
