//! The paths that a file names: the leaves of its `use` declarations, and paths of two or more names in its code.

/// A leaf of a `use` declaration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) path: Vec<String>,
    /// The name that it has in this file.
    pub(super) name: String,
    /// Whether the declaration makes it visible elsewhere too.
    pub(super) is_reexport: bool,
}

/// The paths of a file, each as it is written there. A `super` that only leads out of an inline module is left out.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) imports: Vec<Import>,
    pub(super) inline: Vec<Vec<String>>,
    /// Every name that occurs outside of declarations of imports and modules.
    pub(super) names: Vec<String>,
}

pub(super) fn read(code: &str) -> Paths {
    let mut paths = Paths::default();
    let (mut rest, mut at) = (code, 0);
    while let Some((begin, end)) = next_use(rest) {
        read_code(code, at..at + begin, &mut paths);
        let is_reexport = is_public(&rest[..begin]);
        let mut leaves = Vec::new();
        read_tree(&rest[begin + "use ".len()..end], &[], &mut leaves);
        for (path, name) in leaves {
            let path = leave_inline(path, code, at + begin);
            paths.imports.push(Import { path, name, is_reexport });
        }
        at += end;
        rest = &rest[end..];
    }
    read_code(code, at..code.len(), &mut paths);
    paths
}

/// The next declaration: where its `use` and its semicolon stand.
fn next_use(code: &str) -> Option<(usize, usize)> {
    let is_begin = |before: &str| {
        let before = before.trim_end_matches(' ');
        before.is_empty() || before.ends_with(['\n', ';', '{', '}', ']', ')']) || before.ends_with("pub")
    };
    let (begin, _) = code.match_indices("use ").find(|(begin, _)| is_begin(&code[..*begin]))?;
    Some((begin, begin + code[begin..].find(';')?))
}

fn is_public(before: &str) -> bool {
    let before = before.trim_end();
    let visibility = before.rfind("pub").map(|begin| &before[begin + "pub".len()..]);
    visibility.is_some_and(|rest| {
        rest.is_empty() || (rest.starts_with('(') && rest.find(')') == Some(rest.len() - 1))
    })
}

/// Adds the leaves of a tree, with their names.
fn read_tree(tree: &str, above: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    let (path, list) = match tree.split_once('{') {
        Some((path, list)) => (path, list.strip_suffix('}')),
        None => (tree, None),
    };
    let (path, alias) =
        path.split_once(" as ").map_or((path, None), |(path, alias)| (path, Some(alias.trim())));
    let mut names = above.to_vec();
    names.extend(path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned));
    if let Some(list) = list {
        return branches(list).into_iter().for_each(|branch| read_tree(branch, &names, leaves));
    }
    names.pop_if(|name| *name == "self" && !above.is_empty());
    if let Some(last) = names.last() {
        let name = alias.unwrap_or(last).to_owned();
        leaves.push((names, name));
    }
}

/// The parts between commas that stand in no further braces.
fn branches(list: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    found.push(&list[begin..]);
    found
}

fn read_code(code: &str, range: std::ops::Range<usize>, paths: &mut Paths) {
    let part = &code[range.clone()];
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let mut at = 0;
    while let Some(begin) = part[at..].find(is_part).map(|offset| at + offset) {
        let mut names = Vec::new();
        let mut end = begin;
        loop {
            let length = part[end..].find(|character| !is_part(character)).unwrap_or(part.len() - end);
            names.push(part[end..end + length].to_owned());
            end += length;
            match part[end..].strip_prefix("::") {
                Some(after) if after.starts_with(is_part) => end += "::".len(),
                _ => break,
            }
        }
        let before = &part[..begin];
        if !before.ends_with("mod ") {
            paths.names.extend(names.first().cloned());
        }
        // A name after `::` or a dot belongs to a type or a value. A name after `in` is a visibility.
        if names.len() > 1 && !before.ends_with("::") && !before.ends_with('.') && !before.ends_with("(in ") {
            paths.inline.push(leave_inline(names, code, range.start + begin));
        }
        at = end;
    }
}

/// The path as it would be written outside of the inline modules that stand around `at`.
fn leave_inline(mut path: Vec<String>, code: &str, at: usize) -> Vec<String> {
    let leading = path.iter().take(inline_depth(code, at)).take_while(|name| *name == "super").count();
    path.drain(..leading);
    if leading > 0 && path.first().is_some_and(|name| name != "super") {
        path.insert(0, "self".to_owned());
    }
    path
}

/// The number of inline modules around a place.
fn inline_depth(code: &str, at: usize) -> usize {
    let opens =
        |begin: usize| code[begin..].find(['{', ';']).filter(|open| code[begin + open..].starts_with('{'));
    let is_around = |begin: usize| {
        let Some(open) = opens(begin).map(|open| begin + open) else { return false };
        let mut depth = 0_usize;
        for character in code.get(open..at).unwrap_or_default().chars() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return false;
            }
        }
        open < at
    };
    let begins = code.match_indices("mod ").filter(|(begin, _)| {
        let before = code[..*begin].trim_end_matches(' ');
        before.is_empty() || before.ends_with(['\n', ')']) || before.ends_with("pub")
    });
    begins.filter(|(begin, _)| is_around(*begin)).count()
}

fn joined(paths: &[Vec<String>]) -> Vec<String> {
    paths.iter().map(|path| path.join("::")).collect()
}

#[test]
fn the_leaves_of_a_tree_are_read() {
    let code = "use std::fs;\npub(crate) use self::{a::B, c::{self, D as E}};\n#[cfg(x)]\nuse super::f;\nfn g() -> impl use<'a> {}";
    let paths = read(code);
    let leaves: Vec<_> = paths.imports.iter().map(|import| (import.path.join("::"), &*import.name)).collect();
    let expected =
        [("std::fs", "fs"), ("self::a::B", "B"), ("self::c", "c"), ("self::c::D", "E"), ("super::f", "f")];
    assert_eq!(leaves, expected.map(|(path, name)| (path.to_owned(), name)));
    let reexports: Vec<bool> = paths.imports.iter().map(|import| import.is_reexport).collect();
    assert_eq!(reexports, [false, true, true, true, false]);
}

#[test]
fn paths_in_code_are_read() {
    let code = "use crate::a;\nmod h;\npub(in crate::x) fn f(b: &super::B) { a::c(); self.d::<u8>(); <T>::e(); self::g() }";
    let paths = read(code);
    assert_eq!(joined(&paths.inline), ["super::B", "a::c", "self::g"]);
    assert!(paths.names.iter().any(|name| name == "f") && paths.names.iter().any(|name| name == "a"));
    assert!(!paths.names.iter().any(|name| name == "h"));
}

#[test]
fn super_leads_out_of_an_inline_module_first() {
    let code = "use super::a;\nmod on {\n    use super::{b, super::c};\n    fn f() { super::d::e(); }\n}\nfn g() { super::h() }";
    let paths = read(code);
    let imports: Vec<String> = paths.imports.iter().map(|import| import.path.join("::")).collect();
    assert_eq!(imports, ["super::a", "self::b", "super::c"]);
    assert_eq!(joined(&paths.inline), ["self::d::e", "super::h"]);
}
