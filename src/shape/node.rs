//! The parts of a type, as a tree that grows with each sample.

use std::{collections::HashMap, fmt::Write as _};

/// The type that was requested at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NodeHead {
    /// A primitive, text or bytes, by name.
    Leaf(&'static str),
    /// Any type, requested by the type of this name.
    Any(&'static str),
    Option,
    Seq,
    Map,
    Tuple(usize),
    UnitStruct(&'static str),
    NewtypeStruct(&'static str),
    TupleStruct(&'static str, usize),
    Struct(&'static str, &'static [&'static str]),
    Enum(&'static str, &'static [&'static str]),
    /// The contents of a unit variant.
    Unit,
    /// The contents of a variant with one value.
    Newtype,
    /// The contents of a variant with named fields.
    Fields(&'static [&'static str]),
}

impl NodeHead {
    /// Whether the type has a name of its own, so that one description is enough for all its places.
    pub(super) fn is_named(self) -> bool {
        self.name().is_some()
    }

    /// Its name in a reference.
    fn word(self) -> &'static str {
        let plain = match self {
            Self::Option => "option",
            Self::Map => "map",
            Self::Tuple(_) => "tuple",
            _ => "seq",
        };
        self.name().unwrap_or(plain)
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::NewtypeStruct(name)
            | Self::TupleStruct(name, _)
            | Self::Struct(name, _)
            | Self::Enum(name, _) => Some(name),
            _ => None,
        }
    }
}

/// How much of a type is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    /// There may be parts that were never requested.
    #[default]
    Unknown,
    /// Every part was requested, and then the sample was refused.
    Seen,
    /// A value was made.
    Whole,
}

impl Extent {
    pub(super) fn of(accepted: bool, handed_out: bool) -> Self {
        match (accepted, handed_out) {
            (true, _) => Self::Whole,
            (false, true) => Self::Seen,
            (false, false) => Self::Unknown,
        }
    }
}

/// One place in a value, and everything known below it.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// `None` until the place is reached, and then constant. It stays `None` for a variant that is refused before its
    /// contents are requested.
    pub(super) head: Option<NodeHead>,
    /// The code that reads it, as far as it is known. Set with `head`.
    pub(super) reader: Option<Box<str>>,
    /// The number of the type in its trace; leaves have none.
    pub(super) kind: Option<usize>,
    /// The type is described at another place, and the parts here only make values.
    pub(super) reference: bool,
    /// By position: elements, fields, variants; a key and a value.
    pub(super) parts: Vec<Node>,
    /// Maximum number of neighbours that shared this node in a sample.
    pub(super) run: usize,
    /// The latest sample or alternative.
    pub(super) pick: Option<usize>,
    /// The extent without regard to the parts. Never decreases.
    own: Extent,
    /// The minimum of `own` and the extents of the parts.
    extent: Extent,
}

impl Node {
    /// Extends the parts, without spare capacity, because there are many small nodes.
    pub(super) fn extend(&mut self, len: usize) {
        let missing = len.saturating_sub(self.parts.len());
        self.parts.reserve_exact(missing);
        self.parts.extend(std::iter::repeat_with(Self::default).take(missing));
    }

    pub(super) fn extent(&self) -> Extent {
        self.extent
    }

    /// Records the extent of a sample, and returns whether it increased. The parts of a type that is described elsewhere do
    /// not count.
    pub(super) fn close(&mut self, own: Extent) -> bool {
        self.own = self.own.max(own);
        let parts = if self.reference { None } else { self.parts.iter().map(Self::extent).min() };
        let extent = parts.map_or(self.own, |least| least.min(self.own));
        let further = extent > self.extent;
        self.extent = extent;
        further
    }

    /// The least explored part, unless all are whole.
    pub(super) fn least_seen(&self) -> Option<usize> {
        let unfinished = self.parts.iter().enumerate().filter(|(_, part)| part.extent < Extent::Whole);
        unfinished.min_by_key(|(_, part)| part.extent).map(|(index, _)| index)
    }

    /// The canonical text of the tree. A type that is nested in itself, or that occurs again, is a reference: `^Name#n` is
    /// the n-th type, counted from zero in the order of the text.
    pub(super) fn describe(&self) -> String {
        let mut text = Description::default();
        text.number(self);
        text.node(self);
        text.text
    }
}

#[derive(Default)]
struct Description {
    text: String,
    /// The number in the text of each kind of node.
    numbers: HashMap<usize, usize>,
}

impl Description {
    fn number(&mut self, node: &Node) {
        if node.reference {
            return;
        }
        if let Some(kind) = node.kind {
            let next = self.numbers.len();
            self.numbers.entry(kind).or_insert(next);
        }
        node.parts.iter().for_each(|part| self.number(part));
    }

    fn node(&mut self, node: &Node) {
        let Some(head) = node.head else { return self.text.push('?') };
        self.text.push_str(node.reader.as_deref().unwrap_or_default());
        if node.reference {
            return self.reference(head, node.kind);
        }
        match head {
            NodeHead::Leaf(name) => self.text.push_str(name),
            NodeHead::Any(name) => self.words("any ", name),
            NodeHead::Option => self.list("option<", node, ">"),
            NodeHead::Seq => self.list("seq<", node, ">"),
            NodeHead::Map => self.list("map<", node, ">"),
            NodeHead::UnitStruct(name) => self.words("struct ", name),
            NodeHead::NewtypeStruct(name) | NodeHead::TupleStruct(name, _) => {
                self.words("struct ", name);
                self.list("(", node, ")");
            }
            NodeHead::Struct(name, fields) => {
                self.words("struct ", name);
                self.fields(fields, node);
            }
            NodeHead::Enum(name, variants) => {
                self.words("enum ", name);
                self.variants(variants, node);
            }
            NodeHead::Tuple(_) => self.list("(", node, ",)"),
            NodeHead::Unit => {}
            NodeHead::Newtype => self.list("(", node, ")"),
            NodeHead::Fields(fields) => self.fields(fields, node),
        }
    }

    fn reference(&mut self, head: NodeHead, kind: Option<usize>) {
        self.words("^", head.word());
        let number = kind.and_then(|kind| self.numbers.get(&kind)).copied().unwrap_or_default();
        // A write to a string cannot fail.
        let _ = write!(self.text, "#{number}");
    }

    /// A name that is no identifier is quoted, so that no name can imitate another shape.
    fn words(&mut self, before: &str, name: &str) {
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let _ =
            if plain { write!(self.text, "{before}{name}") } else { write!(self.text, "{before}{name:?}") };
    }

    fn list(&mut self, open: &str, node: &Node, close: &str) {
        self.text.push_str(open);
        for (index, part) in node.parts.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.node(part);
            if part.run > 1 && node.head != Some(NodeHead::Seq) {
                let _ = write!(self.text, "*{}", part.run);
            }
        }
        self.text.push_str(close);
    }

    fn fields(&mut self, fields: &[&str], node: &Node) {
        self.text.push('{');
        for (index, field) in fields.iter().enumerate() {
            self.words(if index > 0 { "," } else { "" }, field);
            self.text.push(':');
            match node.parts.get(index) {
                Some(part) => self.node(part),
                None => self.text.push('?'),
            }
        }
        self.text.push('}');
    }

    fn variants(&mut self, variants: &[&str], node: &Node) {
        self.text.push('{');
        for (index, part) in node.parts.iter().enumerate() {
            self.words(if index > 0 { "," } else { "" }, variants.get(index).unwrap_or(&"?"));
            match part.head {
                Some(_) => self.node(part),
                None => self.text.push('!'),
            }
        }
        self.text.push('}');
    }
}
