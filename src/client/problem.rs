//! [`Problem`]: a server's description of an error.

use serde_json::Value;

/// A server's description of an error, for users.
///
/// It is read from problem+json (RFC 9457) or from `{"message": …}`, the two forms of JSON in servers
/// of this crate. Control characters are removed, so that it can be shown on a terminal. The server can
/// send any text.
///
/// # Examples
///
/// ```
/// use tower_api_key::client::Problem;
///
/// let body = r#"{"title":"Unauthorized","status":401,"detail":"The API key is not valid"}"#;
/// let problem = Problem::parse(body.as_bytes()).unwrap();
/// assert_eq!(problem.title(), Some("Unauthorized"));
/// assert_eq!(problem.detail(), Some("The API key is not valid"));
/// assert_eq!(Problem::parse(b"<html>"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    title: Option<String>,
    detail: Option<String>,
    violated_policies: Vec<String>,
}

impl Problem {
    /// The longest body that is read, in bytes.
    pub const MAX_LENGTH: usize = 16 * 1024;

    /// Reads the body of a response.
    ///
    /// Returns nothing if it is not a JSON object with such members, or is longer than
    /// [`MAX_LENGTH`](Self::MAX_LENGTH).
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > Self::MAX_LENGTH {
            return None;
        }
        let body: Value = serde_json::from_slice(body).ok()?;
        let member = |name| body.get(name).and_then(text);
        let violated = body.get("violated-policies").and_then(Value::as_array);
        let problem = Self {
            title: member("title"),
            detail: member("detail").or_else(|| member("message")),
            violated_policies: violated.into_iter().flatten().filter_map(text).collect(),
        };
        (problem.title.is_some() || problem.detail.is_some()).then_some(problem)
    }

    /// Returns the name of this sort of error.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Returns the description of this error.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Returns the names of the rate limits that refused the request
    /// (draft-ietf-httpapi-ratelimit-headers-10, section 5.1).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::client::Problem;
    ///
    /// let body = br#"{"title":"Too Many Requests","violated-policies":["hourly"]}"#;
    /// assert_eq!(Problem::parse(body).unwrap().violated_policies(), ["hourly"]);
    /// ```
    #[must_use]
    pub fn violated_policies(&self) -> &[String] {
        &self.violated_policies
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.chars().filter(|character| !character.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Option<Problem> {
        Problem::parse(body.as_bytes())
    }

    #[test]
    fn both_forms_are_read() {
        let body = r#"{"title":"T","detail":"D","violated-policies":["hourly",1,"burst"],"x":1}"#;
        let problem = parse(body).unwrap();
        assert_eq!((problem.title(), problem.detail()), (Some("T"), Some("D")));
        assert_eq!(problem.violated_policies(), ["hourly", "burst"]);
        let problem = parse(r#"{"message":"Slow down"}"#).unwrap();
        assert_eq!((problem.title(), problem.detail()), (None, Some("Slow down")));
        assert_eq!(problem.violated_policies(), [""; 0]);
    }

    #[test]
    fn what_is_no_problem_is_none() {
        for body in ["", "null", "1", "[]", r#"["detail"]"#, "{}", r#"{"detail":1}"#, "{\"detail\""]
        {
            assert_eq!(parse(body), None, "{body}");
        }
        assert_eq!(parse(&"[".repeat(Problem::MAX_LENGTH)), None);
        let padding = "x".repeat(Problem::MAX_LENGTH);
        assert_eq!(parse(&format!(r#"{{"detail":"{padding}"}}"#)), None);
        assert!(parse(&format!(r#"{{"detail":"{}"}}"#, &padding[15..])).is_some());
    }

    #[test]
    fn a_server_cannot_write_to_the_terminal() {
        let problem =
            parse(r#"{"detail":"\u001b[2J\u009b2Jall\r\n\u0000 is well\u007f"}"#).unwrap();
        assert_eq!(problem.detail(), Some("[2J2Jall is well"));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Problem::parse(&body);
        }
    }
}
