//! The variant that agrees with the inputs of today.

use super::{Answer, FileState, Fingerprint, Input, Noted, Variants};
use crate::{
    key::{Digest, derived},
    readings::{Reading, Readings},
};

/// The domain of the digests of seats.
const SEAT: &str = "seat";

/// The result of a comparison with the inputs of today.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// The newest variant of which each input has the same answer today.
    Match {
        /// Of its value.
        digest: Digest,
        /// Its inputs with their answers of today.
        readings: Readings,
    },
    /// An input of each variant differs.
    Differs {
        /// Callers with equal answers have equal seats: one of them computes.
        seat: Digest,
        /// The first input of the newest variant that differs. `None` if there are no variants.
        changed: Option<Input>,
    },
}

/// The inputs that were asked so far.
struct Asked<F> {
    /// By the place of the input. `None` if it was not asked.
    answers: Vec<Option<Asking>>,
    /// The places and their answers in the order of asking, for the seat.
    order: Vec<(usize, Option<Fingerprint>)>,
    today: F,
}

/// The answer of today.
type Asking = Result<Answer, NoAnswer>;

/// The input cannot be read, or its value is not provided.
#[derive(Clone, Copy)]
struct NoAnswer;

impl Variants {
    /// Compares the variants with the inputs of today, the newest first. `today` has the signature of
    /// [`readings::today`](crate::readings::today) and is called at most once for each input: not for those that follow a
    /// difference in all of their variants.
    pub(crate) fn resolve(
        &self,
        key: &Digest,
        today: impl FnMut(&Input, Option<&FileState>, &Fingerprint) -> Option<Answer>,
    ) -> Resolved {
        let mut asked = Asked { answers: vec![None; self.inputs.len()], order: Vec::new(), today };
        let mut changed = None;
        for variant in self.lists.iter().rev() {
            match variant.iter().find(|noted| !self.agrees(noted, &mut asked)) {
                None => return self.matched(key, variant, &asked.answers),
                Some(noted) if changed.is_none() => changed = self.inputs.get(noted.input).cloned(),
                Some(_) => {}
            }
        }
        Resolved::Differs { seat: self.seat(key, &asked.order), changed }
    }

    fn agrees<F>(&self, noted: &Noted, asked: &mut Asked<F>) -> bool
    where
        F: FnMut(&Input, Option<&FileState>, &Fingerprint) -> Option<Answer>,
    {
        let (Some(input), Some(slot)) = (self.inputs.get(noted.input), asked.answers.get_mut(noted.input))
        else {
            return false;
        };
        let answer = *slot.get_or_insert_with(|| {
            let Answer { fingerprint, state } = &noted.answer;
            let answer = (asked.today)(input, state.as_ref(), fingerprint);
            asked.order.push((noted.input, answer.map(|answer| answer.fingerprint)));
            answer.ok_or(NoAnswer)
        });
        answer.is_ok_and(|answer| answer.fingerprint == noted.answer.fingerprint)
    }

    fn matched(&self, key: &Digest, variant: &[Noted], answers: &[Option<Asking>]) -> Resolved {
        let answer = |noted: &Noted| {
            answers.get(noted.input).copied().flatten().and_then(Result::ok).unwrap_or(noted.answer)
        };
        let readings = variant.iter().filter_map(|noted| {
            Some(Reading { input: self.inputs.get(noted.input)?.clone(), answer: answer(noted) })
        });
        Resolved::Match { digest: self.digest(key, variant), readings: readings.collect() }
    }

    fn seat(&self, key: &Digest, order: &[(usize, Option<Fingerprint>)]) -> Digest {
        let mut content = self.salt.to_le_bytes().to_vec();
        for (place, fingerprint) in order {
            self.put_input(*place, &mut content);
            content.push(u8::from(fingerprint.is_some()));
            content.extend(fingerprint.iter().flat_map(Fingerprint::as_bytes));
        }
        derived(key, SEAT, &content)
    }
}
