//! Two programs that share one store. Shows that a value is computed once, whichever program asks first. Run it in two terminals
//! at the same time:
//!
//! ```text
//! cargo run -p examples --example two_processes
//! cargo run -p examples --example two_processes -- --clear   # forget all squares, in both programs
//! ```
//!
//! Stop the first with Ctrl-C while the second runs: the second takes its place.

use std::{env, error::Error, thread, time::Duration};

use memolith::{Role, default_store, memo};

const ROUNDS: u64 = 12;

/// Slow enough that both programs ask for it while one of them computes.
#[memo]
fn square(number: u64) -> u64 {
    thread::sleep(Duration::from_millis(250));
    number * number
}

fn part(role: &Role) -> &'static str {
    match role {
        Role::Host => "the host: it makes the changes",
        Role::Guest => "a guest of the other program",
        Role::Reader => "a reader of a store that no program has open",
        _ => "on its own: it reaches no host",
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().nth(1).as_deref() == Some("--clear") {
        square_memo().clear()?;
    }
    let mut before = "";
    for number in 1..=ROUNDS {
        timed::memo(square_memo(), format_args!("the square of {number}"), || square(number));
        let part = part(&default_store().role());
        if part != before {
            println!("this program is {part}");
        }
        before = part;
    }
    println!("{} squares are remembered", square_memo().len()?);
    timed::kept();
    Ok(())
}
