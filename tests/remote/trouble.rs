//! A server that does not answer, or refuses.

use std::time::{Duration, Instant};

use memolith::{Memo, Store, remote::Redis};

use crate::{
    machine::{Machine, redis},
    proxy::Proxy,
    server::{free_port, wait_until, with_each, with_one},
};

#[test]
fn a_server_that_is_not_there_costs_nothing_but_its_values() {
    let url = format!("redis://:secret@127.0.0.1:{}/0", free_port());
    let machine = Machine::at(&url);
    for _ in 0..2 {
        assert_eq!(machine.get("a", "first"), "first");
    }
    assert_eq!(machine.computed(), 1);
    let failure = machine.store.last_failure().unwrap();
    assert!(failure.error.is_server(), "{failure}");
    assert!(
        !failure.to_string().contains("secret") && failure.to_string().contains("127.0.0.1"),
        "{failure}"
    );
    let error = machine.memo.insert("b", &"second".to_owned()).unwrap_err();
    assert!(error.is_server() && error.to_string().contains("on this machine"), "{error}");
    assert_eq!(machine.memo.get("b").unwrap().as_deref(), Some("second"));
    assert!(machine.memo.remove("a").unwrap_err().is_server());
    assert_eq!(machine.memo.get("a").unwrap(), None);
    assert!(machine.memo.clear().unwrap_err().is_server());
    assert_eq!(machine.memo.get("b").unwrap(), None);
}

#[test]
fn a_killed_server_is_used_again_when_it_is_back() {
    with_one(|mut server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        one.get("a", "first");
        server.kill();
        assert_eq!(one.get("b", "computed"), "computed");
        assert_eq!(other.get("b", "computed there"), "computed there");
        server.run();
        wait_until("it is used again", || {
            one.get(&format!("{:?}", Instant::now()), "x");
            !server.keys("*v:*").is_empty()
        });
        assert_eq!(one.get("a", "?"), "first", "nothing local is lost");
        wait_until("the other too", || {
            let key = format!("{:?}", Instant::now());
            one.get(&key, "x");
            other.get(&key, "y") == "x"
        });
    });
}

#[test]
fn what_was_changed_while_the_server_was_away_does_not_come_back() {
    with_one(|server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        for key in ["removed", "inserted"] {
            one.get(key, "old");
            other.get(key, "?");
        }
        server.pause();
        assert!(one.memo.remove("removed").unwrap_err().is_server());
        assert!(one.memo.insert("inserted", &"new".to_owned()).unwrap_err().is_server());
        assert_eq!(one.memo.get("inserted").unwrap().as_deref(), Some("new"));
        server.go_on();
        other.wait_for("removed", None);
        other.wait_for("inserted", None);
        assert_eq!(one.memo.get("removed").unwrap(), None);
    });
}

#[test]
fn a_change_is_made_up_for_after_a_restart_of_the_machine() {
    with_one(|server| {
        let proxy = Proxy::to(server.port);
        let (one, other) = (Machine::at(&proxy.url()), Machine::new(&server));
        one.get("a", "old");
        other.get("a", "?");
        proxy.rules.refuse(true);
        assert!(one.memo.remove("a").unwrap_err().is_server());
        let url = proxy.url();
        let Machine { folder, store, memo, computed } = one;
        drop(memo);
        store.close().unwrap();
        drop(store);
        proxy.rules.refuse(false);
        assert_eq!(other.memo.get("a").unwrap().as_deref(), Some("old"));
        let store = Store::builder().remote(redis(&url)).open(folder.path().join("cache")).unwrap();
        let memo = Memo::builder("names").open(&store).unwrap();
        let one = Machine { folder, store, memo, computed };
        assert_eq!(one.memo.get("a").unwrap(), None, "the server has it, and is not believed");
        other.wait_for("a", None);
    });
}

#[test]
fn a_paused_server_is_waited_for_once() {
    with_one(|server| {
        let machine =
            Machine::with(redis(&server.url()).response_timeout(Duration::from_millis(300)), |builder| {
                builder
            });
        machine.get("a", "x");
        server.pause();
        let begun = Instant::now();
        for key in 0..200 {
            machine.get(&key.to_string(), "x");
        }
        let took = begun.elapsed();
        server.go_on();
        assert!(took < Duration::from_secs(5), "200 calls took {took:?}");
        assert!(machine.store.stats().failures.server > 0);
    });
}

#[test]
fn a_server_that_restarts_empty_loses_no_local_value() {
    with_one(|mut server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        for key in 0..20 {
            one.get(&key.to_string(), "x");
            other.get(&key.to_string(), "x");
        }
        one.memo.insert("told", &"first".to_owned()).unwrap();
        other.wait_for("told", Some("first"));
        server.kill();
        server.run();
        wait_until("it is used again", || {
            one.get(&format!("{:?}", Instant::now()), "x");
            !server.keys("*v:*").is_empty()
        });
        let computed = (one.computed(), other.computed());
        for key in 0..20 {
            one.get(&key.to_string(), "y");
            other.get(&key.to_string(), "y");
        }
        assert_eq!((one.computed(), other.computed()), computed);
        // Changes are told as before.
        one.memo.remove("3").unwrap();
        other.wait_for("3", None);
    });
}

#[test]
fn a_full_server_is_told_and_loses_nothing() {
    with_each(|server| {
        let machine = Machine::new(server);
        machine.get("a", "first");
        let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        assert_eq!(machine.get("b", "second"), "second");
        assert_eq!(machine.get("b", "third"), "second");
        let failure = machine.memo.last_failure().unwrap();
        assert!(failure.error.is_server() && failure.to_string().contains("full"), "{failure}");
        // A full server forgets what it is told to forget.
        assert!(machine.memo.remove("a").unwrap());
        assert_eq!(server.keys("*v:*"), Vec::<String>::new());
        let _: String = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
        machine.get("c", "third");
        assert_eq!(server.keys("*v:*").len(), 1);
    });
}

#[test]
fn a_replica_a_wrong_password_and_a_missing_permission_have_their_messages() {
    with_one(|server| {
        let _: String = server.command(&["REPLICAOF", "127.0.0.1", "1"]);
        let machine = Machine::new(&server);
        machine.get("a", "first");
        wait_until("it is told", || {
            let told = [machine.memo.last_failure(), machine.store.last_failure()];
            machine.get(&format!("{:?}", Instant::now()), "x");
            told.into_iter()
                .flatten()
                .any(|failure| failure.error.is_server() && failure.to_string().contains("replica"))
        });
        drop(machine);
        let _: String = server.command(&["REPLICAOF", "NO", "ONE"]);
        let _: String =
            server.command(&["ACL", "SETUSER", "limited", "on", ">pass", "~*", "&*", "+@all", "-evalsha"]);
        let url = format!("redis://limited:pass@127.0.0.1:{}/0", server.port);
        let machine = Machine::at(&url);
        machine.get("a", "first");
        let failure = machine.memo.last_failure().unwrap();
        assert!(failure.to_string().contains("permission"), "{failure}");
        let url = format!("redis://limited:hidden@127.0.0.1:{}/0", server.port);
        let machine = Machine::at(&url);
        wait_until("it is told", || machine.store.last_failure().is_some());
        let failure = machine.store.last_failure().unwrap().to_string();
        assert!(failure.contains("password") && !failure.contains("hidden"), "{failure}");
    });
}

#[test]
fn garbage_under_our_keys_is_replaced() {
    with_each(|server| {
        let (one, other) = (Machine::new(server), Machine::new(server));
        one.get("a", "first");
        one.memo.insert("b", &"told".to_owned()).unwrap();
        other.wait_for("b", Some("told"));
        for key in server.keys("memolith:*") {
            let _: () = server.command(&["DEL", &key]);
            let _: () = server.command(&["LPUSH", &key, "garbage"]);
        }
        assert_eq!(other.get("a", "second"), "second");
        assert_eq!(Machine::new(server).get("a", "third"), "second");
        one.memo.remove("b").unwrap();
        other.wait_for("b", None);
        for key in server.keys("memolith:*v:*") {
            let value: Vec<u8> = server.command(&["GET", &key]);
            for cut in [0, 10, 33, value.len() - 1] {
                let _: () = redis::cmd("SET").arg(&key).arg(&value[..cut]).query(&mut server.raw()).unwrap();
                assert_eq!(Machine::new(server).get("a", "computed"), "computed");
            }
        }
    });
}

#[test]
fn bad_options_are_refused() {
    for url in ["", "cache.internal", "http://cache.internal", "redis://:hunter2@:bad/0"] {
        let error = Redis::open(url).unwrap_err();
        assert!(error.is_config() && !error.to_string().contains("hunter2"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let open = |redis: Redis| Store::builder().remote(redis).open(folder.path().join("cache"));
    let redis = || Redis::open("redis://127.0.0.1:1").unwrap();
    for (refused, says) in [
        (redis(), "namespace"),
        (redis().namespace(""), "namespace"),
        (redis().namespace("a b"), "namespace"),
        (redis().namespace("a").response_timeout(Duration::ZERO), "timeout"),
        (redis().namespace("a").max_value(u64::MAX), "max_value"),
        (redis().namespace("a").lease(Duration::from_millis(1)), "lease"),
    ] {
        let error = open(refused).unwrap_err();
        assert!(error.is_config() && error.to_string().contains(says), "{error}");
    }
    let store = open(redis().namespace("a")).unwrap();
    assert!(open(redis().namespace("b")).unwrap_err().to_string().contains("remote"));
    drop(store);
}
