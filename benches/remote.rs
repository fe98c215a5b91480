//! What does a server behind the store cost? A hit from it beside one `GET`, a miss beside the computation alone, and calls beside
//! a server that does not answer. It needs `redis-server` on the path, and says so without it.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{
    hint::black_box,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::{criterion, key, text};
use criterion::Criterion;
use memolith::{Memo, Store, remote::Redis};

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        let server = Self { child, url: format!("redis://127.0.0.1:{port}/0") };
        while redis::Client::open(server.url.as_str()).unwrap().get_connection().is_err() {
            std::thread::yield_now();
        }
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Machine {
    _folder: tempfile::TempDir,
    memo: Memo<str, String>,
}

fn machine(url: &str) -> Machine {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::open(url).unwrap().namespace("bench");
    let store = Store::builder().remote(redis).open(folder.path().join("cache")).unwrap();
    Machine { memo: Memo::builder("texts").open(&store).unwrap(), _folder: folder }
}

fn hits(criterion: &mut Criterion, server: &Server, name: &str, length: usize, count: u64) {
    let filling = machine(&server.url);
    for number in 0..count {
        filling.memo.insert(&key(number), &text(length, number)).unwrap();
    }
    let mut raw = redis::Client::open(server.url.as_str()).unwrap().get_connection().unwrap();
    for number in 0..count {
        let _: () = redis::cmd("SET").arg(key(number)).arg(text(length, number)).query(&mut raw).unwrap();
    }
    let mut group = criterion.benchmark_group(format!("server/hit {name}"));
    // The first hit of each key on a machine of its own: the second one is local.
    group.bench_function("memolith", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut took = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let machine = machine(&server.url);
                let keys: Vec<String> = (0..left.min(count)).map(key).collect();
                let begun = Instant::now();
                for key in &keys {
                    black_box(machine.memo.get_or_insert_with(key, || unreachable!("it is on the server")));
                }
                took += begun.elapsed();
                left -= keys.len() as u64;
            }
            took
        });
    });
    let mut numbers = (0..count).cycle();
    group.bench_function("GET", |bencher| {
        bencher.iter(|| {
            let key = key(numbers.next().unwrap());
            redis::cmd("GET").arg(key).query::<Vec<u8>>(&mut raw).unwrap()
        });
    });
}

/// A computation that takes no time: what asking and storing costs.
fn misses(criterion: &mut Criterion, server: &Server) {
    let machine = machine(&server.url);
    let mut raw = redis::Client::open(server.url.as_str()).unwrap().get_connection().unwrap();
    let mut group = criterion.benchmark_group("server/miss 200 B");
    let mut number = 1_000_000;
    group.bench_function("memolith", |bencher| {
        bencher.iter(|| {
            number += 1;
            machine.memo.get_or_insert_with(&key(number), || text(200, number))
        });
    });
    group.bench_function("GET, SET NX, SET", |bencher| {
        bencher.iter(|| {
            number += 1;
            let key = key(number);
            let _: Option<Vec<u8>> = redis::cmd("GET").arg(&key).query(&mut raw).unwrap();
            let _: Option<String> =
                redis::cmd("SET").arg(&key).arg("lease").arg("NX").query(&mut raw).unwrap();
            let _: () = redis::cmd("SET").arg(&key).arg(text(200, number)).query(&mut raw).unwrap();
        });
    });
}

/// Misses while the server does not answer. The first of them waits for its timeout, and is not measured.
fn without_server(criterion: &mut Criterion, server: &Server) {
    let machine = machine(&server.url);
    let local = {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("cache")).unwrap();
        Machine { memo: Memo::builder("texts").open(&store).unwrap(), _folder: folder }
    };
    let id = server.child.id().to_string();
    assert!(Command::new("kill").args(["-STOP", &id]).status().unwrap().success());
    let begun = Instant::now();
    machine.memo.get_or_insert_with("first", String::new);
    println!("server/silent: the first call took {:?}", begun.elapsed());
    let mut group = criterion.benchmark_group("server/silent, miss 200 B");
    let mut number = 2_000_000;
    for (name, machine) in [("memolith with a server", &machine), ("memolith", &local)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                number += 1;
                machine.memo.get_or_insert_with(&key(number), || text(200, number))
            });
        });
    }
    drop(group);
    assert!(Command::new("kill").args(["-CONT", &id]).status().unwrap().success());
}

fn main() {
    let Some(server) = Server::start() else {
        println!("left out: redis-server is not on the path");
        return;
    };
    let mut criterion = criterion();
    hits(&mut criterion, &server, "200 B", 200, 20_000);
    hits(&mut criterion, &server, "100 KB", 100_000, 200);
    misses(&mut criterion, &server);
    without_server(&mut criterion, &server);
    criterion.final_summary();
}
