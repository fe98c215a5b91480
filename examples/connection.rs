//! A database connection for the whole program: opened once, shared, and opened anew when it no longer answers.
//!
//! ```text
//! cargo run --release --example connection
//! ```

use std::{error::Error, path::Path, sync::Mutex, thread};

use memolith::ResourcePool;
use rusqlite::Connection;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A query by one caller at a time: a connection is `Send`, and a `Mutex` makes it `Sync`.
type Database = Mutex<Connection>;

/// What the rest of the program calls. The path is the key, so two files are two connections.
fn count(pool: &ResourcePool, path: &Path) -> Result<u32> {
    let database = pool.entry::<Database>(path).validate(answers).or_try_insert_with(|| open(path))?;
    let connection = database.lock().map_err(|_| "a query panicked")?;
    Ok(connection.query_row("SELECT count(*) FROM stations", [], |row| row.get(0))?)
}

fn open(path: &Path) -> Result<Database, rusqlite::Error> {
    println!("opening {}", path.file_name().unwrap_or_default().display());
    Ok(Mutex::new(Connection::open(path)?))
}

/// A connection after a query that panicked is refused too: nobody knows in which state it is.
fn answers(database: &Database) -> bool {
    database.lock().is_ok_and(|connection| connection.query_row("SELECT 1", [], |_| Ok(())).is_ok())
}

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("stations.db");
    Connection::open(&path)?.execute_batch(
        "CREATE TABLE stations (name TEXT); INSERT INTO stations VALUES ('Bern'), ('Brig');",
    )?;

    let pool = ResourcePool::new();
    thread::scope(|scope| -> Result<()> {
        let callers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| count(&pool, &path).map_err(|error| error.to_string()))).collect();
        for caller in callers {
            println!("a thread counts {} stations", caller.join().map_err(|_| "a caller panicked")??);
        }
        Ok(())
    })?;

    println!("a query panics");
    let database = pool.get::<Database>(&path).ok_or("the connection is there")?;
    let panicked = thread::spawn(move || {
        let _connection = database.lock();
        std::panic::resume_unwind(Box::new("in the middle of a query"))
    });
    assert!(panicked.join().is_err());
    println!("and the next caller counts {} stations", count(&pool, &path)?);
    // The connection is closed here, before the directory goes.
    pool.clear();
    Ok(())
}
