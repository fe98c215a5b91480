//! The table on the screen.

use std::time::Duration;

use crate::{
    frame::ROW,
    machine::{bytes, count},
    measure::{Cost, Costs},
};

/// The text of a row for one size.
type Cell<'a> = Box<dyn Fn(&Costs) -> String + 'a>;

pub(crate) fn print(costs: &[Costs]) {
    let rows: Vec<(&str, Cell<'_>)> = vec![
        ("", Box::new(|costs| format!("{} ({})", count(costs.rows), bytes((costs.rows * ROW) as u64)))),
        ("write() of the same bytes", Box::new(|costs| time(costs.write))),
        ("clone()", Box::new(|costs| time(costs.clone))),
        ("first run, plain vectors", Box::new(|costs| beside(costs.plain.first, costs.write, "write"))),
        ("first run, packed", Box::new(|costs| beside(costs.packed.first, costs.write, "write"))),
        ("first run, record batch", Box::new(|costs| beside(costs.zero_copy.first, costs.write, "write"))),
        ("own copy, plain vectors", Box::new(|costs| beside(costs.plain.later, costs.clone, "clone"))),
        ("own copy, packed", Box::new(|costs| beside(costs.packed.later, costs.clone, "clone"))),
        ("shared (Arc), from memory", Box::new(|costs| time(costs.shared.later))),
        ("zero-copy (Arrow), from disk", Box::new(|costs| time(costs.zero_copy.later))),
        ("after a restart, plain", Box::new(|costs| beside(costs.plain.restarted, costs.clone, "clone"))),
        ("after a restart, packed", Box::new(|costs| beside(costs.packed.restarted, costs.clone, "clone"))),
        ("after a restart, zero-copy", Box::new(|costs| time(costs.zero_copy.restarted))),
        ("memory to store it, plain", Box::new(|costs| extra(&costs.plain))),
        ("memory to store it, packed", Box::new(|costs| extra(&costs.packed))),
    ];
    for (name, cell) in &rows {
        let cells: Vec<String> = costs.iter().map(|costs| format!("{:>22}", cell(costs))).collect();
        println!("{name:<30}{}", cells.join(""));
    }
}

fn beside(measured: Duration, reference: Duration, name: &str) -> String {
    let ratio = measured.as_secs_f64() / reference.as_secs_f64();
    format!("{}  {ratio:.2} {name}", time(measured))
}

fn extra(cost: &Cost) -> String {
    cost.extra.map_or_else(|| "-".into(), bytes)
}

pub(crate) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 1e-3 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{:.2} us", seconds * 1e6),
    }
}
