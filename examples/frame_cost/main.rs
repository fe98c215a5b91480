//! The cost of a large frame: to store, to copy, to share, and to read without a copy.
//!
//! ```text
//! # 10M and 50M rows
//! cargo run --release -p examples --features frames --example frame_cost
//! cargo run --release -p examples --features frames --example frame_cost -- --rows 10M,50M,100M,200M
//! ```
//!
//! A frame is four columns of `f64`, 32 bytes a row. Beside each size stand `clone()` and a plain `write` of the same
//! bytes, measured in the same run. The last rows come from a process of their own, which has computed nothing. The
//! table goes to the screen, a chart of the same figures to two files beside this program.

#![allow(clippy::cast_precision_loss, reason = "rows and bytes for people")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "an example")]

mod chart;
mod frame;
mod machine;
mod measure;
mod report;

use std::{env, error::Error, path::PathBuf, process::ExitCode};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Measures what large frames cost, beside clone() and write().

Usage: cargo run --release -p examples --features frames --example frame_cost [-- OPTIONS]

  --rows 10M,50M   sizes, in rows of four f64; `k` and `M` are understood (10M,50M unless told)
  --rounds N       how often each is measured; the median counts (3 unless told)
  --chart DIR      the folder of the chart (that of this program unless told); docs has the published one
  --help           print this";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frame_cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> =
        env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [measure::AFTER_RESTART, variant, directory] = words.as_slice() {
        return measure::answer_the_parent(variant, directory.as_ref());
    }
    if words.contains(&"--help") {
        println!("{HELP}");
        return Ok(());
    }
    let options = Options::of(&words)?;
    let mut costs = Vec::new();
    for rows in options.rows {
        match machine::room_for(rows) {
            Ok(()) => costs.push(measure::costs(rows, options.rounds)?),
            Err(reason) => println!("{} rows skipped: {reason}", machine::count(rows)),
        }
    }
    if costs.is_empty() {
        return Err("no size fits on this machine; try --rows 1M".into());
    }
    report::print(&costs);
    chart::draw(&costs, &options.chart)
}

struct Options {
    rows: Vec<usize>,
    rounds: usize,
    chart: PathBuf,
}

impl Options {
    fn of(words: &[&str]) -> Result<Self> {
        let program = env::current_exe()?;
        let chart = program.parent().map_or_else(env::temp_dir, PathBuf::from);
        let mut options = Self { rows: vec![10_000_000, 50_000_000], rounds: 3, chart };
        for option in words.chunks(2) {
            match *option {
                ["--rows", sizes] => options.rows = sizes.split(',').map(rows).collect::<Result<_>>()?,
                ["--rounds", rounds] => options.rounds = rounds.parse::<usize>()?.max(1),
                ["--chart", directory] => options.chart = directory.into(),
                _ => return Err(format!("unknown arguments `{}`; try --help", option.join(" ")).into()),
            }
        }
        Ok(options)
    }
}

/// `10M` is 10,000,000.
fn rows(text: &str) -> Result<usize> {
    let (digits, factor) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 1_000_000),
        None => text.strip_suffix('k').map_or((text, 1), |digits| (digits, 1_000)),
    };
    let rows =
        digits.parse::<usize>().ok().and_then(|count| count.checked_mul(factor)).filter(|rows| *rows > 0);
    rows.ok_or_else(|| format!("`{text}` is no number of rows, such as 500k or 10M").into())
}
