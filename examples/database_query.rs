//! A query of a database, remembered for an hour. Shows `ttl`, and a parameter that is not in the key: the connection.
//!
//! ```text
//! cargo run -p examples --features sqlite --example database_query   # run it twice: the second time is hits
//! ```

use std::error::Error;

use memolith::memo;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");

#[derive(Clone, Serialize, Deserialize)]
struct State {
    name: String,
    crowded: u32,
}

/// The states with the most airports that have another airport closer than `degrees`.
///
/// `_db` begins with `_`, so any connection gets the same answer. The database does not notify this program of
/// changes, so it asks again after an hour. An error is not remembered, so the next call asks again at once.
#[memo(ttl = "1h")]
fn crowded(_db: &Connection, degrees: f64) -> rusqlite::Result<Vec<State>> {
    let mut query = _db.prepare(
        "SELECT one.state, count(DISTINCT one.iata) AS crowded FROM airports one JOIN airports other
         ON one.state = other.state AND one.iata <> other.iata
             AND abs(one.latitude - other.latitude) < ?1 AND abs(one.longitude - other.longitude) < ?1
         GROUP BY one.state ORDER BY crowded DESC, one.state LIMIT 3",
    )?;
    let states = query.query_map([degrees], |row| Ok(State { name: row.get(0)?, crowded: row.get(1)? }))?;
    states.collect()
}

/// The database of a program: in memory, filled from a file.
fn database() -> Result<Connection, Box<dyn Error>> {
    let mut database = Connection::open_in_memory()?;
    let filling = database.transaction()?;
    filling.execute_batch(
        "CREATE TABLE airports (iata TEXT, name TEXT, city TEXT, state TEXT, country TEXT, latitude REAL, longitude REAL)",
    )?;
    let mut insert = filling.prepare("INSERT INTO airports VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for row in csv::Reader::from_path(AIRPORTS)?.records() {
        insert.execute(rusqlite::params_from_iter(&row?))?;
    }
    drop(insert);
    filling.commit()?;
    Ok(database)
}

fn main() -> Result<(), Box<dyn Error>> {
    let database = database()?;
    for degrees in [0.1, 0.2] {
        let what = format_args!("airports within {degrees} degrees");
        let states = timed::memo(crowded_memo(), what, || crowded(&database, degrees))?;
        for State { name, crowded } in states {
            println!("{name}: {crowded}");
        }
    }
    if let Err(error) = crowded(&Connection::open_in_memory()?, 0.3) {
        println!("an error is the caller's, and not remembered: {error}");
    }
    timed::kept();
    Ok(())
}
