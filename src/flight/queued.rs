//! A task waits for its verdict by being polled again. The timer looks after it meanwhile.

use std::{future::poll_fn, task::Poll, time::Duration};

use super::{Asker, Flight, FlightKey, Turn, park::Patience};
use crate::{context::Caller, sync::lock, timer};

/// The timer looks at a wait at least so often, so that it soon forgets the waits that are over.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

impl Flight {
    /// As [`claim_or_stale`](Self::claim_or_stale), for a task. A task that is dropped waits no more.
    pub(crate) async fn claim_in_task(
        &'static self,
        key: FlightKey,
        asker: &Asker,
        max_wait: Duration,
        accepts_stale: bool,
    ) -> Turn<'static> {
        let mut queued = None;
        poll_fn(|cx| {
            let turn = match &queued {
                Some(Queued { caller, is_watched, .. }) => {
                    self.poll(key, *caller, !is_watched, cx.waker().clone())
                }
                None => self.begin(key, asker, accepts_stale, cx.waker().clone()).or_else(|| {
                    let caller = asker.caller;
                    let is_watched = self.watch(caller, max_wait);
                    queued = Some(Queued { flight: self, key, caller, is_watched });
                    // Without a timer it does not wait.
                    if is_watched { None } else { self.poll(key, caller, true, cx.waker().clone()) }
                }),
            };
            turn.map_or(Poll::Pending, |turn| {
                // It may have been woken for the lead in this very poll.
                asker.pulse.iter().for_each(|pulse| pulse.polled());
                Poll::Ready(turn)
            })
        })
        .await
    }

    /// Has the timer look after a queued caller that does not look itself. `false` where there is none.
    pub(crate) fn watch(&'static self, caller: Caller, max_wait: Duration) -> bool {
        let (ticket, mut patience) = (lock(&self.table).ticket_of(caller), Patience::new(max_wait));
        timer::look_after(move || {
            let mut left = None;
            let (waits_on, wakers) = lock(&self.table).look_after(caller, ticket, |awaited| {
                left = patience.left(awaited);
                left.is_none()
            });
            wakers.wake();
            left.filter(|_| waits_on).map(|left| left.min(LONGEST_LOOK))
        })
    }
}

/// A task in the queue of a leader.
struct Queued {
    flight: &'static Flight,
    key: FlightKey,
    caller: Caller,
    is_watched: bool,
}

impl Drop for Queued {
    fn drop(&mut self) {
        // A forked child has a table of its own.
        if self.flight.is_here() {
            self.flight.leave(self.key, self.caller);
        }
    }
}
