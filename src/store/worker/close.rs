//! Closing: from a running engine back to files that hold still.
//!
//! Flush, compact if that is worth it and quick, drop the engine, settle the files if anything was written, and write
//! "closed" into MANIFEST. Anything that fails on the way leaves the store as after a crash.

use std::{fs, sync::Arc, time::Duration};

use super::{
    compaction::{Growth, Step, folder, numbers},
    directory::Directory,
    index::Index,
    ledger::Ledger,
    transaction::Transaction,
};
use crate::{
    clock::Deadline,
    error::{Error, ErrorKind, Result},
    store::{
        engine::{self, Engine},
        manifest::{Closed, Manifest},
        session::Session,
    },
    sync::thread,
    testing::Operation,
};

/// How long a close may be held up by a compaction. A longer one is left to the next run.
const COMPACTION: Duration = Duration::from_secs(1);

/// How long a close waits for readers that are in the engine.
const READERS: Duration = Duration::from_secs(5);

/// Closes an index. `is_unrecovered` says that an unclean end before had left files that were not all looked through.
pub(super) fn close(
    directory: &Directory,
    session: &Session,
    index: Index,
    mut ledger: Ledger,
    growth: &Growth,
    is_unrecovered: bool,
) -> Result<()> {
    // The use of a memo is lost with an engine that does not work, and of no use then.
    let mut transaction = Transaction { directory, session, index: &index, ledger: &mut ledger };
    let _ = transaction.touch_all();
    if let Err(error) = write_accounts(&index, &mut ledger).and_then(|()| index.engine.flush()) {
        // A reader may hold it still, and must not be the one that drops it.
        directory.janitor.retire(index.engine, |engine| drop(engine.release()));
        return Err(error);
    }
    let index = if index.engine.was_written() && !directory.is_temporary() {
        compact(directory, session, index, &mut ledger, growth)
    } else {
        index
    };
    let (number, was_written) = (index.number, index.engine.was_written());
    let folder = folder(directory, number);
    unshared(directory, index.engine)?.close(&folder)?;
    directory.made_progress();
    if directory.is_temporary() {
        return Ok(());
    }
    if was_written {
        directory.tuning.faults.check(Operation::Settle)?;
        engine::settle(&folder)?;
    }
    engine::restrict(&folder);
    let files = engine::fingerprint(&folder)?;
    let closed = Closed { sequence: ledger.sequence(), unrecovered: is_unrecovered, files };
    Manifest { index: number, closed: Some(closed) }.write(&directory.path)?;
    for old in numbers(&directory.path).into_iter().filter(|old| *old != number) {
        let _ = fs::remove_dir_all(super::compaction::folder(directory, old));
    }
    Ok(())
}

/// Writes down the accounts that are not as their rows have them: they changed, or were counted after an unclean end by a
/// run that wrote nothing else. The next open takes the rows for true.
fn write_accounts(index: &Index, ledger: &mut Ledger) -> Result<()> {
    for id in ledger.ids() {
        let Some(generation) = ledger.get(id) else { continue };
        let row = Ledger::closing_row(generation);
        if row != generation.row {
            index.write_catalog(id, &row)?;
            ledger.change(id, |found| found.row = row);
        }
    }
    Ok(())
}

/// A smaller copy of the index, if that is worth it and quick; else the index itself.
fn compact(
    directory: &Directory,
    session: &Session,
    mut index: Index,
    ledger: &mut Ledger,
    growth: &Growth,
) -> Index {
    let Some(mut compaction) = growth.begin_when_due(directory, &index, ledger) else { return index };
    let deadline = Deadline::after(COMPACTION);
    let copied = loop {
        match compaction.step(growth, directory, &mut index, ledger) {
            Ok(Step::More) if deadline.remaining().is_some() => directory.made_progress(),
            Ok(Step::Copied) => break true,
            Ok(_) => break false,
            Err(error) => {
                session.note_failed(&error);
                break false;
            }
        }
    };
    if !copied {
        compaction.give_up(directory, &mut index);
        return index;
    }
    if let Err(error) = compaction.take_over(directory, &mut index, ledger) {
        session.note_failed(&error);
    }
    index
}

/// The engine, when no reader uses it any more.
fn unshared(directory: &Directory, engine: Arc<Engine>) -> Result<Engine> {
    let deadline = Deadline::after(READERS);
    let mut shared = engine;
    loop {
        match Arc::try_unwrap(shared) {
            Ok(engine) => return Ok(engine),
            Err(engine) => shared = engine,
        }
        if deadline.remaining().is_none() {
            directory.janitor.retire(shared, |engine| drop(engine.release()));
            let message = "a read did not end in time: the store was left as after a crash";
            return Err(Error::new(ErrorKind::Engine, message));
        }
        directory.made_progress();
        thread::sleep(Duration::from_micros(200));
    }
}
