//! Cases for a layer to decide: a key, settings, and a request, of parts that can meet each other.

use arbitrary::Arbitrary;
use http::Method;

use crate::credentials::Place;

/// The key that the store may know, one that it never knows, and texts that are no keys of the
/// format, or none at all.
pub const KEY: &str = "sk_00112233445566778899aabbccddeeff00112233";
pub const TEXTS: [&str; 7] =
    [KEY, "sk_ff112233445566778899aabbccddeeff00112233", "pk_1", "", "a b", "a,b", "sk_0"];

pub const ABILITIES: [&str; 5] = ["bots:read", "bots:write", "bots:*", "chat:send", "*"];
pub const ADDRESSES: [&str; 6] =
    ["192.0.2.1", "198.51.100.7", "10.0.0.1", "10.0.0.2", "2001:db8::1", "::ffff:192.0.2.9"];
/// What a proxy may write; the first are addresses.
pub const ENTRIES: [&str; 8] = [
    "192.0.2.1",
    "198.51.100.7",
    "10.0.0.1",
    "10.0.0.2:99",
    "[2001:db8::1]",
    "::ffff:192.0.2.9",
    "unknown",
    "",
];
pub const NETWORKS: [&str; 3] = ["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0"];
pub const ORIGINS: [&str; 3] =
    ["https://shop.example", "https://*.shop.example", "http://localhost:8080"];
pub const REFERRERS: [&str; 4] = [
    "https://shop.example/*",
    "https://shop.example/cart",
    "https://shop.example/cart/*",
    "https://*.shop.example/*",
];
pub const ENDPOINTS: [&str; 8] = [
    "GET /bots",
    "/bots/{id}",
    "POST /bots/{id}",
    "/bots/me",
    "/files/*",
    "GET /prod/bots",
    "GET /",
    "DELETE /{any}/{other}",
];
pub const SEGMENTS: [&str; 14] = [
    "bots",
    "7",
    "me",
    "files",
    "prod",
    "dev",
    "..",
    "%2e%2e",
    "%62ots",
    "%6de",
    "%ff",
    "",
    "a;b",
    "caf%C3%A9",
];
pub const METHODS: [&str; 8] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FETCH"];

/// Values of `Origin`, and what they are as browsers write it, if they are an origin.
pub const SITES: [(&str, Option<&str>); 9] = [
    ("https://shop.example", Some("https://shop.example")),
    ("https://a.shop.example", Some("https://a.shop.example")),
    ("https://a.b.shop.example", Some("https://a.b.shop.example")),
    ("HTTPS://Shop.Example:443", Some("https://shop.example")),
    ("http://localhost:8080", Some("http://localhost:8080")),
    ("https://evilshop.example", Some("https://evilshop.example")),
    ("null", None),
    ("https://shop.example/", None),
    ("https://user@shop.example", None),
];
/// Values of `Referer`, and the origin and, if it is in normal form, the path.
pub const PAGES: [(&str, Option<(&str, Option<&str>)>); 9] = [
    ("https://shop.example/", Some(("https://shop.example", Some("/")))),
    ("https://shop.example", Some(("https://shop.example", Some("/")))),
    ("https://shop.example/cart", Some(("https://shop.example", Some("/cart")))),
    ("https://shop.example/cart/1?x#y", Some(("https://shop.example", Some("/cart/1")))),
    ("https://shop.example/cart/../x", Some(("https://shop.example", None))),
    ("https://a.shop.example/cart/", Some(("https://a.shop.example", Some("/cart/")))),
    ("https://evil.example/https://shop.example/", Some(("https://evil.example", None))),
    ("/cart", None),
    ("about:blank", None),
];
pub const HOSTS: [&str; 4] =
    ["shop.example", "SHOP.example:443", "localhost:8080", "a.shop.example"];
pub const FETCH_SITES: [&str; 4] = ["same-origin", "none", "same-site", "cross-site"];

#[derive(Arbitrary, Clone, Debug)]
pub struct Case {
    pub key: Key,
    pub layer: Settings,
    pub request: Asked,
}

/// The record of [`KEY`]. A list is a bit for each of those above.
#[derive(Arbitrary, Clone, Debug)]
pub struct Key {
    pub is_public: bool,
    pub stage: Option<Name>,
    pub tenant: Option<Name>,
    pub abilities: u8,
    pub is_disabled: bool,
    pub is_revoked: bool,
    /// In so many seconds.
    pub expires: Option<i8>,
    /// Once an hour.
    pub is_limited: bool,
    pub addresses: Option<u8>,
    pub origins: Option<u8>,
    pub referrers: Option<u8>,
    pub endpoints: Option<u8>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Prod,
    Dev,
}

impl Name {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Dev => "dev",
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Settings {
    pub store: Store,
    pub places: Places,
    pub format: Format,
    pub is_optional: bool,
    pub forwards_preflights: bool,
    pub accepts_public_keys: bool,
    pub keeps_credentials: bool,
    pub trust: Trusted,
    pub may_be_clients: bool,
    pub guards: Vec<Guard>,
    pub policy: Option<Policy>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    AtOnce,
    Later,
    Fails,
    /// Answers every question with the record of the key.
    Confused,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Places {
    Default,
    Bearer,
    BearerOrBasic,
    Query,
    DefaultOrQuery,
}

impl Places {
    pub fn all(self) -> Vec<Place> {
        let (header, bearer) = (Place::Header("x-api-key"), Place::Scheme("Bearer"));
        match self {
            Self::Default => vec![header, bearer],
            Self::Bearer => vec![bearer],
            Self::BearerOrBasic => vec![bearer, Place::Basic],
            Self::Query => vec![Place::Query("key")],
            Self::DefaultOrQuery => vec![header, bearer, Place::Query("key")],
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Any,
    /// `sk_` and 40 hexadecimal digits.
    Hex,
    /// The same, for the stage `prod`.
    HexOfProd,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Trusted {
    Nobody,
    Ten,
    OneHop,
    TwoHops,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Guard {
    Stage(Name),
    StageInPath(bool),
    Tenant(Name),
    TenantInPath(bool),
    CanRead,
    CanReadAndSend,
    ByMethod,
    Public,
    SameOrigin,
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Policy {
    pub rules: Vec<(u8, Access)>,
    pub is_report_only: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Access {
    Public,
    Key { kind: Option<bool>, stage: Option<Name>, reads: bool, is_report_only: bool },
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Asked {
    pub method: u8,
    pub segments: Vec<u8>,
    pub credentials: Vec<(Carrier, u8)>,
    pub peer: Option<u8>,
    pub forwarded: Vec<Vec<u8>>,
    pub origins: Vec<u8>,
    pub pages: Vec<u8>,
    pub hosts: Vec<u8>,
    pub fetch_sites: Vec<u8>,
    pub asks_for_method: bool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Carrier {
    ApiKey,
    Bearer,
    BearerWithSpaces,
    Basic,
    Digest,
    Query,
}

pub fn pick<T: Copy>(all: &[T], number: u8) -> T {
    all[usize::from(number) % all.len()]
}

/// Returns those whose bit is set.
pub fn subset<T: Copy>(all: &[T], bits: u8) -> Vec<T> {
    all.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, one)| *one).collect()
}

pub fn method(asked: &Asked) -> Method {
    pick(&METHODS, asked.method).parse().unwrap()
}

pub fn path(asked: &Asked) -> String {
    let segments: Vec<_> =
        asked.segments.iter().take(5).map(|number| pick(&SEGMENTS, *number)).collect();
    format!("/{}", segments.join("/"))
}
