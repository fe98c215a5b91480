//! Three processes on one directory against a model: random calls, changes, ends and kills. After each answer the model knows
//! which values a key may have, and which one it must have.
//!
//! `MEMOLITH_SOAK=1` takes the long form.

use std::{collections::BTreeMap, path::Path};

use crate::{child::Child, harness::Claim, puppet::open, values::Rolls};

pub const CLAIMS: &[Claim] = &[
    ("together::three_processes_that_come_go_and_are_killed_answer_as_one_map_would", three_processes),
    ("together::a_host_without_a_guest_has_no_thread_for_guests", threads_of_a_host),
];

const KEYS: u64 = 6;
const PROCESSES: u64 = 3;

fn three_processes() {
    let (seeds, steps) = if std::env::var_os("MEMOLITH_SOAK").is_some() { (100, 150) } else { (4, 60) };
    for seed in 0..seeds {
        let directory = tempfile::tempdir().unwrap();
        let mut company = Company::new(directory.path(), seed);
        for step in 0..steps {
            company.step(step);
        }
        company.all_is_as_it_must_be();
    }
}

/// The values of a key, as the processes show them.
#[derive(Default)]
struct Possible {
    /// Inserted or computed since the last change that was acknowledged. A computed value may have gone with a host.
    values: Vec<String>,
    /// The value that no end of a process takes away.
    kept: Option<String>,
}

impl Possible {
    fn is(&mut self, value: &str) {
        *self = Self { values: vec![value.to_owned()], kept: Some(value.to_owned()) };
    }

    /// It was computed, or a change was not acknowledged.
    fn may_be(&mut self, value: &str) {
        self.values.push(value.to_owned());
        self.kept = None;
    }

    #[track_caller]
    fn allows(&self, answer: &str, context: &str) {
        if answer == "none" {
            assert!(self.kept.is_none(), "{context}: {:?} was lost", self.kept);
        } else {
            let is_kept = self.kept.as_deref().is_none_or(|kept| kept == answer);
            let is_known = self.values.iter().any(|value| value == answer);
            assert!(is_kept && is_known, "{context}: {answer}, of {:?} and {:?}", self.kept, self.values);
        }
    }
}

/// A computation that waits for its end.
struct Lead {
    process: usize,
    value: String,
    /// Whether the key was changed since it began: then its value goes to its own caller only.
    is_revoked: bool,
}

struct Company<'a> {
    directory: &'a Path,
    rolls: Rolls,
    seed: u64,
    processes: Vec<Child>,
    model: BTreeMap<u64, Possible>,
    leads: BTreeMap<u64, Lead>,
    /// The number of the last value.
    last: u64,
    context: String,
}

impl<'a> Company<'a> {
    fn new(directory: &'a Path, seed: u64) -> Self {
        let processes = (0..PROCESSES).map(|_| open(directory)).collect();
        let model = (0..KEYS).map(|key| (key, Possible::default())).collect();
        let (leads, context) = (BTreeMap::new(), String::new());
        Self { directory, rolls: Rolls(seed), seed, processes, model, leads, last: 0, context }
    }

    fn step(&mut self, step: u64) {
        let process = self.rolls.below(PROCESSES) as usize;
        let key = self.rolls.below(KEYS);
        let choice = self.rolls.below(100);
        self.context = format!("seed {}, step {step}, process {process}, key {key}", self.seed);
        match choice {
            0..20 => self.get(process, key),
            20..40 if !self.leads.contains_key(&key) => self.call(process, key),
            40..52 => self.insert(process, key),
            52..62 => self.remove(process, key),
            62..66 => self.clear(process, choice),
            66..76 if !self.leads.contains_key(&key) => self.lead(process, key),
            66..86 => self.go(key),
            86..90 => self.keys(process),
            90..93 => self.kill_in_the_middle(process, key),
            93..97 => self.kill(process),
            97..100 => self.leave(process, choice),
            _ => {}
        }
    }

    fn possible(&mut self, key: u64) -> &mut Possible {
        self.model.get_mut(&key).unwrap()
    }

    fn next_value(&mut self) -> String {
        self.last += 1;
        format!("v{}", self.last)
    }

    fn get(&mut self, process: usize, key: u64) {
        let answer = self.processes[process].ask(&format!("get {key}"));
        self.model[&key].allows(&answer, &self.context);
    }

    fn call(&mut self, process: usize, key: u64) {
        let value = self.next_value();
        let child = &mut self.processes[process];
        let mut answer = child.ask(&format!("call {key} {value}"));
        if answer == format!("computing {key}") {
            self.model[&key].allows("none", &self.context);
            self.possible(key).may_be(&value);
            answer = self.processes[process].line().unwrap();
            assert_eq!(answer, format!("= {value}"), "{}", self.context);
        }
        self.model[&key].allows(answer.strip_prefix("= ").unwrap(), &self.context);
    }

    /// Every other value has a file of its own.
    fn insert(&mut self, process: usize, key: u64) {
        let (command, value) = self.an_insert(key);
        assert_eq!(self.processes[process].ask(&command), "done", "{}", self.context);
        self.possible(key).is(&value);
        self.revoke(key);
    }

    fn an_insert(&mut self, key: u64) -> (String, String) {
        let value = self.next_value();
        if self.last.is_multiple_of(2) {
            return (format!("insert {key} {value}"), value);
        }
        let length = 5_000 + self.last;
        (format!("fill {key} {length}"), format!("y*{length}"))
    }

    fn remove(&mut self, process: usize, key: u64) {
        let answer = self.processes[process].ask(&format!("remove {key}"));
        let possible = self.possible(key);
        let is_possible = match answer.as_str() {
            "true" => !possible.values.is_empty(),
            "false" => possible.kept.is_none(),
            _ => false,
        };
        assert!(is_possible, "{}: {answer}", self.context);
        *self.possible(key) = Possible::default();
        self.revoke(key);
    }

    fn clear(&mut self, process: usize, choice: u64) {
        let command = if choice.is_multiple_of(2) { "clear" } else { "clear-store" };
        assert_eq!(self.processes[process].ask(command), "done", "{}", self.context);
        for key in 0..KEYS {
            *self.possible(key) = Possible::default();
            self.revoke(key);
        }
    }

    fn revoke(&mut self, key: u64) {
        if let Some(lead) = self.leads.get_mut(&key) {
            lead.is_revoked = true;
        }
    }

    /// A computation that goes on while the others change things and end.
    fn lead(&mut self, process: usize, key: u64) {
        let value = self.next_value();
        let answer = self.processes[process].ask(&format!("lead {key} {value}"));
        if answer == format!("computing {key}") {
            self.model[&key].allows("none", &self.context);
            self.leads.insert(key, Lead { process, value, is_revoked: false });
        } else {
            self.model[&key].allows(answer.strip_prefix("= ").unwrap(), &self.context);
        }
    }

    /// The caller gets the value that it computed.
    fn go(&mut self, key: u64) {
        let Some(Lead { process, value, is_revoked }) = self.leads.remove(&key) else { return };
        let answer = self.processes[process].ask(&format!("go {key}"));
        assert_eq!(answer, format!("= {value}"), "{}", self.context);
        if !is_revoked {
            self.possible(key).may_be(&value);
        }
    }

    fn keys(&mut self, process: usize) {
        let answer = self.processes[process].ask("keys");
        let keys: Vec<u64> = answer.split_whitespace().map(|key| key.parse().unwrap()).collect();
        for (key, possible) in &self.model {
            let context = format!("{}: {answer}", self.context);
            if keys.contains(key) {
                assert!(!possible.values.is_empty(), "{context}: {key} is there");
            } else {
                possible.allows("none", &context);
            }
        }
    }

    /// The change was made, or it was not.
    fn kill_in_the_middle(&mut self, process: usize, key: u64) {
        let (command, value) = self.an_insert(key);
        self.processes[process].tell(&command);
        self.possible(key).may_be(&value);
        // A value that is computed now may be stored before it or after it.
        self.revoke_without_an_answer(key);
        self.kill(process);
    }

    /// The value of a computation under way may be stored or not.
    fn revoke_without_an_answer(&mut self, key: u64) {
        if let Some(Lead { value, is_revoked: false, .. }) = self.leads.get(&key) {
            let value = value.clone();
            self.possible(key).may_be(&value);
        }
    }

    fn kill(&mut self, process: usize) {
        self.processes[process].kill();
        self.replace(process);
    }

    fn leave(&mut self, process: usize, choice: u64) {
        // The end of a process waits for no computation.
        self.processes[process].tell(["end", "exit"][choice as usize % 2]);
        let child = std::mem::replace(&mut self.processes[process], open(self.directory));
        assert!(child.end().0.success(), "{}", self.context);
        self.leads.retain(|_, lead| lead.process != process);
    }

    fn replace(&mut self, process: usize) {
        self.processes[process] = open(self.directory);
        self.leads.retain(|_, lead| lead.process != process);
    }

    /// After the last end another process finds what must be there, and nothing that must not.
    fn all_is_as_it_must_be(mut self) {
        self.processes.clear();
        self.processes.push(open(self.directory));
        self.context = format!("seed {}, at the end", self.seed);
        for key in 0..KEYS {
            self.get(0, key);
        }
        self.keys(0);
        self.processes[0].asks("sweep", "done");
        let trash = std::fs::read_dir(self.directory.join("trash")).unwrap();
        assert_eq!(trash.count(), 0, "{}", self.context);
    }
}

fn threads(child: &Child) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    let mut names: Vec<_> = tasks.filter_map(|task| name(task).ok()).collect();
    names.retain(|name| name.starts_with("memolith"));
    names.sort();
    names.iter().map(|name| name.trim_end().to_owned()).collect()
}

/// A worker and a janitor. The thread for guests comes with the first of them, and ends some time after the last one.
fn threads_of_a_host() {
    const FEW: [&str; 2] = ["memolith", "memolith-janito"];
    let directory = tempfile::tempdir().unwrap();
    let mut host = open(directory.path());
    host.asks("insert 1 one", "done");
    // MANIFEST is another file from the first change on.
    assert_eq!(threads(&host), FEW);
    for round in 0..2 {
        let mut guest = open(directory.path());
        guest.asks("get 1", "one");
        guest.asks("role", "Guest");
        assert_eq!(threads(&host), [FEW[0], "memolith-host", FEW[1]]);
        guest.tell(["end", "exit"][round]);
        assert!(guest.end().0.success());
        while threads(&host) != FEW {
            std::thread::yield_now();
        }
    }
    std::fs::remove_file(directory.path().join("SOCKET")).unwrap();
    let mut guest = open(directory.path());
    guest.asks("get 1", "one");
    guest.asks("role", "Guest");
}
