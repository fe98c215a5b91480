//! A child that does what its parent says, line by line: several of them share a directory.

use std::{
    cell::Cell,
    collections::HashMap,
    future::{Future, poll_fn},
    io::{self, BufRead},
    path::Path,
    pin::Pin,
    rc::Rc,
    sync::{Mutex, mpsc},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures::{StreamExt, stream};
use memolith::{Lookup, Memo, MemoBuilder, Store, effects, future, inputs};

use crate::child::{Child, directory, say, seed};

type Values = Memo<u32, String>;

/// The computations that wait.
type Leads = Mutex<HashMap<u32, mpsc::Sender<Word>>>;

/// What a waiting computation is told.
enum Word {
    Go,
    Fail,
}

/// The side of the child.
pub fn play() {
    let mut builder = Store::builder().lock_timeout(Duration::from_secs(20));
    if seed() == IMPATIENT {
        builder = builder.reply_timeout(Duration::from_millis(300));
    }
    let store = match builder.open(directory()) {
        Ok(store) => store,
        Err(error) => return say(&format!("error {error}")),
    };
    say("open");
    let mut memo: Values = Memo::builder("values").open(&store).unwrap();
    let mut drawn: Option<Values> = None;
    let leads = Leads::default();
    let mut stalled: Vec<Stalled> = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let command = words.next().unwrap();
        let key = || -> u32 { line.split(' ').nth(1).unwrap().parse().unwrap() };
        let value = || line.split(' ').nth(2).unwrap().to_owned();
        let show = |value: Option<String>| value.map_or("none".into(), |value| short(&value));
        match command {
            // Bounds and ttl of the memo that is used from here on: `memo ttl=1000 max_entries=3`.
            "memo" => {
                drop(memo);
                memo = with_options(words).open(&store).unwrap();
                say("done");
            }
            "get" => say(&memo.get(&key()).map_or_else(|error| format!("error {error}"), show)),
            "has" => say(&format!("{}", memo.contains_key(&key()).unwrap())),
            // Computes at once.
            "call" => {
                let (key, value) = (key(), value());
                let computed = memo.get_or_insert_with(&key, || {
                    say(&format!("computing {key}"));
                    value
                });
                say(&format!("= {}", short(&computed)));
            }
            // So many tasks at once, over so many keys: `tasks 300 100` asks for each of the keys 0 to 99 three times.
            "tasks" => say(&format!("computed {}", in_tasks(&memo, key(), value().parse().unwrap()))),
            // A task that begins to compute, and is woken and never polled again.
            "stall" => {
                stalled.push(begin_and_stall(&memo, key()));
                say("stalled");
            }
            // The same, whatever is stored.
            "renew" => {
                let (key, value) = (key(), value());
                let entry = memo.entry(&key).max_age(Duration::ZERO);
                say(&format!("= {}", short(&entry.or_insert_with(|| value))));
            }
            // The same with a value that is stale from the beginning.
            "stale" => {
                let (key, value) = (key(), value());
                let entry = memo.entry(&key).max_age(Duration::ZERO).ttl(Duration::ZERO);
                say(&format!("= {}", short(&entry.or_insert_with(|| value))));
            }
            // The same with a value of so many bytes.
            "large" => large(&memo, key(), value().parse().unwrap()),
            // Of a memo with effects: a value of so many bytes, and a line for each digit of the key.
            "draw" => {
                let drawn = drawn.get_or_insert_with(|| with_effects(&store));
                draw(drawn, key(), value().parse().unwrap());
            }
            // On a thread of its own. The computation waits for `go` or `fail`.
            "lead" => {
                lead(&memo, key(), value(), &leads);
            }
            // On a thread of its own: two keys, the second inside of the first.
            "read" | "scoped" | "renew-scoped" | "memory-scoped" | "lead-scoped" => {
                with_inputs(command, &line, &memo, &leads);
            }
            "nest" => {
                nest(&memo, key(), value().parse().unwrap(), &leads);
            }
            "go" => leads.lock().unwrap().remove(&key()).unwrap().send(Word::Go).unwrap(),
            "fail" => leads.lock().unwrap().remove(&key()).unwrap().send(Word::Fail).unwrap(),
            "insert" => {
                let inserted = memo.insert(&key(), &value());
                let why = inserted.as_ref().err().map(|_| (store.role(), store.last_failure()));
                say(&inserted.map_or_else(|error| format!("error {error} {why:?}"), |()| "done".into()));
            }
            "fill" => {
                let length: usize = value().parse().unwrap();
                say(&done(memo.insert(&key(), &"y".repeat(length))));
            }
            "remove" => {
                let removed = memo.remove(&key());
                say(&removed.map_or_else(|error| format!("error {error}"), |was| was.to_string()));
            }
            "clear" => say(&done(memo.clear())),
            "clear-store" => say(&done(store.clear())),
            "remove-memo" => say(&store.remove_memo("values").unwrap().to_string()),
            "len" => say(&memo.len().map_or_else(|error| format!("error {error}"), |len| len.to_string())),
            "keys" => {
                let keys: Vec<String> = memo.entries().unwrap().map(|entry| entry.unwrap().key).collect();
                say(&keys.join(" "));
            }
            "names" => say(&store.memos().unwrap().join(" ")),
            "inserts" => say(&store.total_stats().unwrap().inserts.to_string()),
            "flush" => say(&done(store.flush())),
            "sweep" => say(&done(store.sweep().map(drop))),
            "role" => say(&format!("{:?}", store.role())),
            "failure" => say(&store.last_failure().map_or("none".into(), |failure| failure.to_string())),
            "close" => say(&done(store.close())),
            "end" => return,
            "exit" => std::process::exit(0),
            other => panic!("{other}"),
        }
    }
}

/// The commands of values that are computed from inputs.
fn with_inputs(command: &str, line: &str, memo: &Values, leads: &Leads) {
    let words: Vec<&str> = line.split(' ').collect();
    let (key, value): (u32, &str) = (words[1].parse().unwrap(), words[2]);
    match command {
        // Computes the contents of a file.
        "read" => {
            let computed = memo.get_or_insert_with(&key, || {
                say(&format!("computing {key}"));
                inputs::read_to_string(value).unwrap()
            });
            say(&format!("= {}", short(&computed)));
        }
        // Computes a provided value.
        "scoped" => {
            let tell = || {
                say(&format!("computing {key}"));
                Ok(())
            };
            say(&format!("= {}", scoped(memo, key, value, tell).unwrap()));
        }
        // The same, whatever is stored: the value, a slash, and the third word.
        "renew-scoped" => {
            let computed = inputs::scope(|scope| {
                scope.provide("value", value);
                let entry = memo.entry(&key).max_age(Duration::ZERO);
                entry.or_insert_with(|| format!("{}/{}", inputs::get::<String>("value").unwrap(), words[3]))
            });
            say(&format!("= {computed}"));
        }
        // The same, kept in memory only.
        "memory-scoped" => inputs::scope(|scope| {
            scope.provide("value", value);
            let Lookup::Miss(claim) = memo.entry(&key).lookup() else { return say("a hit") };
            let value = claim.run(|| inputs::get::<String>("value").unwrap());
            claim.insert_in_memory(&value);
            say("done");
        }),
        // On a thread of its own. The computation waits for `go`.
        _ => {
            let (memo, value) = (memo.clone(), value.to_owned());
            let (tell, told) = mpsc::channel();
            leads.lock().unwrap().insert(key, tell);
            thread::spawn(move || {
                let computed = scoped(&memo, key, &value, || {
                    say(&format!("computing {key}"));
                    if matches!(told.recv(), Ok(Word::Go)) { Ok(()) } else { Err(()) }
                });
                say(&computed.map_or_else(|()| "failed".into(), |value| format!("= {value}")));
            });
        }
    }
}

/// Provides a value, and computes what is provided.
fn scoped(memo: &Values, key: u32, value: &str, wait: impl FnOnce() -> Result<(), ()>) -> Result<String, ()> {
    inputs::scope(|scope| {
        scope.provide("value", value);
        memo.get_or_try_insert_with(&key, || {
            let value = inputs::get::<String>("value").unwrap();
            wait().map(|()| value)
        })
    })
}

/// The memo with options like `ttl=1000`.
fn with_options<'a>(options: impl Iterator<Item = &'a str>) -> MemoBuilder<u32, String> {
    options.fold(Memo::builder("values"), |builder, option| {
        let (name, number) = option.split_once('=').unwrap();
        let number: u64 = number.parse().unwrap();
        match name {
            "ttl" => builder.ttl(Duration::from_millis(number)),
            "stale_for" => builder.stale_for(Duration::from_millis(number)),
            "max_entries" => builder.max_entries(number),
            "version" => builder.version(number),
            "memory" => builder.memory(number),
            _ => panic!("{option}"),
        }
    })
}

fn large(memo: &Values, key: u32, length: usize) {
    let computed = memo.get_or_insert_with(&key, || {
        say(&format!("computing {key}"));
        "x".repeat(length)
    });
    say(&format!("= {}", short(&computed)));
}

fn with_effects(store: &Store) -> Values {
    Memo::builder("drawn").effects(|line: &String| say(line)).open(store).unwrap()
}

fn draw(memo: &Values, key: u32, length: usize) {
    let computed = memo.get_or_insert_with(&key, || {
        say(&format!("computing {key}"));
        for digit in key.to_string().chars() {
            assert!(effects::emit(format!("shows {digit}")));
        }
        "d".repeat(length)
    });
    if let Some(failure) = memo.last_failure() {
        say(&format!("failure {failure}"));
    }
    say(&format!("= {}", short(&computed)));
}

fn lead(memo: &Values, key: u32, value: String, leads: &Leads) {
    let memo = memo.clone();
    let (tell, told) = mpsc::channel();
    leads.lock().unwrap().insert(key, tell);
    thread::spawn(move || {
        let computed = memo.get_or_try_insert_with(&key, || {
            say(&format!("computing {key}"));
            match told.recv() {
                Ok(Word::Go) => Ok(value),
                _ => Err(()),
            }
        });
        say(&computed.map_or_else(|()| "failed".into(), |value| format!("= {}", short(&value))));
    });
}

fn nest(memo: &Values, outer: u32, inner: u32, leads: &Leads) {
    let memo = memo.clone();
    let (tell, told) = mpsc::channel();
    leads.lock().unwrap().insert(outer, tell);
    thread::spawn(move || {
        let computed = memo.get_or_insert_with(&outer, || {
            say(&format!("computing {outer}"));
            let _ = told.recv();
            let inside = memo.get_or_insert_with(&inner, || {
                say(&format!("computing {inner} in {outer}"));
                format!("v{inner}")
            });
            format!("{outer}<{inside}")
        });
        say(&format!("= {computed}"));
    });
}

fn done(outcome: memolith::Result<()>) -> String {
    outcome.map_or_else(|error| format!("error {error}"), |()| "done".into())
}

/// A long value as its first byte and its length.
fn short(value: &str) -> String {
    if value.len() > 100 { format!("{}*{}", &value[..1], value.len()) } else { value.to_owned() }
}

/// The seed of a child that waits for its host for a moment only.
const IMPATIENT: u64 = 1;

pub fn open_impatient(directory: &Path) -> Child {
    let mut child = Child::play("puppet", directory, IMPATIENT);
    child.expect("open");
    child
}

/// Asks for a number of keys in a number of tasks of one thread, all at once, and counts what was computed here.
fn in_tasks(memo: &Values, tasks: u32, keys: u32) -> u32 {
    let (memo, computed): (future::Memo<u32, String>, _) = (memo.clone().into(), Cell::new(0));
    let calls = (0..tasks).map(|task| {
        let (memo, computed, key) = (&memo, &computed, task % keys);
        async move {
            let compute = || async {
                computed.set(computed.get() + 1);
                tokio::time::sleep(Duration::from_millis(5)).await;
                format!("{key:0>5}")
            };
            assert_eq!(memo.get_or_insert_with(&key, compute).await, format!("{key:0>5}"));
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(stream::iter(calls).buffer_unordered(tasks as usize).count());
    computed.get()
}

/// A task that is not polled any more.
type Stalled = Pin<Box<dyn Future<Output = String>>>;

/// Polls a task until it computes. In a guest another thread asks the host first.
fn begin_and_stall(memo: &Values, key: u32) -> Stalled {
    let began = Rc::new(Cell::new(false));
    let mut task = Box::pin(stall(memo.clone().into(), key, Rc::clone(&began)));
    while !began.get() {
        assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    task
}

/// Wakes itself when it begins to compute.
async fn stall(memo: future::Memo<u32, String>, key: u32, began: Rc<Cell<bool>>) -> String {
    let compute = || async move {
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if began.replace(true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        "late".into()
    };
    memo.get_or_insert_with(&key, compute).await
}

/// The side of the parent.
pub fn open(directory: &Path) -> Child {
    let mut child = Child::play("puppet", directory, 0);
    child.expect("open");
    child
}

impl Child {
    /// Says a line, and takes the next line of the answer.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.line().unwrap_or_else(|| panic!("it ended at `{line}`"))
    }

    /// Says a line whose answer is known.
    #[track_caller]
    pub fn asks(&mut self, line: &str, answer: &str) {
        assert_eq!(self.ask(line), answer, "{line}");
    }
}
