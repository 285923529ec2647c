//! What a client reads of an answer: advice, a problem, and whether to try again.
//!
//! The input is a status, header lines, an empty line, and a body.

#![no_main]

use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_api_key::client::{Advice, Problem};

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&input[..end], &input[end + 2..]),
        None => (input, &b""[..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let Ok(status) = StatusCode::from_bytes(lines.next().unwrap()) else { return };
    let mut response = Response::new(());
    *response.status_mut() = status;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        let (Ok(name), Ok(value)) = (name, value) else { return };
        response.headers_mut().append(name, value);
    }

    let advice = Advice::of(&response);
    let retry_after: Vec<_> = response.headers().get_all("retry-after").iter().collect();
    match &advice {
        Advice::Wait(wait) => {
            assert!(*wait <= Duration::from_secs(366 * 86_400));
            assert!([200, 429, 503].contains(&status.as_u16()));
            // A number of seconds is a number of seconds.
            if let ([value], 429 | 503) = (&retry_after[..], status.as_u16())
                && value.as_bytes().iter().all(u8::is_ascii_digit)
                && let Ok(seconds) = value.to_str().unwrap().parse::<u64>()
            {
                assert_eq!(wait.as_secs(), seconds.min(366 * 86_400));
            }
        }
        Advice::Proceed => assert!(status.as_u16() < 400),
        Advice::FixKey(_) => assert!([200, 400, 401, 403].contains(&status.as_u16())),
        _ => {}
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        assert!(matches!(advice, Advice::Wait(_)));
    }

    let problem = Problem::parse(body);
    let json = serde_json::from_slice::<Value>(body).ok().filter(|_| body.len() <= 16 * 1024);
    let text = |name: &str| {
        let text = json.as_ref()?.get(name)?.as_str()?;
        Some(text.chars().filter(|c| !c.is_control()).collect::<String>())
    };
    let (title, detail) = (text("title"), text("detail").or_else(|| text("message")));
    assert_eq!(problem.is_some(), title.is_some() || detail.is_some());
    if let Some(problem) = problem {
        assert_eq!(problem.title(), title.as_deref());
        assert_eq!(problem.detail(), detail.as_deref());
        assert!(problem.violated_policies().iter().all(|name| !name.contains(char::is_control)));
    }
});
