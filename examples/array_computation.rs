//! Computing with arrays: the density of airports. Shows `packed`: numbers are stored as their bytes.
//!
//! ```text
//! cargo run -p examples --example array_computation   # run it twice: the second time is a hit
//! ```

#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "small numbers, and none below zero")]
#![allow(clippy::indexing_slicing, reason = "the size of a grid is checked once")]

use std::{error::Error, path::Path, sync::Arc};

use memolith::{code, memo};
use serde::{Deserialize, Serialize};

const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/airports.csv");

/// The corners of the counted box, as longitude and latitude.
const WEST: f64 = -125.0;
const EAST: f64 = -66.0;
const SOUTH: f64 = 24.0;
const NORTH: f64 = 50.0;

/// Row by row, from the north west.
#[derive(Serialize, Deserialize)]
struct Grid {
    columns: usize,
    /// Without this line serde handles number after number. With it all numbers are one piece.
    #[serde(with = "memolith::packed")]
    cells: Vec<f64>,
}

/// Airports counted in a grid of cells, which is then blurred by a bell curve along both axes: a density.
///
/// In an `Arc`, because no caller changes it: hits in one process share one grid.
#[memo(files(path), depends(count, blur, transpose))]
fn density(path: &Path, columns: usize, rows: usize) -> csv::Result<Arc<Grid>> {
    let across = blur(&count(path, columns, rows)?, columns);
    let along = blur(&transpose(&across, columns), rows);
    Ok(Arc::new(Grid { columns, cells: transpose(&along, rows) }))
}

#[code]
fn count(path: &Path, columns: usize, rows: usize) -> csv::Result<Vec<f64>> {
    #[derive(Deserialize)]
    struct Place {
        latitude: f64,
        longitude: f64,
    }

    let mut cells = vec![0.0; columns * rows];
    for place in csv::Reader::from_path(path)?.deserialize() {
        let Place { latitude, longitude } = place?;
        let x = ((longitude - WEST) / (EAST - WEST) * columns as f64).floor();
        let y = ((NORTH - latitude) / (NORTH - SOUTH) * rows as f64).floor();
        if (0.0..columns as f64).contains(&x) && (0.0..rows as f64).contains(&y) {
            cells[y as usize * columns + x as usize] += 1.0;
        }
    }
    Ok(cells)
}

/// Along each row: a cell becomes the weighted mean of those around it. Beyond the ends of a row are zeros.
#[code]
fn blur(cells: &[f64], columns: usize) -> Vec<f64> {
    const REACH: usize = 20;
    let weights: Vec<f64> = (0..=REACH).map(|away| (-0.5 * (away as f64 / 8.0).powi(2)).exp()).collect();
    let total = 2.0 * weights.iter().sum::<f64>() - 1.0;
    let blurred = |row: &[f64], center: usize| {
        let near = row
            .iter()
            .enumerate()
            .skip(center.saturating_sub(REACH))
            .take_while(|(x, _)| *x <= center + REACH);
        near.map(|(x, cell)| cell * weights[x.abs_diff(center)]).sum::<f64>() / total
    };
    cells.chunks(columns).flat_map(|row| (0..columns).map(move |x| blurred(row, x))).collect()
}

#[code]
fn transpose(cells: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|x| cells.iter().skip(x).step_by(columns).copied()).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let (columns, rows) = (300, 160);
    let what = format_args!("{columns} x {rows} cells");
    let grid = timed::memo(density_memo(), what, || density(Path::new(AIRPORTS), columns, rows))?;
    draw(&grid);
    timed::kept();
    Ok(())
}

/// Every fifth cell of every tenth row as a letter.
fn draw(grid: &Grid) {
    let highest = grid.cells.iter().copied().fold(0.0, f64::max);
    for row in grid.cells.chunks(grid.columns).step_by(10) {
        let shade = |cell: &f64| [' ', '.', ':', '+', '*', '#'][(cell / highest * 5.99) as usize];
        println!("{}", row.iter().step_by(5).map(shade).collect::<String>());
    }
}
