//! The effects of computations.

use std::any::{Any, TypeId, type_name};

use super::{Context, Node};
use crate::{
    effect_log::{EffectLog, EffectTypes, MAX_FAILURES, Undeclared},
    error::Error,
};

/// An effect is handled by the innermost memo around the code that declares its type, and recorded by all that do. Whether there
/// is one.
pub(crate) fn emit<E: 'static>(effect: &E, undeclared: Undeclared) -> bool {
    emit_any(effect, TypeId::of::<E>(), type_name::<E>(), undeclared)
}

fn emit_any(effect: &dyn Any, id: TypeId, name: &str, undeclared: Undeclared) -> bool {
    let current = Context::current();
    let is_silent = current.is_silent();
    let mut encoded = None;
    for node in current.nodes() {
        let Some(recorder) = node.effects() else { continue };
        let Some((place, declared)) = recorder.find(id) else {
            if undeclared == Undeclared::IsTold {
                recorder.pass(name);
            }
            continue;
        };
        if !declared.takes(effect) {
            continue;
        }
        if encoded.is_none() && !is_silent {
            let handled = current.handling(node).run(|| declared.handle(effect));
            handled.unwrap_or_else(|error| recorder.fail(error));
        }
        match encoded.get_or_insert_with(|| declared.encode(effect)) {
            Ok(bytes) => recorder.record(place, bytes),
            Err(error) => recorder.miss(error),
        }
    }
    encoded.is_some()
}

/// The effects of a value that is handed out are handled by its memo, and recorded by all around the code that declare them.
/// Returns what went wrong.
pub(crate) fn repeat(effects: &EffectLog, types: &EffectTypes) -> Vec<Error> {
    let current = Context::current();
    let (is_silent, mut failures) = (current.is_silent(), Vec::new());
    for (place, effect) in effects.iter() {
        let Some(declared) = types.at(place) else { continue };
        if !is_silent
            && let Err(error) = declared.repeat(effect)
            && failures.len() < MAX_FAILURES
        {
            failures.push(error);
        }
        for recorder in current.nodes().filter_map(Node::effects) {
            match recorder.find(declared.id()) {
                Some((place, outer)) if outer.takes_recorded(effect) => recorder.record(place, effect),
                None if declared.undeclared() == Undeclared::IsTold => recorder.pass(declared.name()),
                Some(_) | None => {}
            }
        }
    }
    failures
}
