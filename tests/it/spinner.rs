//! A spinner on a terminal: the tests run themselves again as a child that has a terminal as its stderr.

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{ChildStdin, Command, Stdio},
};

use indicatif::{InMemoryTerm, TermLike};
use memolith::{Memo, Store, memo, observe::spinner};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::vocabulary::*;

/// Names the scenario of the child.
const SCENARIO: &str = "MEMOLITH_SPINNER_SCENARIO";

/// The computation of the child. It runs until the child is told to go on.
fn slow() -> u64 {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    line.trim().parse().unwrap()
}

#[memo(store = Store::temporary().unwrap(), spinner = "Counting...")]
fn counted(_of: &str) -> u64 {
    slow()
}

#[test]
#[ignore = "a child of the tests below"]
fn child() {
    let Ok(scenario) = env::var(SCENARIO) else { return };
    let store = Store::builder().observer(spinner("Of the store...")).temporary().unwrap();
    let numbers: Memo<str, u64> =
        Memo::builder("numbers").observer(spinner("Fetching...")).open(&store).unwrap();
    let others = plain(&store, "others");
    match scenario.as_str() {
        "memo" => assert_eq!(numbers.get_or_insert_with("one", slow), 7),
        "store" => assert_eq!(others.get_or_insert_with("one", slow), 7),
        "attribute" => assert_eq!((counted("one"), counted("one")), (7, 7)),
        "nested" => {
            assert_eq!(numbers.get_or_insert_with("one", || others.get_or_insert_with("two", slow)), 7);
        }
        "panic" => {
            let fails = || numbers.get_or_insert_with("one", || panic!("after {}", slow()));
            catch_unwind(AssertUnwindSafe(fails)).unwrap_err();
            assert_eq!(others.get_or_insert_with("two", slow), 7);
        }
        "hit" => {
            numbers.insert("one", &7).unwrap();
            hit!(numbers, "one" => 7);
            hit!(numbers, "one" => 7);
            assert_eq!(others.get_or_insert_with("two", slow), 7);
        }
        other => panic!("no scenario {other}"),
    }
}

/// The other side of the terminal that is a child's stderr.
struct Terminal {
    master: File,
    screen: InMemoryTerm,
}

impl Terminal {
    /// Reads until the screen shows `text`.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        while !self.screen.contents().contains(text) {
            assert!(self.read(), "it ended without {text}: {}", self.screen.contents());
        }
    }

    /// Whether more output may come.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 1024];
        // The end of the last process on the other side is reported as an error.
        let Ok(length @ 1..) = self.master.read(&mut bytes) else { return false };
        // A read may end within a character. A character beyond ASCII shows as a star for its first byte, and as
        // nothing for the others.
        let begins = bytes.iter().take(length).filter(|byte| !(0x80..0xc0).contains(*byte));
        let text: String = begins.map(|byte| if byte.is_ascii() { char::from(*byte) } else { '*' }).collect();
        self.screen.write_str(&text).unwrap();
        true
    }
}

/// Plays a scenario in a process of its own, and looks at its terminal meanwhile. Returns the final screen.
#[track_caller]
fn play(scenario: &str, look: impl FnOnce(&mut Terminal, &mut ChildStdin)) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let other_side = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "spinner::child", "--ignored", "--nocapture", "--quiet"]);
    command.env(SCENARIO, scenario).env("TERM", "xterm").env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(other_side);
    let mut child = command.spawn().unwrap();
    // It holds the other side of the terminal too.
    drop(command);
    let mut terminal = Terminal { master: master.into(), screen: InMemoryTerm::new(20, 80) };
    let mut stdin = child.stdin.take().unwrap();
    look(&mut terminal, &mut stdin);
    drop(stdin);
    while terminal.read() {}
    assert!(child.wait().unwrap().success(), "{}", terminal.screen.contents());
    terminal.screen.contents()
}

#[test]
fn a_slow_computation_shows_a_line_and_leaves_nothing() {
    for (scenario, line) in
        [("memo", "Fetching..."), ("store", "Of the store..."), ("attribute", "Counting...")]
    {
        let left = play(scenario, |terminal, stdin| {
            terminal.shows(line);
            writeln!(stdin, "7").unwrap();
        });
        assert_eq!(left, "", "{scenario}");
    }
}

#[test]
fn only_the_outermost_computation_is_shown() {
    let left = play("nested", |terminal, stdin| {
        terminal.shows("Fetching... 1 s");
        assert!(!terminal.screen.contents().contains("Of the store"));
        writeln!(stdin, "7").unwrap();
    });
    assert_eq!(left, "");
}

#[test]
fn a_computation_that_panics_ends_its_line() {
    let left = play("panic", |terminal, stdin| {
        terminal.shows("Fetching...");
        writeln!(stdin, "7").unwrap();
        terminal.shows("after 7");
        terminal.shows("Of the store...");
        writeln!(stdin, "7").unwrap();
    });
    // The line at the time of the panic stands above the message of the panic.
    let last = left.lines().last().unwrap_or_default();
    assert!(
        left.contains("after 7") && !left.contains("Of the store") && !last.contains("Fetching"),
        "{left}"
    );
}

#[test]
fn a_hit_shows_nothing() {
    let left = play("hit", |terminal, stdin| {
        // A hit that began a line would have come before this one.
        terminal.shows("Of the store... 1 s");
        let screen = terminal.screen.contents();
        assert!(!screen.contains("Fetching") && !screen.contains("more"), "{screen}");
        writeln!(stdin, "7").unwrap();
    });
    assert_eq!(left, "");
}
