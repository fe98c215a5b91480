//! Shared by the samples of one trace: the types so far, the choices, and the budget.

use std::{any::type_name, collections::HashMap, fmt};

use serde::de::{self, Visitor};

use super::{
    node::NodeHead,
    samples::{Choice, SamplePool},
};

/// Maximum nesting of a sample, well within the stack of a thread. No sensible value is nested deeper.
const DEPTH: usize = 128;
/// How often a type may be nested in itself before another alternative is tried.
const REENTRY: usize = 3;
/// Bounds the memory for a type that is made of an exponential number of parts: 7 MiB.
const NODES: usize = 1 << 16;
/// Bounds the work for a type with very many parts that validate.
const SAMPLES: usize = 1 << 14;
/// Bounds the work, in units per place that is reached. A place takes some 25 ns, so the bound is 25 ms. Further elements of
/// an array cost a quarter, because an array of 65 000 is read again for each sample of the parts after it.
const BUDGET: usize = PRICE << 20;
const PRICE: usize = 4;

/// How the format of a codec reads a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatKind {
    /// By position, like postcard: only the type knows the next part.
    Positional,
    /// Like JSON: the bytes describe the next part.
    SelfDescribing,
}

/// Why a type cannot be traced by any sample.
#[derive(Debug)]
pub(super) enum TraceFailure {
    /// The type of this name asks a positional format for the next type.
    Unsupported(&'static str),
    /// The type of this name refuses the parts that it requested from a positional format.
    Mismatched(&'static str),
    /// The type of this name requested different types at the same place.
    Inconsistent(&'static str),
    /// The `Deserialize` panicked with this message.
    Panicked(String),
    /// No sample brought the trace to its end.
    Refused(String),
}

/// The error of a refused sample.
#[derive(Debug)]
pub(super) struct SampleError {
    message: String,
    /// The visitor does not accept this type of data.
    is_of_another_type: bool,
}

impl SampleError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_of_another_type: false }
    }
}

impl de::Error for SampleError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let message = format!("invalid type: {unexpected}, expected {expected}");
        Self { message, is_of_another_type: true }
    }
}

impl std::error::Error for SampleError {}

impl fmt::Display for SampleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Identifies a type. A name alone is not enough: types in two modules, and all instances of a generic type, may share it.
/// `TypeId` needs `'static`, which serde's visitors are not.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    /// With the names of all fields or variants.
    head: NodeHead,
    /// The full name of the visitor, with module and parameters.
    visitor: &'static str,
    /// The full name of the visitor's value, and its size, because two releases of one crate share their names.
    value: &'static str,
    size: usize,
}

#[derive(Debug, Default)]
struct TypeInfo {
    /// A node describes the type.
    described: bool,
    /// A variant of which a value was made. It ends a recursion.
    constructible: Option<usize>,
}

/// A type around the current place.
#[derive(Debug)]
struct OpenType {
    kind: usize,
    /// The chosen variant of an enum.
    variant: Option<usize>,
}

#[derive(Debug)]
pub(super) struct TraceState {
    pub(super) format: FormatKind,
    /// All types so far, numbered in order of discovery.
    identities: HashMap<Identity, usize>,
    /// By the number in `identities`.
    kinds: Vec<TypeInfo>,
    /// From the outermost to the innermost.
    open: Vec<OpenType>,
    /// The latest pick for a leaf of a visitor in a type: one date accepts what another date accepted.
    remembered: HashMap<(&'static str, &'static str), usize>,
    /// The first picks of the current sample. It chooses the later ones freely.
    script: Vec<usize>,
    /// The choices of the current sample, in order.
    pub(super) choices: Vec<Choice>,
    /// The current sample discovered something new.
    pub(super) learned: bool,
    /// The first failure.
    failure: Option<TraceFailure>,
    /// Whether the expectations of visitors are recorded.
    pub(super) records_expectations: bool,
    /// The expectations of the visitors of the current sample, in order.
    pub(super) expectations: Vec<String>,
    /// The type of the latest leaf.
    pub(super) latest: &'static str,
    /// Number of places. At most `NODES + 1`.
    nodes: usize,
    /// Number of samples so far. At most `SAMPLES`.
    samples: usize,
    /// Used part of `BUDGET`.
    spent: usize,
}

impl TraceState {
    pub(super) fn new(format: FormatKind) -> Self {
        Self {
            format,
            identities: HashMap::new(),
            kinds: Vec::new(),
            open: Vec::new(),
            remembered: HashMap::new(),
            script: Vec::new(),
            choices: Vec::new(),
            learned: false,
            failure: None,
            records_expectations: false,
            expectations: Vec::new(),
            latest: "",
            nodes: 0,
            samples: 0,
            spent: 0,
        }
    }

    /// Starts another sample, with the picks of `script` first.
    pub(super) fn begin(&mut self, script: Vec<usize>) {
        self.script = script;
        self.choices.clear();
        self.expectations.clear();
        self.open.clear();
        self.learned = false;
        self.samples += 1;
    }

    pub(super) fn is_spent(&self) -> bool {
        self.samples >= SAMPLES || self.spent >= BUDGET || self.nodes >= NODES
    }

    /// Number of reached places and of samples.
    #[cfg(test)]
    pub(super) fn effort(&self) -> (usize, usize) {
        (self.spent / PRICE, self.samples)
    }

    /// Records the expectation of a visitor.
    pub(super) fn record_expectation<'de, V: Visitor<'de>>(&mut self, visitor: &V) {
        if self.records_expectations {
            let expected: &dyn de::Expected = visitor;
            self.expectations.push(format!("expected {expected}"));
        }
    }

    pub(super) fn fail(&mut self, failure: TraceFailure) -> SampleError {
        let error = SampleError::new(format!("{failure:?}"));
        self.failure.get_or_insert(failure);
        error
    }

    /// Turns the refusal of a row before its first part into a failure: the type reads only maps, or needs a format with
    /// more than serde's data model.
    pub(super) fn check_row<T>(
        &mut self,
        row: Result<T, SampleError>,
        handed: usize,
        inside: &'static str,
    ) -> Result<T, SampleError> {
        match row {
            Err(error)
                if error.is_of_another_type && handed == 0 && self.format == FormatKind::Positional =>
            {
                Err(self.fail(TraceFailure::Mismatched(inside)))
            }
            row => row,
        }
    }

    pub(super) fn take_failure(&mut self) -> Option<TraceFailure> {
        self.failure.take()
    }

    /// Charges the budget for one more place.
    pub(super) fn charge(&mut self, depth: usize, repeated: bool) -> Result<(), SampleError> {
        self.spent += if repeated { 1 } else { PRICE };
        if self.spent >= BUDGET || self.nodes >= NODES {
            return Err(SampleError::new("it has too many parts"));
        }
        if depth > DEPTH { Err(SampleError::new("it is nested too deeply")) } else { Ok(()) }
    }

    /// Counts a new place.
    pub(super) fn discover(&mut self, head: NodeHead) -> NodeHead {
        self.learned = true;
        self.nodes += 1;
        head
    }

    /// The number of the type that `V` builds.
    pub(super) fn kind_of<'de, V: Visitor<'de>>(&mut self, head: NodeHead) -> usize {
        let (visitor, value) = (type_name::<V>(), type_name::<V::Value>());
        let identity = Identity { head, visitor, value, size: size_of::<V::Value>() };
        let next = self.kinds.len();
        let kind = *self.identities.entry(identity).or_insert(next);
        if kind == next {
            self.kinds.push(TypeInfo::default());
        }
        kind
    }

    /// Records that a node describes the type, and returns whether another node did before.
    pub(super) fn describe(&mut self, kind: usize) -> bool {
        self.kinds.get_mut(kind).is_some_and(|kind| std::mem::replace(&mut kind.described, true))
    }

    pub(super) fn mark_constructible(&mut self, kind: usize, variant: usize) {
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.constructible.get_or_insert(variant);
        }
    }

    /// The variant that most probably ends a value of the type.
    pub(super) fn shortest_variant(&self, kind: usize, variants: usize) -> usize {
        let is_open =
            |variant| self.open.iter().any(|open| open.kind == kind && open.variant == Some(variant));
        let constructible = self.kinds.get(kind).and_then(|kind| kind.constructible);
        constructible.or_else(|| (0..variants).find(|&variant| !is_open(variant))).unwrap_or_default()
    }

    pub(super) fn is_open(&self, kind: usize) -> bool {
        self.open.iter().any(|open| open.kind == kind)
    }

    pub(super) fn enter(&mut self, kind: usize) -> Result<(), SampleError> {
        if self.open.iter().filter(|open| open.kind == kind).count() >= REENTRY {
            return Err(SampleError::new("it contains itself without end"));
        }
        self.open.push(OpenType { kind, variant: None });
        Ok(())
    }

    /// Records the variant of the innermost type, an enum.
    pub(super) fn enter_variant(&mut self, variant: usize) {
        if let Some(open) = self.open.last_mut() {
            open.variant = Some(variant);
        }
    }

    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    /// Takes the scripted pick, or else the preferred one.
    pub(super) fn choose(&mut self, preferred: usize, pool: SamplePool) -> usize {
        let scripted = self.script.get(self.choices.len()).copied();
        let pick = match pool {
            SamplePool::Alternatives(count) => scripted.unwrap_or(preferred).min(count.saturating_sub(1)),
            _ => scripted.unwrap_or(preferred),
        };
        self.choices.push(Choice { pick, pool });
        pick
    }

    /// The latest pick for a leaf of this visitor in this type.
    pub(super) fn remembered_sample(&self, visitor: &'static str, inside: &'static str) -> usize {
        self.remembered.get(&(visitor, inside)).copied().unwrap_or_default()
    }

    pub(super) fn remember_sample(&mut self, visitor: &'static str, inside: &'static str, pick: usize) {
        self.remembered.insert((visitor, inside), pick);
    }
}
