//! [`Log`]: what a layer shows in events, and what it hides.

use percent_encoding::percent_decode_str;

use crate::address::TrustedProxies;
use crate::key::KeyFormats;
use crate::trace::Repeats;

/// What a layer shows of requests in events, and what it hides.
#[derive(Clone, Default)]
pub(crate) struct Log {
    /// Counts repeated events.
    pub(crate) repeats: Repeats,
    /// The proxies that name the client.
    pub(crate) proxies: TrustedProxies,
    /// Whether events hide the addresses of clients.
    pub(crate) hides_clients: bool,
    /// Whether a path may hold a key, so that events hide it.
    pub(crate) hides_paths: bool,
    /// Whether it is not known if paths hold keys, so that events hide the long parts of paths.
    pub(crate) hides_long_segments: bool,
    /// The formats of keys.
    pub(crate) formats: KeyFormats,
}

impl Log {
    /// Returns the address of the client, if it is known and may be shown.
    #[cfg(feature = "tracing")]
    pub(super) fn client(&self, head: &crate::head::RequestHead<'_>) -> Option<std::net::IpAddr> {
        if self.hides_clients { None } else { self.proxies.client_address(head) }
    }

    /// Tells whether a segment of the path could be a key of one of the formats: a client may have put
    /// its key in the wrong place.
    pub(super) fn may_hold_key(&self, path: &str) -> bool {
        let is_key = |segment: &str| {
            let segment: Vec<u8> = percent_decode_str(segment).collect();
            self.formats.parse_bytes(&segment).is_ok()
        };
        !self.formats.is_empty() && path.split('/').any(is_key)
    }
}
