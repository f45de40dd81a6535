//! Small dictionaries: exact correlations, and several samples in step.
//!
//! Where the Gram matrix lies in the caches, much of the time goes into waiting: every step of a
//! pursuit is a chain of a few small operations, each of which needs the result of the one before.
//! So [`SAMPLES`] pursuits take their steps together, and one's waiting is filled with another's
//! work. The chosen atoms are orthogonalised: with LLᵀ = G_SS and W = L⁻¹ G_S,
//!
//! ```text
//! h  ← √(‖d_s‖² − Σ_t W_t[s]²)                 row s of L is (W_1[s] … W_{t−1}[s], h)
//! W_t ← (G_s − Σ_{u<t} W_u[s] W_u) / h
//! c_t ← α_s / h,   α ← α − c_t W_t,   ‖r‖² ← ‖r‖² − c_t²
//! γ  ← L⁻ᵀ c                                  once, at the end
//! ```
//! in one pass over the atoms, which also finds the next s, by |α_j| or by α_j²/(‖d_j‖² − Σ_t
//! W_t[j]²). Where rounding might decide ([`Doubt`]), the pursuit goes on in double precision.

use faer::MatRef;
use num_traits::{Float, One};
use pulp::Simd;

use super::best::{Best, STEPS};
use super::double::{DoublePursuit, Doubt, Task};
use super::full_gram::{CHUNK, FullGram};
use super::pass::OUT;
use crate::Scalar;
use crate::backend::{PursuitRule, Selection, Stop};
use crate::codes::CodesBlock;
use crate::cpu::vector::aligned::Aligned;
use crate::cpu::vector::loops;
use crate::matrix::column;
use crate::problem::{ProblemShape, Sign};

/// Most atoms of a dictionary that counts as small whatever the budget. Measured (Zen 4, `f32`):
/// the 16-bit rows take 1.3 to 2.5 times as long at m = 512, 0.8 times at (384, 1024, 16) and (384,
/// 2048, 16), on synthetic data and on MiniLM embeddings, with a trained dictionary and with one of
/// samples.
const MOST_ATOMS: usize = 512;

/// Most entries of W of a problem that counts as small with more atoms: at (128, 1024, 8) the
/// 16-bit rows take 1.2 times as long.
const MOST_ENTRIES: usize = 8192;

/// Whether a problem counts as small. Non-negative pursuits may drop atoms, and do not go in step.
pub(crate) fn suits(shape: &ProblemShape) -> bool {
    let small =
        shape.atoms <= MOST_ATOMS || shape.atoms.saturating_mul(shape.sparsity) <= MOST_ENTRIES;
    small && shape.sign == Sign::Signed
}

/// Samples whose pursuits go in step.
const SAMPLES: usize = 2;

/// Registers that one iteration of the pass fills: each weight is repeated for as many.
const PASS: usize = 2 * STEPS;

/// Scratch memory of [`SAMPLES`] pursuits.
#[derive(Debug)]
pub(crate) struct SmallScratch<T> {
    pursuits: [Pursuit<T>; SAMPLES],
    double: DoublePursuit,
}

/// A block of samples with what its pursuits begin with.
pub(crate) struct SmallProblem<'a, T> {
    pub(crate) gram: &'a FullGram<T>,
    pub(crate) dictionary: MatRef<'a, T>,
    pub(crate) samples: MatRef<'a, T>,
    /// α⁰.
    pub(crate) correlations: MatRef<'a, T>,
}

/// One sample's pursuit.
#[derive(Debug)]
struct Pursuit<T> {
    alpha: Aligned<T>,
    /// −‖(I − P) d_j‖², or −[`OUT`]; empty unless atoms are scored by it.
    negated_heights: Aligned<T>,
    /// The least height of all atoms that may be chosen; 1 unless atoms are scored by it.
    lowest: T,
    /// W, a row for each chosen atom.
    rows: Aligned<T>,
    /// −L, a row of k for each chosen atom, without the diagonal.
    factor: Vec<T>,
    /// The inverses of the diagonal of L.
    inverses: Vec<T>,
    coordinates: Vec<T>,
    support: Vec<u32>,
    residual: f64,
    stop: Stop<T>,
    doubt: Doubt,
    /// Whether the pursuit has to go on in double precision.
    in_doubt: bool,
    /// The next atom, while the pursuit goes on.
    next: Option<usize>,
    /// 1/h and c of the atom being added.
    inverse: T,
    coordinate: T,
}

impl<T: Scalar> SmallScratch<T> {
    pub(crate) fn new(shape: &ProblemShape, selection: Selection) -> Self {
        Self {
            pursuits: std::array::from_fn(|_| Pursuit::new(shape, selection)),
            double: DoublePursuit::new(shape, selection),
        }
    }

    /// Codes the samples of `block`.
    #[inline(always)]
    pub(crate) fn encode<S: Simd>(
        &mut self,
        simd: S,
        rule: &PursuitRule,
        problem: &SmallProblem<'_, T>,
        block: &mut CodesBlock<'_, T>,
    ) {
        let SmallProblem { gram, dictionary, samples, correlations } = *problem;
        for first in (0..block.len()).step_by(SAMPLES) {
            let group = &mut self.pursuits[..SAMPLES.min(block.len() - first)];
            for (i, pursuit) in group.iter_mut().enumerate() {
                let energy = loops::squared_norm(simd, column(samples, first + i));
                let stop = rule.stop(pursuit.inverses.len(), energy);
                pursuit.start(simd, gram, stop, energy, column(correlations, first + i));
            }
            let mut running = true;
            while running {
                running = false;
                for pursuit in group.iter_mut() {
                    pursuit.orthogonalise(gram);
                    running |= pursuit.next.is_some();
                    pursuit.add(simd, gram);
                }
            }
            for (i, pursuit) in group.iter_mut().enumerate() {
                let sample = column(samples, first + i);
                block.write(first + i, |support, values| {
                    let (double, chosen) = (&mut self.double, &pursuit.support);
                    if pursuit.in_doubt {
                        return double.code(
                            &mut Task { dictionary, sample, support, values },
                            rule,
                            chosen,
                        );
                    }
                    let length = pursuit.finish(support, values);
                    if pursuit.doubt.is_of(&values[..length], pursuit.residual) {
                        return double.refit(
                            &mut Task { dictionary, sample, support, values },
                            rule,
                            chosen,
                        );
                    }
                    length
                });
            }
        }
    }
}

impl<T: Scalar> Pursuit<T> {
    fn new(shape: &ProblemShape, selection: Selection) -> Self {
        let (width, k) = (shape.atoms.next_multiple_of(CHUNK), shape.sparsity);
        let zeros = |length| vec![T::zero(); length];
        let negated_heights = match selection {
            Selection::Correlation => Aligned::new(T::zero(), 0),
            Selection::LeastSquares => Aligned::new(T::narrow(-OUT), width),
        };
        Self {
            alpha: Aligned::new(T::zero(), width),
            negated_heights,
            lowest: <T as One>::one(),
            rows: Aligned::new(T::zero(), width * k),
            factor: zeros(k * k),
            inverses: zeros(k),
            coordinates: zeros(k),
            support: Vec::with_capacity(k),
            residual: 0.0,
            stop: Stop::at_budget(k),
            doubt: Doubt::none(),
            in_doubt: false,
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
        stop: Stop<T>,
        energy: f64,
        initial: &[T],
    ) {
        self.alpha[..initial.len()].copy_from_slice(initial);
        self.lowest = <T as One>::one();
        for (negated, &norm) in self.negated_heights.iter_mut().zip(&gram.norms) {
            *negated = -norm;
        }
        self.support.clear();
        self.residual = energy;
        self.stop = stop;
        self.doubt = Doubt::new(&stop, energy);
        self.in_doubt = false;
        self.next = self.best(simd);
    }

    /// Ends the pursuit, or finds the new row of L and coordinate.
    #[inline(always)]
    fn orthogonalise(&mut self, gram: &FullGram<T>) {
        let (chosen, budget) = (self.support.len(), self.inverses.len());
        let Some(s) = self.next else { return };
        let alpha = self.alpha[s];
        let is_full = self.stop.is_full(chosen);
        self.in_doubt = !is_full
            && (self.residual < self.doubt.residual
                || Float::abs(alpha).widen() < self.doubt.correlation
                || self.lowest < Doubt::height());
        let has_ended =
            is_full || self.stop.is_done(self.residual) || self.stop.is_too_little(alpha);
        if self.in_doubt || has_ended {
            self.next = None;
            return;
        }
        let mut height = gram.norms[s];
        let row = &mut self.factor[chosen * budget..][..chosen];
        for (l, w) in row.iter_mut().zip(self.rows[s..].iter().step_by(gram.stride)) {
            *l = -*w;
            height -= *w * *w;
        }
        if height < Doubt::height() {
            self.support.push(s as u32);
            (self.in_doubt, self.next) = (true, None);
            return;
        }
        let height = Float::sqrt(height);
        self.inverse = Float::recip(height);
        self.coordinate = alpha * self.inverse;
        self.inverses[chosen] = self.inverse;
        self.coordinates[chosen] = self.coordinate;
        self.residual = (self.residual - self.coordinate.widen().powi(2)).max(0.0);
    }

    /// Chooses the atom: W_t and α, and the next atom.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, gram: &FullGram<T>) {
        let Some(s) = self.next else { return };
        let (chosen, budget) = (self.support.len(), self.inverses.len());
        self.support.push(s as u32);
        if self.stop.is_full(chosen + 1) {
            self.next = None;
            return;
        }
        if let Some(negated) = self.negated_heights.get_mut(s) {
            *negated = T::narrow(-OUT);
        }
        let (earlier, rest) = self.rows.split_at_mut(chosen * gram.stride);
        let weights = &self.factor[chosen * budget..][..chosen];
        let g = T::registers::<S>(gram.row(s)).0.as_chunks::<PASS>().0;
        let row = T::registers_mut::<S>(&mut rest[..gram.stride]).as_chunks_mut::<PASS>().0;
        let alpha = T::registers_mut::<S>(&mut self.alpha).as_chunks_mut::<PASS>().0;
        let negated = T::registers_mut::<S>(&mut self.negated_heights).as_chunks_mut::<PASS>().0;
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
            match negated.get_mut(at) {
                Some(negated) => {
                    for r in 0..PASS {
                        negated[r] = T::fused(simd, row[r], row[r], negated[r]);
                    }
                    for (alpha, negated) in halves.iter().zip(negated.as_chunks::<STEPS>().0) {
                        best.offer(simd, alpha, Some(negated));
                    }
                }
                None => {
                    for alpha in halves {
                        best.offer(simd, alpha, None);
                    }
                }
            }
        }
        if !self.negated_heights.is_empty() {
            self.lowest = best.lowest(simd);
        }
        self.settle(best.place(simd, !self.negated_heights.is_empty()), simd);
    }

    /// The atom with the best score; `None` if no score is positive. Ties go to the lowest index.
    #[inline(always)]
    fn best<S: Simd>(&self, simd: S) -> Option<usize> {
        let alpha = T::registers::<S>(&self.alpha).0.as_chunks::<STEPS>().0;
        let negated = T::registers::<S>(&self.negated_heights).0.as_chunks::<STEPS>().0;
        let mut best = Best::<T, S>::new(simd);
        for (at, alpha) in alpha.iter().enumerate() {
            best.offer(simd, alpha, negated.get(at));
        }
        best.place(simd, !self.negated_heights.is_empty())
    }

    /// The next atom is `best`, unless it was chosen already: the correlation of a chosen atom is
    /// rounding. If nothing but that is left of the correlations, the choice is in doubt.
    #[inline(always)]
    fn settle<S: Simd>(&mut self, best: Option<usize>, simd: S) {
        self.next = best;
        if best.is_some_and(|atom| self.support.contains(&(atom as u32))) {
            self.next = self.best_of_the_rest(simd);
        }
        self.in_doubt = self.next.is_none();
    }

    /// As [`best`](Self::best), after the correlations of the chosen atoms were zeroed.
    #[inline(never)]
    fn best_of_the_rest<S: Simd>(&mut self, simd: S) -> Option<usize> {
        for &atom in &self.support {
            self.alpha[atom as usize] = T::zero();
        }
        self.best(simd)
    }

    /// Writes the code: γ ← L⁻ᵀ c. Returns its length.
    fn finish(&self, support: &mut [u32], values: &mut [T]) -> usize {
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
