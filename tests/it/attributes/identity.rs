use std::{fmt, sync::LazyLock};

use memolith::{Memo, Store, code, memo};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Runs, store};

fn of_rides(runs: &Runs) -> (String, String) {
    #[memo(store = store())]
    fn load(key: u8, _runs: &Runs) -> String {
        _runs.count();
        format!("rides {key}")
    }
    (load(1, runs), load_memo().name().to_owned())
}

fn of_flights(runs: &Runs) -> (String, String) {
    #[memo(store = store())]
    fn load(key: u8, _runs: &Runs) -> String {
        _runs.count();
        format!("flights {key}")
    }
    (load(1, runs), load_memo().name().to_owned())
}

#[test]
fn functions_of_one_name_within_two_others_are_two() {
    let runs = Runs::default();
    let ((rides, first), (flights, second)) = (of_rides(&runs), of_flights(&runs));
    assert_eq!((rides.as_str(), flights.as_str(), runs.take()), ("rides 1", "flights 1", 2));
    assert!(first.ends_with("of_rides::load") && second.ends_with("of_flights::load"), "{first}, {second}");
}

struct Rides;
struct Flights;

impl Rides {
    #[memo(store = store())]
    fn load(key: u8) -> String {
        format!("rides {key}")
    }
}

impl Flights {
    #[memo(store = store())]
    fn load(key: u8) -> String {
        format!("flights {key}")
    }
}

#[test]
fn associated_functions_of_two_types_are_two() {
    assert_eq!((Rides::load(1).as_str(), Flights::load(1).as_str()), ("rides 1", "flights 1"));
    assert_eq!((Rides::load(1).as_str(), Flights::load(1).as_str()), ("rides 1", "flights 1"));
    assert_ne!(Rides::load_memo().name(), Flights::load_memo().name());
}

#[memo(store = store())]
fn described<T: fmt::Display + Default + Serialize, const N: usize>(key: u8, _runs: &Runs) -> String {
    _runs.count();
    format!("{key} {N} {}", T::default())
}

#[test]
fn instances_of_a_generic_function_do_not_share() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!(described::<u8, 1>(7, &runs), "7 1 0");
        assert_eq!(described::<String, 1>(7, &runs), "7 1 ");
        assert_eq!(described::<u8, 2>(7, &runs), "7 2 0");
        assert_eq!(described::<bool, 2>(7, &runs), "7 2 false");
    }
    assert_eq!(runs.take(), 4);
    assert_eq!(described_memo::<u8, 1>().len().unwrap(), 1);
    described_memo::<u8, 1>().clear().unwrap();
    described::<u8, 1>(7, &runs);
    described::<u8, 2>(7, &runs);
    assert_eq!(runs.take(), 1, "each instance has a handle of its own");
}

struct Named<T>(T);

impl<T: fmt::Debug + Default + Serialize + 'static> Named<T> {
    #[memo(store = store(), name = "a name of its own")]
    fn shown(_runs: &Runs) -> String {
        _runs.count();
        format!("{:?}", T::default())
    }

    #[memo(store = store(), key: &'static T = &self.0)]
    fn kept(&'static self, _runs: &Runs) -> String {
        _runs.count();
        format!("{:?}", self.0)
    }
}

static NINE: Named<u8> = Named(9);

#[test]
fn instances_of_a_generic_impl_do_not_share_even_under_a_chosen_name() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!(
            (Named::<u8>::shown(&runs).as_str(), Named::<String>::shown(&runs).as_str()),
            ("0", "\"\"")
        );
    }
    assert_eq!(runs.take(), 2);
    assert_eq!(Named::<u8>::shown_memo().name(), "a name of its own<u8>");
    assert_eq!((NINE.kept(&runs).as_str(), NINE.kept(&runs).as_str(), runs.take()), ("9", "9", 1));
}

trait Load {
    fn load(key: u8, runs: &Runs) -> String;
}

impl Load for Rides {
    #[memo(store = store(), handle = none, skip(runs))]
    fn load(key: u8, runs: &Runs) -> String {
        runs.count();
        format!("trait rides {key}")
    }
}

impl Load for Flights {
    #[memo(store = store(), handle = none, skip(runs))]
    fn load(key: u8, runs: &Runs) -> String {
        runs.count();
        format!("trait flights {key}")
    }
}

#[test]
fn two_impls_of_one_trait_do_not_share() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!(<Rides as Load>::load(1, &runs), "trait rides 1");
        assert_eq!(<Flights as Load>::load(1, &runs), "trait flights 1");
    }
    assert_eq!(runs.take(), 2);
}

/// A refused function shows in the failures of the store, and so of every memo in it.
static REFUSING: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

/// Two functions of one path and one text, and their handles.
fn twins(runs: &Runs) -> [(u32, &'static Memo<u8, u32>); 2] {
    let one = {
        const OFFSET: u32 = 100;
        #[memo(store = store())]
        fn twin(key: u8, _runs: &Runs) -> u32 {
            _runs.count();
            u32::from(key) + OFFSET
        }
        (twin(1, runs), twin_memo())
    };
    let two = {
        const OFFSET: u32 = 200;
        #[memo(store = store())]
        fn twin(key: u8, _runs: &Runs) -> u32 {
            _runs.count();
            u32::from(key) + OFFSET
        }
        (twin(1, runs), twin_memo())
    };
    [one, two]
}

/// `tests/crash/twins.rs` has the runs of which each uses one function only.
#[test]
fn two_functions_of_one_name_in_two_blocks_have_a_memo_each() {
    let runs = Runs::default();
    for computed in [2, 0] {
        runs.take();
        let [(one, first), (two, second)] = twins(&runs);
        assert_eq!((one, two, runs.take()), (101, 201, computed));
        assert_eq!((first.len().unwrap(), second.len().unwrap()), (1, 1));
        assert_ne!(first.name(), second.name());
    }
    let [(_, first), (_, second)] = twins(&runs);
    second.clear().unwrap();
    assert_eq!((first.len().unwrap(), second.len().unwrap()), (1, 0), "each handle is that of its function");
    twins(&runs);
    assert_eq!(runs.take(), 1);
}

/// The name of a method in a module is its own: a twin in another module changes nothing about it.
#[test]
fn functions_of_one_text_in_modules_and_types_are_called_by_their_paths() {
    mod of_rides {
        #[memolith::memo(store = super::store())]
        pub(super) fn alike(key: u8) -> u8 {
            key
        }
    }
    let (runs, names) = (Runs::default(), [Rides::alike_memo().name(), Flights::alike_memo().name()]);
    assert!(names[0].ends_with("identity::Rides::alike") && names[1].ends_with("identity::Flights::alike"));
    assert_eq!((Rides.alike(&runs), Flights.alike(&runs), runs.take()), (1, 1, 2));
    assert_eq!(of_rides::alike(1), 1);
}

macro_rules! alike {
    ($($kind:ident),*) => {
        $(impl $kind {
            #[memo(store = store(), key: u8 = 1)]
            fn alike(&self, _runs: &Runs) -> u32 {
                _runs.count();
                1
            }
        })*
    };
}
alike!(Rides, Flights);

#[memo(store = store(), name = "one name for two")]
fn one_of_a_name(key: u8) -> u32 {
    u32::from(key) + 100
}

#[memo(store = &*REFUSING, name = "one name for two")]
fn another_of_a_name(key: u8) -> u32 {
    u32::from(key) + 200
}

#[test]
fn who_has_the_name_of_another_computes_and_tells() {
    assert_eq!((one_of_a_name(1), another_of_a_name(1), another_of_a_name(1)), (101, 201, 201));
    let failure = REFUSING.last_failure().unwrap();
    assert!(failure.error.is_config() && failure.to_string().contains("one name for two"), "{failure}");
}

static ALIKE: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

trait Marks: 'static {
    const MARK: u32;
}

#[memo(store = &*ALIKE)]
fn marked<T: Marks>(key: u8, _runs: &Runs) -> u32 {
    _runs.count();
    u32::from(key) + T::MARK
}

#[test]
fn of_two_types_of_one_name_the_second_computes_and_tells() {
    let runs = Runs::default();
    let first = {
        struct Twin;
        impl Marks for Twin {
            const MARK: u32 = 100;
        }
        [marked::<Twin>(1, &runs), marked::<Twin>(1, &runs), marked_memo::<Twin>().len().unwrap() as u32]
    };
    assert_eq!((first, runs.take()), ([101, 101, 1], 1));
    assert!(ALIKE.last_failure().is_none());
    let second = {
        struct Twin;
        impl Marks for Twin {
            const MARK: u32 = 200;
        }
        [marked::<Twin>(1, &runs), marked::<Twin>(1, &runs), marked_memo::<Twin>().len().unwrap() as u32]
    };
    assert_eq!((second, runs.take()), ([201, 201, 0], 2));
    let failure = ALIKE.last_failure().unwrap();
    assert!(failure.error.is_config() && failure.to_string().contains("Twin"), "{failure}");
}

static HIDDEN: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

struct Hidden<T>(T);

/// The attribute sees neither the `impl` nor a `self`.
macro_rules! in_hidden {
    ($($function:tt)*) => {
        impl<T: Marks> Hidden<T> {
            $($function)*
        }
    };
}
in_hidden! {
    #[memo(store = &*HIDDEN)]
    fn unseen(key: u8, _runs: &Runs) -> u32 {
        _runs.count();
        u32::from(key) + T::MARK
    }

    #[memo(store = &*HIDDEN, version = 1)]
    fn vouched(key: u8, _runs: &Runs) -> u32 {
        _runs.count();
        u32::from(key) + T::MARK
    }
}

impl Marks for u8 {
    const MARK: u32 = 10;
}

impl Marks for Rides {
    const MARK: u32 = 20;
}

#[test]
fn an_instance_whose_types_are_hidden_computes_and_tells_unless_its_version_vouches_for_them() {
    let runs = Runs::default();
    for _ in 0..2 {
        assert_eq!((Hidden::<u8>::unseen(1, &runs), Hidden::<Rides>::vouched(1, &runs)), (11, 21));
    }
    assert!(runs.take() == 2 && HIDDEN.last_failure().is_none());
    for _ in 0..2 {
        assert_eq!(Hidden::<Rides>::unseen(1, &runs), 21);
    }
    assert_eq!((runs.take(), Hidden::<Rides>::unseen_memo().len().unwrap()), (2, 0));
    let failure = HIDDEN.last_failure().unwrap();
    assert!(failure.error.is_config() && failure.to_string().contains("#[memo(version = n)]"), "{failure}");
}

static CLOSURES: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());

#[memo(store = &*CLOSURES, skip(step))]
fn stepped<F: Fn(u8) -> u8>(step: F, from: u8, _runs: &Runs) -> u8 {
    _runs.count();
    step(from)
}

fn doubled(number: u8) -> u8 {
    number * 2
}

/// A second closure in the same run would be noticed. In another run it may be the first one.
#[test]
fn an_instance_for_a_closure_computes_and_tells() {
    let runs = Runs::default();
    assert_eq!((stepped(doubled, 3, &runs), stepped(doubled, 3, &runs), runs.take()), (6, 6, 1));
    assert!(CLOSURES.last_failure().is_none());
    for _ in 0..2 {
        assert_eq!(stepped(|from| from + 1, 3, &runs), 4);
    }
    assert_eq!(runs.take(), 2);
    let failure = CLOSURES.last_failure().unwrap();
    assert!(failure.error.is_config() && failure.to_string().contains("&dyn Fn"), "{failure}");
}

/// The names of generated items collide with no name that a user would choose.
#[test]
fn what_stands_beside_a_function_takes_no_name_that_one_would_choose() {
    #[memo(store = store())]
    fn status(of: u8) -> u8 {
        of + status_code()
    }
    fn status_code() -> u8 {
        const CELLS: u8 = 1;
        CELLS
    }
    const CELLS: u64 = 9;
    #[memo(store = store(), max_entries = CELLS)]
    fn within(of: u8) -> u8 {
        of
    }
    assert_eq!((status(1), within(2)), (2, 2));
}

#[code]
fn cleaned(text: &str) -> String {
    text.trim().to_owned()
}

mod helpers {
    pub(super) struct Parser;

    impl Parser {
        #[memolith::code(depends(super::cleaned))]
        pub(super) fn parse(text: &str) -> usize {
            super::cleaned(text).len()
        }
    }
}

#[memo(store = store())]
fn alone(text: &str) -> usize {
    helpers::Parser::parse(text)
}

#[memo(store = store(), depends(helpers::Parser::parse, cleaned), name = "depends")]
fn dependent(text: &str) -> usize {
    helpers::Parser::parse(text)
}

#[memo(store = store(), depends(dependent))]
fn outer(text: &str) -> usize {
    dependent(text)
}

/// Whether the memo of that name is open under this version. Opening it under another version is refused.
fn has_version(name: &str, version: u64) -> bool {
    let again = Memo::<str, usize>::builder(name).version(version).open(store());
    again.is_ok()
}

#[test]
fn what_a_function_depends_on_is_part_of_its_version() {
    assert_eq!((alone(" a "), dependent(" a "), outer(" a ")), (1, 1, 1));
    // Both functions have the same text, and so the same hash of their own. Their dependencies differ.
    assert_ne!(memolith_code_of_alone(), memolith_code_of_dependent());
    assert!(
        has_version(alone_memo().name(), memolith_code_of_alone().hash())
            && !has_version(alone_memo().name(), memolith_code_of_dependent().hash())
    );
    assert!(
        has_version("depends", memolith_code_of_dependent().hash())
            && has_version(outer_memo().name(), memolith_code_of_outer().hash())
    );
    assert_ne!(helpers::Parser::memolith_code_of_parse(), memolith_code_of_cleaned());
}

#[memo(store = store(), skip(second), name = "by the first")]
fn by_first(first: u32, second: u32) -> u32 {
    first + second
}

#[memo(store = store(), skip(first), ttl = "1h")]
fn by_second(first: u32, second: u32) -> u32 {
    first + second
}

#[memo(store = store(), skip(first), ttl = "2h", max_entries = 5)]
fn by_second_for_longer(first: u32, second: u32) -> u32 {
    first + second
}

#[test]
fn another_choice_of_the_key_is_another_version_and_another_option_is_not() {
    assert_ne!(memolith_code_of_by_first(), memolith_code_of_by_second(), "3 would be found for another 3");
    assert_eq!(memolith_code_of_by_second(), memolith_code_of_by_second_for_longer());
    assert_eq!((by_first(3, 1), by_first(3, 2), by_second(1, 3), by_second(2, 3)), (4, 4, 4, 4));
    assert_eq!(by_second_for_longer(1, 3), 4);
}

mod before {
    #[memolith::code]
    pub(super) fn helper(number: u32) -> u32 {
        number + 1
    }
}

mod after {
    #[memolith::code]
    pub(super) fn helper(number: u32) -> u32 {
        number + 2
    }
}

mod reworded {
    /// Adds one.
    #[memolith::code]
    #[inline]
    pub(super) fn helper(number: u32, // to add to
    ) -> u32 {
        // A comment.
        number + 1
    }
}

#[test]
fn a_changed_body_is_another_version_and_a_comment_is_not() {
    assert_ne!(before::memolith_code_of_helper(), after::memolith_code_of_helper());
    assert_eq!(before::memolith_code_of_helper(), reworded::memolith_code_of_helper());
    assert_eq!((before::helper(1), after::helper(1), reworded::helper(1)), (2, 3, 2));
}

#[memo(store = store(), version = 7, name = "versioned")]
fn versioned(text: &str) -> usize {
    text.len()
}

#[test]
fn a_version_takes_the_place_of_the_hash() {
    assert_eq!(versioned("abc"), 3);
    assert!(has_version("versioned", 7) && !has_version("versioned", memolith_code_of_versioned().hash()));
}

/// It refuses every sample, so its shape is unknown.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Peculiar(u64);

impl<'de> Deserialize<'de> for Peculiar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            odd @ 918_273_645 => Ok(Self(odd)),
            _ => Err(D::Error::custom("only one number will do")),
        }
    }
}

#[memo(store = &*REFUSING)]
fn peculiar(_runs: &Runs) -> (Peculiar, u8) {
    _runs.count();
    (Peculiar(918_273_645), 1)
}

#[memo(store = store(), version = 3)]
fn vouched(_runs: &Runs) -> (Peculiar, u8) {
    _runs.count();
    (Peculiar(918_273_645), 1)
}

/// The hash covers the function. It stays equal when the fields of the type change their places.
#[test]
fn the_hash_vouches_for_no_type_whose_shape_cannot_be_told() {
    assert!(Memo::<(), (Peculiar, u8)>::builder("peculiar").open(store()).unwrap_err().is_unsupported_type());
    let runs = Runs::default();
    let value = (Peculiar(918_273_645), 1);
    assert_eq!((peculiar(&runs), peculiar(&runs)), (value.clone(), value));
    assert_eq!((runs.take(), peculiar_memo().len().unwrap()), (2, 0));
    let failure = peculiar_memo().last_failure().unwrap();
    assert!(failure.error.is_unsupported_type(), "{failure}");
    for word in ["identity::peculiar", "Peculiar", "only one number will do", "#[memo(version = n)]"] {
        assert!(failure.to_string().contains(word), "{word}: {failure}");
    }
}

#[test]
fn a_version_that_the_user_wrote_vouches() {
    let runs = Runs::default();
    assert_eq!((vouched(&runs), runs.take()), (vouched(&runs), 1));
    assert!(vouched_memo().last_failure().is_none());
}
