//! The inverse of a growing triangular factor.

use num_traits::Float;
use pulp::Simd;

use crate::Scalar;
use crate::cpu::vector::padded::padded;
use crate::scalar::registers::lanes;

/// M = L⁻¹ of D_SᵀD_S = LLᵀ. Row t holds the coefficients of the orthonormal q_t in the chosen
/// atoms: q_t = Σ_u M_tu d_u.
///
/// With the inverse at hand, both products that a new atom asks for are sums of vectors; triangular
/// solves would wait for one division after the other. It is kept by rows and by columns.
#[derive(Debug)]
pub(crate) struct Inverse<T> {
    len: usize,
    stride: usize,
    /// Above the diagonal always zero.
    rows: Vec<T>,
    /// Zero but for the columns of M.
    columns: Vec<T>,
}

impl<T: Scalar> Inverse<T> {
    pub(crate) fn new(order: usize) -> Self {
        let stride = padded(order);
        let empty = vec![T::zero(); stride * stride];
        Self { len: 0, stride, rows: empty.clone(), columns: empty }
    }

    pub(crate) fn clear(&mut self) {
        self.columns[..self.len * self.stride].fill(T::zero());
        self.len = 0;
    }

    /// M_t0 … M_tt, padded with zeros.
    #[inline(always)]
    pub(crate) fn row(&self, t: usize) -> &[T] {
        &self.rows[t * self.stride..][..self.stride]
    }

    /// w ← M g, padded with zeros to whole registers.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(&self, simd: S, g: &[T], w: &mut [T]) {
        let w = T::registers_mut::<S>(w);
        let (columns, _) = T::registers::<S>(&self.columns);
        let stride = self.stride / lanes::<T, S>();
        for (r, w) in w.iter_mut().enumerate().take(self.len.div_ceil(lanes::<T, S>())) {
            // Column j is zero above row j.
            let last = ((r + 1) * lanes::<T, S>()).min(self.len);
            let mut sum = T::splat(simd, T::zero());
            for (j, &g) in g[..last].iter().enumerate() {
                sum = T::fused(simd, T::splat(simd, g), columns[j * stride + r], sum);
            }
            *w = sum;
        }
    }

    /// Extends L by the row (w, height).
    #[inline(always)]
    pub(crate) fn push<S: Simd>(&mut self, simd: S, w: &[T], height: T) {
        let (t, stride) = (self.len, self.stride);
        let inverse = Float::recip(height);
        let (earlier, rest) = self.rows.split_at_mut(t * stride);
        let row = &mut rest[..stride];
        let (earlier, _) = T::registers::<S>(earlier);
        let registers = stride / lanes::<T, S>();
        let used = t.div_ceil(lanes::<T, S>());
        for (r, row) in T::registers_mut::<S>(row)[..used].iter_mut().enumerate() {
            let mut sum = T::splat(simd, T::zero());
            for (i, &w) in w[..t].iter().enumerate().skip(r * lanes::<T, S>()) {
                sum = T::fused(simd, T::splat(simd, -w), earlier[i * registers + r], sum);
            }
            *row = T::times(simd, sum, T::splat(simd, inverse));
        }
        row[t] = inverse;
        for (j, &value) in row[..=t].iter().enumerate() {
            self.columns[j * stride + t] = value;
        }
        self.len += 1;
    }
}
