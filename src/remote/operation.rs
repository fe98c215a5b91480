//! What a store asks of a server, and the answers. Both travel between the processes of one directory too.

use serde::{Deserialize, Serialize};

/// One entry: the memo by name, its generation, and the digest of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target<'a> {
    pub(crate) memo: &'a str,
    pub(crate) generation: [u8; 16],
    pub(crate) digest: [u8; 32],
}

/// The random name of one lease.
pub(crate) type Token = [u8; 16];

/// The epochs of the namespace and of a memo, 16 bytes each. A clear gives new ones, and a value counts only under those that it
/// was stored with.
pub(crate) type Epochs = [u64; 4];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation<'a> {
    /// Reads a value.
    Find(Target<'a>),
    /// Asks for the lease of a key, and reads its value once more.
    Lead {
        target: Target<'a>,
        token: Token,
    },
    /// Stores the value that was computed under a lease, and ends the lease. `is_told`: other machines forget what they have.
    Publish {
        target: Target<'a>,
        token: Token,
        epochs: Epochs,
        lasts: u64,
        body: &'a [u8],
        is_told: bool,
    },
    /// Ends a lease without a value. `is_unstored`: there is a value, which is not for the server.
    Release {
        target: Target<'a>,
        token: Token,
        is_unstored: bool,
    },
    /// Renews a lease. Whether it is there still.
    Renew {
        entry: &'a str,
        token: Token,
    },
    /// Ends a lease without a value.
    End {
        entry: &'a str,
        token: Token,
    },
    /// A memo may have values on the server.
    Memo(&'a str),
    /// Changes that another process of this directory could not tell, in the form of the journal.
    Late(&'a [u8]),
    Change(Change<'a>),
    /// How many changes were made so far: by the processes of this directory, and by other machines as far as they were applied here.
    Applied,
    /// How many of those behind that many concern an entry.
    Changes {
        target: Target<'a>,
        since: u64,
    },
}

/// A change that the user of a store made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change<'a> {
    /// The value lasts that many milliseconds. Without a body it is too large for the server: the key is removed there.
    Insert {
        target: Target<'a>,
        lasts: u64,
        body: &'a [u8],
    },
    Remove(Target<'a>),
    /// One generation. On the server all values of the memo go.
    Clear {
        memo: &'a str,
        generation: [u8; 16],
    },
    /// Everything of a memo, or of all memos.
    Forget {
        memo: Option<&'a str>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The server is not asked at the moment: it did not answer a short while ago, or a change of the key waits for it.
    Skipped,
    Absent,
    Found(Body),
    /// The lease is granted.
    Lead {
        epochs: Epochs,
        found: Option<Body>,
    },
    /// Another caller has the lease.
    Led(Option<Body>),
    /// The value of another caller is not for the server: each computes its own.
    Unshared,
    /// Whether it was done; for a removal, whether there was a value.
    Done(bool),
    Number(u64),
}

/// A value as the server has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// In milliseconds.
    pub(crate) age: u64,
    pub(crate) bytes: Vec<u8>,
}
