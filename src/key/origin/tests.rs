use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> OriginPattern {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> OriginError {
    text.parse::<OriginPattern>().expect_err(text)
}

/// What is not `https://shop.example`, however a parser reads it.
const OTHERS: [&str; 54] = [
    "",
    "null",
    "*",
    "https://",
    "https://*",
    "shop.example",
    "//shop.example",
    "https:shop.example",
    "https:/shop.example",
    "https:///shop.example",
    "https:\\\\shop.example",
    "://shop.example",
    "http://shop.example",
    "ftp://shop.example",
    "wss://shop.example",
    "xhttps://shop.example",
    "chrome-extension://shop.example",
    "blob:https://shop.example",
    "https://shop.example.evil.com",
    "https://evilshop.example",
    "https://evil-shop.example",
    "https://evil.com#shop.example",
    "https://evil.com?https://shop.example",
    "https://evil.com/?https://shop.example",
    "https://evil.com/https://shop.example",
    "https://evil.com\\.shop.example",
    "https://shop.example@evil.com",
    "https://evil.com@shop.example",
    "https://user:password@shop.example",
    "https://@shop.example",
    "https://shop.example:8443",
    "https://shop.example:80",
    "https://shop.example:443.evil.com",
    "https://shop.example:4430",
    "https://shop.example:https",
    "https://shop.example/",
    "https://shop.example/cart",
    "https://shop.example?",
    "https://shop.example#",
    "https://shop.example\\",
    "https://shop.example\\@evil.com",
    "https://shop.example.",
    "https://shop.example%2eevil.com",
    "https://shop.example%00.evil.com",
    "https://shop.example\u{0}.evil.com",
    " https://shop.example",
    "https://shop.example ",
    "https://shop.example\n",
    "https://sh\top.example",
    "ht\ntps://shop.example",
    "https://shop.example https://shop.example",
    "https://shop.example, https://shop.example",
    "https://shop.example,https://shop.example",
    "https://shop.example\u{ff0f}.evil.com",
];

#[test]
fn the_whole_scheme_host_and_port_are_compared() {
    let shop = pattern("https://shop.example");
    assert!(shop.matches("https://shop.example"));
    for other in OTHERS {
        assert!(!shop.matches(other), "{other:?}");
    }
    assert!(!shop.matches("https://berlin.shop.example"));
    assert!(!shop.matches("https://sh\u{f6}p.example"));
    assert!(!shop.matches("https://shop.ex\u{430}mple"));

    let local = pattern("http://localhost:8080");
    assert!(local.matches("http://localhost:8080"));
    for other in ["http://localhost", "http://localhost:80", "https://localhost:8080"] {
        assert!(!local.matches(other), "{other}");
    }
}

#[test]
fn a_wildcard_stands_for_one_or_more_whole_labels() {
    let shops = pattern("https://*.shop.example");
    for shop in ["a", "a.b", "a.b.c", "a-b", "_a", "1", "xn--bcher-kva"] {
        assert!(shops.matches(&format!("https://{shop}.shop.example")), "{shop}");
    }
    for other in OTHERS {
        assert!(!shops.matches(other), "{other:?}");
        let other = other.replace("shop.example", "a.shop.example");
        // Below `shop.example`, these two are shops like any other.
        let is_shop = ["https://evila.shop.example", "https://evil-a.shop.example"];
        assert!(!shops.matches(&other) || is_shop.contains(&&*other), "{other:?}");
    }
    for other in [
        "https://shop.example",
        "https://.shop.example",
        "https://..shop.example",
        "https://a..shop.example",
        "https://.a.shop.example",
        "https://*.shop.example",
        "https://%2a.shop.example",
        "https://ashop.example",
        "https://a.shop.example.evil.com",
        "https://evil.com/.shop.example",
        "https://evil.com?.shop.example",
        "https://evil.com#.shop.example",
        "https://evil.com:80.shop.example",
        "https://evil.com:.shop.example",
        "https://a@b.shop.example",
        "https://[.shop.example",
        "https://a,b.shop.example",
        "https://a.shop.example:8443",
    ] {
        assert!(!shops.matches(other), "{other:?}");
    }
    let with_port = pattern("http://*.shop.example:8080");
    assert!(with_port.matches("http://a.shop.example:8080"));
    assert!(!with_port.matches("http://a.shop.example"));
    assert!(!with_port.matches("http://a.shop.example:80"));
}

#[test]
fn null_never_matches() {
    for text in ["https://shop.example", "https://*.shop.example", "http://null", "https://a.null"]
    {
        assert!(!pattern(text).matches("null"), "{text}");
    }
    assert_eq!(error("null"), OriginError::Scheme);
}

#[test]
fn a_wildcard_is_the_whole_first_label_and_two_follow() {
    for text in [
        "https://*",
        "https://*:8443",
        "https://*.com",
        "https://*.localhost:3000",
        "https://*.*.shop.example",
        "https://a.*.example",
        "https://shop.*",
        "https://a*.shop.example",
        "https://*a.shop.example",
        "https://**.shop.example",
        "https://*.192.0.2.1",
        "https://*.[2001:db8::1]",
        "https://shop.example:*",
        "https://*shop.example",
    ] {
        assert_eq!(error(text), OriginError::Wildcard, "{text}");
    }
    assert_eq!(error("*"), OriginError::Scheme);
    assert_eq!(error("*://shop.example"), OriginError::Scheme);
    assert!("https://*.2.1".parse::<OriginPattern>().is_err());
    assert!("https://*.".parse::<OriginPattern>().is_err());
}

#[test]
fn what_is_no_origin_is_no_pattern() {
    use OriginError::*;

    for (wrong, why) in [
        ("", Scheme),
        ("shop.example", Scheme),
        ("https:shop.example", Scheme),
        ("ftp://shop.example", Scheme),
        ("chrome-extension://abcdefghijklmnop", Scheme),
        ("app://shop.example", Scheme),
        ("https://", Host),
        ("https://:8443", Host),
        ("https:///shop.example", Host),
        ("https://shop.example/", NotWhole),
        ("https://*.shop.example/*", NotWhole),
        ("https://shop.example?", NotWhole),
        ("https://shop.example#x", NotWhole),
        ("https://shop.example\\", NotWhole),
        ("https://me@shop.example", UserInfo),
        ("https://me:hush@shop.example", UserInfo),
        (" https://shop.example", Character),
        ("https://shop.example\n", Character),
        ("https://sh\top.example", Character),
        ("https://shop.example https://shop.example", Character),
        ("https://shop.example,https://shop.example", NotWhole),
        ("https://shop.example.", Host),
        ("https://.shop.example", Host),
        ("https://shop..example", Host),
        ("https://shop.example:0", Host),
        ("https://shop.example:65536", Host),
        ("https://shop.example:+80", Host),
        ("https://shop.example:x", Host),
        ("https://sh!op.example", Host),
        ("https://192.0.2.256", Host),
        ("https://shop.1", Host),
        ("https://[2001:db8::1", Host),
        ("https://[::ffff:192.0.2.1]", Host),
        ("https://[::ffff:c000:201]", Host),
        ("https://[fe80::1%25eth0]", Host),
    ] {
        assert_eq!(error(wrong), why, "{wrong:?}");
    }
}

#[test]
fn the_error_says_what_is_allowed_without_repeating_the_input() {
    let said = error("https://me:hush@shop.example").to_string();
    assert!(said.contains("no password") && !said.contains("hush"), "{said}");
}

#[test]
fn what_browsers_send_is_kept_as_it_is() {
    for text in [
        "https://shop.example",
        "http://localhost:8080",
        "https://xn--bcher-kva.example",
        "https://a_b.shop-1.example:65535",
        "https://*.shop.example:8443",
        "http://192.0.2.1:3000",
        "http://[2001:db8::1]",
        "http://[::1]:3000",
        "http://[::]",
    ] {
        assert_eq!(pattern(text).to_string(), text);
        assert!(syntax::is_canonical(&text.replace("*.", "")));
        assert_eq!(pattern(text).matches(text), !text.contains('*'), "{text}");
    }
}

#[test]
fn what_browsers_never_send_is_not_canonical() {
    for text in [
        "HTTPS://shop.example",
        "https://Shop.example",
        "https://shop.example:443",
        "http://shop.example:80",
        "https://shop.example:08443",
        "https://shop.example:",
        "https://b\u{fc}cher.example",
        "http://192.0.2.01",
        "http://0xc0.0.2.1",
        "http://192.0.513",
        "http://3221225985",
        "http://shop.0x",
        "http://[2001:DB8::1]",
        "http://[2001:db8:0::1]",
        "http://[::1]x",
        "http://[]",
        "http://[",
    ] {
        assert!(!syntax::is_canonical(text), "{text}");
    }
}

#[cfg(feature = "url")]
#[test]
fn every_form_of_the_url_standard_is_understood() {
    for (form, kept) in [
        ("HTTPS://Shop.Example:443", "https://shop.example"),
        ("https://shop.example:", "https://shop.example"),
        ("https://shop.example:08443", "https://shop.example:8443"),
        ("http://shop.example:80", "http://shop.example"),
        ("https://sh%6fp.example", "https://shop.example"),
        ("https://B\u{fc}cher.example", "https://xn--bcher-kva.example"),
        ("https://b\u{fc}cher\u{3002}example", "https://xn--bcher-kva.example"),
        ("https://*.B\u{fc}cher.Example:443", "https://*.xn--bcher-kva.example"),
        ("http://0x7f.1", "http://127.0.0.1"),
        ("http://[0:0::0:1]:80", "http://[::1]"),
    ] {
        assert_eq!(pattern(form).to_string(), kept, "{form}");
        assert_eq!(pattern(form), pattern(kept));
        if !form.contains('*') {
            assert!(pattern(kept).matches(form), "{form}");
        }
    }
    let shops = pattern("https://*.shop.example");
    assert!(shops.matches("https://B\u{fc}cher.Shop.Example:443"));
    let long = format!("https://{}.SHOP.example", "a.".repeat(1000));
    assert!(!shops.matches(&long));
}

#[cfg(feature = "serde")]
#[test]
fn a_pattern_is_a_text_in_serde() {
    let shops = pattern("https://*.shop.example");
    let text = serde_json::to_string(&shops).unwrap();
    assert_eq!(text, r#""https://*.shop.example""#);
    assert_eq!(serde_json::from_str::<OriginPattern>(&text).unwrap(), shops);
    assert!(serde_json::from_str::<OriginPattern>(r#""https://*""#).is_err());
    assert_eq!(OriginPattern::try_from(String::from(shops.clone())), Ok(shops));
}

/// Says what a text is by asking the URL parser alone: the scheme, host and port, if it is a
/// pure origin and the parser skips nothing in it.
#[cfg(feature = "url")]
fn reference(text: &str) -> Option<(String, String, u16)> {
    let host_and_port = text.split_once("://")?.1;
    let pure = !host_and_port.starts_with('/') && !host_and_port.contains(['/', '?', '#', '@']);
    if !pure || text.contains(|char: char| char.is_ascii_control() || " \\".contains(char)) {
        return None;
    }
    let url = url::Url::parse(text).ok()?;
    let scheme = url.scheme().to_owned();
    Some((scheme, url.host_str()?.to_owned(), url.port_or_known_default()?))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[cfg(feature = "url")]
    #[test]
    fn what_matches_is_the_same_origin_to_the_url_parser(
        text in prop_oneof![
            any::<String>(),
            "(?i)(https?|ftp)?:?/{0,3}(a\\.|b|[.@*%]){0,2}(shop|sh\u{f6}p|sh%6fp)\\.example\\.?(:(443|80|0|8443)?)?[/?#\\\\ .]?",
            "https://[a.*@:/\\\\\t\u{fc}-]{0,3}shop\\.example[a.*@:/\\\\\t0-9]{0,3}",
        ],
    ) {
        let own = |host: &str| host == "shop.example";
        let below = |host: &str| host.strip_suffix(".shop.example").is_some_and(|rest| !rest.is_empty());
        let of = |is: &dyn Fn(&str) -> bool| reference(&text).is_some_and(|(scheme, host, port)| {
            scheme == "https" && is(&host) && port == 443
        });
        prop_assert_eq!(pattern("https://shop.example").matches(&text), of(&own));
        // Odd labels are refused, so only one direction holds.
        prop_assert!(!pattern("https://*.shop.example").matches(&text) || of(&below));
        let _ = text.parse::<OriginPattern>();
    }

    #[cfg(feature = "url")]
    #[test]
    fn what_is_canonical_is_so_to_the_url_parser(
        text in "https?://(([a-z0-9_-]{1,3}|0x?[0-9a-f]{0,3})(\\.([a-z0-9_-]{1,3}|0x?[0-9]{0,3})){0,3}|\\[[0-9a-f:]{2,9}\\])(:[0-9]{0,5})?",
    ) {
        let is_so = url::Url::parse(&text).is_ok_and(|url| url.origin().ascii_serialization() == text);
        prop_assert!(is_so || !syntax::is_canonical(&text));
        if let Ok(pattern) = text.parse::<OriginPattern>() {
            prop_assert!(pattern.matches(&text));
            prop_assert!(syntax::is_canonical(&pattern.to_string()));
        }
    }

    #[test]
    fn a_canonical_origin_matches_its_own_pattern_and_no_longer_one(
        scheme in "https?",
        host in "[a-z0-9]{1,5}(\\.[a-z]{1,5}){1,2}",
        port in prop::option::of(1024_u16..),
        // Not what the URL standard skips: a port that is empty, characters of no width. Nor what
        // it decodes in front: `%30.example` is `0.example`.
        before in "[ -$&-~]{1,5}",
        after in "[!-9;-~][ -~]{0,4}",
    ) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let own = pattern(&format!("{scheme}://{host}{port}"));
        prop_assert!(own.matches(&own.to_string()));
        for other in [
            format!("{scheme}://{before}{host}{port}"),
            format!("{scheme}://{host}{after}{port}"),
            format!("{before}{own}"),
            format!("{own}{after}"),
        ] {
            prop_assert!(!own.matches(&other), "{}", other);
        }
    }

    #[test]
    fn a_wildcard_needs_whole_labels_in_front(
        labels in "[a-z0-9]{1,4}(\\.[a-z0-9]{1,4}){0,2}",
        host in "[a-z0-9]{1,4}\\.[a-z]{1,4}",
    ) {
        let below = pattern(&format!("https://*.{host}"));
        let whole = format!("https://{labels}.{host}");
        prop_assert!(below.matches(&whole));
        let other_host = format!("https://{}{}", labels.replace('.', ""), host);
        prop_assert!(!below.matches(&other_host));
        let further = format!("https://{labels}.{host}.{labels}");
        prop_assert!(!below.matches(&further) || further.ends_with(&whole[8 + labels.len()..]));
    }
}
