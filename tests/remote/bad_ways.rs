//! A machine with a way to the server that delays, cuts or damages what passes.

use std::time::{Duration, Instant};

use crate::{
    machine::{Machine, redis},
    proxy::Proxy,
    server::{wait_until, with_each, with_one},
};

/// A key that was never asked for.
fn fresh() -> String {
    format!("{:?}", Instant::now())
}

#[test]
fn a_slow_way_is_slow_and_right() {
    with_one(|server| {
        let proxy = Proxy::to(server.port);
        let (near, far) = (Machine::new(&server), Machine::at(&proxy.url()));
        proxy.rules.delay(30);
        near.get("a", "near");
        assert_eq!(far.get("a", "far"), "near");
        assert_eq!(far.get("b", "far"), "far");
        assert_eq!(near.get("b", "near"), "far");
        far.no_failures();
    });
}

#[test]
fn a_way_that_is_slower_than_the_timeout_is_given_up_and_used_again_later() {
    with_one(|server| {
        let proxy = Proxy::to(server.port);
        let redis = redis(&proxy.url()).response_timeout(Duration::from_millis(100));
        let (near, far) = (Machine::new(&server), Machine::with(redis, |builder| builder));
        far.get("warm", "x");
        proxy.rules.delay(1_000);
        near.get("a", "near");
        assert_eq!(far.get("a", "far"), "far", "a value of its own, and no error");
        assert!(far.memo.last_failure().unwrap().error.is_server());
        proxy.rules.delay(0);
        wait_until("it is used again", || {
            let key = fresh();
            near.get(&key, "near");
            far.get(&key, "far") == "near"
        });
    });
}

#[test]
fn a_cut_at_any_byte_costs_no_value_and_gives_no_wrong_one() {
    with_one(|server| {
        let proxy = Proxy::to(server.port);
        let (near, far) = (Machine::new(&server), Machine::at(&proxy.url()));
        for cut in 1..60 {
            wait_until("the way is open", || {
                let key = fresh();
                near.get(&key, "near");
                far.get(&key, "far") == "near"
            });
            proxy.rules.cut_after(cut * 7);
            for at in 0..6 {
                let key = format!("{cut} {at}");
                let value = far.get(&key, &key);
                assert_eq!(value, key);
                assert_eq!(far.get(&key, "again"), key, "it is on the machine");
            }
            proxy.rules.cut_after(0);
            // A pause of a second for each cut would take a minute.
            if cut > 3 {
                break;
            }
        }
    });
}

#[test]
fn flipped_bits_are_misses() {
    with_one(|server| {
        let proxy = Proxy::to(server.port);
        let near = Machine::new(&server);
        for key in 0..50 {
            near.memo.insert(&key.to_string(), &format!("value {key} {}", "x".repeat(300))).unwrap();
        }
        for each in [1_000, 500, 333, 100] {
            let far = Machine::at(&proxy.url());
            proxy.rules.flip_each(each);
            for key in 0..50 {
                let right = format!("value {key} {}", "x".repeat(300));
                let got = far.get(&key.to_string(), "computed");
                assert!(got == right || got == "computed", "{got}");
            }
            proxy.rules.flip_each(0);
        }
    });
}

#[test]
fn a_newer_value_of_another_machine_stays_when_a_change_is_made_up_for() {
    with_each(|server| {
        let proxy = Proxy::to(server.port);
        let (near, far) = (Machine::new(server), Machine::at(&proxy.url()));
        for key in ["removed", "inserted", "untouched"] {
            near.get(key, "old");
            assert_eq!(far.get(key, "?"), "old");
        }
        proxy.rules.refuse(true);
        assert!(far.memo.remove("removed").unwrap_err().is_server());
        assert!(far.memo.insert("inserted", &"of the far one".to_owned()).unwrap_err().is_server());
        near.memo.insert("removed", &"newer".to_owned()).unwrap();
        near.memo.insert("inserted", &"newer".to_owned()).unwrap();
        proxy.rules.refuse(false);
        far.wait_for("removed", Some("newer"));
        far.wait_for("inserted", Some("newer"));
        near.wait_for("removed", Some("newer"));
        near.wait_for("inserted", Some("newer"));
        assert_eq!(far.memo.get("untouched").unwrap().as_deref(), Some("old"));
    });
}

#[test]
fn what_was_removed_elsewhere_while_the_way_was_cut_is_forgotten_when_it_is_open() {
    with_each(|server| {
        let proxy = Proxy::to(server.port);
        let (near, far) = (Machine::new(server), Machine::at(&proxy.url()));
        for key in 0..30 {
            near.get(&key.to_string(), "old");
            far.get(&key.to_string(), "?");
        }
        proxy.rules.refuse(true);
        for key in 0..10 {
            near.memo.remove(&key.to_string()).unwrap();
        }
        assert_eq!(far.get("3", "?"), "old", "it cannot know");
        proxy.rules.refuse(false);
        (0..10).for_each(|key| far.wait_for(&key.to_string(), None));
        (10..30).for_each(|key| assert_eq!(far.get(&key.to_string(), "?"), "old"));
    });
}

#[test]
fn a_clear_during_a_cut_reaches_the_machine() {
    with_one(|server| {
        let proxy = Proxy::to(server.port);
        let (near, far) = (Machine::new(&server), Machine::at(&proxy.url()));
        near.get("a", "old");
        far.get("a", "?");
        proxy.rules.refuse(true);
        assert!(far.memo.clear().unwrap_err().is_server());
        far.get("b", "after the clear");
        near.memo.insert("c", &"newer".to_owned()).unwrap();
        proxy.rules.refuse(false);
        near.wait_for("a", None);
        far.wait_for("c", Some("newer"));
        near.wait_for("c", Some("newer"));
        assert_eq!(far.memo.get("b").unwrap().as_deref(), Some("after the clear"));
    });
}

/// A lease that was asked for by a command without an answer may have been granted.
#[test]
fn a_lease_that_was_granted_without_an_answer_is_ended_when_the_way_is_open() {
    with_each(|server| {
        let proxy = Proxy::to(server.port);
        let lease = Duration::from_secs(600);
        let with = |url: &str| {
            let redis = redis(url).lease(lease).response_timeout(Duration::from_millis(200));
            Machine::with(redis, |builder| builder)
        };
        let (near, far) = (with(&server.url()), with(&proxy.url()));
        far.get("warm", "x");
        proxy.rules.delay(1_000);
        for key in 0..3 {
            far.get(&key.to_string(), "far");
        }
        proxy.rules.delay(0);
        for key in 0..3 {
            near.get(&key.to_string(), "near");
        }
        wait_until("no lease stays", || server.keys("*c:*").is_empty());
    });
}
