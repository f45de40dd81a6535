//! The format of 16-bit rows of the Gram matrix, and of the weights they are summed with.

/// The number that stands for the largest entry of a row. A little under 2¹⁵, so that the sums of
/// [`LARGEST_WEIGHTS`] weighted rows stay below 2³¹.
pub(crate) const UNIT: f64 = 32_512.0;

/// Σ|q| of the weights that a sum of rows may have.
pub(crate) const LARGEST_WEIGHTS: f64 = 64_000.0;

/// Atoms for which one bound on the scores is kept; rows are padded to whole chunks.
pub(crate) const CHUNK: usize = 128;
