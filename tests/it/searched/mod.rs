//! Programs by which the authors searched for a way to break a promise; what was found is in docs/reliability.md. Others of
//! them end, stop or limit a process: `tests/crash/searched.rs`.

mod bounded;
mod never_wrong;
mod once;
mod ordered;
mod survives;
mod transparent;

use std::{
    cell::Cell,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

type Act = Box<dyn FnOnce() + Send>;

/// Code that is run once, at the first place of this name that a thread comes to.
#[derive(Clone, Default)]
pub struct Trap(Arc<Mutex<Option<(&'static str, Act)>>>);

impl Trap {
    pub fn set(&self, place: &'static str, act: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some((place, Box::new(act)));
    }

    pub fn spring(&self, place: &str) {
        let mut trap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = trap.take_if(|(known, _)| *known == place);
        drop(trap);
        if let Some((_, act)) = found {
            act();
        }
    }

    pub fn is_sprung(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

thread_local! {
    static TRAP: Cell<Option<&'static Trap>> = const { Cell::new(None) };
}

/// Has a trap sprung by the values of this thread. It is leaked: their `Drop` may come at any time.
pub fn armed() -> Trap {
    let trap: &'static Trap = Box::leak(Box::default());
    TRAP.set(Some(trap));
    trap.clone()
}

pub fn spring(place: &str) {
    if let Some(trap) = TRAP.get() {
        trap.spring(place);
    }
}

/// A number of which each piece of code that the cache runs is a place for a trap.
#[derive(Debug, PartialEq, Eq)]
pub struct Trapped(pub u64);

impl Clone for Trapped {
    fn clone(&self) -> Self {
        spring("Clone");
        Self(self.0)
    }
}

impl Drop for Trapped {
    fn drop(&mut self) {
        spring("Drop");
    }
}

impl Serialize for Trapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        spring("Serialize");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Trapped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        spring("Deserialize");
        u64::deserialize(deserializer).map(Self)
    }
}
