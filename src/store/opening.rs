//! From a directory to a running engine: which index it is, what is known of it, and the ledger as it has it.

use std::{collections::BTreeMap, fs, path::Path, sync::atomic::Ordering};

use crate::{
    error::{Error, Kind, Result},
    store::{
        blob,
        core::Core,
        engine::{Calls, Engine},
        ledger::{CatalogRow, Generation, GenerationId, Ledger},
        lifecycle::{close_to_others, index_name, unused_index},
        manifest::{Closed, Found, Manifest, fingerprint},
        order::{Account, OrderRow, Tally},
        rebuild::rebuild,
    },
};

/// After an unclean end the sequence goes on behind everything that can have been given.
const SEQUENCE_GAP: u64 = 1 << 20;

/// Which index to open, and what is known of it.
pub(super) struct State {
    pub(super) index: u64,
    /// What is known for sure, of a settled index and of an empty one.
    closed: Option<Closed>,
    /// Whether it was left by anything but a close.
    unclean: bool,
    /// Whether it is a new one, to be filled from the blobs.
    pub(super) fresh: bool,
}

impl State {
    pub(super) fn read(core: &Core, directory: &Path) -> Result<Self> {
        if core.condemned.load(Ordering::Acquire) {
            return Ok(Self::fresh(core, directory));
        }
        match Manifest::read(directory)? {
            Found::Whole(Manifest { index, closed: None }) => {
                // sled would begin an empty one, and every payload file would be one that nobody knows.
                if matches!(directory.join(index_name(index)).join("db").try_exists(), Ok(false)) {
                    core.note(&Error::new(Kind::Corrupt, "the file of the index is gone"));
                    return Ok(Self::fresh(core, directory));
                }
                Ok(Self { index, closed: None, unclean: true, fresh: false })
            }
            Found::Whole(Manifest { index, closed: Some(closed) }) => {
                let folder = directory.join(index_name(index));
                // A refusal of the operating system is no damage: the index is left alone and tried again later. A
                // folder that is gone is.
                let files = if folder.is_dir() { fingerprint(&folder)? } else { BTreeMap::new() };
                if files == closed.files {
                    return Ok(Self { index, closed: Some(closed), unclean: false, fresh: false });
                }
                core.note(&Error::new(Kind::Corrupt, "the files of the index are not as they were left"));
                Ok(Self::fresh(core, directory))
            }
            Found::Nothing => Ok(Self::fresh(core, directory)),
            Found::Damaged => {
                core.note(&Error::new(Kind::Corrupt, "the MANIFEST is damaged"));
                Ok(Self::fresh(core, directory))
            }
        }
    }

    /// Under a number that was never used.
    pub(super) fn fresh(core: &Core, directory: &Path) -> Self {
        let index = unused_index(core, directory);
        Self { index, closed: Some(Closed::default()), unclean: true, fresh: true }
    }

    pub(super) fn open(&self, core: &Core, directory: &Path) -> Result<bool> {
        if self.fresh {
            // Until the index is filled there is none: a crash in between has it filled anew.
            core.in_charge(|| Manifest::remove(directory))?;
        } else {
            core.in_charge(|| Manifest::open(self.index).write(directory))?;
        }
        let folder = directory.join(index_name(self.index));
        blob::make_folder(&folder)?;
        let opened = Engine::open(&folder, &core.manner, || !core.is_closed())
            .and_then(|engine| self.take_up(core, directory, engine));
        if opened.is_err() && self.fresh {
            // Nobody names it, unless it came to its end too late, and the next attempt takes another number.
            let _ = core.in_charge(|| {
                let is_named =
                    matches!(Manifest::read(directory)?, Found::Whole(named) if named.index == self.index);
                if !is_named {
                    let _ = fs::remove_dir_all(&folder);
                }
                Ok(())
            });
        }
        opened
    }

    /// Puts an engine into service once the ledger is as its index is, under the writer lock.
    fn take_up(&self, core: &Core, directory: &Path, engine: Engine) -> Result<bool> {
        close_to_others(&directory.join(index_name(self.index)));
        // No fault of this index: it is tried again later.
        let ledger = core.ledger().map_err(|error| error.with_kind(Kind::Io));
        let ready = ledger.and_then(|mut ledger| {
            *ledger = self.filled(core, directory, &engine, &ledger)?;
            Ok(ledger)
        });
        match ready {
            Ok(ledger) => {
                // A recount that a close cut short is taken up again: without a count no bound holds.
                let uncounted = ledger.tally(None).is_none();
                let unrecovered = self.closed.as_ref().is_some_and(|closed| closed.unrecovered);
                core.index.store(self.index, Ordering::Release);
                core.condemned.store(false, Ordering::Release);
                core.run(engine)?;
                Ok(self.unclean || uncounted || unrecovered)
            }
            Err(error) => {
                let _ = engine.bury();
                Err(error)
            }
        }
    }

    /// The ledger of an index that is, from here on, the one that MANIFEST names.
    fn filled(&self, core: &Core, directory: &Path, engine: &Engine, before: &Ledger) -> Result<Ledger> {
        let mut loaded = self.load(engine, before)?;
        if self.fresh {
            rebuild(core, engine, &mut loaded)?;
            engine.flush()?;
            core.in_charge(|| Manifest::open(self.index).write(directory))?;
        }
        Ok(loaded)
    }

    /// The ledger as the index has it, with the memos that are open already taken over from `before`.
    fn load(&self, engine: &Engine, before: &Ledger) -> Result<Ledger> {
        let mut generations = self.generations(engine)?;
        for (id, open) in before.generations.iter().filter(|(_, generation)| generation.owner.is_some()) {
            let account = Account::new(Some(Tally::default()), false);
            engine.catalog().insert(&id.0, &open.row.encode())?;
            let row = open.row.clone();
            let found = generations.entry(*id).or_insert_with(|| Generation { row, account, owner: None });
            found.owner = open.owner;
        }
        let highest = self.highest_sequence(engine, &generations)?.max(before.sequence());
        let mut ledger = Ledger::starting_at(highest);
        ledger.generations = generations;
        ledger.bounds.clone_from(&before.bounds);
        Ok(ledger)
    }

    fn generations(&self, engine: &Engine) -> Result<BTreeMap<GenerationId, Generation>> {
        let mut generations = BTreeMap::new();
        for (key, value) in engine.catalog().rows(None, usize::MAX)? {
            let (Ok(id), Some(row)) = (<[u8; 16]>::try_from(&*key), CatalogRow::decode(&value)) else {
                return Err(Error::new(Kind::Corrupt, "the catalog of the index is damaged"));
            };
            let id = GenerationId(id);
            let account = self.account(engine, id)?;
            generations.insert(id, Generation { row, account, owner: None });
        }
        Ok(generations)
    }

    fn account(&self, engine: &Engine, id: GenerationId) -> Result<Account> {
        let known = self.closed.as_ref().and_then(|closed| closed.generations.get(&id.to_string()));
        let last = last_row(engine, id)?;
        let tally = known.map(|(tally, _)| *tally).or(last.is_none().then(Tally::default));
        let mut account = Account::new(tally, known.is_some_and(|(_, unordered)| *unordered));
        if let Some(last) = last {
            account.ends_with(last.lifetime);
        }
        Ok(account)
    }

    fn highest_sequence(
        &self,
        engine: &Engine,
        generations: &BTreeMap<GenerationId, Generation>,
    ) -> Result<u64> {
        if let Some(closed) = &self.closed {
            return Ok(closed.sequence);
        }
        let mut highest = 0;
        for id in generations.keys() {
            highest = last_row(engine, *id)?.map_or(highest, |row| highest.max(row.sequence));
        }
        Ok(highest + SEQUENCE_GAP)
    }
}

fn last_row(engine: &Engine, id: GenerationId) -> Result<Option<OrderRow>> {
    let row = engine.tables(id, Calls::Here)?.order.last()?;
    // A row that says nothing still has its place in the order.
    Ok(row.and_then(|(key, value)| OrderRow::decode(&key, &value).or_else(|| OrderRow::unknown(&key))))
}
