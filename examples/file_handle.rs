//! One open log file for all callers. Shows `max_entries`: there are never more than two files open.
//!
//! ```text
//! cargo run -p examples --example file_handle
//! ```
//!
//! An open file cannot be kept on disk: it is opened once a process, and the hits are in the same run.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    thread,
};

use memolith::ResourcePool;

/// `&File` is `Write`, and appending is one step of the system: no lock is needed.
fn log(files: &ResourcePool, path: &Path, line: &str) -> io::Result<()> {
    let file = files.get_or_try_insert_with(path, || open(path))?;
    (&*file).write_all(format!("{line}\n").as_bytes())
}

fn open(path: &Path) -> io::Result<File> {
    timed::ran();
    OpenOptions::new().create(true).append(true).open(path)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    // A pool of its own, for the bound. The file that was opened first is closed first.
    let files = ResourcePool::builder().max_entries(2).build()?;
    let path = |name: &str| directory.path().join(name);
    let tell = |name: &str, line: &str| {
        timed::resource(format_args!("{name}: {line}"), || log(&files, &path(name), line))
    };

    thread::scope(|scope| {
        for worker in 0..4 {
            scope.spawn(move || tell("requests.log", &format!("worker {worker} is here")));
        }
    });
    tell("errors.log", "no trouble")?;
    tell("audit.log", "nothing to report")?;
    println!("{} files are open, and requests.log is not one of them", files.len());
    tell("requests.log", "opened again, and nothing was lost")?;
    let requests = fs::read_to_string(path("requests.log"))?;
    println!("requests.log has {} lines", requests.lines().count());

    if let Err(error) = log(&files, &path("no such folder/x.log"), "lost") {
        println!("an error is the caller's own, and nothing is kept: {error}");
    }
    Ok(())
}
