//! One place of a sample.

use serde::de::{Error as _, Visitor};

use super::{
    hints::Hints,
    node::{Extent, Node, NodeHead},
    readers,
    samples::SamplePool,
    trace_state::{SampleError, TraceFailure, TraceState},
};

/// The deserializer at one place of a sample.
pub(super) struct Tracer<'t, 'h> {
    /// All that earlier samples recorded here.
    pub(super) node: &'t mut Node,
    pub(super) state: &'t mut TraceState,
    /// Samples from earlier error messages.
    pub(super) hints: &'h Hints,
    /// The type that is read here, as far as it is known.
    pub(super) inside: &'static str,
    /// The type that the outer type requested here. Empty if it is unknown.
    pub(super) seed: &'static str,
    /// The type is described elsewhere, and only a value is needed.
    pub(super) brief: bool,
    /// The node is shared with the element before, whose choices apply.
    pub(super) repeated: bool,
    /// Number of places around this one.
    depth: usize,
}

impl<'t, 'h> Tracer<'t, 'h> {
    pub(super) fn new(
        node: &'t mut Node,
        state: &'t mut TraceState,
        hints: &'h Hints,
        inside: &'static str,
    ) -> Self {
        state.latest = inside;
        Self { node, state, hints, inside, seed: inside, brief: false, repeated: false, depth: 0 }
    }

    /// Steps into one part.
    pub(super) fn part(
        &mut self,
        index: usize,
        inside: &'static str,
        seed: &'static str,
    ) -> Result<Tracer<'_, 'h>, SampleError> {
        self.node.extend(index + 1);
        let node =
            self.node.parts.get_mut(index).ok_or_else(|| SampleError::custom("there is no such part"))?;
        Ok(Tracer {
            node,
            state: &mut *self.state,
            hints: self.hints,
            inside,
            seed,
            brief: self.brief,
            repeated: self.repeated,
            depth: self.depth + 1,
        })
    }

    /// Records the call at this place.
    pub(super) fn reach(&mut self, head: NodeHead) -> Result<(), SampleError> {
        self.state.charge(self.depth, self.repeated)?;
        let known = *self.node.head.get_or_insert_with(|| self.state.discover(head));
        if known == head { Ok(()) } else { Err(self.state.fail(TraceFailure::Inconsistent(self.inside))) }
    }

    /// Records the call at this place, and the code that calls.
    pub(super) fn meet<'de, V: Visitor<'de>>(&mut self, head: NodeHead) -> Result<(), SampleError> {
        if self.node.head.is_none() && !matches!(head, NodeHead::Any(_)) {
            self.node.reader = readers::of::<V>(self.seed);
        }
        self.reach(head)
    }

    /// Enters a place with parts. The caller ends it by `leave`.
    pub(super) fn enter<'de, V: Visitor<'de>>(mut self, head: NodeHead) -> Result<Self, SampleError> {
        self.meet::<V>(head)?;
        let kind = match self.node.kind {
            Some(kind) => kind,
            None => self.classify::<V>(head),
        };
        self.brief |= self.node.reference;
        self.state.enter(kind)?;
        Ok(self)
    }

    /// Decides whether this place describes its type, or refers to the place that does. Types without a name are described
    /// at every place, except inside themselves.
    fn classify<'de, V: Visitor<'de>>(&mut self, head: NodeHead) -> usize {
        let kind = self.state.kind_of::<V>(head);
        self.node.kind = Some(kind);
        if !self.brief {
            let named = head.is_named();
            self.node.reference = if named { self.state.describe(kind) } else { self.state.is_open(kind) };
        }
        kind
    }

    pub(super) fn leave(&mut self, own: Extent) {
        self.state.leave();
        self.close(own);
    }

    pub(super) fn close(&mut self, own: Extent) {
        self.state.learned |= self.node.close(own);
    }

    pub(super) fn choose(&mut self, preferred: usize, pool: SamplePool) -> usize {
        let pick = if self.repeated { preferred } else { self.state.choose(preferred, pool) };
        self.node.pick = Some(pick);
        pick
    }
}
