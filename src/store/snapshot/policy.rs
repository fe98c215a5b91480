//! The policy of snapshots: written whole, or extended by a delta. Without files.

/// A snapshot of this length or less takes as long as a delta.
const SMALL: u64 = 8 << 10;

/// Written within about 20 ms: some 4,000 entries of 100 bytes, 5 us each. Of 100,000 entries each took 10 us, on a busy machine.
const QUICK: u64 = 1 << 20;

/// A quick one is written whole when it takes at most so many times the bytes of the delta.
const TIMES: u64 = 16;

/// One that takes longer than about a second is not written: the end of a program waits for it.
pub(crate) const LARGEST: u64 = 64 << 20;

/// All that the choice depends on, in bytes and numbers of entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// A whole snapshot of today, about.
    pub(crate) full: u64,
    /// The whole part of the snapshot that may be extended.
    pub(crate) base: u64,
    /// Its deltas so far.
    pub(crate) deltas: u64,
    /// Entries in that whole part.
    pub(crate) entries: u64,
    /// Records that changed since that snapshot.
    pub(crate) changed: u64,
}

impl Sizes {
    /// Whether a whole snapshot is better than a delta of so many bytes. Once it is, it is for longer deltas too.
    pub(crate) fn wants_full(&self, delta: u64) -> bool {
        self.full <= SMALL
            || self.full <= QUICK && self.full <= TIMES.saturating_mul(delta)
            || self.changed.saturating_mul(8) >= self.entries
            || self.deltas.saturating_add(delta).saturating_mul(4) > self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Sizes = Sizes { full: 64 << 20, base: 64 << 20, deltas: 0, entries: 300_000, changed: 1 };

    #[test]
    fn a_few_changes_of_a_large_store_are_a_delta() {
        assert!(!LARGE.wants_full(500));
        assert!(!Sizes { changed: 37_499, ..LARGE }.wants_full(8 << 20));
    }

    #[test]
    fn a_small_store_is_written_whole() {
        assert!(Sizes { full: SMALL, ..LARGE }.wants_full(1));
        assert!(!Sizes { full: SMALL + 1, ..LARGE }.wants_full(1));
    }

    #[test]
    fn a_quick_one_is_written_whole_when_it_costs_little_beside_the_change() {
        let quick = Sizes { full: 1 << 20, base: 1 << 20, ..LARGE };
        assert!(!quick.wants_full((64 << 10) - 1));
        assert!(quick.wants_full(64 << 10));
        assert!(!Sizes { full: QUICK + 1, ..LARGE }.wants_full(QUICK));
    }

    #[test]
    fn an_eighth_of_the_entries_or_a_quarter_of_the_bytes_makes_it_whole() {
        assert!(Sizes { changed: 37_500, ..LARGE }.wants_full(500));
        let extended = Sizes { deltas: 15 << 20, ..LARGE };
        assert!(!extended.wants_full(1 << 20));
        assert!(extended.wants_full((1 << 20) + 1));
    }

    /// With values of 100 bytes: the record of 184 bytes, its row and the old one, the rows of catalog and index.
    #[test]
    fn a_thousand_runs_that_change_one_entry_each_write_less_than_a_hundred_times_their_records() {
        const RECORD: u64 = 184;
        const DELTA: u64 = 32 + (26 + RECORD) + 74 + 18 + 91 + 183;
        for entries in [1, 5, 20, 40, 100, 1_000, 20_000, 200_000] {
            let full = 400 + entries * (RECORD + 100);
            let (mut deltas, mut written) = (0, 0);
            for _ in 0..1_000 {
                let sizes = Sizes { full, base: full, deltas, entries, changed: 1 };
                deltas = if sizes.wants_full(DELTA) { 0 } else { deltas + DELTA };
                written += if deltas == 0 { full } else { DELTA };
            }
            assert!(written < 100 * 1_000 * RECORD, "{entries} entries: {written} bytes");
        }
    }
}
