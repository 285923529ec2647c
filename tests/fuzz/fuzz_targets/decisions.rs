//! Whole requests, decided by a layer and by a model of it.

#![no_main]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Empty;
use libfuzzer_sys::fuzz_target;
use tower_api_key::extract::{Basic, Bearer, FirstOf, Query};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    Alphabet, ApiKeyLayer, Immediate, KeyDigest, KeyFormat, KeyHasher, KeyKind, KeyRecord,
    KeyScheme, KeyStore, MemoryStore, PeerAddress, RefuseCrossOrigin, RejectionKind,
    RequireAbility, RequireKind, RequireStage, RequireTenant, StoreError, TrustedProxies,
};
use tower_api_key_fuzz::credentials::find;
use tower_api_key_fuzz::decisions::*;
use tower_api_key_fuzz::memory::MemoryKeys as _;
use tower_api_key_fuzz::model::expected;
use tower_api_key_fuzz::{Outcome, call};

fuzz_target!(|case: Case| {
    let Some(layer) = layer(&case) else { return };
    let asked = request(&case.request);
    let expected = expected(&case, &asked);
    let (outcome, seen) = call(&layer, asked);
    assert!(expected.contains(&outcome), "{outcome:?}, and not {expected:?}: {case:#?}");
    if let (Outcome::Admitted(_), Some(seen), false) =
        (&outcome, &seen, case.layer.keeps_credentials)
    {
        assert_eq!(find(&case.layer.places.all(), seen), Ok(None));
    }
    // Once more: a limited key is used up if it was let through.
    let again = match (&outcome, case.key.is_limited) {
        (Outcome::Admitted(_), true) => Outcome::Refused(RejectionKind::RateLimited),
        _ => outcome.clone(),
    };
    assert_eq!(call(&layer, request(&case.request)).0, again);
});

fn layer(case: &Case) -> Option<ApiKeyLayer> {
    let settings = &case.layer;
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000));
    let store = Answers { keys: MemoryStore::new(), how: settings.store };
    store.keys.insert(record(&case.key));
    let mut layer = ApiKeyLayer::new(store).clock(clock);
    layer = match settings.places {
        Places::Default => layer,
        Places::Bearer => layer.extractor(Bearer),
        Places::BearerOrBasic => layer.extractor(FirstOf::new(Bearer, Basic)),
        Places::Query => layer.extractor(Query::new("key")),
        Places::DefaultOrQuery => layer.extractor(FirstOf::default().or(Query::new("key"))),
    };
    let hex = KeyFormat::new("sk_").body(Alphabet::Hex, 40);
    layer = match settings.format {
        Format::Any => layer,
        Format::Hex => layer.scheme(KeyScheme::new(hex)),
        Format::HexOfProd => layer.scheme(KeyScheme::new(hex.stage("prod"))),
    };
    let proxies = match settings.trust {
        Trusted::Nobody => TrustedProxies::none(),
        Trusted::Ten => TrustedProxies::networks(["10.0.0.0/8"]),
        Trusted::OneHop => TrustedProxies::hops(1),
        Trusted::TwoHops => TrustedProxies::hops(2),
    };
    layer = layer.trusted_proxies(if settings.may_be_clients {
        proxies.may_be_clients()
    } else {
        proxies
    });
    if settings.is_optional {
        layer = layer.optional();
    }
    if settings.forwards_preflights {
        layer = layer.forward_preflight();
    }
    if settings.accepts_public_keys {
        layer = layer.accept_public_keys();
    }
    if settings.keeps_credentials {
        layer = layer.keep_credential();
    }
    for guard in settings.guards.iter().take(3) {
        layer = match *guard {
            Guard::Stage(name) => layer.guard(RequireStage::fixed(name.as_str())),
            Guard::StageInPath(second) => layer.guard(RequireStage::in_path_segment(second.into())),
            Guard::Tenant(name) => layer.guard(RequireTenant::fixed(name.as_str())),
            Guard::TenantInPath(second) => {
                layer.guard(RequireTenant::in_path_segment(second.into()))
            }
            Guard::CanRead => layer.guard(RequireAbility::new("bots:read")),
            Guard::CanReadAndSend => {
                layer.guard(RequireAbility::all_of(["bots:read", "chat:send"]))
            }
            Guard::ByMethod => layer.guard(RequireAbility::by_method("bots")),
            Guard::Public => layer.guard(RequireKind::new(KeyKind::Public)),
            Guard::SameOrigin => layer.guard(RefuseCrossOrigin::new()),
        };
    }
    if let Some(policy) = &settings.policy {
        layer = layer.policy(table(policy)?);
    }
    Some(layer)
}

/// Returns nothing if the rules do not fit together.
fn table(policy: &Policy) -> Option<AccessPolicy> {
    let builder = policy.rules.iter().fold(AccessPolicy::builder(), |builder, (number, access)| {
        let endpoint = pick(&ENDPOINTS, *number);
        let Access::Key { kind, stage, reads, is_report_only } = *access else {
            return builder.public(endpoint, "a test");
        };
        let requirement =
            if reads { Requirement::ability("bots:read") } else { Requirement::key() };
        let requirement = match kind {
            None => requirement.any_kind(),
            Some(true) => requirement.kind(KeyKind::Public),
            Some(false) => requirement,
        };
        let requirement = match stage {
            Some(stage) => requirement.stage(stage.as_str()),
            None => requirement,
        };
        builder
            .allow(endpoint, if is_report_only { requirement.report_only() } else { requirement })
    });
    let table = builder.build().ok()?;
    Some(if policy.is_report_only { table.report_only() } else { table })
}

fn record(key: &Key) -> KeyRecord {
    let digest = KeyHasher::sha256().digest(KEY);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    let mut record = KeyRecord::new("key_1".parse().unwrap(), digest, "known", now);
    record.set_kind(if key.is_public { KeyKind::Public } else { KeyKind::Secret });
    record.set_stage(key.stage.map(|name| name.as_str().parse().unwrap()));
    record.set_tenant(key.tenant.map(|name| name.as_str().parse().unwrap()));
    let abilities = subset(&ABILITIES, key.abilities);
    record.set_abilities(abilities.iter().map(|own| own.parse().unwrap()).collect());
    record.set_disabled(key.is_disabled);
    record.set_revoked_at(key.is_revoked.then_some(now));
    record.set_expires_at(key.expires.map(|seconds| {
        let away = Duration::from_secs(seconds.unsigned_abs().into());
        if seconds < 0 { now - away } else { now + away }
    }));
    if key.is_limited {
        let limits = tower_api_key::key::RateLimits::new(["1 per hour".parse().unwrap()]);
        record.set_limits(limits.unwrap());
    }
    let mut own = record.restrictions().clone();
    own.addresses = key.addresses.map(|bits| {
        let parse = |text: &&str| text.parse::<tower_api_key::address::Network>().unwrap().into();
        subset(&NETWORKS, bits).iter().map(parse).collect()
    });
    own.origins = key
        .origins
        .map(|bits| subset(&ORIGINS, bits).iter().map(|text| text.parse().unwrap()).collect());
    own.referrers = key
        .referrers
        .map(|bits| subset(&REFERRERS, bits).iter().map(|text| text.parse().unwrap()).collect());
    own.endpoints = key
        .endpoints
        .map(|bits| subset(&ENDPOINTS, bits).iter().map(|text| text.parse().unwrap()).collect());
    record.set_restrictions(own);
    record
}

fn request(asked: &Asked) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method(asked);
    let mut uri = path(asked);
    for (carrier, text) in asked.credentials.iter().take(3) {
        let text = pick(&TEXTS, *text);
        let (name, value) = match carrier {
            Carrier::ApiKey => ("x-api-key", text.to_owned()),
            Carrier::Bearer => ("authorization", format!("Bearer {text}")),
            Carrier::BearerWithSpaces => ("authorization", format!("bEARER   {text}")),
            Carrier::Basic => {
                let user = base64::prelude::BASE64_STANDARD.encode(format!("{text}:"));
                ("authorization", format!("Basic {user}"))
            }
            Carrier::Digest => ("authorization", "Digest x".to_owned()),
            Carrier::Query => {
                uri.push(if uri.contains('?') { '&' } else { '?' });
                uri.push_str(&format!("key={}", text.replace(' ', "+")));
                continue;
            }
        };
        request.headers_mut().append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    *request.uri_mut() = uri.parse().unwrap();
    if let Some(peer) = asked.peer {
        let peer = pick(&ADDRESSES, peer).parse().unwrap();
        request.extensions_mut().insert(PeerAddress(std::net::SocketAddr::new(peer, 1)));
    }
    for line in asked.forwarded.iter().take(3) {
        let entries: Vec<_> = line.iter().take(4).map(|number| pick(&ENTRIES, *number)).collect();
        let line = HeaderValue::from_str(&entries.join(", ")).unwrap();
        request.headers_mut().append("x-forwarded-for", line);
    }
    let mut append = |name, value: &'static str| {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    };
    asked.origins.iter().for_each(|number| append(header::ORIGIN, pick(&SITES, *number).0));
    asked.pages.iter().for_each(|number| append(header::REFERER, pick(&PAGES, *number).0));
    asked.hosts.iter().for_each(|number| append(header::HOST, pick(&HOSTS, *number)));
    for number in asked.fetch_sites.iter().take(2) {
        let name = header::HeaderName::from_static("sec-fetch-site");
        append(name, pick(&FETCH_SITES, *number));
    }
    if asked.asks_for_method {
        append(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
    }
    request
}

struct Answers {
    keys: MemoryStore,
    how: Store,
}

#[async_trait]
impl KeyStore for Answers {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        match self.how {
            Store::AtOnce | Store::Later => self.keys.find(digest).await,
            Store::Fails => Err(StoreError::new("down")),
            Store::Confused => Ok(self.keys.records().pop()),
        }
    }

    fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        match self.how {
            Store::AtOnce => self.keys.find_now(digest),
            Store::Later | Store::Fails => Immediate::Ask,
            Store::Confused => Immediate::Answer(self.keys.records().pop()),
        }
    }
}
