//! The events of a pool.

use memolith::observe::{Event, Reason};

use super::*;

/// The events as short lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn write(&self, event: &Event<'_>) {
        let line = match event {
            Event::Hit { memo, tier, saved, .. } => format!("hit {memo} {tier:?} {saved:?}"),
            Event::Miss { memo, reason, .. } => format!("miss {memo} {reason:?}"),
            Event::ComputeStarted { memo, key, .. } => format!("start {memo} {key:?}"),
            Event::ComputeFinished { memo, key, took, succeeded, .. } => {
                format!("end {memo} {key:?} {took:?} {succeeded}")
            }
            Event::Evicted { memo, entries, .. } => format!("evicted {memo} {entries}"),
            Event::Expired { memo, entries, .. } => format!("expired {memo} {entries}"),
            Event::Failed { memo, error, .. } => format!("failed {memo:?} {:?}", error.kind()),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn observed(
    options: impl FnOnce(ResourcePoolBuilder) -> ResourcePoolBuilder,
) -> (ResourcePool, ManualClock, Lines) {
    let lines = Lines::default();
    let written = lines.clone();
    let (pool, clock) = timed(|pool| options(pool.observer(move |event| written.write(event))));
    (pool, clock, lines)
}

#[test]
fn a_call_is_told_from_its_miss_to_its_hits() {
    let (pool, clock, lines) = observed(|pool| pool);
    for _ in 0..2 {
        pool.get_or_insert_with("one", || {
            clock.advance(MILLISECOND * 20);
            1_u8
        });
    }
    assert_eq!(
        lines.take(),
        ["miss u8 Absent", "start u8 Some(\"one\")", "end u8 Some(\"one\") 20ms true", "hit u8 Memory 20ms",]
    );
    pool.get_or_try_insert_with::<u8, _>(&"long ".repeat(20), || Err("refused")).unwrap_err();
    assert_eq!(lines.take(), ["miss u8 Absent", "start u8 None", "end u8 None 0ns false"]);
}

#[test]
fn a_builder_that_panics_has_ended() {
    let (pool, _, lines) = observed(|pool| pool);
    let call = || pool.get_or_insert_with::<u8>("a", || panic_any("in the builder"));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_err();
    assert_eq!(lines.take().last().unwrap(), "end u8 Some(\"a\") 0ns false");
}

#[test]
fn removals_are_told_by_type_and_cause() {
    let (pool, clock, lines) = observed(|pool| pool.ttl(MILLISECOND * 10).max_entries(3));
    for number in 0..4_u8 {
        pool.get_or_insert_with(&number, || number);
    }
    pool.get_or_insert_with("text", String::new);
    let left = |lines: &Lines| {
        let mut told = lines.take();
        told.retain(|line| !line.starts_with("start") && !line.starts_with("end"));
        told
    };
    let told = left(&lines);
    assert_eq!(told.iter().filter(|line| *line == "evicted u8 1").count(), 2, "{told:?}");
    clock.advance(MILLISECOND * 10);
    pool.sweep();
    assert_eq!(left(&lines), ["expired alloc::string::String 1", "expired u8 2"]);
    pool.get_or_insert_with(&1, || 1_u8);
    pool.entry::<u8>(&1).validate(|_| false).or_insert_with(|| 2);
    clock.advance(MILLISECOND * 10);
    assert!(pool.get::<u8>(&1).is_none());
    assert_eq!(left(&lines), ["miss u8 Absent", "miss u8 Invalid", "expired u8 1", "miss u8 Expired"]);
}

#[test]
fn an_observer_runs_under_no_lock_and_its_own_events_are_not_told() {
    let pool: Arc<Mutex<Option<ResourcePool>>> = Arc::default();
    let told = Arc::new(Mutex::new(0));
    let (used, counted) = (Arc::clone(&pool), Arc::clone(&told));
    let observe = move |_: &Event<'_>| {
        *counted.lock().unwrap() += 1;
        let pool = used.lock().unwrap().clone();
        if let Some(pool) = pool {
            pool.get_or_insert_with("of the observer", || 1_u16);
            assert!(pool.len() <= 1 && pool.sweep() == 0);
            pool.remove::<u16>("of the observer");
        }
    };
    let made = ResourcePool::builder().observer(observe).max_entries(1).build().unwrap();
    *pool.lock().unwrap() = Some(made.clone());
    made.get_or_insert_with("a", || 1_u8);
    made.get_or_insert_with("a", || 1_u8);
    *pool.lock().unwrap() = None;
    let stats = made.stats();
    assert!(stats.misses.absent > 2, "the calls of the observer are counted: {stats}");
    let told = *told.lock().unwrap();
    assert!((4..=8).contains(&told), "{told} events of the two calls alone");
}

#[test]
fn an_observer_that_panics_fails_no_call_and_is_counted() {
    let lines = Lines::default();
    let written = lines.clone();
    let pool = ResourcePool::builder()
        .observer(|_| panic_any("in the observer"))
        .observer(move |event| written.write(event))
        .build()
        .unwrap();
    assert_eq!(*pool.get_or_insert_with("a", || 1_u8), 1);
    assert_eq!((pool.stats().failures.panic, lines.take().len()), (3, 3));
    assert!(pool.last_failure().unwrap().error.kind() == memolith::ErrorKind::Panic);
}

#[test]
fn failures_are_told() {
    let (pool, _, lines) = observed(|pool| pool);
    let log = Log::default();
    pool.get_or_insert_with("a", || log.failing("a"));
    lines.take();
    pool.remove::<Logged>("a");
    let [failed] = lines.take().try_into().unwrap();
    assert!(failed.starts_with("failed Some(") && failed.ends_with("Logged\") Panic"), "{failed}");
}

#[test]
fn a_reason_of_a_pool_is_one_of_observers_too() {
    let reasons: Arc<Mutex<Vec<Reason>>> = Arc::default();
    let noted = Arc::clone(&reasons);
    let pool = ResourcePool::builder()
        .observer(move |event| {
            if let Event::Miss { reason, .. } = event {
                noted.lock().unwrap().push(*reason);
            }
        })
        .build()
        .unwrap();
    pool.get_or_insert_with("a", || 1_u8);
    pool.entry::<u8>("a").validate(|_| false).or_insert_with(|| 2);
    assert_eq!(*reasons.lock().unwrap(), [Reason::Absent, Reason::Invalid]);
}
