//! A server, or a machine, that has lost what it knew.

use std::fs;

use memolith::{Memo, Store};

use crate::{
    machine::{Machine, redis},
    proxy::Proxy,
    server::{wait_until, with_each, with_one},
};

/// The file in which a store keeps its position.
fn journal_of(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let mut files = fs::read_dir(folder.path().join("cache")).unwrap().map(|file| file.unwrap().path());
    let is_journal =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("REMOTE-");
    files.find(is_journal).unwrap()
}

/// The machine without its store.
fn closed(machine: Machine) -> tempfile::TempDir {
    let Machine { folder, store, memo, .. } = machine;
    drop(memo);
    store.close().unwrap();
    folder
}

fn opened(folder: tempfile::TempDir, url: &str) -> Machine {
    let store = Store::builder().remote(redis(url)).open(folder.path().join("cache")).unwrap();
    let memo = Memo::builder("names").open(&store).unwrap();
    Machine { folder, store, memo, computed: std::sync::Arc::default() }
}

#[test]
fn a_server_that_restarts_empty_gets_the_changes_of_its_machines_once_more() {
    with_one(|mut server| {
        let proxy = Proxy::to(server.port);
        let (one, other) = (Machine::new(&server), Machine::at(&proxy.url()));
        for key in ["a", "b", "c"] {
            one.get(key, "old");
            other.get(key, "?");
        }
        one.memo.insert("told", &"x".to_owned()).unwrap();
        other.wait_for("told", Some("x"));
        proxy.rules.refuse(true);
        one.memo.remove("a").unwrap();
        one.memo.insert("c", &"new".to_owned()).unwrap();
        server.kill();
        server.run();
        proxy.rules.refuse(false);
        other.wait_for("a", None);
        wait_until("its older value goes", || other.memo.get("c").unwrap().as_deref() != Some("old"));
        assert_eq!(other.memo.get("b").unwrap().as_deref(), Some("old"), "nothing else is lost");
        assert_eq!(one.memo.get("c").unwrap().as_deref(), Some("new"), "nor is what was inserted");
    });
}

/// Whether its own changes were all that the server had lost, it cannot know.
#[test]
fn a_machine_that_was_closed_while_the_server_lost_everything_begins_anew() {
    with_one(|mut server| {
        let one = Machine::new(&server);
        one.get("a", "old");
        one.memo.insert("b", &"x".to_owned()).unwrap();
        one.wait_for("b", Some("x"));
        let url = server.url();
        let folder = closed(one);
        server.kill();
        server.run();
        let one = opened(folder, &url);
        assert_eq!(one.get("a", "new"), "new");
    });
}

#[test]
fn after_a_gap_in_the_stream_what_may_have_changed_is_forgotten() {
    with_each(|server| {
        let (one, other) = (Machine::new(server), Machine::new(server));
        let local: Memo<str, u8> = Memo::builder("local").local_only().open(&other.store).unwrap();
        local.insert("a", &1).unwrap();
        for key in ["a", "b"] {
            one.get(key, "old");
            other.get(key, "?");
        }
        one.memo.insert("told", &"x".to_owned()).unwrap();
        other.wait_for("told", Some("x"));
        drop(local);
        let other = closed(other);
        one.memo.remove("a").unwrap();
        one.memo.insert("told", &"y".to_owned()).unwrap();
        let stream = &server.keys("*:s")[0];
        let _: u64 = server.command(&["XTRIM", stream, "MAXLEN", "1"]);
        let other = opened(other, &server.url());
        assert_eq!(other.memo.get("a").unwrap(), None);
        assert_eq!(other.memo.get("b").unwrap().as_deref(), Some("old"));
        assert_eq!(other.memo.stats().hits.server, 1, "it was asked for anew");
        let local: Memo<str, u8> = Memo::builder("local").local_only().open(&other.store).unwrap();
        assert_eq!(local.get("a").unwrap(), Some(1), "no machine but this one can have changed it");
    });
}

#[test]
fn a_damaged_journal_costs_the_local_values() {
    with_one(|server| {
        let (one, other) = (Machine::new(&server), Machine::new(&server));
        one.get("a", "old");
        other.get("a", "?");
        other.memo.insert("own", &"x".to_owned()).unwrap();
        let other = closed(other);
        let journal = journal_of(&other);
        one.memo.remove("a").unwrap();
        for damage in [&b""[..], b"MREMOTE1", b"garbage that is no journal"] {
            fs::write(&journal, damage).unwrap();
        }
        let other = opened(other, &server.url());
        assert_eq!(other.memo.get("a").unwrap(), None);
        assert_eq!(other.memo.get("own").unwrap().as_deref(), Some("x"), "from the server");
        assert!(other.store.last_failure().unwrap().error.is_corrupt());
    });
}

#[test]
fn a_store_that_only_reads_writes_nothing() {
    with_one(|server| {
        let one = Machine::new(&server);
        one.get("a", "x");
        let url = server.url();
        let folder = closed(one);
        let names = |folder: &tempfile::TempDir| {
            let mut found: Vec<_> = fs::read_dir(folder.path().join("cache"))
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap()))
                .collect();
            found.sort();
            found
        };
        let before = names(&folder);
        let one = opened(folder, &url);
        assert_eq!(one.get("a", "?"), "x");
        let folder = closed(one);
        assert_eq!(names(&folder), before);
    });
}

#[test]
fn the_journal_is_a_file_of_the_store() {
    with_one(|server| {
        let one = Machine::new(&server);
        one.memo.insert("a", &"x".to_owned()).unwrap();
        let url = server.url();
        let folder = closed(one);
        let path = journal_of(&folder);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let warned = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let note = std::sync::Arc::clone(&warned);
        let store = Store::builder()
            .remote(redis(&url))
            .observer(move |event| {
                if matches!(event, memolith::observe::Event::Warned { .. }) {
                    note.store(true, std::sync::atomic::Ordering::SeqCst);
                }
            })
            .open(folder.path().join("cache"))
            .unwrap();
        drop(store);
        assert!(!warned.load(std::sync::atomic::Ordering::SeqCst));
    });
}
