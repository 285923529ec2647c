//! [`Reason`]: why a key does not allow a request, for the operator.

/// Why this crate refuses a request as [`NotAllowed`](super::RejectionKind::NotAllowed). Clients do not see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The key does not work from the address of the client.
    Address,
    /// The key works from some addresses only, and that of the client is not known.
    UnknownAddress,
    /// The key does not work on the page that the browser names.
    Site,
    /// The key does not work on the method and path.
    Endpoint,
    /// The key is public where secret keys are needed, or the other way round.
    KeyKind,
    /// The method is not allowed for any key.
    Method,
    /// A page of another origin sent a secret key.
    CrossOrigin,
    /// The request costs more than a limit of the key ever allows.
    Cost,
}

impl Reason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::UnknownAddress => "unknown_address",
            Self::Site => "site",
            Self::Endpoint => "endpoint",
            Self::KeyKind => "key_kind",
            Self::Method => "method",
            Self::CrossOrigin => "cross_origin",
            Self::Cost => "cost",
        }
    }
}
