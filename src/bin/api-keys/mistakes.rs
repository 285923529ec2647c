//! [`Mistakes`]: all that is wrong with the options of a command.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;

use tower_api_key::ManageError;

use crate::exit::{Exit, Failure};
use crate::secrecy::looks_like_secret;
use crate::url::has_password;

/// The value of an option, or what is wrong with it.
///
/// The parser of the arguments stops at the first error. A value of this type never is one.
#[derive(Clone, Debug)]
pub(crate) struct Given<T>(Result<T, Wrong>);

#[derive(Clone, Debug)]
struct Wrong {
    text: String,
    says: String,
}

/// Returns a parser of arguments that keeps errors for [`Mistakes`].
pub(crate) fn given<T: Clone + Send + Sync + 'static, E: fmt::Display + 'static>(
    parse: fn(&str) -> Result<T, E>,
) -> impl Fn(&str) -> Result<Given<T>, Infallible> + Clone + Send + Sync + 'static {
    move |text| {
        let wrong = |error: E| Wrong { text: text.to_owned(), says: error.to_string() };
        Ok(Given(parse(text).map_err(wrong)))
    }
}

/// All that is wrong with the options of a command.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

/// What is wrong with one value.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// The option or the line, unless the text names it.
    place: Cow<'static, str>,
    says: String,
    exit: Exit,
}

impl Mistakes {
    /// Adds a mistake.
    pub(crate) fn add(
        &mut self,
        place: impl Into<Cow<'static, str>>,
        says: impl fmt::Display,
        exit: Exit,
    ) {
        self.0.push(Mistake { place: place.into(), says: says.to_string(), exit });
    }

    /// Adds the refusal by a rule for keys.
    pub(crate) fn refuse(&mut self, place: impl Into<Cow<'static, str>>, error: &ManageError) {
        self.add(place, error, Exit::Refused);
    }

    /// Returns a value, or keeps the error, whose text names the option.
    pub(crate) fn ok<T>(&mut self, outcome: Result<T, Failure>) -> Option<T> {
        outcome.map_err(|failure| self.add("", failure, Exit::Usage)).ok()
    }

    /// Returns the value of an option, or keeps what is wrong with it.
    pub(crate) fn take<T>(&mut self, option: &'static str, given: Option<Given<T>>) -> Option<T> {
        let wrong = |wrong: Wrong| self.add(place(option, &wrong.text), wrong.says, Exit::Usage);
        given?.0.map_err(wrong).ok()
    }

    /// Returns the valid values of an option, and keeps what is wrong with the others.
    pub(crate) fn take_all<T>(&mut self, option: &'static str, given: Vec<Given<T>>) -> Vec<T> {
        given.into_iter().filter_map(|given| self.take(option, Some(given))).collect()
    }

    /// Returns an error if there are any.
    pub(crate) fn check(self) -> Result<(), Failure> {
        if self.0.is_empty() { Ok(()) } else { Err(Failure::Mistakes(self.0)) }
    }
}

/// Names the value of an option. What may be a secret is not repeated.
pub(crate) fn place(option: &str, text: &str) -> String {
    match looks_like_secret(text) || has_password(text) {
        true => format!("{option} [hidden]"),
        false => format!("{option} '{text}'"),
    }
}

impl Mistake {
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.place {
            "" => f.write_str(&self.says),
            place => write!(f, "{place}: {}", self.says),
        }
    }
}
