//! The snapshot at a close: written whole, extended by the rows that changed, or left as it is.

use super::{
    directory::{Directory, Place},
    index::{Index, SinceSnapshot},
    ledger::Ledger,
};
use crate::{
    clock::Deadline,
    error::Result,
    store::{
        engine::TableId,
        generation::Number,
        manifest,
        session::Session,
        snapshot::{self, Delta, RowKey, Sizes, Snapshot, Writer},
    },
    testing::Operation,
};

/// The number of rows that are read from a table in one stretch.
const ROWS: usize = 512;

/// The bytes of a row in a snapshot beside its key and value.
const FRAME: u64 = 6;

/// The snapshot of an index after its last change. `None` where there is none, because it would take too long.
pub(super) fn update_snapshot(
    directory: &Directory,
    session: &Session,
    index: &Index,
    ledger: &Ledger,
    deadline: Deadline,
) -> Result<Option<manifest::Snapshot>> {
    let Some(place) = directory.place.as_ref().filter(|_| !directory.is_temporary()) else { return Ok(None) };
    let Some(full) = length(ledger) else { return Ok(None) };
    directory.tuning.faults.check(Operation::Snapshot)?;
    if let Some(since) = index.since_snapshot() {
        match extend(directory, place, index, ledger, &since, full) {
            Ok(Some(extended)) => return Ok(Some(extended)),
            Ok(None) => {}
            // It is damaged, or gone.
            Err(error) => session.note_failed(&error),
        }
    }
    if full > snapshot::LARGEST {
        return Ok(None);
    }
    write_whole(directory, place, index, ledger, deadline)
}

/// The length of a whole snapshot, about. `None` while entries are being counted.
fn length(ledger: &Ledger) -> Option<u64> {
    let tally = ledger.tally(None)?;
    let catalog: usize = ledger.iter().map(|(_, generation)| 16 + generation.row.encode().len()).sum();
    let rows = 2 * tally.entries + ledger.iter().count() as u64 + 1;
    Some(tally.indexed + catalog as u64 + ledger.index_row.encode().len() as u64 + rows * FRAME)
}

/// Appends the changed rows. `None` where a whole snapshot is better.
fn extend(
    directory: &Directory,
    place: &Place,
    index: &Index,
    ledger: &Ledger,
    since: &SinceSnapshot,
    full: u64,
) -> Result<Option<manifest::Snapshot>> {
    if since.changed.is_empty() {
        return Ok(Some(since.snapshot));
    }
    let found = Snapshot::open(&place.path, &since.snapshot)?;
    let is_wanted = |key: &&RowKey| is_live(ledger, key.table, key.key());
    let changed: Vec<&RowKey> = since.changed.iter().filter(is_wanted).collect();
    let sizes = Sizes {
        full,
        base: found.base(),
        deltas: since.snapshot.length.saturating_sub(found.base()),
        entries: found.entries(),
        changed: changed.iter().filter(|key| key.table == TableId::Records).count() as u64,
    };
    let mut delta = Delta::new();
    for key in changed {
        if sizes.wants_full(delta.length()) {
            return Ok(None);
        }
        delta.push(key, index.engine.table(key.table).get(key.key())?.as_deref())?;
        directory.made_progress();
    }
    if sizes.wants_full(delta.length()) {
        return Ok(None);
    }
    delta.append(&place.path, &since.snapshot).map(Some)
}

fn write_whole(
    directory: &Directory,
    place: &Place,
    index: &Index,
    ledger: &Ledger,
    deadline: Deadline,
) -> Result<Option<manifest::Snapshot>> {
    let mut writer = Writer::create(&place.path)?;
    for table in TableId::ALL {
        let mut seen = None;
        loop {
            let rows = index.engine.table(table).rows(&[], seen.as_deref(), ROWS)?;
            let live = rows.iter().filter(|(key, _)| is_live(ledger, table, key));
            live.into_iter().try_for_each(|(key, value)| writer.push(table, key, value))?;
            directory.made_progress();
            if deadline.remaining().is_none() {
                return Ok(None);
            }
            let Some((last, _)) = rows.last() else { break };
            seen = Some(last.clone());
        }
    }
    writer.finish(&place.path, snapshot::unused_number(&place.path)).map(Some)
}

/// Whether a row is not of a number that was given up.
fn is_live(ledger: &Ledger, table: TableId, key: &[u8]) -> bool {
    table == TableId::Catalog
        || Number::of_key(key).is_some_and(|number| !ledger.index_row.dead.contains(&number))
}
