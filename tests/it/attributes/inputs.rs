//! `#[memo]` above functions that read tracked inputs: nothing is declared for them.

use std::{
    cell::RefCell,
    env, fs, io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use memolith::{Store, effects, inputs, memo};

use super::{
    Runs,
    default_store::{Machine, play},
    store,
};
use crate::vocabulary::{Bench, HOUR, MINUTE};

/// A folder of input files of one test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("config")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }
}

fn with_units<R>(units: &str, work: impl FnOnce() -> R) -> R {
    inputs::scope(|scope| {
        scope.provide("units", units);
        work()
    })
}

#[memo(store = store())]
fn shown(path: &Path, _runs: &Runs) -> io::Result<String> {
    _runs.count();
    let length = inputs::read_to_string(path)?;
    Ok(format!("{length} {}", inputs::get::<String>("units").map_err(io::Error::other)?))
}

#[memo(store = store())]
async fn shown_in_task(path: &Path, _runs: &Runs) -> io::Result<String> {
    _runs.count();
    smol::future::yield_now().await;
    let length = inputs::read_to_string(path)?;
    smol::future::yield_now().await;
    Ok(format!("{length} {}", inputs::get::<String>("units").map_err(io::Error::other)?))
}

#[test]
fn each_answer_of_a_file_and_of_a_scope_has_its_value() {
    let (files, runs) = (Files::new(), Runs::default());
    let path = files.path();
    let is_missing = |found: io::Result<String>| found.unwrap_err().kind() == io::ErrorKind::NotFound;
    let steps = [
        ("3", "m", 1, "computed"),
        ("3", "ft", 1, "another unit"),
        ("3", "m", 0, "found"),
        ("4", "m", 1, "another length"),
        ("3", "ft", 0, "found"),
        ("4", "m", 0, "found"),
    ];
    let blocking = || shown(&path, &runs);
    let in_task = || smol::block_on(shown_in_task(&path, &runs));
    for call in [&blocking as &dyn Fn() -> io::Result<String>, &in_task] {
        assert!(is_missing(call()));
        runs.take();
        for (length, units, computed, step) in steps {
            files.write(length);
            assert_eq!(with_units(units, call).unwrap(), format!("{length} {units}"));
            assert_eq!(runs.take(), computed, "{step}");
        }
        // An error is not stored. It depends on the file, and the value does too.
        fs::remove_file(&path).unwrap();
        assert!(is_missing(with_units("m", call)) && is_missing(with_units("m", call)));
        assert_eq!(runs.take(), 2);
        files.write("3");
        assert_eq!((with_units("m", call).unwrap(), runs.take()), ("3 m".into(), 0));
        // Without a scope nothing can be compared.
        assert!(call().is_err());
        assert_eq!(runs.take(), 1);
        fs::remove_file(&path).unwrap();
    }
    assert_eq!((shown_memo().len().unwrap(), shown_in_task_memo().len().unwrap()), (3, 3));
}

thread_local! {
    static SCREEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[expect(clippy::ptr_arg, reason = "the handler of this type")]
fn write(line: &String) {
    SCREEN.with_borrow_mut(|screen| screen.push(line.clone()));
}

#[memo(store = store(), effects = write)]
fn drawn(path: &Path, _runs: &Runs) -> usize {
    _runs.count();
    let text = inputs::read_to_string(path).unwrap();
    effects::emit(text.to_uppercase());
    text.len()
}

#[test]
fn a_hit_shows_what_the_computation_of_its_own_answers_showed() {
    let (files, runs) = (Files::new(), Runs::default());
    for (text, computed) in [("one", 1), ("three", 1), ("one", 0), ("three", 0)] {
        files.write(text);
        assert_eq!((drawn(&files.path(), &runs), runs.take()), (text.len(), computed));
        assert_eq!(SCREEN.take(), [text.to_uppercase()]);
    }
}

static TIMED: LazyLock<(Bench, Store)> = LazyLock::new(|| {
    let bench = Bench::new();
    let store = bench.store();
    (bench, store)
});

#[memo(store = &TIMED.1, ttl = HOUR)]
fn timed(_runs: &Runs) -> String {
    _runs.count();
    inputs::get("units").unwrap()
}

#[test]
fn each_variant_expires_in_its_own_time() {
    let runs = Runs::default();
    let call = |units: &str, computed: u32| {
        assert_eq!((with_units(units, || timed(&runs)), runs.take()), (units.to_owned(), computed));
    };
    call("m", 1);
    TIMED.0.clock.advance(40 * MINUTE);
    call("ft", 1);
    call("m", 0);
    TIMED.0.clock.advance(40 * MINUTE);
    call("ft", 0);
    call("m", 1);
    call("m", 0);
}

#[memo(effects = write)]
fn kept(path: &Path) -> String {
    println!("computed {}", path.display());
    let text = inputs::read_to_string(path).unwrap();
    effects::emit(format!("read {text}"));
    text + &inputs::get::<String>("units").unwrap()
}

#[memo]
async fn kept_in_task(path: &Path) -> String {
    println!("computed in a task {}", path.display());
    smol::future::yield_now().await;
    inputs::read_to_string(path).unwrap() + &inputs::get::<String>("units").unwrap()
}

/// One run of a program, in its own process. Its home has the file.
pub(super) fn run() {
    let path = PathBuf::from(env::var_os("HOME").unwrap()).join("config");
    for (length, units) in [("3", "m"), ("3", "ft"), ("4", "m"), ("3", "m")] {
        fs::write(&path, length).unwrap();
        let both = with_units(units, || (kept(&path), smol::block_on(kept_in_task(&path))));
        let expected = format!("{length}{units}");
        assert_eq!(both, (expected.clone(), expected));
        assert_eq!(SCREEN.take(), [format!("read {length}")]);
    }
    assert!(kept_memo().last_failure().is_none() && kept_in_task_memo().last_failure().is_none());
}

#[test]
fn the_next_run_of_the_program_knows_all_answers() {
    let machine = Machine::new();
    let store = machine.path().join("store");
    for computed in [6, 0, 0] {
        let told = play("inputs", Some(&store), &machine);
        assert_eq!(told.matches("computed").count(), computed, "{told}");
    }
}
