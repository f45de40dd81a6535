//! A sample, and what is known of its correlations before the pursuit.

use faer::MatRef;
use pulp::Simd;

use crate::Scalar;
use crate::backend::column;
use crate::simd;

/// One sample to be coded.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a, T> {
    pub(super) dictionary: MatRef<'a, T>,
    /// y.
    pub(super) values: &'a [T],
    /// α⁰ = Dᵀy, to within `bound`.
    pub(super) initial: &'a [T],
    /// Zero where α⁰ is as exact as scalars are.
    pub(super) bound: f64,
}

impl<T: Scalar> Sample<'_, T> {
    /// α⁰ of an atom, as exact as scalars are. O(d) if it has to be computed.
    #[inline(always)]
    pub(super) fn correlation<S: Simd>(&self, simd: S, atom: usize) -> T {
        if self.bound == 0.0 {
            return self.initial[atom];
        }
        simd::dot(simd, column(self.dictionary, atom), self.values)
    }
}
