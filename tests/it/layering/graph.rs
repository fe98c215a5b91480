//! Which file imports which, and the search for circles.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    paths::{self, Paths},
    sources::Source,
};

/// The files that each file imports.
pub(super) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Follows no chain of re-exports that is longer.
const LONGEST_CHAIN: usize = 8;

/// A module: its file, and the names in it.
struct Module {
    file: String,
    paths: Paths,
    /// The meaning of each imported name, from the crate's root. Names of other crates are not here.
    imported: BTreeMap<String, Vec<String>>,
    /// Names that stand for an item of another crate.
    foreign: BTreeSet<String>,
}

struct Modules(BTreeMap<Vec<String>, Module>);

/// The graph of all files. An import counts for the file that defines the name, however many modules re-export it on the
/// way; a module that re-exports a name, and does not use it itself, does not import it.
pub(super) fn graph(sources: &[Source]) -> Graph {
    let modules = Modules::new(sources);
    let edges = modules.0.iter().map(|(path, module)| (module.file.clone(), modules.imports(path, module)));
    edges.collect()
}

impl Modules {
    fn new(sources: &[Source]) -> Self {
        let read = |source: &Source| Module {
            file: source.path.clone(),
            paths: paths::read(&source.code),
            imported: BTreeMap::new(),
            foreign: BTreeSet::new(),
        };
        let mut modules = Self(sources.iter().map(|source| (source.module(), read(source))).collect());
        let tables: Vec<_> = modules.0.iter().map(|(path, module)| modules.tables(path, module)).collect();
        for (module, (imported, foreign)) in modules.0.values_mut().zip(tables) {
            (module.imported, module.foreign) = (imported, foreign);
        }
        modules
    }

    fn tables(&self, path: &[String], module: &Module) -> (BTreeMap<String, Vec<String>>, BTreeSet<String>) {
        let (mut imported, mut foreign) = (BTreeMap::new(), BTreeSet::new());
        for import in &module.paths.imports {
            assert_ne!(import.name, "*", "{}: a glob import hides which names it uses", module.file);
            match self.absolute(path, &import.path) {
                // An inline module of the file imports a name that the file defines.
                Some(absolute) if absolute == [path, std::slice::from_ref(&import.name)].concat() => {}
                Some(absolute) => drop(imported.insert(import.name.clone(), absolute)),
                None => drop(foreign.insert(import.name.clone())),
            }
        }
        (imported, foreign)
    }

    /// The path from the crate's root, of a path that does not begin with an imported name.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let mut from = module.to_vec();
        match first.as_str() {
            "crate" => from.clear(),
            "self" => {}
            "super" => drop(from.pop()),
            _ => {
                from.push(first.clone());
                self.0.get(&from)?;
            }
        }
        for name in rest {
            if name == "super" {
                from.pop();
            } else {
                from.push(name.clone());
            }
        }
        Some(from)
    }

    /// The file that defines the item of an absolute path. For an item of another crate, the file that re-exports it.
    /// `None` for a module.
    fn definer(&self, path: &[String]) -> Option<&str> {
        let mut path = path.to_vec();
        for _ in 0..LONGEST_CHAIN {
            let (module, mut inside) = (0..=path.len()).rev().find_map(|depth| {
                let (module, inside) = path.split_at(depth);
                Some((self.0.get(module)?, inside.iter()))
            })?;
            match module.imported.get(inside.next()?) {
                Some(target) => path = target.iter().chain(inside).cloned().collect(),
                None => return Some(&module.file),
            }
        }
        panic!("{path:?} is re-exported in a circle")
    }

    fn imports(&self, path: &[String], module: &Module) -> BTreeSet<String> {
        let is_used = |name: &String| module.paths.names.contains(name);
        let imports = &module.paths.imports;
        let used = imports.iter().filter(|import| !import.is_reexport || is_used(&import.name));
        let by_use = used.filter_map(|import| module.imported.get(&import.name).cloned());
        let by_path = module.paths.inline.iter().filter_map(|inline| {
            let (first, rest) = inline.split_first()?;
            match module.imported.get(first) {
                Some(target) => Some([target, rest].concat()),
                None if module.foreign.contains(first) => None,
                None => self.absolute(path, inline),
            }
        });
        let files = by_use.chain(by_path).filter_map(|path| self.definer(&path).map(str::to_owned));
        files.filter(|file| *file != module.file).collect()
    }
}

/// A circle of files, the first one repeated at the end.
pub(super) fn circle(graph: &Graph) -> Option<Vec<&str>> {
    let mut left: BTreeSet<&str> = graph.keys().map(String::as_str).collect();
    let imports_one_of = |left: &BTreeSet<&str>, file: &str| {
        graph
            .get(file)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .find(|import| left.contains(import))
            .is_some()
    };
    // A file that imports none of the rest is in no circle.
    while let Some(file) = left.iter().copied().find(|file| !imports_one_of(&left, file)) {
        left.remove(file);
    }
    left.iter().filter_map(|file| shortest(graph, file)).min_by_key(Vec::len)
}

/// The shortest way from a file to itself.
fn shortest<'a>(graph: &'a Graph, file: &'a str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![file]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for import in graph.get(*way.last()?).into_iter().flatten() {
                let next = [way.as_slice(), &[import]].concat();
                if import == file {
                    return Some(next);
                }
                if seen.insert(import) {
                    longer.push(next);
                }
            }
        }
        ways = longer;
    }
    None
}

/// The graph of files that are made up for a test.
pub(super) fn made_up(files: &[(&str, &str)]) -> Graph {
    let source = |(path, code): &(&str, &str)| Source { path: (*path).into(), code: (*code).into() };
    graph(&files.iter().map(source).collect::<Vec<_>>())
}

fn edges(graph: &Graph) -> Vec<String> {
    graph.iter().flat_map(|(from, to)| to.iter().map(move |to| format!("{from} > {to}"))).collect()
}

#[test]
fn a_circle_is_found() {
    let files = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "fn f() { crate::c::g() }"),
        ("c.rs", "use super::{a::A, d::D};"),
    ];
    let circular = made_up(&[&files[..], &[("d.rs", ""), ("e.rs", "use crate::a::A;")]].concat());
    assert_eq!(circle(&circular).unwrap(), ["a.rs", "b.rs", "c.rs", "a.rs"]);
    let broken = made_up(&[files[0], files[1], ("c.rs", "use super::d::D;"), ("d.rs", "")]);
    assert_eq!(edges(&broken), ["a.rs > b.rs", "b.rs > c.rs", "c.rs > d.rs"]);
    assert_eq!(circle(&broken), None);
}

#[test]
fn the_shortest_circle_is_told() {
    let files = [
        ("a.rs", "use crate::{b::B, c::C};"),
        ("b.rs", "use crate::c::C;"),
        ("c.rs", "use crate::a::A;"),
        ("d.rs", ""),
    ];
    assert_eq!(circle(&made_up(&files)).unwrap(), ["a.rs", "c.rs", "a.rs"]);
}

#[test]
fn a_reexport_is_followed_to_the_file_that_defines() {
    let graph = made_up(&[
        ("lib.rs", "pub use crate::room::Upper;"),
        (
            "room/mod.rs",
            "mod lower; mod upper;\npub(crate) use self::{lower::Lower, upper::Upper};\nstruct Own;",
        ),
        ("room/upper.rs", "use super::{Lower, Own};"),
        ("room/lower.rs", ""),
        ("other.rs", "use crate::room;\nfn f() -> room::Lower { crate::Upper::new() }"),
    ]);
    let expected = [
        "other.rs > room/lower.rs",
        "other.rs > room/upper.rs",
        "room/upper.rs > room/lower.rs",
        "room/upper.rs > room/mod.rs",
    ];
    assert_eq!(edges(&graph), expected);
    assert_eq!(circle(&graph), None);
}

#[test]
fn a_reexport_that_the_module_uses_is_an_import() {
    let graph = made_up(&[
        ("room/mod.rs", "pub(crate) use self::upper::Upper;\nstruct Own(Upper);"),
        ("room/upper.rs", "use super::Own;"),
    ]);
    assert_eq!(circle(&graph).unwrap(), ["room/mod.rs", "room/upper.rs", "room/mod.rs"]);
}

#[test]
fn names_of_other_crates_are_no_imports() {
    let graph = made_up(&[
        ("sync.rs", "pub(crate) use std::thread;"),
        ("fs.rs", ""),
        ("user.rs", "use std::fs;\nuse crate::sync::thread;\nfn f() { fs::read(); thread::spawn() }"),
    ]);
    assert_eq!(edges(&graph), ["user.rs > sync.rs"]);
}
