//! [`Expected`]: the stage or tenant that a request asks for.

use std::fmt;
use std::sync::Arc;

use crate::head::RequestHead;

/// Where to read the stage or the tenant of a request.
#[derive(Clone)]
pub(super) enum Expected<T> {
    Fixed(T),
    PathSegment(usize),
    Read(Arc<Read<T>>),
}

type Read<T> = dyn Fn(&RequestHead<'_>) -> Option<T> + Send + Sync;

impl<T: PartialEq + PartialEq<str>> Expected<T> {
    /// Tells whether `actual` is set and is what the request asks for.
    pub(super) fn is(&self, actual: Option<&T>, head: &RequestHead<'_>) -> bool {
        let Some(actual) = actual else {
            return false;
        };
        match self {
            Self::Fixed(expected) => actual == expected,
            Self::PathSegment(index) => {
                head.path_segment(*index).is_some_and(|segment| actual == segment)
            }
            Self::Read(read) => read(head).is_some_and(|expected| *actual == expected),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Expected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(expected) => f.debug_tuple("Fixed").field(expected).finish(),
            Self::PathSegment(index) => f.debug_tuple("PathSegment").field(index).finish(),
            Self::Read(_) => f.write_str("Read(..)"),
        }
    }
}
