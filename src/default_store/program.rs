//! Identifies the program: the name of its folder, and whether it is a test.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use crate::key;

/// Number of digits of the hash in the names of files that cargo builds, and in the name of a folder.
const HASH: usize = 16;

/// Maximum number of characters of the file name in the name of a folder.
const LONGEST_NAME: usize = 64;

/// The canonical path of the program that `executable` names.
///
/// If the file of a running program is replaced, Linux appends ` (deleted)` to its path. It counts as the same program as
/// the file that replaced it.
pub(super) fn canonical(executable: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(executable).or_else(|gone| match before_deletion(executable) {
        Some(path) => fs::canonicalize(path),
        None => Err(gone),
    })
}

#[cfg(unix)]
fn before_deletion(executable: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = executable.as_os_str().as_bytes().strip_suffix(b" (deleted)")?;
    Some(OsStr::from_bytes(path).into())
}

#[cfg(not(unix))]
fn before_deletion(_: &Path) -> Option<PathBuf> {
    None
}

/// The name of the folder of the program at a canonical path: the file name, to be readable, and a hash of the path.
pub(super) fn folder_name(program: &Path) -> Option<String> {
    let name = program.file_name()?.to_string_lossy();
    let name = name.strip_suffix(std::env::consts::EXE_SUFFIX).unwrap_or(&name);
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let plain: String = name
        .chars()
        .take(LONGEST_NAME)
        .map(|character| if is_plain(character) { character } else { '_' })
        .collect();
    let digest = format!("{:?}", key::digest(program).ok()?);
    Some(format!("{plain}-{}", digest.get(..HASH)?))
}

/// Whether this process is a test, by the place of its executable, or was started by a test, by the names of its environment
/// variables.
pub(super) fn is_test<'a>(executable: &Path, mut variables: impl Iterator<Item = &'a OsStr>) -> bool {
    is_test_executable(executable) || variables.any(is_set_for_tests)
}

/// Tests, benchmarks and the tests of examples are built as `deps/name-<hash>`, `examples/name-<hash>` and, in the newer
/// layout of build folders, `<hash>/out/name-<hash>`. Programs of `cargo run` and `cargo install` have no hash. A doc test
/// is `rustdoctest<random>/rust_out`.
fn is_test_executable(executable: &Path) -> bool {
    let mut names = executable.iter().rev().map(OsStr::to_string_lossy);
    let (Some(file), Some(folder)) = (names.next(), names.next()) else { return false };
    let stem = file.strip_suffix(std::env::consts::EXE_SUFFIX).unwrap_or(&file);
    if folder.starts_with("rustdoctest") {
        return stem == "rust_out";
    }
    let Some((_, hash)) = stem.rsplit_once('-').filter(|(_, hash)| is_hash(hash)) else { return false };
    match &*folder {
        "deps" | "examples" => true,
        "out" => names.next().is_some_and(|above| above == hash),
        _ => false,
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Set by nextest, and by cargo only for integration tests and benchmarks. `RUST_TEST_THREADS` and similar variables are no
/// evidence: a configuration file of cargo sets them for `cargo run` too.
fn is_set_for_tests(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name == "NEXTEST" || name.starts_with("CARGO_BIN_EXE_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_one_name_in_two_places_have_two_folders() {
        let folder_of = |path: &str| folder_name(Path::new(path)).unwrap();
        let names = ["/a/demo", "/b/demo", "/a/org.foo.App", "/a/org.foo.Tool"].map(folder_of);
        for (one, name) in names.iter().enumerate() {
            assert!(names[..one].iter().all(|other| other != name), "{names:?}");
        }
        assert!(names[2].starts_with("org.foo.App-") && names[2].len() == "org.foo.App-".len() + HASH);
        assert_eq!(folder_of("/a/demo"), folder_of("/a/demo"));
    }

    #[test]
    fn a_name_that_is_no_plain_text_makes_a_folder_of_plain_text() {
        let long = format!("/a/{}", "ö".repeat(200));
        for path in ["/a/my app (deleted)", "/a/..hidden", &long] {
            let name = folder_name(Path::new(path)).unwrap();
            assert!(name.len() <= LONGEST_NAME + 1 + HASH && !name.contains(['/', ' ', '(']), "{name}");
        }
        assert_eq!(folder_name(Path::new("/")), None);
    }

    #[cfg(unix)]
    #[test]
    fn paths_that_are_not_text_have_folders_of_their_own() {
        use std::os::unix::ffi::OsStrExt as _;
        let named = |name: &[u8]| folder_name(Path::new(OsStr::from_bytes(name))).unwrap();
        assert_ne!(named(b"/a/\xff"), named(b"/a/\xfe"));
    }

    #[test]
    fn what_cargo_and_rustdoc_build_for_tests_is_a_test_and_nothing_else_is() {
        let is_test = |path: &str| is_test_executable(Path::new(path));
        for test in [
            "/p/target/debug/deps/dt-3ade92ba79ce05d3",
            "/p/target/x86_64-unknown-linux-gnu/release/deps/my-crate-3ade92ba79ce05d3",
            "/p/target/debug/examples/ex-d616fc4f85091a63",
            "/p/build/debug/build/dt/3ade92ba79ce05d3/out/dt-3ade92ba79ce05d3",
            "/tmp/rustdoctestPaXjih/rust_out",
        ] {
            assert!(is_test(test), "{test}");
        }
        for program in [
            "/p/target/debug/dt",
            "/p/target/release/my-tool",
            "/p/target/debug/examples/ex",
            "/home/me/.cargo/bin/dt",
            "/opt/deps/tool",
            "/opt/deps/tool-20261129",
            "/opt/bin/tool-3ade92ba79ce05d3",
            "/opt/deps/tool-3ADE92BA79CE05D3",
            "/a/1111111111111111/out/tool-3ade92ba79ce05d3",
            "/home/me/rust_out",
            "/",
        ] {
            assert!(!is_test(program), "{program}");
        }
    }

    #[test]
    fn what_a_test_starts_is_known_by_its_environment() {
        let is_test = |name: &str| is_test(Path::new("/p/target/debug/dt"), [OsStr::new(name)].into_iter());
        assert!(is_test("NEXTEST") && is_test("CARGO_BIN_EXE_dt"));
        assert!(
            !is_test("CARGO_MANIFEST_DIR")
                && !is_test("RUST_TEST_THREADS")
                && !is_test("NEXTEST_PROFILE_DIR")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_was_replaced_while_it_runs_is_the_one_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        fs::write(here.join("app"), "").unwrap();
        assert_eq!(canonical(&here.join("app (deleted)")).unwrap(), here.join("app"));
        fs::write(here.join("app (deleted)"), "").unwrap();
        assert_eq!(
            canonical(&here.join("app (deleted)")).unwrap(),
            here.join("app (deleted)"),
            "a name of its own"
        );
        assert!(canonical(&here.join("gone (deleted)")).is_err());
    }
}
