//! Reading the command line without repeating secrets that are on it by mistake.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::secrecy::looks_like_secret;
use crate::url::has_password;

/// The replacement of an argument that is not repeated.
const HIDDEN: &str = "[hidden]";

/// Parses the arguments of this process. Otherwise, prints what is wrong with them, or the answer to an option
/// such as `--help`.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    Cli::try_parse_from(&arguments).map_err(|error| {
        if !error.use_stderr() {
            // A reader that closes the pipe has read enough.
            let _ = error.print();
            return Exit::Done.into();
        }
        let said = error.render().to_string();
        let safe = hide(&said, &arguments);
        if safe == said {
            let _ = error.print();
        } else {
            let _ = write!(std::io::stderr(), "{safe}");
        }
        Exit::Usage.into()
    })
}

/// Hides what may be a secret: an argument, the value of an option, or one of several values.
fn hide(said: &str, arguments: &[OsString]) -> String {
    let mut said = said.to_owned();
    for argument in arguments.iter().skip(1) {
        let argument = argument.to_string_lossy();
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        for text in [&*argument, value].into_iter().chain(argument.split(['=', ','])) {
            if looks_like_secret(text) || has_password(text) {
                said = said.replace(text, HIDDEN);
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        let secret = "sk_live_0123456789abcdef0123456789abcdef01234567";
        let url = "postgres://app:hush@db/app";
        let arguments = ["api-keys", "show", secret, &format!("--databse={url}"), "nightly"];
        let arguments = arguments.map(OsString::from);
        let said = hide(&format!("{secret} '{secret}' {url} nightly"), &arguments);
        assert_eq!(said, "[hidden] '[hidden]' [hidden] nightly");
        // One of several values, and the name of an option.
        for argument in [format!("a:b,{secret}"), format!("--ability=a:b,{secret},c:d")] {
            let arguments = ["api-keys".into(), argument.into()];
            assert_eq!(hide(&format!("'{secret}'"), &arguments), "'[hidden]'");
        }
        let arguments = ["api-keys".into(), format!("--{secret}=1").into()];
        assert_eq!(hide(&format!("'--{secret}'"), &arguments), "'[hidden]'");
    }
}
