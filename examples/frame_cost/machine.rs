//! The room on this machine, and the memory of this process.

use std::{env, fs};

use crate::frame::ROW;

/// `10M`, `500k`.
pub(crate) fn count(rows: usize) -> String {
    match rows {
        rows if rows >= 1_000_000 && rows.is_multiple_of(100_000) => format!("{}M", rows as f64 / 1e6),
        rows if rows >= 1_000 && rows.is_multiple_of(100) => format!("{}k", rows as f64 / 1e3),
        rows => rows.to_string(),
    }
}

pub(crate) fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.0} MB", bytes / 1e6),
    }
}

/// Room for a frame, a copy of it, and the file while it is read; on disk one file at a time.
pub(crate) fn room_for(rows: usize) -> Result<(), String> {
    let frame = (rows * ROW) as u64;
    let memory = field("/proc/meminfo", "MemAvailable:").unwrap_or(u64::MAX);
    if memory < frame * 5 / 2 {
        return Err(format!(
            "{} of memory are free, and two copies take {}",
            bytes(memory),
            bytes(frame * 2)
        ));
    }
    let disk = rustix::fs::statvfs(env::temp_dir()).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize);
    if disk < frame + frame / 4 {
        return Err(format!("{} of disk are free, and the frame takes {}", bytes(disk), bytes(frame)));
    }
    Ok(())
}

/// The present memory of this process, and the largest since [`forget_peak`].
pub(crate) fn resident() -> Option<(u64, u64)> {
    Some((field("/proc/self/status", "VmRSS:")?, field("/proc/self/status", "VmHWM:")?))
}

pub(crate) fn forget_peak() {
    // Where this is not allowed, the table has no rows of memory.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// A line of `/proc` in kB, as bytes.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
