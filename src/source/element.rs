//! Element types of array files, and their conversion to and from [`Scalar`].

use std::io::{self, Write};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::Scalar;

/// Values that are converted at a time through a buffer on the stack.
const BLOCK: usize = 256;

/// The floating-point types that can be read from files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

/// The order of the bytes of a number in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    /// Only `.npy` files have this order.
    #[cfg(feature = "npy")]
    Big,
}

impl ByteOrder {
    /// The byte order of this machine.
    #[cfg(feature = "npy")]
    pub(crate) const NATIVE: Self =
        if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    /// Puts the bytes of numbers of `size` bytes from this order into little-endian order.
    pub(crate) fn make_little(self, bytes: &mut [u8], size: usize) {
        #[cfg(feature = "npy")]
        if self == Self::Big {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        #[cfg(not(feature = "npy"))]
        let _ = (bytes, size);
    }
}

impl Element {
    /// The type that holds `T` exactly.
    pub(crate) fn of<T: Scalar>() -> Self {
        if T::EPSILON == f64::EPSILON { Self::F64 } else { Self::F32 }
    }

    /// The name of the type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The size of one value in bytes.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Whether values of this type are rounded when they are read as `T`.
    pub(crate) fn is_rounded_to<T: Scalar>(self) -> bool {
        self == Self::F64 && Self::of::<T>() != Self::F64
    }

    /// Converts little-endian `bytes` to `into`. Conversions are exact, except that f64 is rounded
    /// to the nearest f32.
    ///
    /// # Panics
    /// If the lengths of `bytes` and `into` do not match.
    #[track_caller]
    pub(crate) fn decode<T: Scalar>(self, bytes: &[u8], into: &mut [T]) {
        let (found, expected) = (bytes.len(), into.len() * self.size());
        assert_eq!(found, expected, "{found} bytes for {} values", into.len());
        match self {
            Self::F16 => decode_halves(bytes, into, f16::from_le_bytes, |halves, singles| {
                halves.convert_to_f32_slice(singles);
            }),
            Self::Bf16 => decode_halves(bytes, into, bf16::from_le_bytes, |halves, singles| {
                halves.convert_to_f32_slice(singles);
            }),
            Self::F32 => {
                for (value, &bytes) in into.iter_mut().zip(bytes.as_chunks().0) {
                    *value = T::narrow(f64::from(f32::from_le_bytes(bytes)));
                }
            }
            Self::F64 => {
                for (value, &bytes) in into.iter_mut().zip(bytes.as_chunks().0) {
                    *value = T::narrow(f64::from_le_bytes(bytes));
                }
            }
        }
    }
}

/// Decodes 16-bit values in blocks, since one instruction converts a slice of them.
fn decode_halves<H: Copy + Default, T: Scalar>(
    bytes: &[u8],
    into: &mut [T],
    from_bytes: impl Fn([u8; 2]) -> H,
    convert: impl Fn(&[H], &mut [f32]),
) {
    let mut halves = [H::default(); BLOCK];
    let mut singles = [0.0_f32; BLOCK];
    for (bytes, into) in bytes.chunks(2 * BLOCK).zip(into.chunks_mut(BLOCK)) {
        for (half, &bytes) in halves.iter_mut().zip(bytes.as_chunks().0) {
            *half = from_bytes(bytes);
        }
        convert(&halves[..into.len()], &mut singles[..into.len()]);
        for (value, &single) in into.iter_mut().zip(&singles) {
            *value = T::narrow(f64::from(single));
        }
    }
}

/// Writes `values` in their own precision, in little-endian order.
pub(crate) fn write_values<T: Scalar>(
    to: &mut (impl Write + ?Sized),
    values: &[T],
) -> io::Result<()> {
    let size = Element::of::<T>().size();
    let mut buffer = [0; BLOCK * size_of::<f64>()];
    for values in values.chunks(BLOCK) {
        let bytes = &mut buffer[..values.len() * size];
        for (bytes, value) in bytes.chunks_exact_mut(size).zip(values) {
            match Element::of::<T>() {
                Element::F64 => bytes.copy_from_slice(&value.widen().to_le_bytes()),
                // The value is an f32 that was widened, so the conversion loses nothing.
                _ => bytes.copy_from_slice(&(value.widen() as f32).to_le_bytes()),
            }
        }
        to.write_all(bytes)?;
    }
    Ok(())
}
