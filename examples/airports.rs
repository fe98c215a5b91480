//! The ten nearest airports of every airport, computed once and remembered on disk.
//!
//! ```text
//! cargo run -p examples --example airports              # computes, then reads back: run it twice
//! cargo run -p examples --example airports -- --clear   # forgets
//! ```
//!
//! The answer is asked for until it comes from memory. Then the store is closed and this program starts
//! itself again, so that the last row comes from a process that has computed nothing.

use std::{
    env,
    error::Error,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use memolith::{FileStamp, Memo, Stats, Store};
use serde::{Deserialize, Serialize};

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");
const SAMPLES: [&str; 3] = ["JFK", "DEN", "HNL"];
const AFTER_RESTART: &str = "--after-restart";
const HELP: &str = "\
Finds the ten nearest airports of every airport, and remembers them.

Usage: cargo run -p examples --example airports [-- OPTION]

  --clear   forget what was computed
  --help    print this";

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// `Arc`: hits share one immutable value. With a plain `Vec` each hit would be the caller's own copy.
type Answer = Arc<Vec<Neighbours>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("airports: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<_> =
        env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => show(),
        ["--clear"] => clear(),
        ["--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        [AFTER_RESTART] => answer_the_parent(),
        [..] => Err(format!("unknown arguments `{}`; try --help", arguments.join(" ")).into()),
    }
}

// The slow part, as in a program without a cache.

#[derive(Deserialize)]
struct Airport {
    iata: String,
    name: String,
    latitude: f64,
    longitude: f64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Neighbours {
    airport: String,
    name: String,
    nearest: Vec<Neighbour>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Neighbour {
    airport: String,
    kilometres: f64,
}

fn nearest_of_all(path: &str) -> Result<Answer, csv::Error> {
    let airports = csv::Reader::from_path(path)?.deserialize().collect::<Result<Vec<Airport>, _>>()?;
    Ok(Arc::new(airports.iter().map(|airport| ten_nearest(airport, &airports)).collect()))
}

fn ten_nearest(from: &Airport, airports: &[Airport]) -> Neighbours {
    let others = airports.iter().filter(|to| to.iata != from.iata);
    let mut distances: Vec<_> = others.map(|to| (kilometres(from, to), to)).collect();
    distances.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let nearest = distances.into_iter().take(10);
    Neighbours {
        airport: from.iata.clone(),
        name: from.name.clone(),
        nearest: nearest.map(|(kilometres, to)| Neighbour { airport: to.iata.clone(), kilometres }).collect(),
    }
}

/// Along the great circle, by the haversine formula.
fn kilometres(from: &Airport, to: &Airport) -> f64 {
    const EARTH_DIAMETER: f64 = 2.0 * 6371.0;
    let half_sine = |one: f64, other: f64| ((other - one).to_radians() / 2.0).sin().powi(2);
    let parallels = from.latitude.to_radians().cos() * to.latitude.to_radians().cos();
    let haversine =
        half_sine(from.latitude, to.latitude) + parallels * half_sine(from.longitude, to.longitude);
    EARTH_DIAMETER * haversine.min(1.0).sqrt().asin()
}

// The same, remembered.

struct Atlas {
    store: Store,
    nearest: Memo<FileStamp, Answer>,
}

impl Atlas {
    fn open() -> Result<Self> {
        // Beside the program, in the build's own folder.
        let store = Store::open(env::current_exe()?.with_file_name("airports-cache"))?;
        let nearest = Memo::builder("airports/nearest").open(&store)?;
        Ok(Self { store, nearest })
    }

    /// An edited file has another stamp, so it is computed anew.
    fn nearest(&self) -> Result<Answer> {
        let stamp = FileStamp::of(AIRPORTS)?;
        Ok(self.nearest.get_or_try_insert_with(&stamp, || nearest_of_all(AIRPORTS))?)
    }

    fn close(self) -> Result<()> {
        drop(self.nearest);
        Ok(self.store.close()?)
    }
}

// The rest measures and prints.

#[derive(Clone, Copy, PartialEq)]
enum Source {
    Computed,
    Memory,
    Disk,
}

impl Source {
    /// Read from the counters before and after the call, and not assumed.
    fn between(before: &Stats, after: &Stats) -> Self {
        if after.hits.memory > before.hits.memory {
            Self::Memory
        } else if after.hits.disk > before.hits.disk {
            Self::Disk
        } else {
            Self::Computed
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Memory => "hit from memory",
            Self::Disk => "hit from disk",
        }
    }
}

struct Call {
    answer: Answer,
    source: Source,
    time: Duration,
}

fn call(atlas: &Atlas) -> Result<Call> {
    let before = atlas.nearest.stats();
    let start = Instant::now();
    let answer = atlas.nearest()?;
    let time = start.elapsed();
    Ok(Call { answer, source: Source::between(&before, &atlas.nearest.stats()), time })
}

fn show() -> Result<()> {
    let atlas = Atlas::open()?;
    let first = call(&atlas)?;
    // A hit saves the time of the computation, also of one in another process.
    let computing =
        if first.source == Source::Computed { first.time } else { atlas.nearest.stats().time_saved };
    headline(&first.answer);
    if first.source != Source::Computed {
        println!("{:<32}not needed: on disk since the last run", Source::Computed.label());
    }
    row(first.source.label(), first.time, computing);
    until_from_memory(&atlas, computing)?;
    if let Some(failure) = atlas.nearest.last_failure() {
        return Err(format!("the answer is right, but the cache did not work: {failure}").into());
    }
    atlas.close()?;
    let restarted = after_restart()?;
    row("hit from disk, after a restart", restarted, computing);
    samples(&first.answer);
    conclude(first.source, computing, restarted);
    Ok(())
}

/// The first hit after computing is decoded from disk, and kept in memory for the next one.
fn until_from_memory(atlas: &Atlas, computing: Duration) -> Result<()> {
    for _ in 0..2 {
        let next = call(atlas)?;
        row(next.source.label(), next.time, computing);
        if next.source == Source::Memory {
            break;
        }
    }
    Ok(())
}

fn after_restart() -> Result<Duration> {
    let child = Command::new(env::current_exe()?).arg(AFTER_RESTART).stderr(Stdio::inherit()).output()?;
    if !child.status.success() {
        return Err(format!("the restarted process failed: {}", child.status).into());
    }
    Ok(Duration::from_nanos(String::from_utf8(child.stdout)?.trim().parse()?))
}

/// The restarted process makes one call, and sends its nanoseconds to the parent.
fn answer_the_parent() -> Result<()> {
    let atlas = Atlas::open()?;
    let only = call(&atlas)?;
    if only.source != Source::Disk {
        return Err(format!("not a hit from disk after the restart, but {}", only.source.label()).into());
    }
    println!("{}", only.time.as_nanos());
    atlas.close()
}

fn clear() -> Result<()> {
    let atlas = Atlas::open()?;
    atlas.nearest.clear()?;
    println!("Forgotten. The next run computes again.");
    atlas.close()
}

fn headline(answer: &Answer) {
    let airports = answer.len();
    let pairs = airports * airports.saturating_sub(1);
    let tenths = (pairs + 50_000) / 100_000;
    println!(
        "The ten nearest of each of {airports} airports: {}.{} million distances.\n",
        tenths / 10,
        tenths % 10
    );
    println!("{:<32}{:>10}{:>16}", "", "time", "times faster");
}

fn row(label: &str, time: Duration, computing: Duration) {
    let times = times_faster(computing, time);
    println!("{label:<32}{time:>10.1?}{times:>16.0}");
}

fn times_faster(computing: Duration, time: Duration) -> f64 {
    computing.as_secs_f64() / time.as_secs_f64()
}

fn samples(answer: &Answer) {
    println!();
    for airport in answer.iter().filter(|airport| SAMPLES.contains(&airport.airport.as_str())) {
        let nearest = airport.nearest.iter().take(3);
        let listed: Vec<_> = nearest.map(|to| format!("{} {:.0} km", to.airport, to.kilometres)).collect();
        println!("Nearest to {} ({}): {}", airport.airport, airport.name, listed.join(", "));
    }
}

fn conclude(first: Source, computing: Duration, restarted: Duration) {
    let times = times_faster(computing, restarted);
    let next = match first {
        Source::Computed => "Run it again, and nothing is computed",
        Source::Memory | Source::Disk => "Nothing was computed in this run",
    };
    println!(
        "\nComputing took {computing:.1?}; a new process had the answer from disk in {restarted:.1?}, {times:.0} times faster."
    );
    println!("{next}. To forget: cargo run -p examples --example airports -- --clear");
}
