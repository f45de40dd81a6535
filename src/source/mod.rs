//! Where samples come from: memory, files, anything that can deliver a range.

mod memory;
mod plan;

pub use memory::SliceSource;
pub use plan::EpochPlan;
pub(crate) use plan::steps;

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
