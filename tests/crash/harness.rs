//! The part of the usual harness that `cargo test` and its arguments need.

use std::{panic::catch_unwind, process::ExitCode};

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
    let failed = chosen.iter().filter(|claim| !holds(claim)).count();
    println!("\n{} passed, {failed} failed", chosen.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn holds((name, claim): &Claim) -> bool {
    let held = catch_unwind(claim).is_ok();
    println!("test {name} ... {}", if held { "ok" } else { "FAILED" });
    held
}

#[derive(Default)]
struct Asked {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
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
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => drop(arguments.next()),
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
