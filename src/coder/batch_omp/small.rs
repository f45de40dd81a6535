//! Small dictionaries: exact correlations, and several samples in step.
//!
//! Where the Gram matrix lies in the caches, much of the time goes into waiting:
//! every step of a pursuit is a chain of a few small operations, each of which needs the result of the
//! one before. So [`SAMPLES`] pursuits take their steps together, and one's waiting is filled with
//! another's work. The chosen atoms are orthogonalised: with LLᵀ = G_SS and W = L⁻¹ G_S,
//!
//! ```text
//! h  ← √(‖d_s‖² − Σ_t W_t[s]²)                 row s of L is (W_1[s] … W_{t−1}[s], h)
//! W_t ← (G_s − Σ_{u<t} W_u[s] W_u) / h
//! c_t ← α_s / h,   α ← α − c_t W_t,   ‖r‖² ← ‖r‖² − c_t²
//! γ  ← L⁻ᵀ c                                  once, at the end
//! ```
//! in one pass over the atoms, which also finds the next s, by |α_j| or by α_j²/(‖d_j‖² − Σ_t W_t[j]²).

use faer::MatRef;
use num_traits::{Float, One};
use pulp::Simd;

use super::pass::OUT;
use crate::Scalar;
use crate::aligned::Aligned;
use crate::coder::factor::{dependence, overshoots};
use crate::coder::full_gram::{CHUNK, FullGram};
use crate::coder::pursuit::{PursuitRule, Selection};
use crate::codes::CodesBlock;
use crate::problem::{ProblemShape, Sign};
use crate::simd::lanes;

/// Most atoms of a dictionary that counts as small whatever the budget. Measured (Zen 4, `f32`): the
/// 16-bit rows take 1.3 to 2.5 times as long at m = 512, 0.8 times at (384, 1024, 16) and
/// (384, 2048, 16), on synthetic data and on MiniLM embeddings, with a trained dictionary and with one
/// of samples.
const MOST_ATOMS: usize = 512;

/// Most entries of W of a problem that counts as small with more atoms: at (128, 1024, 8) the 16-bit
/// rows take 1.2 times as long.
const MOST_ENTRIES: usize = 8192;

/// Whether a problem counts as small. Non-negative pursuits may drop atoms, and do not go in step.
pub(super) fn suits(shape: &ProblemShape) -> bool {
    let small =
        shape.atoms <= MOST_ATOMS || shape.atoms.saturating_mul(shape.sparsity) <= MOST_ENTRIES;
    small && shape.sign == Sign::Signed
}

/// Samples whose pursuits go in step.
const SAMPLES: usize = 2;

/// Numbers in a register, at most.
const MOST_LANES: usize = 16;

/// Registers whose best scores are kept apart; [`CHUNK`] is a multiple of twice as many.
const STEPS: usize = 4;

/// Registers that one iteration of the pass fills: each weight is repeated for as many.
const PASS: usize = 2 * STEPS;

/// Scratch memory of [`SAMPLES`] pursuits.
#[derive(Debug)]
pub(super) struct SmallScratch<T> {
    pursuits: [Pursuit<T>; SAMPLES],
}

/// One sample's pursuit.
#[derive(Debug)]
struct Pursuit<T> {
    alpha: Aligned<T>,
    /// ‖(I − P) d_j‖², or [`OUT`]; empty unless atoms are scored by it.
    heights: Aligned<T>,
    /// W, a row for each chosen atom.
    rows: Aligned<T>,
    /// −L, a row of k for each chosen atom, without the diagonal.
    factor: Vec<T>,
    /// The inverses of the diagonal of L.
    inverses: Vec<T>,
    coordinates: Vec<T>,
    support: Vec<u32>,
    excluded: Vec<u32>,
    energy: f64,
    residual: f64,
    /// ‖r‖² at which the pursuit is done.
    done: f64,
    /// The least correlation that is worth an atom.
    least: T,
    /// The next atom, while the pursuit goes on.
    next: Option<usize>,
    /// 1/h and c of the atom being added.
    inverse: T,
    coordinate: T,
}

impl<T: Scalar> SmallScratch<T> {
    pub(super) fn new(shape: &ProblemShape, selection: Selection) -> Self {
        Self { pursuits: std::array::from_fn(|_| Pursuit::new(shape, selection)) }
    }

    /// Codes the samples of `block`, whose energies and correlations α⁰ are given.
    #[inline(always)]
    pub(super) fn encode<S: Simd>(
        &mut self,
        simd: S,
        gram: &FullGram<T>,
        rule: &PursuitRule,
        energies: impl Fn(usize) -> f64,
        correlations: MatRef<'_, T>,
        block: &mut CodesBlock<'_, T>,
    ) {
        for first in (0..block.len()).step_by(SAMPLES) {
            let group = &mut self.pursuits[..SAMPLES.min(block.len() - first)];
            for (i, pursuit) in group.iter_mut().enumerate() {
                let initial = crate::backend::column(correlations, first + i);
                pursuit.start(simd, gram, rule, energies(first + i), initial);
            }
            let mut running = true;
            while running {
                running = false;
                for pursuit in group.iter_mut() {
                    pursuit.orthogonalise(simd, gram);
                    running |= pursuit.next.is_some();
                    pursuit.add(simd, gram);
                }
            }
            for (i, pursuit) in group.iter_mut().enumerate() {
                block.write(first + i, |support, values| pursuit.finish(support, values));
            }
        }
    }
}

impl<T: Scalar> Pursuit<T> {
    fn new(shape: &ProblemShape, selection: Selection) -> Self {
        let (width, k) = (shape.atoms.next_multiple_of(CHUNK), shape.sparsity);
        let zeros = |length| vec![T::zero(); length];
        let heights = match selection {
            Selection::Correlation => Aligned::new(T::zero(), 0),
            Selection::LeastSquares => Aligned::new(T::narrow(OUT), width),
        };
        Self {
            alpha: Aligned::new(T::zero(), width),
            heights,
            rows: Aligned::new(T::zero(), width * k),
            factor: zeros(k * k),
            inverses: zeros(k),
            coordinates: zeros(k),
            support: Vec::with_capacity(k),
            excluded: Vec::new(),
            energy: 0.0,
            residual: 0.0,
            done: 0.0,
            least: T::zero(),
            next: None,
            inverse: T::zero(),
            coordinate: T::zero(),
        }
    }

    #[inline(always)]
    fn start<S: Simd>(
        &mut self,
        simd: S,
        gram: &FullGram<T>,
        rule: &PursuitRule,
        energy: f64,
        initial: &[T],
    ) {
        self.alpha[..initial.len()].copy_from_slice(initial);
        if !self.heights.is_empty() {
            self.heights[..initial.len()].copy_from_slice(&gram.norms);
        }
        self.support.clear();
        self.excluded.clear();
        (self.energy, self.residual) = (energy, energy);
        self.done = rule.squared_tolerance(energy);
        self.least = T::narrow(rule.min_correlation.unwrap_or(0.0));
        self.next = self.best(simd);
        if let Some(next) = self.next {
            // What is left of the correlations by rounding is not worth an atom.
            let rounding = Float::abs(self.alpha[next]) * T::narrow(100.0 * T::EPSILON);
            self.least = Float::max(self.least, rounding);
        }
    }

    /// Ends the pursuit, or finds the new row of L and coordinate. Atoms that depend on the chosen
    /// ones are passed over.
    #[inline(always)]
    fn orthogonalise<S: Simd>(&mut self, simd: S, gram: &FullGram<T>) {
        let (chosen, budget) = (self.support.len(), self.inverses.len());
        while let Some(s) = self.next {
            let alpha = self.alpha[s];
            if chosen == budget || self.residual <= self.done || Float::abs(alpha) < self.least {
                self.next = None;
                return;
            }
            let mut height = gram.norms[s];
            let row = &mut self.factor[chosen * budget..][..chosen];
            for (l, w) in row.iter_mut().zip(self.rows[s..].iter().step_by(gram.stride)) {
                *l = -*w;
                height -= *w * *w;
            }
            let dependent = height <= dependence();
            if dependent || overshoots(alpha, height, self.residual, self.energy) {
                self.excluded.push(s as u32);
                if let Some(height) = self.heights.get_mut(s) {
                    *height = T::narrow(OUT);
                }
                self.next = self.best_of_the_rest(simd);
                continue;
            }
            let height = Float::sqrt(height);
            self.inverse = Float::recip(height);
            self.coordinate = alpha * self.inverse;
            self.inverses[chosen] = self.inverse;
            self.coordinates[chosen] = self.coordinate;
            self.residual = (self.residual - self.coordinate.widen().powi(2)).max(0.0);
            return;
        }
    }

    /// Chooses the atom: W_t and α, and the next atom.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, gram: &FullGram<T>) {
        let Some(s) = self.next else { return };
        let (chosen, budget) = (self.support.len(), self.inverses.len());
        self.support.push(s as u32);
        if chosen + 1 == budget {
            self.next = None;
            return;
        }
        if let Some(height) = self.heights.get_mut(s) {
            *height = T::narrow(OUT);
        }
        let (earlier, rest) = self.rows.split_at_mut(chosen * gram.stride);
        let weights = &self.factor[chosen * budget..][..chosen];
        let g = T::registers::<S>(gram.row(s)).0.as_chunks::<PASS>().0;
        let row = T::registers_mut::<S>(&mut rest[..gram.stride]).as_chunks_mut::<PASS>().0;
        let alpha = T::registers_mut::<S>(&mut self.alpha).as_chunks_mut::<PASS>().0;
        let heights = T::registers_mut::<S>(&mut self.heights).as_chunks_mut::<PASS>().0;
        let earlier = T::registers::<S>(earlier).0.as_chunks::<PASS>().0;
        let stride = g.len();
        let inverse = T::splat(simd, self.inverse);
        let step = T::splat(simd, -self.coordinate);
        let mut best = Best::<T, S>::new(simd);
        for (at, ((g, row), alpha)) in g.iter().zip(row).zip(alpha).enumerate() {
            let mut sum = *g;
            for (u, &weight) in weights.iter().enumerate() {
                let weight = T::splat(simd, weight);
                let earlier = &earlier[u * stride + at];
                for r in 0..PASS {
                    sum[r] = T::fused(simd, weight, earlier[r], sum[r]);
                }
            }
            for r in 0..PASS {
                row[r] = T::times(simd, sum[r], inverse);
                alpha[r] = T::fused(simd, step, row[r], alpha[r]);
            }
            let halves = alpha.as_chunks::<STEPS>().0;
            match heights.get_mut(at) {
                Some(heights) => {
                    for r in 0..PASS {
                        heights[r] = T::minus(simd, heights[r], T::times(simd, row[r], row[r]));
                    }
                    for (alpha, heights) in halves.iter().zip(heights.as_chunks::<STEPS>().0) {
                        best.offer(simd, alpha, Some(heights));
                    }
                }
                None => {
                    for alpha in halves {
                        best.offer(simd, alpha, None);
                    }
                }
            }
        }
        self.next = best.place(simd, !self.heights.is_empty());
        let taken = |atom: usize| {
            let atom = atom as u32;
            self.support.contains(&atom) || self.excluded.contains(&atom)
        };
        if self.next.is_some_and(taken) {
            self.next = self.best_of_the_rest(simd);
        }
    }

    /// The atom with the best score; `None` if no score is positive. Ties go to the lowest index.
    #[inline(always)]
    fn best<S: Simd>(&self, simd: S) -> Option<usize> {
        let alpha = T::registers::<S>(&self.alpha).0.as_chunks::<STEPS>().0;
        let heights = T::registers::<S>(&self.heights).0.as_chunks::<STEPS>().0;
        let mut best = Best::<T, S>::new(simd);
        for (at, alpha) in alpha.iter().enumerate() {
            best.offer(simd, alpha, heights.get(at));
        }
        best.place(simd, !self.heights.is_empty())
    }

    /// As [`best`](Self::best), after the correlations of atoms that must not be chosen were zeroed.
    #[inline(never)]
    fn best_of_the_rest<S: Simd>(&mut self, simd: S) -> Option<usize> {
        for &atom in self.support.iter().chain(&self.excluded) {
            self.alpha[atom as usize] = T::zero();
        }
        self.best(simd)
    }

    /// Writes the code: γ ← L⁻ᵀ c. Returns its length.
    fn finish(&mut self, support: &mut [u32], values: &mut [T]) -> usize {
        let (chosen, budget) = (self.support.len(), self.inverses.len());
        support[..chosen].copy_from_slice(&self.support);
        let values = &mut values[..chosen];
        values.copy_from_slice(&self.coordinates[..chosen]);
        for i in (0..chosen).rev() {
            let value = values[i] * self.inverses[i];
            values[i] = value;
            for (earlier, &l) in values[..i].iter_mut().zip(&self.factor[i * budget..]) {
                *earlier += l * value;
            }
        }
        chosen
    }
}

/// The best score so far, in every lane of [`STEPS`] registers: no branches, and no second pass.
struct Best<T: Scalar, S: Simd> {
    /// |α|, or α² where heights are given.
    size: [T::V<S>; STEPS],
    height: [T::V<S>; STEPS],
    /// Minus how many offers came before its: the largest is the first.
    offer: [T::V<S>; STEPS],
    next: T::V<S>,
}

impl<T: Scalar, S: Simd> Best<T, S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let zero = T::splat(simd, T::zero());
        let height = [T::splat(simd, <T as One>::one()); STEPS];
        Self { size: [zero; STEPS], height, offer: [zero; STEPS], next: zero }
    }

    /// Takes in the next [`STEPS`] registers.
    #[inline(always)]
    fn offer(&mut self, simd: S, alpha: &[T::V<S>; STEPS], heights: Option<&[T::V<S>; STEPS]>) {
        for r in 0..STEPS {
            match heights {
                None => {
                    let size = T::magnitude(simd, alpha[r]);
                    let old = self.size[r];
                    self.offer[r] = T::where_greater(simd, size, old, self.next, self.offer[r]);
                    self.size[r] = T::larger(simd, size, old);
                }
                Some(heights) => {
                    // α²/h are compared as products with the other's h: divisions are slow.
                    let (square, height) = (T::times(simd, alpha[r], alpha[r]), heights[r]);
                    let new = T::times(simd, square, self.height[r]);
                    let old = T::times(simd, self.size[r], height);
                    let pick =
                        |new_value, value| T::where_greater(simd, new, old, new_value, value);
                    self.size[r] = pick(square, self.size[r]);
                    self.height[r] = pick(height, self.height[r]);
                    self.offer[r] = pick(self.next, self.offer[r]);
                }
            }
        }
        self.next = T::minus(simd, self.next, T::splat(simd, <T as One>::one()));
    }

    /// The index of the best, the lowest of equals.
    #[inline(always)]
    fn place(self, simd: S, by_height: bool) -> Option<usize> {
        let mut score = self.size;
        if by_height {
            for (score, height) in score.iter_mut().zip(self.height) {
                *score = T::over(simd, *score, height);
            }
        }
        let [s0, s1, s2, s3] = score;
        let best = T::larger(simd, T::larger(simd, s0, s1), T::larger(simd, s2, s3));
        let best = T::largest(simd, best);
        if best <= T::zero() {
            return None;
        }
        let mut negative = [T::zero(); STEPS * MOST_LANES];
        for (index, negative) in negative.iter_mut().enumerate() {
            *negative = -T::from_int(index as i32);
        }
        let (within, _) = T::registers::<S>(&negative);
        let width = T::splat(simd, T::from_int((STEPS * lanes::<T, S>()) as i32));
        let (best, none) = (T::splat(simd, best), T::splat(simd, T::narrow(-1e9)));
        let mut place = none;
        for r in 0..STEPS {
            // Minus the index of the atom.
            let of_score = T::fused(simd, self.offer[r], width, within[r]);
            let of_best = T::where_greater(simd, best, score[r], none, of_score);
            place = T::larger(simd, of_best, place);
        }
        Some(-T::largest(simd, place).truncate() as usize)
    }
}
