//! docs/benchmarks.md, from the results. The words of the page are here, and its remarks on one run in `remarks.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs, thread,
};

use crate::{
    Result, remarks,
    results::{self, Figure, Measure},
    run,
    task::{CHURN, LIVE, OURS, PEERS, Peer, SIZES},
};

type Cells = BTreeMap<(String, String, Measure), Figure>;

const MEASURES: [(Measure, &str, &str); 5] = [
    (
        Measure::Miss,
        "Miss",
        "The first call of a key, without the computation, until the caller has the value.",
    ),
    (Measure::Hit, "Hit", "A call in the process that stored the value."),
    (
        Measure::Again,
        "Hit after restart",
        "The first call of a key in a new process; the files are in the page cache.",
    ),
    (
        Measure::Peak,
        "Peak memory",
        "The largest resident size of the process that stored and read the values. It includes the values of the \
        computation and mapped files.",
    ),
    (Measure::PeakAgain, "Peak memory after restart", "The same of a process that only reads the values."),
];

/// A peer is called ahead below this ratio. A smaller difference is noise.
const AHEAD: f64 = 0.95;

/// The run that the page is about.
struct Run {
    /// Its last day, as `2026-11-26`.
    day: String,
    machine: String,
    /// The number of rounds of each size, in words.
    rounds: String,
}

pub(crate) fn write() -> Result<()> {
    let cells = results::medians()?;
    let run = Run { day: results::day()?, machine: machine()?, rounds: rounds()? };
    fs::write(run::root().join("docs/benchmarks.md"), page(&cells, &run)?)?;
    eprintln!("written: docs/benchmarks.md");
    Ok(())
}

fn page(cells: &Cells, run: &Run) -> Result<String> {
    let mut page = head(run);
    for (measure, title, words) in MEASURES {
        let words = if measure == Measure::Miss {
            remarks::with(words, remarks::MISS, &run.day)
        } else {
            words.to_owned()
        };
        write!(page, "\n## {title}\n\n{words}\n\n")?;
        table(&mut page, cells, measure, &SIZES.map(|size| size.name))?;
    }
    write!(
        page,
        "\n## Disk use after churn\n\n{} values of 256 KiB come and go, and {LIVE} of them, 8 MiB, are live at the end. \
         Caches with a bound on their entries apply it; for the others the oldest entry is removed after each call. The \
         figure is the size of the files after the end of the process.\n\n",
        CHURN.calls,
    )?;
    table(&mut page, cells, Measure::Disk, &[CHURN.name])?;
    page.push_str(
        "\n## Where a peer is ahead\n\nBy more than 5 %, compared with the row `memolith`. In that row the value is stored \
         before the call returns, and each caller gets its own value. moka and quick_cache store nothing, foyer stores \
         later, and foyer and joblib with mmap share one value, as `memolith, Arc<V>` does.\n\n",
    );
    ahead(&mut page, cells)?;
    reasons(&mut page, cells)?;
    notes(&mut page)?;
    Ok(page)
}

fn machine() -> Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = kernel.split(['-', '+']).next().unwrap_or_default().trim();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kibibytes: f64 = memory.split_whitespace().nth(1).unwrap_or_default().parse()?;
    let processors = thread::available_parallelism()?;
    let gibibytes = kibibytes / f64::from(1 << 20);
    Ok(format!("{processors} virtual CPUs, {gibibytes:.0} GiB of memory, Linux {kernel}"))
}

fn head(run: &Run) -> String {
    let Run { day, machine, rounds } = run;
    let spread = "A miss of 256 KiB and more depends on unfinished writes of the peer before it.";
    format!(
        "# The same work through other caches\n\n\
         Written by `just peers` (`.ci/run peers`) on {day}, with {machine}.\n\n\
         The same values go through each cache: {}. A frame has four columns of `f64`, so 10 M rows are 320 MB and 50 M \
         rows 1.6 GB; in Python it is a pandas `DataFrame`. Each peer does each size in a process of its own, and they \
         take turns. A figure is the mean of a call, and the median over the rounds ({rounds}); of hits it is the median \
         pass over all keys. In brackets is its ratio to memolith's: below 1 the peer is ahead. The reasons for dashes \
         are below.\n\n\
         {}\n",
        SIZES.map(|size| size.name).join(", "),
        remarks::with(spread, remarks::SPREAD, day),
    )
}

/// The number of rounds of each size. A size without any has dashes only.
fn rounds() -> Result<String> {
    let mut words = Vec::new();
    for size in SIZES.iter().chain([&CHURN]) {
        words.push(match results::rounds(size.name)? {
            0 => format!("{} not measured this time", size.name),
            rounds => format!("{rounds} of {}", size.name),
        });
    }
    Ok(words.join(", "))
}

fn table(page: &mut String, cells: &Cells, measure: Measure, sizes: &[&str]) -> Result<()> {
    writeln!(page, "| | {} |", sizes.join(" | "))?;
    writeln!(page, "|---{}|", "|---:".repeat(sizes.len()))?;
    for peer in &PEERS {
        let row: Vec<String> = sizes.iter().map(|size| cell(cells, peer.name, size, measure)).collect();
        writeln!(page, "| {} | {} |", peer.name, row.join(" | "))?;
    }
    Ok(())
}

fn number(cells: &Cells, peer: &str, size: &str, measure: Measure) -> Option<f64> {
    match cells.get(&(peer.to_owned(), size.to_owned(), measure))? {
        Figure::Number(number) => Some(*number),
        Figure::None(_) => None,
    }
}

fn cell(cells: &Cells, peer: &str, size: &str, measure: Measure) -> String {
    let Some(figure) = number(cells, peer, size, measure) else { return "–".to_owned() };
    let ratio = number(cells, OURS, size, measure).map(|ours| figure / ours);
    match ratio.filter(|_| peer != OURS) {
        Some(ratio) => format!("{} ({})", readable(figure, measure), significant(ratio)),
        None => readable(figure, measure),
    }
}

fn readable(figure: f64, measure: Measure) -> String {
    let units: &[(f64, &str)] = match measure {
        Measure::Miss | Measure::Hit | Measure::Again => {
            &[(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")]
        }
        _ => &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB")],
    };
    let unit = units.iter().find(|(unit, _)| figure >= *unit).or(units.last());
    unit.map(|(unit, name)| format!("{} {name}", significant(figure / unit))).unwrap_or_default()
}

/// Two or three significant digits.
fn significant(number: f64) -> String {
    match number {
        ..0.1 => format!("{number:.3}"),
        ..1.0 => format!("{number:.2}"),
        ..10.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// One sentence a peer and measure. Our own rows and the reference are no peers.
fn ahead(page: &mut String, cells: &Cells) -> Result<()> {
    let measures = MEASURES.iter().map(|(measure, title, _)| (*measure, *title));
    let measures: Vec<_> = measures.chain([(Measure::Disk, "Disk use after churn")]).collect();
    for peer in PEERS.iter().filter(|peer| !peer.name.starts_with(OURS) && !peer.package.is_empty()) {
        for (measure, title) in &measures {
            let wins: Vec<String> = SIZES
                .iter()
                .chain([&CHURN])
                .filter_map(|size| win(cells, peer, size.name, *measure))
                .collect();
            if !wins.is_empty() {
                writeln!(page, "- **{}**, {}: {}.", peer.name, title.to_lowercase(), wins.join("; "))?;
            }
        }
    }
    Ok(())
}

fn win(cells: &Cells, peer: &Peer, size: &str, measure: Measure) -> Option<String> {
    let (theirs, ours) = (number(cells, peer.name, size, measure)?, number(cells, OURS, size, measure)?);
    let (them, us) = (readable(theirs, measure), readable(ours, measure));
    // The title names the size.
    let size = if measure == Measure::Disk { String::new() } else { format!("{size} ") };
    (theirs < AHEAD * ours).then(|| format!("{size}{them} against {us}"))
}

fn reasons(page: &mut String, cells: &Cells) -> Result<()> {
    page.push_str("\n## Why there is no figure\n\n");
    for peer in &PEERS {
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for ((name, size, _), figure) in cells {
            if let (true, Figure::None(reason)) = (name == peer.name, figure) {
                missing.entry(reason).or_default().insert(size);
            }
        }
        for (reason, sizes) in missing {
            let sizes: Vec<&str> = sizes.into_iter().collect();
            writeln!(page, "- **{}** ({}): {}.", peer.name, sizes.join(", "), reason.trim_end_matches('.'))?;
        }
    }
    Ok(())
}

fn notes(page: &mut String) -> Result<()> {
    page.push_str("\n## The peers\n\n| | version | how it is used |\n|---|---|---|\n");
    let python = python_versions();
    for peer in &PEERS {
        let version = if peer.is_python { python.get(peer.package).cloned() } else { locked(peer.package) };
        writeln!(page, "| {} | {} | {} |", peer.name, version.unwrap_or_default(), peer.note)?;
    }
    let of = |name: &str| python.get(name).cloned().unwrap_or_default();
    let (language, pandas, numpy) = (of("python"), of("pandas"), of("numpy"));
    Ok(writeln!(page, "\nPython {language} with pandas {pandas} and numpy {numpy}.")?)
}

/// The version in this program.
fn locked(package: &str) -> Option<String> {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version.to_owned())
}

/// Empty where there is no Python.
fn python_versions() -> BTreeMap<String, String> {
    let output = run::python().arg("versions").output();
    output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_the_unit_that_makes_it_short() {
        assert_eq!(readable(0.000_000_33, Measure::Hit), "330 ns");
        assert_eq!(readable(0.012_4, Measure::Miss), "12 ms");
        assert_eq!(readable(1.64e9, Measure::Peak), "1.6 GB");
    }

    #[test]
    fn a_peer_is_ahead_only_beyond_the_noise() {
        let cell = |peer: &str, number| {
            ((peer.to_owned(), "4 KiB".to_owned(), Measure::Hit), Figure::Number(number))
        };
        let moka = PEERS.iter().find(|peer| peer.name == "moka").unwrap();
        let win =
            |theirs| win(&Cells::from([cell(OURS, 1e-6), cell("moka", theirs)]), moka, "4 KiB", Measure::Hit);
        assert_eq!(win(0.96e-6), None);
        assert_eq!(win(0.5e-6).as_deref(), Some("4 KiB 500 ns against 1.0 us"));
    }

    /// Headings and paragraphs, each on one line. Lists, and the paragraphs on the machine and on Python, are results.
    fn prose(page: &str) -> Vec<String> {
        let paragraphs = page.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        let is_result =
            |text: &String| ["|", "- ", "Written by", "Python"].iter().any(|start| text.starts_with(start));
        paragraphs.filter(|text| !text.is_empty() && !is_result(text)).collect()
    }

    #[test]
    fn the_page_has_the_words_of_this_program() {
        let written = include_str!("../../docs/benchmarks.md");
        let between = |start: &str, end: &str| {
            let (_, rest) = written.split_once(start).unwrap();
            rest.split_once(end).unwrap().0.to_owned()
        };
        let run =
            Run { day: between("`) on ", ","), machine: String::new(), rounds: between("the rounds (", ")") };
        assert_eq!(prose(&page(&Cells::new(), &run).unwrap()), prose(written));
        for peer in &PEERS {
            assert!(written.contains(&format!(" | {} |\n", peer.note)), "{}: {}", peer.name, peer.note);
        }
    }
}
