//! The effects of a computation: recorded with its value, to be handled again at each hit.
//!
//! ```text
//! offset  size
//!      0     n  the effects in the order in which they were emitted, each as
//!                 1  the place of its type among those that the memo declares
//!                 4  length
//!                 .  the effect, encoded
//!      n     8  n
//! ```
//!
//! This stands behind each value of a memo that declares effects, in the same payload and under the same checksums. The
//! declared types are part of the generation, so a memo never reads bytes of another layout. Every number is little-endian.

use std::{
    any::{Any, TypeId},
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
};

use crate::{
    error::{Error, ErrorKind, Result},
    sync::{Mutex, lock},
};

/// The most effects of one computation.
pub(crate) const MAX_EFFECTS: usize = 10_000;

/// The most bytes that they may take, encoded.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// The most types that one memo declares: the place of a type is one byte.
pub(crate) const MAX_TYPES: usize = 256;

const LENGTH: usize = size_of::<u64>();

/// Emits effects that the code of a computation causes, and does not emit itself.
pub(crate) trait Listener: Send + Sync {
    /// One of a higher number emits all that one of a lower number does.
    fn detail(&self) -> u8;

    /// Begins on this thread. It ends when the result is dropped, on this thread too. `None` if nothing is to be done.
    fn listen(&self) -> Option<Box<dyn Any>>;
}

/// What becomes of an effect in a memo that does not declare its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undeclared {
    /// It is a failure of the memo.
    IsTold,
    IsIgnored,
}

/// One type of effect that a memo declares, with its handler. Panics of the handler and of other user code are contained,
/// and are errors.
pub(crate) trait EffectType: Send + Sync {
    fn id(&self) -> TypeId;

    fn name(&self) -> &'static str;

    /// That of a new computation, of that detail at least.
    fn listener(&self, least: u8) -> Option<Arc<dyn Listener>>;

    /// Whether the memo handles and records this effect of the type.
    fn takes(&self, effect: &dyn Any) -> bool;

    /// The same for a recorded effect.
    fn takes_recorded(&self, effect: &[u8]) -> bool;

    fn undeclared(&self) -> Undeclared;

    /// Handles an effect of this type when it is emitted.
    fn handle(&self, effect: &dyn Any) -> Result<()>;

    /// Fails for an effect that cannot be read back unchanged.
    fn encode(&self, effect: &dyn Any) -> Result<Vec<u8>>;

    /// Handles a recorded effect.
    fn repeat(&self, effect: &[u8]) -> Result<()>;
}

/// The effects of an open memo, as far as another open of its name needs to know.
#[derive(Clone, Default)]
pub(crate) struct EffectFormat {
    /// The types and details of the handlers, in their order.
    pub(crate) handlers: Vec<(TypeId, u8)>,
    /// The shapes of the effects, behind the id of the codec. Empty without effects.
    pub(crate) suffix: String,
}

/// The types of effects that a memo declares, each once.
pub(crate) struct EffectTypes(Vec<Arc<dyn EffectType>>);

impl EffectTypes {
    /// `None` without any.
    pub(crate) fn new(types: Vec<Arc<dyn EffectType>>) -> Option<Arc<Self>> {
        if types.is_empty() { None } else { Some(Arc::new(Self(types))) }
    }

    pub(crate) fn find(&self, id: TypeId) -> Option<(u8, &Arc<dyn EffectType>)> {
        let place = self.0.iter().position(|declared| declared.id() == id)?;
        Some((u8::try_from(place).ok()?, self.0.get(place)?))
    }

    pub(crate) fn at(&self, place: u8) -> Option<&Arc<dyn EffectType>> {
        self.0.get(usize::from(place))
    }
}

/// The effects of one value, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EffectLog {
    bytes: Vec<u8>,
    count: usize,
}

impl EffectLog {
    /// Adds an effect. It is an error if there are too many.
    fn push(&mut self, place: u8, effect: &[u8]) -> Result<()> {
        let length = u32::try_from(effect.len()).map_err(|_| too_many())?;
        let taken = self.bytes.len() + effect.len() + size_of::<u8>() + size_of::<u32>();
        if self.count == MAX_EFFECTS || taken > MAX_BYTES {
            return Err(too_many());
        }
        self.bytes.push(place);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(effect);
        self.count += 1;
        Ok(())
    }

    /// The effects with the places of their types.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Placed<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (effect, behind) = split_first(rest)?;
            rest = behind;
            Some(effect)
        })
    }

    /// The bytes that stand behind the value.
    pub(crate) fn trailer(&self) -> Vec<u8> {
        [&self.bytes, &(self.bytes.len() as u64).to_le_bytes()[..]].concat()
    }

    /// The length of the trailer of a payload of that length, by its last bytes.
    pub(crate) fn trailer_length(payload: usize, last: [u8; LENGTH]) -> Option<usize> {
        let trailer = usize::try_from(u64::from_le_bytes(last)).ok()?.checked_add(LENGTH)?;
        (trailer <= payload && trailer <= MAX_BYTES + LENGTH).then_some(trailer)
    }

    /// `None` unless [`trailer`](Self::trailer) wrote the bytes.
    pub(crate) fn of_trailer(trailer: &[u8]) -> Option<Self> {
        let (bytes, length) = trailer.split_last_chunk::<LENGTH>()?;
        let (mut rest, mut count) = (bytes, 0);
        while !rest.is_empty() {
            (_, rest) = split_first(rest)?;
            count += 1;
        }
        let is_whole = u64::from_le_bytes(*length) == bytes.len() as u64 && count <= MAX_EFFECTS;
        is_whole.then(|| Self { bytes: bytes.to_vec(), count })
    }
}

/// An effect, behind the place of its type.
type Placed<'a> = (u8, &'a [u8]);

/// Splits the first effect off.
fn split_first(bytes: &[u8]) -> Option<(Placed<'_>, &[u8])> {
    let ([place, length @ ..], rest) = bytes.split_first_chunk::<5>()?;
    let (effect, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some(((*place, effect), rest))
}

fn too_many() -> Error {
    let message = format!(
        "a computation emitted more than {MAX_EFFECTS} effects, or more than {} MiB of them: the value is handed over but not \
         stored; emit fewer effects, or join several of them to one",
        MAX_BYTES >> 20
    );
    Error::new(ErrorKind::Effect, message)
}

/// What one computation makes of the effects that are emitted within it.
pub(crate) struct EffectRecorder {
    types: Option<Arc<EffectTypes>>,
    /// Whether it only records: no caller waits for it.
    pub(crate) is_silent: bool,
    /// Whether the value may be stored.
    is_recording: bool,
    /// Whether the function has returned. Code that runs later is not part of it: a check of the value, a handler that shows a
    /// stale one, a thread that was left behind.
    has_ended: AtomicBool,
    recorded: Mutex<Recorded>,
}

/// At the end of a computation.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) log: EffectLog,
    /// Why effects are missing in the log: the value may not be stored.
    pub(crate) missing: Option<Error>,
    /// Failures that do not concern the value: of handlers, and effects that passed by.
    pub(crate) failures: Vec<Error>,
}

/// The most failures that are kept of one computation.
pub(crate) const MAX_FAILURES: usize = 8;

impl EffectRecorder {
    pub(crate) fn new(types: Option<Arc<EffectTypes>>, is_silent: bool) -> Self {
        let has_ended = AtomicBool::new(false);
        Self { types, is_silent, is_recording: true, has_ended, recorded: Mutex::default() }
    }

    /// The same, for a computation whose effects are not stored.
    pub(crate) fn unrecorded(types: Option<Arc<EffectTypes>>) -> Self {
        Self { is_recording: false, ..Self::new(types, false) }
    }

    /// That of the computation, of that detail at least. `None` if it needs none of its own.
    pub(crate) fn listener(&self, least: u8) -> Option<Arc<dyn Listener>> {
        let types = self.types.as_ref().filter(|_| self.is_recording)?;
        types.0.iter().find_map(|declared| declared.listener(least))
    }

    pub(crate) fn find(&self, id: TypeId) -> Option<(u8, &Arc<dyn EffectType>)> {
        self.types.as_ref()?.find(id)
    }

    pub(crate) fn record(&self, place: u8, effect: &[u8]) {
        if !self.is_recording {
            return;
        }
        let mut recorded = lock(&self.recorded);
        if recorded.missing.is_none() {
            recorded.missing = recorded.log.push(place, effect).err();
        }
    }

    /// An effect cannot be recorded.
    pub(crate) fn miss(&self, error: &Error) {
        if self.is_recording {
            lock(&self.recorded).missing.get_or_insert_with(|| error.clone());
        }
    }

    pub(crate) fn fail(&self, error: Error) {
        let failures = &mut lock(&self.recorded).failures;
        if failures.len() < MAX_FAILURES {
            failures.push(error);
        }
    }

    /// An effect was emitted that the memo does not declare. Told once a computation.
    pub(crate) fn pass(&self, name: &str) {
        let failures = &mut lock(&self.recorded).failures;
        if failures.iter().any(|error| error.kind() == ErrorKind::Effect) {
            return;
        }
        let message = format!(
            "an effect of type `{name}` was emitted, and is missing at hits: declare its handler by `.effects(..)` at the \
             builder of this memo, or by `#[memo(effects = ..)]`"
        );
        failures.push(Error::new(ErrorKind::Effect, message));
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Acquire)
    }

    /// The function has returned.
    pub(crate) fn end(&self) -> Recorded {
        self.has_ended.store(true, Release);
        std::mem::take(&mut *lock(&self.recorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::explore;

    fn log(effects: &[(u8, &[u8])]) -> EffectLog {
        let mut log = EffectLog::default();
        for (place, effect) in effects {
            log.push(*place, effect).unwrap();
        }
        log
    }

    #[test]
    fn the_bytes_of_a_log_are_golden_and_are_read_back() {
        let log = log(&[(1, b"ab"), (0, b"")]);
        let golden = [1, 2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(log.trailer(), golden);
        let back = EffectLog::of_trailer(&golden).unwrap();
        assert_eq!(back, log);
        assert_eq!(back.iter().collect::<Vec<_>>(), [(1, &b"ab"[..]), (0, b"")]);
        assert_eq!(EffectLog::default().trailer(), [0; 8]);
    }

    #[test]
    fn a_cut_trailer_and_one_of_another_length_are_refused() {
        let whole = log(&[(1, b"ab"), (0, b"")]).trailer();
        for length in 0..whole.len() {
            assert_eq!(EffectLog::of_trailer(&whole[..length]), None);
            assert_eq!(EffectLog::of_trailer(&whole[whole.len() - length..]), None);
        }
        assert_eq!(EffectLog::trailer_length(30, 12_u64.to_le_bytes()), Some(20));
        assert_eq!(EffectLog::trailer_length(19, 12_u64.to_le_bytes()), None);
        assert_eq!(EffectLog::trailer_length(usize::MAX, [0xff; 8]), None);
    }

    #[test]
    fn too_many_effects_and_too_large_ones_leave_the_value_unstored() {
        explore(|| {
            let recorder = EffectRecorder::new(None, false);
            (0..MAX_EFFECTS).for_each(|_| recorder.record(0, b""));
            recorder.fail(Error::new(ErrorKind::Panic, "the handler"));
            let taken = recorder.end();
            assert!(taken.missing.is_none() && taken.log.count == MAX_EFFECTS && taken.failures.len() == 1);
            (0..=MAX_EFFECTS).for_each(|_| recorder.record(0, b""));
            assert!(recorder.end().missing.is_some());
            recorder.record(0, &vec![0; MAX_BYTES]);
            assert_eq!(recorder.end().missing.map(|error| error.kind()), Some(ErrorKind::Effect));
        });
    }

    #[test]
    fn effects_that_pass_by_are_told_once() {
        explore(|| {
            let recorder = EffectRecorder::new(None, false);
            (0..3).for_each(|_| recorder.pass("Shown"));
            let [told] = &recorder.end().failures[..] else { panic!() };
            assert!(told.to_string().contains("`Shown`") && told.kind() == ErrorKind::Effect);
        });
    }
}
