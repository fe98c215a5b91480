//! One frame in the four forms that are compared.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use serde::{Deserialize, Serialize};

pub(crate) const COLUMNS: usize = 4;
pub(crate) const ROW: usize = COLUMNS * size_of::<f64>();

/// Plain vectors, as in an ordinary program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plain {
    pub columns: Vec<Vec<f64>>,
}

/// Packed vectors: runs of bytes for any serializer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Packed {
    #[serde(with = "memolith::packed")]
    pub columns: Vec<Vec<f64>>,
}

/// The slow function of this example; its own time is not measured.
pub(crate) fn columns(rows: usize) -> Vec<Vec<f64>> {
    let column = |number: usize| (0..rows).map(|row| (row * COLUMNS + number) as f64 * 0.25).collect();
    (0..COLUMNS).map(column).collect()
}

/// Takes the vectors over: no copy.
pub(crate) fn batch(columns: Vec<Vec<f64>>) -> RecordBatch {
    let array = |column: Vec<f64>| Arc::new(Float64Array::from(column)) as ArrayRef;
    let named = columns.into_iter().enumerate().map(|(number, column)| (format!("c{number}"), array(column)));
    RecordBatch::try_from_iter(named).unwrap()
}

/// A few numbers of each column, to compare a returned value with the stored one.
pub(crate) fn sample<'a>(columns: impl IntoIterator<Item = &'a [f64]>) -> Vec<f64> {
    columns
        .into_iter()
        .flat_map(|column| [column[0], column[column.len() / 2], column[column.len() - 1]])
        .collect()
}

pub(crate) fn batch_columns(batch: &RecordBatch) -> impl Iterator<Item = &[f64]> {
    batch.columns().iter().map(|column| &column.as_any().downcast_ref::<Float64Array>().unwrap().values()[..])
}
