//! What secret scanners need to find keys of a format.

use super::KeyFormat;

impl KeyFormat {
    /// Returns a regular expression that finds keys of this format in text.
    ///
    /// It is written for secret scanners. The engines of Rust, Python, JavaScript (also with `u` and `v`), Java,
    /// RE2, PCRE2 and Hyperscan find the same keys by it.
    ///
    /// A prefix with `_` or `-` is distinctive: the expression finds the key behind any other character, such
    /// as the `n` of a `\n` in JSON, the `0` of a `%20`, the `m` of a colour code or a `_`. Behind a letter,
    /// digit or `_`, keys with another prefix or none are not found: every long text of letters would have
    /// some in it. No key is found where the text goes on with a letter, digit or `_`. Engines differ in whether
    /// letters beyond ASCII count there.
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

    /// Returns a rule for [gitleaks](https://github.com/gitleaks/gitleaks), to be added to its
    /// `.gitleaks.toml`. The id tells it from other rules.
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
            // By which files are chosen that are looked at. They are compared in lower case.
            let keyword = quoted(&self.prefix.to_ascii_lowercase());
            rule.push_str(&format!("keywords = [{keyword}]\n"));
        }
        rule
    }

    /// Returns a plugin for [detect-secrets](https://github.com/Yelp/detect-secrets), a file of Python that
    /// `detect-secrets scan --plugin` takes. The name of the secret is what its reports say.
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
        let [secret, regex] = [secret, &self.regex()].map(quoted);
        format!(
            "import re\n\n\
             from detect_secrets.plugins.base import RegexBasedDetector\n\n\n\
             class ApiKeyDetector(RegexBasedDetector):\n    \
             secret_type = {secret}\n    \
             denylist = [re.compile({regex})]\n"
        )
    }
}

/// Writes a text as JSON, TOML and Python read it.
fn quoted(text: &str) -> String {
    // Of the characters that TOML has escaped, JSON leaves one as it is.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
