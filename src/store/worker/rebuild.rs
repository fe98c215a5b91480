//! Filling a new index from the heads of the payload files, when the old index was lost: the costliest results survive
//! even that.
//!
//! Removed, overwritten, evicted and cleared entries do not come back: their files left the folder before their records
//! went. Of two files of one key the one of the higher sequence is the newer. Remaining files are retired as orphans.
//!
//! 10,000 heads take about 0.2 s. The worker does this before it applies the first change: a new entry must come behind
//! all that are found.

use std::{
    collections::HashMap,
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
    clock::Timestamp,
    error::{Error, Result},
    key::Digest,
    record::{BlobId, Body, Record},
    store::{
        blob::{self, Head},
        generation::{CatalogRow, GenerationId, IndexRow, Number, Tally},
    },
};

/// One payload file, as far as it takes to choose among those of its key.
struct Candidate {
    sequence: u64,
    path: PathBuf,
    id: BlobId,
}

/// Enters every payload file that is the newest of its key and still fresh.
pub(super) fn rebuild(directory: &Directory, index: &Index, ledger: &mut Ledger) -> Result<()> {
    let now = directory.clock.now();
    let mut newest = newest(directory)?;
    // In the order of insertion, so that the accounts see them as they came.
    newest.sort_by_key(|candidate| candidate.sequence);
    for candidate in newest {
        directory.made_progress();
        ledger.go_on_behind(candidate.sequence);
        let Some(head) = head(&candidate.path)? else { continue };
        if !head.lifetime.is_over(now, None) {
            enter(index, ledger, &head, candidate.id)?;
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

fn newest(directory: &Directory) -> Result<Vec<Candidate>> {
    let Some(place) = &directory.place else { return Ok(Vec::new()) };
    let mut newest: HashMap<([u8; 16], Digest), Candidate> = HashMap::new();
    for found in blobs(&place.blobs())? {
        let (path, id) = found?;
        directory.made_progress();
        let Some(head) = head(&path)? else { continue };
        let in_its_folder =
            path.parent().is_some_and(|folder| folder.ends_with(GenerationId(head.generation).to_string()));
        let known = newest.get(&(head.generation, head.digest)).map(|known| known.sequence);
        if in_its_folder && known.is_none_or(|known| known < head.sequence) {
            newest.insert((head.generation, head.digest), Candidate { sequence: head.sequence, path, id });
        }
    }
    Ok(newest.into_values().collect())
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
    let row = OrderRow { sequence: head.sequence, digest: head.digest, size, lifetime: head.lifetime };
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
