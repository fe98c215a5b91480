//! The same work through memolith and through other caches, in one table.
//!
//! ```text
//! cargo run --release -p memolith-peers            everything, and then the page
//! cargo run --release -p memolith-peers -- measure --sizes 100B,4KiB --peers moka,redb --rounds 1
//! cargo run --release -p memolith-peers -- page    docs/benchmarks.md from the results so far
//! cargo run --release -p memolith-peers -- server  a server behind two machines (needs redis-server)
//! cargo run --release -p memolith-peers -- together  four processes that share a cache
//! ```
//!
//! Each peer does each size in a process of its own, so that its memory can be measured. The peers take turns, so that a
//! slow minute of the machine affects all of them. The results are in `target/peers/results.jsonl`. Later runs add to
//! that file; remove it to begin anew.

mod caches;
mod cell;
mod page;
mod remarks;
mod results;
mod run;
mod server;
mod task;
mod together;
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
        Some(("server", [])) => server::measure(),
        Some(("together", [])) => together::measure(),
        // A child: its task is its argument, its result is its output.
        Some(("cell", [task])) => {
            println!("{}", serde_json::to_string(&cell::found(&serde_json::from_str(task)?))?);
            Ok(())
        }
        _ => {
            Err("usage: memolith-peers [measure [--sizes A,B] [--peers A,B] [--rounds N] | page | server | together]"
                .into())
        }
    }
}
