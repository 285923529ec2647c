//! What requests cost that are compared with many patterns, counted in instructions by Valgrind.

#![allow(clippy::unwrap_used, reason = "tests")]
#![cfg(unix)]

use std::convert::Infallible;
use std::hint::black_box;
use std::process::Command;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer as _, Service as _, service_fn};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{ApiKeyLayer, KeyScheme, MemoryStore, NewKey};

/// Says that this process is to do what is measured.
const MEASURED: &str = "PATTERN_COSTS_MEASURED";

/// A way to a refusal: a key or a policy with so many patterns, and a request.
struct Case {
    name: &'static str,
    layer: fn(usize) -> (ApiKeyLayer, String),
    path: String,
    lines: Vec<(&'static str, String)>,
}

impl Case {
    fn new(
        name: &'static str,
        layer: fn(usize) -> (ApiKeyLayer, String),
        path: impl Into<String>,
        lines: &[(&'static str, &str)],
    ) -> Self {
        let lines = lines.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { name, layer, path: path.into(), lines }
    }

    fn all() -> Vec<Self> {
        let x = |count| "x".repeat(count);
        let page =
            |start: &str, end: &str| format!("{start}{}{end}", x(4096 - start.len() - end.len()));
        let labels = format!("https://{}.b.example", "a.".repeat(520) + "a");
        let host = format!("https://a{}.b.example", x(1000));
        let plain = page("https://a.example/", "");
        let odd = page("HTTPS://A.Example:443/<", "?<");
        let segments = "/x".repeat(4096);
        let long = format!("/x/{}", x(8189));
        let encoded = format!("/x/{}", "%61".repeat(2729));
        vec![
            Self::new("referrers", referrers, "/", &[("referer", &plain)]),
            Self::new("referrers, rewritten", referrers, "/", &[("referer", &odd)]),
            Self::new("origins by referrer", origins, "/", &[("referer", &odd)]),
            Self::new("origins, many labels", origins, "/", &[("origin", &labels)]),
            Self::new("origins, long", origins, "/", &[("origin", &host)]),
            Self::new("origins, rewritten", origins, "/", &[("origin", "HTTPS://A.B.Example:443")]),
            Self::new("endpoints, many segments", endpoints, segments.clone(), &[]),
            Self::new("endpoints, long", endpoints, long.clone(), &[]),
            Self::new("endpoints, encoded", endpoints, encoded.clone(), &[]),
            Self::new("policy, many segments", policy, segments, &[]),
            Self::new("policy, long", policy, long, &[]),
            Self::new("policy, encoded", policy, encoded, &[]),
        ]
    }

    /// Cases whose sizes have no bound of their own, each after one of the size that is read.
    fn too_long() -> Vec<[Self; 2]> {
        let page = |length: usize| format!("https://a.example/{}", "<".repeat(length - 18));
        let of_page =
            |length| Self::new("a long referrer", referrers, "/", &[("referer", &page(length))]);
        let of_origin =
            |length| Self::new("a long origin", origins, "/", &[("origin", &page(length))]);
        let of_path = |layer, length: usize| {
            Self::new("a long path", layer, format!("/x/{}", "%61".repeat((length - 3) / 3)), &[])
        };
        vec![
            [of_page(4096), of_page(300_000)],
            [of_origin(1000), of_origin(300_000)],
            [of_path(endpoints, 8190), of_path(endpoints, 60_000)],
            [of_path(policy, 8190), of_path(policy, 60_000)],
        ]
    }
}

fn with_key(key: NewKey) -> (ApiKeyLayer, String) {
    let issued = key.generate(&KeyScheme::default()).unwrap();
    let keys = MemoryStore::from_records([issued.record]).unwrap();
    (ApiKeyLayer::new(keys), issued.secret.reveal().to_owned())
}

fn listed<T>(count: usize, item: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(item).collect()
}

fn referrers(count: usize) -> (ApiKeyLayer, String) {
    let key = NewKey::named("x");
    if count == 0 {
        return with_key(key);
    }
    with_key(key.referrers(listed(count, |number| format!("https://a.example/shop-{number}/*"))))
}

fn origins(count: usize) -> (ApiKeyLayer, String) {
    let key = NewKey::named("x");
    if count == 0 {
        return with_key(key);
    }
    with_key(key.origins(listed(count, |number| format!("https://*.x{number}.b.example"))))
}

fn endpoints(count: usize) -> (ApiKeyLayer, String) {
    let key = NewKey::named("x");
    if count == 0 {
        return with_key(key);
    }
    with_key(key.endpoints(listed(count, |number| format!("/{{a}}/{{b}}/y{number}"))))
}

fn policy(count: usize) -> (ApiKeyLayer, String) {
    let (layer, key) = with_key(NewKey::named("x"));
    if count == 0 {
        return (layer, key);
    }
    let builder = AccessPolicy::builder();
    let policy = (0..count).fold(builder, |policy, number| {
        policy.allow(&format!("/{{a}}/{{b}}/y{number}"), Requirement::key())
    });
    (layer.policy(policy.build().unwrap()), key)
}

fn request(case: &Case, key: &str) -> Request<Empty<Bytes>> {
    let request = Request::get(&case.path).header("x-api-key", key);
    let request =
        case.lines.iter().fold(request, |request, (name, value)| request.header(*name, value));
    request.body(Empty::new()).unwrap()
}

/// Counted from here until it returns.
#[inline(never)]
fn measured_call(run: &mut dyn FnMut()) {
    run();
}

fn measure(case: &Case, count: usize) {
    let (layer, key) = (case.layer)(count);
    let inner = |_: Request<Empty<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    };
    let mut service = layer.layer(service_fn(inner));
    let mut requests = [request(case, &key), request(case, &key)].into_iter();
    let mut run = || {
        let answer = service.call(requests.next().unwrap()).now_or_never().unwrap().unwrap();
        let expected = if count == 0 { 200 } else { 403 };
        assert_eq!(answer.status(), expected, "{}", case.name);
        black_box(answer);
    };
    run();
    measured_call(&mut run);
}

/// The instructions of all that is measured, in its order.
fn instructions() -> Vec<u64> {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg("--toggle-collect=pattern_costs::measured_call")
        .arg("--dump-after=pattern_costs::measured_call")
        .arg(format!("--callgrind-out-file={}/out", directory.path().display()))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "what_is_measured", "--ignored", "--test-threads=1"])
        .env(MEASURED, "1")
        .output()
        .expect("Valgrind is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (1..)
        .map_while(|number| {
            std::fs::read_to_string(directory.path().join(format!("out.{number}"))).ok()
        })
        .filter(|dump| !dump.contains("Program termination"))
        .map(|dump| {
            let total = dump.lines().find_map(|line| line.strip_prefix("summary: ")).unwrap();
            total.parse().unwrap()
        })
        .collect()
}

#[test]
#[ignore = "done by the test below, in a process that is measured"]
fn what_is_measured() {
    if std::env::var_os(MEASURED).is_none() {
        return;
    }
    for case in Case::all() {
        for count in [0, 1, 100] {
            measure(&case, count);
        }
    }
    for cases in Case::too_long() {
        for case in cases {
            measure(&case, 0);
            measure(&case, 1);
        }
    }
}

#[test]
#[ignore = "needs Valgrind: `tests/all` runs it"]
fn a_request_is_parsed_once_however_many_patterns_there_are_and_however_long_it_is() {
    let mut counts = instructions().into_iter();
    let mut next = || counts.next().expect("one count for each call");
    for case in Case::all() {
        let [none, one, hundred] = [next(), next(), next()];
        let [one, hundred] = [one - none, hundred - none];
        println!("{}: one {one}, a hundred {hundred}", case.name);
        assert!(hundred <= 3 * one, "{}: one {one}, a hundred {hundred}", case.name);
    }
    for [case, _] in Case::too_long() {
        let [none, read, long_none, long] = [next(), next(), next(), next()];
        let [read, long] = [read - none, long.saturating_sub(long_none)];
        println!("{}: {long}, and {read} if it is read", case.name);
        assert!(long <= read, "{}: {long}, and {read} if it is read", case.name);
    }
}
