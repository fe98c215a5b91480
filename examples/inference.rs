//! Running a model: in which state does a place lie? Shows `key`: the model's name stands for the model.
//!
//! ```text
//! cargo run -p examples --example inference   # run it twice: the second time is hits
//! ```
//!
//! The example `model` shows the other half: a model that is loaded once for all threads.

use std::error::Error;

use memolith::{FileStamp, memo};
use serde::{Deserialize, Serialize};

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");

#[derive(Clone, Serialize, Deserialize)]
struct Place {
    state: String,
    latitude: f64,
    longitude: f64,
}

/// The nearest of the known places vote.
struct Model {
    /// Its origin: another file or another number of votes is another model.
    name: (FileStamp, usize),
    seen: Vec<Place>,
}

impl Model {
    fn learn(path: &str, votes: usize) -> Result<(Self, Vec<Place>), Box<dyn Error>> {
        let name = (FileStamp::of(path)?, votes);
        let places = csv::Reader::from_path(path)?.deserialize().collect::<csv::Result<Vec<Place>>>()?;
        let (asked, seen) =
            places.into_iter().enumerate().partition::<Vec<_>, _>(|(number, _)| number % 20 == 0);
        let places = |numbered: Vec<(usize, Place)>| numbered.into_iter().map(|(_, place)| place).collect();
        Ok((Self { name, seen: places(seen) }, places(asked)))
    }

    /// The state of each place. The model has seen none of these places.
    ///
    /// A real model is large, so its name is in the key, and the model is not. The name must cover everything that
    /// the answer depends on. The expression is evaluated at each call, may use all parameters, and may borrow from
    /// them.
    #[memo(key = (&self.name, places))]
    fn states(&self, places: &[(f64, f64)]) -> Vec<String> {
        let state = |(latitude, longitude): &(f64, f64)| {
            let slimness = latitude.to_radians().cos();
            let distance = |seen: &Place| {
                (seen.latitude - latitude).powi(2) + ((seen.longitude - longitude) * slimness).powi(2)
            };
            let mut near: Vec<_> = self.seen.iter().map(|seen| (distance(seen), &seen.state)).collect();
            near.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            near.truncate(self.name.1);
            let votes = |state: &String| near.iter().filter(|(_, other)| *other == state).count();
            // Among equals the last one wins: the nearest.
            let elected = near.iter().rev().max_by_key(|(_, state)| votes(state));
            elected.map(|(_, state)| (*state).clone()).unwrap_or_default()
        };
        places.iter().map(state).collect()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    for votes in [1, 5] {
        let (model, asked) = Model::learn(AIRPORTS, votes)?;
        let places: Vec<_> = asked.iter().map(|place| (place.latitude, place.longitude)).collect();
        let what = format_args!("{} places, {votes} votes", places.len());
        let states = timed::memo(Model::states_memo(), what, || model.states(&places));
        let right = states.iter().zip(&asked).filter(|(state, place)| **state == place.state).count();
        println!("{right} of them lie in the state that the model says");
    }
    timed::kept();
    Ok(())
}
