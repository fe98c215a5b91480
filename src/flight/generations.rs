//! The table of each process.

use super::table::Table;
use crate::{fork, sync::Mutex};

/// The table of the process. A forked child has a table of its own, because the lock of its parent's table may be held by
/// a thread that does not exist in the child. From the seventh generation of children on, all share one table.
pub(crate) fn flight() -> &'static Flight {
    static FIRST: Flight = Flight::of(0);
    static OTHERS: [Flight; 7] = [
        Flight::of(1),
        Flight::of(2),
        Flight::of(3),
        Flight::of(4),
        Flight::of(5),
        Flight::of(6),
        Flight::of(7),
    ];
    match generation() {
        0 => &FIRST,
        generation => OTHERS.get(generation as usize - 1).unwrap_or(&FIRST),
    }
}

fn generation() -> u32 {
    fork::generation().min(7)
}

/// All claims and waits of a process.
pub(crate) struct Flight {
    /// The fork generation of its process.
    generation: u32,
    /// Locked for one step of the table at a time, never during a computation, a wait or a wake.
    pub(super) table: Mutex<Table>,
}

impl Flight {
    const fn of(generation: u32) -> Self {
        Self { generation, table: Mutex::new(Table::new()) }
    }

    #[cfg(test)]
    pub(crate) const fn new() -> Self {
        Self::of(0)
    }

    /// Whether it is that of this process. In a forked child the table of its parent must not be locked.
    pub(super) fn is_here(&self) -> bool {
        self.generation == generation()
    }
}
