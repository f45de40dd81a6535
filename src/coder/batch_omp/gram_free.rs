//! Dictionaries whose Gram matrix does not fit: a product with the residuals at every step.
//!
//! The textbook, but for a whole block of samples at a time: what would be k passes over the
//! dictionary for every sample, each bound by memory, are k matrix products for the block.
//!
//! ```text
//! A ← DᵀR for the residuals R of the block
//! for each sample: s ← the best atom by its column of A; q ← d_s made orthogonal to the chosen ones;
//!     r ← r − q qᵀr
//! ```
//! Selection by least squares takes a second product, DᵀQ, for ‖(I − P) d_j‖² ← … − (qᵀd_j)².

use faer::{Mat, MatRef};
use num_traits::{Float, One};

use crate::Scalar;
use crate::backend::{HostBackend, column, column_mut};
use crate::coder::argmax::select;
use crate::coder::factor::Factor;
use crate::coder::omp::{dependence, orthogonalise, project_out};
use crate::coder::pursuit::{PursuitRule, Selection, write};
use crate::codes::CodesBlock;
use crate::kernel;
use crate::problem::{ProblemShape, Sign};

/// Scratch memory of the pursuits of a block.
#[derive(Debug)]
pub(super) struct GramFreeScratch<T> {
    residuals: Mat<T>,
    correlations: Mat<T>,
    /// The newest q of each sample, its products with D, and ‖(I − P) d_j‖²: empty unless atoms are
    /// scored by the latter.
    directions: Mat<T>,
    overlaps: Mat<T>,
    heights: Mat<T>,
    pursuits: Vec<Pursuit<T>>,
    row_of_l: Vec<T>,
    gamma: Vec<T>,
}

#[derive(Debug)]
struct Pursuit<T> {
    factor: Factor<T>,
    /// The orthonormal basis q of the chosen atoms, one after the other.
    basis: Vec<T>,
    /// ‖r‖² at which the pursuit is done.
    done: f64,
    /// The least correlation that is worth an atom.
    least: T,
    running: bool,
}

impl<T: Scalar> GramFreeScratch<T> {
    pub(super) fn new(shape: &ProblemShape, selection: Selection, block: usize) -> Self {
        let ProblemShape { dim, atoms, sparsity, .. } = *shape;
        let of_heights = match selection {
            Selection::Correlation => 0,
            Selection::LeastSquares => block,
        };
        let pursuit = || Pursuit {
            factor: Factor::new(sparsity),
            basis: vec![T::zero(); dim * sparsity],
            done: 0.0,
            least: T::zero(),
            running: false,
        };
        Self {
            residuals: Mat::zeros(dim, block),
            correlations: Mat::zeros(atoms, block),
            directions: Mat::zeros(dim, of_heights),
            overlaps: Mat::zeros(atoms, of_heights),
            heights: Mat::zeros(atoms, of_heights),
            pursuits: (0..block).map(|_| pursuit()).collect(),
            row_of_l: Vec::with_capacity(sparsity),
            gamma: Vec::with_capacity(sparsity),
        }
    }

    /// Codes `samples` (as many as `block` has).
    pub(super) fn encode<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        rule: &PursuitRule,
        shape: &ProblemShape,
        dictionary: MatRef<'_, T>,
        samples: MatRef<'_, T>,
        block: &mut CodesBlock<'_, T>,
    ) {
        // What is left in columns beyond the block's length is harmless: columns do not mix.
        self.residuals.as_mut().subcols_mut(0, samples.ncols()).copy_from(samples);
        self.heights.as_mut().fill(<T as One>::one());
        for (i, pursuit) in self.pursuits.iter_mut().enumerate() {
            pursuit.running = i < samples.ncols();
            if pursuit.running {
                pursuit.factor.clear();
                pursuit.done = rule.squared_tolerance(kernel::energy(column(samples, i)));
                pursuit.least = T::narrow(rule.min_correlation.unwrap_or(0.0));
            }
        }
        for step in 0..shape.sparsity {
            backend.product_tn(self.correlations.as_mut(), dictionary, self.residuals.as_ref());
            let mut running = false;
            for i in 0..samples.ncols() {
                running |= self.advance(i, step == 0, rule, shape.sign, dictionary);
            }
            if !running {
                break;
            }
            if rule.selection == Selection::LeastSquares && step + 1 < shape.sparsity {
                self.lower_heights(backend, dictionary);
            }
        }
        for (i, pursuit) in self.pursuits[..samples.ncols()].iter().enumerate() {
            pursuit.factor.solve(&mut self.gamma);
            let (chosen, gamma) = (pursuit.factor.support(), &self.gamma);
            block.write(i, |support, values| write(chosen, gamma, support, values));
        }
    }

    /// Adds an atom to sample `i`'s code, if there is one worth it. `false` if its pursuit has ended.
    fn advance(
        &mut self,
        i: usize,
        first: bool,
        rule: &PursuitRule,
        sign: Sign,
        dictionary: MatRef<'_, T>,
    ) -> bool {
        let pursuit = &mut self.pursuits[i];
        if !pursuit.running {
            return false;
        }
        let dim = dictionary.nrows();
        let residual = column_mut(self.residuals.as_mut(), i);
        let alpha = column_mut(self.correlations.as_mut(), i);
        let heights = match rule.selection {
            Selection::Correlation => &[],
            Selection::LeastSquares => column(self.heights.as_ref(), i),
        };
        pursuit.factor.mask(alpha);
        pursuit.running = false;
        if kernel::energy(residual) <= pursuit.done {
            return false;
        }
        while let Some(atom) = select(alpha, heights, dependence(), rule.selection, sign) {
            let correlation = Float::abs(alpha[atom]);
            if first && pursuit.factor.support().is_empty() {
                // What is left of the correlations by rounding is not worth an atom.
                let rounding = correlation * T::narrow(100.0 * T::EPSILON);
                pursuit.least = Float::max(pursuit.least, rounding);
            }
            if correlation < pursuit.least {
                return false;
            }
            let chosen = pursuit.factor.support().len();
            let (earlier, rest) = pursuit.basis.split_at_mut(chosen * dim);
            let q = &mut rest[..dim];
            q.copy_from_slice(column(dictionary, atom));
            self.row_of_l.clear();
            self.row_of_l.resize(chosen, T::zero());
            let squared = orthogonalise(q, earlier, &mut self.row_of_l);
            if squared <= dependence::<T>().widen() {
                pursuit.factor.exclude(atom as u32);
                pursuit.factor.mask(alpha);
                continue;
            }
            let height = T::narrow(squared.sqrt());
            let coordinate = project_out(q, height, residual);
            pursuit.factor.push(atom as u32, &self.row_of_l, height, coordinate);
            if rule.selection == Selection::LeastSquares {
                column_mut(self.directions.as_mut(), i).copy_from_slice(q);
            }
            pursuit.running = true;
            return true;
        }
        false
    }

    /// ‖(I − P) d_j‖² ← ‖(I − P) d_j‖² − (qᵀd_j)² for the newest q of every sample.
    fn lower_heights<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
    ) {
        backend.product_tn(self.overlaps.as_mut(), dictionary, self.directions.as_ref());
        for (i, pursuit) in self.pursuits.iter().enumerate() {
            if pursuit.running {
                let heights = column_mut(self.heights.as_mut(), i);
                lower(heights, column(self.overlaps.as_ref(), i));
            }
        }
    }
}

kernel::vectorized! {
    fn lower<'a, T>(heights: &'a mut [T], overlaps: &'a [T]) {
        for (height, &w) in heights.iter_mut().zip(overlaps) {
            *height -= w * w;
        }
    }
}
