//! The results so far, one figure a line.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::PathBuf,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Result, run, task::Found};

/// The columns of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Measure {
    Miss,
    Hit,
    Again,
    /// Of the process that stored the values.
    Peak,
    /// Of the process that only read them.
    PeakAgain,
    Disk,
}

/// One figure in seconds or bytes, or the reason why there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Figure {
    Number(f64),
    None(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) peer: String,
    pub(crate) size: String,
    pub(crate) measure: Measure,
    pub(crate) figure: Figure,
}

pub(crate) fn figure(number: Option<f64>, found: &Found) -> Figure {
    let reason = || Figure::None(found.refused.clone().unwrap_or_else(|| "no figure".to_owned()));
    number.map_or_else(reason, Figure::Number)
}

fn path() -> PathBuf {
    run::directory().join("results.jsonl")
}

pub(crate) fn append(lines: &[Line]) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path())?;
    for line in lines {
        writeln!(file, "{}", serde_json::to_string(line)?)?;
    }
    Ok(())
}

fn lines() -> Result<Vec<Line>> {
    let text = match fs::read_to_string(path()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err("nothing was measured yet".into()),
        read => read?,
    };
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// The median of each cell; if it never had a figure, the reason.
pub(crate) fn medians() -> Result<BTreeMap<(String, String, Measure), Figure>> {
    let mut cells: BTreeMap<_, (Vec<f64>, String)> = BTreeMap::new();
    for Line { peer, size, measure, figure } in lines()? {
        let (numbers, reason) = cells.entry((peer, size, measure)).or_default();
        match figure {
            Figure::Number(number) => numbers.push(number),
            Figure::None(words) => *reason = words,
        }
    }
    let figure = |(numbers, reason)| median(numbers).map_or(Figure::None(reason), Figure::Number);
    Ok(cells.into_iter().map(|(cell, figures)| (cell, figure(figures))).collect())
}

/// The number of rounds of a size: each of its medians is of at least as many figures.
pub(crate) fn rounds(size: &str) -> Result<usize> {
    let mut turns: BTreeMap<(String, Measure), usize> = BTreeMap::new();
    for line in lines()?.into_iter().filter(|line| line.size == size) {
        *turns.entry((line.peer, line.measure)).or_default() += 1;
    }
    Ok(turns.into_values().min().unwrap_or_default())
}

/// The day of the last result, as `2026-11-26`.
pub(crate) fn day() -> Result<String> {
    let changed = fs::metadata(path())?.modified()?;
    Ok(DateTime::<Utc>::from(changed).format("%Y-%m-%d").to_string())
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    Some(if numbers.len() % 2 == 1 { upper } else { f64::midpoint(upper, numbers[middle - 1]) })
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
