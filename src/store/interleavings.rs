//! Every interleaving of a change with hand-overs and with looks, step by step, over the real claims, pending values and
//! memory tier. The record on disk is a cell here, and the queue a list; the steps of the worker stand in the order in
//! which `worker/changes.rs` and `worker/transaction.rs` make them.
//!
//! Two claims are held against each interleaving. A look that begins after a change returned never finds a value whose
//! computation began before it; and a value that was handed over is found until a change revokes it. Each rule that makes
//! them true can be left out, and a test says that none of them is spare.

mod world;

use std::time::Duration;

use self::world::{Actor, Judged, World};
use super::session::{Session, Settings};
use crate::{clock::Clock, observe::Observers};

/// A rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Publishing asks the claim under the lock of the shard.
    PublishingAsks,
    /// A pending value whose claim was revoked is not found.
    RevokedIsHidden,
    /// The claims are revoked before memory and pending values are forgotten.
    RevokesFirst,
    /// The disk changes before anything else does.
    DiskFirst,
    /// Memory forgets the key.
    MemoryForgets,
    /// A change removes only a pending value whose claim was revoked.
    RemovesOnlyRevoked,
    /// The worker takes out the value that it put, and no other.
    TakesItsOwn,
    /// The worker takes a value out after its record is in.
    TakesAfterwards,
    /// The worker puts no value whose claim was revoked.
    PutIsJudged,
    /// Keeping a copy in memory asks the claim.
    KeepingAsks,
}

const RULES: [Rule; 10] = [
    Rule::PublishingAsks,
    Rule::RevokedIsHidden,
    Rule::RevokesFirst,
    Rule::DiskFirst,
    Rule::MemoryForgets,
    Rule::RemovesOnlyRevoked,
    Rule::TakesItsOwn,
    Rule::TakesAfterwards,
    Rule::PutIsJudged,
    Rule::KeepingAsks,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Remove,
    Insert,
    /// An insert that does not wait for the worker.
    InsertSoon,
    Clear,
    /// Nothing is acknowledged, so nothing is stale; but memory must not keep what the disk lost.
    Evict,
}

const CHANGES: [Change; 5] =
    [Change::Remove, Change::Insert, Change::InsertSoon, Change::Clear, Change::Evict];

/// What goes on beside the change.
struct Scenario {
    /// Of removal and clear the claims differ, not the order: one of them meets the scenario of most interleavings.
    is_for: fn(Change) -> bool,
    computers: usize,
    early_readers: usize,
    /// One that begins after the change returned.
    has_late_reader: bool,
    /// Whether the key has a record at first. A computation begins where there is none.
    has_record: bool,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario { is_for: |_| true, computers: 1, early_readers: 0, has_late_reader: true, has_record: false },
    Scenario { is_for: |_| true, computers: 0, early_readers: 1, has_late_reader: true, has_record: true },
    Scenario {
        is_for: |change| matches!(change, Change::Remove | Change::Evict),
        computers: 1,
        early_readers: 1,
        has_late_reader: false,
        has_record: false,
    },
    Scenario { is_for: |_| true, computers: 2, early_readers: 0, has_late_reader: false, has_record: false },
    // One keeps the value in memory, the other one finds it there.
    Scenario { is_for: |_| true, computers: 0, early_readers: 2, has_late_reader: false, has_record: true },
];

fn session() -> Session {
    let settings = Settings {
        memory: 1 << 20,
        max_bytes: None,
        max_wait: Duration::MAX,
        max_stall: Duration::MAX,
        observers: Observers::default(),
        clock: Clock::default(),
    };
    Session::new(&settings)
}

fn actors(scenario: &Scenario) -> Vec<Actor> {
    let computer = |_| Actor::Computer { claim: None, value: None, at: 0 };
    let reader = |is_late| Actor::Reader { is_late, claim: None, found: None, to_note: None, at: 0 };
    let mut actors = vec![Actor::Changer { at: 0, soon: None }, Actor::Worker { at: 0 }];
    actors.extend(scenario.has_late_reader.then(|| reader(true)));
    actors.extend((0..scenario.computers).map(computer));
    actors.extend((0..scenario.early_readers).map(|_| reader(false)));
    actors
}

/// One interleaving: `path` holds which actor makes each step, and of how many that can. Where it ends, the first one does.
fn run(mut world: World<'_>, mut actors: Vec<Actor>, path: &mut Vec<(usize, usize)>) -> Judged {
    for step in 0.. {
        let mut ready: Vec<&mut Actor> = actors.iter_mut().filter(|actor| world.can(actor)).collect();
        if ready.is_empty() {
            break;
        }
        if step == path.len() {
            path.push((0, ready.len()));
        }
        world.step(ready[path[step].0])?;
    }
    let judged = world.judge_end();
    world.session.leave(world.session.memory.remove(world.flight_key.owner, &world.digest()));
    world.session.settle();
    judged
}

/// The number of all interleavings, or what is wrong with the first one that is.
fn explore(without: Option<Rule>, change: Change, scenario: &Scenario) -> Result<u64, String> {
    let (session, mut path, mut count) = (session(), Vec::new(), 0);
    loop {
        run(World::new(&session, without, change, scenario), actors(scenario), &mut path)?;
        count += 1;
        while let Some((chosen, ready)) = path.pop() {
            if chosen + 1 < ready {
                path.push((chosen + 1, ready));
                break;
            }
        }
        if path.is_empty() {
            return Ok(count);
        }
    }
}

#[test]
fn no_interleaving_of_a_change_is_stale_or_loses_a_value() {
    for change in CHANGES {
        for scenario in SCENARIOS.iter().filter(|scenario| (scenario.is_for)(change)) {
            let count = explore(None, change, scenario);
            assert!(count.as_ref().is_ok_and(|count| *count > 500), "{change:?}: {count:?}");
        }
    }
}

#[test]
fn without_any_one_of_its_rules_some_interleaving_is_stale_or_loses_a_value() {
    for rule in RULES {
        let mut tried =
            CHANGES.iter().flat_map(|change| SCENARIOS.iter().map(|scenario| (*change, scenario)));
        let is_needed = tried.any(|(change, scenario)| explore(Some(rule), change, scenario).is_err());
        assert!(is_needed, "{rule:?} is spare");
    }
}
