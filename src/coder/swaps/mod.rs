//! Local search: a support is improved until no exchange of one atom for another helps.
//!
//! ```text
//! S ← the support of another coder, filled up by OLS if some of its atoms depend on others
//! repeat, at most `max_swaps` times:
//!     (u, j) ← the exchange of u ∈ S for j ∉ S that leaves the least error
//!     if it lowers ‖y − D_S γ‖² by no more than rounding: end
//!     S ← S ∖ {u} ∪ {j}
//! γ ← argmin ‖y − D_S γ‖
//! ```
//! The best j for every u is an OLS step on the support without u. [`exchange`] keeps what all of
//! these steps need: finding the best of all k(m − k) exchanges takes O(km), and so does making it.
//! Non-negative codes are searched by [`non_negative`], with these gains as bounds. An exchange is
//! made only if least squares in double precision confirms it, so the error falls with each and the
//! search ends. Where S can be exchanged no more, it is a local optimum of the ℓ0 problem that OMP,
//! OLS and K-SVD's coding step are greedy heuristics of: every global optimum is one.
//!
//! A. J. Miller, "Subset Selection in Regression", 2nd ed. 2002, ch. 3 (sequential replacement).
//! H. Hazimeh, R. Mazumder, "Fast best subset selection: coordinate descent and local combinatorial
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

/// Default most exchanges of a sample, in k.
pub(super) const SWAPS_PER_ATOM: usize = 4;

/// Drop of ‖r‖², in ε‖y‖², that is not told from rounding.
const ROUNDING: f64 = 32.0;

/// Improves the supports of another coder by exchanges of single atoms, until none helps.
///
/// Errors are never above those of the coder it starts from, to rounding, with at most as many
/// atoms a sample. For non-negative codes an exchange is scored by non-negative least squares; what
/// unconstrained least squares would gain bounds that, so that few candidates are solved for.
///
/// Complexity per sample, besides the start: O(dm + (k + s)·km) for s exchanges, mostly fewer than
/// k; with non-negative codes O(dm + s·(k²m + ck³)), for c candidates that the bound leaves, mostly
/// a few. Memory, besides that of the start: m² scalars for the Gram matrix and, for each thread,
/// (k + 131)·m + 128·d scalars. Samples of which an FVU of about 10⁴ ε is left are searched in
/// double precision, in O(kdm) more: that takes d·m doubles and, for each thread, (k + 4)·m.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Swaps<C = BatchOmp> {
    /// The coder whose supports are improved.
    pub start: C,
    /// The most exchanges a sample; `None` for 4 k.
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
    /// Starts from the codes of `start`: they say how many atoms a sample gets, so that stop rules
    /// are the start's.
    #[must_use]
    pub fn after(start: C) -> Self {
        Self { start, max_swaps: None, gram_limit: GRAM_LIMIT }
    }

    /// The most exchanges of a sample; 0 refits the start's coefficients. Default: 4k, which few
    /// samples reach.
    #[must_use]
    pub fn max_swaps(mut self, swaps: usize) -> Self {
        self.max_swaps = Some(swaps);
        self
    }

    /// Bytes that the Gram matrix may take, m² scalars; where that is more, its rows are computed
    /// as they are needed. Default: 4 GiB, which is up to 32,768 atoms in `f32`.
    #[must_use]
    pub fn gram_limit(mut self, bytes: usize) -> Self {
        self.gram_limit = bytes;
        self
    }
}

/// The state of the start, the Gram matrix and scratch memory of [`Swaps`].
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
    /// A residual.
    residual: Vec<f64>,
}

/// A code that a search has found.
#[derive(Debug)]
struct Found<T> {
    support: Vec<u32>,
    values: Vec<T>,
}

impl<T: Scalar> Found<T> {
    /// Takes the code of a search for at most `sparsity` atoms.
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
        state: &mut Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        self.start.encode(backend, &mut state.start, dictionary, y, codes)?;
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let SwapsState { shape, gram, wide, idle, .. } = &*state;
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
                        // The error of a code found is that of its coefficients as they are
                        // written.
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
                        if is_single && least < doubtful(sample) && least > hopeless {
                            // Gains may be below the rounding of single precision.
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

/// The search of one sample after the other.
#[derive(Debug)]
pub(super) struct LocalSearch<T> {
    exchange: Exchange<T>,
    squares: LeastSquares,
    /// The support that `squares` has solved for.
    chosen: Vec<u32>,
    sign: Sign,
    /// Candidates, where codes are non-negative.
    moves: Vec<Move>,
    /// A support to begin with.
    given: Vec<u32>,
    /// The support before a move, where codes are non-negative.
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

    /// Looks for a better code than the one given, of the error `start`; `false` if there is none.
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

    /// Searches from a support, filled up to `count` atoms. Returns the error of
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
            // The gain was of rounding, which exchanges may have added up.
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

    /// ‖y − D_S γ‖² by least squares on the support, with `atom` in the place given. An atom that
    /// depends on the others leaves more than the support has now.
    fn solve(&mut self, sample: Sample<'_, T>, swap: Option<(usize, u32)>) -> f64 {
        self.chosen.clear();
        self.chosen.extend_from_slice(self.exchange.support());
        if let Some((place, atom)) = swap {
            self.chosen[place] = atom;
        }
        self.solve_chosen(sample, Sign::Signed)
    }

    /// ‖y − D_S γ‖² by least squares on the support that is chosen.
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

/// A drop of the error that is not told from rounding.
fn rounding<T: Scalar>(sample: Sample<'_, T>) -> f64 {
    ROUNDING * T::EPSILON * sample.energy
}

/// The error below which gains are compared in double precision: [`rounding`] is then no longer
/// little beside it.
fn doubtful<T: Scalar>(sample: Sample<'_, T>) -> f64 {
    1e4 * T::EPSILON * sample.energy
}
