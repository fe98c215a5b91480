//! Random names.

use std::hash::{BuildHasher, RandomState};

/// 128 bits from the operating system: a forked child draws others than its parent. Where the system has none to give, the keys
/// that std seeds its hash maps with are taken.
pub(crate) fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    if getrandom::fill(&mut id).is_err() {
        let halves = [0u8, 1].map(|half| RandomState::new().hash_one(half).to_le_bytes());
        id.iter_mut().zip(halves.as_flattened()).for_each(|(to, from)| *to = *from);
    }
    id
}
