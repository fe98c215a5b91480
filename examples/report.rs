//! A report that draws while it computes. Shows that a hit draws the same, from disk too.
//!
//! ```text
//! cargo run -p examples --example report   # computed, then a hit; run it twice: nothing is computed
//! ```

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    path::{Path, PathBuf},
    time::Instant,
};

use memolith::{FileStamp, Memo, Store, effects};
use serde::{Deserialize, Serialize};

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");

/// The things that the report shows. They are stored with its value.
#[derive(Serialize, Deserialize)]
enum Shown {
    Header(String),
    Row { name: String, kilometres: f64 },
    Bar { label: String, value: usize, largest: usize },
    Success(String),
}

/// Called when the report shows something, and again at each hit.
fn draw(shown: &Shown) {
    match shown {
        Shown::Header(text) => println!("\n{text}\n{}", "-".repeat(text.chars().count())),
        Shown::Row { name, kilometres } => println!("{name:<28}{kilometres:>8.0} km"),
        Shown::Bar { label, value, largest } => {
            println!("{label:<4}{} {value}", "#".repeat(40 * value / (*largest).max(1)));
        }
        Shown::Success(text) => println!("\nok: {text}"),
    }
}

#[derive(Deserialize)]
struct Airport {
    name: String,
    state: String,
    latitude: f64,
    longitude: f64,
}

/// Nothing here knows of a terminal, or of a cache.
fn report(path: &str) -> Result<usize, csv::Error> {
    let airports = csv::Reader::from_path(path)?.deserialize().collect::<Result<Vec<Airport>, _>>()?;
    effects::emit(Shown::Header("The loneliest airports of Alaska".into()));
    let of_alaska = airports.iter().filter(|airport| airport.state == "AK");
    let mut lonely: Vec<_> = of_alaska.map(|airport| (to_the_nearest(airport, &airports), airport)).collect();
    lonely.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    for (kilometres, airport) in lonely.into_iter().take(5) {
        effects::emit(Shown::Row { name: airport.name.clone(), kilometres });
    }
    effects::emit(Shown::Header("The states with most airports".into()));
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for airport in &airports {
        *states.entry(&airport.state).or_default() += 1;
    }
    let mut states: Vec<_> = states.into_iter().collect();
    states.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let largest = states.first().map_or(0, |(_, count)| *count);
    for (label, value) in states.into_iter().take(6) {
        effects::emit(Shown::Bar { label: label.into(), value, largest });
    }
    effects::emit(Shown::Success(format!("{} airports were read", airports.len())));
    Ok(airports.len())
}

/// Along the great circle, by the haversine formula.
fn to_the_nearest(from: &Airport, all: &[Airport]) -> f64 {
    let half_sine = |one: f64, other: f64| ((other - one).to_radians() / 2.0).sin().powi(2);
    let distances = all.iter().filter(|to| !std::ptr::eq(*to, from)).map(|to| {
        let parallels = from.latitude.to_radians().cos() * to.latitude.to_radians().cos();
        let haversine =
            half_sine(from.latitude, to.latitude) + parallels * half_sine(from.longitude, to.longitude);
        2.0 * 6371.0 * haversine.min(1.0).sqrt().asin()
    });
    distances.fold(f64::INFINITY, f64::min)
}

/// Opens the store, shows the report, and closes the store. Returns the seconds of the call, and those that a hit saved.
fn show(folder: &Path) -> Result<(f64, f64), Box<dyn Error>> {
    let store = Store::open(folder)?;
    let reports: Memo<FileStamp, usize> = Memo::builder("report").effects(draw).open(&store)?;
    let stamp = FileStamp::of(AIRPORTS)?;
    let start = Instant::now();
    timed::memo(&reports, "the report", || reports.get_or_try_insert_with(&stamp, || report(AIRPORTS)))?;
    let seconds = start.elapsed().as_secs_f64();
    let saved = reports.stats().time_saved.as_secs_f64();
    drop(reports);
    store.close()?;
    Ok((seconds, saved))
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::var_os("MEMOLITH_DIR").map(PathBuf::from);
    let folder = folder
        .map_or_else(|| Ok(env::current_exe()?.with_file_name("report-cache")), Ok::<_, Box<dyn Error>>)?;
    show(&folder)?;
    println!("\nThe store is closed, and opened again.");
    let (seconds, saved) = show(&folder)?;
    println!("\nThe same was drawn from disk, {:.0} times quicker than it was computed.", saved / seconds);
    println!("kept in {}: the next run reads it there", folder.display());
    Ok(())
}
