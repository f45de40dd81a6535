//! The method of optimal directions: all atoms at once, by least squares.
//!
//! ```text
//! R ← Y − DX
//! A ← X Xᵀ                                     m × m, in f64, from the sparse codes
//! λ ← ridge · tr(A)/m
//! D' ← D + R Xᵀ (A + λI)⁻¹                      by Cholesky, LLᵀ = A + λI
//! for each atom j:  s ← ‖d'_j‖,  d_j ← d'_j / s,  x_j ← s x_j
//! renew atoms that died, and merge those that duplicate another
//! ```
//!
//! Departures from the paper, whose formula is D' = Y Xᵀ (X Xᵀ)⁻¹, and why:
//! 1. With λ = 0 the two formulas are the same, since Y = DX + R. With the residual on the right,
//!    D' minimises ‖Y − D'X‖² + λ‖D' − D‖²: the ridge pulls towards the present atoms, not towards
//!    zero. So the error at fixed supports never rises, whatever the ridge is, and an atom that no
//!    sample uses stays as it is. For a good dictionary, the solution R Xᵀ (A + λI)⁻¹ is also
//!    small, so fewer digits are lost.
//! 2. If A is singular (because atoms are unused, or are used only together in fixed proportions),
//!    the factorisation fails. While it fails, the ridge is raised a hundredfold.
//! 3. Coefficients are multiplied by the norms that atoms had, so that normalising does not change
//!    D'X. If the solution for an atom is zero, its coefficients become zero and it keeps its
//!    direction.
//! 4. [`Renewal`] is added, as in [`KSvd`](super::KSvd).
//!
//! Reference: K. Engan, S. O. Aase & J. H. Husøy, *Method of optimal directions for frame design*,
//! ICASSP 1999.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::{Mat, MatMut, Par};
use rayon::prelude::*;

use super::renewal::{Renewal, Renewed, UseCounts};
use super::{DictionaryUpdater, SavedState, Started, Step, UpdateReport, begin, error_of};
use crate::Scalar;
use crate::backend::SweepRule;
use crate::codes::SparseCodes;
use crate::cpu::HostBackend;
use crate::cpu::sweep::sums::{add_code_products, add_sample_products};
use crate::cpu::vector::loops;
use crate::error::{BackendError, Error};
use crate::matrix::{column_mut, zeros};
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};

/// Rows of D' that one task solves for. The number is fixed, so that results do not depend on the
/// number of threads.
const ROWS_A_TASK: usize = 32;

/// Samples whose coefficients one task scales.
const SAMPLES_A_TASK: usize = 256;

/// The least ridge that is tried for a singular system, if the configured ridge is smaller.
const LEAST_RIDGE: f64 = 1e-14;

/// The method of optimal directions (MOD): the best dictionary for the given codes.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | [`ridge`](Self::ridge) | 10⁻⁸ | ≥ 0 | weight of the old atoms, in units of the mean of ‖x_j‖² |
/// | [`renewal`](Self::renewal) | on | | replaces dead and duplicate atoms |
///
/// It keeps nothing of earlier minibatches except use counts. So use it with the full batch, or
/// with minibatches many times the size of the dictionary: in a small minibatch, an atom that few
/// samples use would be fitted to these samples alone.
///
/// Complexity: O(k · nonzeros) for X Xᵀ, O(d · nonzeros) for R Xᵀ, m³/3 multiplications on one
/// thread for the factor, and d·m² in parallel for the solution. Memory, which is kept from update
/// to update: m² and d·m numbers of 8 bytes, the residual (d × N of the minibatch) and d·m scalars.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::updater::Mod;
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(5).updater(Mod::new()).build()?;
/// let (_, report) = learner.fit(&data.samples)?;
/// assert!(report.epochs[4].fvu < report.epochs[0].fvu);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mod {
    /// λ, in units of the mean of ‖x_j‖² over all atoms.
    pub ridge: f64,
    /// How dead and duplicate atoms are replaced.
    pub renewal: Option<Renewal>,
}

impl Default for Mod {
    fn default() -> Self {
        Self { ridge: 1e-8, renewal: Some(Renewal::default()) }
    }
}

impl Mod {
    /// The defaults in the table above.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The method as published, without ridge and renewal. For singular systems, the ridge is still
    /// raised.
    #[must_use]
    pub fn textbook() -> Self {
        Self { ridge: 0.0, renewal: None }
    }

    /// How much the present atoms weigh: the squared distance from them is multiplied by this many
    /// times the mean of ‖x_j‖² over all atoms. For singular systems, the ridge is raised.
    #[must_use]
    pub fn ridge(mut self, ridge: f64) -> Self {
        self.ridge = ridge;
        self
    }

    /// How dead and duplicate atoms are replaced; with `None`, they stay.
    #[must_use]
    pub fn renewal(mut self, renewal: Option<Renewal>) -> Self {
        self.renewal = renewal;
        self
    }
}

/// The data that [`Mod`] keeps from minibatch to minibatch, and its scratch memory.
#[derive(Debug)]
pub struct ModState<B: HostBackend> {
    shape: ProblemShape,
    /// The use counts: the only data that one minibatch leaves for the next.
    use_counts: UseCounts,
    sweep: B::Sweep,
    counts: Vec<u64>,
    /// R Xᵀ, d × m; later D'.
    directions: Mat<B::Scalar>,
    system: System,
}

/// Normal equations Z (A + λI) = R Xᵀ, in f64.
#[derive(Debug)]
pub(crate) struct System {
    /// A = X Xᵀ, m × m.
    matrix: Mat<f64>,
    /// L, in the lower triangle.
    factor: Mat<f64>,
    /// (R Xᵀ)ᵀ, m × d; later Zᵀ.
    solution: Mat<f64>,
}

impl<B: HostBackend> DictionaryUpdater<B> for Mod {
    type State = ModState<B>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        if !(self.ridge >= 0.0 && self.ridge.is_finite()) {
            return Err(Error::argument("ridge", self.ridge, "a finite number, at least 0"));
        }
        self.renewal.map_or(Ok(()), |renewal| renewal.check())
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let ProblemShape { dim, atoms, .. } = *shape;
        Ok(ModState {
            shape: *shape,
            use_counts: UseCounts::new(atoms),
            sweep: backend.prepare_sweep(&SweepRule::new(1), shape)?,
            counts: vec![0; atoms],
            directions: zeros(dim, atoms)?,
            system: System::new(atoms, dim)?,
        })
    }

    fn update(
        &self,
        backend: &B,
        state: &mut Self::State,
        y: &B::Matrix,
        codes: &mut B::Codes,
        dictionary: &mut B::Matrix,
        step: &Step<'_>,
    ) -> Result<UpdateReport, BackendError> {
        let ModState { shape, use_counts, sweep, counts, directions, system } = state;
        let minibatch = (y, &*dictionary, &*codes);
        let Started { share, mut report, .. } =
            begin(backend, sweep, minibatch, shape, step, counts)?;
        let share = &share;
        share.expect_alone("the method of optimal directions")?;
        let atom_sign = Sign::Signed;
        let renewal = Renewal::in_effect(self.renewal.as_ref(), step.progress);
        let renewed =
            Renewed { backend, share, samples: y, dictionary, codes, sweep, shape, atom_sign };
        let seated = use_counts.begin(renewal, renewed)?;
        if !seated.atoms.is_empty() {
            backend.recount(sweep, codes)?;
        }

        let (index, residual) = (&sweep.index, sweep.residual.as_ref());
        rayon::join(
            || add_code_products(system.matrix.as_mut(), 0.0, codes, index),
            || add_sample_products(directions.as_mut(), 0.0, residual, codes, index),
        );
        if system.factorise(self.ridge, use_counts.claims()).is_some() {
            system.solve(directions);
            let norms = take_directions(backend.view_mut(dictionary), directions);
            scale_coefficients(codes, &norms);
        }

        backend.refresh(sweep, y, dictionary, codes)?;
        let renewed =
            Renewed { backend, share, samples: y, dictionary, codes, sweep, shape, atom_sign };
        let outcome = use_counts.renew(renewal, renewed)?;
        (report.replaced, report.merged) = outcome.counts_with(&seated);
        report.error_after = error_of(backend, sweep, share)?;
        Ok(report)
    }

    fn save(&self, _: &B, state: &Self::State) -> Result<SavedState<B::Scalar>, BackendError> {
        let mut saved = SavedState::new();
        state.use_counts.save(&mut saved);
        Ok(saved)
    }

    fn restore(
        &self,
        _: &B,
        state: &mut Self::State,
        saved: &SavedState<B::Scalar>,
    ) -> Result<(), Error> {
        state.use_counts.restore(saved)
    }

    fn parameters(&self) -> Parameters {
        let Self { ridge, renewal } = *self;
        Parameters::of("Mod").with("ridge", ridge).with("renewal", renewal)
    }
}

impl System {
    /// Room for `atoms` unknowns, and a right-hand side of `dim` rows.
    pub(crate) fn new(atoms: usize, dim: usize) -> Result<Self, BackendError> {
        Ok(Self {
            matrix: zeros(atoms, atoms)?,
            factor: zeros(atoms, atoms)?,
            solution: zeros(atoms, dim)?,
        })
    }

    /// A, m × m.
    pub(crate) fn matrix_mut(&mut self) -> MatMut<'_, f64> {
        self.matrix.as_mut()
    }

    /// LLᵀ ← A + λI. λ is `ridge` tr(A)/m if the factorisation succeeds with it; otherwise it is a
    /// hundred times that, and so on. Returns the ridge with which it did; `None` if A is zero or
    /// not finite. The claim of large samples of other minibatches on an atom is added to its
    /// ridge, so that the atom stays in place for them.
    pub(crate) fn factorise(&mut self, ridge: f64, claims: &[f64]) -> Option<f64> {
        let Self { matrix, factor, .. } = self;
        let atoms = matrix.nrows();
        let scratch = llt::factor::cholesky_in_place_scratch::<f64>(
            atoms,
            Par::Seq,
            faer::prelude::default(),
        );
        let mut workspace = MemBuffer::new(scratch);
        let mean = (0..atoms).map(|j| matrix[(j, j)]).sum::<f64>() / atoms as f64;
        if !(mean > 0.0 && mean.is_finite()) {
            return None;
        }
        // At a ridge of 1 the matrix is far from singular.
        let most = ridge.max(1e4);
        let mut ridge = ridge;
        while ridge <= most {
            factor.copy_from(&*matrix);
            for (j, claim) in claims.iter().enumerate() {
                factor[(j, j)] += ridge * mean + claim;
            }
            let factored = llt::factor::cholesky_in_place(
                factor.as_mut(),
                llt::factor::LltRegularization::default(),
                Par::Seq,
                MemStack::new(&mut workspace),
                faer::prelude::default(),
            );
            // A pivot that is only rounding counts as a failure.
            let sound = |j: usize| {
                let square = factor[(j, j)] * factor[(j, j)];
                square > atoms as f64 * f64::EPSILON * (matrix[(j, j)] + ridge * mean + claims[j])
            };
            if factored.is_ok() && (0..atoms).all(sound) {
                return Some(ridge);
            }
            ridge = (100.0 * ridge).max(LEAST_RIDGE);
        }
        None
    }

    /// `directions` ← R Xᵀ (A + λI)⁻¹, in parallel over its rows.
    pub(crate) fn solve<T: Scalar>(&mut self, directions: &mut Mat<T>) {
        let factor = self.factor.as_ref();
        let statistics = directions.as_ref();
        self.solution.par_col_chunks_mut(ROWS_A_TASK).enumerate().for_each(
            |(chunk, mut solution)| {
                for within in 0..solution.ncols() {
                    let row = chunk * ROWS_A_TASK + within;
                    for (j, value) in column_mut(solution.as_mut(), within).iter_mut().enumerate() {
                        *value = statistics[(row, j)].widen();
                    }
                }
                let workspace = &mut [];
                llt::solve::solve_in_place(factor, solution, Par::Seq, MemStack::new(workspace));
            },
        );
        let solution = self.solution.as_ref();
        directions.par_col_chunks_mut(1).enumerate().for_each(|(j, direction)| {
            for (row, value) in column_mut(direction, 0).iter_mut().enumerate() {
                *value = T::narrow(solution[(j, row)]);
            }
        });
    }
}

/// D ← D + Z, with columns scaled to norm 1. Returns the norms s that the columns had. A column
/// that is zero keeps its former direction, and its s is 0.
fn take_directions<T: Scalar>(dictionary: MatMut<'_, T>, increments: &mut Mat<T>) -> Vec<T> {
    let mut norms = vec![T::zero(); increments.ncols()];
    dictionary
        .par_col_chunks_mut(1)
        .zip(increments.par_col_chunks_mut(1))
        .zip(&mut norms)
        .for_each(|((atom, increment), norm)| {
            let (atom, increment) = (column_mut(atom, 0), column_mut(increment, 0));
            if increment.iter().all(|&z| z == T::zero()) {
                *norm = <T as num_traits::One>::one();
                return;
            }
            loops::add(increment, <T as num_traits::One>::one(), atom);
            let length = loops::normalize(increment);
            if length.is_finite() && length > 0.0 {
                atom.copy_from_slice(increment);
                *norm = T::narrow(length);
            }
        });
    norms
}

/// x_j ← s_j x_j.
fn scale_coefficients<T: Scalar>(codes: &mut SparseCodes<T>, norms: &[T]) {
    codes.par_blocks_mut(SAMPLES_A_TASK).for_each(|mut block| {
        for i in 0..block.len() {
            let (support, values) = block.code_mut(i);
            for (value, &atom) in values.iter_mut().zip(support) {
                *value *= norms[atom as usize];
            }
        }
    });
}
