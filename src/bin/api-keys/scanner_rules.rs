//! `api-keys scanner-rules`.

use clap::{Args, ValueEnum};
use tower_api_key::key::KeyFormats;

use crate::exit::{Exit, Failure};
use crate::format::FormatArgs;
use crate::formats::{formats, refuse_options};
use crate::output::Output;

/// Print rules with which secret scanners find leaked keys
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys scanner-rules gitleaks >> .gitleaks.toml
  api-keys scanner-rules detect-secrets > api_keys.py
  detect-secrets scan --plugin api_keys.py
  api-keys scanner-rules regex --prefix sk_live_ --body hex:40

A `.gitleaks.toml` replaces the built-in rules of gitleaks, unless it has `useDefault = true` under
`[extend]`. The command needs no database.")]
pub(crate) struct ScannerRules {
    scanner: Scanner,
    /// The name of such a key in reports
    #[arg(long, default_value = "API key")]
    name: String,
    /// The id of the rule for gitleaks; several rules have a number after it
    #[arg(long, default_value = "api-key")]
    id: String,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scanner {
    /// Rules in TOML
    Gitleaks,
    /// A plugin in Python
    DetectSecrets,
    /// One regular expression per line, for other scanners
    Regex,
}

impl ScannerRules {
    pub(crate) fn run(self, output: Output) -> Result<Exit, Failure> {
        let mut formats = formats()?;
        let options = "--prefix, --body and --checksum";
        refuse_options(&formats, options, self.format.is_given())?;
        if formats.is_empty() {
            formats = KeyFormats::from(self.format.format()?);
        }
        let rules = match self.scanner {
            Scanner::Gitleaks => formats.gitleaks_rules(&self.id, &self.name),
            Scanner::DetectSecrets => formats.detect_secrets_plugin(&self.name),
            Scanner::Regex => formats.iter().map(|format| format.regex() + "\n").collect(),
        };
        output.write(rules)?;
        Ok(Exit::Done)
    }
}
