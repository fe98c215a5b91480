//! Filling a new index from the heads of the payload files, when the old index was lost: the costliest results survive
//! even that. Entries without a file come from the snapshot, if the store was closed: then nothing was removed since.
//!
//! Removed, overwritten, evicted and cleared entries do not come back: their files left the folder before their records
//! went. Of two files of one key the one of the higher sequence is the newer. Remaining files are retired as orphans.
//!
//! 10,000 heads take about 0.2 s. The worker does this before it applies the first change: a new entry must come behind
//! all that are found.

use std::{
    collections::{HashMap, HashSet},
    error::Error as _,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    directory::Directory,
    index::Index,
    ledger::{Generation, Ledger},
    order::{Account, OrderRow},
};
use crate::{
    clock::{Expiry, Timestamp},
    error::{Error, Result},
    key::Digest,
    record::{BlobId, Body, Record},
    store::{
        blob::{self, Head},
        engine::{Bytes, TableId},
        generation::{CatalogRow, GenerationId, IndexRow, Number, Tally},
        session::Session,
        snapshot::Snapshot,
    },
    variants::Variants,
};

/// The number of rows of the snapshot that are read in one stretch.
const ROWS: usize = 512;

/// One entry, as far as it takes to choose among those of its key.
struct Candidate {
    sequence: u64,
    source: Source,
}

enum Source {
    /// A payload file.
    File { path: PathBuf, id: BlobId },
    /// A row of the snapshot, whose record may hold the payload.
    Row { generation: GenerationId, number: Number, row: OrderRow },
}

/// The newest entry of each key.
type Newest = HashMap<(GenerationId, Digest), Candidate>;

/// Enters every payload file, and every record of the snapshot that holds its payload, if it is the newest of its key and
/// still fresh.
pub(super) fn rebuild(
    directory: &Directory,
    session: &Session,
    index: &Index,
    ledger: &mut Ledger,
    snapshot: Option<&Snapshot>,
) -> Result<()> {
    let now = directory.clock.now();
    let mut newest = newest(directory)?;
    if let Some(snapshot) = snapshot {
        add_rows(&mut newest, ledger, snapshot).unwrap_or_else(|error| session.note_failed(&error));
    }
    let mut newest: Vec<Candidate> = newest.into_values().collect();
    // In the order of insertion, so that the accounts see them as they came.
    newest.sort_by_key(|candidate| candidate.sequence);
    let listed = listed(snapshot, &newest, now);
    for Candidate { sequence, source } in newest {
        directory.made_progress();
        ledger.go_on_behind(sequence);
        match source {
            Source::File { path, id } => {
                let head = head(&path)?.filter(|head| !head.lifetime.is_over(now, Expiry::ANY_AGE));
                // Nothing leads to the value of a variant without the list of its key.
                let head = head.filter(|head| !head.is_variant || listed.contains(&head.digest));
                head.map_or(Ok(()), |head| enter(index, ledger, &head, id))?;
            }
            Source::Row { row, .. } if row.lifetime.is_over(now, Expiry::ANY_AGE) => {}
            Source::Row { generation, number, row } => match inline_record(snapshot, number, &row) {
                Ok(Some(record)) => enter_row(index, ledger, generation, number, &row, &record)?,
                Ok(None) => {}
                Err(error) => session.note_failed(&error),
            },
        }
    }
    for (id, generation) in ledger.iter() {
        index.write_catalog(id, &generation.row)?;
    }
    index.write_index_row(&ledger.index_row)
}

/// The head of a file; none of one that is damaged, gone, or not readable by us. A file that may be readable a moment later
/// must not be passed over: the next search for orphans would retire it.
fn head(path: &Path) -> Result<Option<Head>> {
    match Head::read(path) {
        Ok(head) => Ok(Some(head)),
        Err(error) => {
            let cause = error.source().and_then(|cause| cause.downcast_ref());
            if cause.is_some_and(is_for_want_of_means) { Err(error) } else { Ok(None) }
        }
    }
}

/// Whether the system refused this for want of memory or descriptors, and would not at another time.
fn is_for_want_of_means(cause: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    cause.kind() == io::ErrorKind::OutOfMemory
        || cfg!(unix) && matches!(cause.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE))
}

/// Those that have payload files.
fn newest(directory: &Directory) -> Result<Newest> {
    let mut newest = Newest::new();
    let Some(place) = &directory.place else { return Ok(newest) };
    for found in blobs(&place.blobs())? {
        let (path, id) = found?;
        directory.made_progress();
        let Some(head) = head(&path)? else { continue };
        let generation = GenerationId(head.generation);
        if path.parent().is_some_and(|folder| folder.ends_with(generation.to_string())) {
            let source = Source::File { path, id };
            add(&mut newest, generation, head.digest, Candidate { sequence: head.sequence, source });
        }
    }
    Ok(newest)
}

/// Those of the snapshot, by their rows. A record that names a payload file is of no use without that file.
fn add_rows(newest: &mut Newest, ledger: &Ledger, snapshot: &Snapshot) -> Result<()> {
    for (generation, found) in ledger.iter() {
        let (number, mut seen) = (found.row.number, None);
        loop {
            let rows = snapshot.rows(TableId::Order, &number.prefix(), seen.as_deref(), ROWS)?;
            for row in rows.iter().filter_map(|(key, value)| OrderRow::decode(key, value)) {
                let source = Source::Row { generation, number, row };
                add(newest, generation, row.digest, Candidate { sequence: row.sequence, source });
            }
            let Some((last, _)) = rows.last() else { break };
            seen = Some(last.clone());
        }
    }
    Ok(())
}

fn add(newest: &mut Newest, generation: GenerationId, digest: Digest, candidate: Candidate) {
    let known = newest.get(&(generation, digest)).map(|known| known.sequence);
    if known.is_none_or(|known| known < candidate.sequence) {
        newest.insert((generation, digest), candidate);
    }
}

/// The values of variants that the lists of the snapshot name.
fn listed(snapshot: Option<&Snapshot>, candidates: &[Candidate], now: Timestamp) -> HashSet<Digest> {
    let lists = candidates.iter().filter_map(|candidate| match &candidate.source {
        Source::Row { number, row, .. } if row.is_list && !row.lifetime.is_over(now, Expiry::ANY_AGE) => {
            let record = inline_record(snapshot, *number, row).ok()??;
            let Body::Variants(list) = Record::decode(&record, &row.digest)?.body else { return None };
            Some((row.digest, Variants::decode(list)?))
        }
        Source::Row { .. } | Source::File { .. } => None,
    });
    lists.flat_map(|(key, list)| list.digests(&key).collect::<Vec<_>>()).collect()
}

/// The record of a row of the snapshot, if it holds its payload.
fn inline_record(snapshot: Option<&Snapshot>, number: Number, row: &OrderRow) -> Result<Option<Bytes>> {
    let Some(snapshot) = snapshot else { return Ok(None) };
    let bytes = snapshot.get(TableId::Records, &number.record_key(&row.digest))?;
    Ok(bytes.filter(|bytes| {
        let record = Record::decode(bytes, &row.digest);
        record.is_some_and(|record| {
            record.sequence == row.sequence && matches!(record.body, Body::Inline(_) | Body::Variants(_))
        })
    }))
}

fn enter_row(
    index: &Index,
    ledger: &mut Ledger,
    generation: GenerationId,
    number: Number,
    row: &OrderRow,
    record: &[u8],
) -> Result<()> {
    index.insert_row(number, row)?;
    index.insert_record(number, &row.digest, record)?;
    ledger.added(generation, row);
    Ok(())
}

/// Every payload file below a folder, with its id.
pub(super) fn blobs(folder: &Path) -> Result<impl Iterator<Item = Result<(PathBuf, BlobId)>> + use<>> {
    let mut folders = files(folder)?;
    // Not through a symbolic link.
    folders.retain(|folder| {
        blob::is_ours(folder) && fs::symlink_metadata(folder).map_or(true, |found| found.is_dir())
    });
    let blobs = |folder: PathBuf| match files(&folder) {
        Ok(files) => files.into_iter().filter_map(|file| Some(Ok((id_of(&file)?, file)))).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    };
    let found = folders.into_iter().flat_map(blobs);
    Ok(found.map(|found| found.map(|(id, file)| (file, id))))
}

/// The files in a folder; none when it is not there, or not readable by us.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let files =
        fs::read_dir(folder).and_then(|files| files.map(|file| file.map(|file| file.path())).collect());
    match files {
        Err(cause) if is_for_want_of_means(&cause) => Err(Error::io(folder.display(), cause)),
        files => Ok(files.unwrap_or_default()),
    }
}

fn id_of(path: &Path) -> Option<BlobId> {
    let name = path.file_name()?.to_str().filter(|name| name.len() == 32)?;
    Some(BlobId(u128::from_str_radix(name, 16).ok()?.to_be_bytes()))
}

fn enter(index: &Index, ledger: &mut Ledger, head: &Head, id: BlobId) -> Result<()> {
    let generation = GenerationId(head.generation);
    let number = number(ledger, generation, head);
    let record = Record {
        sequence: head.sequence,
        lifetime: head.lifetime,
        compute_time: head.compute_time,
        key_head: &head.key_head,
        body: Body::Blob { id, length: head.length },
    };
    let bytes = record.encode(&head.digest);
    let size = bytes.len() as u64 + blob::size(&head.memo, &head.key_head, head.length);
    let (sequence, digest, lifetime) = (head.sequence, head.digest, head.lifetime);
    let row = OrderRow { sequence, digest, size, lifetime, is_list: false };
    index.insert_row(number, &row)?;
    index.insert_record(number, &head.digest, &bytes)?;
    ledger.added(generation, &row);
    // The time of its newest entry is the best that is known of its last use.
    ledger.change(generation, |found| {
        if found.memo.is_none() {
            found.row.last_used = found.row.last_used.max(head.lifetime.created);
        }
    });
    Ok(())
}

/// The number of the generation of a file, which is made known when it is not.
fn number(ledger: &mut Ledger, id: GenerationId, head: &Head) -> Number {
    let known = ledger.get(id).map(|found| found.row.number).filter(|number| *number != Number::default());
    if let Some(number) = known {
        return number;
    }
    let last_number = ledger.index_row.last_number + 1;
    ledger.index_row = IndexRow { last_number, ..ledger.index_row.clone() };
    let number = Number(last_number);
    if ledger.get(id).is_none() {
        let row = CatalogRow {
            name: head.memo.clone(),
            version: 0,
            last_used: Timestamp::default(),
            ttl_millis: u64::MAX,
            stale_millis: 0,
            number,
            tally: Tally::default(),
            unordered: false,
            latest: Timestamp::default(),
        };
        ledger.insert(id, Generation { row, account: Account::empty(), memo: None, adopted: Vec::new() });
    }
    ledger.change(id, |found| found.row.number = number);
    number
}
