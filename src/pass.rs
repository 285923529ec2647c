//! [`Pass`]: the positive decision, and what follows from it.

use std::sync::Arc;

use http::Request;

use crate::charge::{Charge, Charged};
use crate::extract::Carrier;
use crate::gate::Gate;
use crate::head::RequestHead;
use crate::http_cache::{CacheFields, ResponseFields};
use crate::observe::Observation;
use crate::reject::{PathIsSecret, Rejection};
use crate::verify::{Anonymous, VerifiedKey};

/// The positive decision: nothing else lets a request through.
pub(crate) enum Pass {
    Verified { key: VerifiedKey, carrier: Carrier, charge: Option<Charge> },
    Anonymous,
}

/// What is to be done with the response.
pub(crate) struct Finish {
    pub(crate) cache_fields: Option<ResponseFields>,
    pub(crate) charged: Option<Charged>,
}

impl Pass {
    /// Prepares the request for the inner service, which has to be called next.
    pub(crate) fn stamp<B>(
        self,
        request: &mut Request<B>,
        gate: &Arc<Gate>,
        observation: &mut Option<Box<Observation>>,
    ) -> Result<Finish, Rejection> {
        if gate.rejector.hides_paths {
            keep_path_secret(request);
        }
        match self {
            Self::Verified { key, carrier, charge } => {
                if gate.keep_credential {
                    carrier.mark_sensitive(request);
                } else {
                    carrier.remove_from(request)?;
                }
                let head = RequestHead::new(request);
                gate.observers.admitted(&key, &head, &*gate.clock);
                if let Some(observation) = observation {
                    observation.admitted(&key);
                }
                let charged = charge.map(|charge| Charged::new(gate, &key, charge));
                request.extensions_mut().insert(key);
                let cache_fields =
                    gate.cache_fields.as_ref().map(|fields| fields.with_key(&carrier));
                Ok(Finish { cache_fields, charged })
            }
            Self::Anonymous => {
                // What an outer layer verified was verified by other keys.
                request.extensions_mut().remove::<VerifiedKey>();
                request.extensions_mut().insert(Anonymous(Arc::clone(&gate.rejector)));
                let cache_fields = gate.cache_fields.as_ref().map(CacheFields::without_key);
                Ok(Finish { cache_fields, charged: None })
            }
        }
    }
}

#[cold]
fn keep_path_secret<B>(request: &mut Request<B>) {
    request.extensions_mut().insert(PathIsSecret);
}
