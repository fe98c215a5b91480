//! A server behind the caches of two machines: memolith, the Redis store of `cached`, and moka with Redis by hand.
//!
//! ```text
//! cargo run --release -p memolith-peers -- server
//! ```

use std::{
    hint::black_box,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use cached::{ConcurrentCached, RedisCache};
use memolith::{Memo, Store, remote::Redis};
use redis::{Client, Connection};

use crate::Result;

const HITS: usize = 3_000;
const CALLERS: usize = 64;
const ROUNDS: usize = 5;

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let child = Command::new("redis-server").args(arguments).stdout(Stdio::null()).spawn()?;
        let url = format!("redis://127.0.0.1:{port}");
        while Client::open(url.as_str())?.get_connection().is_err() {
            thread::yield_now();
        }
        Ok(Self { child, url })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One machine with one cache. It computes what neither it nor the server has.
trait Machine: Sync + Sized {
    fn new(url: &str) -> Result<Self>;

    fn call(&self, key: &str, compute: impl FnOnce() -> String) -> String;
}

struct Ours {
    memo: Memo<str, String>,
    _folder: tempfile::TempDir,
}

impl Machine for Ours {
    fn new(url: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let redis = Redis::open(url)?.namespace("peers");
        let store = Store::builder().remote(redis).open(folder.path().join("cache"))?;
        Ok(Self { memo: Memo::builder("texts").open(&store)?, _folder: folder })
    }

    fn call(&self, key: &str, compute: impl FnOnce() -> String) -> String {
        self.memo.get_or_insert_with(key, compute)
    }
}

struct Cached(RedisCache<String, String>);

impl Machine for Cached {
    fn new(url: &str) -> Result<Self> {
        Ok(Self(RedisCache::builder("texts").connection_string(url).build()?))
    }

    /// As its macro does: there is no single flight, and nothing in memory.
    fn call(&self, key: &str, compute: impl FnOnce() -> String) -> String {
        let key = key.to_owned();
        if let Ok(Some(found)) = self.0.cache_get(&key) {
            return found;
        }
        let value = compute();
        let _ = self.0.cache_set(key, value.clone());
        value
    }
}

struct ByHand {
    memory: moka::sync::Cache<String, String>,
    client: Client,
    connections: std::sync::Mutex<Vec<Connection>>,
}

impl ByHand {
    fn with<R>(&self, ask: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let idle = self.connections.lock().ok()?.pop();
        let mut connection = idle.or_else(|| self.client.get_connection().ok())?;
        let answer = ask(&mut connection);
        self.connections.lock().ok()?.push(connection);
        Some(answer)
    }
}

impl Machine for ByHand {
    fn new(url: &str) -> Result<Self> {
        let (memory, client) = (moka::sync::Cache::new(100_000), Client::open(url)?);
        Ok(Self { memory, client, connections: std::sync::Mutex::default() })
    }

    /// Single flight within the machine only.
    fn call(&self, key: &str, compute: impl FnOnce() -> String) -> String {
        self.memory.get_with(key.to_owned(), || {
            let name = format!("by hand:{key}");
            let found = self.with(|server| redis::cmd("GET").arg(&name).query::<Option<String>>(server));
            if let Some(Ok(Some(found))) = found {
                return found;
            }
            let value = compute();
            self.with(|server| redis::cmd("SET").arg(&name).arg(&value).query::<()>(server));
            value
        })
    }
}

fn text(number: usize) -> String {
    format!("{number:020}{}", "x".repeat(177))
}

fn per_call(keys: &[String], call: impl Fn(&str) -> String) -> Duration {
    let begun = Instant::now();
    for key in keys {
        black_box(call(key));
    }
    begun.elapsed() / u32::try_from(keys.len()).unwrap_or(u32::MAX)
}

/// The median time of a first hit, of a second one, and how often callers on two machines compute one cold key at most.
fn row<M: Machine>(name: &str, server: &Server) -> Result<()> {
    let filling = M::new(&server.url)?;
    let keys: Vec<String> = (0..HITS).map(|number| format!("{name} {number}")).collect();
    for (number, key) in keys.iter().enumerate() {
        filling.call(key, || text(number));
    }
    let (mut first, mut second, mut most) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let machine = M::new(&server.url)?;
        first.push(per_call(&keys, |key| machine.call(key, || unreachable!("it is on the server"))));
        second.push(per_call(&keys, |key| machine.call(key, || unreachable!("it was there"))));
        let (computed, start) = (AtomicUsize::new(0), Barrier::new(CALLERS));
        let cold = format!("{name} cold {round}");
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let machine = if caller % 2 == 0 { &machine } else { &filling };
                let (computed, start, cold) = (&computed, &start, &cold);
                scope.spawn(move || {
                    start.wait();
                    machine.call(cold, || {
                        computed.fetch_add(1, SeqCst);
                        thread::sleep(Duration::from_millis(50));
                        text(0)
                    })
                });
            }
        });
        most = most.max(computed.load(SeqCst));
    }
    first.sort();
    second.sort();
    let median = |times: &[Duration]| times.get(ROUNDS / 2).copied().unwrap_or_default();
    println!("| {name} | {:.0?} | {:.2?} | {most} |", median(&first), median(&second));
    Ok(())
}

pub(crate) fn measure() -> Result<()> {
    let server = Server::start().map_err(|error| format!("redis-server is not on the path: {error}"))?;
    println!(
        "| | first hit of 200 B on a machine | second hit | computations of {CALLERS} callers on 2 machines |"
    );
    println!("|---|---|---|---|");
    row::<Ours>("memolith", &server)?;
    row::<Cached>("cached 4.1, `RedisCache`", &server)?;
    row::<ByHand>("moka 0.12 and `redis` by hand", &server)?;
    let mut raw = Client::open(server.url.as_str())?.get_connection()?;
    let keys: Vec<String> = (0..HITS).map(|number| number.to_string()).collect();
    for (number, key) in keys.iter().enumerate() {
        redis::cmd("SET").arg(key).arg(text(number)).query::<()>(&mut raw)?;
    }
    let begun = Instant::now();
    for key in &keys {
        black_box(redis::cmd("GET").arg(key).query::<Vec<u8>>(&mut raw)?);
    }
    println!("| a bare `GET` | {:.0?} | | |", begun.elapsed() / u32::try_from(HITS)?);
    Ok(())
}
