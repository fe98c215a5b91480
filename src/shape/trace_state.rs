//! What the samples of one trace share: the types met so far, the choices made, and the budget.

use std::{any::type_name, collections::HashMap, fmt};

use serde::de::{self, Visitor};

use super::{
    node::NodeHead,
    samples::{Choice, SamplePool},
};

/// Nesting that no sensible value has; the samples stay well within the stack of a thread.
const DEPTH: usize = 128;
/// How often a type may stand in itself before another alternative is looked for.
const REENTRY: usize = 3;
/// Bounds the memory for a type that is made of an exponential number of parts: 7 MiB.
const NODES: usize = 1 << 16;
/// Bounds the work for a type with very many parts that validate.
const SAMPLES: usize = 1 << 14;
/// Bounds the work in places reached. One takes some 25 ns, so that this is 25 ms. Further elements of an array cost a
/// quarter, for an array of 65 000 has to be read anew for each sample of what comes after it.
const BUDGET: usize = PRICE << 20;
const PRICE: usize = 4;

/// How the format that will be used reads a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatKind {
    /// By position alone, as postcard: the type has to know what comes next.
    Positional,
    /// As JSON: the bytes tell what comes next.
    SelfDescribing,
}

/// Why a type cannot be traced, whatever the sample.
#[derive(Debug)]
pub(super) enum TraceFailure {
    /// The type of this name asks a positional format what comes next.
    Unsupported(&'static str),
    /// The type of this name does not read what it asks a positional format for.
    Mismatched(&'static str),
    /// The type of this name asked for different things at the same place.
    Inconsistent(&'static str),
    /// The `Deserialize` panicked with this message.
    Panicked(String),
    /// No sample brought the trace to its end.
    Refused(String),
}

/// One sample was refused.
#[derive(Debug)]
pub(super) struct SampleError {
    message: String,
    /// The visitor has no method for what it was given, or says so.
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

/// What tells types apart. The name alone does not: it is the same in two modules, and for all parameters of a
/// generic type. `TypeId` would ask for `'static`, which serde's visitors are not.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    /// With the names of all fields or variants.
    head: NodeHead,
    /// The full name of the visitor, with module and parameters.
    visitor: &'static str,
    /// The full name of what the visitor makes, and its size: two releases of one crate share their names.
    value: &'static str,
    size: usize,
}

#[derive(Debug, Default)]
struct TypeInfo {
    /// Some node describes it.
    described: bool,
    /// A variant of which a value was made: it ends a recursion.
    constructible: Option<usize>,
}

/// A type that the current place is in.
#[derive(Debug)]
struct OpenType {
    kind: usize,
    /// Of an enum, once it was chosen.
    variant: Option<usize>,
}

#[derive(Debug)]
pub(super) struct TraceState {
    pub(super) format: FormatKind,
    /// Every type that was met, numbered in that order.
    identities: HashMap<Identity, usize>,
    /// By the number that `identities` gives.
    kinds: Vec<TypeInfo>,
    /// From the outermost to the innermost.
    open: Vec<OpenType>,
    /// The latest pick for a leaf of a visitor, in a type: what one date accepts, the next one does.
    remembered: HashMap<(&'static str, &'static str), usize>,
    /// Picks that the current sample has to make, in order; afterwards it is free.
    script: Vec<usize>,
    /// The choices of the current sample, in order.
    pub(super) choices: Vec<Choice>,
    /// The current sample showed something new.
    pub(super) learned: bool,
    /// The first that happened.
    failure: Option<TraceFailure>,
    /// What visitors say that they expect is noted.
    pub(super) records_expectations: bool,
    /// What the visitors of the current sample expect, from the first to the last.
    pub(super) expectations: Vec<String>,
    /// The type that was handed a leaf last.
    pub(super) latest: &'static str,
    /// Places that exist; never over `NODES` by more than one.
    nodes: usize,
    /// Samples begun, of `SAMPLES`.
    samples: usize,
    /// What was charged so far, of `BUDGET`.
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

    /// Begins another sample, which starts with the picks of `script`.
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

    /// How many places were reached, in how many samples.
    #[cfg(test)]
    pub(super) fn effort(&self) -> (usize, usize) {
        (self.spent / PRICE, self.samples)
    }

    /// Notes what a visitor says that it expects.
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

    /// A row that the visitor refuses as such, before it took a part: the type reads maps alone, or asks a format for
    /// more than serde has.
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

    /// Pays for one more place that is reached.
    pub(super) fn charge(&mut self, depth: usize, repeated: bool) -> Result<(), SampleError> {
        self.spent += if repeated { 1 } else { PRICE };
        if self.spent >= BUDGET || self.nodes >= NODES {
            return Err(SampleError::new("it has too many parts"));
        }
        if depth > DEPTH { Err(SampleError::new("it is nested too deeply")) } else { Ok(()) }
    }

    /// Counts a place that was never reached before.
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

    /// Notes that a node describes the type, and tells whether another one did before.
    pub(super) fn describe(&mut self, kind: usize) -> bool {
        self.kinds.get_mut(kind).is_some_and(|kind| std::mem::replace(&mut kind.described, true))
    }

    pub(super) fn mark_constructible(&mut self, kind: usize, variant: usize) {
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.constructible.get_or_insert(variant);
        }
    }

    /// The variant by which a value of the type most surely comes to an end.
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

    /// Tells which variant the innermost type, an enum, is in.
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

    /// What a leaf of this visitor in this type was given the last time.
    pub(super) fn remembered_sample(&self, visitor: &'static str, inside: &'static str) -> usize {
        self.remembered.get(&(visitor, inside)).copied().unwrap_or_default()
    }

    pub(super) fn remember_sample(&mut self, visitor: &'static str, inside: &'static str, pick: usize) {
        self.remembered.insert((visitor, inside), pick);
    }
}
