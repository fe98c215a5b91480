//! What one machine computed, the others have.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use memolith::{Memo, Store, remote::Redis};

use crate::{
    machine::{Machine, redis},
    server::{wait_until, with_each, with_one},
};

#[test]
fn a_value_that_one_machine_computed_is_a_hit_on_another() {
    with_each(|server| {
        let (one, other) = (Machine::new(server), Machine::new(server));
        assert_eq!(one.get("a", "first"), "first");
        assert_eq!(other.get("a", "second"), "first");
        let stats = other.memo.stats();
        assert_eq!((stats.hits.server, stats.hits.disk, stats.misses.total()), (1, 0, 0));
        // From here on it is on that machine too.
        assert_eq!(other.get("a", "third"), "first");
        assert_eq!(other.memo.stats().hits.server, 1);
        assert_eq!((one.computed(), other.computed()), (1, 0));
        one.no_failures();
        other.no_failures();
    });
}

#[test]
fn a_value_that_was_fetched_survives_on_its_machine() {
    with_one(|mut server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        one.get("a", "first");
        other.get("a", "second");
        server.kill();
        let url = server.url();
        let other = other.again(&url);
        assert_eq!(other.get("a", "third"), "first");
        assert_eq!(other.computed(), 0);
    });
}

#[test]
fn values_of_all_sizes_are_shared_up_to_the_limit() {
    with_each(|server| {
        let redis = || redis(&server.url()).max_value(100_000);
        let (one, other) =
            (Machine::with(redis(), |builder| builder), Machine::with(redis(), |builder| builder));
        for length in [0, 1, 200, 4_000, 5_000, 90_000] {
            let value = "x".repeat(length);
            assert_eq!(one.get(&length.to_string(), &value), value);
            assert_eq!(other.get(&length.to_string(), "other"), value, "{length}");
        }
        assert_eq!(other.computed(), 0);
        // A larger value is computed on each machine, once.
        let large = "x".repeat(200_000);
        one.get("large", &large);
        for _ in 0..2 {
            assert_eq!(other.get("large", &large), large);
        }
        assert_eq!((one.computed(), other.computed()), (7, 1));
        assert!(server.keys("memolith:*:c:*").len() <= 1, "the lease has ended");
        one.no_failures();
        other.no_failures();
    });
}

#[test]
fn memos_of_other_namespaces_versions_and_shapes_share_nothing() {
    with_one(|server| {
        let one = Machine::new(&server);
        one.get("a", "first");
        let elsewhere = Machine::with(redis(&server.url()).namespace("bank"), |builder| builder);
        assert_eq!(elsewhere.get("a", "second"), "second");
        let other = Machine::new(&server);
        drop(other.memo);
        let newer: Memo<str, String> = Memo::builder("names").version(2).open(&other.store).unwrap();
        assert_eq!(newer.get_or_insert_with("a", || "of version 2".into()), "of version 2");
        drop(newer);
        let numbers: Memo<str, u64> = Memo::builder("names").open(&other.store).unwrap();
        assert_eq!(numbers.get_or_insert_with("a", || 7), 7);
    });
}

#[test]
fn a_memo_that_is_local_only_shares_nothing() {
    with_one(|server| {
        let one = Machine::new(&server);
        let local: Memo<str, u64> = Memo::builder("local").local_only().open(&one.store).unwrap();
        local.get_or_insert_with("a", || 1);
        local.insert("b", &2).unwrap();
        assert_eq!(server.keys("*v:*"), Vec::<String>::new());
        assert_eq!(server.keys("*:s"), Vec::<String>::new(), "nothing is told");
    });
}

#[test]
fn callers_of_several_machines_cause_one_computation() {
    with_each(|server| {
        let machines: Vec<Machine> = (0..4).map(|_| Machine::new(server)).collect();
        let (computed, start) = (AtomicUsize::new(0), Barrier::new(100));
        thread::scope(|scope| {
            for caller in 0..100 {
                let (machine, computed, start) = (&machines[caller % 4], &computed, &start);
                scope.spawn(move || {
                    start.wait();
                    let value = machine.memo.get_or_insert_with("cold", || {
                        computed.fetch_add(1, SeqCst);
                        // Long enough for all to arrive.
                        wait_until("others wait", || machine.memo.stats().misses.total() < 1_000);
                        thread::park_timeout(Duration::from_millis(50));
                        "value".to_owned()
                    });
                    assert_eq!(value, "value");
                });
            }
        });
        assert_eq!(computed.load(SeqCst), 1);
        machines.iter().for_each(Machine::no_failures);
    });
}

#[test]
fn after_a_failure_or_a_panic_one_waiter_of_another_machine_computes() {
    with_each(|server| {
        let (one, other) = (Machine::new(server), Machine::new(server));
        for (at, fails) in [("error", false), ("panic", true)] {
            let (begun, release) = (Barrier::new(2), Barrier::new(2));
            thread::scope(|scope| {
                let failing = scope.spawn(|| {
                    one.memo.get_or_try_insert_with(at, || {
                        begun.wait();
                        release.wait();
                        assert!(!fails, "it panics");
                        Err("it fails")
                    })
                });
                begun.wait();
                let waiter = scope.spawn(|| other.get(at, "from the other"));
                wait_until("the other machine asks", || !server.keys("*c:*").is_empty());
                release.wait();
                assert_eq!(waiter.join().unwrap(), "from the other");
                assert!(!matches!(failing.join(), Ok(Ok(_))));
            });
        }
        assert_eq!(other.computed(), 2);
    });
}

#[test]
fn ttl_and_age_are_those_of_the_machine_that_computed() {
    with_one(|mut server| {
        let clocks = [memolith::testing::ManualClock::new(), memolith::testing::ManualClock::new()];
        // Their clocks differ by an hour.
        clocks[1].advance(Duration::from_secs(3_600));
        let [one, other] = clocks
            .each_ref()
            .map(|clock| Machine::with(redis(&server.url()), |builder| builder.clock(clock)));
        let ttl = Duration::from_secs(60);
        let open = |machine: &Machine| -> Memo<str, u64> {
            Memo::builder("prices").ttl(ttl).open(&machine.store).unwrap()
        };
        let memos = (open(&one), open(&other));
        memos.0.get_or_insert_with("a", || 1);
        let left: u64 = server.command(&["PTTL", &server.keys("*v:*")[0]]);
        assert!(left > 50_000 && left <= 60_000, "{left}");
        // Fifty seconds pass on the server.
        let _: u64 = server.command(&["PEXPIRE", &server.keys("*v:*")[0], "10000"]);
        assert_eq!(memos.1.get_or_insert_with("a", || 2), 1);
        server.kill();
        clocks[1].advance(Duration::from_secs(9));
        assert_eq!(memos.1.get("a").unwrap(), Some(1));
        clocks[1].advance(Duration::from_secs(2));
        assert_eq!(memos.1.get("a").unwrap(), None, "its age went on counting there");
    });
}

#[test]
fn tasks_share_as_threads_do() {
    with_one(|server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        let [first, second] =
            [&one, &other].map(|machine| memolith::future::Memo::from(machine.memo.clone()));
        smol::block_on(async {
            assert_eq!(first.get_or_insert_with("a", async || "first".to_owned()).await, "first");
            assert_eq!(second.get_or_insert_with("a", async || "second".to_owned()).await, "first");
        });
        assert_eq!(other.memo.stats().hits.server, 1);
    });
}

#[test]
fn what_reads_tracked_inputs_stays_on_its_machine() {
    with_one(|server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        let file = one.folder.path().join("input");
        std::fs::write(&file, "1").unwrap();
        for machine in [&one, &other] {
            for key in ["a", "b"] {
                machine.memo.get_or_insert_with(key, || {
                    machine.computed.fetch_add(1, SeqCst);
                    memolith::inputs::read_to_string(&file).unwrap()
                });
            }
        }
        assert_eq!((one.computed(), other.computed()), (2, 2));
        assert_eq!(server.keys("*v:*"), Vec::<String>::new());
        one.no_failures();
    });
}

#[test]
fn a_store_in_memory_shares_too() {
    with_one(|server| {
        let store = Store::builder().remote(redis(&server.url())).in_memory().unwrap();
        let memo: Memo<str, String> = Memo::builder("names").open(&store).unwrap();
        memo.get_or_insert_with("a", || "first".into());
        let other = Machine::new(&server);
        assert_eq!(other.get("a", "second"), "first");
        let _ = Arc::new(Redis::open(&server.url()).unwrap());
    });
}

#[test]
fn a_value_that_is_due_is_refreshed_although_the_server_has_it() {
    with_one(|server| {
        let clock = memolith::testing::ManualClock::new();
        let machine = Machine::with(redis(&server.url()), |builder| builder.clock(&clock));
        let memo: Memo<str, u64> = Memo::builder("prices")
            .ttl(Duration::from_secs(100))
            .refresh_at(0.5)
            .open(&machine.store)
            .unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let loading = memo.with_loader(move |_: &str| counted.fetch_add(1, SeqCst) as u64);
        assert_eq!(loading.load("a"), 0);
        // A minute passes, here and on the server.
        clock.advance(Duration::from_secs(60));
        let _: u64 = server.command(&["PEXPIRE", &server.keys("*v:*")[0], "40000"]);
        assert_eq!(loading.load("a"), 0);
        wait_until("it is computed behind the call", || memo.get("a").unwrap() == Some(1));
    });
}

#[test]
fn lifetimes_that_are_longer_than_a_server_takes_are_cut() {
    with_one(|server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        let open = |machine: &Machine| -> Memo<str, u64> {
            Memo::builder("prices")
                .ttl(Duration::from_secs(60))
                .stale_for(Duration::MAX)
                .open(&machine.store)
                .unwrap()
        };
        let (first, second) = (open(&one), open(&other));
        first.get_or_insert_with("a", || 1);
        first.insert("b", &2).unwrap();
        assert_eq!(second.get_or_insert_with("a", || 3), 1);
        one.no_failures();
        assert_eq!(first.stats().failures.total(), 0);
    });
}

/// In a closure that forks, the child must not use the connection of its parent.
#[test]
fn a_child_that_was_forked_in_a_closure_leaves_the_connection_alone() {
    with_one(|server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        let value = one.memo.get_or_insert_with("a", || {
            // SAFETY: the child ends at once, by a call that runs no destructors of this program but those in question.
            #[expect(unsafe_code, reason = "std has no fork")]
            let child = unsafe { libc::fork() };
            if child == 0 {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    one.memo.get_or_insert_with("of the child", || "x".to_owned());
                }));
                #[expect(unsafe_code, reason = "without the exit handlers of the parent")]
                unsafe {
                    libc::_exit(i32::from(ended.is_err()))
                }
            }
            let mut status = 0;
            #[expect(unsafe_code, reason = "of the same kind")]
            unsafe {
                libc::waitpid(child, &raw mut status, 0);
            }
            assert_eq!(status, 0);
            "value".to_owned()
        });
        assert_eq!(value, "value");
        for key in 0..20 {
            assert_eq!(one.get(&key.to_string(), &key.to_string()), key.to_string());
            assert_eq!(other.get(&key.to_string(), "?"), key.to_string());
        }
        assert_eq!(other.get("a", "?"), "value");
        one.no_failures();
    });
}
