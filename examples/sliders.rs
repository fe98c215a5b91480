//! Input widgets: a function reads the position of a slider by itself. Shows `inputs::scope` and `inputs::get`, and their limits.
//!
//! ```text
//! cargo run -p examples --example sliders   # run it twice: the second time the first part computes nothing
//! ```

use std::error::Error;

use memolith::{Memo, Store, code, inputs, memo};
use serde::Deserialize;

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");

#[derive(Deserialize)]
struct Airport {
    name: String,
    latitude: f64,
    longitude: f64,
}

#[code]
fn airports() -> Result<Vec<Airport>, Box<dyn Error>> {
    let text = inputs::read_to_string(AIRPORTS)?;
    Ok(csv::Reader::from_reader(text.as_bytes()).deserialize().collect::<Result<_, _>>()?)
}

/// It has no parameter. The file and the slider are its inputs, and each position has a value of its own.
#[memo(depends(airports))]
fn northernmost() -> Result<Vec<String>, Box<dyn Error>> {
    let rows: usize = inputs::get("Number of rows to get")?;
    let mut airports = airports()?;
    airports.sort_by(|one, other| other.latitude.total_cmp(&one.latitude));
    Ok(airports.into_iter().take(rows).map(|airport| airport.name).collect())
}

/// The page of the slider, with three new positions and two earlier ones.
fn one_slider() -> Result<(), Box<dyn Error>> {
    for position in [5_usize, 10, 20, 5, 10] {
        let names = inputs::scope(|page| {
            page.provide("Number of rows to get", position);
            timed::memo(northernmost_memo(), format!("{position} rows"), northernmost)
        })?;
        assert_eq!(names.len(), position);
    }
    let stats = northernmost_memo().stats();
    println!("5 positions: {} computed, {} hits", stats.inserts, stats.hits.total());
    timed::kept();
    Ok(())
}

const SLIDERS: [&str; 5] = ["south", "north", "west", "east", "letters"];
const STEPS: u32 = 1_000;

/// The airports between four sliders that have a short name. The sliders have the positions 0 to 9.
fn selected(airports: &[Airport], [south, north, west, east, letters]: [u8; 5]) -> usize {
    let is_between = |low: u8, at: f64, high: u8| f64::from(low) <= at && at <= f64::from(high);
    let is_selected = |airport: &&Airport| {
        is_between(south, (airport.latitude - 20.0) / 6.0, 10 - north)
            && is_between(west, (airport.longitude + 170.0) / 12.0, 10 - east)
            && airport.name.len() <= usize::from(letters) * 3 + 8
    };
    airports.iter().filter(is_selected).count()
}

/// One slider moves by one position at each step. A second user makes the same steps as the first one.
fn walk(step: impl Fn([u8; 5]) -> memolith::Result<()>) -> memolith::Result<()> {
    let (mut positions, mut random) = ([3_u8; 5], 0x9e37_79b9_u32);
    for _ in 0..STEPS {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if let Some(slider) = positions.get_mut((random >> 8) as usize % SLIDERS.len()) {
            *slider = if random >> 31 == 0 { (*slider + 1).min(9) } else { slider.saturating_sub(1) };
        }
        step(positions)?;
    }
    Ok(())
}

/// Five sliders with ten positions each have 100,000 permutations: as provided values, with a lower bound, and as a key.
fn five_sliders() -> Result<(), Box<dyn Error>> {
    let (airports, store, page) = (airports()?, Store::temporary()?, inputs::Scope::new());
    let by_inputs: Memo<str, usize> = Memo::builder("by inputs").open(&store)?;
    let bounded: Memo<str, usize> = Memo::builder("bounded").max_entries(40).open(&store)?;
    let by_key: Memo<[u8; 5], usize> = Memo::builder("by key").max_entries(2_000).open(&store)?;
    let provided = || -> memolith::Result<usize> {
        let mut positions = [0; 5];
        for (position, name) in positions.iter_mut().zip(SLIDERS) {
            *position = inputs::get(name)?;
        }
        Ok(selected(&airports, positions))
    };
    let step = |positions| {
        for (name, position) in SLIDERS.iter().zip(positions) {
            page.provide(*name, position);
        }
        let found = by_key.get_or_insert_with(&positions, || selected(&airports, positions));
        assert_eq!(page.run(|| by_inputs.get_or_try_insert_with("airports", provided))?, found);
        assert_eq!(page.run(|| bounded.get_or_try_insert_with("airports", provided))?, found);
        Ok(())
    };
    walk(step)?;
    walk(step)?;
    store.flush()?;
    println!("\n2 x {STEPS} steps of 5 sliders entries    hits   computed");
    let line = |name: &str, entries: usize, stats: memolith::stats::Stats| {
        println!("{name:<24}{entries:>10}{:>8}{:>11}", stats.hits.total(), stats.inserts);
    };
    line("provided values", by_inputs.len()?, by_inputs.stats());
    line("the same, at most 40", bounded.len()?, bounded.stats());
    line("in the key", by_key.len()?, by_key.stats());
    assert!(by_inputs.len()? <= 64 && bounded.len()? <= 40, "the bounds hold");
    assert!(by_key.stats().hits.total() > 2 * by_inputs.stats().hits.total());
    println!("A key keeps 64 variants. Values that callers vary freely belong in the key.");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    one_slider()?;
    five_sliders()
}
