//! Sources of samples: memory, files, and anything else that can deliver a range of samples.

mod as_samples;
#[cfg(any(feature = "npy", feature = "safetensors"))]
pub(crate) mod element;
#[cfg(any(feature = "npy", feature = "safetensors"))]
mod file;
#[cfg(any(feature = "npy", feature = "safetensors"))]
mod files;
mod mask;
#[cfg(feature = "npy")]
mod mask_file;
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
pub use as_samples::AsSamples;
#[cfg(any(feature = "npy", feature = "safetensors"))]
pub use file::{FileSource, open};
#[cfg(any(feature = "npy", feature = "safetensors"))]
pub use files::open_shards;
pub use mask::Mask;
#[cfg(feature = "npy")]
pub use mask_file::read_mask;
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

/// N samples of dimension d, of which ranges can be read from any thread.
///
/// Read-ahead, shuffling, held-out splits and resuming only decide which ranges are read, and when.
///
/// ```
/// use std::ops::Range;
///
/// use dbksvd::DbKsvd;
/// use dbksvd::error::SourceError;
/// use dbksvd::source::{SampleSource, check_read};
///
/// /// Patches of a signal, one at each place, which are never all in memory.
/// struct Windows<'a> {
///     signal: &'a [f32],
///     dim: usize,
/// }
///
/// impl SampleSource<f32> for Windows<'_> {
///     fn dim(&self) -> usize {
///         self.dim
///     }
///
///     fn len(&self) -> usize {
///         self.signal.len() + 1 - self.dim
///     }
///
///     fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
///         check_read(&range, into.len(), self.len(), self.dim)?;
///         for (start, row) in range.zip(into.chunks_mut(self.dim)) {
///             row.copy_from_slice(&self.signal[start..start + self.dim]);
///         }
///         Ok(())
///     }
/// }
///
/// let signal: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.1).sin() + (i as f32).sqrt()).collect();
/// let source = Windows { signal: &signal, dim: 16 };
/// let (model, _) = DbKsvd::builder(32, 3).epochs(2).build()?.fit(&source)?;
/// assert_eq!(model.dim(), 16);
/// # Ok::<(), dbksvd::Error>(())
/// ```
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
    /// `into` holds exactly `range.len() × dim` values, and any error that occurs in reading.
    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError>;

    /// How many consecutive samples are worth one read: the shuffle keeps runs of this length
    /// together. It is 1 for memory. Files return more, at the price that neighbouring samples
    /// share a minibatch.
    fn run_length(&self) -> usize {
        1
    }

    /// The type of the stored numbers, such as `f16`. Checkpoints compare it before a run resumes.
    fn element_type(&self) -> &'static str {
        T::NAME
    }

    /// The index by which errors name a sample. A source that is part of another source gives the
    /// index in the whole.
    fn origin(&self, sample: usize) -> usize {
        sample
    }

    /// Which samples of a larger source these are, in a short text that differs for another choice,
    /// even of as many; empty for a source that is not a part of another. Checkpoints compare it:
    /// a run does not go on with other samples than it began with. A source that reads from another
    /// source must forward this method; otherwise another choice may go unnoticed.
    fn selection(&self) -> String {
        String::new()
    }

    /// If [`read`](Self::read) rounds samples to `T`, writes the unrounded sample `sample` to
    /// `into` (d values) and returns `true`. [`check_rounding`] uses this to find data that
    /// rounding would destroy. The default returns `false`. A source that reads from another source
    /// must forward this method along with [`read`](Self::read); otherwise the check does not see
    /// the stored doubles.
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

    fn selection(&self) -> String {
        (**self).selection()
    }

    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        (**self).read_unrounded(sample, into)
    }
}

/// Checks the arguments of [`SampleSource::read`] for a source of `len` samples of dimension `dim`.
///
/// # Errors
/// See [`SampleSource::read`].
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
