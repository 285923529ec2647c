//! [`subscribe`]: the task that receives the changes of other nodes.

use std::time::Duration;

use tokio::time::sleep;

use super::session::Session;
use super::subscriber::Subscriber;
use crate::contain;
use crate::store::StoreError;

/// The pauses before subscribing again: twice as long each time, from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Subscribes, again and again, until it is aborted.
pub(super) async fn subscribe(subscriber: Subscriber) {
    let mut told = None;
    let mut pause = PAUSES.0;
    loop {
        let mut session = Session::of(&subscriber, &mut told);
        // A panic of the source counts as a failure, because only this task subscribes again.
        let reason = contain::wait(session.listen()).await.unwrap_or_else(StoreError::new);
        session.lost(&reason);
        if session.was_live {
            pause = PAUSES.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
