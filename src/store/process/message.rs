//! The messages between the host of a directory and its guests, as bytes. `docs/protocol.md` has them as a document.
//!
//! A guest sends calls, each with a number of its own; the host sends answers, each with the number of its call. Both are
//! encoded by postcard. Bytes from a socket are no more trusted than bytes from disk: bytes that do not decode end the
//! connection, lengths are bounded by the frame, and records carry their checksum.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The version of the protocol. Host and guest of different versions do not talk to each other.
pub(super) const PROTOCOL: u16 = 3;

/// The first four bytes of a greeting, the same in every version.
pub(super) const GREETING: [u8; 4] = *b"MLTH";

/// From a guest.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Call<'a> {
    /// The first call of a connection. Answered by [`Answer::Welcome`] or [`Answer::Failed`].
    Hello {
        greeting: [u8; 4],
        protocol: u16,
    },
    /// Everything that the guest leads was declared. It `returns` if it was a guest of an earlier host. Until then, or until a moment passed, a new host grants no lead.
    Declared {
        returns: bool,
    },
    /// A memo is open there, under a number that the guest chose.
    Adopt {
        memo: u32,
        generation: [u8; 16],
        row: &'a [u8],
        place: &'a str,
        bounds: Limits,
    },
    Disown {
        memo: u32,
    },
    /// The record of a key; or the lead of the key, under the number of this call.
    LookUp {
        memo: u32,
        digest: [u8; 32],
        expires: Expires,
        caller: u64,
        wants: Wants,
    },
    /// The caller of an earlier look-up waited for too long: it leads.
    Overtake {
        call: u32,
    },
    /// A claim ended without a value to store.
    End {
        claim: u32,
        outcome: Ended,
    },
    /// A claim that an earlier host had granted.
    Declare {
        memo: u32,
        digest: [u8; 32],
        caller: u64,
        /// Whether there is a stale record, which others may have meanwhile.
        is_refresh: bool,
    },
    Put(#[serde(borrow)] PutCall<'a>),
    Remove {
        memo: u32,
        digest: [u8; 32],
    },
    Clear {
        memo: u32,
    },
    /// Of one memo by its name, or of all.
    Forget {
        name: Option<&'a str>,
    },
    /// Of one memo, or of the whole store.
    Count {
        memo: Option<u32>,
    },
    Totals,
    /// A stretch of the names of all memos with their scopes, in their order, behind one of them.
    Names {
        after: Option<&'a str>,
    },
    Flush,
    Barrier,
    Sweep,
    MakeRoom {
        name: Option<&'a str>,
    },
    /// A stretch of a memo's entries, behind a sequence.
    Walk {
        memo: u32,
        after: Option<u64>,
    },
    /// Answered at once: the host is there.
    Ping,
    /// The entry of a key goes, unless it was created at that time or later.
    RemoveOf {
        generation: [u8; 16],
        digest: [u8; 32],
        unless_since: Option<u64>,
    },
    ClearOf {
        generation: [u8; 16],
    },
    /// What the host asks of the server that several machines share. Answered by [`Answer::Server`], or by `Flag(false)` if the
    /// host has no such server.
    Server(#[serde(borrow)] Bulk<'a>),
}

/// Bytes that may be longer than a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Bulk<'a> {
    Inline(&'a [u8]),
    /// A file in `trash/`, which the reader removes.
    File(&'a str),
}

/// What a look-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wants {
    /// The record if it is there.
    Record,
    /// Or else the lead: the answer may take as long as a computation.
    RecordOrLead,
    /// Only the lead: the record of that sequence is of no use to the guest.
    Replacement { of: u64 },
    /// The lead if no caller has it: the record of that sequence is stale. Answered at once.
    Refresh { of: u64 },
}

/// When entries expire by the rules of one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Expires {
    /// After so many milliseconds an entry is stale, unless it has an expiry of its own.
    pub(super) ttl_millis: Option<u64>,
    /// After so many more it is over.
    pub(super) stale_millis: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) expires: Expires,
    pub(super) max_entries: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) spares_used: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PutCall<'a> {
    pub(super) memo: u32,
    pub(super) digest: [u8; 32],
    pub(super) key_head: &'a [u8],
    pub(super) compute_nanos: u64,
    /// The ttl of this entry alone, in milliseconds.
    pub(super) ttl_millis: Option<u64>,
    /// For a value from a server: how long ago it was created, in milliseconds.
    pub(super) age_millis: Option<u64>,
    pub(super) payload: PutPayload<'a>,
    /// For a value that was computed from tracked inputs: the variant list of it alone. The digest is that of the key then, and
    /// the claim may be on one of its variants.
    pub(super) variant: Option<&'a [u8]>,
    pub(super) origin: PutOrigin,
    /// Whether the answer is to come after a flush.
    pub(super) is_awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PutOrigin {
    /// The user brought it.
    Inserted,
    /// It was computed under that claim of this connection, or else while the words of EPOCHS were as noted. Whether it takes
    /// the place of a value that was there.
    Computed { claim: Option<u32>, noted: (u64, u64), replaces: bool },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum PutPayload<'a> {
    Inline(&'a [u8]),
    /// A draft in `trash/`.
    Draft {
        name: &'a str,
        length: u64,
        table_checksum: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ended {
    /// A value was found.
    Found,
    /// A value was computed and cannot be found by others.
    Unstored,
    /// The computation failed, or was revoked: another caller leads.
    Failed,
    /// The computation was dropped, which is no failure: another caller leads.
    Abandoned,
}

/// From the host.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer<'a> {
    Welcome,
    Done,
    Flag(bool),
    /// As it stands in the index.
    Record(&'a [u8]),
    Missing(MissReason),
    /// The claim is granted. Whether it leads or not is of no concern to the guest.
    Lead(MissReason),
    Tally {
        entries: u64,
        bytes: u64,
        indexed: u64,
    },
    Numbers(Vec<u64>),
    /// Some names, and whether there are more.
    Names {
        #[serde(borrow)]
        names: Vec<&'a str>,
        has_more: bool,
    },
    Swept {
        expired: u64,
        retired: u64,
        orphaned: u64,
        bytes: u64,
    },
    /// Bytes, digest and record of each entry; and the sequence that was looked at last, if there may be more.
    Entries {
        #[serde(borrow)]
        rows: Vec<(u64, [u8; 32], &'a [u8])>,
        next: Option<u64>,
    },
    Failed {
        kind: u8,
        message: &'a str,
    },
    Pong,
    /// Another caller has the lead.
    Led,
    Server(#[serde(borrow)] Bulk<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MissReason {
    Absent,
    Expired,
    Outdated,
    Damaged,
}

/// With the number of a call in front.
pub(super) fn encode<T: Serialize>(call: u32, message: &T) -> Vec<u8> {
    let mut frame = call.to_le_bytes().to_vec();
    // It fails for no type of this file.
    if let Ok(bytes) = postcard::to_extend(message, Vec::new()) {
        frame.extend_from_slice(&bytes);
    }
    frame
}

/// The same frame under another number.
pub(super) fn renumber(mut frame: Vec<u8>, call: u32) -> Vec<u8> {
    if let Some(number) = frame.first_chunk_mut() {
        *number = call.to_le_bytes();
    }
    frame
}

/// The number of a frame, and its message.
pub(super) fn split(frame: &[u8]) -> Option<(u32, &[u8])> {
    let (call, message) = frame.split_first_chunk()?;
    Some((u32::from_le_bytes(*call), message))
}

/// Bytes that are a call, written again.
#[cfg(feature = "testing")]
pub(crate) fn read_call(bytes: &[u8]) -> Option<Vec<u8>> {
    decode::<Call<'_>>(bytes).and_then(|call| postcard::to_stdvec(&call).ok())
}

/// Bytes that are an answer, written again.
#[cfg(feature = "testing")]
pub(crate) fn read_answer(bytes: &[u8]) -> Option<Vec<u8>> {
    decode::<Answer<'_>>(bytes).and_then(|answer| postcard::to_stdvec(&answer).ok())
}

/// `None` for bytes that `encode` did not write.
pub(super) fn decode<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Option<T> {
    let (decoded, rest) = postcard::take_from_bytes(message).ok()?;
    rest.is_empty().then_some(decoded)
}

/// The kinds that an answer can have, by their numbers.
const KINDS: [ErrorKind; 9] = [
    ErrorKind::Engine,
    ErrorKind::Io,
    ErrorKind::Corrupt,
    ErrorKind::Closed,
    ErrorKind::Oversize,
    ErrorKind::Config,
    ErrorKind::InUse,
    ErrorKind::Effect,
    ErrorKind::Server,
];

pub(super) fn failed(call: u32, error: &Error) -> Vec<u8> {
    let kind = KINDS.iter().position(|kind| *kind == error.kind()).unwrap_or(0);
    encode(call, &Answer::Failed { kind: kind as u8, message: &error.to_string() })
}

pub(super) fn error(kind: u8, message: &str) -> Error {
    let kind = KINDS.get(usize::from(kind)).copied().unwrap_or(ErrorKind::Engine);
    Error::new(kind, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_messages_are_golden() {
        let hello = encode(1, &Call::Hello { greeting: GREETING, protocol: PROTOCOL });
        assert_eq!(hello, b"\x01\0\0\0\0MLTH\x03");
        let expires = Expires { ttl_millis: Some(1_000), stale_millis: 5 };
        let wants = Wants::Replacement { of: 300 };
        let look_up = Call::LookUp { memo: 3, digest: [7; 32], expires, caller: 9, wants };
        let golden = [&b"\x02\0\0\0\x04\x03"[..], &[7; 32], b"\x01\xe8\x07\x05\x09\x02\xac\x02"].concat();
        assert_eq!(encode(2, &look_up), golden);
        let put = Call::Put(PutCall {
            memo: 3,
            digest: [7; 32],
            key_head: b"k",
            compute_nanos: 128,
            ttl_millis: Some(4),
            age_millis: None,
            payload: PutPayload::Draft { name: "draft-a", length: 5, table_checksum: 6 },
            variant: None,
            origin: PutOrigin::Computed { claim: Some(5), noted: (2, 3), replaces: true },
            is_awaited: true,
        });
        let golden = [
            &b"\x03\0\0\0\x08\x03"[..],
            &[7; 32],
            b"\x01k\x80\x01\x01\x04\x00\x01\x07draft-a\x05\x06\x00\x01\x01\x05\x02\x03\x01\x01",
        ]
        .concat();
        assert_eq!(encode(3, &put), golden);
        assert_eq!(encode(0, &Call::Ping), b"\0\0\0\0\x14");
        assert_eq!(encode(4, &Answer::Record(b"MR")), b"\x04\0\0\0\x03\x02MR");
        assert_eq!(encode(5, &Answer::Lead(MissReason::Expired)), b"\x05\0\0\0\x05\x01");
        assert_eq!(encode(0, &Answer::Pong), b"\0\0\0\0\x0c");
        assert_eq!(encode(6, &Answer::Led), b"\x06\0\0\0\x0d");
    }

    #[test]
    fn what_was_sent_is_read_and_a_cut_or_longer_message_is_not() {
        let names = Answer::Names { names: vec!["frames", "models"], has_more: true };
        let frame = encode(7, &names);
        let (number, message) = split(&frame).unwrap();
        assert_eq!((number, decode::<Answer<'_>>(message)), (7, Some(names)));
        for cut in 0..message.len() {
            assert!(decode::<Answer<'_>>(&message[..cut]).is_none(), "{cut}");
        }
        assert!(decode::<Answer<'_>>(&[message, &[0]].concat()).is_none());
        assert!(split(&frame[..3]).is_none());
    }

    #[test]
    fn an_error_keeps_its_kind_and_its_message() {
        let frame = failed(1, &Error::new(ErrorKind::InUse, "of another version"));
        let Some(Answer::Failed { kind, message }) = decode(split(&frame).unwrap().1) else {
            panic!("an error")
        };
        let error = error(kind, message);
        assert!(error.is_in_use() && error.to_string().contains("of another version"));
    }
}
