//! Tries samples until all parts of a type are known.
//!
//! Each sample explores the least known parts, so the enums of a type are explored in parallel. A sample without progress was
//! refused: then one choice after the other is changed until a sample makes progress. Hints from error messages are tried
//! first. The search ends because a type has finitely many places, and it has a budget.

use std::{
    any::{Any, type_name},
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde::de::DeserializeOwned;

use super::{
    hints::Hints,
    node::{Extent, Node},
    samples::{self, Choice},
    trace_state::{SampleError, TraceFailure, TraceState},
    tracer::Tracer,
    variations::Variations,
};

/// Maximum number of changes to a refused sample. It bounds the work to a few milliseconds.
const VARIATIONS: usize = 1 << 11;
/// After this many samples the first one is repeated, to read its error message. Most types that validate accept one of the
/// first samples, and an error message costs ten times a sample.
const QUICK: usize = 10;
/// Number of the latest visitors whose expectations are read.
const EXPECTATIONS: usize = 4;

/// All parts of `V`. A type is known even if it refuses every sample, as long as it requested every part.
pub(super) fn trace<V: DeserializeOwned>(state: &mut TraceState) -> Result<Node, TraceFailure> {
    let (mut root, mut hints) = (Node::default(), Hints::default());
    let mut error = String::from("it has too many parts");
    while root.extent() < Extent::Whole && !state.is_spent() {
        if let Err(refused) = sample::<V>(&mut root, state, &hints, Vec::new())? {
            error = format!("`{}`, or what it is part of, refused every sample: {refused}", state.latest);
        }
        if !state.learned && !vary::<V>(&mut root, state, &mut hints)? {
            break;
        }
    }
    if root.extent() == Extent::Unknown { Err(TraceFailure::Refused(error)) } else { Ok(root) }
}

/// Makes one value of `V` with as few parts as possible. Some types refuse it.
pub(super) fn least<V: DeserializeOwned>(state: &mut TraceState) {
    state.begin(Vec::new());
    let mut root = Node::default();
    let hints = Hints::default();
    let mut tracer = Tracer::new(&mut root, state, &hints, type_name::<V>());
    tracer.brief = true;
    // The state after a panic is not used, and a type that panics makes no value.
    drop(catch_unwind(AssertUnwindSafe(|| V::deserialize(tracer).map(drop))));
}

/// Changes the latest sample until it discovers something new. Returns whether it did.
fn vary<V: DeserializeOwned>(
    root: &mut Node,
    state: &mut TraceState,
    hints: &mut Hints,
) -> Result<bool, TraceFailure> {
    let choices = std::mem::take(&mut state.choices);
    let mut variations = Variations::new(&choices, hints.len());
    for number in 0..VARIATIONS {
        let script = if number == QUICK { Some(picks(&choices)) } else { variations.next(hints) };
        let Some(script) = script.filter(|_| !state.is_spent()) else { break };
        state.records_expectations = number == QUICK;
        let outcome = sample::<V>(root, state, hints, script)?;
        state.records_expectations = false;
        if state.learned {
            hints.keep(used(state, hints));
            return Ok(true);
        }
        if number >= QUICK {
            learn(outcome, state, hints);
        }
    }
    hints.keep(0);
    Ok(false)
}

fn picks(choices: &[Choice]) -> Vec<usize> {
    choices.iter().map(|choice| choice.pick).collect()
}

/// Makes hints from the error message, and from the expectations of the latest visitors.
fn learn(outcome: Result<(), SampleError>, state: &TraceState, hints: &mut Hints) {
    let Err(error) = outcome else { return };
    let leaf = state.choices.iter().rfind(|choice| choice.pool.is_leaf());
    let text = leaf.map(|leaf| samples::shown(hints, *leaf)).unwrap_or_default();
    hints.learn(&error.to_string(), &text);
    let latest = state.expectations.iter().rev().take(EXPECTATIONS);
    latest.for_each(|expected| hints.learn(expected, &text));
}

/// Number of hints up to the last one that the latest sample uses.
fn used(state: &TraceState, hints: &Hints) -> usize {
    let place = |choice: &Choice| (choice.pick + 1).saturating_sub(choice.pool.len());
    state.choices.iter().map(place).max().unwrap_or_default().min(hints.len())
}

/// Makes one value of `V` and drops it. The inner result is that of the sample; the outer error ends the trace.
fn sample<V: DeserializeOwned>(
    root: &mut Node,
    state: &mut TraceState,
    hints: &Hints,
    script: Vec<usize>,
) -> Result<Result<(), SampleError>, TraceFailure> {
    state.begin(script);
    let tracer = Tracer::new(root, &mut *state, hints, type_name::<V>());
    // The state after a panic is not used again.
    let outcome = catch_unwind(AssertUnwindSafe(|| V::deserialize(tracer).map(drop)));
    let result = outcome.map_err(|payload| TraceFailure::Panicked(message(&*payload)))?;
    state.take_failure().map_or(Ok(result), Err)
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
        .into()
}
