//! Filling a new index from the heads of the blobs, when the old index was lost: the costliest results survive even that.
//!
//! What was removed, overwritten, evicted or cleared does not come back: its blob left the folder before its record went.
//! Of two blobs of one key the one of the higher sequence is the newer. What is left over is retired as an orphan.
//!
//! 10,000 heads take about 0.2 s, and `open` waits for it: a new entry must come behind all that are found.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    clock::Timestamp,
    error::Result,
    key::Digest,
    record::{BlobId, Body, Record},
    store::{
        blob::{self, Head},
        core::Core,
        engine::Engine,
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
    let mut newest = newest(core);
    // In the order of insertion, so that the accounts see them as they came.
    newest.sort_by_key(|candidate| candidate.sequence);
    for candidate in newest {
        ledger.go_on_behind(candidate.sequence);
        let Ok(head) = Head::read(&candidate.path) else { continue };
        if !head.lifetime.is_over(now, None) {
            enter(engine, ledger, &head, candidate.id)?;
        }
    }
    Ok(())
}

fn newest(core: &Core) -> Vec<Candidate> {
    let mut newest: HashMap<([u8; 16], Digest), Candidate> = HashMap::new();
    for (path, id) in blobs(core) {
        // A head that cannot be read belongs to nobody.
        let Ok(head) = Head::read(&path) else { continue };
        let in_its_folder =
            path.parent().is_some_and(|folder| folder.ends_with(GenerationId(head.generation).to_string()));
        let known = newest.get(&(head.generation, head.digest)).map(|known| known.sequence);
        if in_its_folder && known.is_none_or(|known| known < head.sequence) {
            newest.insert((head.generation, head.digest), Candidate { sequence: head.sequence, path, id });
        }
    }
    newest.into_values().collect()
}

/// Every payload file of the store with its id.
pub(super) fn blobs(core: &Core) -> impl Iterator<Item = (PathBuf, BlobId)> {
    // Not through a symbolic link.
    let is_ours = |folder: &fs::DirEntry| {
        folder.file_type().is_ok_and(|kind| kind.is_dir()) && blob::is_ours(&folder.path())
    };
    let folders =
        core.path("blobs").and_then(|blobs| fs::read_dir(blobs).ok()).into_iter().flatten().flatten();
    let files = folders
        .filter(is_ours)
        .flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    files.filter_map(|file| id_of(&file.path()).map(|id| (file.path(), id)))
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
    let tables = engine.tables(generation)?;
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
