//! Copies a long run of bytes into numbers: verified, copied and faulted in block by block, on two threads.
//!
//! Fresh memory costs more than the copy, because the kernel clears each page at its first access. Measured with 1.6 GB on
//! two cores, relative to a copy into fresh pages of 4 KiB on one thread: on two threads 0.53; with the pages of 8 MiB
//! requested directly before they are filled 0.57, and on two threads 0.36. Huge pages take 0.2 to 0.3 if the memory was
//! freed recently, and 2.0 to 3.6 otherwise, so they are not requested.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::number::{Number, from_little_endian};
use crate::{
    checksum::{BLOCK, has_another_core},
    codec::verified_reader::ByteRun,
    sync::{lock, thread},
};

/// Bytes that one thread takes at a time.
const STRETCH: usize = 8 * BLOCK;

/// For fewer bytes a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 4 * BLOCK;

/// Smaller allocations are seldom fresh memory from the kernel.
const WORTH_ASKING: usize = 128 << 10;

/// The numbers of a run. `None` if it is damaged.
pub(crate) fn numbers<T: Number>(run: &ByteRun<'_>) -> Option<Vec<T>> {
    // Fresh memory from the kernel is zero, so no page is written twice.
    let mut numbers: Vec<T> = bytemuck::zeroed_vec(run.len() / size_of::<T>());
    fill(bytemuck::cast_slice_mut(&mut numbers), run)?;
    from_little_endian(&mut numbers);
    Some(numbers)
}

fn fill(to: &mut [u8], run: &ByteRun<'_>) -> Option<()> {
    if to.len() < WORTH_A_THREAD || !has_another_core() {
        return fill_stretch(0, to, run);
    }
    let stretches = Mutex::new(stretches(to, run.offset()));
    let failed = AtomicBool::new(false);
    let work = || {
        while let Some((begin, stretch)) = next(&stretches) {
            if failed.load(Relaxed) || fill_stretch(begin, stretch, run).is_none() {
                return failed.store(true, Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        // If no thread can be started, this one copies everything.
        let _ = thread::Builder::new().name("memolith-copy".into()).spawn_scoped(scope, work);
        work();
    });
    (!failed.into_inner()).then_some(())
}

/// A function of its own: in the `while let` the lock would be held through the body.
fn next<T>(items: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    lock(items).next()
}

/// Parts of the target that begin where blocks of the payload begin, each with its place in the run.
fn stretches(to: &mut [u8], offset: usize) -> impl Iterator<Item = (usize, &mut [u8])> {
    let first = (STRETCH - offset).min(to.len());
    let (head, rest) = to.split_at_mut(first);
    let rest =
        rest.chunks_mut(STRETCH).enumerate().map(move |(number, chunk)| (first + number * STRETCH, chunk));
    std::iter::once((0, head)).chain(rest)
}

fn fill_stretch(begin: usize, to: &mut [u8], run: &ByteRun<'_>) -> Option<()> {
    populate(to);
    let mut at = begin;
    for piece in blocks(to, (run.offset() + begin) % BLOCK) {
        piece.copy_from_slice(run.part(at..at + piece.len())?);
        at += piece.len();
    }
    Some(())
}

/// Parts of one block each, so that a block is copied while it is in the CPU cache from its verification.
fn blocks(to: &mut [u8], offset: usize) -> impl Iterator<Item = &mut [u8]> {
    let (head, rest) = to.split_at_mut((BLOCK - offset).min(to.len()));
    std::iter::once(head).chain(rest.chunks_mut(BLOCK))
}

/// Requests the pages of a stretch at once, instead of by one fault for each. An error does not matter: the pages are then
/// faulted in at their first access.
#[cfg(target_os = "linux")]
fn populate(stretch: &mut [u8]) {
    use rustix::{
        mm::{Advice, madvise},
        param::page_size,
    };
    if stretch.len() < WORTH_ASKING {
        return;
    }
    let page = page_size();
    let skipped = stretch.as_ptr().align_offset(page).min(stretch.len());
    let Some(pages) = stretch.get_mut(skipped..) else { return };
    let length = pages.len() / page * page;
    // SAFETY: the pages lie within a slice that is mutably borrowed here, and populating does not change their contents. A
    // kernel that does not know this advice returns an error.
    #[expect(unsafe_code, reason = "advice on memory of our own")]
    let _ = unsafe { madvise(pages.as_mut_ptr().cast(), length, Advice::LinuxPopulateWrite) };
}

#[cfg(not(target_os = "linux"))]
fn populate(_: &mut [u8]) {}
