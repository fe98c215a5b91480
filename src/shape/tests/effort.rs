//! The work that a type can cause is bounded: it is counted, not timed.

use super::*;

/// Places reached in tracing `V`, and samples made.
fn effort<V: DeserializeOwned>() -> (usize, usize) {
    let mut state = TraceState::new(FormatKind::Positional);
    let _ = search::trace::<V>(&mut state);
    state.effort()
}

/// An enum of thirty variants, each around one part.
macro_rules! thirty {
    ($name:ident [$($parameter:tt)*] of $part:ty: $($variant:ident)*) => {
        #[derive(Deserialize)]
        #[allow(dead_code)]
        enum $name<$($parameter)*> { $($variant($part)),* }
    };
    ($name:ident [$($parameter:tt)*] of $part:ty) => {
        thirty!($name [$($parameter)*] of $part:
            A B C D E F G H I J K L M N O P Q R S T U V W X Y Z Aa Bb Cc Dd);
    };
}

thirty!(Leaf [const NUMBER: usize] of u16);
thirty!(Outer [] of Middle);
thirty!(Middle [] of Inner);
thirty!(Inner [] of Vec<Outer>);

#[test]
fn thirty_enums_of_thirty_variants_are_explored_side_by_side() {
    type Six<const N: usize, const M: usize, const O: usize> =
        (Leaf<N>, Leaf<M>, Leaf<O>, Option<Leaf<1>>, Vec<Leaf<2>>, Result<Leaf<3>, Leaf<4>>);
    type Thirty = (Six<5, 6, 7>, Six<8, 9, 10>, Six<11, 12, 13>, Six<14, 15, 16>, Six<17, 18, 19>);
    let (places, samples) = effort::<Thirty>();
    assert!(samples <= 61 && places < 10_000, "{places} places in {samples} samples");
}

#[test]
fn nested_enums_cost_their_sum_and_not_their_product() {
    let (places, samples) = effort::<Outer>();
    assert!(samples <= 100 && places < 2_000, "{places} places in {samples} samples");
}

/// Refers to itself in every variant but the last.
#[derive(Deserialize)]
#[allow(dead_code)]
enum Wide {
    A(Box<Wide>, Box<Wide>),
    B(Box<Wide>, Box<Wide>),
    C(Box<Wide>, Box<Wide>),
    D(Box<Wide>, Box<Wide>),
    E(Box<Wide>, Box<Wide>),
    F(Box<Wide>, Box<Wide>),
    G(Box<Wide>, Box<Wide>, Email),
    H,
}

#[test]
fn a_recursion_that_ends_in_the_last_variant_is_not_walked_deeply() {
    let (places, samples) = effort::<Wide>();
    assert!(samples < 100 && places < 1_000, "{places} places in {samples} samples");
    assert!(describe::<Wide>().unwrap().ends_with("G(^Wide#0,^Wide#0,Email=str,),H}"));
}

struct Long<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Long<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> de::Visitor<'de> for Visitor<T, N> {
            type Value = Long<T, N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a long array")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                for at in 0..N {
                    seq.next_element::<T>()?.ok_or_else(|| de::Error::invalid_length(at, &self))?;
                }
                Ok(Long(PhantomData))
            }
        }
        deserializer.deserialize_tuple(N, Visitor(PhantomData))
    }
}

#[test]
fn the_elements_of_a_long_array_share_a_node() {
    let text = describe::<(Long<f64, 10_000>, Long<Email, 1_000>, u8)>().unwrap();
    assert!(
        text.starts_with("(Long::Visitor<f64,10000>=(f64,")
            && text.contains("f64*9985,)")
            && text.contains("Email=str*985,),u8,)")
    );
    assert!(text.len() < 500, "{text}");
}

#[test]
fn a_type_that_doubles_and_doubles_is_given_up() {
    type Four<T> = Pair<Box<Pair<Box<Pair<Box<Pair<Box<T>>>>>>>>;
    assert!(describe::<Four<Four<u8>>>().is_ok());
    let (places, samples) = effort::<Four<Four<Four<Four<Four<u8>>>>>>();
    assert!(places <= 1 << 17 && samples < 10, "{places} places in {samples} samples");
    assert!(
        refused::<Four<Four<Four<Four<Four<u8>>>>>>(ErrorKind::UntraceableType).contains("too many parts")
    );
}

/// Reads a tuple in a tuple, each one longer than the one around it.
struct Bottomless(usize);

impl<'de> Deserialize<'de> for Bottomless {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::DeserializeSeed::deserialize(Self(1), deserializer)
    }
}

impl<'de> de::DeserializeSeed<'de> for Bottomless {
    type Value = Self;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(self.0, self)
    }
}

impl<'de> de::Visitor<'de> for Bottomless {
    type Value = Self;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a tuple of {}", self.0)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        seq.next_element_seed(Self(self.0 + 1)).map(|_| self)
    }
}

#[test]
fn a_type_that_is_nested_too_deeply_is_given_up() {
    let (_, samples) = effort::<Bottomless>();
    assert!(samples < 10, "{samples} samples");
    assert!(refused::<Bottomless>(ErrorKind::UntraceableType).contains("too deeply"));
}

#[test]
fn a_part_that_refuses_everything_costs_a_bounded_number_of_samples() {
    type Ten = (String, String, String, String, String, String, String, String, String, String);
    let (_, samples) = effort::<((Ten, Ten, Ten, Ten, Ten, Ten, Ten, Ten), Unheard, u8)>();
    assert!(samples <= 2_100, "{samples} samples");
}
