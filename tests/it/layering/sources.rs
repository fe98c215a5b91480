//! The files of `src/` as modules, without comments and unit tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One file of the crate, without its comments and unit tests.
pub(super) struct Source {
    /// Below `src`.
    pub(super) path: String,
    pub(super) code: String,
}

impl Source {
    /// Whether the code names something of the crate `name`.
    pub(super) fn names_crate(&self, name: &str) -> bool {
        let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
        let mut found = self.code.match_indices(name);
        found.any(|(at, _)| {
            !self.code[..at].ends_with(is_part) && self.code[at + name.len()..].starts_with("::")
        })
    }

    /// The path of the module that the file is, from the crate's root.
    pub(super) fn module(&self) -> Vec<String> {
        let path = self.path.strip_suffix(".rs").unwrap();
        let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
        names.pop_if(|name| *name == "mod" || path == "lib");
        names
    }
}

/// All files, with the modules that are declared under `#[cfg(test)]` left out.
pub(super) fn sources() -> Vec<Source> {
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
    let is_tests = |after: &str| after.lines().find(|line| !line.starts_with("#[")) == Some("mod tests {");
    let end = code.match_indices("#[cfg(test)]\n").find(|(at, _)| is_tests(&code[*at..])).map(|(at, _)| at);
    &code[..end.unwrap_or(code.len())]
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

#[test]
fn unit_tests_are_left_out() {
    let code = "use crate::flow;\n#[cfg(test)]\nmod samples;\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    use crate::builder;\n}";
    assert!(!without_tests(code).contains("builder") && without_tests(code).contains("flow"));
    assert_eq!(test_modules(code).collect::<Vec<_>>(), ["samples"]);
    assert_eq!(submodule(Path::new("src/key/mod.rs"), "tests"), Path::new("src/key/tests"));
    assert_eq!(submodule(Path::new("src/flight/table.rs"), "tests"), Path::new("src/flight/table/tests"));
    assert_eq!(without_comments("let a; // crate::flow\nlet b;"), "let a; \nlet b;");
}

#[test]
fn a_file_is_a_module() {
    let module = |path: &str| Source { path: path.into(), code: String::new() }.module().join("::");
    assert_eq!(module("lib.rs"), "");
    assert_eq!(module("memo.rs"), "memo");
    assert_eq!(module("store/mod.rs"), "store");
    assert_eq!(module("store/worker/queue.rs"), "store::worker::queue");
}
