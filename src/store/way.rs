//! [`Way`]: where a cache found an answer, for metrics.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Where a cache found an answer, if it did not ask its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "cache"), expect(dead_code, reason = "only caches note it"))]
pub(crate) enum Way {
    /// It had the record.
    Hit,
    /// It waited for a load that another request had begun.
    Joined,
    /// It served a cached record, because the store could not be reached.
    Grace,
}

thread_local! {
    /// Beside the answer, so that stores and what wraps them need not hand it on.
    static NOTED: Cell<Option<Way>> = const { Cell::new(None) };
}

/// Notes the way of the next answer.
#[cfg(feature = "cache")]
pub(crate) fn note(way: Way) {
    NOTED.set(Some(way));
}

/// Calls a look-up, and returns the way that it noted.
pub(crate) fn noticing<T>(look_up: impl FnOnce() -> T) -> (T, Option<Way>) {
    NOTED.set(None);
    let found = look_up();
    (found, NOTED.take())
}

/// Waits for a look-up, and returns the way that it noted with its answer.
pub(crate) struct Noticing<F>(pub(crate) F);

impl<F: Future + Unpin> Future for Noticing<F> {
    type Output = (F::Output, Option<Way>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The task may have been elsewhere, and others here.
        NOTED.set(None);
        let found = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready((found, NOTED.take()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_way_is_noticed_with_the_answer_and_not_with_another() {
        NOTED.set(Some(Way::Grace));
        assert_eq!(noticing(|| 7), (7, None));
        assert_eq!(noticing(|| NOTED.set(Some(Way::Hit))), ((), Some(Way::Hit)));
        assert_eq!(NOTED.get(), None);
        let mut polled = false;
        let look_up = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            NOTED.set(Some(Way::Joined));
            Poll::Pending
        });
        let mut looking_up = Noticing(look_up);
        assert_eq!((&mut looking_up).now_or_never(), None);
        // What it noted then was not noted with the answer.
        NOTED.set(Some(Way::Grace));
        assert_eq!(looking_up.now_or_never(), Some(((), None)));
    }
}
