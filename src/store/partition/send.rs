//! The last step of a hand-over: a published value goes into the queue of the worker.

use std::sync::Arc;

use crate::store::worker::{Directory, Put, Request};

/// Sends a value that was published. A worker that ended has emptied the pending values, maybe before this one came: nothing
/// else takes it out. The request is given back then.
pub(super) fn send(directory: &Directory, put: Put, is_urgent: bool) -> Result<(), Box<Request>> {
    let (memo, flight_key) = (Arc::clone(&put.memo), put.memo.flight_key(&put.digest));
    let value = Arc::clone(&put.value);
    let list = put.list.as_ref().map(|list| (memo.flight_key(&list.key), Arc::clone(&list.value)));
    let counts = [&memo.hand_overs, &directory.hand_overs];
    for hand_overs in counts {
        hand_overs.begin(&flight_key);
    }
    let put = Request::Put(put);
    let queued = if is_urgent { directory.send(put) } else { directory.hand_over(put) };
    if queued.is_err() {
        for (key, value) in [(flight_key, value)].into_iter().chain(list) {
            directory.pending.take(key, &value);
        }
        for hand_overs in counts {
            hand_overs.end();
        }
    }
    queued
}
