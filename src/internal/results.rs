//! Detects a `Result` in a value type. A memo of such a type stores errors, which is seldom intended.

/// The place of a `Result` in a type, by the name of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Results {
    None,
    /// The type is a `Result`.
    Itself,
    /// A `Result` is in its generics, or in an array, a slice or a tuple.
    Within,
}

/// The place of a `Result` in the type of this name.
///
/// It goes by the name, because a generic function cannot test a type in another way: there are infinitely many `TypeId`s of
/// a `Result`. The fields of a struct are not in its name, and are not tested.
pub(super) fn results(type_name: &str) -> Results {
    const RESULT: &str = "core::result::Result<";
    // `a::core::result::Result<` is another type.
    let begins = |at: usize| {
        let before = type_name.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':')
    };
    if type_name.starts_with(RESULT) {
        return Results::Itself;
    }
    let found = type_name.match_indices(RESULT).any(|(at, _)| begins(at));
    if found { Results::Within } else { Results::None }
}

#[cfg(test)]
mod tests {
    use std::{any::type_name, collections::HashMap, fmt, io, sync::Arc};

    use super::*;

    fn of<T: ?Sized>() -> Results {
        results(type_name::<T>())
    }

    mod core {
        pub(super) mod result {
            pub(in super::super) struct Result<T>(T);
        }
    }

    #[test]
    fn a_result_is_seen_under_every_alias_and_in_every_place() {
        assert_eq!((of::<Result<u8, ()>>(), of::<io::Result<u8>>()), (Results::Itself, Results::Itself));
        let within = [
            of::<Option<Result<u8, ()>>>(),
            of::<Vec<io::Result<u8>>>(),
            of::<(u8, Result<u8, ()>)>(),
            of::<[Result<u8, ()>]>(),
            of::<[Result<u8, ()>; 2]>(),
            of::<HashMap<u8, Arc<Result<u8, ()>>>>(),
            of::<&Result<u8, ()>>(),
        ];
        assert_eq!(within, [Results::Within; 7]);
        let none = [of::<u8>(), of::<Vec<fmt::Error>>(), of::<core::result::Result<u8>>()];
        assert_eq!(none, [Results::None; 3]);
    }
}
