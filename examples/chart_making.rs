//! Making charts: a map of the airports of a state. Shows bounds: there are never more charts than fit.
//!
//! ```text
//! # run it twice: the second time is hits
//! cargo run -p examples --features charts --example chart_making
//! # the file of the last map, and the states
//! cargo run -p examples --features charts --example chart_making -- airports.svg FL
//! ```

use std::{env, error::Error, fs, ops::Range, path::Path};

use memolith::{code, memo};
use plotters::{
    prelude::*,
    style::{FontStyle, register_font},
};
use serde::Deserialize;

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");

#[derive(Deserialize)]
struct Airport {
    state: String,
    latitude: f64,
    longitude: f64,
}

/// The map of `state`, as SVG.
///
/// The number of charts is bounded. With the 51st the first one leaves, and sooner when all of them weigh more than 4
/// MiB. Both bounds hold on disk, over all runs.
#[memo(files(path), max_entries = 50, max_bytes = 4 << 20, depends(extent))]
fn map(path: &Path, state: &str) -> Result<String, Box<dyn Error>> {
    let airports = csv::Reader::from_path(path)?.deserialize().collect::<csv::Result<Vec<Airport>>>()?;
    let inside: Vec<_> = airports.iter().filter(|airport| airport.state == state).collect();
    if inside.is_empty() {
        return Err(format!("no airport is in {state}").into());
    }
    let longitudes = extent(inside.iter().map(|airport| airport.longitude));
    let latitudes = extent(inside.iter().map(|airport| airport.latitude));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (800, 600)).into_drawing_area();
        area.fill(&WHITE)?;
        let title = format!("{state}, {} airports", inside.len());
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 24))
            .margin(16)
            .x_label_area_size(30)
            .y_label_area_size(40)
            .build_cartesian_2d(longitudes, latitudes)?;
        chart.configure_mesh().draw()?;
        chart.draw_series(inside.iter().map(|airport| {
            Circle::new((airport.longitude, airport.latitude), 3, RGBColor(33, 102, 172).mix(0.6).filled())
        }))?;
        area.present()?;
    }
    Ok(svg)
}

#[code]
fn extent(numbers: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) =
        numbers.fold((f64::MAX, f64::MIN), |(least, most), number| (number.min(least), number.max(most)));
    least - 0.5..most + 0.5
}

fn main() -> Result<(), Box<dyn Error>> {
    // With plotters' default features the fonts of the system are there.
    register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the font of the charts cannot be read")?;
    let mut arguments = env::args().skip(1);
    let to = arguments.next();
    let mut states: Vec<_> = arguments.collect();
    if states.is_empty() {
        states = ["TX", "CA", "AK"].map(String::from).to_vec();
    }
    for state in states {
        let svg = timed::memo(map_memo(), &state, || map(Path::new(AIRPORTS), &state))?;
        println!("a map of {} bytes", svg.len());
        if let Some(to) = &to {
            fs::write(to, svg)?;
        }
    }
    timed::kept();
    Ok(())
}
