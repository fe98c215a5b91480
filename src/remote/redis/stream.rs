//! The stream of changes: its messages, and how a reader goes on behind its position.

use redis::Value;
use serde::{Deserialize, Serialize};

use super::{
    super::{Change, Target},
    position::Position,
    reply,
};

/// A change as it is told to other machines, and kept until the server has it: without the value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LocalChange {
    Remove { memo: String, generation: [u8; 16], digest: [u8; 32] },
    Clear { memo: String, generation: [u8; 16] },
    Forget { memo: Option<String> },
}

impl LocalChange {
    pub(super) fn of_entry(target: &Target<'_>) -> Self {
        let Target { memo, generation, digest } = *target;
        Self::Remove { memo: memo.to_owned(), generation, digest }
    }

    pub(super) fn of(change: &Change<'_>) -> Self {
        match change {
            Change::Insert { target, .. } | Change::Remove(target) => Self::of_entry(target),
            Change::Clear { memo, generation } => {
                Self::Clear { memo: (*memo).to_owned(), generation: *generation }
            }
            Change::Forget { memo } => Self::Forget { memo: memo.map(str::to_owned) },
        }
    }

    pub(super) fn memo(&self) -> Option<&str> {
        match self {
            Self::Remove { memo, .. } | Self::Clear { memo, .. } => Some(memo),
            Self::Forget { memo } => memo.as_deref(),
        }
    }

    /// Whether it takes an entry away on the server.
    pub(super) fn concerns(&self, target: &Target<'_>) -> bool {
        match self {
            Self::Remove { generation, digest, .. } => {
                (generation, digest) == (&target.generation, &target.digest)
            }
            Self::Clear { memo, .. } => memo == target.memo,
            Self::Forget { memo } => memo.as_deref().is_none_or(|memo| memo == target.memo),
        }
    }
}

/// One message of the stream.
pub(super) struct Message {
    pub(super) position: Position,
    /// `None` for bytes that no version of this crate wrote, or a later one.
    pub(super) content: Option<Content>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) sender: Sender,
    /// When the change was made, in milliseconds since 1970, by the clock of its machine.
    pub(super) at: u64,
    /// How long ago that was when it was told: 0 unless the server did not get it at once. What was made since stays.
    pub(super) ago: u64,
    pub(super) change: LocalChange,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sender {
    /// The random name of the store's directory.
    pub(super) directory: [u8; 16],
    /// That of one run of one of its processes.
    pub(super) run: [u8; 16],
}

impl Content {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).unwrap_or_default()
    }
}

/// A change to be made in the local store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToApply {
    pub(crate) change: LocalChange,
    /// An entry that was created at that time or later stays.
    pub(crate) unless_since: Option<u64>,
}

impl From<LocalChange> for ToApply {
    fn from(change: LocalChange) -> Self {
        Self { change, unless_since: None }
    }
}

/// The messages of one reply to `XREAD`. `None` for a reply of another form.
pub(super) fn messages(reply: &Value) -> Option<Vec<Message>> {
    if matches!(reply, Value::Nil) {
        return Some(Vec::new());
    }
    let [_, rows] = reply::array(reply::array(reply)?.first()?)? else { return None };
    rows_of(rows)
}

/// The messages of one reply to `XRANGE` or `XREVRANGE`.
pub(super) fn rows_of(rows: &Value) -> Option<Vec<Message>> {
    reply::array(rows)?.iter().map(message).collect()
}

fn message(row: &Value) -> Option<Message> {
    let [id, fields] = reply::array(row)? else { return None };
    let id = String::from_utf8(reply::bytes(id)?.to_vec()).ok()?;
    let fields = reply::array(fields).unwrap_or_default();
    let field = |at: usize| fields.get(at).and_then(reply::bytes);
    let text = |at: usize| field(at).and_then(|bytes| str::from_utf8(bytes).ok());
    // A message of another form is one of an unknown number, and a gap.
    let number = text(3).and_then(|number| number.parse().ok()).unwrap_or_default();
    let life = text(1).unwrap_or_default().to_owned();
    let content = field(5).and_then(|bytes| postcard::from_bytes(bytes).ok());
    Some(Message { position: Position { life, number, id }, content })
}
