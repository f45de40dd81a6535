//! OMP and OLS by the book: no Gram matrix, correlations by Dᵀr.
//!
//! The chosen atoms are orthogonalised by modified Gram–Schmidt, twice each ("twice is enough",
//! Giraud, Langou & Rozložník 2005), which keeps the residual orthogonal to them to rounding:
//!
//! ```text
//! l ← Qᵀ d_s,  q ← d_s − Q l (twice),  h ← ‖q‖,  q ← q / h;   row s of L is (l, h)
//! c ← qᵀ r,    r ← r − c q,            α ← Dᵀ r
//! ```

use faer::MatRef;
use num_traits::One;
use rayon::prelude::*;

use super::SparseCoder;
use super::argmax::select;
use super::factor::Factor;
use super::idle::Idle;
use super::pursuit::{Basis, PursuitRule, Selection, Tolerance, Workspace, pursue, write};
use crate::Scalar;
use crate::backend::{HostBackend, column};
use crate::error::{BackendError, Error};
use crate::kernel;
use crate::problem::{ProblemShape, Sign};

/// Samples coded by one task.
const BLOCK: usize = 16;

/// OMP or OLS without a Gram matrix: the textbook algorithm.
///
/// Correlations are recomputed from the residual at every step, so errors do not add up: the coder
/// for a handful of samples, for dictionaries whose Gram matrix does not fit, and the oracle of
/// [`BatchOmp`](super::BatchOmp), which is faster for many samples.
///
/// Complexity per sample: O(kdm). Memory: for each thread, 2m + (k + 2)·d scalars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Omp {
    rule: PursuitRule,
}

pursuit_setters!(Omp);

/// Scratch memory of [`Omp`].
#[derive(Debug)]
pub struct OmpState<T> {
    shape: ProblemShape,
    idle: Idle<Scratch<T>>,
}

#[derive(Debug)]
struct Scratch<T> {
    pursuit: PursuitScratch<T>,
    work: Workspace<T>,
}

#[derive(Debug)]
struct PursuitScratch<T> {
    residual: Vec<T>,
    alpha: Vec<T>,
    heights: Vec<T>,
    /// The orthonormal basis q of the chosen atoms, one after the other.
    basis: Vec<T>,
    row_of_l: Vec<T>,
    factor: Factor<T>,
}

impl<B: HostBackend> SparseCoder<B> for Omp {
    type State = OmpState<B::Scalar>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.rule.check()
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        Ok(OmpState::new(shape))
    }

    fn set_dictionary(&self, _: &B, _: &mut Self::State, _: &B::Matrix) {}

    fn encode(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) {
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let OmpState { shape, idle } = &*state;
        assert_eq!(dictionary.shape(), (shape.dim, shape.atoms), "the dictionary's shape");
        assert_eq!(y.nrows(), dictionary.nrows(), "the samples' dimension");
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            idle.with(
                || self.scratch(shape),
                |Scratch { pursuit, work }| {
                    for i in 0..block.len() {
                        let sample = column(y, block.first() + i);
                        let sign = shape.sign;
                        let mut basis =
                            ResidualBasis { dictionary, sample, sign, scratch: pursuit };
                        basis.restart();
                        let gamma = pursue(&mut basis, &self.rule, sign, shape.sparsity, work);
                        block.write(i, |support, values| {
                            write(basis.support(), gamma, support, values)
                        });
                    }
                },
            );
        });
    }

    fn description(&self) -> String {
        format!("{self:?}")
    }
}

impl From<PursuitRule> for Omp {
    fn from(rule: PursuitRule) -> Self {
        Self { rule }
    }
}

impl<T> OmpState<T> {
    pub(super) fn new(shape: &ProblemShape) -> Self {
        Self { shape: *shape, idle: Idle::default() }
    }
}

impl Omp {
    fn scratch<T: Scalar>(&self, shape: &ProblemShape) -> Scratch<T> {
        let (d, m, k) = (shape.dim, shape.atoms, shape.sparsity);
        let heights = match self.rule.selection {
            Selection::Correlation => Vec::new(),
            Selection::LeastSquares => vec![<T as One>::one(); m],
        };
        Scratch {
            pursuit: PursuitScratch {
                residual: vec![T::zero(); d],
                alpha: vec![T::zero(); m],
                heights,
                basis: vec![T::zero(); d * k],
                row_of_l: Vec::with_capacity(k),
                factor: Factor::new(k),
            },
            work: Workspace::new(k),
        }
    }
}

/// ‖(I − P_S) d‖² up to which an atom is taken for linearly dependent on the chosen ones.
/// Gram–Schmidt, repeated, finds it to a few ε², but D itself is known to ε.
pub(super) fn dependence<T: Scalar>() -> T {
    T::narrow(16.0 * T::EPSILON)
}

/// The orthonormalised chosen atoms and the residual they leave.
struct ResidualBasis<'a, T: Scalar> {
    dictionary: MatRef<'a, T>,
    sample: &'a [T],
    sign: Sign,
    scratch: &'a mut PursuitScratch<T>,
}

impl<T: Scalar> Basis<T> for ResidualBasis<'_, T> {
    fn restart(&mut self) {
        self.scratch.residual.copy_from_slice(self.sample);
        self.scratch.heights.fill(<T as One>::one());
        self.scratch.factor.clear();
        let PursuitScratch { residual, alpha, .. } = &mut *self.scratch;
        correlate(self.dictionary, residual, alpha);
    }

    fn select(&mut self, selection: Selection) -> Option<(u32, T)> {
        let PursuitScratch { alpha, heights, .. } = &*self.scratch;
        let best = select(alpha, heights, dependence(), selection, self.sign)?;
        Some((best as u32, alpha[best]))
    }

    fn residual(&self) -> f64 {
        kernel::energy(&self.scratch.residual)
    }

    fn support(&self) -> &[u32] {
        self.scratch.factor.support()
    }

    fn coefficients(&self, into: &mut Vec<T>) {
        self.scratch.factor.solve(into);
    }

    fn push(&mut self, atom: u32) -> bool {
        let PursuitScratch { residual, alpha, heights, basis, row_of_l, factor } =
            &mut *self.scratch;
        let dim = residual.len();
        let (earlier, rest) = basis.split_at_mut(factor.support().len() * dim);
        let q = &mut rest[..dim];
        q.copy_from_slice(column(self.dictionary, atom as usize));
        row_of_l.clear();
        row_of_l.resize(factor.support().len(), T::zero());
        let squared = orthogonalise(q, earlier, row_of_l);
        if squared <= dependence::<T>().widen() {
            factor.exclude(atom);
            factor.mask(alpha);
            return false;
        }
        let height = T::narrow(squared.sqrt());
        let coordinate = project_out(q, height, residual);
        factor.push(atom, row_of_l, height, coordinate);
        correlate(self.dictionary, residual, alpha);
        factor.mask(alpha);
        if !heights.is_empty() {
            lower_heights(self.dictionary, q, heights);
        }
        true
    }
}

kernel::vectorized! {
    /// q ← q − QQᵀq, twice; l ← Qᵀq. Returns ‖q‖².
    pub(super) fn orthogonalise<'a, T>(q: &'a mut [T], earlier: &'a [T], l: &'a mut [T]) -> f64 {
        for _ in 0..2 {
            for (l, earlier) in l.iter_mut().zip(earlier.chunks_exact(q.len())) {
                let overlap = kernel::dot(earlier, q);
                *l += overlap;
                kernel::axpy(q, -overlap, earlier);
            }
        }
        kernel::squared_norm(q)
    }
}

kernel::vectorized! {
    /// q ← q / h,  c ← qᵀr,  r ← r − c q. Returns c.
    pub(super) fn project_out<'a, T>(q: &'a mut [T], height: T, residual: &'a mut [T]) -> T {
        for q in q.iter_mut() {
            *q /= height;
        }
        let coordinate = kernel::dot(q, residual);
        kernel::axpy(residual, -coordinate, q);
        coordinate
    }
}

kernel::vectorized! {
    /// α ← Dᵀr.
    pub(super) fn correlate<'a, T>(dictionary: MatRef<'a, T>, residual: &'a [T], alpha: &'a mut [T]) {
        for (j, alpha) in alpha.iter_mut().enumerate() {
            *alpha = kernel::dot(column(dictionary, j), residual);
        }
    }
}

kernel::vectorized! {
    /// ‖(I − P) d_j‖² ← ‖(I − P) d_j‖² − (qᵀd_j)².
    fn lower_heights<'a, T>(dictionary: MatRef<'a, T>, q: &'a [T], heights: &'a mut [T]) {
        for (j, height) in heights.iter_mut().enumerate() {
            let overlap = kernel::dot(q, column(dictionary, j));
            *height -= overlap * overlap;
        }
    }
}
