//! Rules for secret scanners that find keys of a format.

use super::KeyFormat;
use crate::key::KeyFormats;

impl KeyFormat {
    /// Returns a regular expression that finds keys of this format in text.
    ///
    /// Use it in secret scanners. The engines of Rust, Python, JavaScript (also with `u` and `v`),
    /// Java, RE2, PCRE2 and Hyperscan find the same keys by it.
    ///
    /// A prefix with `_` or `-` is distinctive: the expression finds the key after any other character,
    /// such as the `n` of a `\n` in JSON, the `0` of a `%20`, the `m` of a colour code or a `_`. Keys
    /// with another prefix, or without one, are not found after a letter, digit or `_`, because every
    /// long text of letters would have matches. A key that a letter, digit or `_` follows is not found.
    /// Engines differ in whether letters beyond ASCII count there.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{Alphabet, KeyFormat};
    ///
    /// let format = KeyFormat::new("acme-live-").body(Alphabet::Hex, 40);
    /// assert_eq!(format.regex(), r"acme-live-[0-9a-f]{40}\b");
    /// let format = KeyFormat::new("acme").body(Alphabet::Hex, 40);
    /// assert_eq!(format.regex(), r"\bacme[0-9a-f]{40}\b");
    /// ```
    #[must_use]
    pub fn regex(&self) -> String {
        let start = if self.prefix.contains(['_', '-']) { "" } else { r"\b" };
        let count = self.len() - self.prefix.len();
        // Outside of a class, a hyphen is a character like any: some engines refuse it with a backslash.
        format!(r"{start}{}{}{{{count}}}\b", self.prefix, self.alphabet.class())
    }

    /// Returns a rule for the `.gitleaks.toml` of [gitleaks](https://github.com/gitleaks/gitleaks). The
    /// id identifies it among other rules.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{Alphabet, KeyFormat};
    ///
    /// let format = KeyFormat::new("sk_live_").body(Alphabet::Hex, 40);
    /// assert_eq!(
    ///     format.gitleaks_rule("acme-api-key", "API key of Acme"),
    ///     r#"[[rules]]
    /// id = "acme-api-key"
    /// description = "API key of Acme"
    /// regex = "sk_live_[0-9a-f]{40}\\b"
    /// keywords = ["sk_live_"]
    /// "#
    /// );
    /// ```
    #[must_use]
    pub fn gitleaks_rule(&self, id: &str, description: &str) -> String {
        let [id, description, regex] = [id, description, &self.regex()].map(quoted);
        let mut rule =
            format!("[[rules]]\nid = {id}\ndescription = {description}\nregex = {regex}\n");
        if !self.prefix.is_empty() {
            // The keywords select the files to scan. They are compared in lower case.
            let keyword = quoted(&self.prefix.to_ascii_lowercase());
            rule.push_str(&format!("keywords = [{keyword}]\n"));
        }
        rule
    }

    /// Returns a plugin for [detect-secrets](https://github.com/Yelp/detect-secrets): a Python file for
    /// `detect-secrets scan --plugin`. Its reports show the name of the secret.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{Alphabet, KeyFormat};
    ///
    /// let format = KeyFormat::new("sk_live_").body(Alphabet::Hex, 40);
    /// let plugin = format.detect_secrets_plugin("API key of Acme");
    /// assert!(plugin.contains(r#"re.compile("sk_live_[0-9a-f]{40}\\b")"#), "{plugin}");
    /// ```
    #[must_use]
    pub fn detect_secrets_plugin(&self, secret: &str) -> String {
        plugin([self], secret)
    }
}

impl KeyFormats {
    /// Returns a rule for each format, like [`KeyFormat::gitleaks_rule`]. If there are several, their
    /// ids end with a number.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyFormat;
    /// use tower_api_key::key::KeyFormats;
    ///
    /// let formats = KeyFormats::from([KeyFormat::new("sk_live_"), KeyFormat::new("sk_test_")]);
    /// let rules = formats.gitleaks_rules("acme-api-key", "API key of Acme");
    /// assert!(rules.contains("id = \"acme-api-key-1\"") && rules.contains("id = \"acme-api-key-2\""));
    /// ```
    #[must_use]
    pub fn gitleaks_rules(&self, id: &str, description: &str) -> String {
        let formats: Vec<_> = self.iter().collect();
        let rules: Vec<_> = match formats[..] {
            [format] => vec![format.gitleaks_rule(id, description)],
            _ => (1..)
                .zip(formats)
                .map(|(number, format)| {
                    format.gitleaks_rule(&format!("{id}-{number}"), description)
                })
                .collect(),
        };
        rules.join("\n")
    }

    /// Returns one plugin for all formats, like [`KeyFormat::detect_secrets_plugin`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyFormat;
    /// use tower_api_key::key::KeyFormats;
    ///
    /// let formats = KeyFormats::from([KeyFormat::new("sk_live_"), KeyFormat::new("sk_test_")]);
    /// let plugin = formats.detect_secrets_plugin("API key of Acme");
    /// assert!(plugin.contains("\"sk_live_") && plugin.contains("\"sk_test_"), "{plugin}");
    /// ```
    #[must_use]
    pub fn detect_secrets_plugin(&self, secret: &str) -> String {
        plugin(self.iter(), secret)
    }
}

fn plugin<'a>(formats: impl IntoIterator<Item = &'a KeyFormat>, secret: &str) -> String {
    let compiled = |format: &KeyFormat| format!("re.compile({})", quoted(&format.regex()));
    let compiled: Vec<_> = formats.into_iter().map(compiled).collect();
    let (secret, compiled) = (quoted(secret), compiled.join(", "));
    format!(
        "import re\n\n\
         from detect_secrets.plugins.base import RegexBasedDetector\n\n\n\
         class ApiKeyDetector(RegexBasedDetector):\n    \
         secret_type = {secret}\n    \
         denylist = [{compiled}]\n"
    )
}

/// Writes a text in a form that JSON, TOML and Python read alike.
fn quoted(text: &str) -> String {
    // JSON does not escape one of the characters that TOML requires to be escaped.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
