//! A sample, and what is known of its correlations before the pursuit.

use faer::MatRef;
use pulp::Simd;

use crate::Scalar;
use crate::cpu::vector::rows;
use crate::matrix::column;

/// One sample to be coded.
#[derive(Clone, Copy)]
pub(crate) struct Sample<'a, T> {
    pub(crate) dictionary: MatRef<'a, T>,
    /// y.
    pub(crate) values: &'a [T],
    /// α⁰ = Dᵀy, to within `bound`.
    pub(crate) initial: &'a [T],
    /// Zero where α⁰ is as exact as scalars are.
    pub(crate) bound: f64,
}

impl<T: Scalar> Sample<'_, T> {
    /// α⁰ of an atom, as exact as scalars are. O(d) if it has to be computed.
    #[inline(always)]
    pub(crate) fn correlation<S: Simd>(&self, simd: S, atom: usize) -> T {
        if self.bound == 0.0 {
            return self.initial[atom];
        }
        rows::dot(simd, column(self.dictionary, atom), self.values)
    }
}
