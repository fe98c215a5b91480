//! A `macro_rules!` may write the function, the options and the attribute. Its arguments arrive in groups without
//! delimiters. A raw name is a name.

use memolith::{code, memo, resource};

use super::{Runs, store};

macro_rules! squares {
    ($($name:ident: $kind:ty,)*) => {$(
        #[memolith::memo(store = store())]
        fn $name(number: $kind) -> $kind {
            number * number
        }
    )*};
}

squares! {
    square_of_u32: u32,
    square_of_u64: u64,
}

#[test]
fn a_macro_may_write_memoized_functions() {
    assert_eq!((square_of_u32(3), square_of_u64(3), square_of_u32(3)), (9, 9, 9));
    assert_eq!((square_of_u32_memo().len().unwrap(), square_of_u64_memo().len().unwrap()), (1, 1));
}

mod given {
    use super::{Runs, memo, resource, store};

    macro_rules! function {
        (
            #[$meta:meta] $vis:vis $name:ident($argument:ident: $kind:ty) -> $returned:ty, $body:block,
            $ttl:literal, $bound:expr, $title:literal, $version:expr, $helper:path, $handle:ident
        ) => {
            #[$meta]
            #[memo(
                store = store(), ttl = $ttl, max_entries = $bound, name = $title, version = $version, depends($helper),
                handle = $handle
            )]
            $vis fn $name($argument: $kind, _runs: &Runs) -> $returned {
                _runs.count();
                $body
            }
        };
    }

    macro_rules! through_another {
        ($($all:tt)*) => { function! { $($all)* } };
    }

    function! {
        #[doc = "Doubles."]
        pub(super) doubled(number: u32) -> Result<u32, String>,
        { let twice = 2 * number; if twice == 0 { Err(String::from("zero")) } else { Ok(twice) } },
        "1h", 2 + 3, "doubled by a macro", 1 + 1, super::raw::r#for, doubles
    }

    through_another! {
        #[must_use]
        pub(super) tripled(number: u32) -> Vec<u32>, { let times = 3; vec![number; times] },
        "1h", 5, "tripled by a macro", 1, super::raw::r#for, triples
    }

    macro_rules! bodies {
        ($ttl:expr, $number:ident, $body:block) => {
            #[memo(store = store(), ttl = $ttl)]
            pub(super) fn remembered($number: u32) -> u32 $body

            #[resource(ttl = $ttl, key = $number)]
            pub(super) fn shared($number: u32) -> u32 $body

            #[memolith::code]
            pub(super) fn helper($number: u32) -> u32 $body
        };
    }

    bodies!("90s", number, { number + 1 });

    #[memolith::code]
    pub(super) fn by_hand(number: u32) -> u32 {
        number + 1
    }

    pub(super) fn codes() -> [memolith::internal::Code; 3] {
        [memolith_code_of_remembered(), memolith_code_of_helper(), memolith_code_of_by_hand()]
    }
}

#[test]
fn each_part_of_a_function_and_its_options_may_be_given_to_a_macro() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!(given::doubled(2, &runs), Ok(4));
        assert_eq!(given::tripled(2, &runs), [2, 2, 2]);
    }
    assert_eq!(runs.take(), 2);
    assert!(given::doubled(0, &runs).is_err() && given::doubled(0, &runs).is_err() && runs.take() == 2);
    assert_eq!(
        (given::doubles().name(), given::triples().name()),
        ("doubled by a macro", "tripled by a macro")
    );
    assert!(given::doubles().last_failure().is_none());
}

macro_rules! by_expression {
    ($left:expr, $kind:ty) => {
        #[code]
        fn by_expression(list: &[$kind]) -> Option<$kind> {
            list.iter().map(|one| one * ($left)).next()
        }
    };
}

by_expression!(1 + 2, u32);

#[code]
fn in_full(list: &[u32]) -> Option<u32> {
    list.iter().map(|one| one * (1 + 2)).next()
}

#[test]
fn a_body_may_be_given_whole_and_its_hash_is_that_of_the_same_text_by_hand() {
    assert_eq!((by_expression(&[2]), in_full(&[2])), (Some(6), Some(6)));
    assert_eq!((given::remembered(1), *given::shared(1), given::helper(1), given::by_hand(1)), (2, 2, 2, 2));
    let [remembered, helper, by_hand] = given::codes();
    assert_eq!((remembered.tokens, helper.tokens), (by_hand.tokens, by_hand.tokens));
    assert_eq!(memolith_code_of_by_expression().tokens, memolith_code_of_in_full().tokens);
}

macro_rules! measured {
    ($sum:expr, $negative:literal, $bound:expr, $range:expr, $closure:expr, $either:pat) => {
        #[memo(store = store(), max_entries = $bound * 2)]
        fn measured(number: i64) -> (i64, i64, i64, i64, bool) {
            let steps = $range.rev().count() as i64;
            ($sum * number, $negative.abs() - $sum, steps, $closure(number), matches!(number, $either if number > 1))
        }
    };
}

measured!(1 + 2, -5_i64, 1 + 1, 0..4, |x| x - 1, 1 | 2);

/// Without parentheses the compiler would give such a body another value.
#[test]
fn what_a_macro_was_given_is_one_whole_in_a_body_and_in_an_option() {
    assert_eq!(measured(10), (30, 2, 4, 9, false));
    assert_eq!(measured(1), (3, 2, 4, 0, false));
    for number in 2..9 {
        measured(number);
    }
    assert_eq!(measured_memo().len().unwrap(), 4);
}

mod raw {
    pub(super) mod r#loop {
        #[memolith::code]
        pub(in super::super) fn r#match(number: u32) -> u32 {
            number
        }
    }

    #[memolith::code(depends(r#loop::r#match))]
    pub(super) fn r#for() {}
}

#[memo(store = store(), depends(raw::r#loop::r#match, raw::r#for))]
fn r#match(r#type: u32, r#fn: &str, r#_hint: bool) -> u32 {
    let _ = r#fn;
    raw::r#loop::r#match(r#type)
}

#[memo(store = store(), skip(r#in, r#mod), handle = r#enum)]
fn r#while(r#in: u32, r#mod: u32, out: u32) -> Result<u32, String> {
    raw::r#for();
    Ok(r#in + r#mod + out)
}

/// In `skip` the name may be written plainly.
#[resource(skip(in))]
fn r#struct(r#in: u32, out: u32) -> u32 {
    r#in + out
}

#[test]
fn a_raw_name_is_a_name() {
    assert_eq!((r#match(3, "", true), r#match(3, "", false), match_memo().len().unwrap()), (3, 3, 1));
    assert!(match_memo().name().ends_with("written_by_macros::match"), "{}", match_memo().name());
    assert_eq!((r#while(1, 2, 3), r#while(9, 9, 3), r#enum().len().unwrap()), (Ok(6), Ok(6), 1));
    assert_eq!((*r#struct(1, 2), *r#struct(9, 2)), (3, 3));
    assert!(match_memo().last_failure().is_none());
}

#[code]
fn r#raw() {}

#[test]
fn a_name_that_need_not_be_raw_is_the_plain_one() {
    raw();
    assert_eq!(memolith_code_of_raw().depends, []);
}
