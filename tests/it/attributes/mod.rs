//! The promises of the attributes: `#[memo]`, `#[resource]`, `#[code]`.

use std::{cell::Cell, sync::LazyLock};

use memolith::Store;

mod built_in;
mod default_store;
mod effects;
mod errors;
mod handles;
mod hygiene;
mod identity;
mod inputs;
mod key;
mod loading;
mod options;
mod resource;
mod results;
mod written_by_macros;

/// One store for all of these functions. Each function has a memo of its own in it.
fn store() -> &'static Store {
    static STORE: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());
    &STORE
}

/// The number of runs of a body since it was last asked for.
#[derive(Default)]
struct Runs(Cell<u32>);

impl Runs {
    fn count(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn take(&self) -> u32 {
        self.0.take()
    }
}
