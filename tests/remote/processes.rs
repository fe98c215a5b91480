//! Machines that are processes of their own, and several processes of one machine.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use memolith::{Memo, Role, Store};

use crate::{
    machine::{Machine, redis},
    server::{Server, wait_until, with_each, with_one},
};

/// Set in a process that [`Process::start`] started: the directory and the URL.
const CHILD: &str = "MEMOLITH_REMOTE_CHILD";

/// A process with a store. Each command is a line to it, and each reply a line from it.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(folder: &Path, server: &Server) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--ignored", "--nocapture", "--test-threads", "1"])
            .env(CHILD, format!("{}\n{}", folder.display(), server.url()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self { child, input, output };
        assert_eq!(process.reply(), "ready");
        process
    }

    fn send(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    /// The next reply. A process that ended has none.
    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the process has ended");
            if let Some((_, reply)) = line.trim_end().split_once("> ") {
                return reply.to_owned();
            }
        }
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.reply()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: the process of [`Process::start`].
#[test]
#[ignore = "it is started by the others"]
fn child() {
    let Ok(told) = env::var(CHILD) else { return };
    let (folder, url) = told.split_once('\n').unwrap();
    let store = Store::builder().remote(redis(url)).open(folder).unwrap();
    let memo: Memo<str, String> = Memo::builder("names").open(&store).unwrap();
    let computed = AtomicUsize::new(0);
    let say = |reply: &str| {
        println!("\n> {reply}");
        std::io::stdout().flush().unwrap();
    };
    let line = || {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    say("ready");
    loop {
        let command = line();
        let words: Vec<&str> = command.split(' ').collect();
        match *words {
            ["get", key, value] => {
                let found = memo.get_or_insert_with(key, || {
                    computed.fetch_add(1, SeqCst);
                    value.to_owned()
                });
                say(&found);
            }
            ["hold", key, value] => {
                let found = memo.get_or_insert_with(key, || {
                    computed.fetch_add(1, SeqCst);
                    say("computing");
                    assert_eq!(line(), "go");
                    value.to_owned()
                });
                say(&found);
            }
            ["many", key, callers] => {
                let callers = callers.parse().unwrap();
                let start = Barrier::new(callers);
                thread::scope(|scope| {
                    for _ in 0..callers {
                        scope.spawn(|| {
                            start.wait();
                            memo.get_or_insert_with(key, || {
                                computed.fetch_add(1, SeqCst);
                                thread::park_timeout(std::time::Duration::from_millis(100));
                                "value".to_owned()
                            });
                        });
                    }
                });
                say(&computed.load(SeqCst).to_string());
            }
            ["peek", key] => say(&format!("{:?}", memo.get(key).unwrap())),
            ["insert", key, value] => {
                say(&format!("{:?}", memo.insert(key, &value.to_owned()).map_err(|error| error.kind())));
            }
            ["large", key, length] => {
                let value = "x".repeat(length.parse().unwrap());
                say(&format!("{:?}", memo.insert(key, &value).map_err(|error| error.kind())));
            }
            ["length", key] => say(&memo.get(key).unwrap().unwrap_or_default().len().to_string()),
            ["remove", key] => say(&format!("{:?}", memo.remove(key).map_err(|error| error.kind()))),
            ["role"] => say(match store.role() {
                Role::Host => "host",
                Role::Guest => "guest",
                Role::Reader => "reader",
                _ => "alone",
            }),
            ["hits"] => say(&memo.stats().hits.server.to_string()),
            ["close"] => {
                store.close().unwrap();
                say("closed");
                return;
            }
            _ => return,
        }
    }
}

#[test]
fn callers_of_four_processes_on_two_machines_cause_one_computation() {
    with_each(|server| {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut processes: Vec<Process> =
            (0..4).map(|at| Process::start(&folders[at % 2].path().join("cache"), server)).collect();
        for round in 0..5 {
            let before: usize = processes.iter_mut().map(computations).sum();
            for process in &mut processes {
                process.send(&format!("many cold{round} 25"));
            }
            let computed: usize =
                processes.iter_mut().map(|process| process.reply().parse::<usize>().unwrap()).sum();
            assert_eq!(computed - before, 1, "round {round}");
        }
    });
}

fn computations(process: &mut Process) -> usize {
    process.ask("many warm 1").parse().unwrap()
}

#[test]
fn processes_of_one_machine_share_its_connections() {
    with_one(|server| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let mut host = Process::start(&path, &server);
        host.ask("get a first");
        assert_eq!(host.ask("role"), "host");
        let mut guests: Vec<Process> = (0..3).map(|_| Process::start(&path, &server)).collect();
        let other = Machine::new(&server);
        other.get("theirs", "computed there");
        for (at, guest) in guests.iter_mut().enumerate() {
            guest.ask(&format!("get own{at} x"));
            assert_eq!(guest.ask("role"), "guest");
            assert_eq!(guest.ask("get theirs ?"), "computed there");
        }
        assert_eq!(guests[0].ask("hits"), "1");
        wait_until("two connections a machine, and the test's own", || {
            let clients: String = server.command(&["CLIENT", "LIST"]);
            clients.lines().count() == 5
        });
        assert_eq!(other.get("own2", "?"), "x");
        // Values that are longer than a message between processes.
        assert_eq!(guests[0].ask("large long 700000"), "Ok(())");
        assert_eq!(other.memo.get("long").unwrap().unwrap().len(), 700_000);
        other.memo.insert("theirs long", &"y".repeat(900_000)).unwrap();
        other.memo.insert("longer", &"y".repeat(900_000)).unwrap();
        assert_eq!(guests[1].ask("length longer"), "900000");
    });
}

#[test]
fn changes_reach_and_leave_guests() {
    with_one(|server| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let mut host = Process::start(&path, &server);
        host.ask("get a old");
        let mut guest = Process::start(&path, &server);
        let other = Machine::new(&server);
        for round in 0..20 {
            assert_eq!(guest.ask(&format!("insert a from{round}")), "Ok(())");
            assert_eq!(host.ask("peek a"), format!("Some(\"from{round}\")"));
            other.wait_for("a", Some(&format!("from{round}")));
            other.memo.remove("a").unwrap();
            wait_until("the guest forgets it", || guest.ask("peek a") == "None");
        }
        assert_eq!(guest.ask("get a again"), "again");
        assert_eq!(guest.ask("remove a"), "Ok(true)");
        other.wait_for("a", None);
    });
}

#[test]
fn a_guest_goes_on_when_its_host_dies() {
    with_one(|server| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let mut host = Process::start(&path, &server);
        host.ask("get a first");
        let mut guest = Process::start(&path, &server);
        let other = Machine::new(&server);
        assert_eq!(guest.ask("hold held value"), "computing");
        host.kill();
        // The guest has the lease still: another machine waits for it, for longer than a lease.
        thread::scope(|scope| {
            let waiting = scope.spawn(|| other.get("held", "of the other"));
            wait_until("the lease is renewed", || {
                let keys = server.keys("*c:*");
                keys.first().is_some_and(|key| server.command::<i64>(&["PTTL", key]) < 700)
            });
            wait_until("the lease is renewed", || {
                let keys = server.keys("*c:*");
                keys.first().is_some_and(|key| server.command::<i64>(&["PTTL", key]) > 700)
            });
            guest.send("go");
            assert_eq!(guest.reply(), "value");
            assert_eq!(waiting.join().unwrap(), "value");
        });
        wait_until("the guest uses the server by itself", || {
            other.memo.insert("told", &"x".to_owned()).unwrap();
            guest.ask("get told ?") == "x"
        });
        other.memo.remove("a").unwrap();
        wait_until("a removal reaches it", || guest.ask("peek a") == "None");
    });
}

#[test]
fn the_lease_of_a_machine_that_died_runs_out_and_one_machine_computes() {
    with_each(|server| {
        let folder = tempfile::tempdir().unwrap();
        let mut dying = Process::start(&folder.path().join("cache"), server);
        assert_eq!(dying.ask("hold a lost"), "computing");
        let others = [Machine::new(server), Machine::new(server)];
        let computed = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            let callers: Vec<_> = others
                .iter()
                .map(|machine| {
                    let computed = Arc::clone(&computed);
                    scope.spawn(move || {
                        machine.memo.get_or_insert_with("a", || {
                            computed.fetch_add(1, SeqCst);
                            "computed".into()
                        })
                    })
                })
                .collect();
            dying.kill();
            for caller in callers {
                assert_eq!(caller.join().unwrap(), "computed");
            }
        });
        assert_eq!(computed.load(SeqCst), 1);
    });
}

#[test]
fn a_machine_that_was_paused_for_longer_than_its_lease_overwrites_nothing() {
    with_each(|server| {
        let folder = tempfile::tempdir().unwrap();
        let mut paused = Process::start(&folder.path().join("cache"), server);
        assert_eq!(paused.ask("hold a late"), "computing");
        paused.signal("-STOP");
        let other = Machine::new(server);
        assert_eq!(other.get("a", "new"), "new");
        other.memo.insert("a", &"newer".to_owned()).unwrap();
        paused.signal("-CONT");
        assert_eq!(paused.ask("go"), "late", "its own caller has its own value");
        assert_eq!(Machine::new(server).get("a", "?"), "newer");
        wait_until("it has the value of the others", || paused.ask("peek a") == "Some(\"newer\")");
    });
}
