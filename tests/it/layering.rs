//! The floors of the crate: imports run downward only, between rooms and between the files of the store; no files import
//! each other in a circle; and a foreign crate is named in one room.
//!
//! The paths that a file names are read: its `use` declarations and the paths in its code. An import counts for the file
//! that *defines* the name, through all re-exports; so a `mod.rs` that only re-exports names of its modules
//! imports none of them. A method that is called on a value needs no path and is not seen: `impl Worker` may be spread
//! over several files. Unit tests may import every file.

use std::{collections::BTreeSet, fs, path::Path};

use self::{
    graph::{Graph, circle, graph},
    sources::sources,
};

#[path = "layering/graph.rs"]
mod graph;
#[path = "layering/paths.rs"]
mod paths;
#[path = "layering/sources.rs"]
mod sources;

/// The files and folders of one folder, from high to low.
struct Floors {
    /// Below `src`, with a slash at its end. Empty for `src` itself.
    folder: &'static str,
    /// A file or folder imports from the rows below its own, and from no others.
    rows: &'static [&'static [&'static str]],
}

const FLOORS: [Floors; 6] = [
    Floors {
        folder: "",
        rows: &[
            &["lib"],
            &["internal"],
            &["default_store"],
            &["builder", "fuzzing"],
            &["future"],
            &["entry"],
            &["memo", "pool"],
            &["flow"],
            &["store"],
            &["effects", "inputs", "packed", "path", "remote", "temporary", "unordered"],
            &["codec", "memory", "observe", "record", "stamp", "variants"],
            &["flight"],
            &["checksum", "leftovers", "shape", "stats"],
            &["background", "key", "timer"],
            &["context"],
            &["effect_log", "readings"],
            &["clock", "hash"],
            &["testing"],
            &["error"],
            &["disabled", "fork", "random", "signals", "sync"],
        ],
    },
    Floors {
        folder: "store/",
        rows: &[
            &["builder", "reports"],
            &["mod"],
            &["registry"],
            &["handle", "remote"],
            &["process"],
            &["entries"],
            &["partition"],
            &["worker"],
            &["forgetting", "unverified"],
            &["overlay", "snapshot"],
            &["janitor", "pending", "session", "generation", "epochs", "lock", "manifest", "tags"],
            &["blob"],
            &["engine", "scope"],
        ],
    },
    Floors { folder: "remote/", rows: &[&["redis"], &["memo"], &["mod"], &["value"], &["operation"]] },
    Floors {
        folder: "store/worker/",
        rows: &[
            &["changes", "jobs", "machines", "supervise"],
            &["mod"],
            &["open"],
            &["catalog", "eviction", "orphans", "sparing"],
            &["compaction", "rebuild", "snapshots", "transaction"],
            &["directory", "index", "ledger"],
            &["fronts", "order", "queue", "sharing", "state"],
            &["elsewhere"],
            &["request"],
            &["evicted", "hand_overs", "used"],
        ],
    },
    Floors {
        folder: "store/partition/",
        rows: &[&["hand_over"], &["bring_home"], &["fresh", "variant"], &["read", "send"], &["mod"]],
    },
    Floors {
        folder: "store/process/",
        rows: &[
            &["mod"],
            &["member"],
            &["leads", "server"],
            &["calls", "service"],
            &["guest"],
            &["answers", "closed", "host", "link"],
            &["bulk"],
            &["message"],
            &["socket"],
        ],
    },
];

/// The home of each foreign crate. A folder ends in a slash. A crate that two rooms name has two rows.
const FOREIGN: [(&str, &str); 46] = [
    ("sled", "store/engine/"),
    ("tempfile", "store/"),
    ("tempfile", "temporary.rs"),
    ("memmap2", "store/blob/"),
    ("memmap2", "store/epochs.rs"),
    ("getrandom", "random.rs"),
    ("oneshot", "background.rs"),
    ("oneshot", "store/"),
    ("postcard", "codec/"),
    ("postcard", "remote/redis/"),
    ("postcard", "store/process/message.rs"),
    ("arrow_ipc", "codec/arrow.rs"),
    ("arrow_array", "codec/arrow.rs"),
    ("arrow_buffer", "codec/arrow.rs"),
    ("arrow_schema", "codec/arrow.rs"),
    ("bytes", "codec/arrow.rs"),
    ("bytemuck", "codec/runs/"),
    ("rustix", "codec/runs/copy.rs"),
    ("rustix", "clock.rs"),
    ("rustix", "store/blob/buffer.rs"),
    ("rustix", "store/overlay.rs"),
    ("rustix", "store/process/socket/"),
    ("libc", "readings/files.rs"),
    ("libc", "signals.rs"),
    ("libc", "store/process/socket/peer.rs"),
    ("lz4_flex", "remote/value.rs"),
    ("redis", "remote/redis/"),
    ("rustls", "remote/redis/mod.rs"),
    ("typeid", "codec/runs/mod.rs"),
    ("typeid", "key/kinds.rs"),
    ("serde_json", "codec/json.rs"),
    ("sha2", "hash.rs"),
    ("twox_hash", "checksum/"),
    ("foldhash", "memory/by_key.rs"),
    ("foldhash", "pool/name.rs"),
    ("foldhash", "store/engine/presence.rs"),
    // By the names of its types.
    ("hashbrown", "key/kinds.rs"),
    ("hashbrown", "memory/by_key.rs"),
    ("hashbrown", "store/engine/presence.rs"),
    ("chrono", "clock.rs"),
    ("memolith_macros", "lib.rs"),
    ("tracing", "effects/traced.rs"),
    ("tracing", "observe/trace.rs"),
    ("tracing_core", "effects/traced.rs"),
    ("indicatif", "observe/spinner/line.rs"),
    ("thiserror", "error.rs"),
];

/// Known imports of each kind, so that a test that reads nothing fails.
const KNOWN: [(&str, &str); 5] = [
    ("builder/mod.rs", "memo.rs"),
    ("memo.rs", "flow/lookup.rs"),
    ("store/partition/mod.rs", "store/worker/directory.rs"),
    ("store/worker/open.rs", "store/engine/mod.rs"),
    ("clock.rs", "testing.rs"),
];

impl Floors {
    /// The row of a file, if the folder holds it, and its name in the rows.
    fn place<'a>(&self, path: &'a str) -> Option<(&'a str, Option<usize>)> {
        let first = path.strip_prefix(self.folder)?.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        Some((name, self.rows.iter().position(|row| row.contains(&name))))
    }

    fn allow(&self, from: &str, to: &str) -> bool {
        match (self.place(from), self.place(to)) {
            (Some((from, from_row)), Some((to, to_row))) => {
                from == to || matches!((from_row, to_row), (Some(from), Some(to)) if from < to)
            }
            _ => true,
        }
    }
}

fn upward(graph: &Graph, floors: &[Floors]) -> Vec<String> {
    let edges = graph.iter().flat_map(|(from, imports)| imports.iter().map(move |to| (from, to)));
    let upward = edges.filter(|(from, to)| !floors.iter().all(|floors| floors.allow(from, to)));
    upward.map(|(from, to)| format!("{from} imports {to}")).collect()
}

#[test]
fn imports_run_downward_only() {
    let upward = upward(&graph(&sources()), &FLOORS);
    assert!(upward.is_empty(), "upward, or sideways on one floor: {upward:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    assert_eq!(circle(&graph(&sources())), None, "each of these files imports the next");
}

#[test]
fn known_imports_are_seen() {
    let graph = graph(&sources());
    for (from, to) in KNOWN {
        assert!(graph[from].contains(to), "{from} imports {to}, and the test does not see it");
    }
}

#[test]
fn every_file_has_one_place_on_the_floors() {
    let sources = sources();
    for floors in FLOORS {
        let there: BTreeSet<&str> =
            sources.iter().filter_map(|source| floors.place(&source.path)).map(|(name, _)| name).collect();
        let placed = floors.rows.concat();
        assert_eq!(
            placed.len(),
            placed.iter().collect::<BTreeSet<_>>().len(),
            "{}: a place in two rows",
            floors.folder
        );
        assert_eq!(placed.into_iter().collect::<BTreeSet<_>>(), there, "of src/{}", floors.folder);
    }
}

#[test]
fn an_upward_import_is_found() {
    let floors = [
        Floors { folder: "", rows: &[&["memo"], &["store", "stamp"]] },
        Floors { folder: "store/", rows: &[&["mod"], &["worker"], &["engine"]] },
    ];
    let graph = graph::made_up(&[
        ("memo.rs", "use crate::store::engine::Engine;"),
        ("stamp.rs", "use crate::store::Store;"),
        ("store/mod.rs", "use self::worker::Worker;\npub struct Store; pub struct Swept;"),
        ("store/worker/mod.rs", "use super::Swept;\nuse crate::store::engine::Engine;"),
        ("store/worker/queue.rs", "fn f() { super::super::engine::g() }"),
        ("store/engine/mod.rs", "fn f() { crate::memo::g() }"),
    ]);
    let expected = [
        "stamp.rs imports store/mod.rs",
        "store/engine/mod.rs imports memo.rs",
        "store/worker/mod.rs imports store/mod.rs",
    ];
    assert_eq!(upward(&graph, &floors), expected);
}

/// The names of the crates that the crate depends on.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let sections = manifest.split("\n[").filter_map(|section| section.split_once("]\n"));
    let is_wanted = |title: &str| title == "dependencies" || title.ends_with(".dependencies");
    let lines = sections.filter(|(title, _)| is_wanted(title)).flat_map(|(_, lines)| lines.lines());
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_")).collect()
}

/// `serde` describes keys and values, and is named in many rooms.
#[test]
fn every_dependency_has_its_room() {
    let mut placed: BTreeSet<String> = FOREIGN.iter().map(|(name, _)| (*name).to_owned()).collect();
    placed.insert("serde".to_owned());
    assert_eq!(placed, dependencies());
}

#[test]
fn a_foreign_crate_is_named_in_one_room() {
    let sources = sources();
    for (name, _) in FOREIGN {
        let named: Vec<&str> = sources
            .iter()
            .filter(|source| source.names_crate(name))
            .map(|source| source.path.as_str())
            .collect();
        let homes: Vec<&str> =
            FOREIGN.iter().filter(|(known, _)| *known == name).map(|(_, home)| *home).collect();
        let is_in = |path: &str, home: &str| path == home || (home.ends_with('/') && path.starts_with(home));
        let is_home = |path: &str| homes.iter().any(|home| is_in(path, home));
        assert!(!named.is_empty(), "no file names {name}: the test reads nothing");
        assert!(
            named.iter().all(|path| is_home(path)),
            "{name} is at home in {homes:?}, and named in {named:?}"
        );
    }
}
