//! The kind of the error of each public method, for each failure that a test can provoke; and that the documentation of
//! the method names it.

use std::{fs, path::Path};

use memolith::{
    Error, ErrorKind, FileStamp, Memo, ResourcePool, Result, Store,
    codec::Shape,
    testing::{Fault, Operation},
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{threads::watched, vocabulary::*};

/// The file and the name of a method.
type Method = (&'static str, &'static str);

const GET: Method = ("memo.rs", "get");
const INSERT: Method = ("memo.rs", "insert");
const REMOVE: Method = ("memo.rs", "remove");
const CONTAINS: Method = ("memo.rs", "contains_key");
const CLEAR: Method = ("memo.rs", "clear");
const LEN: Method = ("memo.rs", "len");
const USAGE_OF_MEMO: Method = ("memo.rs", "usage");
const FLUSH_OF_MEMO: Method = ("memo.rs", "flush");
const OPEN_MEMO: Method = ("builder/mod.rs", "open");
const OPEN: Method = ("store/mod.rs", "open");
const OPEN_WITH: Method = ("store/builder.rs", "open");
const TEMPORARY_WITH: Method = ("store/builder.rs", "temporary");
const CLEAR_STORE: Method = ("store/mod.rs", "clear");
const SWEEP: Method = ("store/mod.rs", "sweep");
const FLUSH: Method = ("store/mod.rs", "flush");
const CLOSE: Method = ("store/mod.rs", "close");
const MEMOS: Method = ("store/mod.rs", "memos");
const USAGE: Method = ("store/reports.rs", "usage");
const REMOVE_MEMO: Method = ("store/mod.rs", "remove_memo");
const STAMP: Method = ("stamp.rs", "of");
const SHAPE: Method = ("shape/mod.rs", "of");
const POOL: Method = ("pool/builder.rs", "build");

/// The lines of documentation above each function of this name.
fn docs((file, method): Method) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let source = fs::read_to_string(path).unwrap();
    let head = [format!("    pub fn {method}("), format!("    pub fn {method}<")];
    let mut docs: Vec<&str> = Vec::new();
    for line in source.lines() {
        if line.trim_start().starts_with("///") {
            docs.push(line);
        } else if head.iter().any(|head| line.starts_with(head)) {
            break;
        } else if !line.trim_start().starts_with('#') {
            docs.clear();
        }
    }
    assert!(!docs.is_empty(), "{file} has no documented `{method}`");
    let errors = docs.iter().skip_while(|line| !line.contains("# Errors"));
    errors.copied().collect::<Vec<_>>().join("\n")
}

/// The section "Errors" of a method, with that of the method that it refers to.
fn errors((file, method): Method) -> String {
    let own = docs((file, method));
    let referred = [
        ("As [`get`]", GET),
        ("As [`len`]", LEN),
        ("As [`clear`]", CLEAR_STORE),
        ("As [`Store::flush`]", FLUSH),
        ("As [`Store::open`]", OPEN),
        ("as [`open`]", OPEN),
        ("As [`Store::temporary`]", ("store/mod.rs", "temporary")),
    ];
    let others = referred.into_iter().filter(|(words, _)| own.contains(words));
    others.map(|(_, other)| errors(other)).collect::<String>() + &own
}

#[track_caller]
fn holds(method: Method, provoked: &str, outcome: Result<()>, kind: ErrorKind) {
    let Err(error) = outcome else { panic!("{method:?} succeeds under {provoked}") };
    assert_eq!(error.kind(), kind, "{method:?}, {provoked}: {error}");
    let section = errors(method);
    assert!(section.contains(&format!("ErrorKind::{kind:?}")), "{method:?} does not document {kind:?}");
}

/// A store with a memo that has the entry "kept".
struct Scene {
    bench: Bench,
    store: Store,
    memo: Memo<str, u64>,
}

impl Scene {
    fn new(is_impatient: bool) -> Self {
        let bench = Bench { is_impatient, ..Bench::new() };
        let store = bench.diskful();
        let memo = plain(&store, "numbers");
        memo.insert("kept", &1).unwrap();
        Self { bench, store, memo }
    }
}

type Call = fn(&Scene) -> Result<()>;

/// The methods without a closure, and an operation of the engine that each of them makes.
const CALLS: [(Method, Operation, Call); 11] = [
    (GET, Operation::Read, |scene| scene.memo.get("kept").map(drop)),
    (CONTAINS, Operation::Read, |scene| scene.memo.contains_key("kept").map(drop)),
    (INSERT, Operation::Write, |scene| scene.memo.insert("new", &2)),
    (REMOVE, Operation::Remove, |scene| scene.memo.remove("kept").map(drop)),
    (CLEAR, Operation::Write, |scene| scene.memo.clear()),
    (FLUSH_OF_MEMO, Operation::Flush, |scene| {
        scene.memo.get_or_insert_with("new", || 2);
        scene.memo.flush()
    }),
    (FLUSH, Operation::Flush, |scene| {
        scene.memo.get_or_insert_with("new", || 2);
        scene.store.flush()
    }),
    (CLEAR_STORE, Operation::Write, |scene| scene.store.clear()),
    (REMOVE_MEMO, Operation::Write, |scene| scene.store.remove_memo("numbers").map(drop)),
    (SWEEP, Operation::Scan, |scene| scene.store.sweep().map(drop)),
    (CLOSE, Operation::Flush, |scene| {
        scene.memo.get_or_insert_with("new", || 2);
        scene.store.close()
    }),
];

#[test]
fn a_fault_of_the_disk_has_the_kind_that_each_method_documents() {
    watched(|| {
        let faults = [
            (Fault::NoSpace, ErrorKind::Io),
            (Fault::Corrupt, ErrorKind::Corrupt),
            (Fault::Panic, ErrorKind::Engine),
        ];
        for (method, operation, call) in CALLS {
            for (fault, kind) in faults {
                let scene = Scene::new(false);
                scene.bench.faults.plant(operation, fault);
                holds(method, &format!("{fault:?}"), call(&scene), kind);
                scene.bench.faults.heal();
            }
        }
    });
}

/// A read has no timeout: it lasts as long as the disk does.
#[test]
fn a_timeout_has_the_kind_engine_in_each_method_that_waits_for_the_worker() {
    watched(|| {
        for (method, operation, call) in CALLS {
            if operation == Operation::Read {
                continue;
            }
            let scene = Scene::new(true);
            scene.bench.faults.plant(operation, Fault::Hang);
            let outcome = call(&scene);
            scene.bench.faults.heal();
            holds(method, "a timeout", outcome, ErrorKind::Engine);
        }
    });
}

#[test]
fn a_closed_store_has_the_kind_closed_in_each_method_but_close() {
    let scene = Scene::new(false);
    scene.store.close().unwrap();
    holds(LEN, "a closed store", scene.memo.len().map(drop), ErrorKind::Closed);
    holds(USAGE_OF_MEMO, "a closed store", scene.memo.usage().map(drop), ErrorKind::Closed);
    holds(USAGE, "a closed store", scene.store.usage().map(drop), ErrorKind::Closed);
    holds(MEMOS, "a closed store", scene.store.memos().map(drop), ErrorKind::Closed);
    for (method, _, call) in CALLS.into_iter().filter(|(method, ..)| *method != CLOSE) {
        holds(method, "a closed store", call(&scene), ErrorKind::Closed);
    }
    scene.store.close().unwrap();
}

/// A key or a value that cannot be serialized.
#[derive(Clone, Deserialize)]
struct Refusing {
    panics: bool,
}

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        assert!(!self.panics, "in Serialize");
        Err(serde::ser::Error::custom("not to be written"))
    }
}

#[test]
fn a_key_or_a_value_that_cannot_be_serialized_has_its_kind() {
    let bench = Bench::new();
    let store = bench.store();
    let keys: Memo<Refusing, u8> = Memo::builder("keys").open(&store).unwrap();
    let values: Memo<str, Refusing> = Memo::builder("values").version(1).open(&store).unwrap();
    for (panics, of_key, of_value) in
        [(false, ErrorKind::Key, ErrorKind::Encode), (true, ErrorKind::Panic, ErrorKind::Panic)]
    {
        let refusing = Refusing { panics };
        holds(GET, "a key", keys.get(&refusing).map(drop), of_key);
        holds(CONTAINS, "a key", keys.contains_key(&refusing).map(drop), of_key);
        holds(INSERT, "a key", keys.insert(&refusing, &1), of_key);
        holds(REMOVE, "a key", keys.remove(&refusing).map(drop), of_key);
        holds(INSERT, "a value", values.insert("one", &refusing), of_value);
    }
    let small: Memo<str, Vec<u8>> = Memo::builder("small").max_bytes(10).open(&store).unwrap();
    holds(INSERT, "a large value", small.insert("one", &large(1)), ErrorKind::Oversize);
}

#[test]
fn an_open_that_is_refused_has_its_kind() {
    let bench = Bench::new();
    let store = bench.store();
    let nameless = Memo::<str, u8>::builder("").open(&store).map(drop);
    holds(OPEN_MEMO, "no name", nameless, ErrorKind::Config);
    let unreadable = Memo::<str, Value>::builder("values").open(&store).map(drop);
    holds(OPEN_MEMO, "a type that asks the format", unreadable, ErrorKind::UnsupportedType);
    holds(SHAPE, "a type that asks the format", Shape::of::<Value>().map(drop), ErrorKind::UnsupportedType);
    let untraced = Memo::<str, Untraceable>::builder("values").open(&store).map(drop);
    holds(OPEN_MEMO, "a type that refuses", untraced, ErrorKind::UntraceableType);
    holds(SHAPE, "a type that refuses", Shape::of::<Untraceable>().map(drop), ErrorKind::UntraceableType);
    let file = bench.directory.path().join("file");
    fs::write(&file, "").unwrap();
    holds(OPEN, "a file", Store::open(&file).map(drop), ErrorKind::Config);
    holds(OPEN, "within a file", Store::open(file.join("below")).map(drop), ErrorKind::Io);
    let differs = bench.options().max_bytes(1).open(bench.path()).map(drop);
    holds(OPEN_WITH, "another option", differs, ErrorKind::Config);
    let unbounded = Store::builder().max_bytes(0).temporary().map(drop);
    holds(TEMPORARY_WITH, "a bound of zero", unbounded, ErrorKind::Config);
    let other = bench.directory.path().join("other");
    for (fault, kind) in [(Fault::Corrupt, ErrorKind::Corrupt), (Fault::Panic, ErrorKind::Engine)] {
        bench.faults.plant(Operation::Open, fault);
        holds(OPEN, "no index can be begun", bench.options().open(&other).map(drop), kind);
        bench.faults.heal();
    }
}

/// A type that no sample satisfies.
#[derive(Clone, Debug, Serialize)]
struct Untraceable;

impl<'de> Deserialize<'de> for Untraceable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("never"))
    }
}

#[test]
fn files_and_pools_that_are_refused_have_their_kind() {
    holds(STAMP, "no file", FileStamp::of("no/such/file").map(drop), ErrorKind::Io);
    holds(STAMP, "a directory", FileStamp::of(".").map(drop), ErrorKind::Config);
    holds(
        POOL,
        "a bound of zero",
        ResourcePool::builder().max_entries(0).build().map(drop),
        ErrorKind::Config,
    );
    assert_eq!(Error::other("of a codec").kind(), ErrorKind::Encode);
}

/// A predicate is `true` for its kinds, and for no other.
#[test]
fn each_predicate_is_that_of_its_kind() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    store.close().unwrap();
    let closed = memo.get("one").unwrap_err();
    assert!(closed.is_closed() && !closed.is_engine() && !closed.is_io() && !closed.is_oversize());
    let config = FileStamp::of(".").unwrap_err();
    assert!(config.is_config() && !config.is_closed() && !config.is_in_use() && !config.is_corrupt());
}
