//! The part of the usual harness that `cargo test` and its arguments need.

use std::{
    panic::catch_unwind,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Instant,
};

pub type Claim = (&'static str, fn());

pub fn run(claims: &[Claim]) -> ExitCode {
    let asked = Asked::from(std::env::args().skip(1));
    let chosen: Vec<&Claim> = claims.iter().filter(|(name, _)| asked.wants(name)).collect();
    if asked.list {
        for (name, _) in chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // A claim mostly waits for its children.
    let lanes = thread::available_parallelism().map_or(1, usize::from) + 1;
    thread::scope(|scope| {
        for _ in 0..lanes.min(asked.threads.unwrap_or(lanes)) {
            scope.spawn(|| {
                while let Some(claim) = chosen.get(next.fetch_add(1, SeqCst)) {
                    failed.fetch_add(usize::from(!holds(claim)), SeqCst);
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("\n{} passed, {failed} failed", chosen.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn holds((name, claim): &Claim) -> bool {
    let begin = Instant::now();
    let held = catch_unwind(claim).is_ok();
    println!("test {name} ... {} <{:.1?}>", if held { "ok" } else { "FAILED" }, begin.elapsed());
    held
}

#[derive(Default)]
struct Asked {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
    /// How many claims are tried at a time.
    threads: Option<usize>,
    /// Runs ignored tests only. There are none.
    ignored: bool,
}

impl Asked {
    fn from(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut asked = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => asked.exact = true,
                "--list" => asked.list = true,
                "--ignored" => asked.ignored = true,
                "--skip" => asked.skipped.extend(arguments.next()),
                "--test-threads" => asked.threads = arguments.next().and_then(|threads| threads.parse().ok()),
                "--format" | "--color" | "--logfile" | "-Z" => drop(arguments.next()),
                option if option.starts_with('-') => {}
                _ => asked.filters.push(argument),
            }
        }
        asked
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(filter) };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(fits))
            && !self.skipped.iter().any(fits)
    }
}
