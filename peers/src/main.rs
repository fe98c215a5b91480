//! The same work through memolith and through what else there is, in one table.
//!
//! ```text
//! cargo run --release -p memolith-peers            everything, and then the page
//! cargo run --release -p memolith-peers -- measure --sizes 100B,4KiB --peers moka,redb --rounds 1
//! cargo run --release -p memolith-peers -- page    docs/benchmarks.md from what was measured so far
//! ```
//!
//! Each peer does each size in a process of its own, so that its memory can be told; the peers take turns, so that a
//! slow minute of the machine hits all of them. What a process found is one line in `target/peers/results.jsonl`, which
//! later runs add to; remove the file to begin anew.

mod caches;
mod cell;
mod page;
mod results;
mod run;
mod task;
mod value;

use std::{error::Error, process::ExitCode};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match execute(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: &[String]) -> Result<()> {
    match arguments.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        None => {
            run::measure(&run::Choice::default())?;
            page::write()
        }
        Some(("measure", rest)) => run::measure(&run::Choice::parse(rest)?),
        Some(("page", [])) => page::write(),
        // A child: its task is its argument, what it found is its output.
        Some(("cell", [task])) => {
            println!("{}", serde_json::to_string(&cell::found(&serde_json::from_str(task)?))?);
            Ok(())
        }
        _ => Err("usage: memolith-peers [measure [--sizes A,B] [--peers A,B] [--rounds N] | page]".into()),
    }
}
