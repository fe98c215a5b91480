//! A change on one machine is seen on the others, also on one that was closed meanwhile.

use std::{sync::Barrier, thread};

use crate::{
    machine::Machine,
    server::{with_each, with_one},
};

#[test]
fn a_removal_an_insert_and_a_clear_reach_the_other_machines() {
    with_each(|server| {
        let (one, other) = (Machine::new(server), Machine::new(server));
        one.get("a", "first");
        other.get("a", "?");
        assert!(one.memo.remove("a").unwrap());
        other.wait_for("a", None);
        assert_eq!(other.get("a", "second"), "second");
        assert_eq!(one.get("a", "third"), "second");
        one.memo.insert("a", &"inserted".to_owned()).unwrap();
        other.wait_for("a", Some("inserted"));
        other.memo.clear().unwrap();
        one.wait_for("a", None);
        assert_eq!(one.get("a", "fourth"), "fourth");
        assert_eq!(other.get("a", "?"), "fourth");
        assert!(one.store.remove_memo("names").unwrap());
        other.wait_for("a", None);
        other.get("a", "fifth");
        assert_eq!(one.get("a", "?"), "fifth");
        other.store.clear().unwrap();
        one.wait_for("a", None);
        one.no_failures();
        other.no_failures();
    });
}

#[test]
fn a_machine_that_was_closed_does_not_serve_what_was_removed_meanwhile() {
    with_each(|server| {
        let (one, other) = (Machine::new(server), Machine::new(server));
        for key in ["a", "b", "c"] {
            one.get(key, "old");
            other.get(key, "?");
        }
        let Machine { folder, store, memo, computed } = other;
        drop(memo);
        store.close().unwrap();
        drop(store);
        one.memo.remove("a").unwrap();
        one.memo.insert("b", &"new".to_owned()).unwrap();
        let url = server.url();
        let store = memolith::Store::builder()
            .remote(crate::machine::redis(&url))
            .open(folder.path().join("cache"))
            .unwrap();
        let memo = memolith::Memo::builder("names").open(&store).unwrap();
        let other = Machine { folder, store, memo, computed };
        assert_eq!(other.memo.get("a").unwrap(), None);
        assert_eq!(other.memo.get("b").unwrap().as_deref(), Some("new"));
        assert_eq!((other.memo.get("c").unwrap().as_deref(), other.memo.stats().hits.disk), (Some("old"), 1));
    });
}

#[test]
fn a_removal_during_a_computation_of_another_machine_wins() {
    with_each(|server| {
        let (one, other) = (Machine::new(server), Machine::new(server));
        let (begun, goes_on) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let computing = scope.spawn(|| {
                one.memo.get_or_insert_with("a", || {
                    begun.wait();
                    goes_on.wait();
                    "old".to_owned()
                })
            });
            begun.wait();
            other.memo.remove("a").unwrap();
            goes_on.wait();
            assert_eq!(computing.join().unwrap(), "old", "its caller has the value");
        });
        assert_eq!(other.get("a", "new"), "new");
        one.wait_for("a", Some("new"));
    });
}

#[test]
fn inserts_of_two_machines_at_once_converge() {
    with_one(|server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        for round in 0..50 {
            let start = Barrier::new(2);
            thread::scope(|scope| {
                for (machine, name) in [(&one, "one"), (&other, "other")] {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        machine.memo.insert("a", &format!("{name} {round}")).unwrap();
                    });
                }
            });
            crate::server::wait_until("both have the same value", || {
                let [first, second] = [&one, &other].map(|machine| machine.memo.get("a").unwrap());
                first.is_some() && first == second
            });
        }
    });
}

#[test]
fn own_inserts_stay_after_a_restart_of_the_machine() {
    with_one(|server| {
        let redis = || crate::machine::redis(&server.url()).max_value(1_000);
        let one = Machine::with(redis(), |builder| builder);
        let large = "x".repeat(5_000);
        one.memo.insert("large", &large).unwrap();
        one.memo.insert("small", &"small".to_owned()).unwrap();
        let Machine { folder, store, memo, .. } = one;
        drop(memo);
        store.close().unwrap();
        drop(store);
        let store = memolith::Store::builder().remote(redis()).open(folder.path().join("cache")).unwrap();
        let memo: memolith::Memo<str, String> = memolith::Memo::builder("names").open(&store).unwrap();
        assert_eq!(memo.get("large").unwrap(), Some(large));
        assert_eq!(memo.get("small").unwrap().as_deref(), Some("small"));
        assert_eq!(memo.stats().hits.disk, 2);
    });
}

#[test]
fn changes_of_several_threads_and_machines_leave_all_with_what_the_server_has() {
    with_each(|server| {
        let machines = [Machine::new(server), Machine::new(server)];
        for round in 0..30 {
            let start = Barrier::new(4);
            thread::scope(|scope| {
                for caller in 0..4 {
                    let (machine, start) = (&machines[caller % 2], &start);
                    scope.spawn(move || {
                        start.wait();
                        if (round + caller) % 4 == 0 {
                            machine.memo.remove("a").unwrap();
                        } else {
                            machine.memo.insert("a", &format!("{round} {caller}")).unwrap();
                        }
                    });
                }
            });
            crate::server::wait_until("all have the same", || {
                let [first, second] = machines.each_ref().map(|machine| machine.memo.get("a").unwrap());
                let on_server = Machine::new(server).memo.get("a").unwrap();
                first == second && second == on_server
            });
        }
    });
}
