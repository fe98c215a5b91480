//! Several processes on one directory: one hosts it, the others are its guests.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{
    child::{Child, delete_in_use},
    harness::Claim,
    puppet::{open, open_impatient},
    values::Rolls,
};

pub const CLAIMS: &[Claim] = &[
    ("processes::a_second_process_is_a_guest_and_finds_what_the_first_stored", second_is_a_guest),
    ("processes::effects_are_shown_by_each_process_that_hits_the_value", effects_are_shown),
    ("processes::eight_processes_that_ask_for_one_key_compute_once", once),
    ("processes::a_leader_that_fails_hands_over_to_one_waiter_of_another_process", failures_hand_over),
    ("processes::a_leader_that_is_killed_hands_over_to_one_waiter_of_another_process", death_hands_over),
    ("processes::what_one_process_changed_no_other_serves_from_memory", ordered),
    ("processes::a_value_whose_key_was_removed_elsewhere_meanwhile_is_not_stored", removed_meanwhile),
    ("processes::a_value_whose_key_was_removed_before_its_host_ended_is_not_stored", removed_before_an_end),
    ("processes::a_guest_takes_over_when_the_host_is_killed", takeover_after_a_kill),
    ("processes::a_guest_takes_over_when_the_host_exits", takeover_after_an_exit),
    ("processes::a_guest_that_computes_while_the_host_ends_computes_once", once_over_an_end),
    ("processes::cycles_of_keys_over_processes_end", cycles),
    ("processes::large_values_pass_as_files", large),
    ("processes::a_guest_can_all_that_the_host_can", everything),
    ("processes::a_closed_store_is_read_without_a_host", closed_is_read),
    ("processes::guests_of_a_host_that_closes_the_store_read_on_without_a_host", guests_read_on),
    ("processes::what_guests_handed_over_is_there_when_all_close_together", ends_together),
    ("processes::a_reader_finds_that_the_directory_was_made_anew", reader_of_a_deleted_store),
    ("processes::a_process_that_only_reads_writes_nothing_and_starts_no_thread", reader_is_light),
    ("processes::readers_of_a_closed_store_see_the_first_change", readers_see_changes),
    ("processes::a_host_that_is_stopped_costs_a_deadline_and_no_call", stopped_host),
    ("processes::a_socket_that_is_removed_is_bound_anew", socket_is_bound_anew),
    ("processes::bytes_of_strangers_cost_the_host_nothing", strangers),
    ("processes::a_directory_that_is_deleted_under_all_is_made_anew", deleted),
    ("processes::the_tightest_bound_holds_and_each_reader_has_its_own_ttl", bounds),
    ("processes::a_stale_value_is_refreshed_by_one_process_while_the_others_have_it", stale),
    ("processes::a_refresh_of_a_process_that_is_killed_is_made_by_another", stale_after_a_kill),
    ("processes::a_value_that_is_renewed_in_one_process_is_the_value_of_all", renewed),
    ("processes::a_stale_value_of_a_closed_store_is_refreshed_by_its_reader", stale_in_a_closed_store),
    ("processes::two_versions_of_a_program_do_not_disturb_each_other", versions),
    ("processes::short_processes_come_and_go", short_processes),
    ("processes::tasks_of_several_processes_compute_each_key_once", tasks),
    ("processes::tasks_wait_for_a_computation_of_another_process", tasks_wait),
    ("processes::a_task_of_the_host_that_does_not_go_on_is_not_waited_for", stalled_task),
    ("processes::a_process_that_is_killed_while_it_sends_costs_nothing_that_was_acknowledged", killed_guests),
];

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A host and its guests.
fn company(directory: &Path, guests: usize) -> (Child, Vec<Child>) {
    let mut host = open(directory);
    host.asks("role", "Host");
    let guests = (0..guests).map(|_| {
        let mut guest = open(directory);
        guest.asks("role", "Guest");
        guest
    });
    let guests = guests.collect();
    (host, guests)
}

fn second_is_a_guest() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 1);
    let guest = &mut guests[0];
    host.asks("call 1 one", "computing 1");
    host.expect("= one");
    guest.asks("call 1 other", "= one");
    guest.asks("call 2 two", "computing 2");
    guest.expect("= two");
    host.asks("call 2 other", "= two");
    guest.asks("get 3", "none");
    guest.asks("len", "2");
}

/// Asks for a value with effects, and expects these lines.
fn draws(child: &mut Child, command: &str, lines: &[&str]) {
    child.tell(command);
    for line in lines {
        child.expect(line);
    }
}

fn effects_are_shown() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 2);
    // The second value has a file of its own.
    for (length, value) in [(3, "= ddd"), (200_000, "= d*200000")] {
        for is_by_host in [true, false] {
            let command = format!("draw 12 {length}");
            let computer = if is_by_host { &mut host } else { &mut guests[0] };
            draws(computer, &command, &["computing 12", "shows 1", "shows 2", value]);
            for child in [&mut host].into_iter().chain(&mut guests) {
                for _ in 0..2 {
                    draws(child, &command, &["shows 1", "shows 2", value]);
                }
            }
            host.asks("clear-store", "done");
        }
    }
    // A guest that takes the place of the host reads them from disk.
    draws(&mut guests[0], "draw 34 3", &["computing 34", "shows 3", "shows 4", "= ddd"]);
    guests[0].asks("flush", "done");
    host.kill();
    for guest in &mut guests {
        draws(guest, "draw 34 3", &["shows 3", "shows 4", "= ddd"]);
    }
}

fn once() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 7);
    guests[3].tell("lead 1 one");
    guests[3].expect("computing 1");
    host.tell("lead 1 no");
    for (at, guest) in guests.iter_mut().enumerate() {
        if at != 3 {
            guest.tell("lead 1 no");
        }
    }
    guests[3].tell("go 1");
    for guest in &mut guests {
        guest.expect("= one");
    }
    host.expect("= one");
}

/// A thousand tasks each, over a hundred keys.
fn tasks() {
    let directory = directory();
    let (host, guests) = company(directory.path(), 2);
    let mut all: Vec<Child> = [host].into_iter().chain(guests).collect();
    for child in &mut all {
        child.tell("tasks 1000 100");
    }
    let computed = all.iter_mut().map(|child| {
        let line = child.line().unwrap();
        line.strip_prefix("computed ").unwrap().parse::<u32>().unwrap()
    });
    assert_eq!(computed.sum::<u32>(), 100);
    all[0].asks("len", "100");
}

fn tasks_wait() {
    let directory = directory();
    for is_host in [true, false] {
        let (host, guests) = company(directory.path(), 1);
        let mut all: Vec<Child> = [host].into_iter().chain(guests).collect();
        if is_host {
            all.reverse();
        }
        all[0].tell("lead 1 00001");
        all[0].expect("computing 1");
        all[1].tell("tasks 100 2");
        all[0].asks("get 7", "none");
        all[0].tell("go 1");
        all[0].expect("= 00001");
        all[1].expect("computed 1");
        all[0].asks("clear", "done");
    }
}

fn stalled_task() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 1);
    host.asks("stall 1", "stalled");
    guests[0].asks("call 1 one", "computing 1");
    guests[0].expect("= one");
    host.asks("stall 2", "stalled");
    host.asks("call 2 two", "computing 2");
    host.expect("= two");
    guests[0].asks("clear", "done");
    guests[0].asks("stall 3", "stalled");
    guests[0].asks("tasks 10 4", "computed 4");
}

fn failures_hand_over() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 2);
    guests[0].tell("lead 1 zero");
    guests[0].expect("computing 1");
    guests[1].tell("lead 1 one");
    // Its look-up is with the host when a later call of it is answered.
    guests[1].asks("len", "0");
    guests[0].tell("fail 1");
    guests[0].expect("failed");
    guests[1].expect("computing 1");
    host.tell("lead 1 two");
    guests[1].tell("go 1");
    guests[1].expect("= one");
    host.expect("= one");
}

fn death_hands_over() {
    let directory = directory();
    let (_host, mut guests) = company(directory.path(), 2);
    guests[0].tell("lead 1 zero");
    guests[0].expect("computing 1");
    guests[1].tell("lead 1 one");
    guests[1].asks("len", "0");
    guests[0].kill();
    guests[1].expect("computing 1");
    guests[1].tell("go 1");
    guests[1].expect("= one");
}

fn ordered() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 2);
    let change = ["insert 1 new", "remove 1", "clear", "clear-store", "remove-memo"];
    for (round, change) in change.into_iter().enumerate() {
        for changer in 0..3 {
            let old = format!("old{round}{changer}");
            host.asks(&format!("insert 1 {old}"), "done");
            // Twice: from disk, and from memory.
            for _ in 0..2 {
                host.asks("get 1", &old);
                for guest in &mut guests {
                    guest.asks("get 1", &old);
                }
            }
            let [one, two] = &mut guests[..] else { panic!() };
            let all = [&mut host, one, two];
            all[changer].ask(change);
            for process in all {
                process.asks("get 1", if round == 0 { "new" } else { "none" });
            }
        }
    }
}

fn removed_meanwhile() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 2);
    guests[0].tell("lead 1 old");
    guests[0].expect("computing 1");
    guests[1].asks("remove 1", "false");
    guests[0].tell("go 1");
    guests[0].expect("= old");
    host.asks("get 1", "none");
    guests[0].asks("get 1", "none");
    host.tell("lead 2 old");
    host.expect("computing 2");
    guests[1].asks("clear", "done");
    host.tell("go 2");
    host.expect("= old");
    guests[1].asks("get 2", "none");
}

/// The next host grants the lead of the guest anew, and does not know of the change.
fn removed_before_an_end() {
    for how in ["kill", "exit", "end"] {
        let directory = directory();
        let (mut host, mut guests) = company(directory.path(), 2);
        for change in ["remove 1", "clear"] {
            guests[0].tell("lead 1 old");
            guests[0].expect("computing 1");
            assert_ne!(guests[1].ask(change), "true");
            if how == "kill" {
                host.kill();
            } else {
                host.tell(how);
                assert!(host.end().0.success());
            }
            host = open(directory.path());
            guests[1].asks("insert 2 two", "done");
            guests[0].asks("go 1", "= old");
            for child in guests.iter_mut().chain([&mut host]) {
                child.asks("get 1", "none");
            }
            // For the next round it has to be the host.
            while host.ask("role") != "Host" {
                let mut other = std::mem::replace(&mut host, guests.pop().unwrap());
                other.asks("flush", "done");
                guests.insert(0, other);
            }
        }
    }
}

fn takeover_after_a_kill() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 3);
    guests[0].asks("insert 1 one", "done");
    guests[1].asks("get 1", "one");
    host.kill();
    for guest in &mut guests {
        guest.asks("get 1", "one");
    }
    guests[2].asks("insert 2 two", "done");
    for guest in &mut guests {
        guest.asks("get 2", "two");
    }
    let roles: Vec<String> = guests.iter_mut().map(|guest| guest.ask("role")).collect();
    assert_eq!(roles.iter().filter(|role| *role == "Host").count(), 1, "{roles:?}");
    assert_eq!(roles.iter().filter(|role| *role == "Guest").count(), 2, "{roles:?}");
}

fn takeover_after_an_exit() {
    for end in ["end", "exit", "close"] {
        let directory = directory();
        let (mut host, mut guests) = company(directory.path(), 2);
        guests[0].asks("call 1 one", "computing 1");
        guests[0].expect("= one");
        host.tell(end);
        for guest in &mut guests {
            guest.asks("call 1 other", "= one");
        }
        guests[1].asks("insert 2 two", "done");
        guests[0].asks("get 2", "two");
    }
}

fn once_over_an_end() {
    for end in ["end", "kill"] {
        let directory = directory();
        let (mut host, mut guests) = company(directory.path(), 3);
        guests[0].tell("lead 1 one");
        guests[0].expect("computing 1");
        guests[1].tell("lead 1 no");
        guests[1].asks("len", "0");
        if end == "kill" {
            host.kill();
        } else {
            host.tell(end);
        }
        guests[2].tell("lead 1 no");
        guests[2].asks("get 2", "none");
        guests[1].asks("get 2", "none");
        guests[0].tell("go 1");
        for guest in &mut guests {
            guest.expect("= one");
        }
        for guest in &mut guests {
            guest.asks("get 1", "one");
        }
    }
}

fn cycles() {
    let directory = directory();
    let (_host, mut guests) = company(directory.path(), 2);
    guests[0].tell("nest 1 2");
    guests[0].expect("computing 1");
    guests[1].tell("nest 2 1");
    guests[1].expect("computing 2");
    guests[0].tell("go 1");
    guests[1].tell("go 2");
    // One of them waits for the other, which computes the key of the first in its own call.
    let mut lines: Vec<String> = Vec::new();
    for guest in &mut guests {
        loop {
            let line = guest.line().unwrap();
            let is_last = line.starts_with('=');
            lines.push(line);
            if is_last {
                break;
            }
        }
    }
    assert_eq!(lines.iter().filter(|line| line.contains(" in ")).count(), 1, "{lines:?}");
}

fn large() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 2);
    guests[0].asks("large 1 3000000", "computing 1");
    guests[0].expect("= x*3000000");
    guests[1].asks("large 1 5", "= x*3000000");
    host.asks("large 1 5", "= x*3000000");
    guests[1].asks("fill 1 2000000", "done");
    guests[0].asks("get 1", "y*2000000");
    host.asks("get 1", "y*2000000");
    let drafts = std::fs::read_dir(directory.path().join("trash")).unwrap().count();
    guests[0].asks("sweep", "done");
    assert!(drafts <= 1, "{drafts}");
    assert_eq!(std::fs::read_dir(directory.path().join("trash")).unwrap().count(), 0);
}

fn everything() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 1);
    let guest = &mut guests[0];
    for key in 0..3 {
        guest.asks(&format!("insert {key} v{key}"), "done");
    }
    guest.asks("has 1", "true");
    guest.asks("has 7", "false");
    guest.asks("keys", "0 1 2");
    guest.asks("names", "values");
    guest.asks("remove 1", "true");
    guest.asks("remove 1", "false");
    guest.asks("flush", "done");
    guest.asks("sweep", "done");
    guest.asks("len", "2");
    guest.asks("failure", "none");
    host.asks("failure", "none");
    guest.asks("close", "done");
    host.asks("len", "2");
}

/// A store with some entries that no process has open.
fn closed_store() -> TempDir {
    let directory = directory();
    let mut first = open(directory.path());
    for key in 0..20 {
        first.asks(&format!("insert {key} v{key}"), "done");
    }
    first.asks("fill 20 500000", "done");
    first.asks("close", "done");
    assert!(first.end().0.success());
    directory
}

fn closed_is_read() {
    let directory = closed_store();
    let mut readers = [open(directory.path()), open(directory.path())];
    for reader in &mut readers {
        for _ in 0..2 {
            reader.asks("get 7", "v7");
            reader.asks("get 20", "y*500000");
            reader.asks("call 3 other", "= v3");
        }
        reader.asks("get 99", "none");
        reader.asks("has 1", "true");
        reader.asks("role", "Reader");
    }
}

/// Guests of a host that closes the store look into it as it was closed. None of them hosts it until something changes.
fn guests_read_on() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 3);
    // The first has led a key, the second has a value of its own, the third has only looked.
    guests[0].asks("call 1 one", "computing 1");
    guests[0].expect("= one");
    guests[1].asks("insert 2 two", "done");
    guests[2].asks("get 1", "one");
    host.asks("insert 3 three", "done");
    host.asks("close", "done");
    for guest in &mut guests {
        guest.asks("get 3", "three");
        guest.asks("call 2 other", "= two");
        guest.asks("flush", "done");
        guest.asks("names", "values");
        guest.asks("role", "Reader");
    }
    // No next host waits for one of them.
    let epochs = fs::read(directory.path().join("EPOCHS")).unwrap();
    assert_eq!(epochs[32..40], [0; 8]);
    fs::File::open(directory.path().join("LOCK")).unwrap().try_lock().unwrap();
    guests[2].asks("call 4 four", "computing 4");
    guests[2].expect("= four");
    guests[2].asks("remove 1", "true");
    guests[2].asks("role", "Host");
    for guest in &mut guests {
        guest.asks("get 1", "none");
        guest.asks("get 4", "four");
    }
    guests[0].asks("role", "Guest");
    guests[2].asks("close", "done");
    guests[1].asks("insert 3 new", "done");
    guests[1].asks("role", "Host");
    guests[0].asks("get 3", "new");
}

/// Values that a guest handed over and never heard of again are with the host that closed the store, or with the next one.
fn ends_together() {
    for values in [1, 40] {
        let directory = directory();
        let (mut host, mut guests) = company(directory.path(), 3);
        for (number, guest) in guests.iter_mut().enumerate() {
            for key in 0..values {
                let key = 100 * (number + 1) + key;
                guest.asks(&format!("call {key} v{key}"), &format!("computing {key}"));
                guest.expect(&format!("= v{key}"));
            }
        }
        host.tell("close");
        for guest in &mut guests {
            guest.tell("close");
        }
        host.expect("done");
        for guest in &mut guests {
            guest.expect("done");
        }
        let mut last = open(directory.path());
        for number in 1..=guests.len() {
            for key in 0..values {
                let key = 100 * number + key;
                last.asks(&format!("get {key}"), &format!("v{key}"));
            }
        }
    }
}

fn reader_of_a_deleted_store() {
    let directory = directory();
    let path = directory.path().join("store");
    let (mut host, mut guests) = company(&path, 1);
    for key in [7, 8, 9] {
        host.asks(&format!("insert {key} old"), "done");
    }
    host.asks("close", "done");
    let mut reader = open(&path);
    for reader in guests.iter_mut().chain([&mut reader]) {
        reader.asks("get 7", "old");
        reader.asks("role", "Reader");
    }
    delete_in_use(&path);
    let mut other = open(&path);
    other.asks("insert 8 new", "done");
    other.asks("insert 7 new", "done");
    for reader in guests.iter_mut().chain([&mut reader]) {
        // This look finds another store. After it what lies in memory is not used either.
        reader.asks("get 8", "new");
        reader.asks("get 7", "new");
        reader.asks("get 9", "none");
        reader.asks("role", "Guest");
    }
}

fn threads_of(child: &Child) -> usize {
    fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count()
}

/// Names, lengths and times of all files.
fn state_of(directory: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut state = BTreeMap::new();
    for file in fs::read_dir(directory).unwrap().flatten() {
        let found = file.metadata().unwrap();
        if found.is_dir() {
            let inner = state_of(&file.path());
            state.extend(
                inner
                    .into_iter()
                    .map(|(name, entry)| (format!("{}/{name}", file.file_name().display()), entry)),
            );
        }
        state.insert(file.file_name().display().to_string(), (found.len(), found.modified().unwrap()));
    }
    state
}

fn reader_is_light() {
    let directory = closed_store();
    let before = state_of(directory.path());
    let mut reader = open(directory.path());
    for key in 0..20 {
        reader.asks(&format!("call {key} other"), &format!("= v{key}"));
    }
    // The program itself, and the thread that watches over this test.
    assert_eq!(threads_of(&reader), 2);
    let locks = fs::File::open(directory.path().join("LOCK")).unwrap();
    locks.try_lock().unwrap();
    reader.asks("close", "done");
    assert!(reader.end().0.success());
    assert_eq!(state_of(directory.path()), before);
}

fn readers_see_changes() {
    for change in ["insert 7 new", "remove 7", "clear", "remove-memo", "clear-store"] {
        let directory = closed_store();
        let mut one = open(directory.path());
        let mut two = open(directory.path());
        for reader in [&mut one, &mut two] {
            reader.asks("get 7", "v7");
            reader.asks("get 7", "v7");
            reader.asks("role", "Reader");
        }
        two.ask(change);
        two.asks("role", "Host");
        one.asks("get 7", if change == "insert 7 new" { "new" } else { "none" });
        one.asks("insert 8 eight", "done");
        one.asks("role", "Guest");
        two.asks("get 8", "eight");
        two.asks("close", "done");
        one.asks("close", "done");
        let mut three = open(directory.path());
        three.asks("get 8", "eight");
        three.asks("role", "Reader");
    }
}

fn stopped_host() {
    let directory = directory();
    let mut host = open(directory.path());
    let mut guest = open_impatient(directory.path());
    host.asks("insert 1 one", "done");
    guest.asks("get 1", "one");
    host.signal("STOP");
    guest.asks("call 2 two", "computing 2");
    guest.expect("= two");
    // From here on it is on its own, and does not wait for the host at each call.
    for key in 3..50 {
        guest.asks(&format!("call {key} v"), &format!("computing {key}"));
        guest.expect("= v");
        guest.asks(&format!("call {key} v"), "= v");
    }
    assert!(guest.ask("role").starts_with("Alone"));
    host.signal("CONT");
    host.asks("remove 1", "true");
    for _ in 0..2_000 {
        if guest.ask("insert 4 four") == "done" {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    guest.asks("role", "Guest");
    host.asks("get 4", "four");
    guest.asks("get 1", "none");
}

fn socket_is_bound_anew() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 1);
    let socket = directory.path().join("SOCKET");
    fs::remove_file(&socket).unwrap();
    let mut late = open(directory.path());
    late.asks("role", "Guest");
    fs::rename(&socket, directory.path().join("moved")).unwrap();
    let mut later = open(directory.path());
    later.asks("insert 1 one", "done");
    guests[0].asks("get 1", "one");
    late.asks("get 1", "one");
    host.asks("close", "done");
    assert!(!socket.exists());
}

fn strangers() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 1);
    let connect = || UnixStream::connect(directory.path().join("SOCKET")).unwrap();
    let silent = connect();
    let garbage: Vec<u8> =
        (0..100_000_u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for cut in [1, 3, 5, 9, 100, 100_000] {
        let mut stream = connect();
        // The host may hang up in the middle of it.
        let _ = stream.write_all(&garbage[..cut]);
    }
    for length in [0, 3, 4, 262_145, u32::MAX] {
        let mut stream = connect();
        let _ = stream.write_all(&u32::to_le_bytes(length)).and_then(|()| stream.write_all(&[0; 16]));
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        if length != 4 {
            assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)));
        }
    }
    // The greeting is right, and what follows is made of the numbers of calls and of noise.
    let mut noise = Rolls(7);
    for _ in 0..300 {
        let mut stream = connect();
        let mut bytes = vec![10, 0, 0, 0, 1, 0, 0, 0, 0, b'M', b'L', b'T', b'H', 1];
        for number in 2..10_u32 {
            let length = noise.next() % 80;
            let call =
                [noise.next() as u8 % 24].into_iter().chain((0..length).map(|_| noise.next() as u8 % 5));
            let frame: Vec<u8> = number.to_le_bytes().into_iter().chain(call).collect();
            bytes.extend((frame.len() as u32).to_le_bytes());
            bytes.extend(frame);
        }
        let _ = stream.write_all(&bytes);
    }
    guests[0].asks("insert 1 one", "done");
    host.asks("get 1", "one");
    drop(silent);
}

fn deleted() {
    let directory = directory();
    let path = directory.path().join("store");
    let (mut host, mut guests) = company(&path, 1);
    host.asks("insert 1 one", "done");
    guests[0].asks("get 1", "one");
    delete_in_use(&path);
    let ask_until = |child: &mut Child, line: &str, answer: &str| {
        for _ in 0..2_000 {
            if child.ask(line) == answer {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{line}");
    };
    // The first notices that it is gone.
    ask_until(&mut host, "insert 2 two", "done");
    ask_until(&mut guests[0], "insert 3 three", "done");
    host.asks("get 3", "three");
    guests[0].asks("get 2", "two");
    let mut late = open(&path);
    late.asks("get 2", "two");
    late.asks("insert 2 new", "done");
    host.asks("get 2", "new");
    guests[0].asks("get 2", "new");
}

fn bounds() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 2);
    guests[0].asks("memo max_entries=3", "done");
    guests[1].asks("memo max_entries=5 memory=0", "done");
    for key in 0..10 {
        guests[1].asks(&format!("insert {key} v{key}"), "done");
    }
    host.asks("len", "3");
    guests[0].asks("keys", "7 8 9");
    guests[0].asks("memo", "done");
    for key in 10..20 {
        host.asks(&format!("insert {key} v{key}"), "done");
    }
    host.asks("len", "5");
    guests[1].asks("memo ttl=1 memory=0", "done");
    host.asks("get 19", "v19");
    thread::sleep(Duration::from_millis(5));
    guests[1].asks("get 19", "none");
    host.asks("get 19", "v19");
}

/// Four processes with a stale value "old" of the key 1, which each of them has in memory.
fn with_a_stale_value(directory: &Path) -> Vec<Child> {
    let (host, guests) = company(directory, 3);
    let mut all: Vec<Child> = [host].into_iter().chain(guests).collect();
    for child in &mut all {
        child.asks("memo stale_for=1000000000", "done");
    }
    make_stale(&mut all);
    all
}

fn make_stale(all: &mut [Child]) {
    all[1].asks("stale 1 old", "= old");
    for child in all {
        child.asks("get 1", "none");
    }
}

fn stale() {
    let directory = directory();
    let mut all = with_a_stale_value(directory.path());
    for leader in 0..4 {
        all[leader].tell("lead 1 new");
        all[leader].expect("computing 1");
        for other in (0..4).filter(|other| *other != leader) {
            all[other].asks("call 1 other", "= old");
        }
        all[leader].tell("go 1");
        all[leader].expect("= new");
        for child in &mut all {
            child.asks("call 1 other", "= new");
        }
        make_stale(&mut all);
    }
    // Each process notes its own failures.
    all[2].tell("lead 1 new");
    all[2].expect("computing 1");
    all[2].tell("fail 1");
    all[2].expect("= old");
    all[2].asks("call 1 other", "= old");
    all[3].asks("call 1 new", "computing 1");
    all[3].expect("= new");
    all[2].asks("call 1 other", "= new");
}

fn stale_after_a_kill() {
    let directory = directory();
    let mut all = with_a_stale_value(directory.path());
    // A guest, and then the host.
    for killed in [3, 0] {
        all[killed].tell("lead 1 new");
        all[killed].expect("computing 1");
        all[1].asks("call 1 other", "= old");
        all.remove(killed).kill();
        let answer = all[1].ask("call 1 newer");
        // Until the host has noticed the death, the stale value is the answer.
        if answer != "= old" {
            assert_eq!(answer, "computing 1");
            all[1].expect("= newer");
            make_stale(&mut all);
        }
    }
    let mut answer = all[1].ask("call 1 newest");
    while answer == "= old" {
        answer = all[1].ask("call 1 newest");
    }
    assert!(["computing 1", "= newer"].contains(&&*answer), "{answer}");
}

fn renewed() {
    let directory = directory();
    let (host, guests) = company(directory.path(), 2);
    let mut all: Vec<Child> = [host].into_iter().chain(guests).collect();
    all[0].asks("insert 1 first", "done");
    for renewer in 0..3 {
        for child in &mut all {
            assert_ne!(child.ask("get 1"), "none");
        }
        let value = format!("value{renewer}");
        all[renewer].asks(&format!("renew 1 {value}"), &format!("= {value}"));
        for child in &mut all {
            child.asks("get 1", &value);
        }
    }
}

fn stale_in_a_closed_store() {
    let directory = directory();
    let mut writer = open(directory.path());
    writer.asks("memo stale_for=1000000000", "done");
    writer.asks("stale 1 old", "= old");
    writer.asks("insert 2 two", "done");
    writer.asks("close", "done");
    writer.end();
    let mut reader = open(directory.path());
    reader.asks("memo stale_for=1000000000", "done");
    reader.asks("get 2", "two");
    reader.asks("get 1", "none");
    reader.asks("role", "Reader");
    reader.tell("lead 1 new");
    reader.expect("computing 1");
    reader.tell("fail 1");
    reader.expect("= old");
    let mut other = open(directory.path());
    other.asks("memo stale_for=1000000000", "done");
    other.asks("call 1 new", "computing 1");
    other.expect("= new");
    reader.asks("call 1 no", "= new");
}

fn versions() {
    let directory = directory();
    let (mut host, mut guests) = company(directory.path(), 1);
    guests[0].asks("memo version=2", "done");
    host.asks("insert 1 old", "done");
    guests[0].asks("get 1", "none");
    guests[0].asks("insert 1 new", "done");
    host.asks("get 1", "old");
    guests[0].asks("get 1", "new");
    host.asks("sweep", "done");
    host.asks("get 1", "old");
    guests[0].asks("get 1", "new");
    host.asks("remove-memo", "true");
    guests[0].asks("get 1", "none");
}

fn short_processes() {
    let rounds = if std::env::var_os("MEMOLITH_SOAK").is_some() { 250 } else { 12 };
    let directory = directory();
    let computations: usize = thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|lane| {
                let path = directory.path();
                scope.spawn(move || {
                    let mut computed = 0;
                    for round in 0..rounds {
                        let mut child = open(path);
                        let key = round * 4 / 3;
                        let line = child.ask(&format!("call {key} v{key}"));
                        computed += usize::from(line.starts_with("computing"));
                        if line.starts_with("computing") {
                            child.expect(&format!("= v{key}"));
                        }
                        child.asks(&format!("insert {} x", 10_000 + lane * 1_000 + round), "done");
                        child.tell(["end", "exit", "close"][round % 3]);
                        assert!(child.end().0.success());
                    }
                    computed
                })
            })
            .collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    let mut last = open(directory.path());
    for lane in 0..4 {
        for round in 0..rounds {
            last.asks(&format!("get {}", 10_000 + lane * 1_000 + round), "x");
        }
    }
    assert_eq!(computations, rounds, "each key once");
    last.asks("failure", "none");
}

fn killed_guests() {
    let rounds = if std::env::var_os("MEMOLITH_SOAK").is_some() { 200 } else { 6 };
    let directory = directory();
    let mut acknowledged = BTreeMap::new();
    let mut others: Vec<Child> = (0..3).map(|_| open(directory.path())).collect();
    for round in 0..rounds {
        let victim = round % others.len();
        for key in 0..5 {
            let length = [10, 300_000][key % 2] + round;
            others[victim].asks(&format!("fill {key} {length}"), "done");
            acknowledged.insert(key, length);
        }
        // In the middle of something, the host in its turn too.
        others[victim].tell("fill 7 2000000");
        others[victim].kill();
        others[victim] = open(directory.path());
        for child in &mut others {
            for (key, length) in &acknowledged {
                let expected = if *length > 100 { format!("y*{length}") } else { "y".repeat(*length) };
                child.asks(&format!("get {key}"), &expected);
            }
        }
    }
    // The draft of a guest that was killed is removed by the next process that hosts the store.
    drop(others);
    let mut last = open(directory.path());
    last.asks("insert 8 last", "done");
    last.asks("sweep", "done");
    assert_eq!(fs::read_dir(directory.path().join("trash")).unwrap().count(), 0);
}
