//! The files of processes that ended: at the end of `main`, in the middle of it, by a panic, by `kill -9`; and two
//! processes that share a directory.
//!
//! This binary runs itself again as a child, which plays a role. It has a `main` of its own (`harness = false`),
//! because one of the claims is about a program that returns from it. `MEMOLITH_SOAK=1` kills a thousand times.

#![allow(unreachable_pub, missing_docs, reason = "a test binary")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test binary")]

mod answers;
mod child;
mod damage;
mod ends;
mod forks;
mod harness;
mod history;
mod images;
mod inputs;
mod kills;
mod limits;
mod locks;
mod modes;
mod processes;
mod puppet;
mod searched;
mod soak;
mod together;
mod twins;
mod values;
mod wounds;

use std::process::ExitCode;

use images::End;

fn main() -> ExitCode {
    let Some(role) = child::role() else {
        let rooms = [ends::CLAIMS, kills::CLAIMS, locks::CLAIMS, modes::CLAIMS, history::CLAIMS];
        return harness::run(
            &[
                &rooms.concat(),
                soak::CLAIMS,
                damage::CLAIMS,
                limits::CLAIMS,
                forks::CLAIMS,
                searched::CLAIMS,
                twins::CLAIMS,
                inputs::CLAIMS,
                answers::CLAIMS,
                processes::CLAIMS,
                together::CLAIMS,
            ]
            .concat(),
        );
    };
    child::watch();
    match role.as_str() {
        "return" => ends::remember(),
        "exit" => ends::exit(),
        "panic" => ends::panic(),
        "exit while busy" => ends::exit_while_busy(),
        "temporary" => ends::temporary(),
        "relative" => ends::relative(),
        "remove" => kills::remove(),
        "overwrite" => kills::overwrite(),
        "clear" => kills::clear(),
        "fill up" => kills::fill_up(),
        "flush" => kills::flush(),
        "compute slowly" => kills::compute_slowly(),
        "compute in tasks" => kills::compute_in_tasks(),
        "answer" => answers::play(),
        "look at answers" => answers::look(),
        "puppet" => puppet::play(),
        "hold" => locks::hold(),
        "nowhere" => locks::nowhere(),
        "in memory" => locks::in_memory(),
        "take a turn" => locks::take_a_turn(),
        "fill and hold" => modes::fill_and_hold(),
        "soak" => soak::play(),
        "soak with copies" => soak::play_copying(),
        "furnish and close" => images::play(End::Closed),
        "furnish and exit" => images::play(End::Exit),
        "furnish and write on" => images::play(End::Killed),
        "look at a closed store" => damage::play(End::Closed),
        "look at a killed store" => damage::play(End::Killed),
        "few descriptors" => limits::few_descriptors(),
        "no descriptors at the ends" => limits::no_descriptors_at_the_ends(),
        "deleted" => limits::deleted(),
        "blocked" => limits::blocked(),
        "read only" => limits::read_only(),
        "read-only mount" => limits::read_only_mount(),
        "full disk" => limits::full_disk(),
        "no thread before the open" => limits::no_thread_before_the_open(),
        "no thread after the open" => limits::no_thread_after_the_open(),
        "a clock before 1970" => limits::a_clock_before_1970(),
        "fill for 1969" => limits::fill_for_1969(),
        "look after 1969" => limits::look_after_1969(),
        "small files" => searched::small_files(),
        "own handler" => searched::own_handler(),
        "calls at its end" => searched::calls_at_its_end(),
        "replace itself" => searched::replace_itself(),
        "interrupted" => searched::interrupted(),
        "fork" => forks::play(),
        "twins" => twins::play(),
        "fork and wait" => forks::fork_and_wait(),
        "fork first" => forks::fork_first(),
        "fork in memory" => forks::fork_in_memory(),
        other => panic!("there is no role {other}"),
    }
    ExitCode::SUCCESS
}
