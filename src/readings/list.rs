//! The readings of one computation.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{FileState, Fingerprint, Input};

/// The answer of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) fingerprint: Fingerprint,
    /// The state of a file with these contents, if a file in this state has no others.
    pub(crate) state: Option<FileState>,
}

impl Answer {
    pub(crate) fn new(fingerprint: Fingerprint) -> Self {
        Self { fingerprint, state: None }
    }
}

/// An input, and its answer to a computation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) input: Input,
    pub(crate) answer: Answer,
}

impl Reading {
    /// The most bytes that it takes in the variant list of a key, beside those of the list itself: the index, the
    /// fingerprint, the state and its mark, and the input.
    fn weight(&self) -> Option<usize> {
        Some(2 + Fingerprint::SIZE + 1 + FileState::SIZE + self.input.encoded_length()?)
    }
}

/// The reason why the result of a computation is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unstorable {
    /// The input gave two answers.
    Changed(Input),
    /// The input gave no answer that a lookup can compare.
    Failed(Input),
    /// No scope provides a value of the name.
    Absent(Arc<str>),
    /// More inputs than [`Readings::MOST`], or more bytes than [`Readings::MOST_BYTES`].
    TooMany,
}

impl fmt::Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(input) => write!(f, "the {input} changed during the computation"),
            Self::Failed(input @ Input::Provided(_)) => {
                write!(
                    f,
                    "the {input} cannot be encoded, or its name is too long: a later call could not compare it"
                )
            }
            Self::Failed(input) => write!(
                f,
                "the {input} could not be read, or is no regular file: a later call could not compare it"
            ),
            Self::Absent(name) => write!(
                f,
                "no scope provides `{name}`: provide it around the call, by `inputs::scope` or `Scope::provide`"
            ),
            Self::TooMany => write!(
                f,
                "more than {} inputs, or more than 64 KiB for their names and answers, were read: read one file in their \
                 place, or pass a digest of them as a part of the key",
                Readings::MOST
            ),
        }
    }
}

/// The distinct inputs of one computation with their answers, in the order of the first reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readings {
    /// Empty if it is unstorable.
    list: Vec<Reading>,
    /// The place of each input in the list. Empty up to [`FEW`](Self::FEW) inputs: most computations read a few, and each hit
    /// makes such a list.
    places: HashMap<Input, usize>,
    /// The weights of the list.
    weight: usize,
    /// The first reason. Nothing is noted after it.
    unstorable: Option<Unstorable>,
}

impl Readings {
    /// The most inputs of one computation.
    pub(crate) const MOST: usize = 1024;

    /// The most bytes of all readings of one computation. With a margin for the head of a variant list it is 64 KiB.
    pub(crate) const MOST_BYTES: usize = (64 << 10) - 32;

    /// So many inputs are searched one by one.
    const FEW: usize = 16;

    /// Notes one reading. The same input with another answer makes the list unstorable, and so does one reading too many.
    pub(crate) fn note(&mut self, reading: &Reading) {
        if self.unstorable.is_some() {
            return;
        }
        if let Some(known) = self.find(&reading.input) {
            if known.answer.fingerprint == reading.answer.fingerprint {
                known.answer.state = known.answer.state.or(reading.answer.state);
            } else {
                self.refuse(Unstorable::Changed(reading.input.clone()));
            }
            return;
        }
        let Some(weight) = reading.weight() else {
            return self.refuse(Unstorable::Failed(reading.input.clone()));
        };
        if self.list.len() >= Self::MOST || self.weight + weight > Self::MOST_BYTES {
            return self.refuse(Unstorable::TooMany);
        }
        self.weight += weight;
        self.list.push(reading.clone());
        if self.list.len() > Self::FEW {
            let unplaced = self.list.iter().enumerate().skip(self.places.len());
            self.places.extend(unplaced.map(|(place, reading)| (reading.input.clone(), place)));
        }
    }

    fn find(&mut self, input: &Input) -> Option<&mut Reading> {
        if self.list.len() <= Self::FEW {
            return self.list.iter_mut().find(|known| known.input == *input);
        }
        self.places.get(input).and_then(|place| self.list.get_mut(*place))
    }

    /// Makes the list unstorable. The first reason is kept.
    pub(crate) fn refuse(&mut self, reason: Unstorable) {
        if self.unstorable.is_none() {
            *self = Self { unstorable: Some(reason), ..Self::default() };
        }
    }

    /// The reason why a result that depends on them is not stored.
    pub(crate) fn unstorable(&self) -> Option<&Unstorable> {
        self.unstorable.as_ref()
    }

    /// Whether nothing was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.unstorable.is_none()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Reading> {
        self.list.iter()
    }
}

/// Of distinct inputs within the bounds. Others are noted as a computation would.
impl FromIterator<Reading> for Readings {
    fn from_iter<I: IntoIterator<Item = Reading>>(readings: I) -> Self {
        let mut noted = Self::default();
        readings.into_iter().for_each(|reading| noted.note(&reading));
        noted
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn reading(name: &str, answer: u8) -> Reading {
        Reading { input: Input::variable(name), answer: Answer::new(Fingerprint::contents(&[answer])) }
    }

    fn names(readings: &Readings) -> Vec<String> {
        readings.iter().map(|reading| reading.input.to_string()).collect()
    }

    #[test]
    fn an_input_that_is_read_again_is_noted_once_at_its_first_place() {
        let readings: Readings = [reading("B", 1), reading("A", 2), reading("B", 1)].into_iter().collect();
        assert_eq!(names(&readings), ["environment variable `B`", "environment variable `A`"]);
        assert!(readings.unstorable().is_none());
    }

    #[test]
    fn an_input_with_two_answers_is_unstorable_and_the_first_reason_stays() {
        let mut readings: Readings =
            [reading("A", 1), reading("B", 1), reading("A", 2)].into_iter().collect();
        let changed = Unstorable::Changed(Input::variable("A"));
        assert_eq!(readings.unstorable(), Some(&changed));
        readings.refuse(Unstorable::TooMany);
        readings.note(&reading("C", 1));
        assert_eq!(readings.unstorable(), Some(&changed));
        assert_eq!(readings.iter().len(), 0);
        assert!(!readings.is_empty(), "its result depends on inputs");
    }

    #[test]
    fn the_state_of_a_later_reading_is_kept() {
        let file = |state| Reading {
            input: Input::file(Path::new("a")),
            answer: Answer { fingerprint: Fingerprint::contents(b""), state },
        };
        let state = Some(FileState::made_up(1));
        for order in [[None, state], [state, None]] {
            let readings: Readings = order.map(file).into_iter().collect();
            assert_eq!(readings.iter().next(), Some(&file(state)));
        }
    }

    #[test]
    fn one_input_too_many_is_unstorable() {
        let mut readings = Readings::default();
        (0..Readings::MOST).for_each(|number| readings.note(&reading(&number.to_string(), 0)));
        assert!(readings.unstorable().is_none());
        readings.note(&reading("0", 0));
        assert!(readings.unstorable().is_none(), "it is known");
        readings.note(&reading("more", 0));
        assert_eq!(readings.unstorable(), Some(&Unstorable::TooMany));
    }

    #[test]
    fn each_of_many_inputs_is_found_again() {
        let mut readings = Readings::default();
        for number in 0..3 * Readings::FEW {
            readings.note(&reading(&number.to_string(), 0));
            for known in 0..=number {
                readings.note(&reading(&known.to_string(), 0));
            }
            assert_eq!(readings.iter().len(), number + 1);
        }
        readings.note(&reading("20", 1));
        assert_eq!(readings.unstorable(), Some(&Unstorable::Changed(Input::variable("20"))));
    }

    #[test]
    fn one_byte_too_many_is_unstorable() {
        let overhead = reading("", 0).weight().unwrap();
        let fits = reading(&"x".repeat(Readings::MOST_BYTES - overhead), 0);
        assert!([fits.clone()].into_iter().collect::<Readings>().unstorable().is_none());
        let readings: Readings = [fits, reading("", 0)].into_iter().collect();
        assert_eq!(readings.unstorable(), Some(&Unstorable::TooMany));
    }

    #[test]
    fn an_input_that_cannot_be_written_is_unstorable() {
        let readings: Readings = [reading(&"x".repeat(1 << 16), 0)].into_iter().collect();
        assert!(matches!(readings.unstorable(), Some(Unstorable::Failed(_))));
    }

    #[test]
    fn a_reason_names_the_input_and_the_remedy() {
        let reasons = [
            (Unstorable::Changed(Input::file(Path::new("a"))), "file `a` changed"),
            (Unstorable::Failed(Input::variable("A")), "environment variable `A` could not"),
            (Unstorable::Absent("units".into()), "provide it around the call"),
            (Unstorable::TooMany, "more than 1024 inputs"),
        ];
        for (reason, part) in reasons {
            assert!(reason.to_string().contains(part), "{reason}");
        }
    }
}
