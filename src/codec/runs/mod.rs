//! Vectors of numbers that have the same bytes in postcard and in memory, detected behind serde's generic interface.
//!
//! Serde has no runs of numbers: a `Vec<f64>` writes and reads numbers one by one, each by a few calls. But types can be
//! compared (`typeid` does this for types with lifetimes too). If serde's own visitor of a `Vec<f64>`, and no other, reads a
//! sequence, its result is known, and can be made by one copy.
//!
//! Bytes and floats have a fixed size in postcard. Other integers do not. [`packed`](crate::packed) writes them as a run,
//! and its visitor is recognized too.

mod copy;
mod number;
mod visitor;

use std::{any::TypeId, mem::ManuallyDrop, sync::OnceLock};

use ::postcard::Serializer;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Visitor, value::Error},
    forward_to_deserialize_any,
};

pub use self::number::Number;
pub(crate) use self::{number::little_endian, visitor::Numbers};
use super::{
    verified_reader::{Unreadable, VerifiedReader},
    write_buffer::WriteBuffer,
};

/// Makes a value from the next elements or bytes, whose number is given.
type Make<T> = fn(&mut VerifiedReader<'_, '_>, usize) -> Result<T, Unreadable>;

/// Whether `A` is `T`, except for lifetimes.
fn is<A: ?Sized, T: ?Sized + 'static>() -> bool {
    typeid::of::<A>() == TypeId::of::<T>()
}

macro_rules! first_of {
    ($($number:ident)* => $when:ident, $made:ident) => {$(
        if is::<V::Value, Vec<$number>>() && $when!($number) {
            return Some($made::<$number, V::Value>);
        }
    )*};
}

/// Makes the value that `V` would make from a sequence, if that is a plain vector of bytes or floats.
#[inline]
pub(super) fn vector<'de, V: Visitor<'de>>() -> Option<Make<V::Value>> {
    macro_rules! is_serdes_own {
        ($number:ident) => {{
            static VISITOR: OnceLock<Option<TypeId>> = OnceLock::new();
            *VISITOR.get_or_init(visitor_of::<Vec<$number>>) == Some(typeid::of::<V>())
        }};
    }
    first_of!(u8 i8 f32 f64 => is_serdes_own, of_elements);
    None
}

/// Makes the value that `V` would make from bytes, if `V` is the visitor of a packed vector.
#[inline]
pub(super) fn packed<'de, V: Visitor<'de>>() -> Option<Make<V::Value>> {
    macro_rules! is_our_own {
        ($number:ident) => {
            is::<V, Numbers<$number>>()
        };
    }
    first_of!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 => is_our_own, of_bytes);
    None
}

fn of_elements<T: Number, V>(input: &mut VerifiedReader<'_, '_>, count: usize) -> Result<V, Unreadable> {
    let bytes = count.checked_mul(size_of::<T>());
    of_bytes::<T, V>(input, bytes.ok_or_else(|| Unreadable::custom("a vector is longer than its bytes"))?)
}

fn of_bytes<T: Number, V>(input: &mut VerifiedReader<'_, '_>, bytes: usize) -> Result<V, Unreadable> {
    if !bytes.is_multiple_of(size_of::<T>()) {
        return Err(Unreadable::custom(
            "the length of a packed vector is no multiple of the size of its numbers",
        ));
    }
    let run = input.run(bytes).ok_or_else(|| Unreadable::custom("a vector is longer than its bytes"))?;
    let numbers: Option<Vec<T>> = copy::numbers(&run);
    numbers.map(cast).ok_or_else(|| Unreadable::custom("the numbers are damaged"))
}

/// The same value under another name of its type.
///
/// # Panics
///
/// If `V` is another type than `T`.
fn cast<T: 'static, V>(value: T) -> V {
    assert!(is::<V, T>(), "asked before");
    // SAFETY: `V` and `T` are the same type but for lifetimes, and `T` has none. The value is moved: the original is
    // not dropped.
    #[expect(unsafe_code, reason = "a cast that the compiler cannot see")]
    unsafe {
        std::mem::transmute_copy(&ManuallyDrop::new(value))
    }
}

/// The visitor by which `T` reads a sequence. `None` if `T` reads something else.
fn visitor_of<'de, T: Deserialize<'de>>() -> Option<TypeId> {
    struct Probe<'a>(&'a mut Option<TypeId>);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = Error;

        fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            *self.0 = Some(typeid::of::<V>());
            Err(Error::custom("there is nothing here"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("there is nothing here"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    let mut found = None;
    let _ = T::deserialize(Probe(&mut found));
    found
}

/// Number of elements and bytes of a sequence, if it is a vector or slice of bytes or floats.
#[inline]
pub(super) fn bytes_of<I>(sequence: &I) -> Option<(usize, &[u8])> {
    macro_rules! vectors_and_slices {
        ($($number:ident)*) => {$(
            if is::<I, &Vec<$number>>() {
                // SAFETY: `I` is a reference to such a vector, that lives longer than the reference to it.
                #[expect(unsafe_code, reason = "a cast that the compiler cannot see")]
                let numbers = unsafe { &**std::ptr::from_ref(sequence).cast::<&Vec<$number>>() };
                return Some((numbers.len(), bytemuck::cast_slice(numbers)));
            }
            if is::<I, &[$number]>() {
                // SAFETY: likewise a reference to such a slice.
                #[expect(unsafe_code, reason = "a cast that the compiler cannot see")]
                let numbers = unsafe { *std::ptr::from_ref(sequence).cast::<&[$number]>() };
                return Some((numbers.len(), bytemuck::cast_slice(numbers)));
            }
        )*};
    }
    if cfg!(target_endian = "little") {
        vectors_and_slices!(u8 i8 f32 f64);
    }
    None
}

/// Writes the elements of a sequence as bytes, if its serializer is postcard's with a [`WriteBuffer`]. Returns whether the
/// buffer took them, or `None` for another serializer.
pub(super) fn put<Q>(sequence: &mut Q, bytes: &[u8]) -> Option<bool> {
    if !is::<Q, &mut Serializer<WriteBuffer<'static>>>() {
        return None;
    }
    // SAFETY: `Q` is a reference to such a serializer but for lifetimes, of which nothing leaves this function.
    #[expect(unsafe_code, reason = "a cast that the compiler cannot see")]
    let serializer =
        unsafe { &mut **std::ptr::from_mut(sequence).cast::<&mut Serializer<WriteBuffer<'_>>>() };
    Some(serializer.output.put(bytes))
}

#[cfg(test)]
mod tests {
    use std::{fmt, marker::PhantomData, sync::Arc};

    use serde::{Serialize, Serializer as _, de::SeqAccess};

    use super::*;
    use crate::codec::{
        Postcard,
        testing::{encoded, round_trip},
    };

    /// Which visitors are known, by those that a type is read with.
    fn is_known<'de, T: Deserialize<'de>>() -> bool {
        struct Asked<'a>(&'a mut bool);

        impl<'de> Deserializer<'de> for Asked<'_> {
            type Error = Error;

            fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
                *self.0 = vector::<V>().is_some();
                Err(Error::custom("it was only asked"))
            }

            fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
                Err(Error::custom("there is nothing here"))
            }

            forward_to_deserialize_any! {
                bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
                unit_struct newtype_struct tuple tuple_struct map struct enum identifier ignored_any
            }
        }

        let mut known = false;
        let _ = T::deserialize(Asked(&mut known));
        known
    }

    #[test]
    fn vectors_of_bytes_and_floats_are_known_and_no_others() {
        assert!(is_known::<Vec<u8>>() && is_known::<Vec<i8>>() && is_known::<Vec<f32>>());
        assert!(is_known::<Vec<f64>>() && is_known::<Box<[f64]>>() && is_known::<Arc<[f64]>>());
        assert!(!is_known::<Vec<bool>>() && !is_known::<Vec<u64>>() && !is_known::<Vec<Vec<f64>>>());
        assert!(!is_known::<std::collections::VecDeque<f64>>());
    }

    /// Makes a vector, too, and another one.
    #[derive(Debug, PartialEq)]
    struct Backwards(Vec<f64>);

    impl Serialize for Backwards {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.0.iter().rev())
        }
    }

    impl<'de> Deserialize<'de> for Backwards {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Reverse<'a>(PhantomData<&'a ()>);

            impl<'de> Visitor<'de> for Reverse<'_> {
                type Value = Vec<f64>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("numbers")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<f64>, A::Error> {
                    let mut numbers = Vec::new();
                    while let Some(number) = elements.next_element()? {
                        numbers.insert(0, number);
                    }
                    Ok(numbers)
                }
            }

            deserializer.deserialize_seq(Reverse(PhantomData)).map(Self)
        }
    }

    #[test]
    fn another_visitor_that_makes_a_vector_makes_it_itself() {
        assert!(!is_known::<Backwards>());
        let value = Backwards(vec![1.0, 2.0, 3.0]);
        assert_eq!(round_trip(&Postcard, &value).unwrap(), value);
        assert_eq!(encoded(&Postcard, &value).unwrap(), encoded(&Postcard, &vec![3.0, 2.0, 1.0]).unwrap());
    }

    #[test]
    fn a_run_has_the_bytes_that_postcard_writes_one_by_one() {
        let floats: Vec<f64> = (0..1_000).map(f64::from).chain([f64::NAN, -0.0]).collect();
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(encoded(&Postcard, &floats).unwrap(), postcard::to_stdvec(&floats).unwrap());
        assert_eq!(encoded(&Postcard, &bytes).unwrap(), postcard::to_stdvec(&bytes).unwrap());
        let nested = (1_u8, vec![vec![1.5_f32; 3], vec![]], Arc::<[i8]>::from([-1, 2]), Some(bytes));
        assert_eq!(encoded(&Postcard, &nested).unwrap(), postcard::to_stdvec(&nested).unwrap());
    }

    #[test]
    fn a_sequence_of_another_serializer_is_none_of_ours() {
        let mut json = serde_json::Serializer::new(Vec::new());
        let mut sequence = json.serialize_seq(Some(1)).unwrap();
        assert_eq!(put(&mut sequence, b"1"), None);
    }

    #[test]
    fn a_damaged_float_is_no_matter_and_a_missing_one_is() {
        let mut bytes = encoded(&Postcard, &vec![1.0_f64, 2.0]).unwrap();
        let read = |bytes: &[u8]| {
            let payload = bytes.to_vec().into();
            crate::codec::Codec::<Vec<f64>>::decode(&Postcard, &payload)
        };
        assert_eq!(read(&bytes).unwrap(), [1.0, 2.0]);
        bytes.pop();
        assert!(read(&bytes).is_err());
    }
}
