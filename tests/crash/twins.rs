//! Memoized functions, and instances, to which the compiler gives one name. Each run of a program uses one of two only. Within a
//! run they would be seen to be two.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    path::Path,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use memolith::{Store, memo, set_default_store};
use serde::Serialize;

use crate::{
    child::{Child, directory, say, seed},
    harness::Claim,
};

pub const CLAIMS: &[Claim] =
    &[("twins::two_functions_of_one_printed_name_never_share_values_and_keep_their_own", never_share)];

/// A pair: calls the first or the second one, with the key 1.
type Pair = fn(u64) -> u32;

const PAIRS: &[(&str, Pair)] = &[
    ("functions in blocks", in_blocks),
    ("functions with a chosen name", with_a_name),
    ("functions of one version", of_one_version),
    ("functions in closures", in_closures),
    ("functions in constants", in_constants),
    ("functions in modules of one name", in_modules),
    ("functions that one call of a macro writes", written_by_a_macro),
    ("functions that two calls of a macro write", written_by_two_macros),
    ("methods", methods),
    ("associated functions", associated),
    ("methods of a trait", of_a_trait),
    ("methods that a trait provides", provided),
    ("instances for a type", for_a_type),
    ("instances for a function", for_a_function),
    ("instances for a lifetime", for_a_lifetime),
    ("methods of a generic type", of_a_generic_type),
    ("associated functions of a generic type", associated_of_a_generic_type),
    ("methods of a generic trait", of_a_generic_trait),
    ("methods of a trait for all types", of_all_types),
];

static COMPUTED: AtomicU32 = AtomicU32::new(0);

fn counted(value: u32) -> u32 {
    COMPUTED.fetch_add(1, Relaxed);
    value
}

/// Plays the run of the first ones or of the second ones.
pub fn play() {
    set_default_store(Store::open(directory()).unwrap()).unwrap();
    for (name, pair) in PAIRS {
        COMPUTED.store(0, Relaxed);
        let values = [pair(seed()), pair(seed())];
        say(&format!("{name}: {values:?}, {} computed", COMPUTED.load(Relaxed)));
    }
    if let Some(failure) = memolith::default_store().last_failure() {
        say(&format!("failure: {failure}"));
    }
}

fn run(directory: &Path, which: u64) -> BTreeMap<String, String> {
    let mut child = Child::play("twins", directory, which);
    let lines = std::iter::from_fn(|| child.line());
    lines
        .filter_map(|line| line.split_once(": ").map(|(name, said)| (name.to_owned(), said.to_owned())))
        .collect()
}

fn never_share() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("store");
    for (which, computed) in [(0, 1), (1, 1), (0, 0), (1, 0)] {
        let value = 100 * (which + 1) + 1;
        let expected = format!("[{value}, {value}], {computed} computed");
        let said = run(&directory, which);
        let wrong: Vec<_> = said.iter().filter(|(_, said)| **said != expected).collect();
        assert!(wrong.is_empty() && said.len() == PAIRS.len(), "of run {which}, {computed}: {wrong:#?}");
    }
}

fn in_blocks(which: u64) -> u32 {
    if which == 0 {
        const OFFSET: u32 = 100;
        #[memo]
        fn twin(key: u32) -> u32 {
            counted(key + OFFSET)
        }
        twin(1)
    } else {
        const OFFSET: u32 = 200;
        #[memo]
        fn twin(key: u32) -> u32 {
            counted(key + OFFSET)
        }
        twin(1)
    }
}

fn with_a_name(which: u64) -> u32 {
    if which == 0 {
        const OFFSET: u32 = 100;
        #[memo(name = "chosen")]
        fn twin(key: u32) -> u32 {
            counted(key + OFFSET)
        }
        twin(1)
    } else {
        const OFFSET: u32 = 200;
        #[memo(name = "chosen")]
        fn twin(key: u32) -> u32 {
            counted(key + OFFSET)
        }
        twin(1)
    }
}

fn of_one_version(which: u64) -> u32 {
    if which == 0 {
        #[memo(version = 3)]
        fn twin(key: u32) -> u32 {
            counted(key + 100)
        }
        twin(1)
    } else {
        #[memo(version = 3)]
        fn twin(key: u32) -> u32 {
            counted(200 + key)
        }
        twin(1)
    }
}

fn in_closures(which: u64) -> u32 {
    let first = || {
        const OFFSET: u32 = 100;
        #[memo]
        fn twin(key: u32) -> u32 {
            counted(key + OFFSET)
        }
        twin(1)
    };
    let second = || {
        const OFFSET: u32 = 200;
        #[memo]
        fn twin(key: u32) -> u32 {
            counted(key + OFFSET)
        }
        twin(1)
    };
    if which == 0 { first() } else { second() }
}

struct First;
struct Second;

const _: () = {
    const OFFSET: u32 = 100;
    #[memo]
    fn twin(key: u32) -> u32 {
        counted(key + OFFSET)
    }
    impl First {
        fn of_its_constant() -> u32 {
            twin(1)
        }
    }
};

const _: () = {
    const OFFSET: u32 = 200;
    #[memo]
    fn twin(key: u32) -> u32 {
        counted(key + OFFSET)
    }
    impl Second {
        fn of_its_constant() -> u32 {
            twin(1)
        }
    }
};

fn in_constants(which: u64) -> u32 {
    if which == 0 { First::of_its_constant() } else { Second::of_its_constant() }
}

fn in_modules(which: u64) -> u32 {
    if which == 0 {
        mod inner {
            const OFFSET: u32 = 100;
            #[memolith::memo]
            pub fn twin(key: u32) -> u32 {
                crate::twins::counted(key + OFFSET)
            }
        }
        inner::twin(1)
    } else {
        mod inner {
            const OFFSET: u32 = 200;
            #[memolith::memo]
            pub fn twin(key: u32) -> u32 {
                crate::twins::counted(key + OFFSET)
            }
        }
        inner::twin(1)
    }
}

macro_rules! one_of {
    ($which:expr, $($number:literal: $offset:literal),*) => {
        match $which {
            $($number => {
                const OFFSET: u32 = $offset;
                #[memo]
                fn written(key: u32) -> u32 {
                    counted(key + OFFSET)
                }
                written(1)
            })*
            _ => unreachable!(),
        }
    };
}

fn written_by_a_macro(which: u64) -> u32 {
    one_of!(which, 0: 100, 1: 200)
}

fn written_by_two_macros(which: u64) -> u32 {
    if which == 0 { one_of!(0, 0: 100) } else { one_of!(0, 0: 200) }
}

fn methods(which: u64) -> u32 {
    if which == 0 {
        const OFFSET: u32 = 100;
        #[derive(Serialize)]
        struct Twin;
        impl Twin {
            #[memo]
            fn method(&self, key: u32) -> u32 {
                counted(key + OFFSET)
            }
        }
        Twin.method(1)
    } else {
        const OFFSET: u32 = 200;
        #[derive(Serialize)]
        struct Twin;
        impl Twin {
            #[memo]
            fn method(&self, key: u32) -> u32 {
                counted(key + OFFSET)
            }
        }
        Twin.method(1)
    }
}

fn associated(which: u64) -> u32 {
    if which == 0 {
        const OFFSET: u32 = 100;
        struct Twin;
        impl Twin {
            #[memo]
            fn associated(key: u32) -> u32 {
                counted(key + OFFSET)
            }
        }
        Twin::associated(1)
    } else {
        const OFFSET: u32 = 200;
        struct Twin;
        impl Twin {
            #[memo]
            fn associated(key: u32) -> u32 {
                counted(key + OFFSET)
            }
        }
        Twin::associated(1)
    }
}

trait Load {
    fn load(&self, key: u32) -> u32;
}

fn of_a_trait(which: u64) -> u32 {
    if which == 0 {
        const OFFSET: u32 = 100;
        struct Twin;
        impl Load for Twin {
            #[memo(handle = none, skip(self))]
            fn load(&self, key: u32) -> u32 {
                counted(key + OFFSET)
            }
        }
        Twin.load(1)
    } else {
        const OFFSET: u32 = 200;
        struct Twin;
        impl Load for Twin {
            #[memo(handle = none, skip(self))]
            fn load(&self, key: u32) -> u32 {
                counted(key + OFFSET)
            }
        }
        Twin.load(1)
    }
}

fn provided(which: u64) -> u32 {
    if which == 0 {
        const OFFSET: u32 = 100;
        trait Provides {
            #[memo(handle = none, skip(self))]
            fn provided(&self, key: u32) -> u32 {
                counted(key + OFFSET)
            }
        }
        impl Provides for u8 {}
        0_u8.provided(1)
    } else {
        const OFFSET: u32 = 200;
        trait Provides {
            #[memo(handle = none, skip(self))]
            fn provided(&self, key: u32) -> u32 {
                counted(key + OFFSET)
            }
        }
        impl Provides for u8 {}
        0_u8.provided(1)
    }
}

/// A type that is in no key and no value.
trait Offset: 'static {
    const OFFSET: u32;
}

#[memo]
fn marked<T: Offset>(key: u32) -> u32 {
    counted(key + T::OFFSET)
}

struct Marked<T>(PhantomData<T>);

impl<T: Offset> Marked<T> {
    #[memo(skip(self))]
    fn method(&self, key: u32) -> u32 {
        counted(key + T::OFFSET)
    }

    #[memo]
    fn associated(key: u32) -> u32 {
        counted(key + T::OFFSET)
    }
}

trait LoadBy<T> {
    fn load_by(&self, key: u32) -> u32;
}

impl<T: Offset> LoadBy<T> for u8 {
    #[memo(handle = none, skip(self))]
    fn load_by(&self, key: u32) -> u32 {
        counted(key + T::OFFSET)
    }
}

trait LoadAll {
    fn load_all(key: u32) -> u32;
}

impl<T: Offset> LoadAll for T {
    #[memo(handle = none)]
    fn load_all(key: u32) -> u32 {
        counted(key + T::OFFSET)
    }
}

/// Calls with one of two types of one name.
macro_rules! with_twins {
    ($which:expr, $($number:literal: $offset:literal),* => $call:expr) => {
        match $which {
            $($number => {
                struct Twin;
                impl Offset for Twin {
                    const OFFSET: u32 = $offset;
                }
                $call(PhantomData::<Twin>)
            })*
            _ => unreachable!(),
        }
    };
}

fn for_a_type(which: u64) -> u32 {
    fn call<T: Offset>(_: PhantomData<T>) -> u32 {
        marked::<T>(1)
    }
    with_twins!(which, 0: 100, 1: 200 => call)
}

fn of_a_generic_type(which: u64) -> u32 {
    fn call<T: Offset>(mark: PhantomData<T>) -> u32 {
        Marked::<T>(mark).method(1)
    }
    with_twins!(which, 0: 100, 1: 200 => call)
}

fn associated_of_a_generic_type(which: u64) -> u32 {
    fn call<T: Offset>(_: PhantomData<T>) -> u32 {
        Marked::<T>::associated(1)
    }
    with_twins!(which, 0: 100, 1: 200 => call)
}

fn of_a_generic_trait(which: u64) -> u32 {
    fn call<T: Offset>(_: PhantomData<T>) -> u32 {
        LoadBy::<T>::load_by(&0_u8, 1)
    }
    with_twins!(which, 0: 100, 1: 200 => call)
}

fn of_all_types(which: u64) -> u32 {
    fn call<T: Offset>(_: PhantomData<T>) -> u32 {
        <T as LoadAll>::load_all(1)
    }
    with_twins!(which, 0: 100, 1: 200 => call)
}

#[memo(skip(step))]
fn stepped<F: Fn(u32) -> u32>(step: F, key: u32) -> u32 {
    counted(step(key))
}

fn for_a_function(which: u64) -> u32 {
    if which == 0 {
        fn step(key: u32) -> u32 {
            key + 100
        }
        stepped(step, 1)
    } else {
        fn step(key: u32) -> u32 {
            key + 200
        }
        stepped(step, 1)
    }
}

impl Offset for fn(&'static u8) {
    const OFFSET: u32 = 100;
}

/// The compiler prints both types alike, apart from a lifetime that it prints differently from version to version.
#[expect(coherence_leak_check, reason = "the two types are the point")]
impl Offset for for<'a> fn(&'a u8) {
    const OFFSET: u32 = 200;
}

fn for_a_lifetime(which: u64) -> u32 {
    if which == 0 { marked::<fn(&'static u8)>(1) } else { marked::<for<'a> fn(&'a u8)>(1) }
}
