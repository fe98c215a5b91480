//! One computation, or one scope, and the one around it.

use std::sync::{Arc, OnceLock, atomic::AtomicBool};

use super::caller::Caller;
use crate::{
    effect_log::{EffectRecorder, Listener},
    readings::{Reading, Readings, ScopeValues, Unstorable},
    sync::{Mutex, lock},
};

/// A computation or a scope.
pub(super) struct Node {
    pub(super) part: Part,
    /// That of the innermost computation, from here outward, that has one.
    pub(super) listener: Option<Arc<dyn Listener>>,
    pub(super) around: Option<Arc<Node>>,
}

pub(super) enum Part {
    Computation(Computation),
    Scope(Arc<ScopeValues>),
    Handling(Handling),
}

pub(super) struct Computation {
    pub(super) caller: Caller,
    /// If this is set, it is set in all computations around this one.
    pub(super) has_read_stale: AtomicBool,
    /// Made when an input is read: most computations read none.
    pub(super) readings: OnceLock<Box<Mutex<Readings>>>,
    /// `None` for code of the user that is no memoized function, as the check of a value.
    pub(super) effects: Option<EffectRecorder>,
}

/// The handler of an effect. It is called in a computation, and belongs to those around the memo that declares it.
pub(super) struct Handling {
    pub(super) caller: Caller,
    pub(super) outer: Option<Arc<Node>>,
}

impl Node {
    pub(super) fn computation(&self) -> Option<&Computation> {
        match &self.part {
            Part::Computation(computation) => Some(computation),
            Part::Scope(_) | Part::Handling(_) => None,
        }
    }

    pub(super) fn scope(&self) -> Option<&Arc<ScopeValues>> {
        match &self.part {
            Part::Scope(values) => Some(values),
            Part::Computation(_) | Part::Handling(_) => None,
        }
    }

    pub(super) fn caller(&self) -> Option<Caller> {
        match &self.part {
            Part::Computation(Computation { caller, .. }) | Part::Handling(Handling { caller, .. }) => {
                Some(*caller)
            }
            Part::Scope(_) => None,
        }
    }

    /// The node that this one belongs to.
    pub(super) fn outer(&self) -> Option<&Self> {
        match &self.part {
            Part::Handling(handling) => handling.outer.as_deref(),
            Part::Computation(_) | Part::Scope(_) => self.around.as_deref(),
        }
    }

    /// `None` also when its function has returned.
    pub(super) fn effects(&self) -> Option<&EffectRecorder> {
        self.computation()?.effects.as_ref().filter(|effects| !effects.has_ended())
    }
}

impl Computation {
    pub(super) fn note(&self, readings: &[&Reading], unstorable: Option<&Unstorable>) {
        let mut noted = lock(self.readings.get_or_init(Box::default));
        for reading in readings {
            noted.note(reading);
        }
        if let Some(reason) = unstorable {
            noted.refuse(reason.clone());
        }
    }
}

/// Computations may be nested by the thousand: they are not dropped one within the other.
impl Drop for Node {
    fn drop(&mut self) {
        let mut around = self.around.take();
        while let Some(mut node) = around.and_then(Arc::into_inner) {
            around = node.around.take();
        }
    }
}
