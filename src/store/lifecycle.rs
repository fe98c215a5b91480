//! Opening and closing: from a directory to a running engine, and back to files that hold still.
//!
//! *Open*: LOCK, MANIFEST, compare the files if it says closed, write "open", sled. Damage, by the files or by sled's
//! own word or panic, costs the index: the next number is begun, the old folder stays until the next clean close. A
//! refusal of the operating system costs nothing: the index is left alone, and tried again later.
//!
//! *Close*: take the engine away, drop it, settle it if anything was written, write "closed".

#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::{
    collections::BTreeMap,
    fs,
    mem::ManuallyDrop,
    path::{Path, PathBuf},
    sync::{
        Arc, TryLockError,
        atomic::{Ordering, fence},
    },
    thread,
    time::Duration,
};

use crate::{
    clock::Deadline,
    error::{Error, Kind, Result},
    store::{
        aside, blob, compaction,
        core::Core,
        engine::{self, Engine, unanswered},
        ledger::Ledger,
        manifest::{self, Closed, Manifest, fingerprint},
        opening::State,
        order::Tally,
        patience::Patience,
        silence::LOST,
    },
    sync::lock,
};

/// What the folders and files of a store are called.
const OURS: [&str; 4] = ["LOCK", "MANIFEST", "blobs", "trash"];

/// Makes the folders, and refuses what could lead out of them.
pub(super) fn prepare(directory: &Path) -> Result<PathBuf> {
    if directory.is_file() {
        let message = format!("{} is a file: a store needs a directory of its own", directory.display());
        return Err(Error::new(Kind::Config, message));
    }
    blob::make_folder(directory)?;
    refuse_foreign_manifest(directory)?;
    let directory = directory.canonicalize().map_err(|cause| Error::io(directory.display(), cause))?;
    for name in OURS.map(String::from).into_iter().chain(indexes(&directory).into_iter().map(index_name)) {
        refuse_link(&directory.join(name))?;
    }
    Ok(directory)
}

/// A file of somebody else that happens to be called MANIFEST is not ours to replace.
fn refuse_foreign_manifest(directory: &Path) -> Result<()> {
    let Ok(bytes) = fs::read(directory.join("MANIFEST")) else { return Ok(()) };
    if directory.join("LOCK").exists() || bytes.starts_with(b"memolith ") {
        return Ok(());
    }
    let message = format!(
        "{} holds a MANIFEST that is not memolith's: a store needs a directory of its own; nothing was touched",
        directory.display(),
    );
    Err(Error::new(Kind::Config, message))
}

/// A link in place of our own folders would have us write, and clear, somewhere else.
fn refuse_link(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let message = format!(
                "{} is a symbolic link: remove it, a store keeps to its own directory",
                path.display()
            );
            Err(Error::new(Kind::Config, message))
        }
        _ => Ok(()),
    }
}

pub(super) fn index_name(number: u64) -> String {
    format!("index-{number}")
}

/// A number that was never used.
pub(super) fn unused_index(core: &Core, directory: &Path) -> u64 {
    let used = core.index.load(Ordering::Acquire);
    indexes(directory).into_iter().max().unwrap_or(0).max(used) + 1
}

/// The numbers of all index folders.
fn indexes(directory: &Path) -> Vec<u64> {
    let number = |name: &str| name.strip_prefix("index-")?.parse().ok();
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| number(file.file_name().to_str()?)).collect()
}

/// A file or folder in a store's directory that is the store's.
pub(super) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    OURS.contains(&name)
        || name.starts_with(manifest::UNNAMED)
        || name.strip_prefix("index-").is_some_and(|number| number.parse::<u64>().is_ok())
}

/// Brings the engine up, on the index that the manifest names or on a new one. Whether accounts and blobs want looking
/// after: the store was not left by a close. What is noted on the way is for the caller to tell.
pub(super) fn start(core: &Core) -> Result<bool> {
    let Some(directory) = core.directory.clone() else {
        return Err(Error::new(Kind::Closed, "the store has no directory"));
    };
    // A writer that is stuck would stop this later, with a new folder made for nothing each time.
    drop(core.ledger().map_err(|error| error.with_kind(Kind::Io))?);
    hold(core, &directory)?;
    let mut state = State::read(core, &directory)?;
    for folder in ["blobs", "trash"] {
        blob::make_folder(&directory.join(folder))?;
    }
    // It may be late: the directory may be another's by now.
    core.in_charge(|| {
        discard_leftovers(core, &directory);
        if core.index.load(Ordering::Acquire) == 0 && !state.fresh {
            discard_copies(&directory, state.index);
        }
        Ok(())
    })?;
    for _ in 0..2 {
        match state.open(core, &directory) {
            Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::Engine) => {
                core.note(&error);
                state = State::fresh(core, &directory);
            }
            other => return other,
        }
    }
    state.open(core, &directory)
}

/// The directory may have been deleted under us: then it is made anew, unless somebody else was quicker.
fn hold(core: &Core, directory: &Path) -> Result<()> {
    let mut held = lock(&core.lock_file);
    // It may be late: the directory may be another's by now.
    if core.is_closed() {
        return Err(core.closed_error());
    }
    if !held.as_ref().is_some_and(|file| manifest::is_locked_by(file, directory)) {
        blob::make_folder(directory)?;
        *held = Some(manifest::lock(directory, Duration::ZERO)?);
    }
    Ok(())
}

/// What lies in the trash was left there by an earlier run, and so was a manifest that never got its name.
fn discard_leftovers(core: &Core, directory: &Path) {
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        if file.file_name().to_str().is_some_and(|name| name.starts_with(manifest::UNNAMED)) {
            let _ = fs::remove_file(file.path());
        }
    }
    let files = fs::read_dir(directory.join("trash")).into_iter().flatten().flatten();
    for file in files.filter(|file| blob::is_ours(&file.path())) {
        // A draft may be of this very process, when the engine comes back from a rest.
        let name = file.file_name();
        if core.index.load(Ordering::Acquire) == 0 || !name.to_string_lossy().starts_with("draft-") {
            core.discard(Some(file.path()));
        }
    }
}

/// An index that comes behind the one that MANIFEST names is a copy that was never finished.
fn discard_copies(directory: &Path, live: u64) {
    for number in indexes(directory).into_iter().filter(|number| *number > live) {
        let _ = fs::remove_dir_all(directory.join(index_name(number)));
    }
}

/// sled makes its files for everybody to read.
#[cfg(not(unix))]
pub(super) fn close_to_others(_: &Path) {}

#[cfg(unix)]
pub(super) fn close_to_others(folder: &Path) {
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let mode = if file.path().is_dir() { 0o700 } else { 0o600 };
        let _ = fs::set_permissions(file.path(), fs::Permissions::from_mode(mode));
    }
}

/// Takes the store out of service for good and leaves its files so that the next open is quick and sure of them. Runs
/// once, on the maintenance thread. Whether there was an engine in service, whose last writes were made to stay.
pub(super) fn shut(core: &Core) -> Result<bool> {
    core.unname_condemned();
    core.mark_closed();
    // Who is in charge at this moment comes to his end, and nobody is after him.
    drop(lock(&core.lock_file));
    // Lost with an engine that does not work, and of no use then.
    if let Ok(mut writer) = core.writer() {
        let _ = writer.touch_all();
        writer.finish();
    }
    // Who copies the index, or brings one up, writes MANIFEST too. An engine that hangs there is held by it, and one that comes
    // up later finds the store closed.
    let reviving = patiently(core.manner.leave(), || match core.reviving.try_lock() {
        Ok(reviving) => Some(reviving),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    });
    // One that was silent may have answered.
    core.has_answered();
    let engine = core.stop();
    drop(reviving);
    let shut = match (engine, &core.directory) {
        (Ok(Some(engine)), Some(directory)) => shut_engine(core, engine, directory).map(|()| true),
        (Err(error), _) => Err(error),
        _ => Ok(false),
    };
    core.bury_engines();
    let temporary = lock(&core.temporary).take();
    drop(temporary);
    lock(&core.lock_file).take();
    // Last: at the end of a program there may be no time for it, and the next open does it too.
    core.unlink_rubbish();
    shut
}

fn shut_engine(core: &Core, engine: Arc<Engine>, directory: &Path) -> Result<()> {
    let folder = core.index_directory(directory);
    let engine = alone(core, engine)?;
    if lock(&core.temporary).is_some() {
        return finally(move || engine.close(&folder));
    }
    let engine = finally(move || match engine.flush() {
        Ok(()) => Ok(engine),
        Err(error) => {
            let _ = engine.bury();
            Err(error)
        }
    })?;
    let written = engine.was_written();
    let (engine, folder) = compacted(core, engine, directory, folder);
    let closing = folder.clone();
    finally(move || {
        engine.close(&closing)?;
        if written { engine::settle(&closing) } else { Ok(()) }
    })?;
    close_to_others(&folder);
    let live = core.index.load(Ordering::Acquire);
    // Before the ledger: others may wait for it to be told that the store is closed.
    let files = fingerprint(&folder)?;
    let mut ledger = core.ledger()?;
    let closed = Closed {
        sequence: ledger.sequence(),
        unrecovered: !core.recoveries.are_done(),
        generations: accounts(&ledger),
        files,
    };
    ledger.generations.clear();
    drop(ledger);
    Manifest { index: live, closed: Some(closed) }.write(directory)?;
    for old in indexes(directory).into_iter().filter(|number| *number != live) {
        let _ = fs::remove_dir_all(directory.join(index_name(old)));
    }
    Ok(())
}

/// Does the last of an engine on another thread, which is left to itself after a minute: it may hang, and the directory must
/// not be kept for ever.
fn finally<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    aside::run(Patience::of(LOST), work).unwrap_or_else(|| Err(unanswered()))
}

/// A smaller copy of the index, if that is worth it; else the index itself.
fn compacted(core: &Core, engine: Engine, directory: &Path, folder: PathBuf) -> (Engine, PathBuf) {
    let copied = if engine.was_written() { compaction::before_close(core, &engine) } else { Ok(None) };
    match copied {
        Ok(Some(copy)) => {
            // Everything is in the copy: what becomes of the old one is of no interest.
            let _ = engine.close(&folder);
            (copy, core.index_directory(directory))
        }
        Ok(None) => (engine, folder),
        Err(error) => {
            core.note(&error);
            (engine, folder)
        }
    }
}

fn accounts(ledger: &Ledger) -> BTreeMap<String, (Tally, bool)> {
    let known = ledger.generations.iter().filter_map(|(id, generation)| {
        Some((id.to_string(), (generation.account.tally()?, generation.account.unordered)))
    });
    known.collect()
}

/// The engine, when everybody else has let go of it. One that hangs is left to itself, and so nothing else hangs.
pub(super) fn alone(core: &Core, engine: Arc<Engine>) -> Result<Engine> {
    let mut shared = Some(engine);
    let alone = patiently(core.manner.leave(), || match unshared(shared.take()?) {
        Ok(engine) => Some(engine),
        Err(engine) => {
            shared = Some(engine);
            None
        }
    });
    alone.ok_or_else(|| {
        if let Some(engine) = shared {
            let_go_one_day(engine);
        }
        let message =
            "an operation of the storage engine did not end in time: the store was left as after a crash";
        Error::new(Kind::Engine, message)
    })
}

/// The engine, if nobody is in it, and nobody is to come.
pub(super) fn unshared(engine: Arc<Engine>) -> std::result::Result<Engine, Arc<Engine>> {
    // In this order: whoever could yet become a guest shares it.
    if Arc::strong_count(&engine) > 1 {
        return Err(engine);
    }
    fence(Ordering::Acquire);
    if engine.has_guests() { Err(engine) } else { Arc::try_unwrap(engine) }
}

/// Drops an engine that somebody is in when he comes back, if ever: until then nobody can open its index.
fn let_go_one_day(engine: Arc<Engine>) {
    let engine = ManuallyDrop::new(engine);
    let waits = move || {
        let mut shared = ManuallyDrop::into_inner(engine);
        loop {
            match unshared(shared) {
                Ok(engine) => return drop(engine.bury()),
                Err(again) => shared = again,
            }
            thread::sleep(Duration::from_millis(100));
        }
    };
    // Without a thread it is leaked, and not dropped here.
    let _ = thread::Builder::new().name("memolith-bury".into()).spawn(waits);
}

/// Tries as long as there is patience.
fn patiently<T>(patience: Patience, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Deadline::after(patience.total());
    loop {
        let came = attempt();
        if came.is_some() || deadline.remaining().is_none() {
            return came;
        }
        thread::sleep(Duration::from_micros(200));
    }
}
