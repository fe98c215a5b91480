//! The work of a child: one peer, one size, one phase.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::{
    Result,
    caches::{self, Cache},
    results,
    task::{FRAME, Found, Phase, RECORD, Task},
    together,
    value::{Frame, Record, Value},
};

/// Never fails: a failure becomes a refusal with its reason.
pub(crate) fn found(task: &Task) -> Found {
    let measured = catch_unwind(AssertUnwindSafe(|| match task.bytes {
        RECORD => caches::measure::<Record>(task),
        ..FRAME => caches::measure::<String>(task),
        _ => caches::measure::<Frame>(task),
    }));
    let found = measured.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        Err(words
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_default()
            .into())
    });
    found.unwrap_or_else(Found::refused)
}

pub(crate) fn measure<V: Value, C: Cache<V>>(task: &Task) -> Result<Found> {
    if task.phase != Phase::First && !C::PERSISTS {
        return Ok(Found::refused("memory only"));
    }
    if task.phase == Phase::Together {
        return together::take_part::<V, C>(task);
    }
    let cache = C::open(task)?;
    let mut found = Found::default();
    match task.phase {
        Phase::First => {
            found.miss = Some(misses(&cache, task)?);
            found.hit = Some(hits(&cache, task)?);
        }
        Phase::Again => found.hit = Some(hits(&cache, &Task { passes: 1, ..again(task) })?),
        Phase::Churn | Phase::Together => churn(&cache, task)?,
    }
    cache.close()?;
    found.peak = Some(peak()?);
    Ok(found)
}

fn again(task: &Task) -> Task {
    Task { peer: task.peer.clone(), directory: task.directory.clone(), ..*task }
}

/// As long as the keys of a real program.
fn key(number: usize) -> String {
    format!("reading/{number:024}")
}

/// The mean of a call in seconds. Making the value, and dropping the returned one, is not timed.
fn misses<V: Value, C: Cache<V>>(cache: &C, task: &Task) -> Result<f64> {
    let mut total = Duration::ZERO;
    for number in 0..task.calls {
        let (key, value) = (key(number), V::sample(task.bytes, number));
        let began = Instant::now();
        let handed = cache.call(&key, || value)?;
        total += began.elapsed();
        drop(handed);
    }
    Ok(total.as_secs_f64() / task.calls as f64)
}

/// The median over the passes, in seconds a call. A first hit may still come from disk: the hit after a restart has a
/// figure of its own. Dropping a frame is not timed.
fn hits<V: Value, C: Cache<V>>(cache: &C, task: &Task) -> Result<f64> {
    let keys: Vec<String> = (0..task.calls).map(|number| key(number * 7_919 % task.calls)).collect();
    let call = |key: &String| cache.call(key, || panic!("a stored value is not there"));
    let pass = || {
        let began = Instant::now();
        let mut latest = None;
        for key in &keys {
            latest = Some(call(key)?);
        }
        let elapsed = began.elapsed();
        drop(latest);
        Ok(elapsed.as_secs_f64() / keys.len() as f64)
    };
    let passes: Result<Vec<f64>> = std::iter::repeat_with(pass).take(task.passes).collect();
    results::median(passes?).ok_or_else(|| "there were no passes".into())
}

/// Writes values, and needs only the last few. A peer with a bound evicts the others by it. For a peer without a bound
/// they are removed here.
fn churn<V: Value, C: Cache<V>>(cache: &C, task: &Task) -> Result<()> {
    for number in 0..task.calls {
        cache.call(&key(number), || V::sample(task.bytes, number))?;
        if let (false, Some(oldest)) = (C::IS_BOUNDED, number.checked_sub(task.live)) {
            cache.remove(&key(oldest))?;
        }
    }
    Ok(())
}

/// The largest resident size so far, mapped files included, in bytes.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}
