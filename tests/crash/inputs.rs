//! Values that were computed from tracked inputs, in several processes and over their ends.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{child::Child, harness::Claim, puppet::open};

pub const CLAIMS: &[Claim] = &[
    ("inputs::a_variant_of_one_process_is_a_hit_in_all", one_for_all),
    ("inputs::processes_with_the_same_answers_compute_once_and_others_at_the_same_time", once),
    ("inputs::a_removal_in_one_process_drops_all_variants_in_all", removed),
    (
        "inputs::a_variant_that_was_removed_and_computed_again_is_the_new_one_in_all",
        removed_and_computed_again,
    ),
    ("inputs::a_variant_of_a_key_that_was_removed_meanwhile_is_not_stored", removed_meanwhile),
    ("inputs::a_variant_that_is_computed_while_the_host_ends_is_stored", over_an_end),
    ("inputs::variants_of_several_processes_are_all_in_the_list", all_are_listed),
    ("inputs::a_variant_that_is_renewed_in_one_process_is_the_variant_of_all", renewed),
    ("inputs::a_list_in_memory_from_before_a_removal_is_not_gone_on_with", old_list),
    ("inputs::variants_survive_a_kill_and_are_read_in_a_closed_store", survive),
    ("inputs::large_variants_survive_the_loss_of_the_index_with_their_list_or_not_at_all", lost_index),
];

/// A store, and a folder of input files.
struct Place {
    store: TempDir,
    files: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { store: tempfile::tempdir().unwrap(), files: tempfile::tempdir().unwrap() }
    }

    fn write(&self, text: &str) {
        fs::write(self.files.path().join("config"), text).unwrap();
    }

    fn path(&self) -> String {
        self.files.path().join("config").display().to_string()
    }

    /// A host and its guests.
    fn company(&self, guests: usize) -> Vec<Child> {
        let mut all = vec![open(self.store.path())];
        all[0].asks("role", "Host");
        for _ in 0..guests {
            let mut guest = open(self.store.path());
            guest.asks("role", "Guest");
            all.push(guest);
        }
        all
    }

    #[track_caller]
    fn computes(&self, child: &mut Child, key: u32, value: &str) {
        child.asks(&format!("read {key} {}", self.path()), &format!("computing {key}"));
        child.expect(&format!("= {value}"));
    }

    #[track_caller]
    fn hits(&self, child: &mut Child, key: u32, value: &str) {
        child.asks(&format!("read {key} {}", self.path()), &format!("= {value}"));
    }
}

fn one_for_all() {
    let place = Place::new();
    let mut all = place.company(2);
    for (at, text) in ["one", "two", "three"].into_iter().enumerate() {
        place.write(text);
        place.computes(&mut all[at], 1, text);
        for child in &mut all {
            place.hits(child, 1, text);
            place.hits(child, 1, text);
        }
    }
    for text in ["one", "three", "two"] {
        place.write(text);
        for child in &mut all {
            place.hits(child, 1, text);
        }
    }
    all[2].asks("len", "3");
    all[0].asks("len", "3");
}

fn once() {
    let place = Place::new();
    let mut all = place.company(3);
    all[0].asks("scoped 1 a", "computing 1");
    all[0].expect("= a");
    // Two answers, two computations at the same time, in two guests; a third process waits for the second one.
    all[1].asks("lead-scoped 1 b", "computing 1");
    all[2].asks("lead-scoped 1 c", "computing 1");
    all[3].tell("lead-scoped 1 c");
    all[0].asks("scoped 1 a", "= a");
    all[2].tell("go 1");
    all[2].expect("= c");
    all[3].expect("= c");
    all[1].tell("go 1");
    all[1].expect("= b");
    for child in &mut all {
        for value in ["a", "b", "c"] {
            child.asks(&format!("scoped 1 {value}"), &format!("= {value}"));
        }
    }
}

fn removed() {
    let place = Place::new();
    for remover in [0, 1] {
        let mut all = place.company(2);
        for value in ["a", "b"] {
            all[2].asks(&format!("scoped 1 {value}"), "computing 1");
            all[2].expect(&format!("= {value}"));
            for child in &mut all {
                child.asks(&format!("scoped 1 {value}"), &format!("= {value}"));
            }
        }
        all[remover].asks("remove 1", "true");
        for child in &mut all {
            child.asks("len", "0");
        }
        for (at, value) in ["b", "a"].into_iter().enumerate() {
            all[at + 1].asks(&format!("scoped 1 {value}"), "computing 1");
            all[at + 1].expect(&format!("= {value}"));
            all[0].asks(&format!("scoped 1 {value}"), &format!("= {value}"));
        }
        all[0].asks("clear", "done");
    }
}

/// The values of the removed list are in the memory of the others. A new list of the key may not lead to them.
fn removed_and_computed_again() {
    let place = Place::new();
    for remover in 0..3 {
        let mut all = place.company(2);
        all[0].asks("scoped 1 a", "computing 1");
        all[0].expect("= a");
        for _ in 0..2 {
            for child in &mut all {
                child.asks("scoped 1 a", "= a");
            }
        }
        all[remover].asks("remove 1", "true");
        all[remover].asks("renew-scoped 1 a new", "= a/new");
        for child in &mut all {
            child.asks("scoped 1 a", "= a/new");
        }
        all[0].asks("clear", "done");
    }
}

fn removed_meanwhile() {
    let place = Place::new();
    for (computes, removes) in [(0, 1), (1, 0), (1, 2)] {
        let mut all = place.company(2);
        // The first computation of the key, and one beside another variant.
        for value in ["a", "b"] {
            all[computes].asks(&format!("lead-scoped 1 {value}"), "computing 1");
            all[removes].ask("remove 1");
            all[computes].tell("go 1");
            all[computes].expect(&format!("= {value}"));
            all[0].asks("len", "0");
            all[removes].asks(&format!("scoped 1 {value}"), "computing 1");
            all[removes].expect(&format!("= {value}"));
        }
        all[0].asks("clear", "done");
    }
}

fn over_an_end() {
    let place = Place::new();
    for end in ["kill", "exit"] {
        let mut all = place.company(2);
        all[1].asks("scoped 1 a", "computing 1");
        all[1].expect("= a");
        // After the value that it sent.
        all[1].asks("flush", "done");
        all[1].asks("lead-scoped 1 b", "computing 1");
        let mut host = all.remove(0);
        if end == "kill" {
            host.kill();
        } else {
            host.tell(end);
        }
        drop(host);
        all[1].asks("scoped 1 a", "= a");
        all[0].tell("go 1");
        all[0].expect("= b");
        for child in &mut all {
            child.asks("scoped 1 b", "= b");
            child.asks("scoped 1 a", "= a");
        }
        all[0].asks("clear", "done");
    }
}

fn all_are_listed() {
    let place = Place::new();
    let mut all = place.company(3);
    for round in 0..5 {
        for (at, child) in all.iter_mut().enumerate() {
            child.asks(&format!("lead-scoped {round} {at}"), &format!("computing {round}"));
            // The first one makes the list: until then the others wait.
            if at == 0 {
                child.tell(&format!("go {round}"));
                child.expect("= 0");
            }
        }
        for child in &mut all[1..] {
            child.tell(&format!("go {round}"));
        }
        for (at, child) in all.iter_mut().enumerate().skip(1) {
            child.expect(&format!("= {at}"));
        }
        for child in &mut all {
            for at in 0..4 {
                child.asks(&format!("scoped {round} {at}"), &format!("= {at}"));
            }
        }
    }
}

fn renewed() {
    let place = Place::new();
    for renews in 0..3 {
        let mut all = place.company(2);
        all[0].asks("scoped 1 a", "computing 1");
        all[0].expect("= a");
        for child in &mut all {
            child.asks("scoped 1 a", "= a");
            child.asks("scoped 1 a", "= a");
        }
        all[renews].asks("renew-scoped 1 a b", "= a/b");
        for child in &mut all {
            child.asks("scoped 1 a", "= a/b");
        }
        all[0].asks("clear", "done");
    }
}

fn old_list() {
    let place = Place::new();
    let mut all = place.company(1);
    all[1].asks("scoped 1 a", "computing 1");
    all[1].expect("= a");
    for _ in 0..2 {
        all[1].asks("scoped 1 a", "= a");
    }
    all[0].asks("remove 1", "true");
    all[1].asks("memory-scoped 1 b", "done");
    all[1].asks("scoped 1 b", "= b");
    all[1].asks("scoped 1 a", "computing 1");
    all[1].expect("= a");
}

fn survive() {
    let place = Place::new();
    let mut child = open(place.store.path());
    for text in ["one", "two"] {
        place.write(text);
        place.computes(&mut child, 1, text);
    }
    child.asks("flush", "done");
    child.kill();
    drop(child);
    let mut child = open(place.store.path());
    place.hits(&mut child, 1, "two");
    place.write("three");
    place.computes(&mut child, 1, "three");
    child.asks("close", "done");
    drop(child);
    let mut child = open(place.store.path());
    for text in ["one", "two", "three"] {
        place.write(text);
        place.hits(&mut child, 1, text);
    }
    child.asks("len", "3");
}

/// The values have files of their own. The list is in the index only, and in the snapshot of a store that was closed.
fn lost_index() {
    let place = Place::new();
    let one = "1".repeat(9_000);
    let two = "2".repeat(9_000);
    for is_closed in [true, false] {
        let mut child = open(place.store.path());
        for text in [&one, &two] {
            place.write(text);
            place.computes(&mut child, 1, &format!("{}*9000", &text[..1]));
        }
        child.asks("flush", "done");
        if is_closed {
            child.asks("close", "done");
        }
        child.kill();
        drop(child);
        damage_index(place.store.path());
        let mut child = open(place.store.path());
        place.write(&one);
        if is_closed && child.ask("len") == "2" {
            place.hits(&mut child, 1, "1*9000");
        } else {
            child.asks("len", "0");
            place.computes(&mut child, 1, "1*9000");
        }
        child.asks("clear", "done");
        child.asks("close", "done");
    }
}

/// Overwrites the middle of each file of the engine.
fn damage_index(store: &Path) {
    let index = fs::read_dir(store)
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("index") && entry.path().is_dir());
    let db = index.unwrap().path().join("db");
    let mut bytes = fs::read(&db).unwrap();
    let length = bytes.len();
    bytes[..length / 2].fill(0xff);
    fs::write(db, bytes).unwrap();
}
