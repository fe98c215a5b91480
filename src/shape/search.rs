//! Sample after sample, until a type has shown all that it reads.
//!
//! Each sample goes where the least was seen, so that the enums of a type unfold side by side. When a sample shows
//! nothing new, something refused it: then one choice after the other is changed until a sample comes further. It
//! ends because the places are finite, and it is bounded besides.

use std::{
    any::{Any, type_name},
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde::de::DeserializeOwned;

use super::{
    node::{Extent, Node},
    session::{Choice, Failure, Refusal, Session},
    tracer::Tracer,
};

/// Bounds the work for a sample that is refused whatever is changed: a few milliseconds.
const VARIATIONS: usize = 1 << 10;

/// All that `V` reads. A type that refuses every sample in the end is known all the same, as long as every part
/// of it was handed out.
pub(super) fn trace<V: DeserializeOwned>(session: &mut Session) -> Result<Node, Failure> {
    let mut root = Node::default();
    let mut refusal = String::from("it has too many parts");
    while root.extent() < Extent::Whole && !session.is_spent() {
        if let Err(refused) = sample::<V>(&mut root, session, Vec::new())? {
            refusal = format!("`{}`, or what it is part of, refused every sample: {refused}", session.latest);
        }
        if !session.learned && !vary::<V>(&mut root, session)? {
            break;
        }
    }
    if root.extent() == Extent::Unknown { Err(Failure::Refused(refusal)) } else { Ok(root) }
}

/// One value of `V` with as little in it as possible. A type that refuses that has none.
pub(super) fn least<V: DeserializeOwned>(session: &mut Session) {
    session.begin(Vec::new());
    let mut root = Node::default();
    let mut tracer = Tracer::new(&mut root, session, type_name::<V>());
    tracer.brief = true;
    // What a panic leaves half done is not looked at, and a type that panics has no value here.
    drop(catch_unwind(AssertUnwindSafe(|| V::deserialize(tracer).map(drop))));
}

/// Changes the latest sample here and there until it shows something new.
fn vary<V: DeserializeOwned>(root: &mut Node, session: &mut Session) -> Result<bool, Failure> {
    let choices = std::mem::take(&mut session.choices);
    for script in variations(&choices) {
        if session.is_spent() {
            break;
        }
        let _ = sample::<V>(root, session, script)?;
        if session.learned {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Another pick for the latest choice, which is mostly to blame; then all leaves alike, for rules that span
/// several; then for the other choices one by one, from the last to the first.
fn variations(choices: &[Choice]) -> impl Iterator<Item = Vec<usize>> {
    let mut others = (0..choices.len()).rev().map(move |at| change(choices, at));
    let latest = others.next().into_iter().flatten();
    let most = choices.iter().map(|choice| choice.alternatives).max().unwrap_or_default();
    let alike = (0..most).map(move |pick| choices.iter().map(|choice| choice.alike(pick)).collect());
    latest.chain(alike).chain(others.flatten()).take(VARIATIONS)
}

/// Every other pick for one choice.
fn change(choices: &[Choice], at: usize) -> impl Iterator<Item = Vec<usize>> {
    let choice = choices.get(at).copied().unwrap_or_default();
    let others = (0..choice.alternatives).filter(move |other| *other != choice.pick);
    others.map(move |other| changed(choices, at, other))
}

/// What comes after another leaf stays; what comes after another variant is another matter.
fn changed(choices: &[Choice], at: usize, other: usize) -> Vec<usize> {
    let before = choices.iter().take(at).map(|choice| choice.pick);
    let after = choices.iter().skip(at + 1).map(|choice| choice.pick);
    let keeps = choices.get(at).is_some_and(|choice| choice.leaf);
    before.chain([other]).chain(after.take(if keeps { usize::MAX } else { 0 })).collect()
}

impl Choice {
    fn alike(&self, pick: usize) -> usize {
        if self.leaf && pick < self.alternatives { pick } else { self.pick }
    }
}

/// Makes one value of `V` and drops it: whether that was refused, or why no other sample is worth it.
fn sample<V: DeserializeOwned>(
    root: &mut Node,
    session: &mut Session,
    script: Vec<usize>,
) -> Result<Result<(), Refusal>, Failure> {
    session.begin(script);
    let tracer = Tracer::new(root, &mut *session, type_name::<V>());
    // Nothing that a panic leaves half done is looked at again.
    let outcome = catch_unwind(AssertUnwindSafe(|| V::deserialize(tracer).map(drop)));
    let result = outcome.map_err(|payload| Failure::Panicked(message(&*payload)))?;
    session.take_failure().map_or(Ok(result), Err)
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
        .into()
}
