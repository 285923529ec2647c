//! nginx, which asks a judge whether a request may go to the application.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use axum::Router;
use tokio::net::UnixListener;

use crate::common::server::{Kind, Server, command};

/// nginx with `tests/request/proxies/auth_request.conf`.
pub struct AuthRequest {
    nginx: Server<NginxKind>,
}

impl AuthRequest {
    pub async fn start(judge: Router, application: Router) -> Self {
        let nginx = Server::start().await;
        for (name, router) in [("judge.sock", judge), ("application.sock", application)] {
            let listener = UnixListener::bind(nginx.directory().join(name)).unwrap();
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        Self { nginx }
    }

    /// Returns where it speaks HTTP/1.
    pub fn http1(&self) -> SocketAddr {
        self.nginx.address()
    }

    /// Returns where it speaks HTTP/2.
    pub fn http2(&self) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 0, 2), self.nginx.address().port()).into()
    }
}

pub enum NginxKind {}

impl Kind for NginxKind {
    fn create(_: &Path) -> Option<Command> {
        None
    }

    fn command(directory: &Path, port: u16) -> Command {
        const CONFIGURATION: &str = include_str!("proxies/auth_request.conf");
        let file = directory.join("nginx.conf");
        std::fs::write(&file, CONFIGURATION.replace("PORT", &port.to_string())).unwrap();
        let mut nginx = command("nginx", directory);
        nginx.arg("-p").arg(directory).arg("-c").arg(file).args(["-e", "error.log"]);
        nginx
    }

    /// It writes the file once it listens.
    fn is_ready(directory: &Path, process: u32) -> bool {
        let file = std::fs::read_to_string(directory.join("nginx.pid"));
        file.is_ok_and(|file| file.trim() == process.to_string())
    }

    fn url(address: SocketAddr) -> String {
        format!("http://{address}")
    }
}
