//! Bytes into numbers, and back, at the speed of memory.
//!
//! The memory of a large vector is fresh, and the kernel takes five times as long to hand it out, page by page, as it
//! takes to fill it. It does that for two threads at a time.

use std::borrow::Cow;

use super::sealed::Number;
use crate::pair;

/// What a thread takes at a time.
const PIECE: usize = 2 << 20;

/// The bytes of `numbers`, as they lie in memory where that is little-endian.
pub(super) fn little_endian<T: Number>(numbers: &[T]) -> Cow<'_, [u8]> {
    let bytes = bytemuck::cast_slice(numbers);
    if cfg!(target_endian = "little") {
        return Cow::Borrowed(bytes);
    }
    let mut bytes = bytes.to_vec();
    reverse::<T>(&mut bytes);
    Cow::Owned(bytes)
}

/// The numbers in little-endian `bytes`, wherever those lie; `None` when they do not end with a whole number.
pub(super) fn numbers<T: Number>(bytes: &[u8]) -> Option<Vec<T>> {
    if !bytes.len().is_multiple_of(size_of::<T>()) {
        return None;
    }
    // No byte of a large vector is touched for this: such memory comes from the kernel, which promises zeros.
    let mut numbers = bytemuck::zeroed_vec(bytes.len() / size_of::<T>());
    let room = bytemuck::cast_slice_mut(&mut numbers);
    copy(bytes, room);
    if cfg!(target_endian = "big") {
        reverse::<T>(room);
    }
    Some(numbers)
}

pub(super) fn reverse<T>(bytes: &mut [u8]) {
    bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
}

/// `to` is as long as `from`.
fn copy(from: &[u8], to: &mut [u8]) {
    if from.len() < pair::WORTHWHILE {
        return to.copy_from_slice(from);
    }
    pair::share(from.chunks(PIECE).zip(to.chunks_mut(PIECE)), |(from, to)| to.copy_from_slice(from));
}
