//! All tests share the store of the process. So these tests run themselves again as a child, which has a store of its
//! own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use memolith::{Lookup, Memo, Stats, Store, default_store, effects, future, memo, set_default_store};
use tempfile::TempDir;

/// Names the scenario of the child.
const SCENARIO: &str = "MEMOLITH_TEST_SCENARIO";

/// A home, a folder for temporary files, and programs. Each program is this file under a name that cargo gives no
/// test.
pub(super) struct Machine(TempDir);

impl Machine {
    pub(super) fn new() -> Self {
        let machine = Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        fs::create_dir(machine.temporary()).unwrap();
        machine
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn temporary(&self) -> PathBuf {
        self.path().join("tmp")
    }

    /// The folders of programs in the cache folder.
    fn folders(&self) -> Vec<PathBuf> {
        let inside = fs::read_dir(self.path().join(".cache/memolith")).into_iter().flatten();
        inside.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    }

    /// The folders of temporary stores.
    fn leftovers(&self) -> Vec<PathBuf> {
        let inside = fs::read_dir(self.temporary()).unwrap().map(|entry| entry.unwrap());
        let ours = |entry: &fs::DirEntry| entry.file_name().to_str().unwrap().starts_with("memolith-");
        inside.filter(ours).map(|entry| entry.path()).collect()
    }

    fn install(&self, path: &str) -> PathBuf {
        let program = self.path().join(path);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        let this = env::current_exe().unwrap();
        fs::hard_link(&this, &program).or_else(|_| fs::copy(&this, &program).map(|_| ())).unwrap();
        program
    }

    fn command(&self, program: &Path, scenario: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["--exact", "attributes::default_store::child", "--ignored", "--nocapture"]);
        // Without these variables the child cannot tell that a test started it.
        let ours = |name: &str| name == "NEXTEST" || name.starts_with("CARGO_BIN_EXE_");
        for (name, _) in env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command.env(SCENARIO, scenario).env("HOME", self.path()).env("TMPDIR", self.temporary());
        command.env_remove("XDG_CACHE_HOME").env_remove("MEMOLITH_DIR");
        command
    }

    #[track_caller]
    fn run(&self, program: &Path) -> String {
        told(&mut self.command(program, "square"))
    }
}

/// The output of a child.
#[track_caller]
fn told(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let told = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{told}{}", String::from_utf8_lossy(&stderr));
    told
}

/// Whether the child computed, by its output.
fn has_computed(told: &str) -> bool {
    told.contains("computed 12")
}

/// Runs one scenario as a test, with a home and a store there.
#[track_caller]
pub(super) fn play(scenario: &str, store: Option<&Path>, machine: &Machine) -> String {
    let mut command = machine.command(&env::current_exe().unwrap(), scenario);
    told(command.envs(store.map(|path| ("MEMOLITH_DIR", path))))
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
        // Until it is killed.
        Ok("wait") => {
            let store = Store::temporary().unwrap();
            println!("path {}", store.path().unwrap().display());
            let _ = std::io::stdin().read_line(&mut String::new());
            std::process::abort();
        }
        Ok("heard") => {
            tracing::subscriber::set_global_default(crate::traced::Log::default()).unwrap();
        }
        Ok("disabled") => return disabled(),
        Ok("inputs") => return super::inputs::run(),
        // Started by name, without a parent.
        _ => return,
    }
    assert_eq!((squared(12), squared(12)), (144, 144));
    println!("path {}", default_store().path().unwrap().display());
    let failure = default_store().last_failure().or(squared_memo().last_failure());
    println!(
        "failure {}",
        failure.map_or("none".into(), |failure| format!("{} {failure}", failure.error.is_in_use()))
    );
}

/// Under `MEMOLITH_DISABLE`, with the value 144 of an earlier run in the store.
fn disabled() {
    assert_eq!((squared(12), squared(12)), (144, 144));
    let memo = squared_memo();
    assert_eq!((memo.get(&12).unwrap(), memo.contains_key(&12).unwrap()), (None, false));
    assert_eq!((memo.stats(), memo.len().unwrap()), (Stats::default(), 1));
    assert!(memo.last_failure().is_none());
    memo.insert(&12, &145).unwrap();
    println!("computed at last {}", squared(12));
    effects_while_disabled();
}

/// Each call computes, and shows its effects once, in a task too.
fn effects_while_disabled() {
    let shown = Arc::new(Mutex::new(String::new()));
    let drawing = Arc::clone(&shown);
    let memo: Memo<str, usize> = Memo::builder("drawn")
        .effects(move |text: &String| drawing.lock().unwrap().push_str(text))
        .effects(memolith::effects::tracing(tracing::Level::INFO))
        .open(default_store())
        .unwrap();
    let draw = |text: &str| assert!(effects::emit(text.to_owned()));
    let in_tasks: future::Memo<str, usize> = memo.clone().into();
    for number in 0..2 {
        memo.get_or_insert_with("blocking", || {
            draw("a");
            number
        });
        smol::block_on(in_tasks.get_or_insert_with("task", || {
            draw("b");
            async {
                smol::future::yield_now().await;
                draw("c");
                number
            }
        }));
        memo.entry("entry").or_insert_with(|| {
            draw("d");
            number
        });
        let Lookup::Miss(claim) = memo.entry("claim").lookup() else { panic!("a hit") };
        claim.run(|| draw("e"));
        smol::block_on(claim.wrap(async { draw("f") }));
        claim.insert(&number);
        let Lookup::Miss(claim) = smol::block_on(in_tasks.entry("claim").lookup()) else { panic!("a hit") };
        smol::block_on(claim.wrap(async { draw("g") }));
        smol::block_on(claim.insert_in_task(number));
        assert_eq!(std::mem::take(&mut *shown.lock().unwrap()), "abcdefg");
    }
    assert!(memo.last_failure().is_none());
}

/// A variable that is no absolute path is as good as none.
#[cfg(not(any(windows, target_vendor = "apple")))]
#[test]
fn the_default_store_is_in_the_cache_folder_that_the_environment_names() {
    let machine = Machine::new();
    let program = machine.install("bin/tool");
    let in_folder = |value: &Path, folder: PathBuf| {
        let told = told(machine.command(&program, "square").env("XDG_CACHE_HOME", value));
        assert!(told.contains(&format!("path {}", folder.join("memolith").display())), "{told}");
    };
    let caches = machine.path().join("elsewhere");
    in_folder(&caches, caches.clone());
    in_folder(Path::new("elsewhere"), machine.path().join(".cache"));
}

#[test]
fn a_disabled_memo_is_the_plain_function_and_changes_by_hand_hold() {
    let machine = Machine::new();
    let store = machine.path().join("store");
    let run = |scenario: &str, disable: &str| {
        let mut command = machine.command(&env::current_exe().unwrap(), scenario);
        told(command.env("MEMOLITH_DIR", &store).env("MEMOLITH_DISABLE", disable))
    };
    assert!(has_computed(&run("square", "")) && !has_computed(&run("square", "0")));
    let told = run("disabled", "1");
    assert_eq!(told.matches("computed 12").count(), 3, "{told}");
    assert!(told.contains("computed at last 144"), "{told}");
    let mut command = machine.command(&env::current_exe().unwrap(), "square");
    let later = command.env("MEMOLITH_DIR", &store).output().unwrap();
    assert!(
        !later.status.success() && !has_computed(&String::from_utf8_lossy(&later.stdout)),
        "it reads 145"
    );
}

#[test]
fn a_default_store_that_cannot_be_opened_is_told_once_on_stderr_unless_tracing_hears_it() {
    let machine = Machine::new();
    let held = Store::builder().exclusive(true).open(machine.path().join("store")).unwrap();
    let stderr = |scenario: &str, store: &Path| {
        let mut command = machine.command(&env::current_exe().unwrap(), scenario);
        let output = command.env("MEMOLITH_DIR", store).output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = stderr("square", held.path().unwrap());
    assert_eq!(told.matches("memolith: ").count(), 1, "{told}");
    assert!(told.contains("for this run only") && told.contains("in use"), "{told}");
    assert!(!stderr("heard", held.path().unwrap()).contains("memolith: "));
    assert!(!stderr("square", &machine.path().join("other")).contains("memolith: "));
}

#[test]
fn what_one_run_computed_the_next_one_reads() {
    let machine = Machine::new();
    let store = machine.path().join("store");
    let (first, second) = (play("square", Some(&store), &machine), play("square", Some(&store), &machine));
    assert_eq!((has_computed(&first), has_computed(&second)), (true, false));
    assert!(second.contains(&format!("path {}", store.display())), "{second}");
    assert!(second.contains("failure none"), "{second}");
}

#[test]
fn a_program_remembers_in_a_folder_of_its_own_in_the_cache_folder() {
    let machine = Machine::new();
    let program = machine.install("a/rides");
    let (first, second) = (machine.run(&program), machine.run(&program));
    assert_eq!((has_computed(&first), has_computed(&second)), (true, false), "{first}{second}");
    let begin = machine.path().join(".cache/memolith/rides-");
    assert!(
        second.contains(&format!("path {}", begin.display())) && second.contains("failure none"),
        "{second}"
    );
}

#[test]
fn programs_of_one_name_in_two_places_do_not_read_each_others_values() {
    let machine = Machine::new();
    for place in ["a/demo", "b/demo", "a/org.foo.App", "a/org.foo.Tool"] {
        let told = machine.run(&machine.install(place));
        assert!(has_computed(&told) && told.contains("failure none"), "{place}: {told}");
    }
    assert_eq!(machine.folders().len(), 4);
}

#[cfg(unix)]
#[test]
fn a_program_is_the_same_under_every_link_to_it() {
    let machine = Machine::new();
    let (program, link) = (machine.install("a/rides"), machine.path().join("link"));
    std::os::unix::fs::symlink(&program, &link).unwrap();
    assert!(has_computed(&machine.run(&program)) && !has_computed(&machine.run(&link)));
}

#[test]
fn a_test_remembers_nothing_beyond_its_process() {
    let machine = Machine::new();
    for _ in 0..2 {
        let told = play("square", None, &machine);
        assert!(has_computed(&told) && told.contains("failure none"), "{told}");
    }
    assert!(!machine.path().join(".cache").exists() && machine.leftovers().is_empty());
}

#[test]
fn a_program_that_a_test_runner_starts_is_a_test_unless_it_is_given_a_directory() {
    let machine = Machine::new();
    let (program, store) = (machine.install("a/rides"), machine.path().join("store"));
    for variable in ["NEXTEST", "CARGO_BIN_EXE_rides"] {
        let told = told(machine.command(&program, "square").env(variable, "1"));
        assert!(told.contains(&format!("path {}", machine.temporary().display())), "{told}");
    }
    let told = told(machine.command(&program, "square").env("NEXTEST", "1").env("MEMOLITH_DIR", &store));
    assert!(told.contains(&format!("path {}", store.display())), "{told}");
}

#[test]
fn a_store_in_use_is_replaced_by_a_temporary_one_and_told() {
    let machine = Machine::new();
    let held = Store::builder().exclusive(true).open(machine.path().join("store")).unwrap();
    let told = play("square", held.path(), &machine);
    assert!(
        has_computed(&told) && told.matches("computed 12").count() == 1,
        "it remembers for this run: {told}"
    );
    assert!(
        told.contains("failure true") && !told.contains(&format!("path {}", held.path().unwrap().display())),
        "{told}"
    );
}

#[test]
fn a_store_that_is_set_comes_first_and_is_set_once() {
    let machine = Machine::new();
    let store = machine.path().join("store");
    let told = play("set", Some(&store), &machine);
    assert!(told.contains("failure none") && !store.exists(), "{told}");
}

/// A child with a temporary store.
fn waiting(machine: &Machine) -> (Child, PathBuf) {
    use std::io::{BufRead, BufReader};

    let mut command = machine.command(&env::current_exe().unwrap(), "wait");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut paths =
        lines.filter_map(|line| line.unwrap().split_once("path ").map(|(_, path)| PathBuf::from(path)));
    (child, paths.next().unwrap())
}

#[test]
fn temporary_stores_of_killed_programs_are_removed_by_the_next_and_others_stay() {
    let machine = Machine::new();
    let (mut running, used) = waiting(&machine);
    let (mut killed, left) = waiting(&machine);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let mut aborted = waiting(&machine);
    drop(aborted.0.stdin.take());
    assert!(!aborted.0.wait().unwrap().success());
    // A store of the user, and a folder that only has the name of one.
    let mine = machine.temporary().join("memolith-mine");
    Store::open(&mine).unwrap().close().unwrap();
    fs::create_dir(machine.temporary().join("memolith-notes")).unwrap();

    assert!(aborted.1.exists() && machine.leftovers().contains(&aborted.1));
    play("square", None, &machine);
    assert!(!left.exists() && !aborted.1.exists(), "they are not in use");
    assert!(used.exists(), "it is in use");
    assert!(mine.join("MANIFEST").exists() && machine.temporary().join("memolith-notes").exists());

    running.kill().unwrap();
    running.wait().unwrap();
    play("square", None, &machine);
    assert!(!used.exists());
}

#[test]
fn the_folder_of_a_program_that_is_long_gone_is_removed_by_another_program() {
    let machine = Machine::new();
    let gone = machine.install("a/gone");
    machine.run(&gone);
    let [folder] = machine.folders().try_into().unwrap();
    fs::remove_file(&gone).unwrap();
    let day = std::time::Duration::from_secs(24 * 3600);
    let date = |path: PathBuf, days: u32| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() - day * days).unwrap();
    };
    let swept = machine.path().join(".cache/memolith/SWEPT");
    let other = machine.install("a/other");
    date(swept.clone(), 2);
    machine.run(&other);
    assert!(folder.exists(), "it may come back");
    date(swept, 2);
    date(folder.join("PROGRAM"), 31);
    machine.run(&other);
    assert!(!folder.exists());
    assert_eq!(machine.folders().len(), 1, "the folder of the other program");
}
