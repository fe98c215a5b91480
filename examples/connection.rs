//! A database connection for the whole program. Shows `validate`: it is opened anew when it no longer answers.
//!
//! ```text
//! cargo run -p examples --features sqlite --example connection
//! ```
//!
//! A connection cannot be kept on disk: it is opened once a process, and the hits are in the same run.

use std::{error::Error, panic, path::Path, sync::Mutex, thread};

use memolith::{ResourcePool, resource};
use rusqlite::Connection;

/// A query by one caller at a time: a connection is `Send`, and a `Mutex` makes it `Sync`.
type Database = Mutex<Connection>;

/// Callers get one `Arc<Database>`. The path is the key, so two files are two connections.
#[resource(validate = answers)]
fn database(path: &Path) -> rusqlite::Result<Database> {
    timed::ran();
    Ok(Mutex::new(Connection::open(path)?))
}

/// A connection after a query that panicked is refused too: its state is unknown.
fn answers(database: &Database) -> bool {
    database.lock().is_ok_and(|connection| connection.query_row("SELECT 1", [], |_| Ok(())).is_ok())
}

/// The function that the rest of the program calls.
fn count(path: &Path) -> Result<u32, Box<dyn Error + Send + Sync>> {
    let database = database(path)?;
    let connection = database.lock().map_err(|_| "a query panicked")?;
    Ok(connection.query_row("SELECT count(*) FROM stations", [], |row| row.get(0))?)
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("stations.db");
    Connection::open(&path)?.execute_batch(
        "CREATE TABLE stations (name TEXT); INSERT INTO stations VALUES ('Bern'), ('Brig');",
    )?;

    thread::scope(|scope| {
        let ask = || timed::resource("a thread counts the stations", || count(&path));
        let callers = [(); 4].map(|()| scope.spawn(ask));
        callers.into_iter().try_for_each(|caller| {
            println!("there are {}", caller.join().map_err(|_| "a caller panicked")??);
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        })
    })?;

    let count = || timed::resource("a caller counts the stations", || count(&path));
    println!("there are {}", count()?);
    println!("a query panics, and the next caller has a new connection:");
    let shared = database(&path)?;
    let panicked = thread::spawn(move || {
        let _connection = shared.lock();
        panic::resume_unwind(Box::new("in the middle of a query"))
    });
    assert!(panicked.join().is_err());
    println!("there are {}", count()?);
    // Resources of functions are kept to the end of the process. This one goes before its directory does.
    ResourcePool::global().clear();
    Ok(())
}
