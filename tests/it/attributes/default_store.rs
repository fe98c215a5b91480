//! The store of the process is one for all tests, so these run themselves again as a child that has its own.

use std::{
    env,
    path::Path,
    process::{Command, Output},
};

use memolith::{Store, default_store, memo, set_default_store};

/// Says which scenario the child plays.
const SCENARIO: &str = "MEMOLITH_TEST_SCENARIO";

/// Runs one scenario in a process of its own, with a home and a store there.
#[track_caller]
fn play(scenario: &str, store: Option<&Path>, home: &Path) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "attributes::default_store::child", "--ignored", "--nocapture"]);
    command.env(SCENARIO, scenario).env("HOME", home).env_remove("XDG_CACHE_HOME").env_remove("MEMOLITH_DIR");
    command.envs(store.map(|path| ("MEMOLITH_DIR", path)));
    let Output { status, stdout, stderr } = command.output().unwrap();
    let told = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{told}{}", String::from_utf8_lossy(&stderr));
    told
}

#[memo]
fn squared(number: u32) -> u32 {
    println!("computed {number}");
    number * number
}

#[test]
#[ignore = "a child of the tests below"]
fn child() {
    match env::var(SCENARIO).as_deref() {
        Ok("square") => {}
        Ok("set") => {
            set_default_store(Store::temporary().unwrap()).unwrap();
            assert!(set_default_store(Store::temporary().unwrap()).unwrap_err().is_config());
        }
        // Asked for by name, without a parent.
        _ => return,
    }
    assert_eq!((squared(12), squared(12)), (144, 144));
    println!("path {}", default_store().path().unwrap().display());
    let failure = squared_memo().last_failure();
    println!(
        "failure {}",
        failure.map_or("none".into(), |failure| format!("{} {failure}", failure.is_in_use()))
    );
}

#[test]
fn what_one_run_computed_the_next_one_reads() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let (first, second) =
        (play("square", Some(&store), folder.path()), play("square", Some(&store), folder.path()));
    assert_eq!((first.matches("computed 12").count(), second.matches("computed 12").count()), (1, 0));
    assert!(second.contains(&format!("path {}", store.canonicalize().unwrap().display())), "{second}");
    assert!(second.contains("failure none"), "{second}");
}

#[test]
fn without_a_word_it_is_in_the_cache_folder_of_the_program() {
    let home = tempfile::tempdir().unwrap();
    let told = play("square", None, home.path());
    let program = env::current_exe().unwrap().file_stem().unwrap().to_owned();
    let expected = home.path().canonicalize().unwrap().join(".cache").join(program).join("memolith");
    assert!(told.contains(&format!("path {}", expected.display())), "{told}");
}

#[test]
fn a_store_in_use_is_replaced_by_a_temporary_one_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let held = Store::open(folder.path().join("store")).unwrap();
    let told = play("square", held.path(), folder.path());
    assert_eq!(told.matches("computed 12").count(), 1, "it remembers for this run: {told}");
    assert!(
        told.contains("failure true") && !told.contains(&format!("path {}", held.path().unwrap().display())),
        "{told}"
    );
}

#[test]
fn a_store_that_is_set_comes_first_and_is_set_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let told = play("set", Some(&store), folder.path());
    assert!(told.contains("failure none") && !store.exists(), "{told}");
}
