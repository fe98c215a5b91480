//! Remarks by hand on the figures of one run. They may not hold for another run, so the page of another run leaves them out.

/// The day of that run.
const DAY: &str = "2026-11-26";

/// Ends the paragraph on the spread of misses.
pub(crate) const SPREAD: &str = "Of memolith's five rounds of 256 KiB the first three took 1.7 to 2.2 ms, the others \
    0.4 and 0.5; its three rows at 10 M rows, which write the same bytes, took 134 to 624 ms.";

/// Ends the words below `Miss`.
pub(crate) const MISS: &str = "memolith's figures are older than the hand-over of its values: the caller wrote each \
    value itself.";

/// The words, with the remark when it is on the run of `day`.
pub(crate) fn with(words: &str, remark: &str, day: &str) -> String {
    if day == DAY { format!("{words} {remark}") } else { words.to_owned() }
}
