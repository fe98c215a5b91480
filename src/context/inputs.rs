//! The inputs of computations.

use super::{Context, Part};
use crate::readings::{Input, Reading, Readings, ScopeValues, Unstorable};

/// Whether a computation is around the code that runs, which notes its inputs.
pub(crate) fn is_noting() -> bool {
    Context::current().nodes().any(|node| node.computation().is_some())
}

/// An input was read: it is noted in all computations around the code that runs. The value of a scope is noted in those within
/// that scope.
pub(crate) fn note_reading(reading: &Reading) {
    note(vec![reading], None);
}

/// The result of an inner call was handed out to the code that runs: its inputs are those of all computations around it.
pub(crate) fn note_readings(readings: &Readings) {
    if !readings.is_empty() {
        note(readings.iter().collect(), readings.unstorable());
    }
}

/// The code that runs has seen something that a later call cannot compare. A value of a scope that could not be serialized is
/// noted in the computations within that scope.
pub(crate) fn note_unstorable(reason: &Unstorable) {
    note(Vec::new(), Some(reason));
}

fn note(mut readings: Vec<&Reading>, mut unstorable: Option<&Unstorable>) {
    for node in Context::current().nodes() {
        match &node.part {
            Part::Computation(computation) => computation.note(&readings, unstorable),
            Part::Scope(values) => {
                readings.retain(|reading| !values.gives(reading));
                unstorable = unstorable.filter(|reason| !is_failed_in(values, reason));
            }
            Part::Handling(_) => {}
        }
        if readings.is_empty() && unstorable.is_none() {
            return;
        }
    }
}

/// Whether the reason is the value of this scope.
fn is_failed_in(values: &ScopeValues, reason: &Unstorable) -> bool {
    let Unstorable::Failed(Input::Provided(name)) = reason else { return false };
    values.get(name).is_some_and(|value| value.is_err())
}
