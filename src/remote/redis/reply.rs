//! Reads the replies of the server. A reply of another form is `None`.

use redis::Value;

use super::{
    super::operation::{Body, Epochs},
    position::Position,
};

pub(super) fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        other => str::from_utf8(bytes(other)?).ok()?.parse().ok(),
    }
}

/// The epochs of the namespace and of a memo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EpochsNow {
    pub(super) epochs: Epochs,
    /// A value that was begun before that does not count, in milliseconds by the clock of the server.
    cleared: u64,
}

/// If both are there.
pub(super) fn epochs(one: &Value, other: &Value) -> Option<EpochsNow> {
    let (one, cleared) = bytes(one)?.split_at_checked(16)?;
    let (other, cleared_memo) = bytes(other)?.split_at_checked(16)?;
    let time = |bytes: &[u8]| bytes.first_chunk().map_or(0, |time| u64::from_le_bytes(*time));
    Some(EpochsNow {
        epochs: epochs_of(&[one, other].concat())?,
        cleared: time(cleared).max(time(cleared_memo)),
    })
}

fn epochs_of(bytes: &[u8]) -> Option<Epochs> {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: [[u8; 8]; 4] = words.try_into().ok().filter(|_| rest.is_empty())?;
    Some(words.map(u64::from_le_bytes))
}

pub(super) fn bytes_of_epochs(epochs: Epochs) -> Vec<u8> {
    epochs.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The value, if it counts under these epochs. Its age follows from the lifetime that is left to it: the clocks of the machines
/// may differ.
pub(super) fn body(value: &Value, left: &Value, now: EpochsNow) -> Option<Body> {
    let (stored_under, rest) = bytes(value)?.split_at_checked(32)?;
    let (stored, body) = rest.split_first_chunk()?;
    let (lasts, rest) = body.split_first_chunk()?;
    let (stored, lasts) = (u64::from_le_bytes(*stored), u64::from_le_bytes(*lasts));
    let took = u64::from_le_bytes(*rest.first_chunk()?);
    if epochs_of(stored_under)? != now.epochs || stored.saturating_sub(took) < now.cleared {
        return None;
    }
    let left = u64::try_from(number(left)?).ok()?;
    Some(Body { age: lasts.saturating_sub(left), bytes: body.to_vec() })
}

/// The reply of a script that tells a change: its outcome, and where the message stands if there was one.
pub(super) fn told(value: &Value) -> Option<(i64, Option<Position>)> {
    let (outcome, told) = array(value)?.split_first()?;
    let told = match told {
        [] => None,
        [told, ..] => {
            let [life, at, id] = array(told)? else { return None };
            let text = |value| String::from_utf8(bytes(value)?.to_vec()).ok();
            Some(Position { life: text(life)?, number: u64::try_from(number(at)?).ok()?, id: text(id)? })
        }
    };
    Some((number(outcome)?, told))
}
