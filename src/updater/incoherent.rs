//! An updater that limits the coherence of the dictionary after any other updater.
//!
//! ```text
//! D, X ← the inner updater
//! repeat at most `iterations` times, while some |d_i·d_j| > μ:
//!     G ← DᵀD
//!     E ← G − clip(G to ±0.99 μ) off the diagonal, 0 on it
//!     η ← 1 / (2 max(1, max_j Σ_i |E_ij|))
//!     D ← normalise(D − η D E)
//! R ← Y − DX
//! twice, for each sample, each atom j it uses:
//!     c ← r·d_j + x_j,  r ← r + (x_j − c) d_j,  x_j ← c          refit at its support
//! ```
//! G − E is the projection of the Gram matrix on those of coherence 0.99 μ, which is the structural
//! step of Barchiesi & Plumbley. The dictionary would have to have this Gram matrix, and be of rank
//! d. They cut an eigendecomposition to rank d (the spectral step). That leaves D undetermined up
//! to a rotation, which their third step fits to the samples.
//!
//! Here D itself moves towards G − E: D (I − E/2) has the Gram matrix G − E to first order, and D E
//! is the gradient of the penalty ¼ Σ max(|d_i·d_j| − 0.99 μ, 0)². Only the atoms of pairs that are
//! too similar move, so no rotation is needed. A single pair reaches the bound in two or three
//! steps. If the excess of many atoms adds up, η keeps the step within what is to be removed. The
//! target 0.99 μ is a hundredth below the bound, so that the steps reach the bound itself.
//!
//! References: D. Barchiesi & M. D. Plumbley, *Learning incoherent dictionaries for sparse
//! approximation using iterative projections and rotations*, IEEE Trans. Signal Processing 61,
//! 2013; B. Mailhé, D. Barchiesi & M. D. Plumbley, *INK-SVD: learning incoherent dictionaries for
//! sparse representations*, ICASSP 2012 (pairs moved apart within an otherwise unchanged
//! dictionary).

use faer::{Mat, MatMut, MatRef};
use num_traits::{Float, Zero};
use rayon::prelude::*;

use super::{DictionaryUpdater, SavedState, Step, UpdateReport, squared_norm_of};
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::HostBackend;
use crate::cpu::product::multiply;
use crate::cpu::vector::{loops, vectorized};
use crate::error::{BackendError, Error};
use crate::matrix::{column, column_mut, zeros};
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};

/// Atoms whose excess one task computes. The number is fixed, so that results do not depend on the
/// number of threads.
const BLOCK: usize = 128;

/// Samples that one task refits.
const SAMPLES_A_TASK: usize = 64;

/// If fewer than one in this many entries of E are nonzero, a full matrix product is not
/// worthwhile.
const RARE: usize = 16;

/// Passes of the refit over the atoms of a sample.
const PASSES: usize = 2;

/// The coherence that the steps aim at, as a share of the bound.
const AIM: f64 = 0.99;

/// An updater, followed by steps that move atoms apart until no two of them have a |cos| above a
/// bound.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | updater | given | | the updater that runs first |
/// | `max_coherence` μ | given | above Welch's bound, ≤ 1 | largest \|cos\| of two atoms |
/// | [`iterations`](Self::iterations) | 20 | ≥ 1 | most steps per minibatch |
///
/// For m > d atoms, the coherence cannot be below Welch's bound (1974), √((m − d) / (d (m − 1))).
/// For a μ close above Welch's bound, the steps do not reach μ, and some pairs stay above it. With
/// μ = 1 nothing is done. The bound is on |cos| for codes of either sign, since the guarantees of
/// pursuit ([`Coherence`](crate::metrics::Coherence)) depend on |cos|, too. Atoms that the updater
/// keeps ([`Fixed`](super::Fixed)) do not move: of a pair with one, the other moves.
///
/// Complexity: d·m² multiplications per step, and twice that if more than one pair in sixteen is
/// above the bound; then 2·d for each nonzero in each of two passes of the refit. Memory: 2·d·m and
/// p·128·m scalars on p threads, and the residual (d × N of the minibatch).
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::metrics::Coherence;
/// use dbksvd::synthetic::{Kind, Planted};
/// use dbksvd::updater::{Incoherent, KSvd};
///
/// let data = Planted::new(16, 24, 2, 600).kind(Kind::Correlated).generate::<f32>()?;
/// let updater = Incoherent::new(KSvd::new(), 0.6).iterations(50);
/// let learner = DbKsvd::builder(24, 2).epochs(5).updater(updater).build()?;
/// let (model, _) = learner.fit(&data.samples)?;
/// assert!(Coherence::new(model.dictionary()).coherence() < 0.601);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Incoherent<U> {
    /// The updater that runs first.
    pub updater: U,
    /// The largest |cos| that two atoms may have.
    pub max_coherence: f64,
    /// The most steps after an update.
    pub iterations: usize,
}

impl<U> Incoherent<U> {
    /// Runs `updater`, and then steps towards a dictionary of coherence `max_coherence`.
    #[must_use]
    pub fn new(updater: U, max_coherence: f64) -> Self {
        Self { updater, max_coherence, iterations: 20 }
    }

    /// The most steps per minibatch.
    #[must_use]
    pub fn iterations(mut self, iterations: usize) -> Self {
        self.iterations = iterations;
        self
    }
}

/// The state of the inner updater, and scratch memory.
#[derive(Debug)]
pub struct IncoherentState<B: HostBackend, S> {
    shape: ProblemShape,
    /// The state of the inner updater: the only data that one minibatch leaves for the next.
    inner: S,
    residual: B::Matrix,
    /// D E.
    change: Mat<B::Scalar>,
    /// Σ_i |E_ij| for each atom j.
    excess: Vec<f64>,
    /// Which atoms do not move: their columns of E are zero.
    is_fixed: Vec<bool>,
}

impl<B: HostBackend, U: DictionaryUpdater<B>> DictionaryUpdater<B> for Incoherent<U> {
    type State = IncoherentState<B, U::State>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        self.updater.check(shape)?;
        if self.iterations == 0 {
            return Err(Error::argument("iterations", 0, "at least 1"));
        }
        let least = welch_bound(shape);
        if !(self.max_coherence > 0.0 && (least..=1.0).contains(&self.max_coherence)) {
            let expected = format!("above 0, at least Welch's bound {least:.4}, at most 1");
            return Err(Error::argument("max_coherence", self.max_coherence, expected));
        }
        Ok(())
    }

    fn check_shared(&self, shape: &ProblemShape) -> Result<(), Error> {
        self.updater.check_shared(shape)
    }

    fn fixed_atoms(&self) -> Vec<u32> {
        self.updater.fixed_atoms()
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let mut is_fixed = vec![false; shape.atoms];
        self.updater.fixed_atoms().iter().for_each(|&atom| is_fixed[atom as usize] = true);
        Ok(IncoherentState {
            shape: *shape,
            is_fixed,
            inner: self.updater.prepare(backend, shape)?,
            residual: backend.zeros(shape.dim, 0)?,
            change: zeros(shape.dim, shape.atoms)?,
            excess: vec![0.0; shape.atoms],
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
        let mut report =
            self.updater.update(backend, &mut state.inner, y, codes, dictionary, step)?;
        let mut steps = 0;
        while steps < self.iterations && state.measure(backend, dictionary, self.max_coherence) {
            state.step(backend.view_mut(dictionary));
            steps += 1;
        }
        if steps > 0 {
            backend.residual(&mut state.residual, y, dictionary, codes);
            let (d, r) = (backend.view(dictionary), backend.view_mut(&mut state.residual));
            refit(d, r, codes, state.shape.sign);
            backend.residual(&mut state.residual, y, dictionary, codes);
            let share = step.share_of(backend, y, &state.shape);
            report.error_after = squared_norm_of(backend, &state.residual, &share)?;
        }
        Ok(report)
    }

    fn save(
        &self,
        backend: &B,
        state: &Self::State,
    ) -> Result<SavedState<B::Scalar>, BackendError> {
        self.updater.save(backend, &state.inner)
    }

    fn restore(
        &self,
        backend: &B,
        state: &mut Self::State,
        saved: &SavedState<B::Scalar>,
    ) -> Result<(), Error> {
        self.updater.restore(backend, &mut state.inner, saved)
    }

    fn parameters(&self) -> Parameters {
        let Self { updater, max_coherence, iterations } = self;
        Parameters::of("Incoherent")
            .with("updater", updater.parameters())
            .with("max_coherence", *max_coherence)
            .with("iterations", *iterations)
    }
}

/// The least coherence that m atoms of dimension d can have: √((m − d) / (d (m − 1))) for m > d.
fn welch_bound(shape: &ProblemShape) -> f64 {
    let (dim, atoms) = (shape.dim as f64, shape.atoms as f64);
    if atoms <= dim { 0.0 } else { ((atoms - dim) / (dim * (atoms - 1.0))).sqrt() }
}

impl<B: HostBackend, S> IncoherentState<B, S> {
    /// Computes D E and the sums of |E|, in parallel over blocks of columns. Returns `false` if no
    /// pair of atoms has a |cos| above `bound`.
    fn measure(&mut self, backend: &B, dictionary: &B::Matrix, bound: f64) -> bool {
        let dictionary = backend.view(dictionary);
        let (limit, aim) = (B::Scalar::narrow(bound), B::Scalar::narrow(AIM * bound));
        let is_fixed = &self.is_fixed;
        let blocks = self.change.par_col_chunks_mut(BLOCK).zip(self.excess.par_chunks_mut(BLOCK));
        // The result, whether any block is above the bound, does not depend on the order of the
        // blocks.
        blocks
            .enumerate()
            .map(|(block, (change, sums))| {
                let (first, width) = (block * BLOCK, sums.len());
                let mut excess = Mat::<B::Scalar>::zeros(dictionary.ncols(), width);
                let atoms = dictionary.subcols(first, width);
                backend.product_tn(excess.as_mut(), dictionary, atoms);
                let (mut beyond, mut pairs) = (false, 0);
                for (within, sum) in sums.iter_mut().enumerate() {
                    let column = column_mut(excess.as_mut(), within);
                    if is_fixed[first + within] {
                        column.fill(B::Scalar::zero());
                        *sum = 0.0;
                        continue;
                    }
                    column[first + within] = B::Scalar::zero();
                    let clipped = clip(column, limit, aim, sum);
                    beyond |= clipped.beyond;
                    pairs += clipped.count;
                }
                multiply_sparse(change, dictionary, excess.as_ref(), pairs);
                beyond
            })
            .reduce(|| false, |a, b| a | b)
    }

    /// D ← normalise(D − η D E).
    fn step(&self, dictionary: MatMut<'_, B::Scalar>) {
        let most = self.excess.iter().copied().fold(1.0, f64::max);
        let factor = B::Scalar::narrow(-0.5 / most);
        let changes = self.change.par_col_chunks(1).zip(&self.excess);
        dictionary.par_col_chunks_mut(1).zip(changes).for_each(|(atom, (change, &excess))| {
            if excess > 0.0 {
                let atom = column_mut(atom, 0);
                loops::add(atom, factor, column(change, 0));
                loops::normalize(atom);
            }
        });
    }
}

/// D E, for E with `count` nonzeros. If these are few, it is computed column by column.
fn multiply_sparse<T: Scalar>(
    mut change: MatMut<'_, T>,
    dictionary: MatRef<'_, T>,
    excess: MatRef<'_, T>,
    count: usize,
) {
    if RARE * count > excess.nrows() * excess.ncols() {
        multiply(change, dictionary, excess);
        return;
    }
    for j in 0..excess.ncols() {
        let change = column_mut(change.as_mut(), j);
        change.fill(T::zero());
        for (i, &e) in column(excess, j).iter().enumerate() {
            if e != T::zero() {
                loops::add(change, e, column(dictionary, i));
            }
        }
    }
}

/// How a column of cosines was before it was clipped.
struct Clipped {
    /// Whether any |cos| was above the limit.
    beyond: bool,
    /// How many |cos| were above the aim.
    count: usize,
}

vectorized! {
    /// Replaces each cosine by the part beyond ±`aim`. `sum` becomes the sum of the absolute values
    /// of these parts.
    fn clip<'a, T>(cosines: &'a mut [T], limit: T, aim: T, sum: &'a mut f64) -> Clipped {
        let (mut largest, mut total, mut count) = (T::zero(), 0.0_f64, 0);
        for cosine in cosines.iter_mut() {
            let size = Float::abs(*cosine);
            let excess = Float::max(size - aim, T::zero());
            largest = Float::max(largest, size);
            total += excess.widen();
            count += usize::from(size > aim);
            *cosine = if *cosine < T::zero() { -excess } else { excess };
        }
        *sum = total;
        Clipped { beyond: largest > limit, count }
    }
}

/// Improves the coefficients of each sample on its support, one by one: c ← E_jᵀ d_j on the current
/// residual, so that no error rises.
fn refit<T: Scalar>(
    dictionary: MatRef<'_, T>,
    residual: MatMut<'_, T>,
    codes: &mut SparseCodes<T>,
    sign: Sign,
) {
    codes.par_blocks_mut(SAMPLES_A_TASK).zip(residual.par_col_chunks_mut(SAMPLES_A_TASK)).for_each(
        |(mut codes, mut residual)| {
            for i in 0..codes.len() {
                let (support, values) = codes.code_mut(i);
                refit_one(dictionary, column_mut(residual.as_mut(), i), support, values, sign);
            }
        },
    );
}

vectorized! {
    fn refit_one<'a, T>(
        dictionary: MatRef<'a, T>,
        r: &'a mut [T],
        support: &'a [u32],
        values: &'a mut [T],
        sign: Sign,
    ) {
        for _ in 0..PASSES {
            for (x, &j) in values.iter_mut().zip(support) {
                let atom = column(dictionary, j as usize);
                let c = sign.project(loops::dot(r, atom) + *x);
                loops::axpy(r, *x - c, atom);
                *x = c;
            }
        }
    }
}
