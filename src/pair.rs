//! A second thread for work that is bound by memory: for a large value, and for as long as the call takes.

use std::{num::NonZero, sync::Mutex, thread};

use crate::sync::lock;

/// Work on fewer bytes is done sooner than a second thread is begun and ended, which takes 20 to 50 us.
pub(crate) const WORTHWHILE: usize = 8 << 20;

/// Does `work` on every piece, by this thread and one more, each of them taking the next piece that is left. By this
/// thread alone where the machine has no second core, or no second thread to give.
pub(crate) fn share<T: Send>(pieces: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    if thread::available_parallelism().map_or(1, NonZero::get) == 1 {
        return pieces.for_each(work);
    }
    let pieces = Mutex::new(pieces);
    let take = || {
        while let Some(piece) = next(&pieces) {
            work(piece);
        }
    };
    thread::scope(|scope| {
        let _ = thread::Builder::new().name("memolith pair".into()).spawn_scoped(scope, take);
        take();
    });
}

/// The lock is held for the taking alone, not for the work.
fn next<T>(pieces: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    lock(pieces).next()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[test]
    fn every_piece_is_worked_on_once() {
        let done: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        share(done.iter(), |piece| {
            piece.fetch_add(1, Relaxed);
        });
        assert!(done.iter().all(|times| times.load(Relaxed) == 1));
    }
}
