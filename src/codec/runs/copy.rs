//! A long run of bytes becomes numbers: verified, copied and faulted in block by block, on two threads.
//!
//! What costs is not the copy but fresh memory: the kernel clears each page at its first touch. Measured with 1.6 GB on
//! two cores, where copying into fresh pages of 4 KiB on one thread takes 1.0: on two threads 0.53; with the pages
//! asked for in stretches of 8 MiB right before they are filled 0.57, and on two threads 0.36. Huge pages take 0.2 to
//! 0.3 when the memory was freed a moment ago, and 2.0 to 3.6 when it was not, so they are not asked for.

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

/// What one thread takes at a time.
const STRETCH: usize = 8 * BLOCK;

/// Below this a second thread costs more than it helps.
const WORTH_A_THREAD: usize = 4 * BLOCK;

/// Below this memory is seldom fresh from the kernel.
const WORTH_ASKING: usize = 128 << 10;

/// The numbers of a run; `None` when it is not what was written.
pub(crate) fn numbers<T: Number>(run: &ByteRun<'_>) -> Option<Vec<T>> {
    // Fresh memory is zero already: nothing is touched twice.
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
        // Without a thread to be had, this one does it all.
        let _ = thread::Builder::new().name("memolith-copy".into()).spawn_scoped(scope, work);
        work();
    });
    (!failed.into_inner()).then_some(())
}

/// Not within the `while let`: the lock would be held through the body.
fn next<T>(items: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    lock(items).next()
}

/// Cut where the blocks of the payload begin, and where in the run each begins.
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

/// Each is copied while it is still in the cache from being verified.
fn blocks(to: &mut [u8], offset: usize) -> impl Iterator<Item = &mut [u8]> {
    let (head, rest) = to.split_at_mut((BLOCK - offset).min(to.len()));
    std::iter::once(head).chain(rest.chunks_mut(BLOCK))
}

/// Asks for the pages of a stretch at once, instead of one fault for each. Whatever comes of it, they are there when
/// they are touched.
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
    // SAFETY: the pages lie within a slice that is borrowed for writing here, and populating does not change what they
    // hold. The kernel refuses what it does not know.
    #[expect(unsafe_code, reason = "advice on memory of our own")]
    let _ = unsafe { madvise(pages.as_mut_ptr().cast(), length, Advice::LinuxPopulateWrite) };
}

#[cfg(not(target_os = "linux"))]
fn populate(_: &mut [u8]) {}
