//! Which numbers can be packed, and how they lie in bytes.

use std::borrow::Cow;

use bytemuck::Pod;
use serde::{Serialize, de::DeserializeOwned};

/// A number of a fixed size: an integer from 8 to 128 bits, or a float. Not to be implemented elsewhere.
#[expect(private_bounds, reason = "sealed")]
pub trait Number: Plain {}

/// What a [`Number`] is made of.
pub(crate) trait Plain: Pod + Serialize + DeserializeOwned + Send + Sync {
    /// Part of the shape: `Vec<u64>` and `Vec<f64>` are the same bytes, and not the same.
    const NAME: &'static str;

    /// From or to the order of bytes that is stored.
    fn swapped(self) -> Self;
}

macro_rules! numbers {
    ($($number:ident),*) => {$(
        impl Number for $number {}

        impl Plain for $number {
            const NAME: &'static str = concat!("packed ", stringify!($number));

            fn swapped(self) -> Self {
                Self::from_le_bytes(self.to_ne_bytes())
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

/// The bytes as they are stored; a copy only where the machine is not little-endian.
pub(crate) fn little_endian<T: Number>(numbers: &[T]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return Cow::Borrowed(bytemuck::cast_slice(numbers));
    }
    let swapped: Vec<T> = numbers.iter().map(|number| number.swapped()).collect();
    Cow::Owned(bytemuck::cast_slice(&swapped).to_vec())
}

/// Makes numbers of this machine of those that were copied from a file.
pub(super) fn from_little_endian<T: Number>(numbers: &mut [T]) {
    if cfg!(target_endian = "big") {
        for number in numbers {
            *number = number.swapped();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_little_endian() {
        assert_eq!(*little_endian(&[0x0102_0304_u32, 5]), [4, 3, 2, 1, 5, 0, 0, 0]);
        assert_eq!(*little_endian(&[1.5_f64]), 1.5_f64.to_le_bytes());
    }

    #[test]
    fn swapping_twice_changes_nothing_on_any_machine() {
        assert_eq!(0x0102_u16.swapped().swapped(), 0x0102);
        assert_eq!((-1.25_f32).swapped().swapped().to_bits(), (-1.25_f32).to_bits());
        assert_eq!(7_i128.swapped(), 7_i128.to_le());
    }
}
