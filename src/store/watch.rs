//! Who is inside the engine, and for how long: one thread a process looks every second, and tells the stores.
//!
//! A read from disk is made on the thread of its caller, because to hand it over would cost several times the read. If the
//! engine does not answer there, nobody can free that caller; but whoever comes next need not come to the same end, and whoever
//! waits for its key need not wait with it. To be seen costs a call a few stores to a line of memory of its own thread.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    flight::{Caller, caller, flight},
    store::{core::Core, patience::Patience},
    sync::{Mutex, lock, thread, thread_local},
};

thread_local! {
    static DESK: Arc<Desk> = Desk::new();
}

/// Where a thread says what it is in.
struct Desk {
    caller: Caller,
    /// How often it went in and came out: odd while it is inside.
    steps: AtomicU64,
    /// Which engine it is in, and for how long that is waited for, in slices.
    engine: AtomicUsize,
    patience: AtomicU32,
}

/// Those of all threads that were ever in an engine, and still are there.
static DESKS: Mutex<Vec<Weak<Desk>>> = Mutex::new(Vec::new());

impl Desk {
    fn new() -> Arc<Self> {
        let (steps, engine, patience) = (AtomicU64::new(0), AtomicUsize::new(0), AtomicU32::new(0));
        let desk = Arc::new(Self { caller: caller(), steps, engine, patience });
        let mut desks = lock(&DESKS);
        desks.retain(|desk| desk.strong_count() > 0);
        desks.push(Arc::downgrade(&desk));
        desk
    }

    /// Only ever called by its own thread.
    fn step(&self) {
        self.steps.store(self.steps.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// Makes a call that the watch sees. `engine` is any number that no other engine has.
pub(super) fn seen<T>(engine: usize, patience: Patience, call: impl FnOnce() -> T) -> T {
    // While a thread ends it has no desk, and nobody sees it.
    let _ = DESK.try_with(|desk| {
        desk.engine.store(engine, Ordering::Relaxed);
        desk.patience.store(patience.slices, Ordering::Relaxed);
        desk.step();
    });
    let outcome = call();
    let _ = DESK.try_with(|desk| desk.step());
    outcome
}

/// A call that is under way.
#[derive(Clone, Copy)]
pub(super) struct Stay {
    pub(super) engine: usize,
    caller: Caller,
    /// Whether it lasts longer than there is patience. The time for which the whole process was stopped hardly counts.
    pub(super) is_overdue: bool,
}

/// Looks after the stores of the process.
static WATCH: Mutex<Watch> = Mutex::new(Watch { stores: Vec::new(), looks: false });

struct Watch {
    stores: Vec<Weak<Core>>,
    /// Whether there is a thread.
    looks: bool,
}

/// Has the calls of a store watched for as long as it is open. Without a thread to be had nobody is, until the next store.
pub(super) fn over(core: &Arc<Core>) {
    let mut watch = lock(&WATCH);
    watch.stores.push(Arc::downgrade(core));
    if !watch.looks {
        watch.looks = thread::Builder::new().name("memolith-watch".into()).spawn(look_after_all).is_ok();
    }
}

/// At least so often: a store with more patience must not have the others wait.
const PAUSE: Duration = Duration::from_secs(1);

fn look_after_all() {
    let (mut eye, mut pause) = (Eye::default(), Duration::ZERO);
    loop {
        let stays = eye.look(pause);
        let Some(stores) = open_stores(!stays.is_empty()) else { return };
        // The last handle of a store may be ours, and with it what is the user's.
        let looked = catch_unwind(AssertUnwindSafe(move || look_after(&stores, &stays)));
        pause = looked.unwrap_or(PAUSE);
        thread::sleep(pause);
    }
}

/// `None` when there is nothing to look after, and this thread ends.
fn open_stores(somebody_is_inside: bool) -> Option<Vec<Arc<Core>>> {
    let mut watch = lock(&WATCH);
    let stores: Vec<Arc<Core>> = watch.stores.iter().filter_map(Weak::upgrade).collect();
    let is_open =
        |core: &Weak<Core>| stores.iter().any(|open| Arc::as_ptr(open) == core.as_ptr() && !open.is_closed());
    watch.stores.retain(is_open);
    watch.looks = !watch.stores.is_empty() || somebody_is_inside;
    let looks = watch.looks;
    drop(watch);
    looks.then_some(stores)
}

/// How long until the next look.
fn look_after(stores: &[Arc<Core>], stays: &[Stay]) -> Duration {
    let patience = stores.iter().map(|core| {
        core.look_after(stays);
        core.manner.patience.total() / 5
    });
    let pause = patience.fold(PAUSE, Duration::min);
    // Whoever waits for what they lead has waited long enough, and who comes next does not wait for them. Not before: who
    // is called now must not come to the same end.
    stays.iter().filter(|stay| stay.is_overdue).for_each(|stay| flight().relieve(stay.caller));
    pause
}

/// What was seen at the last look.
#[derive(Default)]
struct Eye {
    /// Of each thread inside: its steps, and for how long they have been the same.
    seen: HashMap<Caller, (u64, Duration)>,
}

impl Eye {
    /// `pause` is how long ago the last look was meant to be.
    fn look(&mut self, pause: Duration) -> Vec<Stay> {
        let desks: Vec<Arc<Desk>> = lock(&DESKS).iter().filter_map(Weak::upgrade).collect();
        let before = std::mem::take(&mut self.seen);
        let mut stays = Vec::new();
        for desk in desks {
            let steps = desk.steps.load(Ordering::Acquire);
            if steps % 2 == 0 {
                continue;
            }
            let before = before.get(&desk.caller).filter(|(before, _)| *before == steps);
            let lasts = before.map_or(Duration::ZERO, |(_, lasts)| *lasts + pause);
            self.seen.insert(desk.caller, (steps, lasts));
            let engine = desk.engine.load(Ordering::Relaxed);
            let patience = Patience { slices: desk.patience.load(Ordering::Relaxed) };
            // What was read of the desk is of this call only if it has not come back since.
            let is_same = desk.steps.load(Ordering::Acquire) == steps;
            let is_overdue = is_same && before.is_some() && lasts >= patience.total();
            stays.push(Stay { engine, caller: desk.caller, is_overdue });
        }
        stays
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// One thread is in a call of an engine that is waited for for 300 ms, until the test lets it go.
    #[test]
    fn a_call_is_overdue_when_it_has_lasted_longer_than_there_is_patience() {
        let (enter, entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let inside = thread::spawn(move || {
            let patience = Patience::of(Duration::from_millis(300));
            seen(4711, patience, || {
                enter.send(()).unwrap();
                let _ = released.recv();
            });
            seen(4711, patience, || ());
        });
        entered.recv().unwrap();
        let mut eye = Eye::default();
        let mut overdue = |pause| {
            let stays = eye.look(Duration::from_millis(pause));
            stays.iter().filter(|stay| stay.engine == 4711).map(|stay| stay.is_overdue).collect::<Vec<_>>()
        };
        assert_eq!(overdue(1_000_000), [false], "it was not seen before");
        assert_eq!(overdue(200), [false]);
        assert_eq!(overdue(100), [true]);
        assert_eq!(overdue(0), [true]);
        drop(release);
        inside.join().unwrap();
        assert!(overdue(1_000).is_empty());
    }
}
