//! The answers to calls, from the replies of the worker.

use std::pin::Pin;

use super::message::{Answer, encode, failed};
use crate::{
    error::{Error, ErrorKind, Result},
    store::{generation::Tally, partition::Partition, worker::Swept},
};

/// The bytes of names in one answer.
const MAX_NAMES: usize = 64 << 10;

/// The number of a call, and its answer.
pub(super) type Later = (u32, Pin<Box<dyn Future<Output = Vec<u8>> + Send>>);

/// The answer to a call, once the worker has replied.
pub(super) fn later<T: Send + 'static>(
    number: u32,
    outcome: oneshot::Receiver<Result<T>>,
    answer: impl FnOnce(u32, T) -> Vec<u8> + Send + 'static,
) -> Later {
    let answer = async move {
        match outcome.await {
            Ok(Ok(value)) => answer(number, value),
            Ok(Err(error)) => failed(number, &error),
            Err(_) => failed(number, &Error::new(ErrorKind::Closed, "the store is closed: open it again")),
        }
    };
    (number, Box::pin(answer))
}

pub(super) fn done(number: u32, (): ()) -> Vec<u8> {
    encode(number, &Answer::Done)
}

pub(super) fn flag(number: u32, flag: bool) -> Vec<u8> {
    encode(number, &Answer::Flag(flag))
}

pub(super) fn tally(number: u32, Tally { entries, bytes, indexed }: Tally) -> Vec<u8> {
    encode(number, &Answer::Tally { entries, bytes, indexed })
}

pub(super) fn swept(number: u32, Swept { expired, retired, orphaned, bytes }: Swept) -> Vec<u8> {
    encode(number, &Answer::Swept { expired, retired, orphaned, bytes })
}

/// The names behind one, as many as an answer holds.
pub(super) fn names(number: u32, names: &[String], after: &str) -> Vec<u8> {
    let rest: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name > after).collect();
    let mut size = 0;
    let fits = |name: &&&str| {
        size += name.len() + 4;
        size <= MAX_NAMES
    };
    let names: Vec<&str> = rest.iter().take_while(fits).copied().collect();
    let has_more = names.len() < rest.len();
    encode(number, &Answer::Names { names, has_more })
}

pub(super) fn walk(number: u32, partition: &Partition, after: Option<u64>) -> Vec<u8> {
    match partition.stretch(after) {
        Err(error) => failed(number, &error),
        Ok(stretch) => {
            let rows =
                stretch.rows.iter().map(|(size, digest, record)| (*size, *digest.as_bytes(), &**record));
            encode(number, &Answer::Entries { rows: rows.collect(), next: stretch.next })
        }
    }
}
