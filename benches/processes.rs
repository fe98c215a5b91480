//! What does a call cost in a guest, beside the same call in its host and beside a bare round trip over a socket?
//!
//! This program runs itself again as the host, and as the other end of the bare socket.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{Reading, criterion, key, keys, shuffled};
use criterion::Criterion;
use memolith::{Memo, Role, Store};

const ROLE: &str = "MEMOLITH_BENCH_ROLE";
const COUNT: u64 = 10_000;

/// Another process, which ends with this value.
struct Other(Child);

impl Other {
    fn start(role: &str, directory: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(ROLE, role).arg(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn say_ready_and_wait() {
    println!("ready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn host(directory: &Path) {
    let store = Store::open(directory).unwrap();
    let memo: Memo<str, Reading> = Memo::builder("readings").open(&store).unwrap();
    for number in 0..COUNT {
        memo.get_or_insert_with(&key(number), || Reading::new(number));
    }
    store.flush().unwrap();
    say_ready_and_wait();
}

/// Takes 64 bytes and gives 240.
fn echo(directory: &Path) {
    let listener = UnixListener::bind(directory.join("echo")).unwrap();
    println!("ready");
    let (mut stream, _) = listener.accept().unwrap();
    let (mut question, answer) = ([0; 64], [7; 240]);
    while stream.read_exact(&mut question).is_ok() {
        stream.write_all(&answer).unwrap();
    }
}

fn open(directory: &Path, memory: u64) -> (Store, Memo<str, Reading>) {
    let store = Store::builder().memory(memory).open(directory).unwrap();
    assert!(matches!(store.role(), Role::Guest), "{:?}", store.role());
    let memo = Memo::builder("readings").open(&store).unwrap();
    (store, memo)
}

fn hits(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let _host = Other::start("host", directory.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let _echo = Other::start("echo", elsewhere.path());
    let mut stream = UnixStream::connect(elsewhere.path().join("echo")).unwrap();
    let keys = keys(COUNT);
    let order: Vec<&String> = shuffled(COUNT).filter_map(|number| keys.get(number as usize)).collect();
    let mut group = criterion.benchmark_group("processes/hit of 100 B");
    group.bench_function("bare round trip over a socket", |bencher| {
        let (question, mut answer) = ([7; 64], [0; 240]);
        bencher.iter(|| {
            stream.write_all(&question).unwrap();
            stream.read_exact(&mut answer).unwrap();
        });
    });
    let (store, memo) = open(directory.path(), 0);
    let mut turn = order.iter().cycle();
    group.bench_function("guest, from the host's disk", |bencher| {
        bencher.iter(|| memo.get_or_insert_with(turn.next().unwrap(), || unreachable!("it is stored")));
    });
    drop(memo);
    store.close().unwrap();
    let (store, memo) = open(directory.path(), 256 << 20);
    for key in &keys {
        drop(memo.get(key).unwrap());
    }
    let mut turn = order.iter().cycle();
    group.bench_function("guest, from its memory", |bencher| {
        bencher.iter(|| memo.get_or_insert_with(turn.next().unwrap(), || unreachable!("it is stored")));
    });
    drop(memo);
    drop(store);
    let own = common::filled(256 << 20, &keys, Reading::new);
    let mut turn = order.iter().cycle();
    group.bench_function("host, from its memory", |bencher| {
        bencher.iter(|| own.memo.get_or_insert_with(turn.next().unwrap(), || unreachable!("it is stored")));
    });
    drop(own);
    let own = common::filled(0, &keys, Reading::new);
    let mut turn = order.iter().cycle();
    group.bench_function("host, from its disk", |bencher| {
        bencher.iter(|| own.memo.get_or_insert_with(turn.next().unwrap(), || unreachable!("it is stored")));
    });
}

/// A miss of a guest: the lead, a value that is computed in no time, and its way to the host.
fn misses(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let _host = Other::start("host", directory.path());
    let (_store, memo) = open(directory.path(), 0);
    let mut group = criterion.benchmark_group("processes/miss of 100 B");
    let mut number = COUNT;
    group.bench_function("guest", |bencher| {
        bencher.iter(|| {
            number += 1;
            memo.get_or_insert_with(&key(number), || Reading::new(number))
        });
    });
    group.bench_function("guest, insert", |bencher| {
        bencher.iter(|| {
            number += 1;
            memo.insert(&key(number), &Reading::new(number)).unwrap();
        });
    });
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
}

/// From the death of the host to the first hit of its guest, which takes its place.
fn takeover() {
    for count in [1_000, 100_000] {
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                let directory = tempfile::tempdir().unwrap();
                let mut host = Command::new(env::current_exe().unwrap());
                host.env(ROLE, format!("fill {count}")).arg(directory.path());
                let mut host = host.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let mut ready = String::new();
                BufReader::new(host.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
                let (_store, memo) = open(directory.path(), 0);
                memo.get(&key(1)).unwrap().unwrap();
                host.kill().unwrap();
                host.wait().unwrap();
                let begin = Instant::now();
                memo.get_or_insert_with(&key(2), || unreachable!("it is stored"));
                begin.elapsed()
            })
            .collect();
        times.sort();
        println!("take-over after the death of a host of {count} entries, in order: {times:?}");
    }
}

fn fill(directory: &Path, count: u64) {
    let store = Store::open(directory).unwrap();
    let memo: Memo<str, Reading> = Memo::builder("readings").open(&store).unwrap();
    for number in 0..count {
        memo.get_or_insert_with(&key(number), || Reading::new(number));
    }
    store.flush().unwrap();
    say_ready_and_wait();
}

fn main() {
    let directory = || std::path::PathBuf::from(env::args_os().nth(1).unwrap());
    match env::var(ROLE).as_deref() {
        Ok("host") => return host(&directory()),
        Ok("echo") => return echo(&directory()),
        Ok(role) => return fill(&directory(), role.strip_prefix("fill ").unwrap().parse().unwrap()),
        Err(_) => {}
    }
    let mut criterion = criterion();
    hits(&mut criterion);
    misses(&mut criterion);
    criterion.final_summary();
    takeover();
}
