//! Where samples come from: memory, files, anything that can deliver a range.

#[cfg(any(feature = "npy", feature = "safetensors"))]
pub(crate) mod element;
#[cfg(any(feature = "npy", feature = "safetensors"))]
mod file;
#[cfg(any(feature = "npy", feature = "safetensors"))]
mod files;
mod memory;
#[cfg(any(feature = "npy", feature = "safetensors"))]
mod narrowing;
#[cfg(feature = "npy")]
mod npy;
#[cfg(feature = "npy")]
mod npy_header;
pub(crate) mod permutation;
mod plan;
#[cfg(any(feature = "npy", feature = "safetensors"))]
mod positional;
mod rounding;
#[cfg(any(feature = "npy", feature = "safetensors"))]
pub(crate) mod rows;
#[cfg(feature = "safetensors")]
mod safetensors;
#[cfg(feature = "safetensors")]
pub(crate) mod safetensors_header;
mod shards;
mod subset;

#[cfg(feature = "safetensors")]
pub use self::safetensors::SafetensorsSource;
#[cfg(any(feature = "npy", feature = "safetensors"))]
pub use file::{FileSource, open};
#[cfg(any(feature = "npy", feature = "safetensors"))]
pub use files::open_shards;
pub use memory::SliceSource;
#[cfg(feature = "npy")]
pub use npy::NpySource;
pub use plan::EpochPlan;
pub(crate) use plan::steps;
pub use rounding::check_rounding;
pub use shards::Shards;
pub use subset::{HeldOut, Subset, split};

use std::ops::Range;

use crate::Scalar;
use crate::error::SourceError;

/// N samples of dimension d that can be read by ranges, from any thread.
///
/// Read-ahead, shuffling, held-out splits and resuming are all plans of ranges over this.
pub trait SampleSource<T: Scalar>: Sync {
    /// The dimension d of a sample.
    fn dim(&self) -> usize;

    /// The number of samples N.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the samples of `range` into `into`, one after the other (d values each).
    ///
    /// # Errors
    /// [`SourceError::OutOfRange`] unless `range` lies in `0..len`, [`SourceError::Buffer`] unless
    /// `into` holds exactly `range.len() × dim` values, and whatever reading itself meets.
    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError>;

    /// How many consecutive samples are worth one read: the shuffle keeps runs of this length
    /// together. 1 for memory; files say more, at the price that neighbours share a minibatch.
    fn run_length(&self) -> usize {
        1
    }

    /// The type of the numbers as they are stored, such as `f16`: part of what a checkpoint
    /// remembers of its data.
    fn element_type(&self) -> &'static str {
        T::NAME
    }

    /// The number by which errors name a sample: its index, but in a part of a source that in the
    /// whole.
    fn origin(&self, sample: usize) -> usize {
        sample
    }

    /// Reads sample `sample` into `into` (d values) as it is stored, if [`read`](Self::read) rounds
    /// it to `T`, and says whether it does. By this [`check_rounding`] finds data that rounding
    /// would destroy. By default nothing is rounded: a source that reads from another must forward
    /// this as it forwards [`read`](Self::read), or the check cannot see the doubles behind it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        let _ = (sample, into);
        Ok(false)
    }
}

/// A borrowed source.
impl<T: Scalar, S: SampleSource<T> + ?Sized> SampleSource<T> for &S {
    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn len(&self) -> usize {
        (**self).len()
    }

    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        (**self).read(range, into)
    }

    fn run_length(&self) -> usize {
        (**self).run_length()
    }

    fn element_type(&self) -> &'static str {
        (**self).element_type()
    }

    fn origin(&self, sample: usize) -> usize {
        (**self).origin(sample)
    }

    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        (**self).read_unrounded(sample, into)
    }
}

/// Checks the arguments of [`SampleSource::read`] for a source of `len` samples of dimension `dim`.
///
/// # Errors
/// As documented there.
pub fn check_read(
    range: &Range<usize>,
    buffer: usize,
    len: usize,
    dim: usize,
) -> Result<(), SourceError> {
    if range.start > range.end || range.end > len {
        return Err(SourceError::OutOfRange { start: range.start, end: range.end, len });
    }
    let expected = range.len() * dim;
    if buffer != expected {
        return Err(SourceError::Buffer { found: buffer, expected });
    }
    Ok(())
}
