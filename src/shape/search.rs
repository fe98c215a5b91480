//! Sample after sample, until a type has shown all that it reads.
//!
//! Each sample goes where the least was seen, so that the enums of a type unfold side by side. When a sample shows
//! nothing new, something refused it: then one choice after the other is changed until a sample comes further. What the
//! refusals say is tried first. It ends because the places are finite, and it is bounded besides.

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

/// Bounds the work for a sample that is refused whatever is changed: a few milliseconds.
const VARIATIONS: usize = 1 << 11;
/// After so many samples the first one is handed out again, to hear what was wrong with it. Most types that validate take
/// one of the first samples, and following refusals costs ten times a sample.
const QUICK: usize = 10;
/// What so many of the latest visitors expect is looked at.
const EXPECTATIONS: usize = 4;

/// All that `V` reads. A type that refuses every sample in the end is known all the same, as long as every part
/// of it was handed out.
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

/// One value of `V` with as little in it as possible. A type that refuses that has none.
pub(super) fn least<V: DeserializeOwned>(state: &mut TraceState) {
    state.begin(Vec::new());
    let mut root = Node::default();
    let hints = Hints::default();
    let mut tracer = Tracer::new(&mut root, state, &hints, type_name::<V>());
    tracer.brief = true;
    // What a panic leaves half done is not looked at, and a type that panics has no value here.
    drop(catch_unwind(AssertUnwindSafe(|| V::deserialize(tracer).map(drop))));
}

/// Changes the latest sample here and there until it shows something new.
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

/// Takes hints out of a refusal, and of what the latest visitors expected.
fn learn(outcome: Result<(), SampleError>, state: &TraceState, hints: &mut Hints) {
    let Err(error) = outcome else { return };
    let leaf = state.choices.iter().rfind(|choice| choice.pool.is_leaf());
    let text = leaf.map(|leaf| samples::shown(hints, *leaf)).unwrap_or_default();
    hints.learn(&error.to_string(), &text);
    let latest = state.expectations.iter().rev().take(EXPECTATIONS);
    latest.for_each(|expected| hints.learn(expected, &text));
}

/// How many of the hints the latest sample reaches to.
fn used(state: &TraceState, hints: &Hints) -> usize {
    let place = |choice: &Choice| (choice.pick + 1).saturating_sub(choice.pool.len());
    state.choices.iter().map(place).max().unwrap_or_default().min(hints.len())
}

/// Makes one value of `V` and drops it: whether that was refused, or why no other sample is worth it.
fn sample<V: DeserializeOwned>(
    root: &mut Node,
    state: &mut TraceState,
    hints: &Hints,
    script: Vec<usize>,
) -> Result<Result<(), SampleError>, TraceFailure> {
    state.begin(script);
    let tracer = Tracer::new(root, &mut *state, hints, type_name::<V>());
    // Nothing that a panic leaves half done is looked at again.
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
