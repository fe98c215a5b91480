//! The values that a scope provides by name.

use std::{collections::BTreeMap, sync::Arc};

use super::{Fingerprint, Input, Reading};
use crate::{
    error::{Error, Result},
    sync::{Mutex, lock},
};

/// A provided value as its bytes.
#[derive(Debug)]
pub(crate) struct ProvidedValue {
    /// Of the value as a key.
    pub(crate) fingerprint: Fingerprint,
    /// In the format of the default codec.
    pub(crate) payload: Vec<u8>,
    /// For messages.
    pub(crate) type_name: &'static str,
}

/// The values of one scope. Code within the scope reads them on any thread while others are provided.
#[derive(Default)]
pub(crate) struct ScopeValues {
    /// The newest value of each name, or the error of one that could not be serialized.
    values: Mutex<BTreeMap<Arc<str>, Result<Arc<ProvidedValue>>>>,
}

impl ScopeValues {
    /// Replaces the value of the name from now on.
    pub(crate) fn provide(&self, name: Arc<str>, value: Result<ProvidedValue>) {
        let before = lock(&self.values).insert(name, value.map(Arc::new));
        drop(before);
    }

    /// `None` if the scope provides no value of the name.
    pub(crate) fn get(&self, name: &str) -> Option<Result<Arc<ProvidedValue>, Error>> {
        lock(&self.values).get(name).cloned()
    }

    /// Whether code within the scope has the answer of the reading from this scope, so that the code around it does not depend on
    /// it.
    ///
    /// An inner scope may get a value of the same name while code within reads the value of an outer one. Hence the answer is
    /// compared too.
    pub(crate) fn gives(&self, reading: &Reading) -> bool {
        let Input::Provided(name) = &reading.input else { return false };
        matches!(self.get(name), Some(Ok(value)) if value.fingerprint == reading.answer.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorKind, readings::Answer, sync::explore};

    fn value(number: u8) -> ProvidedValue {
        ProvidedValue {
            fingerprint: Fingerprint::provided(&[number; 32]),
            payload: vec![number],
            type_name: "u8",
        }
    }

    #[test]
    fn a_scope_gives_its_newest_value_and_no_other() {
        explore(|| {
            let scope = ScopeValues::default();
            scope.provide("units".into(), Ok(value(1)));
            let reading = |name: &str, number| Reading {
                input: Input::provided(name),
                answer: Answer::new(value(number).fingerprint),
            };
            assert!(scope.gives(&reading("units", 1)));
            assert!(!scope.gives(&reading("units", 2)) && !scope.gives(&reading("other", 1)));
            assert!(!scope.gives(&Reading { input: Input::variable("units"), ..reading("units", 1) }));
            scope.provide("units".into(), Ok(value(2)));
            assert!(scope.gives(&reading("units", 2)) && !scope.gives(&reading("units", 1)));
            scope.provide("units".into(), Err(Error::new(ErrorKind::Key, "")));
            assert!(!scope.gives(&reading("units", 2)));
            assert!(scope.get("units").is_some_and(|value| value.is_err()));
        });
    }
}
