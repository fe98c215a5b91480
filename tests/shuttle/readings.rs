//! The mounted part of `src/readings`: without the files that it reads.

#[path = "../../src/readings/change.rs"]
mod change;
#[path = "../../src/readings/fingerprint.rs"]
mod fingerprint;
#[path = "../../src/readings/input.rs"]
mod input;
#[path = "../../src/readings/list.rs"]
mod list;
#[path = "../../src/readings/scope.rs"]
mod scope;
#[path = "../../src/readings/state.rs"]
mod state;

pub(crate) use self::{
    fingerprint::Fingerprint,
    input::Input,
    list::{Answer, Reading, Readings, Unstorable},
    scope::{ProvidedValue, ScopeValues},
    state::FileState,
};
