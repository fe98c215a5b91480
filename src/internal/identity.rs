//! The name of a function's memo: its path and its generic arguments, as the compiler names them.

use std::borrow::Cow;

use super::code::Code;
use crate::key;

/// Longer names are cut, and end in a digest of the whole name. The name of a memo may have 512 bytes.
const LONGEST: usize = 400;

/// A memoized function, described alike by both of its entry points.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Without its path, and without the `r#` of a raw name.
    pub name: &'static str,
    /// The user's name, which replaces the path.
    pub chosen: Option<&'static str>,
    /// The code of the function and of the functions that it depends on.
    pub code: Code,
    /// Whether it returns a `Result`, whose `Ok` is the value.
    pub fallible: bool,
    /// The module, which is a part of the path. The functions around it are not in it.
    pub module: &'static str,
    /// How many functions of this name, or this chosen name, and this text stand before it in its crate.
    pub twin: u32,
    /// Whether it has a `self`, and so is in an `impl` or a trait.
    pub takes_self: bool,
    /// The types that distinguish its instances.
    pub types: Types,
}

/// The types that distinguish the instances of a function.
#[derive(Clone, Copy, Debug)]
pub enum Types {
    /// The function has no handle, so the type of its closure does.
    OfClosure,
    /// Its type parameters, by [`number_of_types`](super::number_of_types).
    OfParameters(fn() -> u64),
    /// Its type parameters and `Self`.
    OfBoth(fn() -> u64),
}

/// The name of the memo of a function, from the type name of a closure written in it or in its handle.
///
/// `crate::module::A<u8>::load<u16>::{{closure}}` is the function `crate::module::A<u8>::load<u16>`. A chosen name replaces
/// the path, but not the generics, because two instances are two functions.
///
/// Two functions in two blocks have one path. The second of equal text has the number 2 in its name: `a::main::load#2`.
pub(super) fn identity(closure: &str, function: &Function) -> String {
    let path = path_of(closure);
    let (parent, last) = split(&path);
    let generics = last.find('<').and_then(|at| last.get(at..)).unwrap_or_default();
    let mut name = match function.chosen {
        Some(chosen) => format!("{chosen}{}{generics}", angled(parent)),
        None => format!("{parent}::{}{generics}", function.name),
    };
    if function.twin > 0 && !is_unique(parent, function) {
        name = format!("{name}#{}", function.twin + 1);
    }
    shortened(name)
}

/// Whether no other function can have this path. A path through another function is longer than that of the module, and only
/// its blocks hold two items of one name.
fn is_unique(parent: &str, function: &Function) -> bool {
    let (before, last) = split(parent);
    let is_of_impl = function.takes_self || last.starts_with("<impl ");
    parent == function.module || is_of_impl && before == function.module
}

/// The path of the function in which a closure is, without lifetimes.
pub(super) fn path_of(closure: &str) -> Cow<'_, str> {
    without_lifetimes(of_function(closure))
}

/// Whether several functions have this name: all closures of one function have one name, so the instances of a generic
/// function for these closures have one too.
pub(super) fn is_shared(closure: &str) -> bool {
    angled(of_function(closure)).contains("{{")
}

/// The name of the function in which a closure is. The body of an async function is a closure around it.
fn of_function(closure: &str) -> &str {
    closure.trim_end_matches("::{{closure}}")
}

/// Compilers print lifetimes differently, and a handle has no lifetimes.
fn without_lifetimes(path: &str) -> Cow<'_, str> {
    if !path.contains("'_") {
        return Cow::Borrowed(path);
    }
    Cow::Owned(
        path.replace("'_, ", "").replace(", '_", "").replace("'_ ", "").replace("'_", "").replace("<>", ""),
    )
}

/// The path before its last segment, and the last segment.
pub(super) fn split(path: &str) -> (&str, &str) {
    let mut last = None;
    for (at, depth) in depths(path) {
        if depth == 0 && path.get(at..).is_some_and(|rest| rest.starts_with("::")) {
            last = Some(at);
        }
    }
    let parts = last.and_then(|at| Some((path.get(..at)?, path.get(at + 2..)?)));
    parts.unwrap_or(("", path))
}

/// The parts in angle brackets: `<u8><u16>` for `A<u8>::b<u16>`.
pub(super) fn angled(path: &str) -> String {
    let mut before = 0;
    let mut angled = String::new();
    for ((_, depth), character) in depths(path).zip(path.chars()) {
        if depth > 0 || before > 0 {
            angled.push(character);
        }
        before = depth;
    }
    angled
}

/// Place and nesting depth in angle brackets of each character. An opening bracket counts as inside. An arrow is no
/// bracket.
fn depths(path: &str) -> impl Iterator<Item = (usize, usize)> {
    let (mut depth, mut before) = (0_usize, ' ');
    path.char_indices().map(move |(at, character)| {
        match character {
            '<' => depth += 1,
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = character;
        (at, depth)
    })
}

fn shortened(name: String) -> String {
    if name.len() <= LONGEST {
        return name;
    }
    let digest = key::digest(name.as_str()).map(|digest| format!("{digest:?}")).unwrap_or_default();
    let head: String = name.chars().take(LONGEST / 4).collect();
    format!("{head}..{digest}")
}

#[cfg(test)]
mod tests {
    use super::{super::Code, *};

    impl Function {
        pub(in super::super) const fn plain(name: &'static str, code: Code) -> Self {
            let types = Types::OfClosure;
            Self { name, chosen: None, code, fallible: false, module: "a", twin: 0, takes_self: false, types }
        }
    }

    const PLAIN: Function =
        Function::plain("load", Code { release: "", tokens: 0, built_in: &[], depends: &[] });

    fn of(closure: &str, chosen: Option<&'static str>) -> String {
        identity(closure, &Function { chosen, ..PLAIN })
    }

    #[test]
    fn a_twin_has_a_number_unless_its_path_is_its_own() {
        let twin = |closure, module, takes_self| {
            identity(closure, &Function { module, takes_self, twin: 1, ..PLAIN })
        };
        for (own, module, takes_self) in [
            ("a::b::load", "a::b", false),
            ("a::A<u8>::load", "a", true),
            ("a::b::<impl a::A>::load", "a::b", false),
        ] {
            assert_eq!(twin(own, module, takes_self), own);
        }
        for (shared, module, takes_self) in [
            ("a::main::load", "a", false),
            ("a::main::b::load", "a::b", false),
            ("a::main::A::load", "a", true),
            ("a::_::<impl a::A>::load", "a", true),
            ("a::A::load", "a", false),
            ("<a::main::A as a::Tr>::load", "a", true),
        ] {
            assert_eq!(twin(shared, module, takes_self), format!("{shared}#2"));
            assert_eq!(identity(shared, &Function { module, takes_self, ..PLAIN }), shared);
        }
    }

    #[test]
    fn it_is_the_path_of_the_function_with_its_generics() {
        for (closure, expected) in [
            ("a::load::{{closure}}", "a::load"),
            ("a::load::{{closure}}::{{closure}}", "a::load"),
            (
                "a::b::A<u8>::load<alloc::vec::Vec<i32>, 3>::{{closure}}",
                "a::b::A<u8>::load<alloc::vec::Vec<i32>, 3>",
            ),
            ("<u8 as a::Tr>::load::{{closure}}", "<u8 as a::Tr>::load"),
            ("a::b::<impl a::A<u8>>::load::{{closure}}", "a::b::<impl a::A<u8>>::load"),
            ("a::f::{{closure}}::load::{{closure}}", "a::f::{{closure}}::load"),
            ("a::f::{{closure}}::load::{{closure}}::{{closure}}", "a::f::{{closure}}::load"),
            ("a::load<fn(u8) -> a::B>::{{closure}}", "a::load<fn(u8) -> a::B>"),
        ] {
            assert_eq!(of(closure, None), expected);
        }
    }

    #[test]
    fn a_function_and_its_handle_have_one_name() {
        for (function, handle) in [
            ("a::A<u8>::load<u16>::{{closure}}", "a::A<u8>::load_memo<u16>::{{closure}}"),
            ("a::A<u8>::load<u16>::{{closure}}::{{closure}}", "a::A<u8>::load_memo<u16>::{{closure}}"),
            ("a::P<'_>::load<'_, u8>::{{closure}}", "a::P<'_>::load_memo<u8>::{{closure}}"),
            ("a::P<'_>::load<'_>::{{closure}}", "a::P<'_>::load_memo::{{closure}}"),
            ("a::load<fn(&'_ u8) -> u8>::{{closure}}", "a::other<fn(&u8) -> u8>::{{closure}}"),
        ] {
            assert_eq!(of(function, None), of(handle, None));
            assert_eq!(of(function, Some("n")), of(handle, Some("n")));
        }
    }

    #[test]
    fn a_chosen_name_survives_a_move_but_keeps_instances_apart() {
        assert_eq!(of("a::b::load::{{closure}}", Some("rides")), of("c::load::{{closure}}", Some("rides")));
        assert_eq!(of("a::A<u8>::load<u16>::{{closure}}", Some("rides")), "rides<u8><u16>");
        assert_eq!(of("<u8 as a::Tr>::load::{{closure}}", Some("rides")), "rides<u8 as a::Tr>");
    }

    #[test]
    fn an_instance_for_a_closure_has_the_name_of_others() {
        for shared in
            ["a::apply<a::main::{{closure}}>::{{closure}}", "a::A<a::f::{{closure}}>::b::{{closure}}"]
        {
            assert!(is_shared(shared), "{shared}");
        }
        for own in ["a::apply<a::double>::{{closure}}", "a::f::{{closure}}::apply<u8>::{{closure}}"] {
            assert!(!is_shared(own), "{own}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_still_its_own() {
        let long = |last: char| format!("a::load<{}{last}>::{{{{closure}}}}", "é".repeat(600));
        let (one, two) = (of(&long('1'), None), of(&long('2'), None));
        assert_ne!(one, two);
        assert!(one.len() <= 512 && one.starts_with("a::load<"), "{one}");
    }
}
