//! The code that reads a place, as far as the names of types show it.
//!
//! Two types can read the same number and make different values from it: seconds and milliseconds, a plain field and one
//! under `#[serde(with = "...")]`, a type that is made `from` another one. Serde provides no names of functions, but three
//! types: the type that the outer type requests (the *seed*), the visitor, and the value of the visitor.
//!
//! Modules, lifetimes and closures are left out of the names, because a type may be moved, and compilers print lifetimes and
//! closures differently. Derived code is left out, because the names of its types are recorded anyway. So is the code of
//! serde and of the standard library.

use std::any::type_name;

use serde::de::Visitor;

/// Crates that read plain values. Their names would distinguish `Vec` and `VecDeque`, which have equal bytes.
const PLAIN: &[&str] = &["core", "alloc", "std", "serde", "serde_core"];
/// Types of the standard library that read their contents.
const WRAPPERS: &[&str] =
    &["Box", "Arc", "Rc", "Cell", "RefCell", "Mutex", "RwLock", "Cow", "Wrapping", "Saturating", "Reverse"];
/// The type in which serde's derive wraps a field that a function reads.
const WITH: &str = "__DeserializeWith";
/// Conventional names of functions that declare visitors. The name before such a function identifies the visitor.
const FUNCTIONS: &[&str] = &["deserialize", "visit_"];
/// Maximum nesting of a name.
const DEPTH: usize = 64;

/// The names of the code that reads a place, if the place alone does not show them. Each ends with `=`.
pub(super) fn of<'de, V: Visitor<'de>>(seed: &str) -> Option<Box<str>> {
    let (visitor, value) = (type_name::<V>(), type_name::<V::Value>());
    let seed = if seed == value { None } else { sought(seed, value) };
    let visitor = if is_derived_or_plain(visitor) { None } else { Path::read(visitor).visitor() };
    let names: String = seed.into_iter().chain(visitor).map(|name| name + "=").collect();
    (!names.is_empty()).then(|| names.into())
}

/// The contents of an `Option` of this name.
pub(super) fn inside_option(name: &'static str) -> &'static str {
    name.strip_prefix("core::option::Option<").and_then(|rest| rest.strip_suffix('>')).unwrap_or_default()
}

/// A fast test for most types. Only derived code has a visitor of this name.
fn is_derived_or_plain(visitor: &str) -> bool {
    is_plain(visitor) || visitor.contains("::__Visitor")
}

fn is_plain(name: &str) -> bool {
    name.split_once("::").is_none_or(|(root, _)| PLAIN.contains(&root))
}

/// The name of the requested type, if another type is read in its place.
fn sought(seed: &str, value: &str) -> Option<String> {
    let (seed, value) = (unwrapped(seed), unwrapped(value));
    if seed == value || is_plain(seed) {
        return None;
    }
    let name = Path::read(seed).last;
    Some(if name.starts_with(WITH) { "with".into() } else { name })
}

/// The contents of the wrappers of the standard library.
fn unwrapped(mut name: &str) -> &str {
    while let Some((path, inside)) = name.split_once('<')
        && is_plain(name)
        && WRAPPERS.contains(&path.rsplit("::").next().unwrap_or_default())
        && let Some(inside) = inside.strip_suffix('>')
    {
        name = match inside.strip_prefix('\'') {
            Some(lifetime) => lifetime.split_once(", ").map_or("", |(_, inside)| inside),
            None => inside,
        };
    }
    name
}

/// The path of a type, without its modules.
#[derive(Default)]
struct Path {
    /// Its first segment, or that of the type of its `impl`.
    root: String,
    /// The segments before the last: the last but one and the one before that.
    before: [String; 2],
    /// The last segment, with its parameters.
    last: String,
}

impl Path {
    fn read(name: &str) -> Self {
        NameParser { rest: name, depth: 0 }.path()
    }

    /// Its name as a visitor, unless serde or the standard library made it.
    fn visitor(self) -> Option<String> {
        if self.last.starts_with("__") || PLAIN.contains(&&*self.root) {
            return None;
        }
        let [owner, function] = &self.before;
        // Compilers print the parameters of an `impl` differently.
        let owner = owner.split_once('<').map_or(&**owner, |(owner, _)| owner);
        let is_inside = FUNCTIONS.iter().any(|name| function.starts_with(name)) && !owner.is_empty();
        Some(if is_inside { format!("{owner}::{}", self.last) } else { self.last })
    }

    fn push(&mut self, segment: String) {
        let last = std::mem::replace(&mut self.last, segment);
        let [_, before] = std::mem::take(&mut self.before);
        self.before = [before, last];
    }
}

/// Parses the output of [`type_name`].
struct NameParser<'n> {
    rest: &'n str,
    /// Nesting of the current name.
    depth: usize,
}

impl<'n> NameParser<'n> {
    fn path(&mut self) -> Path {
        let mut path = Path::default();
        loop {
            if self.skip("<") {
                let (owner, root) = self.owner();
                if path.root.is_empty() {
                    path.root = root;
                }
                path.push(owner);
            } else {
                let name = self.word();
                if path.root.is_empty() {
                    name.clone_into(&mut path.root);
                }
                let parameters = self.list('<', '>');
                if !name.is_empty() {
                    path.push(format!("{name}{parameters}"));
                }
            }
            if !self.skip("::") {
                return path;
            }
        }
    }

    /// The rest of `<impl Trait for Type>` or `<Type as Trait>`: the type, and the crate of the `impl`.
    fn owner(&mut self) -> (String, String) {
        let is_trait_first = self.skip("impl ");
        let first = self.inner();
        let second = if self.skip(" for ") || self.skip(" as ") { self.inner() } else { Path::default() };
        self.skip(">");
        let (owner, implemented) = if is_trait_first { (second, first) } else { (first, second) };
        let is_foreign = owner.root.is_empty() || PLAIN.contains(&&*owner.root);
        (owner.last, if is_foreign { implemented.root } else { owner.root })
    }

    fn inner(&mut self) -> Path {
        self.depth += 1;
        let path = if self.depth > DEPTH { Path::default() } else { self.kind() };
        self.depth -= 1;
        path
    }

    /// A type of any kind.
    fn kind(&mut self) -> Path {
        let kind = |last: String| Path { last, ..Path::default() };
        if self.skip("&") {
            self.lifetime();
            self.skip("mut ");
            return kind(format!("&{}", self.inner().last));
        }
        match self.rest.chars().next() {
            Some('(') => kind(self.list('(', ')')),
            Some('[') => kind(self.list('[', ']')),
            _ => self.path(),
        }
    }

    /// A list of parameters or elements. Empty if there is none.
    fn list(&mut self, open: char, close: char) -> String {
        let Some(rest) = self.rest.strip_prefix(open) else { return String::new() };
        self.rest = rest;
        let mut names = Vec::new();
        while !self.rest.is_empty() && !self.rest.starts_with(close) {
            let before = self.rest.len();
            if !self.lifetime() {
                names.push(self.inner().last);
            }
            self.rest = self.rest.trim_start_matches([',', ';', ' ']);
            if self.rest.len() == before {
                // Unknown syntax, such as a pointer to a function.
                self.rest = self.rest.get(1..).unwrap_or_default();
            }
        }
        self.rest = self.rest.strip_prefix(close).unwrap_or_default();
        if names.is_empty() && open == '<' {
            String::new()
        } else {
            format!("{open}{}{close}", names.join(","))
        }
    }

    /// An identifier or a number. A closure has no name.
    fn word(&mut self) -> &'n str {
        if self.rest.starts_with('{') {
            let end = self.rest.rfind('}').map_or(self.rest.len(), |end| end + 1);
            self.rest = self.rest.get(end..).unwrap_or_default();
            return "";
        }
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '#' | '-'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }

    fn lifetime(&mut self) -> bool {
        let is_lifetime = self.skip("'");
        if is_lifetime {
            self.word();
            self.skip(" ");
        }
        is_lifetime
    }

    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn named(visitor: &str, expected: &str) {
        assert_eq!(Path::read(visitor).visitor().as_deref().unwrap_or("nothing"), expected, "{visitor}");
    }

    #[test]
    fn a_visitor_is_told_without_its_module() {
        named("a::b::c::RowVisitor", "RowVisitor");
        named(
            "a::RowVisitor<alloc::vec::Vec<u8>, &str, [b::Cell; 4], (u8, c::D<'_>)>",
            "RowVisitor<Vec<u8>,&str,[Cell,4],(u8,D)>",
        );
        named("a::visiting::V<'_, '_>", "V");
        named("a::visiting::V<'_, b::T>", "V<T>");
    }

    #[test]
    fn a_visitor_in_a_function_is_told_by_where_the_function_is() {
        named("a::cents::deserialize::V", "cents::V");
        named("a::cents::deserialize_with::V<u8>", "cents::V<u8>");
        named("<a::b::Row<_, N> as serde_core::de::Deserialize>::deserialize::V<u8>", "Row::V<u8>");
        named("a::_::<impl serde_core::de::Deserialize<'de> for a::b::Row>::deserialize::V", "Row::V");
        named("<alloc::vec::Vec<u8> as a::Bytes>::deserialize::V", "Vec::V");
        named("a::b::{{closure}}::V", "V");
        named("a::b::{closure#0}::V", "V");
    }

    #[test]
    fn derived_visitors_and_those_of_serde_are_not_told() {
        named("<a::Row as serde_core::de::Deserialize>::deserialize::__Visitor<u8>", "nothing");
        named("serde_core::de::impls::PrimitiveVisitor<f64>", "nothing");
        named("<alloc::vec::Vec<T> as serde_core::de::Deserialize>::deserialize::VecVisitor<u8>", "nothing");
        named(
            "serde::de::impls::<impl serde::de::Deserialize for alloc::string::String>::deserialize::V",
            "nothing",
        );
    }

    #[test]
    fn what_is_sought_is_told_when_another_type_is_read() {
        let told = |seed, value| sought(seed, value).unwrap_or_default();
        assert_eq!(told("a::Celsius", "f64"), "Celsius");
        assert_eq!(told("alloc::boxed::Box<a::Celsius>", "f64"), "Celsius");
        assert_eq!(told("alloc::sync::Arc<alloc::boxed::Box<a::Celsius>>", "a::Celsius"), "");
        assert_eq!(told("alloc::borrow::Cow<'_, a::Celsius>", "a::Celsius"), "");
        assert_eq!(told("alloc::borrow::Cow<str>", "alloc::string::String"), "");
        assert_eq!(
            told(
                "<a::Row as b::Deserialize>::deserialize::__Visitor::visit_seq::__DeserializeWith<u8>",
                "f64"
            ),
            "with"
        );
        assert_eq!(
            told("a::DeserializeAsWrap<f64, a::b::DisplayFromStr>", "f64"),
            "DeserializeAsWrap<f64,DisplayFromStr>"
        );
    }

    #[test]
    fn no_name_is_too_strange_or_too_deep() {
        let deep = format!("a::B{}", "<a::B".repeat(10_000));
        for name in [
            "",
            "<",
            "fn(u8) -> a::B",
            "a::B<fn(u8) -> a::B, *const u8>",
            "dyn a::B + Send",
            "a::<",
            "::",
            "a::B<",
            &deep,
        ] {
            let _ = Path::read(name).visitor();
        }
    }
}
