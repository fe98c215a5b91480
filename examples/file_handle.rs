//! One open log file for all callers, opened at the first line and closed by a bound on open files.
//!
//! ```text
//! cargo run --release --example file_handle
//! ```

use std::{
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
    println!("opening {}", path.file_name().unwrap_or_default().display());
    OpenOptions::new().create(true).append(true).open(path)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    // Never more than two descriptors: the file that was opened first is closed first.
    let files = ResourcePool::builder().max_entries(2).build()?;

    let requests = path("requests.log");
    thread::scope(|scope| {
        for worker in 0..4 {
            let (files, requests) = (&files, &requests);
            scope.spawn(move || log(files, requests, &format!("worker {worker} is here")));
        }
    });
    print!("{}", fs::read_to_string(&requests)?);

    log(&files, &path("errors.log"), "no trouble")?;
    log(&files, &path("audit.log"), "nobody did anything")?;
    println!("{} files are open", files.len());
    log(&files, &requests, "opened again, and nothing was lost")?;
    print!("{}", fs::read_to_string(&requests)?);

    if let Err(error) = log(&files, &path("no such folder/x.log"), "lost") {
        println!("an error is the caller's own, and nothing is kept: {error}");
    }
    Ok(())
}
