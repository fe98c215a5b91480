//! Filling a new index from the heads of the blobs, when the old index was lost: the costliest results survive even that.
//!
//! What was removed, overwritten, evicted or cleared does not come back: its blob left the folder before its record went.
//! Of two blobs of one key the one of the higher sequence is the newer. What is left over is retired as an orphan.
//!
//! 10,000 heads take about 0.2 s, and `open` waits for it: a new entry must come behind all that are found.

use std::{
    collections::HashMap,
    error::Error as _,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    clock::Timestamp,
    error::{Error, Result},
    key::Digest,
    record::{BlobId, Body, Record},
    store::{
        blob::{self, Head},
        core::Core,
        engine::{Calls, Engine},
        ledger::{CatalogRow, Generation, GenerationId, Ledger},
        order::{Account, OrderRow, Tally},
    },
};

/// One blob, as far as it takes to choose among those of its key.
struct Candidate {
    sequence: u64,
    path: PathBuf,
    id: BlobId,
}

/// Enters every blob that is the newest of its key and still fresh.
pub(super) fn rebuild(core: &Core, engine: &Engine, ledger: &mut Ledger) -> Result<()> {
    let now = core.clock.now();
    let mut newest = newest(core)?;
    // In the order of insertion, so that the accounts see them as they came.
    newest.sort_by_key(|candidate| candidate.sequence);
    for candidate in newest {
        ledger.go_on_behind(candidate.sequence);
        let Some(head) = head(&candidate.path)? else { continue };
        if !head.lifetime.is_over(now, None) {
            enter(engine, ledger, &head, candidate.id)?;
        }
    }
    Ok(())
}

/// The head of a blob; none of one that is damaged, gone, or not for us to read. What may be read a moment later must not be
/// passed over: whoever looks through the blobs next would take it for one that nobody knows.
fn head(path: &Path) -> Result<Option<Head>> {
    match Head::read(path) {
        Ok(head) => Ok(Some(head)),
        Err(error) => {
            let cause = error.source().and_then(|cause| cause.downcast_ref());
            if cause.is_some_and(is_for_want_of_means) { Err(error) } else { Ok(None) }
        }
    }
}

/// Whether the system would not have refused this at another time: for want of memory, or of descriptors.
fn is_for_want_of_means(cause: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    cause.kind() == io::ErrorKind::OutOfMemory
        || cfg!(unix) && matches!(cause.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE))
}

fn newest(core: &Core) -> Result<Vec<Candidate>> {
    let mut newest: HashMap<([u8; 16], Digest), Candidate> = HashMap::new();
    for found in blobs(core)? {
        let (path, id) = found?;
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

/// Every payload file of the store with its id.
pub(super) fn blobs(core: &Core) -> Result<impl Iterator<Item = Result<(PathBuf, BlobId)>>> {
    let mut folders = core.path("blobs").map_or_else(|| Ok(Vec::new()), |blobs| files(&blobs))?;
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

/// What is in a folder; nothing when it is not there, or not for us to read.
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

fn enter(engine: &Engine, ledger: &mut Ledger, head: &Head, id: BlobId) -> Result<()> {
    let generation = GenerationId(head.generation);
    let record = Record {
        sequence: head.sequence,
        lifetime: head.lifetime,
        compute_time: head.compute_time,
        key_head: &head.key_head,
        body: Body::Blob { id, length: head.length },
    };
    let bytes = record.encode();
    let size = bytes.len() as u64 + blob::size(&head.memo, &head.key_head, head.length);
    let row = OrderRow { sequence: head.sequence, digest: head.digest, size, lifetime: head.lifetime };
    let tables = engine.tables(generation, Calls::Here)?;
    tables.order.insert(&OrderRow::key(row.sequence), &row.encode())?;
    tables.records.insert(head.digest.as_bytes(), &bytes)?;
    let found = ledger.generations.entry(generation).or_insert_with(|| Generation {
        row: CatalogRow {
            name: head.memo.clone(),
            version: 0,
            last_used: Timestamp::default(),
            ttl_millis: u64::MAX,
        },
        account: Account::new(Some(Tally::default()), false),
        owner: None,
    });
    found.account.added(&row);
    // When its newest entry was made is the best that is known of its last use.
    if found.owner.is_none() && found.row.last_used < head.lifetime.created {
        found.row.last_used = head.lifetime.created;
        engine.catalog().insert(&generation.0, &found.row.encode())?;
    }
    Ok(())
}
