//! When a pursuit that runs by itself ends.

use crate::coder::Tolerance;

/// When a sample has been coded: at the first of the conditions given.
///
/// It is made from a number k, a [`Tolerance`], or a pair of both. A tolerance alone allows min(d,
/// m) nonzeros, or m for products, whose d is not known, and codes then take room for that many.
///
/// ```
/// use dbksvd::coder::Tolerance;
/// use dbksvd::pursuit::Stop;
///
/// assert_eq!(Stop::from(5).sparsity, Some(5));
/// assert_eq!(Stop::from(Tolerance::Relative(1e-3)).sparsity, None);
/// assert!(Stop::from((5, Tolerance::Relative(1e-3))).tolerance.is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// The most nonzeros of a sample, k; `None` for as many as there can be.
    pub sparsity: Option<usize>,
    /// The residual that is small enough, in the scale of the samples.
    pub tolerance: Option<Tolerance>,
}

impl Stop {
    /// The most nonzeros of a sample, where no more than `most` are possible.
    pub(crate) fn budget(&self, most: usize) -> usize {
        self.sparsity.unwrap_or(most)
    }
}

impl From<usize> for Stop {
    fn from(sparsity: usize) -> Self {
        Self { sparsity: Some(sparsity), tolerance: None }
    }
}

impl From<Tolerance> for Stop {
    fn from(tolerance: Tolerance) -> Self {
        Self { sparsity: None, tolerance: Some(tolerance) }
    }
}

impl From<(usize, Tolerance)> for Stop {
    fn from((sparsity, tolerance): (usize, Tolerance)) -> Self {
        Self { sparsity: Some(sparsity), tolerance: Some(tolerance) }
    }
}
