//! [`ReportOnly`]: tries a guard out.

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::Guard;
use crate::contain;
use crate::head::RequestHead;
use crate::key::KeyId;
use crate::reject::{Rejection, Rejector};
use crate::trace;
use crate::verify::VerifiedKey;

/// Called with each report.
pub(crate) type OnReport = dyn Fn(&Report<'_>) + Send + Sync;

/// Lets every key pass, and reports those that a guard would refuse.
///
/// Use it to restrict what keys may do without breaking clients: mount it, wait until nothing is
/// reported any more, and then mount the guard itself. Each report is a `WARN` event of the feature
/// `tracing`, and a call of [`on_report`](Self::on_report).
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use http::Request;
/// use tower_api_key::guard::ReportOnly;
/// use tower_api_key::{KeyManager, MemoryStore, NewKey, RequireAbility};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// let key = keys.issue(NewKey::named("a device")).await?.secret;
/// let reported = Arc::new(Mutex::new(Vec::new()));
/// let paths = Arc::clone(&reported);
/// let soon = ReportOnly::new(RequireAbility::new("bots:read")).on_report(move |report| {
///     paths.lock().unwrap().push(report.path().unwrap_or("-").to_owned());
/// });
/// let layer = keys.layer().guard(soon);
///
/// let request = Request::get("/bots").header("x-api-key", key.reveal()).body(())?;
/// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
/// assert_eq!(*reported.lock().unwrap(), ["/bots"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ReportOnly<G> {
    guard: G,
    on_report: Option<Arc<OnReport>>,
}

impl<G> ReportOnly<G> {
    /// Tries `guard`.
    pub const fn new(guard: G) -> Self {
        Self { guard, on_report: None }
    }

    /// Sets the callback for requests that would be refused.
    ///
    /// The request waits for the callback, so it has to be quick.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireAbility};
    ///
    /// let (sender, reports) = mpsc::channel();
    /// let soon = RequireAbility::new("bots:read").report_only().on_report(move |report| {
    ///     let _ = sender.send(format!("{} {:?}", report.method(), report.path()));
    /// });
    /// let request = Request::get("/bots").body(())?;
    /// let passes = soon.check(&verified_key(NewKey::named("old")), &RequestHead::new(&request));
    /// assert!(passes.is_ok());
    /// assert_eq!(reports.try_recv().unwrap(), "GET Some(\"/bots\")");
    /// # Ok::<_, http::Error>(())
    /// ```
    pub fn on_report(mut self, on_report: impl Fn(&Report<'_>) + Send + Sync + 'static) -> Self {
        self.on_report = Some(Arc::new(on_report));
        self
    }
}

impl<G: Guard> Guard for ReportOnly<G> {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        // A guard on trial must not fail a request, even if it panics.
        contain::notify("a guard that is only tried", || {
            if let Err(rejection) = self.guard.check(key, head) {
                let rejection = rejection.of_key(key.record());
                let report = Report::new(&rejection, key.rejector(), head, None);
                report.send(key.rejector(), self.on_report.as_deref());
            }
        });
        Ok(())
    }

    fn lets_pass_without_key(&self, head: &RequestHead<'_>) -> bool {
        self.guard.lets_pass_without_key(head)
    }
}

impl<G: fmt::Debug> fmt::Debug for ReportOnly<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportOnly").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// A request that passed, and that would be refused without report-only.
///
/// # Examples
///
/// ```
/// use http::{Method, Request};
/// use tower_api_key::guard::Guard;
/// use tower_api_key::testing::verified_key;
/// use tower_api_key::{NewKey, RejectionKind, RequestHead, RequireAbility};
///
/// let key = verified_key(NewKey::named("old"));
/// let id = key.id().clone();
/// let soon = RequireAbility::new("bots:read").report_only().on_report(move |report| {
///     assert_eq!(report.rejection().kind(), RejectionKind::MissingAbility);
///     assert_eq!(report.key_id(), Some(&id));
///     assert_eq!((report.method(), report.path()), (&Method::GET, Some("/bots")));
///     // It is a guard that reports, and no rule of a policy.
///     assert_eq!(report.rule(), None);
/// });
/// let request = Request::get("/bots").body(())?;
/// assert!(soon.check(&key, &RequestHead::new(&request)).is_ok());
/// # Ok::<_, http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    rejection: &'a Rejection,
    method: &'a Method,
    path: Option<&'a str>,
    rule: Option<&'a str>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        rejection: &'a Rejection,
        rejector: &Rejector,
        head: &RequestHead<'a>,
        rule: Option<&'a str>,
    ) -> Self {
        let path = rejector.shown_path(head.original_uri(), head);
        Self { rejection, method: head.method(), path, rule }
    }

    pub(crate) fn send(&self, rejector: &Rejector, on_report: Option<&OnReport>) {
        let (kind, key) = (self.rejection.kind().as_str(), self.key_id().map(KeyId::as_str));
        let repeats = &rejector.log.repeats;
        let reason = self.rejection.reason();
        let why = (kind, reason.as_deref());
        trace::would_reject(repeats, why, key, self.method, self.path, self.rule);
        // A report must not fail a request.
        if let Some(on_report) = on_report {
            contain::notify("a callback for reports", || on_report(self));
        }
    }

    /// Returns the rejection that the request would get.
    #[must_use]
    pub fn rejection(&self) -> &'a Rejection {
        self.rejection
    }

    /// Returns the public id of the key, if there was one.
    #[must_use]
    pub fn key_id(&self) -> Option<&'a KeyId> {
        self.rejection.key_id()
    }

    /// Returns the request's method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the request's path as the client sent it, or `*` if it is [not
    /// known](RequestHead::original_uri). `None` if the layer [may read a
    /// key](crate::Extract::reads_path) from the path.
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        self.path
    }

    /// Returns the endpoint of the policy's rule, such as `GET /v1/users/{id}`, if a policy
    /// would refuse the request and has a rule for it.
    #[must_use]
    pub fn rule(&self) -> Option<&'a str> {
        self.rule
    }
}
