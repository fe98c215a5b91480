//! The numbers that can be packed, and their bytes.

use std::borrow::Cow;

use bytemuck::Pod;
use serde::{Serialize, de::DeserializeOwned};

/// A number of a fixed size: an integer from 8 to 128 bits, or a float. Sealed: it cannot be implemented elsewhere.
#[expect(private_bounds, reason = "sealed")]
pub trait Number: Plain {}

/// The private part of [`Number`].
pub(crate) trait Plain: Pod + Serialize + DeserializeOwned + Send + Sync {
    /// Part of the shape, because equal bytes may be a `Vec<u64>` or a `Vec<f64>`.
    const NAME: &'static str;

    /// Converts between the byte orders of this machine and of stored values.
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

/// The stored bytes. They are a copy only if the machine is not little-endian.
pub(crate) fn little_endian<T: Number>(numbers: &[T]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return Cow::Borrowed(bytemuck::cast_slice(numbers));
    }
    let swapped: Vec<T> = numbers.iter().map(|number| number.swapped()).collect();
    Cow::Owned(bytemuck::cast_slice(&swapped).to_vec())
}

/// Converts numbers that were copied from a file to the byte order of this machine.
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
