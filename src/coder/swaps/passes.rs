//! The passes over B, α and h that [`exchange`](super::exchange) makes.

use crate::Scalar;
use crate::cpu::pursuit::dependence;
use crate::cpu::pursuit::full_gram::CHUNK;
use crate::cpu::vector::vectorized;
use crate::scalar::registers::lanes;

/// Registers that one iteration of a pass fills; [`CHUNK`] is a multiple of this number of
/// registers.
const STEPS: usize = 4;

/// The factors of one pass, for each row of B.
#[derive(Debug, Default)]
pub(super) struct Weights<T> {
    pub(super) products: Vec<T>,
    pub(super) fall: Vec<T>,
    pub(super) share: Vec<T>,
}

vectorized! {
    /// B ← H G_S, α ← α − G_Sᵀγ and h ← h − Σ_t G_t B_t, one block of columns at a time. `duals`
    /// holds G_S at the start.
    pub(super) fn duals<'a, T>(
        simd;
        duals: &'a mut [T],
        inverse: &'a [T],
        gamma: &'a [T],
        tile: &'a mut [T],
        alpha: &'a mut [T],
        heights: &'a mut [T],
    ) -> () {
        let (stride, count) = (alpha.len() / (STEPS * lanes::<T, S>()), gamma.len());
        let duals = T::registers_mut::<S>(duals).as_chunks_mut::<STEPS>().0;
        let tile = T::registers_mut::<S>(tile).as_chunks_mut::<STEPS>().0;
        let alphas = T::registers_mut::<S>(alpha).as_chunks_mut::<STEPS>().0;
        let heights = T::registers_mut::<S>(heights).as_chunks_mut::<STEPS>().0;
        for (c, (alpha, heights)) in alphas.iter_mut().zip(heights).enumerate() {
            for (s, (tile, &gamma)) in tile.iter_mut().zip(gamma).enumerate() {
                *tile = duals[s * stride + c];
                let gamma = T::splat(simd, -gamma);
                for r in 0..STEPS {
                    alpha[r] = T::fused(simd, gamma, tile[r], alpha[r]);
                }
            }
            for t in 0..count {
                let mut sum = [T::splat(simd, T::zero()); STEPS];
                for (tile, &h) in tile.iter().zip(&inverse[t * count..][..count]) {
                    let h = T::splat(simd, h);
                    for r in 0..STEPS {
                        sum[r] = T::fused(simd, h, tile[r], sum[r]);
                    }
                }
                for r in 0..STEPS {
                    let product = T::times(simd, tile[t][r], sum[r]);
                    heights[r] = T::minus(simd, heights[r], product);
                }
                duals[t * stride + c] = sum;
            }
        }
    }
}

vectorized! {
    /// One pass over B, α and h, in which the new atom's row replaces row u. `factors` holds 1/h, h
    /// and α of the new atom, and γ_u/H_uu and 1/H_uu of the old one.
    pub(super) fn pass<'a, T>(
        simd;
        duals: &'a mut [T],
        weights: &'a Weights<T>,
        u: usize,
        row: &'a [T],
        factors: [T; 5],
        alpha: &'a mut [T],
        heights: &'a mut [T],
    ) -> () {
        let [inverse, height, correlation, step, eta] = factors;
        let (inverse, step, eta) =
            (T::splat(simd, inverse), T::splat(simd, step), T::splat(simd, eta));
        let (height, correlation) = (T::splat(simd, -height), T::splat(simd, -correlation));
        let stride = alpha.len() / (STEPS * lanes::<T, S>());
        let duals = T::registers_mut::<S>(duals).as_chunks_mut::<STEPS>().0;
        let rows = T::registers::<S>(row).0.as_chunks::<STEPS>().0;
        let alphas = T::registers_mut::<S>(alpha).as_chunks_mut::<STEPS>().0;
        let heights = T::registers_mut::<S>(heights).as_chunks_mut::<STEPS>().0;
        for (c, ((row, alpha), heights)) in rows.iter().zip(alphas).zip(heights).enumerate() {
            let old = duals[u * stride + c];
            let mut new = *row;
            for (t, &weight) in weights.products.iter().enumerate() {
                let (dual, weight) = (&duals[t * stride + c], T::splat(simd, -weight));
                for r in 0..STEPS {
                    new[r] = T::fused(simd, weight, dual[r], new[r]);
                }
            }
            for r in 0..STEPS {
                new[r] = T::times(simd, new[r], inverse);
                alpha[r] = T::fused(simd, step, old[r], alpha[r]);
                alpha[r] = T::fused(simd, correlation, new[r], alpha[r]);
                let (square, new_square) =
                    (T::times(simd, old[r], old[r]), T::times(simd, new[r], new[r]));
                heights[r] = T::fused(simd, eta, square, heights[r]);
                heights[r] = T::fused(simd, height, new_square, heights[r]);
            }
            for (t, (&fall, &share)) in weights.fall.iter().zip(&weights.share).enumerate() {
                let dual = &mut duals[t * stride + c];
                let (fall, share) = (T::splat(simd, -fall), T::splat(simd, -share));
                for r in 0..STEPS {
                    dual[r] = T::fused(simd, fall, old[r], dual[r]);
                    dual[r] = T::fused(simd, share, new[r], dual[r]);
                }
            }
            duals[u * stride + c] = new;
        }
    }
}

vectorized! {
    /// The atom with the largest drop of the error once an atom is gone, and this drop, if it is
    /// above `floor`. The correlations and heights without that atom are α + step · b and h + η b².
    pub(super) fn best_without<'a, T>(
        alpha: &'a [T],
        heights: &'a [T],
        dual: &'a [T],
        step: T,
        eta: T,
        floor: T,
    ) -> Option<(usize, T)> {
        let (alphas, _) = alpha.as_chunks::<CHUNK>();
        let (heights, _) = heights.as_chunks::<CHUNK>();
        let (duals, _) = dual.as_chunks::<CHUNK>();
        let chunks = || alphas.iter().zip(heights).zip(duals);
        let mut lanes = [T::zero(); CHUNK];
        for ((alpha, heights), dual) in chunks() {
            for l in 0..CHUNK {
                let s = drop(alpha[l], heights[l], dual[l], step, eta);
                lanes[l] = if s > lanes[l] { s } else { lanes[l] };
            }
        }
        let mut best = floor;
        for s in lanes {
            best = if s > best { s } else { best };
        }
        if best <= floor {
            return None;
        }
        for (c, ((alpha, heights), dual)) in chunks().enumerate() {
            let place = (0..CHUNK).find(|&l| drop(alpha[l], heights[l], dual[l], step, eta) == best);
            if let Some(l) = place {
                return Some((c * CHUNK + l, best));
            }
        }
        None
    }
}

/// (α + step · b)² / (h + η b²), and zero for atoms in the span of the atoms that stay.
#[inline(always)]
fn drop<T: Scalar>(alpha: T, height: T, dual: T, step: T, eta: T) -> T {
    let alpha = alpha + step * dual;
    let height = height + eta * (dual * dual);
    let drop = alpha * alpha / height;
    if height > dependence::of_gram() { drop } else { T::zero() }
}
