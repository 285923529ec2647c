//! [`Nginx`]: a proxy in front of the bare server that checks keys itself, or asks a server with the layer.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use super::load::is_installed;

/// What is measured, and the path that has it.
pub(crate) const PATHS: [(&str, &str); 3] =
    [("nginx bare", "bare"), ("nginx map", "map"), ("nginx auth_request", "ask")];

pub(crate) struct Nginx {
    pub(crate) address: String,
    child: Child,
    directory: tempfile::TempDir,
}

impl Nginx {
    /// Starts it in front of `bare`, by `key` or by what `memory` says of keys.
    pub(crate) fn start(bare: &str, memory: &str, key: &str) -> Option<Self> {
        let program = ["nginx", "/usr/sbin/nginx"].into_iter().find(|each| is_installed(each))?;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let text = format!(
            r#"
            daemon off; worker_processes 1; pid {root}/pid; error_log {root}/errors;
            events {{}}
            http {{
                access_log off; keepalive_requests 1000000000;
                client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
                fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi;
                scgi_temp_path {root}/scgi;
                map_hash_bucket_size 128;
                map $http_x_api_key $is_known {{ default 0; "{key}" 1; }}
                upstream bare {{ server {bare}; keepalive 32; }}
                upstream memory {{ server {memory}; keepalive 32; }}
                proxy_http_version 1.1; proxy_set_header Connection "";
                server {{
                    listen {address};
                    location /bare/ {{ proxy_pass http://bare/; }}
                    location /map/ {{
                        if ($is_known = 0) {{ return 401; }}
                        proxy_pass http://bare/;
                    }}
                    location /ask/ {{ auth_request /allowed; proxy_pass http://bare/; }}
                    location = /allowed {{ internal; proxy_pass http://memory/allowed; }}
                }}
            }}
            "#
        );
        let file = directory.path().join("nginx.conf");
        fs::write(&file, text).unwrap();
        let errors = directory.path().join("errors");
        let child = Command::new(program).arg("-e").arg(errors).arg("-c").arg(&file).spawn();
        let child = child.unwrap();
        let nginx = Self { address, child, directory };
        for _ in 0..100 {
            if TcpStream::connect(&nginx.address).is_ok() {
                return Some(nginx);
            }
            sleep(Duration::from_millis(50));
        }
        let errors = fs::read_to_string(nginx.directory.path().join("errors"));
        panic!("nginx did not start: {errors:?}");
    }

    /// Returns the number of the process that serves.
    pub(crate) fn worker(&self) -> u32 {
        let pid = self.child.id();
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The worker ends with the process that started it, if that may end it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
