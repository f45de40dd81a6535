//! Coefficients of rows of the Gram matrix, rounded to 16 bits.

use pulp::Simd;

use super::format16::{LARGEST_WEIGHTS, UNIT};
use crate::Scalar;
use crate::cpu::vector::dots16::packed;
use crate::cpu::vector::padded::padded;
use crate::scalar::registers::lanes;

/// Integers q with f_u σ_u ≈ `step` · q_u, so that Σ_u f_u G_uj ≈ `unit` · Σ_u q_u value_uj.
#[derive(Debug)]
pub(crate) struct Weights<T> {
    /// q + [`Vectors::INTEGERS`](crate::scalar::registers::Vectors::INTEGERS).
    shifted: Vec<T>,
    /// The q of two rows each, and where the rows begin.
    pub(crate) pairs: Vec<Pair>,
    pub(crate) step: f64,
    pub(crate) unit: f64,
    /// Bound on the error that the rounding of the rows of G makes.
    pub(crate) coarseness: f64,
    /// Bound on the error that the rounding of the weights makes: Σ_u |f_u σ_u − step · q_u|.
    pub(crate) rest: f64,
}

/// Two rows and their weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) rows: [usize; 2],
    pub(crate) packed: i32,
}

impl<T: Scalar> Weights<T> {
    pub(crate) fn new(sparsity: usize) -> Self {
        Self {
            shifted: vec![T::zero(); padded(sparsity)],
            pairs: Vec::with_capacity(sparsity.div_ceil(2)),
            step: 0.0,
            unit: 0.0,
            coarseness: 0.0,
            rest: 0.0,
        }
    }

    /// Rounds f_u σ_u for the first `count` rows. `starts` says where they begin. `f` and `scales`
    /// are padded; f is zero from `count` on.
    #[inline(always)]
    pub(crate) fn round<S: Simd>(
        &mut self,
        simd: S,
        count: usize,
        f: &[T],
        scales: &[T],
        starts: &[usize],
    ) {
        let used = count.div_ceil(lanes::<T, S>());
        let (f, scales) = (&T::registers::<S>(f).0[..used], &T::registers::<S>(scales).0[..used]);
        let (mut sum, mut largest) = (T::splat(simd, T::zero()), T::splat(simd, T::zero()));
        for (&f, &scale) in f.iter().zip(scales) {
            let p = T::magnitude(simd, T::times(simd, f, scale));
            sum = T::plus(simd, p, sum);
            largest = T::larger(simd, p, largest);
        }
        let (sum, largest) = (T::total(simd, sum).widen(), T::largest(simd, largest).widen());
        self.pairs.clear();
        (self.step, self.unit, self.coarseness, self.rest) = (0.0, 0.0, 0.0, 0.0);
        let shifted = &mut T::registers_mut::<S>(&mut self.shifted)[..used];
        let shift = T::splat(simd, T::INTEGERS);
        if largest <= 0.0 {
            shifted.fill(shift);
            return;
        }
        let fineness = f64::min(32_767.0 / largest, LARGEST_WEIGHTS / sum);
        let factor = T::splat(simd, T::narrow(fineness));
        for ((shifted, &f), &scale) in shifted.iter_mut().zip(f).zip(scales) {
            *shifted = T::plus(simd, T::times(simd, T::times(simd, f, scale), factor), shift);
        }
        self.step = 1.0 / fineness;
        self.unit = self.step / UNIT;
        // The products above are rounded, too: hence a little more than half a step.
        self.rest = 0.51 * self.step * count as f64;
        self.coarseness = (sum + self.rest) / (2.0 * UNIT);
        let shifted = &self.shifted[..padded(count)];
        for u in (0..count).step_by(2) {
            let packed = packed(shifted[u].low_bits(), shifted[u + 1].low_bits());
            let second = if u + 1 < count { starts[u + 1] } else { starts[u] };
            self.pairs.push(Pair { rows: [starts[u], second], packed });
        }
    }

    /// propagated_u ← propagated_u + step · q_u / σ_u, with the inverses of σ.
    #[inline(always)]
    pub(crate) fn add_to<S: Simd>(&self, simd: S, count: usize, inverses: &[T], into: &mut [T]) {
        let used = count.div_ceil(lanes::<T, S>());
        let (shifted, _) = T::registers::<S>(&self.shifted);
        let (inverses, _) = T::registers::<S>(inverses);
        let into = T::registers_mut::<S>(into)[..used].iter_mut();
        let (step, shift) = (T::splat(simd, T::narrow(self.step)), T::splat(simd, T::INTEGERS));
        for ((into, &q), &inverse) in into.zip(shifted).zip(inverses) {
            let q = T::minus(simd, q, shift);
            *into = T::fused(simd, T::times(simd, q, step), inverse, *into);
        }
    }
}
