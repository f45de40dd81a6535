//! The ℓ0 problem, solved exactly for small dictionaries.
//!
//! ```text
//! minimise ‖y − Dx‖²    subject to    ‖x‖₀ ≤ k     (and x ≥ 0)
//! ```
//! A local search ([`Swaps`](super::Swaps) that starts from OLS, or from OMP for non-negative
//! codes) finds a good support. Branch and bound ([`search`]) then either proves that no other
//! support is better, or finds one that is. Everything is computed in double precision, whatever
//! the scalar is.

mod search;

use faer::Mat;
use rayon::prelude::*;

use super::SparseCoder;
use super::swaps::{LocalSearch, SWAPS_PER_ATOM, Sample};
use crate::Scalar;
use crate::cpu::Faer;
use crate::cpu::HostBackend;
use crate::cpu::pursuit::full_gram::GramRows;
use crate::cpu::pursuit::full_gram::correlate;
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::loops;
use crate::dictionary::Dictionary;
use crate::error::{BackendError, Error};
use crate::matrix::column;
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};
use crate::samples::{is_in_range, out_of_range};
use search::Search;

/// Samples that one task codes.
const BLOCK: usize = 4;

/// A support that is better by less than this, as a share of ‖y‖², counts as equal, because of
/// rounding.
const ROUNDING: f64 = 1e-12;

/// Codes that leave the least error of all codes with at most k nonzeros. Use it to measure how far
/// other coders are from the optimum.
///
/// It accepts at most [`MOST_ATOMS`](Self::MOST_ATOMS) atoms and
/// [`MOST_NONZEROS`](Self::MOST_NONZEROS) nonzeros per sample, because the problem is NP-hard and
/// the search may have to try all supports. It refuses larger problems.
///
/// The optimum is exact to rounding: no code with at most k nonzeros leaves an error ‖y − Dx‖² that
/// is lower by more than 10⁻¹² ‖y‖². An atom whose distance to the span of other atoms of a support
/// is at most √(128 ε) (1.7 · 10⁻⁷ in double precision) counts as a combination of them.
///
/// Complexity per sample: at worst O(m^(k−2)) nodes of O(m²) operations each. For m = 64 and k = 5
/// these are 41,664 nodes at which two atoms are still to be chosen; usually only some of them are
/// visited. Memory per thread: 100 KB, and 35 KB more for each of the k levels.
///
/// ```
/// use dbksvd::coder::{BatchOmp, Exact};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Model, Sign};
///
/// let data = Planted::new(12, 24, 3, 20).generate::<f64>()?;
/// let model = Model::new(data.dictionary, None, 3, Sign::Signed)?;
/// let best = model.encode(&Exact, data.samples.as_ref())?;
/// let found = model.encode(&BatchOmp::new(), data.samples.as_ref())?;
/// let same = (0..20).filter(|&i| {
///     let [mut a, mut b] = [best.support(i).to_vec(), found.support(i).to_vec()];
///     (a.sort(), b.sort());
///     a == b
/// });
/// println!("the pursuit found the best atoms of {} of 20 samples", same.count());
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Exact;

/// An optimal code, and the work that its proof took.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Certificate<T> {
    /// The atoms of an optimal code.
    pub support: Vec<u32>,
    /// Their coefficients.
    pub values: Vec<T>,
    /// ‖y − Dx‖², the least error of all codes with at most k nonzeros.
    pub error: f64,
    /// ‖y − Dx‖² of the code that the local search found before the proof.
    pub start_error: f64,
    /// The number of partial supports whose extensions were tried or excluded by a bound. It is at
    /// least 1, except for the zero sample.
    pub nodes: u64,
}

impl Exact {
    /// The most atoms of a dictionary.
    pub const MOST_ATOMS: usize = search::WIDTH;

    /// The largest budget k.
    pub const MOST_NONZEROS: usize = 5;

    /// Finds an optimal code of one sample and proves that it is optimal.
    ///
    /// # Errors
    /// [`Error::Argument`] for more atoms or nonzeros than the limits, or a sparsity outside
    /// 1..=min(d, m); [`Error::Dimension`] for a sample that is not of dimension d;
    /// [`Error::NotFinite`] for a NaN or an infinity; [`Error::Range`] for a sample that is so
    /// large or so small that its squares overflow or vanish; [`Error::Backend`] if memory cannot
    /// be allocated.
    ///
    /// # Example
    /// ```
    /// use dbksvd::coder::Exact;
    /// use dbksvd::synthetic::Planted;
    /// use dbksvd::Sign;
    ///
    /// let data = Planted::new(16, 48, 3, 1).noise(0.1).generate::<f64>()?;
    /// let sample: Vec<f64> = data.samples.col(0).iter().copied().collect();
    /// let proof = Exact.solve(&data.dictionary, &sample, 3, Sign::Signed)?;
    /// println!("atoms {:?} are optimal: {} nodes", proof.support, proof.nodes);
    /// assert!(proof.error <= proof.start_error);
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    pub fn solve<T: Scalar>(
        &self,
        dictionary: &Dictionary<T>,
        sample: &[T],
        sparsity: usize,
        sign: Sign,
    ) -> Result<Certificate<T>, Error> {
        let (dim, atoms) = dictionary.as_mat().shape();
        let shape = ProblemShape { dim, atoms, sparsity, sign };
        SparseCoder::<Faer<T>>::check(self, &shape)?;
        if sample.len() != dim {
            let found = sample.len();
            return Err(Error::Dimension { argument: "sample", found, expected: dim });
        }
        if let Some(coordinate) = loops::first_not_finite(sample) {
            let value = sample[coordinate].widen();
            return Err(Error::NotFinite { sample: 0, coordinate, value });
        }
        let norm = loops::energy(sample).sqrt();
        let zero = sample.iter().all(|y| y.is_zero());
        if !zero && !is_in_range::<T>(norm) {
            return Err(out_of_range::<T>(norm, Some(0)));
        }
        let mut problem = Problem::new(&shape)?;
        problem.set_dictionary(dictionary.as_mat());
        let mut scratch = Scratch::new(&shape);
        scratch.load(sample);
        let (start_error, nodes) = scratch.solve(&problem);
        let values = scratch.values.iter().map(|&value| T::narrow(value)).collect();
        let error = scratch.error(&problem);
        // The two errors are computed by different sums. For the same code they may differ by
        // rounding.
        let start_error = start_error.max(error);
        Ok(Certificate { support: scratch.support, values, error, start_error, nodes })
    }
}

/// The dictionary in double precision, and scratch memory of [`Exact`].
#[derive(Debug)]
pub struct ExactState {
    problem: Problem,
    idle: ScratchPool<Scratch>,
}

#[derive(Debug)]
struct Problem {
    shape: ProblemShape,
    dictionary: Mat<f64>,
    gram: GramRows<f64>,
}

impl Problem {
    fn new(shape: &ProblemShape) -> Result<Self, BackendError> {
        let dictionary = crate::matrix::zeros(shape.dim, shape.atoms)?;
        let gram = GramRows::new(shape.atoms, usize::MAX)?;
        Ok(Self { shape: *shape, dictionary, gram })
    }

    fn set_dictionary<T: Scalar>(&mut self, dictionary: faer::MatRef<'_, T>) {
        let shape = (self.shape.dim, self.shape.atoms);
        assert_eq!(dictionary.shape(), shape, "the dictionary's shape");
        for j in 0..dictionary.ncols() {
            let atom = self.dictionary.col_as_slice_mut(j);
            for (into, value) in atom.iter_mut().zip(column(dictionary, j)) {
                *into = value.widen();
            }
        }
        self.gram.compute(&Faer::<f64>::default(), self.dictionary.as_ref());
    }
}

#[derive(Debug)]
struct Scratch {
    sample: Vec<f64>,
    initial: Vec<f64>,
    local: LocalSearch<f64>,
    search: Search,
    /// The support and coefficients of the code found.
    support: Vec<u32>,
    values: Vec<f64>,
}

impl Scratch {
    fn new(shape: &ProblemShape) -> Self {
        let k = shape.sparsity;
        Self {
            sample: Vec::with_capacity(shape.dim),
            initial: vec![0.0; shape.atoms],
            local: LocalSearch::new(shape.atoms, k, Sign::Signed),
            search: Search::new(k),
            support: Vec::with_capacity(k),
            values: Vec::with_capacity(k),
        }
    }

    fn load<T: Scalar>(&mut self, sample: &[T]) {
        self.sample.clear();
        self.sample.extend(sample.iter().map(|y| y.widen()));
    }

    /// Finds an optimal code of the sample. Returns the error of the first support and the number
    /// of nodes visited.
    fn solve(&mut self, problem: &Problem) -> (f64, u64) {
        let Self { sample, initial, local, search, support, values } = self;
        let ProblemShape { atoms, sparsity, sign, .. } = problem.shape;
        let energy = loops::energy(sample);
        support.clear();
        values.clear();
        if energy == 0.0 {
            return (0.0, 0);
        }
        let (dictionary, gram) = (problem.dictionary.as_ref(), &problem.gram);
        correlate(dictionary, sample, initial);
        let entry = |i: usize, j: usize| gram.entry(dictionary, i as u32, j as u32);
        search.best.clear();
        search.best_error = match sign {
            Sign::Signed => {
                let sample = Sample { gram, dictionary, initial, energy };
                let error = local.run(sample, &[], sparsity, SWAPS_PER_ATOM * sparsity);
                search.best.extend_from_slice(local.chosen());
                error
            }
            Sign::NonNegative => {
                let squares = &mut search.squares;
                squares.pursue::<f64>(sign, sparsity, atoms, entry, |i| initial[i], energy);
                search.best.extend(squares.solution().map(|(place, _)| place as u32));
                squares.error()
            }
        };
        let start_error = search.best_error;
        search.run(sign, entry, initial, energy, ROUNDING * energy);
        let Search { best, squares, .. } = search;
        let (gram, initial) = (
            |u: usize, v: usize| entry(best[u] as usize, best[v] as usize),
            |u: usize| initial[best[u] as usize],
        );
        squares.solve::<f64>(sign, best.len(), gram, initial, energy);
        for (place, value) in squares.solution() {
            support.push(best[place]);
            values.push(value);
        }
        (start_error, search.nodes)
    }

    /// ‖y − Dx‖² of the code found.
    fn error(&mut self, problem: &Problem) -> f64 {
        for (&atom, &value) in self.support.iter().zip(&self.values) {
            let atom = problem.dictionary.col_as_slice(atom as usize);
            loops::axpy(&mut self.sample, -value, atom);
        }
        loops::energy(&self.sample)
    }
}

impl<B: HostBackend> SparseCoder<B> for Exact {
    type State = ExactState;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        if shape.atoms > Self::MOST_ATOMS {
            let expected = format!("at most {} for the exact coder", Self::MOST_ATOMS);
            return Err(Error::argument("atoms", shape.atoms, expected));
        }
        if shape.sparsity > Self::MOST_NONZEROS {
            let expected = format!("at most {} for the exact coder", Self::MOST_NONZEROS);
            return Err(Error::argument("sparsity", shape.sparsity, expected));
        }
        Ok(())
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        Ok(ExactState { problem: Problem::new(shape)?, idle: ScratchPool::default() })
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        state.problem.set_dictionary(backend.view(dictionary));
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        _: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let y = backend.view(y);
        let ExactState { problem, idle } = state;
        assert_eq!(y.nrows(), problem.shape.dim, "the samples' dimension");
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            idle.with(
                || Scratch::new(&problem.shape),
                |scratch| {
                    for i in 0..block.len() {
                        scratch.load(column(y, block.first() + i));
                        scratch.solve(problem);
                        block.write(i, |support, values| {
                            let code = scratch.support.iter().zip(&scratch.values);
                            for ((slot, into), (&atom, &value)) in
                                support.iter_mut().zip(values).zip(code)
                            {
                                (*slot, *into) = (atom, B::Scalar::narrow(value));
                            }
                            scratch.support.len()
                        });
                    }
                },
            );
        });
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        Parameters::of("Exact")
    }
}
