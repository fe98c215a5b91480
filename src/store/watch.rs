//! Who is inside the engine, and for how long: one thread a process looks every second, and tells the stores.
//!
//! A read from disk is made on the thread of its caller, because to hand it over would cost several times the read. If the
//! engine does not answer there, nobody can free that caller; but whoever comes next need not come to the same end, and whoever
//! waits for its key need not wait with it. To be seen costs a call two stores to a line of memory of its own thread.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    flight::{Caller, caller},
    store::core::Core,
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
    /// Which engine it is in.
    engine: AtomicUsize,
}

/// Those of all threads that were ever in an engine, and still are there.
static DESKS: Mutex<Vec<Weak<Desk>>> = Mutex::new(Vec::new());

impl Desk {
    fn new() -> Arc<Self> {
        let desk = Self { caller: caller(), steps: AtomicU64::new(0), engine: AtomicUsize::new(0) };
        let desk = Arc::new(desk);
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
pub(super) fn seen<T>(engine: usize, call: impl FnOnce() -> T) -> T {
    // While a thread ends it has no desk, and nobody sees it.
    let _ = DESK.try_with(|desk| {
        desk.engine.store(engine, Ordering::Relaxed);
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
    pub(super) caller: Caller,
    /// For how long at least. The time for which the whole process was stopped hardly counts.
    pub(super) lasts: Duration,
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

fn look_after_all() {
    let mut eye = Eye::default();
    loop {
        let mut watch = lock(&WATCH);
        watch.stores.retain(|core| core.upgrade().is_some_and(|core| !core.is_closed()));
        watch.looks = !watch.stores.is_empty();
        if !watch.looks {
            return;
        }
        let stores = watch.stores.clone();
        drop(watch);
        let patience = stores.iter().filter_map(Weak::upgrade).map(|core| core.manner.patience.total()).min();
        let pause = patience.unwrap_or_default() / 5;
        let pause = pause.max(Duration::from_millis(10));
        let stays = eye.look(pause);
        for core in stores.iter().filter_map(Weak::upgrade) {
            core.look_after(&stays);
        }
        thread::sleep(pause);
    }
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
        let mut stays = Vec::new();
        let mut now = HashMap::new();
        for desk in desks {
            let steps = desk.steps.load(Ordering::Acquire);
            let engine = desk.engine.load(Ordering::Relaxed);
            if steps % 2 == 0 {
                continue;
            }
            let before = self.seen.get(&desk.caller).filter(|(before, _)| *before == steps);
            let lasts = before.map_or(Duration::ZERO, |(_, lasts)| *lasts + pause);
            now.insert(desk.caller, (steps, lasts));
            stays.push(Stay { engine, caller: desk.caller, lasts });
        }
        self.seen = now;
        stays
    }
}
