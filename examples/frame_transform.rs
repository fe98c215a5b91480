//! Transforming a frame: airports by state. Shows a frame as an argument: its content is the key.
//!
//! ```text
//! cargo run -p examples --example frame_transform   # run it twice: the second time is a hit
//! ```

use std::{cmp::Reverse, collections::BTreeMap, error::Error};

use memolith::{code, memo};
use serde::{Deserialize, Serialize};

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");

/// Columns. `Serialize` makes it an argument, as it could be a result.
#[derive(Default, Serialize)]
struct Airports {
    code: Vec<String>,
    state: Vec<String>,
    latitude: Vec<f64>,
    longitude: Vec<f64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct State {
    name: String,
    airports: usize,
    /// The two that are closest to each other, by kilometres; none in a state with one airport.
    closest: Option<(f64, String, String)>,
}

/// One row a state, those with the most airports first.
///
/// The frame may come from a file, a query or another transform. With the same rows it is a hit, with one changed
/// cell a miss. So each call reads the frame from one end to the other. For a frame from one file `files(path)` is
/// quicker: the path is the argument then, and no frame is read.
#[memo(depends(kilometres))]
fn by_state(airports: &Airports) -> Vec<State> {
    type Airport<'a> = (&'a String, (f64, f64));

    let places = airports.latitude.iter().copied().zip(airports.longitude.iter().copied());
    let mut states = BTreeMap::<&str, Vec<Airport>>::new();
    for (state, airport) in airports.state.iter().zip(airports.code.iter().zip(places)) {
        states.entry(state).or_default().push(airport);
    }
    let row = |(name, airports): (&str, Vec<Airport>)| {
        let pairs = airports.iter().enumerate().flat_map(|(number, (one, here))| {
            let others = airports.iter().skip(number + 1);
            others.map(move |(other, there)| (kilometres(*here, *there), *one, *other))
        });
        let closest = pairs.min_by(|(one, ..), (other, ..)| one.total_cmp(other));
        State {
            name: name.to_owned(),
            airports: airports.len(),
            closest: closest.map(|(kilometres, one, other)| (kilometres, one.clone(), other.clone())),
        }
    };
    let mut states: Vec<_> = states.into_iter().map(row).collect();
    states.sort_by_key(|state| Reverse(state.airports));
    states
}

/// Along the great circle, by the haversine formula.
#[code]
fn kilometres(one: (f64, f64), other: (f64, f64)) -> f64 {
    let half_sine = |one: f64, other: f64| ((other - one).to_radians() / 2.0).sin().powi(2);
    let parallels = one.0.to_radians().cos() * other.0.to_radians().cos();
    2.0 * 6371.0 * (half_sine(one.0, other.0) + parallels * half_sine(one.1, other.1)).min(1.0).sqrt().asin()
}

fn read(path: &str) -> csv::Result<Airports> {
    #[derive(Deserialize)]
    struct Row {
        iata: String,
        state: String,
        latitude: f64,
        longitude: f64,
    }

    let mut airports = Airports::default();
    for row in csv::Reader::from_path(path)?.deserialize() {
        let Row { iata, state, latitude, longitude } = row?;
        airports.code.push(iata);
        airports.state.push(state);
        airports.latitude.push(latitude);
        airports.longitude.push(longitude);
    }
    Ok(airports)
}

fn main() -> Result<(), Box<dyn Error>> {
    let airports = read(AIRPORTS)?;
    let states = timed::memo(by_state_memo(), "airports by state", || by_state(&airports));
    for State { name, airports, closest } in states.iter().take(3) {
        let (kilometres, one, other) = closest.as_ref().ok_or("three states have more than one airport")?;
        println!("{name}: {airports} airports, closest are {one} and {other}, {kilometres:.1} km apart");
    }
    timed::kept();
    Ok(())
}
