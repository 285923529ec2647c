#!/usr/bin/env bash
# lambda_http 1.3.2 (crates.io): an event of API Gateway's REST API has each header twice, in `headers` with its last
# value and in `multiValueHeaders` with all of them. The request that lambda_http makes of it has the last value
# alone: the single ones replace what the others brought. Of a load balancer's event, which has one of the two maps,
# all values arrive.
#
# It matters to handlers that are moved between the two, and to all that read lists from repeated lines (`Accept`,
# `X-Forwarded-For`, links, tags): behind API Gateway they see one item, and no error tells. Tests with events that
# are written by hand, with `multiValueHeaders` alone, pass.
set -euo pipefail
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
lambda_http = { version = "=1.3.2", default-features = false, features = ["apigw_rest", "alb"] }
serde_json = "1"
TOML
cat >src/main.rs <<'RUST'
use serde_json::{Value, json};

/// What a request has that lambda_http makes of an event.
fn tags(event: &Value) -> Vec<String> {
    let request = lambda_http::request::from_str(&event.to_string()).unwrap();
    let values = request.headers().get_all("x-tag").iter();
    values.map(|value| value.to_str().unwrap().to_owned()).collect()
}

fn main() {
    let mut gateway = json!({
        "resource": "/notes",
        "path": "/notes",
        "httpMethod": "GET",
        "headers": { "x-tag": "two" },
        "multiValueHeaders": { "x-tag": ["one", "two"] },
        "requestContext": {
            "accountId": "1", "apiId": "a", "httpMethod": "GET", "path": "/notes", "protocol": "HTTP/1.1",
            "requestId": "r", "resourceId": "n", "resourcePath": "/notes", "stage": "prod",
            "identity": { "sourceIp": "127.0.0.1" },
        },
        "body": null,
        "isBase64Encoded": false,
    });
    let both = tags(&gateway);
    gateway["headers"] = json!({});
    let multiple = tags(&gateway);
    let balancer = tags(&json!({
        "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:x" } },
        "httpMethod": "GET",
        "path": "/notes",
        "multiValueHeaders": { "x-tag": ["one", "two"] },
        "body": "",
        "isBase64Encoded": false,
    }));
    println!("API Gateway, both maps, as it sends them: {both:?}");
    println!("API Gateway, multiValueHeaders alone: {multiple:?}");
    println!("load balancer, multiValueHeaders: {balancer:?}");
    if both != ["two"] || multiple != ["one", "two"] || balancer != ["one", "two"] {
        std::process::exit(1);
    }
}
RUST
if ! cargo run --quiet; then
    echo "this has changed: which lines of a header lambda_http keeps" >&2
    exit 1
fi
