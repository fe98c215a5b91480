//! Opening: from a directory to a running engine, and the ledger as its index has it.
//!
//! MANIFEST names the index. If it says closed, the files are compared with it. Damage, by the files or by sled's own word
//! or panic, costs the index: the next number is begun and filled from the payload files, and from the snapshot if MANIFEST
//! names one. The old folder stays until the next clean close. A refusal of the operating system costs nothing: the index is left alone, and tried again later.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use super::{
    compaction::{numbers, unused_number},
    directory::{Directory, Place, closed},
    index::Index,
    ledger::{Generation, Ledger},
    order::Account,
    rebuild::rebuild,
    transaction::{SEQUENCE_STEP, Transaction},
};
use crate::{
    error::{Error, ErrorKind, Result},
    store::{
        blob,
        engine::{self, Engine},
        generation::{CatalogRow, GenerationId, IndexRow},
        lock::{self, LockFile},
        manifest::{self, Closed, Found, Manifest},
        session::Session,
        snapshot::{self, Snapshot},
        tags,
    },
};

/// An index that was opened.
pub(super) struct Opened {
    pub(super) index: Index,
    pub(super) ledger: Ledger,
    /// Whether entries must be counted and orphans looked for: the store was not left by a close.
    pub(super) is_unclean: bool,
}

/// Opens an index for the worker.
pub(super) struct Opening<'a> {
    pub(super) directory: &'a Directory,
    pub(super) session: &'a Session,
    /// LOCK; `None` in memory. It is taken anew when the directory was deleted.
    pub(super) lock_file: &'a mut Option<LockFile>,
    /// The number of the last index of this process; 0 at first.
    pub(super) last_number: u64,
    /// Whether that index must not be opened again.
    pub(super) is_corrupt: bool,
}

/// An index to open, and what is known of it.
struct Candidate {
    number: u64,
    /// Known for sure, of a settled index and of an empty one.
    closed: Option<Closed>,
    /// Whether it is a new one, to be filled from the payload files.
    is_new: bool,
    /// Of the index in whose place a new one is filled. Current: no change was made since that close.
    snapshot: Option<Snapshot>,
}

impl Candidate {
    fn new_index(number: u64) -> Self {
        Self { number, closed: Some(Closed::default()), is_new: true, snapshot: None }
    }
}

impl Opening<'_> {
    /// The index that MANIFEST names, or a new one in its place; always a new one in memory. `before` is the ledger of an
    /// earlier engine of this process, whose open memos go on.
    pub(super) fn open(&mut self, before: &mut Ledger) -> Result<Opened> {
        if self.directory.is_closed() {
            return Err(closed());
        }
        let Some(place) = &self.directory.place else {
            let engine = Engine::in_memory(&self.directory.tuning.faults)?;
            return self.take_up(&Candidate::new_index(self.last_number + 1), Arc::new(engine), before);
        };
        self.hold_lock(&place.path)?;
        let mut candidate = self.choose(place)?;
        for folder in [&place.blobs(), place.trash()] {
            blob::make_folder(folder)?;
        }
        self.discard_leftovers(place, &candidate);
        for _ in 0..2 {
            match self.try_open(place, &candidate, before) {
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Engine) => {
                    self.session.note_failed(&error);
                    candidate = self.new_index(place);
                }
                other => return other,
            }
        }
        self.try_open(place, &candidate, before)
    }

    /// The directory may have been deleted: then it is made anew, unless another process was quicker.
    fn hold_lock(&mut self, path: &Path) -> Result<()> {
        if !self.lock_file.as_ref().is_some_and(|file| file.is_of(path)) {
            blob::make_folder(path)?;
            let had_lock = self.lock_file.is_some();
            *self.lock_file = Some(lock::lock(path, Duration::ZERO)?);
            if had_lock {
                self.directory.sharing.renew(self.session, path);
            }
        }
        Ok(())
    }

    fn choose(&self, place: &Place) -> Result<Candidate> {
        if self.is_corrupt {
            return Ok(self.new_index(place));
        }
        let damaged = |what: &str| {
            self.session.note_failed(&Error::new(ErrorKind::Corrupt, what));
            Ok(self.new_index(place))
        };
        match Manifest::read(&place.path)? {
            Found::Whole(Manifest { index, closed: None }) => {
                // sled would begin an empty one, and every payload file would be an orphan.
                if !engine::is_there(&place.index(index)) {
                    return damaged("the file of the index is gone");
                }
                Ok(Candidate { number: index, closed: None, is_new: false, snapshot: None })
            }
            Found::Whole(Manifest { index, closed: Some(closed) }) => {
                let folder = place.index(index);
                // A refusal of the operating system is no damage, and a missing folder is.
                let files = if folder.is_dir() { engine::fingerprint(&folder)? } else { BTreeMap::new() };
                if files != closed.files || files.is_empty() {
                    return damaged("the files of the index are not as they were left");
                }
                Ok(Candidate { number: index, closed: Some(closed), is_new: false, snapshot: None })
            }
            Found::Nothing => Ok(self.new_index(place)),
            Found::Damaged => damaged("the MANIFEST is damaged"),
        }
    }

    /// Under a number that was never used. What a closed store held is taken from its snapshot.
    fn new_index(&self, place: &Place) -> Candidate {
        let number = unused_number(&place.path, self.last_number);
        match self.snapshot(place) {
            Some((closed, snapshot)) => {
                Candidate { number, closed: Some(closed), is_new: true, snapshot: Some(snapshot) }
            }
            None => Candidate::new_index(number),
        }
    }

    /// The snapshot that MANIFEST names. After an unclean end it names none: removed entries would come back.
    fn snapshot(&self, place: &Place) -> Option<(Closed, Snapshot)> {
        let Ok(Found::Whole(Manifest { closed: Some(closed), .. })) = Manifest::read(&place.path) else {
            return None;
        };
        let opened = Snapshot::open(place.home(), &closed.snapshot?);
        let opened = opened.and_then(|snapshot| snapshot.catalog().map(|_| snapshot));
        let snapshot = opened.inspect_err(|error| self.session.note_failed(error)).ok()?;
        Some((closed, snapshot))
    }

    /// Removes what an earlier run left: files in the trash, a manifest that never got its name, an unfinished copy.
    fn discard_leftovers(&self, place: &Place, candidate: &Candidate) {
        let path = &place.path;
        for file in fs::read_dir(path).into_iter().flatten().flatten() {
            if file.file_name().to_str().is_some_and(|name| name.starts_with(manifest::UNNAMED)) {
                let _ = fs::remove_file(file.path());
            }
        }
        snapshot::remove_drafts(path);
        if self.last_number > 0 {
            // Drafts may be of this very process, and so may the folder of a copy.
            return;
        }
        let files = fs::read_dir(place.trash()).into_iter().flatten().flatten();
        for file in files.filter(|file| blob::is_ours(&file.path()) && !blob::is_being_written(&file.path()))
        {
            self.directory.janitor.queue_unlink(Some(file.path()));
        }
        if !candidate.is_new {
            for number in numbers(path).into_iter().filter(|number| *number > candidate.number) {
                let _ = fs::remove_dir_all(place.index(number));
            }
        }
    }

    fn try_open(&self, place: &Place, candidate: &Candidate, before: &mut Ledger) -> Result<Opened> {
        let path = &place.path;
        if candidate.is_new && candidate.snapshot.is_none() {
            // Until the index is filled there is none: a crash in between has it filled anew.
            Manifest::remove(path)?;
        }
        let folder = place.index(candidate.number);
        blob::make_folder(&folder)?;
        self.directory.made_progress();
        let opened = Engine::open(&folder, &self.directory.tuning.faults).and_then(|engine| {
            engine::restrict(&folder);
            self.take_up(candidate, Arc::new(engine), before)
        });
        if opened.is_err() && candidate.is_new {
            // MANIFEST does not name it.
            let _ = fs::remove_dir_all(&folder);
        }
        opened
    }

    /// The ledger of an index that MANIFEST names from here on, if there is a MANIFEST.
    fn take_up(&self, candidate: &Candidate, engine: Arc<Engine>, before: &mut Ledger) -> Result<Opened> {
        let index = match (&self.directory.place, &candidate.closed) {
            (Some(place), Some(closed)) if !candidate.is_new => Index::of_closed(
                engine,
                candidate.number,
                &place.path,
                closed,
                self.directory.sharing.epochs(),
            ),
            _ => Index::new(engine, candidate.number),
        };
        match self.fill(candidate, &index, before) {
            Ok(ledger) => {
                // A recovery that a close cut short is taken up again: without a count no bound holds.
                let was_recovered = candidate.closed.as_ref().is_some_and(|closed| !closed.unrecovered);
                let is_unclean = candidate.is_new || !was_recovered || ledger.uncounted().is_some();
                Ok(Opened { index, ledger, is_unclean })
            }
            Err(error) => {
                if let Ok(engine) = Arc::try_unwrap(index.engine) {
                    let _ = engine.release();
                }
                Err(error)
            }
        }
    }

    fn fill(&self, candidate: &Candidate, index: &Index, before: &mut Ledger) -> Result<Ledger> {
        let mut ledger = load(candidate, index)?;
        if candidate.is_new {
            rebuild(self.directory, self.session, index, &mut ledger, candidate.snapshot.as_ref())?;
        }
        ledger.take_over(std::mem::take(before));
        let mut transaction =
            Transaction { directory: self.directory, session: self.session, index, ledger: &mut ledger };
        let named = transaction.number_open_generations().and_then(|()| {
            if candidate.is_new {
                index.engine.flush()?;
            }
            match &self.directory.place {
                Some(place) if candidate.is_new => {
                    Manifest::open(candidate.number).write(&place.path)?;
                    self.directory.sharing.raise_snapshot()
                }
                _ => Ok(()),
            }
        });
        if let Err(error) = named {
            // The open memos go on with the next attempt.
            *before = ledger;
            return Err(error);
        }
        Ok(ledger)
    }
}

/// The ledger as the index has it.
fn load(candidate: &Candidate, index: &Index) -> Result<Ledger> {
    let damaged = || Error::new(ErrorKind::Corrupt, "the catalog of the index is damaged");
    let rows = match &candidate.snapshot {
        Some(snapshot) => snapshot.catalog()?,
        None => index.engine.catalog.rows(&[], None, usize::MAX)?,
    };
    let index_row = rows.iter().find(|(key, _)| **key == *IndexRow::KEY);
    let index_row = match index_row {
        Some((_, value)) => IndexRow::decode(value).ok_or_else(damaged)?,
        None => IndexRow::default(),
    };
    let sequence = match &candidate.closed {
        Some(closed) => closed.sequence,
        // The limit itself may be among the changes that were lost with the process.
        None => index_row.sequence_limit + SEQUENCE_STEP,
    };
    let mut ledger = Ledger::starting_at(sequence, index_row);
    for (key, value) in rows.iter().filter(|(key, _)| **key != *IndexRow::KEY) {
        let (Ok(id), Some(row)) = (<[u8; 16]>::try_from(&**key), CatalogRow::decode(value)) else {
            return Err(damaged());
        };
        let account = account(candidate, index, &row)?;
        ledger.insert(GenerationId(id), Generation { row, account, memo: None, adopted: Vec::new() });
    }
    let live: Vec<_> = ledger.iter().map(|(_, generation)| generation.row.number).collect();
    // A flipped bit may bring an older index row back, and no number is given twice.
    let given = live.iter().chain(&ledger.index_row.dead).map(|number| number.0).max();
    ledger.index_row.last_number = ledger.index_row.last_number.max(given.unwrap_or_default());
    // A new index has no rows of a dead number.
    ledger.index_row.dead.retain(|number| !candidate.is_new && !live.contains(number));
    Ok(ledger)
}

/// What is known of a generation. One without rows needs no recount.
fn account(candidate: &Candidate, index: &Index, row: &CatalogRow) -> Result<Account> {
    let is_known = candidate.closed.as_ref().is_some_and(|closed| !closed.unrecovered);
    if candidate.is_new {
        return Ok(Account::empty());
    }
    if is_known {
        return Ok(Account::known(row.tally, row.unordered, row.latest));
    }
    let is_empty = index.rows(row.number, None, 1)?.is_empty();
    Ok(if is_empty { Account::empty() } else { Account::unknown() })
}

/// Makes the folder of a store, and refuses what could lead out of it. Its canonical path.
pub(crate) fn prepare(directory: &Path) -> Result<std::path::PathBuf> {
    if directory.is_file() {
        let message = format!("{} is a file: a store needs a directory of its own", directory.display());
        return Err(Error::new(ErrorKind::Config, message));
    }
    blob::make_folder(directory)?;
    refuse_foreign_manifest(directory)?;
    let directory = directory.canonicalize().map_err(|cause| Error::io(directory.display(), cause))?;
    let files = fs::read_dir(&directory).into_iter().flatten().flatten().map(|file| file.path());
    files.filter(|path| is_ours(path)).try_for_each(|path| refuse_link(&path))?;
    Ok(directory)
}

/// The names of a store's files and folders, beside its indexes.
const OURS: [&str; 8] =
    ["LOCK", "MANIFEST", "EPOCHS", "EPOCHS.draft", "SOCKET", "SOCKET.draft", "blobs", "trash"];

/// Whether a file or folder in a store's directory is the store's.
pub(crate) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    OURS.contains(&name)
        || name.starts_with(manifest::UNNAMED)
        || name.starts_with("REMOTE-")
        || snapshot::draft_or_snapshot(name)
        || name.strip_prefix("index-").is_some_and(|number| number.parse::<u64>().is_ok())
}

/// The name of a file or folder in a store's directory that is not the store's, if there is one.
pub(crate) fn foreign_file(directory: &Path) -> Option<String> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = files.filter(|file| !is_ours(&file.path())).map(|file| file.file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .find(|name| !tags::is_tag(Path::new(name)) && !name.starts_with('.'))
}

/// A file of another program that happens to be called MANIFEST is not replaced.
fn refuse_foreign_manifest(directory: &Path) -> Result<()> {
    let Ok(bytes) = fs::read(directory.join("MANIFEST")) else { return Ok(()) };
    if directory.join("LOCK").exists() || bytes.starts_with(b"memolith ") {
        return Ok(());
    }
    let message = format!(
        "{} holds a MANIFEST that is not memolith's: a store needs a directory of its own; nothing was touched",
        directory.display(),
    );
    Err(Error::new(ErrorKind::Config, message))
}

/// A link in place of our own folders would have us write, and clear, somewhere else.
fn refuse_link(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let message = format!(
                "{} is a symbolic link: remove it, a store keeps to its own directory",
                path.display()
            );
            Err(Error::new(ErrorKind::Config, message))
        }
        _ => Ok(()),
    }
}
