//! The instance of a generic function, where the compiler's name of its types may be that of others.
//!
//! The name is not unique for types of one name in two blocks of a function, for types of two versions of a crate, and for
//! the lifetimes in a pointer to a function. A `TypeId` is. But another compiler, a release of the crate, and another
//! profile change it. So it counts only where the name leaves something open. The names of types of `std` leave nothing open.

use std::{
    any::TypeId,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::identity::{Function, Types, angled, path_of, split};

/// The number of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instance {
    /// The name of the memo is the only one.
    Named,
    /// The name may be that of other instances, which have other numbers.
    Numbered(u64),
    /// The name may be that of other instances, and no number is known.
    Unknown,
}

/// A number for the types in `A`, which need not be `'static`: the type of a closure in a generic function contains the
/// types, and not their lifetimes.
#[must_use]
pub fn number_of_types<A>() -> u64 {
    fn of<P: 'static>(_: P) -> u64 {
        number(TypeId::of::<P>())
    }
    of(|| ())
}

/// Another standard library may have another hasher. It has other `TypeId`s too.
fn number(id: TypeId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// The instance with this closure.
pub(super) fn instance(closure: &str, function: &Function, mark: TypeId) -> Instance {
    let path = path_of(closure);
    let (parent, last) = split(&path);
    // A function within a method inherits none of its generics, although its path shows them.
    let (_, around) = split(parent);
    if !is_open(&angled(last)) && !is_open(&of_type(around)) {
        return Instance::Named;
    }
    match function.types {
        Types::OfClosure => Instance::Numbered(number(mark)),
        Types::OfParameters(number) if !is_open(&of_type(around)) => Instance::Numbered(number()),
        // An `impl` has no type parameters besides those of its type. A trait may, and has room for no handle.
        Types::OfBoth(number) => Instance::Numbered(number()),
        Types::OfParameters(_) => Instance::Unknown,
    }
}

/// The generic arguments around a method. The type of an inherent `impl` in another module is none.
fn of_type(around: &str) -> String {
    match around.strip_prefix("<impl ") {
        Some(inherent) if !inherent.contains(" for ") => angled(inherent),
        _ => angled(around),
    }
}

/// Whether a name among these types may be that of several types.
fn is_open(types: &str) -> bool {
    let mut names = types.split(|character: char| !character.is_alphanumeric() && !"_:".contains(character));
    let is_of_std = |name: &str| matches!(name.split_once("::"), None | Some(("core" | "alloc" | "std", _)));
    types.contains("fn(") || types.contains("dyn ") || !names.all(is_of_std)
}

#[cfg(test)]
mod tests {
    use super::{super::Code, *};

    fn of(closure: &str, types: Types) -> Instance {
        let code = Code { release: "", tokens: 0, built_in: &[], depends: &[] };
        let function = Function { types, ..Function::plain("load", code) };
        instance(closure, &function, TypeId::of::<u8>())
    }

    const BOTH: Types = Types::OfBoth(|| 1);
    const PARAMETERS: Types = Types::OfParameters(|| 2);

    #[test]
    fn types_of_std_need_no_number() {
        for closure in [
            "a::load::{{closure}}",
            "a::A::load::{{closure}}",
            "a::A<u8>::load<alloc::vec::Vec<(i32, &str)>, [core::option::Option<bool>; 3]>::{{closure}}",
            "a::load<'\\u{2028}', -1, ':'>::{{closure}}",
            "a::b::<impl a::A>::load::{{closure}}",
            "<a::A as a::Tr<a::B>>::method::load::{{closure}}",
        ] {
            for types in [Types::OfClosure, PARAMETERS, BOTH] {
                assert_eq!(of(closure, types), Instance::Named, "{closure}");
            }
        }
    }

    #[test]
    fn other_types_have_the_number_that_covers_them() {
        for own in ["a::load<a::B>", "a::A<u8>::load<alloc::vec::Vec<a::B>>", "a::load<fn(&u8)>"] {
            assert_eq!(of(own, PARAMETERS), Instance::Numbered(2), "{own}");
            assert_eq!(of(own, BOTH), Instance::Numbered(1), "{own}");
        }
        for around in ["a::A<a::B>::load", "a::b::<impl a::A<a::B>>::load<u8>"] {
            assert_eq!(of(around, PARAMETERS), Instance::Unknown, "{around}");
            assert_eq!(of(around, BOTH), Instance::Numbered(1), "{around}");
        }
        for of_trait in ["<u8 as a::Tr<a::B>>::load", "a::b::<impl a::Tr for alloc::vec::Vec<a::B>>::load"] {
            assert!(matches!(of(of_trait, Types::OfClosure), Instance::Numbered(_)), "{of_trait}");
        }
    }

    #[test]
    fn types_that_are_printed_alike_have_two_numbers() {
        let [one, two] = [
            {
                struct Twin;
                number_of_types::<(Twin, &u8)>()
            },
            {
                struct Twin;
                number_of_types::<(Twin, &u8)>()
            },
        ];
        assert_ne!(one, two);
        assert_ne!(number_of_types::<fn(&'static u8)>(), number_of_types::<for<'a> fn(&'a u8)>());
        assert_eq!(number_of_types::<(String,)>(), number_of_types::<(String,)>());
    }
}
