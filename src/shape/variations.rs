//! The order of the changes to a refused sample.
//!
//! Two sequences alternate. The first one is the hints from error messages, each for the latest leaf that it suits. The
//! second one is: other picks for the latest choice, which is the most frequent cause; equal picks for all leaves, for rules
//! about several leaves; and other picks for the other choices one by one, from the last to the first, among the most
//! frequent samples. At last the hints are tried for every leaf.

use super::{hints::Hints, samples::Choice};

/// Number of samples that are tried for a leaf other than the latest.
const FREQUENT: usize = 64;

/// The changes to one sample.
pub(super) struct Variations<'c> {
    /// The choices of the refused sample.
    choices: &'c [Choice],
    /// The next hint to try for the latest leaf.
    fresh: usize,
    /// Whether the next script comes from `plain`.
    is_plain_next: bool,
    /// Scripts without new hints.
    plain: Box<dyn Iterator<Item = Vec<usize>> + 'c>,
    /// The next hint to try for every leaf: the choice, counted from the last one, and the hint.
    everywhere: (usize, usize),
}

impl<'c> Variations<'c> {
    /// `hints` is the number of older hints.
    pub(super) fn new(choices: &'c [Choice], hints: usize) -> Self {
        let mut others = (0..choices.len()).rev();
        let latest = others.next().into_iter().flat_map(move |at| change(choices, at, usize::MAX, hints));
        let others = others.flat_map(move |at| change(choices, at, FREQUENT, 0));
        Self {
            choices,
            fresh: hints,
            is_plain_next: false,
            plain: Box::new(latest.chain(alike(choices)).chain(others)),
            everywhere: (0, 0),
        }
    }

    /// The picks of the next sample.
    pub(super) fn next(&mut self, hints: &Hints) -> Option<Vec<usize>> {
        self.is_plain_next = !self.is_plain_next;
        let plain = if self.is_plain_next { self.plain.next() } else { None };
        plain.or_else(|| self.fresh(hints)).or_else(|| self.plain.next()).or_else(|| self.everywhere(hints))
    }

    fn fresh(&mut self, hints: &Hints) -> Option<Vec<usize>> {
        while let Some(word) = hints.get(self.fresh) {
            let suited = self.choices.iter().rposition(|choice| choice.pool.suits(word));
            self.fresh += 1;
            if let Some(at) = suited {
                return Some(hinted(self.choices, at, self.fresh - 1));
            }
        }
        None
    }

    fn everywhere(&mut self, hints: &Hints) -> Option<Vec<usize>> {
        loop {
            let (back, hint) = self.everywhere;
            let at = self.choices.len().checked_sub(back + 1)?;
            self.everywhere = if hint < hints.len() { (back, hint + 1) } else { (back + 1, 0) };
            let is_suited = |word| self.choices.get(at).is_some_and(|choice| choice.pool.suits(word));
            if hints.get(hint).is_some_and(is_suited) {
                return Some(hinted(self.choices, at, hint));
            }
        }
    }
}

/// Other picks for one choice: at most `most` samples, and `hints` hints.
fn change(choices: &[Choice], at: usize, most: usize, hints: usize) -> impl Iterator<Item = Vec<usize>> {
    let choice = choices.get(at).copied();
    let picks = choice.into_iter().flat_map(move |choice| {
        let len = choice.pool.len();
        let hinted = if choice.pool.is_hinted() { hints } else { 0 };
        (0..len.min(most)).chain(len..len + hinted).filter(move |pick| *pick != choice.pick)
    });
    picks.map(move |pick| changed(choices, at, pick))
}

/// Equal picks for all leaves, if there are several.
fn alike(choices: &[Choice]) -> impl Iterator<Item = Vec<usize>> {
    let leaves = choices.iter().filter(|choice| choice.pool.is_leaf());
    let most = if leaves.clone().count() > 1 { leaves.map(|choice| choice.pool.len()).max() } else { None };
    (0..most.unwrap_or_default()).map(|pick| choices.iter().map(|choice| choice.alike(pick)).collect())
}

fn hinted(choices: &[Choice], at: usize, hint: usize) -> Vec<usize> {
    changed(choices, at, choices.get(at).map_or(0, |choice| choice.pool.len()) + hint)
}

/// The picks with one changed. The picks after a leaf stay, and those after another alternative are dropped.
fn changed(choices: &[Choice], at: usize, other: usize) -> Vec<usize> {
    let before = choices.iter().take(at).map(|choice| choice.pick);
    let after = choices.iter().skip(at + 1).map(|choice| choice.pick);
    let keeps = choices.get(at).is_some_and(|choice| choice.pool.is_leaf());
    before.chain([other]).chain(after.take(if keeps { usize::MAX } else { 0 })).collect()
}

impl Choice {
    fn alike(&self, pick: usize) -> usize {
        if self.pool.is_leaf() && pick < self.pool.len() { pick } else { self.pick }
    }
}
