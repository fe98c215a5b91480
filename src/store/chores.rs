//! What may take long and can wait: counting after an unclean end, sweeping, retiring blobs that nobody knows, making the
//! index smaller. Done in stretches, so that writers get their turn in between.

use std::{fs, path::Path, sync::atomic::Ordering};

use crate::{
    error::Result,
    record::BlobId,
    store::{
        blob::{self, Head},
        compaction,
        core::Core,
        engine::Calls,
        ledger::GenerationId,
        order::Tally,
        rebuild,
    },
};

/// Counts what an unclean end left uncounted, evicts what is over a bound, and retires blobs that nobody knows.
pub(super) fn recover(core: &Core) {
    let ordered = core.recoveries.ordered();
    match recount(core).and_then(|()| retire_orphans(core)) {
        // What a close cut short is for the next open.
        Ok(_) if core.maintenance.is_closing() => {}
        Ok(_) => core.recoveries.done(ordered),
        Err(error) => {
            core.failed(&error);
            // Without a count no bound holds: again, when the engine has answered.
            core.unrecovered.store(true, Ordering::Release);
        }
    }
}

/// Makes an index longer than `from` smaller if that is worth it. That it failed is no failure of a call.
pub(super) fn compact(core: &Core, from: u64) {
    if let Err(error) = compaction::compact(core, from) {
        core.failed(&error);
    }
}

/// The same in the background, if nobody else just did.
pub(super) fn compact_when_due(core: &Core) {
    if let Err(error) = compaction::compact_when_due(core) {
        core.failed(&error);
    }
}

fn recount(core: &Core) -> Result<()> {
    let generations: Vec<(GenerationId, String)> = {
        let writer = core.writer_by(Calls::Here)?;
        writer.ledger().of_name(None).map(|(id, found)| (id, found.row.name.clone())).collect()
    };
    for (id, name) in generations {
        while !core.maintenance.is_closing() && core.writer_by(Calls::Here)?.recount(id)? {}
        core.make_room(Some(&name))?;
        core.make_room(None)?;
    }
    Ok(())
}

/// Drops the generations that another one took the place of.
pub(super) fn drop_retired(core: &Core, name: Option<&str>) -> Result<Tally> {
    let mut dropped = Tally::default();
    let mut writer = core.writer_by(Calls::Here)?;
    let retired = writer.ledger().retired(name);
    let outcome =
        retired.into_iter().try_for_each(|id| writer.drop_generation(id).map(|tally| dropped.add(tally)));
    writer.finish();
    outcome.map(|()| dropped)
}

/// Takes what has expired out of every generation, a stretch at a time so that others get their turn.
pub(super) fn drop_expired(core: &Core) -> Result<Tally> {
    let mut dropped = Tally::default();
    let generations: Vec<GenerationId> =
        core.writer_by(Calls::Here)?.ledger().of_name(None).map(|(id, _)| id).collect();
    for id in generations {
        let mut after = None;
        loop {
            let mut writer = core.writer_by(Calls::Here)?;
            let swept = writer.sweep(id, after, &mut dropped);
            writer.finish();
            after = swept?;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(dropped)
}

/// Moves every blob that no record means out of sight: what a crash left between a blob's name and its record, and what
/// an index that was given up knew.
pub(super) fn retire_orphans(core: &Core) -> Result<Tally> {
    let mut retired = Tally::default();
    for found in rebuild::blobs(core)? {
        if core.maintenance.is_closing() {
            break;
        }
        let (path, id) = found?;
        if let Some(bytes) = retire_orphan(core, &path, id)? {
            retired.add(Tally { entries: 1, bytes });
        }
    }
    core.tell_noted();
    Ok(retired)
}

/// The size of the file, if it was one that nobody knows.
fn retire_orphan(core: &Core, path: &Path, id: BlobId) -> Result<Option<u64>> {
    let Some(trash) = core.trash() else { return Ok(None) };
    let head = Head::read(path);
    let mut writer = core.writer_by(Calls::Here)?;
    // After a close the ledger is empty, and the directory another's, perhaps.
    if core.is_closed() {
        return Ok(None);
    }
    // Before one has run, the ledger knows of nothing.
    core.engine()?;
    let known = match &head {
        Ok(head) => writer.owns_blob(head, id)?,
        Err(error) if error.is_corrupt() => false,
        // Gone meanwhile, or not to be read: not ours to judge.
        Err(_) => true,
    };
    if known {
        return Ok(None);
    }
    let size = fs::metadata(path).map_or(0, |found| found.len());
    match blob::retire(path, &trash) {
        Ok(retired) => {
            core.discard(retired);
            Ok(Some(size))
        }
        // It is in nobody's way: the others are looked at all the same.
        Err(error) => {
            core.note(&error);
            Ok(None)
        }
    }
}
