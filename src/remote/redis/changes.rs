//! The changes of this store on the server, and how they are told.

use std::{sync::atomic::Ordering, time::Duration};

use redis::Cmd;

use super::{
    journal::{MAX_TOLD, Told},
    keys::Keys,
    position::Position,
    reply::{self, bytes_of_epochs},
    retries::Waiting,
    server::{EPOCHS_LAST, RedisServer},
    stream::{Content, LocalChange, Sender},
};
use crate::{
    error::{Error, ErrorKind, Result},
    random::random_id,
    remote::{Change, Operation, Outcome, Target},
    sync::lock,
};

/// A value that an insert brings was made so many milliseconds later than its change, at least.
const INSERT_MARGIN: u64 = 2;

/// About so many messages the stream keeps. A store that was closed while more were sent forgets what the server may know.
const STREAM_LENGTH: usize = 100_000;

/// A change that the server gets later than it was made.
#[derive(Clone, Copy)]
pub(super) struct Late {
    /// How long ago it was made.
    pub(super) ago: Duration,
    /// When it was made by the clock of the server, in milliseconds since 1970.
    pub(super) by_server: u64,
}

impl RedisServer {
    pub(super) fn publish(&self, operation: &Operation<'_>) -> Result<Outcome> {
        let Operation::Publish { target, token, epochs, lasts, body, is_told } = operation else {
            return Err(self.unexpected());
        };
        let entry = Keys::entry(target);
        let (change, at) = (LocalChange::of_entry(target), self.now());
        let message = if *is_told { self.message(&change, at, Duration::ZERO) } else { Vec::new() };
        let mut command = self.link.scripts.publish.run(&self.keys_of(target, &entry));
        command.arg(token).arg(bytes_of_epochs(*epochs)).arg(lasts).arg(*body).arg((*lasts).max(EPOCHS_LAST));
        command.arg(entry).arg(message).arg(STREAM_LENGTH).arg(fresh_life());
        let (outcome, told) = self.run(command)?;
        self.note_told(change, at, told);
        Ok(Outcome::Done(outcome == 1))
    }

    /// A change that the server does not get is kept until it does.
    pub(super) fn change(&self, change: &Change<'_>) -> Result<Outcome> {
        // Before it is sent: a value that an insert brings is newer than that.
        let margin = if matches!(change, Change::Insert { .. }) { INSERT_MARGIN } else { 0 };
        let at = self.now().saturating_sub(margin);
        let local = LocalChange::of(change);
        let waiting = Waiting::made_now(local.clone(), at);
        let made = if self.link.is_up() { self.make(change, at) } else { Err(self.link.why_down()) };
        match made {
            Ok(was_there) => {
                lock(&self.applied).note(&local);
                Ok(Outcome::Done(was_there))
            }
            Err(error) => {
                self.take_over_journal();
                self.retries.add(waiting);
                self.is_dirty.store(true, Ordering::Release);
                self.write_journal();
                let message = format!(
                    "{error}; the change is made on this machine, and the server gets it as a removal when it answers again"
                );
                Err(Error::new(ErrorKind::Server, &message).caused_by(error))
            }
        }
    }

    fn make(&self, change: &Change<'_>, at: u64) -> Result<bool> {
        let local = LocalChange::of(change);
        match change {
            Change::Insert { target, lasts, body } => {
                let entry = Keys::entry(target);
                let mut command = self.link.scripts.insert.run(&self.keys_of(target, &entry));
                command.arg(lasts).arg(*body).arg((*lasts).max(EPOCHS_LAST));
                command.arg(&random_id()).arg(&random_id()).arg(entry);
                self.tell(command, local, at, Duration::ZERO).map(|()| true)
            }
            Change::Remove(target) => self.remove(target, at, None).map(|outcome| outcome == 1),
            Change::Clear { .. } | Change::Forget { .. } => self.clear(local, at, None).map(|()| true),
        }
    }

    /// A removal that is made up for leaves what was made since. 0 if there was nothing, 1 if there was a value, 2 if a newer one
    /// stays.
    pub(super) fn remove(&self, target: &Target<'_>, at: u64, late: Option<Late>) -> Result<i64> {
        let entry = Keys::entry(target);
        let local = LocalChange::of_entry(target);
        let mut command = self.link.scripts.remove.run(&self.keys_of(target, &entry));
        let made = late.map_or(-1, |late| i64::try_from(late.by_server).unwrap_or(i64::MAX));
        command.arg(entry).arg(self.message(&local, at, late.map(|late| late.ago).unwrap_or_default()));
        command.arg(STREAM_LENGTH).arg(fresh_life()).arg(made);
        let (outcome, told) = self.run(command)?;
        self.note_told(local, at, told);
        Ok(outcome)
    }

    /// Of one memo, or of all. One that is made up for leaves what was made since.
    pub(super) fn clear(&self, change: LocalChange, at: u64, late: Option<Late>) -> Result<()> {
        let epoch = change.memo().map_or_else(|| self.keys.epoch(), |memo| self.keys.epoch_of(memo));
        let mut command = self.link.scripts.clear.run(&[epoch, self.keys.stream(), self.keys.channel()]);
        let made = late.map_or(-1, |late| i64::try_from(late.by_server).unwrap_or(i64::MAX));
        command.arg(&random_id()).arg(EPOCHS_LAST).arg(made);
        self.tell(command, change, at, late.map(|late| late.ago).unwrap_or_default())
    }

    /// Runs a script. Its last arguments are the message, the length of the stream and a fresh life.
    fn tell(&self, mut command: Cmd, change: LocalChange, at: u64, ago: Duration) -> Result<()> {
        command.arg(self.message(&change, at, ago)).arg(STREAM_LENGTH).arg(fresh_life());
        let (_, told) = self.run(command)?;
        self.note_told(change, at, told);
        Ok(())
    }

    pub(super) fn run(&self, command: Cmd) -> Result<(i64, Option<Position>)> {
        let mut commands = redis::pipe();
        commands.add_command(command);
        reply::told(&self.ask_and_check(&commands)?).ok_or_else(|| self.unexpected())
    }

    pub(super) fn message(&self, change: &LocalChange, at: u64, ago: Duration) -> Vec<u8> {
        let sender = Sender { directory: lock(&self.journal).directory, run: self.run };
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        Content { sender, at, ago, change: change.clone() }.encode()
    }

    /// The server has told a change. It gets it once more if it loses that.
    pub(super) fn note_told(&self, change: LocalChange, at: u64, told: Option<Position>) {
        let Some(position) = told else { return };
        let mut journal = lock(&self.journal);
        // Under the lock: the last one that has its number is in the list.
        let serial = self.serial.load(Ordering::Acquire) + 1;
        if journal.told.len() >= MAX_TOLD {
            fold(&mut journal.told);
        }
        journal.told.push(Told { change, at, position, serial });
        self.serial.store(serial, Ordering::Release);
        self.is_dirty.store(true, Ordering::Release);
    }
}

/// More changes than are kept become one for each memo, in the place of the last of them: if that is lost, the memo is forgotten.
fn fold(told: &mut Vec<Told>) {
    let mut folded: Vec<Told> = Vec::new();
    for Told { change, at, position, serial } in told.drain(..) {
        let change = LocalChange::Forget { memo: change.memo().map(str::to_owned) };
        folded.retain(|known| known.change != change);
        folded.push(Told { change, at, position, serial });
    }
    // Those of many memos are as good as all.
    let excess = folded.len().saturating_sub(MAX_TOLD / 2);
    folded.drain(..excess);
    *told = folded;
}

/// The name of a stream that may begin with a message.
fn fresh_life() -> String {
    format!("{:032x}", u128::from_be_bytes(random_id()))
}
