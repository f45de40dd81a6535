//! The pass over all atoms after a choice: approximate correlations are brought up to date, and it
//! is noted which atoms might have the best score.

use num_traits::One;
use pulp::Simd;
use pulp::bytemuck::{self, Zeroable};

use super::format16::CHUNK;
use super::weights::Weights;
use crate::Scalar;
use crate::cpu::vector::aligned::Aligned;
use crate::cpu::vector::dots16::Dots16;
use crate::scalar::registers::lanes;

/// Steps of [`Dots16::WIDTH`] whose sums are made together: they fill the registers.
const STEPS: usize = 4;

/// ‖(I − P) d‖² of an atom that must not be chosen.
pub(crate) const OUT: f64 = 1e30;

/// Instead of heights that are zero or, by rounding, less.
const LEAST_HEIGHT: f64 = 1e-20;

/// How atoms are scored, and how well the numbers behind it are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scoring<T> {
    /// Only positive correlations count.
    pub(crate) positive: bool,
    /// α_j is known to within this.
    pub(crate) slack: T,
    /// ‖(I − P) d_j‖² is known to within this.
    pub(crate) height_slack: T,
}

/// The correlations of one sample, known approximately, with bounds on the scores.
#[derive(Debug)]
pub(crate) struct ScoreBounds<T> {
    /// α̃, m entries and zeros after them.
    pub(crate) alpha: Aligned<T>,
    /// ‖(I − P) d_j‖² where atoms are scored by α²/‖(I − P) d‖², else empty; [`OUT`] for atoms that
    /// must not be chosen.
    pub(crate) heights: Aligned<T>,
    /// For every chunk, the most that a score in it can be.
    highest: Vec<T>,
    /// The best score is at least this.
    floor: T,
}

impl<T: Scalar> ScoreBounds<T> {
    pub(crate) fn new(atoms: usize, heights: bool) -> Self {
        let width = atoms.next_multiple_of(CHUNK);
        let heights = Aligned::new(T::narrow(OUT), if heights { width } else { 0 });
        Self {
            alpha: Aligned::new(T::zero(), width),
            heights,
            highest: vec![T::zero(); width / CHUNK],
            floor: T::zero(),
        }
    }

    /// α̃ ← α̃ − c w, and the heights less the squares of w, where w = unit · Σ q_u value_u, for
    /// the weights and, if there are any, for those of what rounding them left.
    #[inline(always)]
    pub(crate) fn subtract<P: Dots16>(
        &mut self,
        pairs: P,
        rows: &[i16],
        weights: &Weights<T>,
        fine: Option<&Weights<T>>,
        c: T,
        scoring: Scoring<T>,
    ) {
        self.floor = T::zero();
        let unit = T::narrow(weights.unit);
        for chunk in 0..self.highest.len() {
            let sums = sum_rows(pairs, rows, weights, chunk * CHUNK);
            let range = chunk * CHUNK..(chunk + 1) * CHUNK;
            let mut w = [T::zero(); CHUNK];
            for (w, &sum) in w.iter_mut().zip(&sums) {
                *w = unit * T::from_int(sum);
            }
            if let Some(fine) = fine {
                let unit = T::narrow(fine.unit);
                for (w, sum) in w.iter_mut().zip(sum_rows(pairs, rows, fine, chunk * CHUNK)) {
                    *w += unit * T::from_int(sum);
                }
            }
            for (alpha, &w) in self.alpha[range.clone()].iter_mut().zip(&w) {
                *alpha -= c * w;
            }
            if !self.heights.is_empty() {
                for (height, &w) in self.heights[range].iter_mut().zip(&w) {
                    *height -= w * w;
                }
            }
            self.note(pairs, chunk, scoring);
        }
    }

    /// Notes the bounds on all scores.
    #[inline(always)]
    pub(crate) fn note_all<S: Simd>(&mut self, simd: S, scoring: Scoring<T>) {
        self.floor = T::zero();
        for chunk in 0..self.highest.len() {
            self.note(simd, chunk, scoring);
        }
    }

    #[inline(always)]
    fn note<S: Simd>(&mut self, simd: S, chunk: usize, scoring: Scoring<T>) {
        let range = chunk * CHUNK..(chunk + 1) * CHUNK;
        let (alpha, _) = T::registers::<S>(&self.alpha[range.clone()]);
        let zero = T::splat(simd, T::zero());
        if self.heights.is_empty() {
            let mut largest = zero;
            for &alpha in alpha {
                largest = T::larger(simd, scoring.size(simd, alpha), largest);
            }
            let largest = T::largest(simd, largest);
            self.highest[chunk] = largest + scoring.slack;
            self.floor = max(self.floor, largest - scoring.slack);
            return;
        }
        // Divisions are slow: most chunks turn out too low without any.
        let (heights, _) = T::registers::<S>(&self.heights[range]);
        let mut excess = T::splat(simd, -<T as One>::one());
        let floor = T::splat(simd, self.floor);
        for (&alpha, &height) in alpha.iter().zip(heights) {
            let a = T::plus(simd, scoring.size(simd, alpha), T::splat(simd, scoring.slack));
            let h = T::minus(simd, height, T::splat(simd, scoring.height_slack));
            let over = T::minus(simd, T::times(simd, a, a), T::times(simd, floor, h));
            excess = T::larger(simd, over, excess);
        }
        self.highest[chunk] = T::zero();
        if T::largest(simd, excess) >= T::zero() {
            let (mut most, mut least) = (zero, zero);
            for (&alpha, &height) in alpha.iter().zip(heights) {
                most = T::larger(simd, scoring.highest_drop(simd, alpha, height), most);
                least = T::larger(simd, scoring.lowest_drop(simd, alpha, height), least);
            }
            self.highest[chunk] = T::largest(simd, most);
            self.floor = max(self.floor, T::largest(simd, least));
        }
    }

    /// Lists the atoms that might have the best score, in order. Those after the last atom, where
    /// rows are padded, may be among them.
    #[inline(always)]
    pub(crate) fn candidates<S: Simd>(&self, simd: S, scoring: Scoring<T>, found: &mut Vec<u32>) {
        found.clear();
        // Scores of zero are none.
        let least = max(self.floor, T::min_positive_value());
        let floor = T::splat(simd, least);
        for (chunk, &highest) in self.highest.iter().enumerate() {
            if highest < least {
                continue;
            }
            let range = chunk * CHUNK..(chunk + 1) * CHUNK;
            let (alpha, _) = T::registers::<S>(&self.alpha[range.clone()]);
            for (r, &alpha) in alpha.iter().enumerate() {
                let most = if self.heights.is_empty() {
                    T::plus(simd, scoring.size(simd, alpha), T::splat(simd, scoring.slack))
                } else {
                    let (heights, _) = T::registers::<S>(&self.heights[range.clone()]);
                    scoring.highest_drop(simd, alpha, heights[r])
                };
                if T::any_at_least(simd, most, floor) {
                    let at = chunk * CHUNK + r * lanes::<T, S>();
                    let most: &[T] = bytemuck::cast_slice(std::slice::from_ref(&most));
                    for (l, &most) in most.iter().enumerate() {
                        if most >= least {
                            found.push((at + l) as u32);
                        }
                    }
                }
            }
        }
    }
}

impl<T: Scalar> Scoring<T> {
    /// |α|, or its positive part.
    #[inline(always)]
    fn size<S: Simd>(&self, simd: S, alpha: T::V<S>) -> T::V<S> {
        if self.positive {
            T::larger(simd, alpha, T::splat(simd, T::zero()))
        } else {
            T::magnitude(simd, alpha)
        }
    }

    /// The most that α²/‖(I − P) d‖² can be.
    #[inline(always)]
    fn highest_drop<S: Simd>(&self, simd: S, alpha: T::V<S>, height: T::V<S>) -> T::V<S> {
        let a = T::plus(simd, self.size(simd, alpha), T::splat(simd, self.slack));
        let h = T::minus(simd, height, T::splat(simd, self.height_slack));
        let h = T::larger(simd, h, T::splat(simd, T::narrow(LEAST_HEIGHT)));
        T::over(simd, T::times(simd, a, a), h)
    }

    /// The least that it can be.
    #[inline(always)]
    fn lowest_drop<S: Simd>(&self, simd: S, alpha: T::V<S>, height: T::V<S>) -> T::V<S> {
        let a = T::minus(simd, self.size(simd, alpha), T::splat(simd, self.slack));
        let a = T::larger(simd, a, T::splat(simd, T::zero()));
        let h = T::plus(simd, height, T::splat(simd, self.height_slack));
        let h = T::larger(simd, h, T::splat(simd, T::narrow(LEAST_HEIGHT)));
        T::over(simd, T::times(simd, a, a), h)
    }
}

/// Σ_u q_u value_u for the [`CHUNK`] atoms from `first` on.
#[inline(always)]
fn sum_rows<T: Scalar, P: Dots16>(
    pairs: P,
    rows: &[i16],
    weights: &Weights<T>,
    first: usize,
) -> [i32; CHUNK] {
    let stretch = STEPS * P::WIDTH;
    let mut all = [0; CHUNK];
    for (i, into) in all.chunks_exact_mut(stretch).enumerate() {
        let at = first + i * stretch;
        let mut sums = [P::Sums::zeroed(); STEPS];
        for pair in &weights.pairs {
            let x = steps::<P>(rows, pair.rows[0] + at);
            let y = steps::<P>(rows, pair.rows[1] + at);
            let weights = pairs.weights(pair.packed);
            for step in 0..STEPS {
                sums[step] = pairs.add(sums[step], weights, x[step], y[step]);
            }
        }
        into.copy_from_slice(bytemuck::cast_slice(&sums));
    }
    all
}

/// The next [`STEPS`] steps of a row, from `start` on.
#[inline(always)]
fn steps<P: Dots16>(rows: &[i16], start: usize) -> &[P::Row] {
    &bytemuck::cast_slice(&rows[start..][..STEPS * P::WIDTH])[..STEPS]
}

#[inline(always)]
fn max<T: Scalar>(a: T, b: T) -> T {
    if a > b { a } else { b }
}
