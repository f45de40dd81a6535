//! Matching pursuit: each step changes one coefficient, without least squares in between.
//!
//! ```text
//! x ← 0, r ← y
//! repeat until ‖r‖ ≤ tolerance, or no correlation is left, at most 4k times:
//!     α ← Dᵀr,  s ← argmax_j |α_j|                 an atom may be chosen again
//!     x_s ← x_s + α_s,  r ← r − α_s d_s
//!     if x has k + 1 nonzeros: the smallest is dropped; end
//! refit, if asked for: x ← argmin ‖y − D_S x‖
//! ```
//! α is kept up to date by rows of the Gram matrix: α ← α − α_s G_s. If rounding might decide
//! ([`Doubt`]), the sample is coded again in double precision. Non-negative codes select atoms with
//! α_s > 0, so their coefficients only grow.
//!
//! The rule is that of KSVD.jl. With k atoms chosen, the pursuit continues until the best atom is a
//! (k + 1)-th one, so that the k atoms get a few more steps. Departures from KSVD.jl, and why:
//! 1. KSVD.jl can return k + 1 nonzeros if the last step meets the tolerance. Here there are never
//!    more than k.
//! 2. Dropping an older atom instead of the newest can raise the error. Without a refit and with
//!    coherent atoms, it can even rise above ‖y‖². If it would, the newest atom is dropped instead.
//! 3. The norms of atoms may differ from 1 by rounding, so the step is α_s / ‖d_s‖².
//!
//! S. Mallat, Z. Zhang, "Matching pursuits with time-frequency dictionaries", IEEE Trans. Signal
//! Processing 41(12), 1993. KSVD.jl: <https://github.com/sisl/KSVD.jl>, `MatchingPursuit`.

use faer::MatRef;
use num_traits::Float;
use rayon::prelude::*;

use super::{Coefficients, GRAM_LIMIT, SparseCoder};
use crate::Scalar;
use crate::backend::{PursuitRule, Selection, Stop, Tolerance};
use crate::cpu::HostBackend;
use crate::cpu::pursuit::argmax::select;
use crate::cpu::pursuit::correlations::{BLOCK, Correlations};
use crate::cpu::pursuit::double::Doubt;
use crate::cpu::pursuit::full_gram::{CHUNK, GramRows};
use crate::cpu::pursuit::greedy::write;
use crate::cpu::pursuit::least_squares::LeastSquares;
use crate::cpu::pursuit::wide::{Wide, Widened, widen};
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::{loops, vectorized};
use crate::error::{BackendError, Error};
use crate::matrix::column;
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};

/// Matching pursuit (MP), with or without a refit of the coefficients at the end.
///
/// This is the cheapest pursuit: a step is one pass over m numbers. Its error is higher than that
/// of [`BatchOmp`](super::BatchOmp) at the same k, since coefficients are not corrected once they
/// are chosen. A refit ([`Coefficients::Refitted`]) recovers part of the difference.
///
/// A sample takes at most 4k steps, and usually only a few more than k. When a step chooses a (k +
/// 1)-th atom, the smallest coefficient is dropped and the pursuit ends.
///
/// Correlations are updated by recurrences, which are exact to about 10⁻⁷ ‖y‖ in `f32`. A sample
/// whose code might change because of this is coded again in double precision, in O(kdm). Once
/// there is such a sample, the dictionary is also kept in double precision.
///
/// Complexity per sample: O(dm + km), and O(k³) for a refit; without the Gram matrix, O(kdm).
/// Memory: m² scalars for the Gram matrix and, per thread, 130·m + 128·d scalars. Once a sample
/// needs double precision: d·m doubles and, per thread, 2·m + d.
///
/// ```
/// use dbksvd::coder::{Coefficients, MatchingPursuit};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Model, Sign};
///
/// let data = Planted::new(32, 64, 3, 100).generate::<f32>()?;
/// let model = Model::new(data.dictionary, None, 4, Sign::Signed)?;
/// let coder = MatchingPursuit::new().coefficients(Coefficients::Refitted);
/// let codes = model.encode(&coder, data.samples.as_ref())?;
/// assert!((0..100).all(|i| codes.support(i).len() <= 4));
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct MatchingPursuit {
    /// How atoms are chosen, and when a pursuit ends.
    pub rule: PursuitRule,
    /// Which coefficients the chosen atoms get.
    pub coefficients: Coefficients,
    /// Bytes that the Gram matrix may take.
    pub gram_limit: usize,
}

impl Default for MatchingPursuit {
    fn default() -> Self {
        Self {
            rule: PursuitRule::default(),
            coefficients: Coefficients::AsChosen,
            gram_limit: GRAM_LIMIT,
        }
    }
}

impl MatchingPursuit {
    /// Matching pursuit without a refit, and without a stop rule other than the budget.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether coefficients are refitted at the end. Default: [`Coefficients::AsChosen`].
    #[must_use]
    pub fn coefficients(mut self, coefficients: Coefficients) -> Self {
        self.coefficients = coefficients;
        self
    }

    /// Stops a sample once its residual is this small. Default: never.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Tolerance) -> Self {
        self.rule.tolerance = Some(tolerance);
        self
    }

    /// Stops a sample once the largest |dᵀr| is below this. Default: 0.
    #[must_use]
    pub fn min_correlation(mut self, least: f64) -> Self {
        self.rule.min_correlation = Some(least);
        self
    }

    /// Bytes that the Gram matrix may take. It takes m² scalars; if that is more than the limit,
    /// its rows are computed when they are needed. Default: 4 GiB, which is enough for 32,768 atoms
    /// in `f32`.
    #[must_use]
    pub fn gram_limit(mut self, bytes: usize) -> Self {
        self.gram_limit = bytes;
        self
    }
}

/// The Gram matrix and scratch memory of [`MatchingPursuit`].
#[derive(Debug)]
pub struct MatchingPursuitState<T> {
    shape: ProblemShape,
    gram: GramRows<T>,
    wide: Widened,
    idle: ScratchPool<Scratch<T>>,
}

#[derive(Debug)]
struct Scratch<T> {
    correlations: Correlations<T>,
    alpha: Vec<T>,
    row: Vec<T>,
    /// The chosen atoms and their coefficients.
    support: Vec<u32>,
    values: Vec<T>,
    squares: LeastSquares,
    double: Option<Box<DoubleScratch>>,
}

/// Scratch for a sample that is coded in double precision.
#[derive(Debug, Default)]
struct DoubleScratch {
    sample: Vec<f64>,
    alpha: Vec<f64>,
    row: Vec<f64>,
    values: Vec<f64>,
}

impl<T: Scalar> Scratch<T> {
    fn new(shape: &ProblemShape) -> Self {
        let (width, k) = (shape.atoms.next_multiple_of(CHUNK), shape.sparsity);
        Self {
            correlations: Correlations::new(shape.dim, shape.atoms),
            alpha: vec![T::zero(); width],
            row: vec![T::zero(); width],
            support: Vec::with_capacity(k + 1),
            values: Vec::with_capacity(k + 1),
            squares: LeastSquares::new(k),
            double: None,
        }
    }
}

impl<B: HostBackend> SparseCoder<B> for MatchingPursuit {
    type State = MatchingPursuitState<B::Scalar>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.rule.check()
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let gram = GramRows::new(shape.atoms, self.gram_limit)?;
        let (wide, idle) = (Widened::default(), ScratchPool::default());
        Ok(MatchingPursuitState { shape: *shape, gram, wide, idle })
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        state.gram.compute(backend, backend.view(dictionary));
        state.wide.forget();
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let MatchingPursuitState { shape, gram, wide, idle } = state;
        assert_eq!(dictionary.shape(), (shape.dim, shape.atoms), "the dictionary's shape");
        assert_eq!(y.nrows(), dictionary.nrows(), "the samples' dimension");
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            let samples = y.subcols(block.first(), block.len());
            idle.with(
                || Scratch::new(shape),
                |scratch| {
                    let Scratch { correlations, alpha, row, support, values, squares, double } =
                        scratch;
                    let initial = correlations.compute(backend, dictionary, samples);
                    for i in 0..block.len() {
                        let sample = column(samples, i);
                        let energy = loops::energy(sample);
                        alpha[..shape.atoms].copy_from_slice(column(initial, i));
                        let mut pursuit = Pursuit { gram, dictionary, alpha, row, support, values };
                        let stop = self.rule.stop(shape.sparsity, energy);
                        let doubt = Doubt::new(&stop, energy);
                        let is_certain = pursuit.run(stop, shape.sign, energy, doubt);
                        if !is_certain {
                            let double = double.get_or_insert_default();
                            double.run(wide.get(dictionary), &self.rule, shape, sample, support);
                            values.clear();
                            values.extend(
                                double.values.iter().map(|&value| B::Scalar::narrow(value)),
                            );
                        }
                        block.write(i, |slots, into| match self.coefficients {
                            Coefficients::AsChosen => write(support, values, slots, into),
                            Coefficients::Refitted if !is_certain => {
                                squares.fit(shape.sign, dictionary, sample, support);
                                squares.write(support, slots, into)
                            }
                            Coefficients::Refitted => {
                                squares.solve::<B::Scalar>(
                                    shape.sign,
                                    support.len(),
                                    |u, v| gram.entry(dictionary, support[u], support[v]).widen(),
                                    |u| initial[(support[u] as usize, i)].widen(),
                                    energy,
                                );
                                let gamma: f64 = squares.solution().map(|(_, x)| x * x).sum();
                                if squares.solution().len() < support.len()
                                    || doubt.is_of_size::<B::Scalar>(gamma, squares.error())
                                {
                                    squares.fit(shape.sign, dictionary, sample, support);
                                }
                                squares.write(support, slots, into)
                            }
                        });
                    }
                },
            );
        });
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        let Self { rule, coefficients, gram_limit } = *self;
        rule.parameters("MatchingPursuit")
            .with("coefficients", coefficients)
            .with("gram_limit", gram_limit)
    }
}

/// The pursuit of one sample with given correlations α⁰.
struct Pursuit<'a, T: Scalar> {
    gram: &'a GramRows<T>,
    dictionary: MatRef<'a, T>,
    alpha: &'a mut [T],
    row: &'a mut [T],
    support: &'a mut Vec<u32>,
    values: &'a mut Vec<T>,
}

impl<T: Scalar> Pursuit<'_, T> {
    /// Fills `support` and `values`. Returns `false` if rounding might have decided.
    fn run(&mut self, stop: Stop<T>, sign: Sign, energy: f64, doubt: Doubt) -> bool {
        self.support.clear();
        self.values.clear();
        // Correlations this small are rounding, and not worth an atom.
        let stop = stop.with_least(4.0 * f64::EPSILON * energy.sqrt());
        let (mut residual, mut steps) = (energy, 0);
        while !stop.is_out_of_steps(steps) {
            steps += 1;
            if residual < doubt.residual {
                return false;
            }
            if stop.is_done(residual) {
                break;
            }
            let Some(s) = select(self.alpha, &[], T::zero(), Selection::Correlation, sign) else {
                break;
            };
            let correlation = self.alpha[s];
            if Float::abs(correlation).widen() < doubt.correlation {
                return false;
            }
            if stop.is_too_little(correlation) {
                break;
            }
            let value = correlation / self.gram.norms()[s];
            residual = (residual - correlation.widen() * value.widen()).max(0.0);
            let atom = s as u32;
            let place = self.support.iter().position(|&chosen| chosen == atom);
            let is_one_too_many = place.is_none() && stop.is_full(self.support.len());
            match place {
                Some(place) => self.values[place] += value,
                None => {
                    self.support.push(atom);
                    self.values.push(value);
                }
            }
            let row = self.gram.row(self.dictionary, s, self.row);
            if is_one_too_many {
                drop_one(self.support, self.values, self.alpha, row, residual, energy);
                break;
            }
            subtract(self.alpha, value, row);
        }
        if sign == Sign::Signed {
            // Steps with opposite signs can cancel and leave a coefficient of zero.
            let mut values = self.values.iter();
            self.support.retain(|_| values.next().is_some_and(|value| !value.is_zero()));
            self.values.retain(|value| !value.is_zero());
        }
        true
    }
}

impl DoubleScratch {
    /// Fills `support` and `values`.
    fn run<T: Scalar>(
        &mut self,
        wide: &Wide,
        rule: &PursuitRule,
        shape: &ProblemShape,
        sample: &[T],
        support: &mut Vec<u32>,
    ) {
        let Self { sample: exact, alpha, row, values } = self;
        let width = shape.atoms.next_multiple_of(CHUNK);
        alpha.resize(width, 0.0);
        row.resize(width, 0.0);
        widen(sample, exact);
        wide.correlate(exact, &mut alpha[..shape.atoms]);
        let (gram, dictionary) = (&wide.gram, wide.dictionary());
        let mut pursuit = Pursuit { gram, dictionary, alpha, row, support, values };
        let energy = loops::energy(exact);
        pursuit.run(rule.stop(shape.sparsity, energy), shape.sign, energy, Doubt::none());
    }
}

/// Drops the smallest coefficient, or the earliest of several equal ones. Drops the newest atom
/// instead if the error would be above ‖y‖² otherwise. `alpha` holds the correlations before the
/// last step, and `row` is the newest atom's row of G.
fn drop_one<T: Scalar>(
    support: &mut Vec<u32>,
    values: &mut Vec<T>,
    alpha: &[T],
    row: &[T],
    residual: f64,
    energy: f64,
) {
    let newest = support.len() - 1;
    let mut smallest = 0;
    for (place, value) in values.iter().enumerate() {
        if Float::abs(*value) < Float::abs(values[smallest]) {
            smallest = place;
        }
    }
    if smallest < newest {
        // ‖r + x d‖² = ‖r‖² + 2 x dᵀr + x²
        let atom = support[smallest] as usize;
        let value = values[smallest].widen();
        let correlation = (alpha[atom] - values[newest] * row[atom]).widen();
        let raised = residual + 2.0 * value * correlation + value * value;
        if raised > energy {
            smallest = newest;
        }
    }
    support.remove(smallest);
    values.remove(smallest);
}

vectorized! {
    /// α ← α − x g.
    fn subtract<'a, T>(alpha: &'a mut [T], value: T, row: &'a [T]) {
        loops::axpy(alpha, -value, row);
    }
}
