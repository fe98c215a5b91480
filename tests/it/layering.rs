//! The rooms of the crate and who may ask whom: imports run downward only, and a foreign crate is named in one room.
//! Unit tests may look where they want.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// From high to low. A room is a module of the crate's root; it imports from rows below its own and no others, so there
/// are no circles.
const ROOMS: [&[&str]; 13] = [
    &["lib"],
    &["internal"],
    &["default_store"],
    &["builder", "fuzzing"],
    &["memo", "pool"],
    &["flow"],
    &["store"],
    &["packed", "path", "temporary", "unordered"],
    &["codec", "flight", "memory", "observe", "record", "stamp"],
    &["checksum", "leftovers", "shape", "stats"],
    &["key"],
    &["clock", "error"],
    &["sync", "testing"],
];

/// Which foreign crate is named where, and nowhere else. A folder ends in a slash. One that names two rooms has two rows.
const FOREIGN: [(&str, &str); 21] = [
    ("sled", "store/engine/"),
    ("tempfile", "store/"),
    ("tempfile", "temporary.rs"),
    ("memmap2", "store/blob/"),
    ("postcard", "codec/"),
    ("arrow_ipc", "codec/arrow.rs"),
    ("arrow_array", "codec/arrow.rs"),
    ("bytemuck", "codec/runs/"),
    ("rustix", "codec/runs/copy.rs"),
    ("typeid", "codec/runs/mod.rs"),
    ("typeid", "key/kinds.rs"),
    ("serde_json", "codec/json.rs"),
    ("sha2", "key/"),
    ("crc_fast", "checksum/"),
    ("foldhash", "pool/name.rs"),
    ("chrono", "clock.rs"),
    ("etcetera", "default_store/mod.rs"),
    ("memolith_macros", "lib.rs"),
    ("tracing", "observe/trace.rs"),
    ("indicatif", "observe/spinner/line.rs"),
    ("thiserror", "error.rs"),
];

/// One file of the crate, without its comments and unit tests.
struct Source {
    /// Below `src`.
    path: String,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The names that stand behind `crate::`, also within braces.
    fn imports(&self) -> BTreeSet<String> {
        words(&self.code, "crate").filter_map(|after| after.strip_prefix("::")).flat_map(heads).collect()
    }
}

/// All files, with the modules that are declared under `#[cfg(test)]` left out.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut sources, mut tests) = (Vec::new(), Vec::new());
    for path in files(&root) {
        let code = without_comments(&fs::read_to_string(&path).unwrap());
        tests.extend(test_modules(&code).map(|name| submodule(&path, name)));
        let below = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        sources.push((path, Source { path: below, code: without_tests(&code).to_owned() }));
    }
    let is_test =
        |path: &Path| tests.iter().any(|test| path.starts_with(test) || path == test.with_extension("rs"));
    sources.into_iter().filter(|(path, _)| !is_test(path)).map(|(_, source)| source).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<PathBuf> =
        inside.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found.sort();
    found
}

fn without_comments(code: &str) -> String {
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Unit tests stand at the end of a file.
fn without_tests(code: &str) -> &str {
    let (head, _) = code.split_once("#[cfg(test)]\nmod tests {").unwrap_or((code, ""));
    head
}

fn test_modules(code: &str) -> impl Iterator<Item = &str> {
    let declared = code.split("#[cfg(test)]\nmod ").skip(1);
    declared.filter_map(|rest| rest.lines().next()?.strip_suffix(';'))
}

/// The folder of a module that `file` declares; its file has the same name.
fn submodule(file: &Path, name: &str) -> PathBuf {
    let folder = file.parent().unwrap();
    match file.file_stem().unwrap().to_str().unwrap() {
        "mod" | "lib" => folder.join(name),
        stem => folder.join(stem).join(name),
    }
}

/// What follows each occurrence of a whole word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).filter_map(move |(at, _)| {
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        (!before.ends_with(is_part) && !after.starts_with(is_part)).then_some(after)
    })
}

/// The first names of a path or, in braces, of several.
fn heads(path: &str) -> Vec<String> {
    let name =
        |path: &str| path.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    let Some(list) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut begin, mut heads) = (1, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && character == ',') {
            heads.push(name(&list[begin..at]));
            begin = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn row(room: &str) -> Option<usize> {
    ROOMS.iter().position(|row| row.contains(&room))
}

fn allowed(from: &str, to: &str) -> bool {
    from == to || matches!((row(from), row(to)), (Some(from), Some(to)) if from < to)
}

#[test]
fn imports_run_downward_only() {
    let mut edges = BTreeSet::new();
    let mut upward = Vec::new();
    for source in sources() {
        for import in source.imports() {
            if !allowed(source.room(), &import) {
                upward.push(format!("{} imports crate::{import}", source.path));
            }
            edges.insert((source.room().to_owned(), import));
        }
    }
    assert!(upward.is_empty(), "upward, in a circle, or of a room without a row: {upward:#?}");
    for (from, to) in [("memo", "flow"), ("flow", "store"), ("store", "flight"), ("clock", "testing")] {
        assert!(
            edges.contains(&(from.into(), to.into())),
            "{from} is known to import {to}: the test reads nothing"
        );
    }
}

#[test]
fn no_room_reaches_up_by_super() {
    for source in sources() {
        let depth = source.path.matches('/').count() + usize::from(!source.path.ends_with("/mod.rs"));
        let up = "super::".repeat(depth);
        assert!(!source.code.contains(&up), "{}: {up} leads out of the room", source.path);
    }
}

#[test]
fn every_room_has_one_place_in_the_order() {
    let rooms: BTreeSet<String> = sources().iter().map(|source| source.room().to_owned()).collect();
    let placed: Vec<String> = ROOMS.concat().iter().map(ToString::to_string).collect();
    assert_eq!(placed.len(), placed.iter().collect::<BTreeSet<_>>().len(), "a room stands in two rows");
    assert_eq!(placed.into_iter().collect::<BTreeSet<_>>(), rooms);
}

#[test]
fn a_foreign_crate_is_named_in_one_room() {
    let sources = sources();
    for (name, _) in FOREIGN {
        let speaks = |source: &&Source| words(&source.code, name).any(|after| after.starts_with("::"));
        let named: Vec<&str> = sources.iter().filter(speaks).map(|source| source.path.as_str()).collect();
        let homes: Vec<&str> =
            FOREIGN.iter().filter(|(known, _)| *known == name).map(|(_, home)| *home).collect();
        let is_in = |path: &str, home: &str| path == home || (home.ends_with('/') && path.starts_with(home));
        let is_home = |path: &str| homes.iter().any(|home| is_in(path, home));
        assert!(!named.is_empty(), "nobody names {name}: the test reads nothing");
        assert!(
            named.iter().all(|path| is_home(path)),
            "{name} is at home in {homes:?}, and named in {named:?}"
        );
    }
}

#[test]
fn the_reader_of_imports_sees_paths_and_braces() {
    let code = "use crate::{\n    store::{Store, blob::{self, Head}},\n    flow,\n};\nfn f() { crate::memo::g() }\n\
                #[cfg(test)]\nmod samples;\n#[cfg(test)]\nmod tests {\n    use crate::builder;\n}";
    let source = Source { path: "key/sink.rs".into(), code: without_tests(code).into() };
    assert_eq!(source.imports().into_iter().collect::<Vec<_>>(), ["flow", "memo", "store"]);
    assert_eq!(test_modules(code).collect::<Vec<_>>(), ["samples"]);
    assert_eq!(submodule(Path::new("src/key/mod.rs"), "tests"), Path::new("src/key/tests"));
    assert_eq!(submodule(Path::new("src/flight/table.rs"), "tests"), Path::new("src/flight/table/tests"));
    assert!(allowed("memo", "flow") && !allowed("flow", "memo") && !allowed("flow", "Result"));
    assert!(!allowed("clock", "error"), "side by side is no order");
}
