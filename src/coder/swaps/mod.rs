//! Local search: a support is improved until no exchange of one atom for another lowers the error.
//!
//! ```text
//! S ← the support of another coder, filled up by OLS if some of its atoms depend on others
//! repeat, at most `max_swaps` times:
//!     (u, j) ← the exchange of u ∈ S for j ∉ S that leaves the least error
//!     if it lowers ‖y − D_S γ‖² by no more than rounding: end
//!     S ← S ∖ {u} ∪ {j}
//! γ ← argmin ‖y − D_S γ‖
//! ```
//! For every u, the best j is an OLS step on the support without u. [`exchange`] keeps what all
//! these steps need, so that finding the best of all k(m − k) exchanges takes O(km), and so does
//! making it. For non-negative codes, [`non_negative`] searches, with these gains as bounds. An
//! exchange is made only if least squares in double precision confirms it, so each exchange lowers
//! the error, and the search ends. A support that no exchange improves is a local optimum of the ℓ0
//! problem, for which OMP, OLS and the coding step of K-SVD are greedy heuristics. Every global
//! optimum is such a local optimum.
//!
//! A. J. Miller, "Subset Selection in Regression", 2nd ed. 2002, ch. 3 (sequential replacement). H.
//! Hazimeh, R. Mazumder, "Fast best subset selection: coordinate descent and local combinatorial
//! optimization algorithms", Operations Research 68(5), 2020 (swap-inescapable minima, for k = 1).
//! P. Jain, A. Tewari, I. Dhillon, "Orthogonal matching pursuit with replacement", NIPS 2011.

mod double;
mod exchange;
mod non_negative;
mod passes;

use faer::MatRef;
use rayon::prelude::*;

use super::{BatchOmp, GRAM_LIMIT, SparseCoder};
use crate::Scalar;
use crate::cpu::HostBackend;
use crate::cpu::pursuit::correlations::{BLOCK, Correlations};
use crate::cpu::pursuit::full_gram::GramRows;
use crate::cpu::pursuit::greedy::write;
use crate::cpu::pursuit::least_squares::LeastSquares;
use crate::cpu::pursuit::wide::{Widened, leave, terms};
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::loops;
use crate::error::{BackendError, Error};
use crate::matrix::column;
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};
use double::DoubleSearch;
pub(super) use exchange::Sample;
use exchange::{Exchange, Move};

/// The default for the most exchanges of a sample, divided by k.
pub(super) const SWAPS_PER_ATOM: usize = 4;

/// A drop of ‖r‖² by less than this many ε‖y‖² counts as rounding.
const ROUNDING: f64 = 32.0;

/// ‖y‖² below which squares of what is left of a sample may underflow in single precision.
const UNDERFLOWS: f64 = 1e-30;

/// Improves the supports of another coder by exchanges of single atoms, until no exchange helps.
///
/// Errors are never above those of the other coder, except for rounding, and a sample never gets
/// more atoms. For non-negative codes, an exchange is scored by non-negative least squares. The
/// gain by unconstrained least squares bounds this score, so only a few candidates have to be
/// solved for.
///
/// Complexity per sample, besides that of the other coder: O(dm + (k + s)·km) for s exchanges,
/// usually fewer than k. For non-negative codes: O(dm + s·(k²m + ck³)), where c is the number of
/// candidates that the bound leaves, usually a few. Memory, besides that of the other coder: m²
/// scalars for the Gram matrix and, per thread, (k + 131)·m + 128·d scalars. Samples whose FVU is
/// below about 10⁴ ε are searched in double precision, which takes O(kdm) more per sample, d·m
/// doubles and, per thread, (k + 4)·m doubles.
///
/// ```
/// use dbksvd::coder::{BatchOmp, Swaps};
/// use dbksvd::metrics::reconstruction;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Model, Sign};
///
/// let data = Planted::new(16, 64, 4, 200).noise(0.1).generate::<f32>()?;
/// let model = Model::new(data.dictionary, None, 4, Sign::Signed)?;
/// let error = |codes| reconstruction(&model, data.samples.as_ref(), &codes).map(|it| it.fvu());
/// let by_pursuit = error(model.encode(&BatchOmp::new(), data.samples.as_ref())?)?;
/// let by_swaps = error(model.encode(&Swaps::new(), data.samples.as_ref())?)?;
/// assert!(by_swaps <= by_pursuit);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Swaps<C = BatchOmp> {
    /// The coder whose supports are improved.
    pub start: C,
    /// The most exchanges per sample; `None` stands for 4k.
    pub max_swaps: Option<usize>,
    /// Bytes that the Gram matrix may take.
    pub gram_limit: usize,
}

impl Default for Swaps {
    fn default() -> Self {
        Self::after(BatchOmp::new())
    }
}

impl Swaps {
    /// Starts from OMP ([`BatchOmp`]).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<C> Swaps<C> {
    /// Starts from the codes of `start`. They fix how many atoms a sample gets, so set stop rules
    /// on `start`.
    #[must_use]
    pub fn after(start: C) -> Self {
        Self { start, max_swaps: None, gram_limit: GRAM_LIMIT }
    }

    /// The most exchanges per sample. With 0, the coefficients of the starting code are refitted.
    /// Default: 4k, which few samples reach.
    #[must_use]
    pub fn max_swaps(mut self, swaps: usize) -> Self {
        self.max_swaps = Some(swaps);
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

/// The state of the coder that [`Swaps`] starts from, the Gram matrix, and scratch memory.
#[derive(Debug)]
pub struct SwapsState<S, T> {
    start: S,
    shape: ProblemShape,
    gram: GramRows<T>,
    wide: Widened,
    idle: ScratchPool<Scratch<T>>,
}

#[derive(Debug)]
struct Scratch<T> {
    correlations: Correlations<T>,
    search: LocalSearch<T>,
    double: Option<Box<DoubleSearch>>,
    found: Found<T>,
    /// Scratch for a residual.
    residual: Vec<f64>,
}

/// The code that a search found.
#[derive(Debug)]
struct Found<T> {
    support: Vec<u32>,
    values: Vec<T>,
}

impl<T: Scalar> Found<T> {
    /// Takes the code of a search that allowed at most `sparsity` atoms.
    fn take(&mut self, search: &LocalSearch<T>, sparsity: usize) {
        self.support.resize(sparsity, 0);
        self.values.resize(sparsity, T::zero());
        let length = search.write(&mut self.support, &mut self.values);
        self.support.truncate(length);
        self.values.truncate(length);
    }

    /// Takes the code of a search in double precision.
    fn narrow(&mut self, search: &DoubleSearch) {
        let Found { support, values } = &search.found;
        self.support.clone_from(support);
        self.values.clear();
        self.values.extend(values.iter().map(|&value| T::narrow(value)));
    }

    /// ‖y − D x‖².
    fn error(&self, dictionary: MatRef<'_, T>, y: &[T], residual: &mut Vec<f64>) -> f64 {
        leave(dictionary, y, terms(&self.support, &self.values), residual)
    }

    /// Writes the code; returns its length.
    fn write(&self, support: &mut [u32], values: &mut [T]) -> usize {
        write(&self.support, &self.values, support, values)
    }
}

impl<T: Scalar> Scratch<T> {
    fn new(shape: &ProblemShape) -> Self {
        Self {
            correlations: Correlations::new(shape.dim, shape.atoms),
            search: LocalSearch::new(shape.atoms, shape.sparsity, shape.sign),
            double: None,
            found: Found { support: Vec::new(), values: Vec::new() },
            residual: Vec::with_capacity(shape.dim),
        }
    }
}

impl<B: HostBackend, C: SparseCoder<B>> SparseCoder<B> for Swaps<C> {
    type State = SwapsState<C::State, B::Scalar>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.start.check(shape)
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        Ok(SwapsState {
            start: self.start.prepare(backend, shape)?,
            shape: *shape,
            gram: GramRows::new(shape.atoms, self.gram_limit)?,
            wide: Widened::default(),
            idle: ScratchPool::default(),
        })
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        self.start.set_dictionary(backend, &mut state.start, dictionary)?;
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
        self.start.encode(backend, &state.start, dictionary, y, codes)?;
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let SwapsState { shape, gram, wide, idle, .. } = state;
        let max_swaps = self.max_swaps.unwrap_or(SWAPS_PER_ATOM * shape.sparsity);
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            let samples = y.subcols(block.first(), block.len());
            idle.with(
                || Scratch::new(shape),
                |scratch| {
                    let Scratch { correlations, search, double, found, residual } = scratch;
                    let initial = correlations.compute(backend, dictionary, samples);
                    for i in 0..block.len() {
                        let y = column(samples, i);
                        let energy = loops::energy(y);
                        let initial = column(initial, i);
                        let sample = Sample { gram, dictionary, initial, energy };
                        let (support, values) = block.code(i);
                        let error = leave(dictionary, y, terms(support, values), residual);
                        // The error is computed from the coefficients as they are written, after
                        // rounding.
                        let mut least = error;
                        if search.improve(sample, support, error, max_swaps) {
                            found.take(search, shape.sparsity);
                            let error = found.error(dictionary, y, residual);
                            if error < least {
                                least = error;
                                block.write(i, |support, values| found.write(support, values));
                            }
                        }
                        let hopeless = 32.0 * f64::EPSILON * energy;
                        let is_single = size_of::<B::Scalar>() < size_of::<f64>();
                        let is_in_doubt = least < doubtful(sample) || energy < UNDERFLOWS;
                        if is_single && is_in_doubt && least > hopeless {
                            // In single precision, the gains may be smaller than rounding.
                            let double = double.get_or_insert_with(|| DoubleSearch::new(shape));
                            let support = block.code(i).0;
                            let wide = wide.get(dictionary);
                            if double.improve(wide, y, support, least, max_swaps) {
                                found.narrow(double);
                                if found.error(dictionary, y, residual) < least {
                                    block.write(i, |support, values| found.write(support, values));
                                }
                            }
                        }
                    }
                },
            );
        });
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        let Self { start, max_swaps, gram_limit } = self;
        Parameters::of("Swaps")
            .with("start", start.parameters())
            .with("max_swaps", *max_swaps)
            .with("gram_limit", *gram_limit)
    }
}

/// The search, which is used for one sample after the other.
#[derive(Debug)]
pub(super) struct LocalSearch<T> {
    exchange: Exchange<T>,
    squares: LeastSquares,
    /// The support for which `squares` holds the solution.
    chosen: Vec<u32>,
    sign: Sign,
    /// Candidates for moves, used for non-negative codes.
    moves: Vec<Move>,
    /// The support that the search begins with.
    given: Vec<u32>,
    /// The support before a move, used for non-negative codes.
    former: Vec<u32>,
}

impl<T: Scalar> LocalSearch<T> {
    pub(super) fn new(atoms: usize, sparsity: usize, sign: Sign) -> Self {
        Self {
            exchange: Exchange::new(atoms, sparsity),
            squares: LeastSquares::new(sparsity),
            chosen: Vec::with_capacity(sparsity),
            sign,
            moves: Vec::new(),
            given: Vec::with_capacity(sparsity),
            former: Vec::with_capacity(sparsity),
        }
    }

    /// Looks for a code that is better than the given one, whose error is `start`. Returns `false`
    /// if there is none.
    fn improve(
        &mut self,
        sample: Sample<'_, T>,
        support: &[u32],
        start: f64,
        max_swaps: usize,
    ) -> bool {
        if support.is_empty() {
            return false;
        }
        let error = match self.sign {
            Sign::Signed => self.run(sample, support, support.len(), max_swaps),
            Sign::NonNegative => self.run_non_negative(sample, support, support.len(), max_swaps),
        };
        error < start - rounding(sample)
    }

    /// Searches from a support, to which atoms are first added up to `count`. Returns the error of
    /// [`chosen`](Self::chosen).
    pub(super) fn run(
        &mut self,
        sample: Sample<'_, T>,
        support: &[u32],
        count: usize,
        max_swaps: usize,
    ) -> f64 {
        let rounding = rounding(sample);
        self.exchange.begin(sample, support);
        self.exchange.grow(sample, count);
        let mut error = self.solve(sample, None);
        let mut rebuilt = true;
        for _ in 0..max_swaps {
            let Some(swap) = self.exchange.best(rounding) else { break };
            let lower = self.solve(sample, Some((swap.place, swap.atom)));
            if lower < error - rounding && self.exchange.exchange(sample, swap) {
                (error, rebuilt) = (lower, false);
                continue;
            }
            // The gain was rounding, which the exchanges may have accumulated.
            error = self.solve(sample, None);
            if rebuilt {
                break;
            }
            self.exchange.begin(sample, &self.chosen);
            rebuilt = true;
        }
        error
    }

    /// The support found.
    pub(super) fn chosen(&self) -> &[u32] {
        &self.chosen
    }

    /// ‖y − D_S γ‖² by least squares on the support, with `atom` in the place given by `swap`. If
    /// the atom depends linearly on the others, the result is larger than the present error of the
    /// support.
    fn solve(&mut self, sample: Sample<'_, T>, swap: Option<(usize, u32)>) -> f64 {
        self.chosen.clear();
        self.chosen.extend_from_slice(self.exchange.support());
        if let Some((place, atom)) = swap {
            self.chosen[place] = atom;
        }
        self.solve_chosen(sample, Sign::Signed)
    }

    /// ‖y − D_S γ‖² by least squares on the chosen support.
    fn solve_chosen(&mut self, sample: Sample<'_, T>, sign: Sign) -> f64 {
        let Self { squares, chosen, .. } = self;
        squares.solve::<T>(
            sign,
            chosen.len(),
            |u, v| sample.gram.entry(sample.dictionary, chosen[u], chosen[v]).widen(),
            |u| sample.initial[chosen[u] as usize].widen(),
            sample.energy,
        );
        squares.error()
    }

    fn write(&self, support: &mut [u32], values: &mut [T]) -> usize {
        self.squares.write(&self.chosen, support, values)
    }
}

/// The drop of the error that counts as rounding.
fn rounding<T: Scalar>(sample: Sample<'_, T>) -> f64 {
    ROUNDING * T::EPSILON * sample.energy
}

/// The error below which gains are compared in double precision, because [`rounding`] is no longer
/// small compared with the error.
fn doubtful<T: Scalar>(sample: Sample<'_, T>) -> f64 {
    1e4 * T::EPSILON * sample.energy
}
