//! AWS Lambda: events as API Gateway and load balancers send them, through what `lambda_http::run`
//! runs, without AWS.

use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Adapter, LambdaEvent, RequestExt as _, Service as _};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_api_key::{ApiKeyLayer, KeyManager, NewKey, PeerAddress, TrustedProxies};

use crate::contract::{Answer, Keys, axum_app, check};

/// What stands for a load balancer, which tells nothing of its own address.
const LOAD_BALANCER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Tells the layer for whom AWS asks: API Gateway by the context of the event, and a load balancer
/// by the last entry of `X-Forwarded-For`.
fn tell_peer(mut request: Request<Body>) -> Request<Body> {
    let address = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.as_deref(),
        _ => None,
    };
    let is_load_balancer = matches!(request.request_context_ref(), Some(RequestContext::Alb(_)));
    let address = address.and_then(|address| address.parse().ok());
    if let Some(address) = address.or(is_load_balancer.then_some(LOAD_BALANCER)) {
        request.extensions_mut().insert(PeerAddress((address, 0).into()));
    }
    request
}

fn app(layer: ApiKeyLayer) -> Router {
    axum_app().layer(layer.trusted_proxies(TrustedProxies::networks([LOAD_BALANCER.to_string()])))
}

#[derive(Clone, Copy, Debug)]
enum From {
    HttpApi,
    RestApi,
    LoadBalancer,
    /// Of which the target group has headers with several values.
    LoadBalancerMultiValue,
}

const ALL: [From; 4] =
    [From::HttpApi, From::RestApi, From::LoadBalancer, From::LoadBalancerMultiValue];

impl From {
    /// Makes an event of a request from 192.0.2.7.
    fn event(self, request: &Request<()>) -> Value {
        let mut headers = request.headers().clone();
        // They add their own, after what the client says.
        let said = headers.get("x-forwarded-for").map(|said| said.to_str().unwrap());
        let forwarded = said.map(|said| format!("{said}, ")).unwrap_or_default() + "192.0.2.7";
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        headers.insert("host", "api.acme.example".parse().unwrap());
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let names = || headers.keys().map(HeaderName::as_str);
        // Of several lines with one name, API Gateway joins them or has the last, and so has a load balancer.
        let joins = matches!(self, Self::HttpApi);
        let single = |name: &str| {
            let mut values = headers.get_all(name).iter().map(text);
            if joins { values.collect::<Vec<_>>().join(",") } else { values.next_back().unwrap() }
        };
        let single: Value = names().map(|name| (name, single(name))).collect();
        let several: Value = names()
            .map(|name| (name, headers.get_all(name).iter().map(text).collect::<Vec<_>>()))
            .collect();
        let (method, path) = (request.method().as_str(), request.uri().path());
        match self {
            Self::HttpApi => json!({
                "version": "2.0",
                "routeKey": "$default",
                "rawPath": path,
                "rawQueryString": request.uri().query().unwrap_or_default(),
                "headers": single,
                "requestContext": {
                    "accountId": "123456789012",
                    "apiId": "api-id",
                    "domainName": "api.acme.example",
                    "domainPrefix": "api",
                    "http": {
                        "method": method,
                        "path": path,
                        "protocol": "HTTP/1.1",
                        "sourceIp": "192.0.2.7",
                        "userAgent": "agent",
                    },
                    "requestId": "id",
                    "routeKey": "$default",
                    "stage": "$default",
                    "time": "12/Mar/2020:19:03:58 +0000",
                    "timeEpoch": 1_583_348_638_390_u64,
                },
                "isBase64Encoded": false,
            }),
            Self::RestApi => json!({
                "resource": "/{proxy+}",
                "path": path,
                "httpMethod": method,
                "headers": single,
                "multiValueHeaders": several,
                "queryStringParameters": null,
                "multiValueQueryStringParameters": null,
                "pathParameters": { "proxy": path },
                "stageVariables": null,
                "requestContext": {
                    "accountId": "123456789012",
                    "apiId": "api-id",
                    "httpMethod": method,
                    "identity": { "sourceIp": "192.0.2.7", "userAgent": "agent" },
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "requestId": "id",
                    "resourceId": "abc",
                    "resourcePath": "/{proxy+}",
                    "stage": "$default",
                },
                "body": null,
                "isBase64Encoded": false,
            }),
            Self::LoadBalancer | Self::LoadBalancerMultiValue => {
                let (name, headers) = match self {
                    Self::LoadBalancer => ("headers", single),
                    _ => ("multiValueHeaders", several),
                };
                let arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/a/b";
                json!({
                    "requestContext": { "elb": { "targetGroupArn": arn } },
                    "httpMethod": method,
                    "path": path,
                    "queryStringParameters": {},
                    name: headers,
                    "body": "",
                    "isBase64Encoded": false,
                })
            }
        }
    }

    async fn ask(self, app: Router, request: Request<()>) -> Answer {
        let app = app.map_request(|request: lambda_http::Request| {
            tell_peer(request.map(|body| Body::from(body.to_vec())))
        });
        let event = serde_json::from_value(self.event(&request)).unwrap();
        let event = LambdaEvent::new(event, lambda_http::Context::default());
        let mut adapter = Adapter::from(app);
        std::future::poll_fn(|cx| adapter.poll_ready(cx)).await.unwrap();
        let answer = serde_json::to_value(adapter.call(event).await.unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        let mut add = |name: &str, value: &Value| {
            let name = HeaderName::try_from(name).unwrap();
            headers.append(name, value.as_str().unwrap().parse().unwrap());
        };
        let several = answer["multiValueHeaders"].as_object().filter(|all| !all.is_empty());
        match several {
            Some(several) => several.iter().for_each(|(name, values)| {
                values.as_array().unwrap().iter().for_each(|value| add(name, value));
            }),
            None => {
                let single = answer["headers"].as_object().unwrap();
                single.iter().for_each(|(name, value)| add(name, value));
            }
        }
        assert_eq!(answer["isBase64Encoded"], false, "{answer}");
        let status = u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap();
        let body = answer["body"].as_str().unwrap_or_default();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
    }
}

#[tokio::test]
async fn a_function_answers_each_kind_of_event_by_the_layer() {
    let keys = Keys::new();
    let app = app(keys.layer());
    for from in ALL {
        check(async |request| from.ask(app.clone(), request).await, &keys).await;
    }
}

#[tokio::test]
async fn a_key_for_an_address_works_for_the_one_that_aws_tells_and_not_for_one_that_is_said() {
    let keys = Keys::new();
    let manager = KeyManager::new(keys.store.clone());
    let issue = async |network: &str| {
        let key = NewKey::named("at home").tenant("acme").abilities(["bots:read"]);
        manager.issue(key.addresses([network])).await.unwrap()
    };
    let (home, elsewhere) = (issue("192.0.2.7").await, issue("198.51.100.1").await);
    let app = app(keys.layer());
    for from in ALL {
        for (key, said, status) in [
            (&home, None, 200),
            (&home, Some("198.51.100.1"), 200),
            (&elsewhere, None, 403),
            (&elsewhere, Some("198.51.100.1"), 403),
        ] {
            let mut request = Request::get("/bots").header("x-api-key", key.secret.reveal());
            if let Some(said) = said {
                request = request.header("x-forwarded-for", said);
            }
            let answer = from.ask(app.clone(), request.body(()).unwrap()).await;
            assert_eq!(answer.status, status, "{from:?} {said:?} {answer:?}");
        }
    }
}

#[tokio::test]
async fn two_keys_are_never_judged_by_the_better_one_unless_it_is_all_that_is_handed_on() {
    let keys = Keys::new();
    let app = app(keys.layer());
    for (from, good_first, good_last) in [
        (From::HttpApi, 401, 401),
        // Of the lines of which `lambda_http` 1.3 is told, it hands on the last.
        (From::RestApi, 401, 200),
        (From::LoadBalancer, 401, 200),
        (From::LoadBalancerMultiValue, 400, 400),
    ] {
        let lines = [["wrong", &keys.reader], [&*keys.reader, "wrong"]];
        for (lines, status) in lines.into_iter().zip([good_last, good_first]) {
            let request = Request::get("/bots").header("x-api-key", lines[0]);
            let request = request.header("x-api-key", lines[1]).body(()).unwrap();
            let answer = from.ask(app.clone(), request).await;
            assert_eq!(answer.status, status, "{from:?} {lines:?} {answer:?}");
        }
    }
}
