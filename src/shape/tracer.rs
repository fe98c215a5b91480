//! Where a sample is at: one place of the value, and what is known about it.

use serde::de::{Error as _, Visitor};

use super::{
    hints::Hints,
    node::{Extent, Head, Node},
    readers,
    samples::Pool,
    session::{Failure, Refusal, Session},
};

/// Stands at one place of a sample.
pub(super) struct Tracer<'t, 'h> {
    /// What was ever seen here.
    pub(super) node: &'t mut Node,
    pub(super) session: &'t mut Session,
    /// What earlier refusals suggested.
    pub(super) hints: &'h Hints,
    /// The type that is read here, as far as it is known.
    pub(super) inside: &'static str,
    /// The type that was asked for here; empty where that is not told.
    pub(super) seed: &'static str,
    /// Only a value is wanted: the type is described elsewhere.
    pub(super) brief: bool,
    /// The node is shared with the element before: its choices are made.
    pub(super) repeated: bool,
    /// How many places this one is in.
    depth: usize,
}

impl<'t, 'h> Tracer<'t, 'h> {
    pub(super) fn new(
        node: &'t mut Node,
        session: &'t mut Session,
        hints: &'h Hints,
        inside: &'static str,
    ) -> Self {
        session.latest = inside;
        Self { node, session, hints, inside, seed: inside, brief: false, repeated: false, depth: 0 }
    }

    /// Steps into one part.
    pub(super) fn part(
        &mut self,
        index: usize,
        inside: &'static str,
        seed: &'static str,
    ) -> Result<Tracer<'_, 'h>, Refusal> {
        self.node.extend(index + 1);
        let node = self.node.parts.get_mut(index).ok_or_else(|| Refusal::custom("there is no such part"))?;
        Ok(Tracer {
            node,
            session: &mut *self.session,
            hints: self.hints,
            inside,
            seed,
            brief: self.brief,
            repeated: self.repeated,
            depth: self.depth + 1,
        })
    }

    /// Records what is asked for here.
    pub(super) fn reach(&mut self, head: Head) -> Result<(), Refusal> {
        self.session.charge(self.depth, self.repeated)?;
        let known = *self.node.head.get_or_insert_with(|| self.session.discover(head));
        if known == head { Ok(()) } else { Err(self.session.fail(Failure::Fickle(self.inside))) }
    }

    /// Records what is asked for here, and by which code.
    pub(super) fn meet<'de, V: Visitor<'de>>(&mut self, head: Head) -> Result<(), Refusal> {
        if self.node.head.is_none() && !matches!(head, Head::Any(_)) {
            self.node.reader = readers::of::<V>(self.seed);
        }
        self.reach(head)
    }

    /// Reaches a place that has parts. Whatever follows ends with `leave`.
    pub(super) fn enter<'de, V: Visitor<'de>>(mut self, head: Head) -> Result<Self, Refusal> {
        self.meet::<V>(head)?;
        let kind = match self.node.kind {
            Some(kind) => kind,
            None => self.introduce::<V>(head),
        };
        self.brief |= self.node.reference;
        self.session.enter(kind)?;
        Ok(self)
    }

    /// Decides whether this place describes its type or refers to the one that does. Types without a name are
    /// described in full wherever they stand, except in themselves.
    fn introduce<'de, V: Visitor<'de>>(&mut self, head: Head) -> usize {
        let kind = self.session.kind_of::<V>(head);
        self.node.kind = Some(kind);
        if !self.brief {
            let named = head.is_named();
            self.node.reference =
                if named { self.session.describe(kind) } else { self.session.is_open(kind) };
        }
        kind
    }

    pub(super) fn leave(&mut self, own: Extent) {
        self.session.leave();
        self.close(own);
    }

    pub(super) fn close(&mut self, own: Extent) {
        self.session.learned |= self.node.close(own);
    }

    pub(super) fn choose(&mut self, preferred: usize, pool: Pool) -> usize {
        let pick = if self.repeated { preferred } else { self.session.choose(preferred, pool) };
        self.node.pick = Some(pick);
        pick
    }
}
