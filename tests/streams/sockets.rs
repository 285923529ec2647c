//! What clients of WebSockets make of one that ends with its key.

use std::sync::atomic::Ordering;

use tokio::process::Command;

use crate::clients::{Server, node, run};
use crate::common::python::python;

#[tokio::test]
#[ignore = "needs Node: run tests/all"]
async fn ws_of_npm_is_told_and_refused_from_then_on() {
    let server = Server::start().await;
    let (url, key) = (server.socket(), server.secret().to_owned());
    let arguments = [&*url, &key];
    let (said, ()) = tokio::join!(node("ws.cjs", &arguments), server.end(1));
    assert_eq!(
        said,
        "realtime; messages: true; closed: 1008 the API key is not valid any more; \
         then refused: 401"
    );
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
#[ignore = "needs Python: run tests/all"]
async fn websockets_of_python_connects_once_more_and_stops() {
    let server = Server::start().await;
    let mut command = Command::from(python());
    command.arg("streams/websockets_client.py").arg(server.socket()).arg(server.secret());
    let (output, ()) = tokio::join!(run(command), server.end(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "realtime; closed: 1008 the API key is not valid any more; then refused: 401",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
}
