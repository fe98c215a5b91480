#![allow(dead_code, reason = "items that are here for their names")]

/// Every name that generated code might use means something else here.
mod shadowed {
    use super::super::{Runs, store};

    type Result<T> = ::std::result::Result<T, &'static str>;
    struct Option;
    struct Some;
    struct None;
    struct Ok;
    struct Err;
    struct Vec;
    struct String;
    struct Arc;
    struct Memo;
    struct Box;
    trait Plain {}
    trait Send {}
    trait Fn {}
    mod std {}
    mod core {}
    mod memolith {}
    #[allow(non_camel_case_types)]
    struct u64;

    #[::memolith::memo(store = store(), ttl = "1h", cache_if = |_| true, name = "shadowed")]
    pub fn halved(number: u32, _runs: &Runs) -> Result<u32> {
        _runs.count();
        if number.is_multiple_of(2) { Result::Ok(number / 2) } else { Result::Err("odd") }
    }

    #[::memolith::memo(store = store())]
    pub fn squared(number: u32, _runs: &Runs) -> u32 {
        _runs.count();
        number * number
    }

    #[::memolith::resource(ttl = "1h")]
    pub fn shared(number: u32) -> Result<u32> {
        Result::Ok(number)
    }
}

use super::{Runs, store};

#[test]
fn shadowed_names_change_nothing() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!((shadowed::halved(4, &runs), shadowed::squared(3, &runs)), (Ok(2), 9));
        assert_eq!((shadowed::halved(3, &runs), shadowed::shared(1).map(|one| *one)), (Err("odd"), Ok(1)));
    }
    assert_eq!(runs.take(), 4, "the error twice");
}

mod renamed {
    pub(super) mod dependencies {
        pub(crate) use memolith as cache;
    }
    use dependencies::cache;

    #[cache::memo(crate = cache, store = super::store())]
    pub(super) fn squared(number: u32) -> u32 {
        number * number
    }

    #[cache::resource(crate = cache)]
    pub(super) fn shared(number: u32) -> u32 {
        number
    }

    #[cache::code(crate = cache)]
    pub(super) fn helper() {}
}

#[test]
fn the_crate_may_have_another_name() {
    assert_eq!((renamed::squared(3), renamed::squared_memo().len().unwrap(), *renamed::shared(4)), (9, 1, 4));
    renamed::helper();
}

#[memolith::memo(store = store())]
fn named_like_the_machinery(call: u8, key: u8, plan: u8, entry: u8) -> [u8; 4] {
    #[allow(non_upper_case_globals)]
    const CELLS: u8 = 9;
    assert_eq!(CELLS, 9);
    [call, key, plan, entry]
}

#[test]
fn parameters_may_be_called_as_the_machinery_calls_its_own() {
    assert_eq!(named_like_the_machinery(1, 2, 3, 4), [1, 2, 3, 4]);
}

/// An unusual signature.
#[memolith::memo(store = store())]
#[must_use]
#[inline(never)]
#[allow(unsafe_code)]
unsafe extern "C" fn peculiar(r#type: u8) -> u8 {
    r#type
}

#[test]
fn qualifiers_stay() {
    // SAFETY: the function has no precondition.
    #[allow(unsafe_code)]
    let value = unsafe { peculiar(1) };
    assert_eq!(value, 1);
    let _: unsafe extern "C" fn(u8) -> u8 = peculiar;
}
