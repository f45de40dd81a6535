//! OMP and OLS through the Gram matrix: the coder for many samples on one dictionary.
//!
//! With G = DᵀD at hand a pursuit never touches the samples' d coordinates again: everything
//! follows from α⁰ = DᵀY, one matrix product for a block of samples. The textbook form (Rubinstein,
//! Zibulevsky & Elad 2008) keeps α = α⁰ − G_S γ. Here the chosen atoms are orthogonalised instead:
//! with LLᵀ = G_SS and W = L⁻¹ G_S (t × m; row t holds q_tᵀD for the orthonormal basis q of D_S),
//!
//! ```text
//! h  ← √(1 − Σ_t W_t[s]²)                     ‖(I − P) d_s‖; row s of L is (W_1[s] … W_{t−1}[s], h)
//! W_t ← (G_s − Σ_{u<t} W_u[s] W_u) / h
//! c_t ← α_s / h,   α ← α − c_t W_t,   ‖r‖² ← ‖r‖² − c_t²
//! γ  ← L⁻ᵀ c                                  once, at the end
//! ```
//! Departures from the paper, and why:
//! 1. No triangular solve inside the loop: small solves are bound by latency.
//! 2. One pass over the atoms a step, in which W_t is made, α updated and the heights
//!    ‖(I − P) d_j‖² = 1 − Σ_t W_t[j]² kept: selection by orthogonal least squares is nearly free.
//! 3. Rows of W stand apart by more than m, so that they do not fall on the same cache sets.
//! 4. α⁰ is computed for [`BLOCK`] samples at a time, always: the last block is padded. The bits of
//!    a product's column depend on the width of the block, and so do not depend on anything else.
//!
//! R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD algorithm using
//! batch orthogonal matching pursuit", Technion CS-2008-08.

use std::sync::{Mutex, PoisonError};

use faer::{Mat, MatRef};
use num_traits::{Float, One};
use rayon::prelude::*;

use super::SparseCoder;
use super::pursuit::{Basis, Factor, PursuitRule, Selection, Tolerance, Workspace, pursue};
use crate::Scalar;
use crate::backend::{HostBackend, column};
use crate::codes::CodesBlock;
use crate::error::{BackendError, Error};
use crate::kernel;
use crate::problem::ProblemShape;

/// Samples whose correlations are computed by one product.
const BLOCK: usize = 128;

/// Atoms that one iteration of the fused pass handles.
const CHUNK: usize = 128;

/// OMP or OLS through the Gram matrix of the dictionary (batch-OMP): the default coder.
///
/// The codes are those of [`Omp`](super::Omp) up to rounding and ties, except that an atom within
/// √(128 ε) of the span of those chosen (0.004 in `f32`) is passed over, where [`Omp`](super::Omp)
/// still tells it apart. It needs the m × m Gram matrix, which costs about m/2 samples' worth of
/// coding to build, so it pays from a few m/k samples on; below that, or where m² numbers do not
/// fit, use [`Omp`](super::Omp).
///
/// Correlations and errors are kept by recurrences: in `f32` a residual tolerance is met to about
/// 10⁻⁶ ‖y‖², since ‖r‖² is found by subtracting from ‖y‖².
///
/// Complexity per sample: O(dm + k²m). Memory: m² for the Gram matrix and, for each thread,
/// (128 + k)·m + 128·d scalars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchOmp {
    rule: PursuitRule,
}

pursuit_setters!(BatchOmp);

/// The Gram matrix and scratch memory of [`BatchOmp`].
#[derive(Debug)]
pub struct BatchOmpState<B: HostBackend> {
    shape: ProblemShape,
    gram: B::Matrix,
    /// Scratch of tasks that have ended, for the tasks that come.
    idle: Mutex<Vec<Scratch<B::Scalar>>>,
}

#[derive(Debug)]
struct Scratch<T> {
    padded: Mat<T>,
    correlations: Mat<T>,
    pursuit: PursuitScratch<T>,
    work: Workspace<T>,
}

#[derive(Debug)]
struct PursuitScratch<T> {
    alpha: Vec<T>,
    heights: Vec<T>,
    /// Rows of W, `stride` apart.
    rows: Vec<T>,
    stride: usize,
    row_of_l: Vec<T>,
    factor: Factor<T>,
}

impl<B: HostBackend> SparseCoder<B> for BatchOmp {
    type State = BatchOmpState<B>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.rule.check()
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let gram = backend.zeros(shape.atoms, shape.atoms)?;
        Ok(BatchOmpState { shape: *shape, gram, idle: Mutex::default() })
    }

    fn set_dictionary(&self, backend: &B, state: &mut Self::State, dictionary: &B::Matrix) {
        backend.gram(&mut state.gram, dictionary);
    }

    fn encode(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) {
        let (d, y) = (backend.view(dictionary), backend.view(y));
        let gram = backend.view(&state.gram);
        assert_eq!(d.shape(), (state.shape.dim, state.shape.atoms), "the dictionary's shape");
        assert_eq!(y.nrows(), d.nrows(), "the samples' dimension");
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|block| {
            // A panic elsewhere leaves scratch in no state that matters.
            let idle = || state.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let scratch = idle().pop();
            let mut scratch = scratch.unwrap_or_else(|| self.scratch(&state.shape));
            let samples = y.subcols(block.first(), block.len());
            self.encode_block(backend, &state.shape, gram, d, samples, block, &mut scratch);
            idle().push(scratch);
        });
    }
}

impl BatchOmp {
    fn scratch<T: Scalar>(&self, shape: &ProblemShape) -> Scratch<T> {
        let (m, k) = (shape.atoms, shape.sparsity);
        let heights = match self.rule.selection {
            Selection::Correlation => Vec::new(),
            Selection::LeastSquares => vec![<T as One>::one(); m],
        };
        let stride = m.next_multiple_of(CHUNK) + 16;
        Scratch {
            padded: Mat::zeros(shape.dim, BLOCK),
            correlations: Mat::zeros(m, BLOCK),
            pursuit: PursuitScratch {
                alpha: vec![T::zero(); m],
                heights,
                rows: vec![T::zero(); stride * k],
                stride,
                row_of_l: Vec::with_capacity(k),
                factor: Factor::new(k),
            },
            work: Workspace::new(k),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn encode_block<B: HostBackend>(
        &self,
        backend: &B,
        shape: &ProblemShape,
        gram: MatRef<'_, B::Scalar>,
        dictionary: MatRef<'_, B::Scalar>,
        samples: MatRef<'_, B::Scalar>,
        mut block: CodesBlock<'_, B::Scalar>,
        scratch: &mut Scratch<B::Scalar>,
    ) {
        let Scratch { padded, correlations, pursuit, work } = scratch;
        // Stale columns beyond the block's length are harmless: columns do not mix.
        let full = if samples.ncols() == BLOCK {
            samples
        } else {
            padded.as_mut().subcols_mut(0, samples.ncols()).copy_from(samples);
            padded.as_ref()
        };
        backend.product_tn(correlations.as_mut(), dictionary, full);
        for i in 0..block.len() {
            let energy = kernel::energy(column(samples, i));
            let initial = correlations.col_as_slice(i);
            let mut basis = GramBasis { gram, initial, energy, residual: energy, scratch: pursuit };
            basis.restart();
            block.write(i, |support, values| {
                pursue(&mut basis, &self.rule, shape.sign, work, support, values)
            });
        }
    }
}

/// The orthogonalised chosen atoms, in terms of the Gram matrix.
struct GramBasis<'a, T: Scalar> {
    gram: MatRef<'a, T>,
    /// α⁰ = Dᵀy.
    initial: &'a [T],
    /// ‖y‖².
    energy: f64,
    /// ‖r‖².
    residual: f64,
    scratch: &'a mut PursuitScratch<T>,
}

impl<T: Scalar> Basis<T> for GramBasis<'_, T> {
    fn restart(&mut self) {
        self.scratch.alpha.copy_from_slice(self.initial);
        self.scratch.heights.fill(<T as One>::one());
        self.scratch.factor.clear();
        self.residual = self.energy;
    }

    fn correlations(&self) -> &[T] {
        &self.scratch.alpha
    }

    fn heights(&self) -> &[T] {
        &self.scratch.heights
    }

    fn residual(&self) -> f64 {
        self.residual
    }

    fn factor(&self) -> &Factor<T> {
        &self.scratch.factor
    }

    /// h² is found as 1 − Σ W² to a few ε, so near that it has lost its digits, and everything
    /// divided by h with it. A pursuit loses little: such an atom's correlation is at most h‖r‖.
    fn dependence(&self) -> T {
        T::narrow(128.0 * T::EPSILON)
    }

    fn push(&mut self, atom: u32) -> bool {
        let dependence = self.dependence();
        let PursuitScratch { alpha, heights, rows, stride, row_of_l, factor } = &mut *self.scratch;
        let (s, chosen) = (atom as usize, factor.support().len());
        let column = column(self.gram, s);
        let (earlier, rest) = rows.split_at_mut(chosen * *stride);
        row_of_l.clear();
        row_of_l.extend((0..chosen).map(|t| earlier[t * *stride + s]));

        // h² ← ‖d_s‖² − Σ W_t[s]²
        let mut height = column[s];
        for &w in row_of_l.iter() {
            height -= w * w;
        }
        if height <= dependence || overshoots(alpha[s], height, self.residual, self.energy) {
            factor.exclude(atom);
            factor.mask(alpha);
            return false;
        }
        let height = Float::sqrt(height);
        let coordinate = alpha[s] / height;
        let inputs = Orthogonalise { column, earlier, stride: *stride, weights: row_of_l, height };
        let row = &mut rest[..column.len()];
        orthogonalise(inputs, row, alpha, coordinate);
        if !heights.is_empty() {
            lower_heights(heights, row);
        }
        factor.push(atom, row_of_l, height, coordinate);
        factor.mask(alpha);
        self.residual = (self.residual - coordinate.widen() * coordinate.widen()).max(0.0);
        true
    }
}

/// Whether c² = α²/h² says that the error ‖r‖² would drop by far more than there is: α and h² have
/// then lost their digits. (By a little more it may, where the atoms come to span the sample: the
/// drop is then all of ‖r‖², which is known to a few ε‖y‖².)
fn overshoots<T: Scalar>(correlation: T, height: T, residual: f64, energy: f64) -> bool {
    let drop = correlation.widen().powi(2) / height.widen();
    drop > 2.0 * residual + 100.0 * T::EPSILON * energy
}

/// What the new row of W is made of.
struct Orthogonalise<'a, T> {
    /// G_s.
    column: &'a [T],
    /// The earlier rows of W, `stride` apart.
    earlier: &'a [T],
    stride: usize,
    /// W_u[s] of the earlier rows.
    weights: &'a [T],
    /// h.
    height: T,
}

kernel::vectorized! {
/// W_t ← (G_s − Σ_u W_u[s] W_u) / h and α ← α − c W_t, in one pass.
fn orthogonalise<'a, T>(
    inputs: Orthogonalise<'a, T>,
    row: &'a mut [T],
    alpha: &'a mut [T],
    coordinate: T,
) {
    let inverse = <T as One>::one() / inputs.height;
    let (chunks, row_rest) = row.as_chunks_mut::<CHUNK>();
    let (alpha_chunks, alpha_rest) = alpha.as_chunks_mut::<CHUNK>();
    let (column_chunks, column_rest) = inputs.column.as_chunks::<CHUNK>();
    for (c, ((row, alpha), column)) in
        chunks.iter_mut().zip(alpha_chunks).zip(column_chunks).enumerate()
    {
        let mut sum = *column;
        for (u, &weight) in inputs.weights.iter().enumerate() {
            let earlier = &inputs.earlier[u * inputs.stride + c * CHUNK..][..CHUNK];
            for l in 0..CHUNK {
                sum[l] -= weight * earlier[l];
            }
        }
        for l in 0..CHUNK {
            row[l] = sum[l] * inverse;
            alpha[l] -= coordinate * row[l];
        }
    }
    let at = inputs.column.len() - column_rest.len();
    for (l, ((row, alpha), &column)) in
        row_rest.iter_mut().zip(alpha_rest).zip(column_rest).enumerate()
    {
        let mut sum = column;
        for (u, &weight) in inputs.weights.iter().enumerate() {
            sum -= weight * inputs.earlier[u * inputs.stride + at + l];
        }
        *row = sum * inverse;
        *alpha -= coordinate * *row;
    }
}
}

kernel::vectorized! {
    /// ‖(I − P) d_j‖² ← ‖(I − P) d_j‖² − W_t[j]².
    fn lower_heights<'a, T>(heights: &'a mut [T], row: &'a [T]) {
        for (height, &w) in heights.iter_mut().zip(row) {
            *height -= w * w;
        }
    }
}
