//! Clients that generators make of the management document, with the router that it describes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::python::python;
use crate::common::{get_raw, serve};
use crate::openapi::{Answered, documented};
use crate::openapi_linters::{folder, npm, packages};

/// A router, a key for it, and a folder that has its document.
struct Api {
    address: SocketAddr,
    key: String,
    directory: tempfile::TempDir,
}

impl Api {
    async fn serve() -> Self {
        let (app, key) = documented(&Answered::default()).await;
        let address = serve(app).await;
        let directory = tempfile::tempdir().unwrap();
        let document = get_raw(address, "/openapi.json", &[&format!("x-api-key: {key}")]).await;
        fs::write(directory.path().join("openapi.json"), document.body).unwrap();
        Self { address, key, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Copies a file of the tests beside the document.
    fn copy(&self, name: &str) {
        fs::copy(folder().join(name), self.path().join(name)).unwrap();
    }

    /// Runs a program beside the document, and returns what it says.
    async fn run(&self, mut command: Command) -> Vec<u8> {
        command.current_dir(self.path());
        let output = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = tokio::time::timeout(std::time::Duration::from_secs(300), output).await;
        let output = output.expect("it hangs").unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs the client with the router, and asserts what it sees.
    async fn check(&self, mut client: Command) {
        client.arg(format!("http://{}", self.address)).arg(&self.key);
        let said: Value = serde_json::from_slice(&self.run(client).await).unwrap();
        let expected = json!({
            "issued": {
                "name": "Production Key",
                "abilities": ["bots:read"],
                "begins": "sk_live_",
            },
            "listed": true,
            "is_another": true,
            "revoked": true,
            "state": "revoked",
            "wrong": [422, "name", ["name"]],
            "stranger": 401,
        });
        assert_eq!(said, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node: run tests/all"]
async fn a_client_of_openapi_typescript_is_type_checked_and_works() {
    let api = Api::serve().await;
    let mut generate = npm("openapi-typescript");
    generate.args(["openapi.json", "--output", "schema.d.ts"]);
    api.run(generate).await;
    api.copy("client.ts");
    api.copy("tsconfig.json");
    fs::write(api.path().join("package.json"), r#"{ "type": "module" }"#).unwrap();
    // Modules of ECMAScript do not look at NODE_PATH.
    std::os::unix::fs::symlink(packages(), api.path().join("node_modules")).unwrap();
    let mut check = npm("tsc");
    check.args(["--project", "."]);
    api.run(check).await;
    let mut client = Command::new("node");
    client.arg("client.js");
    api.check(client).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python: run tests/all"]
async fn a_client_of_openapi_python_client_works() {
    let api = Api::serve().await;
    let mut generate = python();
    generate.args(["-m", "openapi_python_client", "generate", "--meta", "none"]);
    generate.args(["--path", "openapi.json", "--output-path", "keys_client", "--config"]);
    generate.arg(folder().join("python_client.yaml")).arg("--fail-on-warning");
    api.run(generate).await;
    api.copy("client.py");
    let mut client = python();
    client.arg("client.py").env("PYTHONDONTWRITEBYTECODE", "1");
    api.check(client).await;
}
