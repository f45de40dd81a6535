//! Dictionaries whose Gram matrix does not fit: a product with the residuals at every step.
//!
//! The textbook, but for a whole block of samples at a time: what would be k passes over the
//! dictionary for every sample, each bound by memory, are k matrix products for the block.
//!
//! ```text
//! A ← DᵀR for the residuals R of the block
//! for each sample:
//!     s ← the best atom by its column of A;  q ← d_s made orthogonal to the chosen ones
//!     r ← r − q qᵀr
//! ```
//! Where rounding might decide ([`Doubt`]), a sample's pursuit goes on in double precision.
//!
//! Selection by least squares takes a second product, DᵀQ, for ‖(I − P) d_j‖² ← … − (qᵀd_j)².

use faer::{Mat, MatRef};
use num_traits::{Float, One};

use super::argmax::select;
use super::double::{DoublePursuit, Doubt, Task};
use super::factor::Factor;
use super::gram_schmidt::{orthogonalise, project_out};
use super::greedy::write;
use super::pass::OUT;
use crate::Scalar;
use crate::backend::{PursuitRule, Selection, Stop};
use crate::codes::CodesBlock;
use crate::cpu::HostBackend;
use crate::cpu::vector::loops::{self, LANES};
use crate::cpu::vector::vectorized;
use crate::matrix::{column, column_mut};
use crate::problem::{ProblemShape, Sign};

/// Scratch memory of the pursuits of a block.
#[derive(Debug)]
pub(crate) struct GramFreeScratch<T> {
    residuals: Mat<T>,
    correlations: Mat<T>,
    /// The newest q of each sample, its products with D, and ‖(I − P) d_j‖²: empty unless atoms are
    /// scored by the latter.
    directions: Mat<T>,
    overlaps: Mat<T>,
    heights: Mat<T>,
    /// ‖d_j‖², near 1 but not exactly; empty where heights are.
    norms: Vec<T>,
    pursuits: Vec<Pursuit<T>>,
    row_of_l: Vec<T>,
    gamma: Vec<T>,
    double: DoublePursuit,
}

#[derive(Debug)]
struct Pursuit<T> {
    factor: Factor<T>,
    /// The orthonormal basis q of the chosen atoms, one after the other.
    basis: Vec<T>,
    stop: Stop<T>,
    /// The least height of all atoms that may be chosen; 1 unless atoms are scored by it.
    lowest: T,
    doubt: Doubt,
    /// Whether the pursuit has to go on in double precision.
    in_doubt: bool,
    running: bool,
}

impl<T: Scalar> GramFreeScratch<T> {
    pub(crate) fn new(shape: &ProblemShape, selection: Selection, block: usize) -> Self {
        let ProblemShape { dim, atoms, sparsity, .. } = *shape;
        let of_heights = match selection {
            Selection::Correlation => 0,
            Selection::LeastSquares => block,
        };
        let pursuit = || Pursuit {
            factor: Factor::new(sparsity),
            basis: vec![T::zero(); dim * sparsity],
            stop: Stop::at_budget(sparsity),
            lowest: <T as One>::one(),
            doubt: Doubt::none(),
            in_doubt: false,
            running: false,
        };
        Self {
            residuals: Mat::zeros(dim, block),
            correlations: Mat::zeros(atoms, block),
            directions: Mat::zeros(dim, of_heights),
            overlaps: Mat::zeros(atoms, of_heights),
            heights: Mat::zeros(atoms, of_heights),
            norms: Vec::with_capacity(if of_heights > 0 { atoms } else { 0 }),
            pursuits: (0..block).map(|_| pursuit()).collect(),
            row_of_l: Vec::with_capacity(sparsity),
            gamma: Vec::with_capacity(sparsity),
            double: DoublePursuit::new(shape, selection),
        }
    }

    /// Codes `samples` (as many as `block` has).
    pub(crate) fn encode<B: HostBackend<Scalar = T>>(
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
        if rule.selection == Selection::LeastSquares {
            self.begin_heights(dictionary, samples.ncols());
        }
        for (i, pursuit) in self.pursuits.iter_mut().enumerate() {
            pursuit.running = i < samples.ncols();
            if pursuit.running {
                pursuit.factor.clear();
                let energy = loops::energy(column(samples, i));
                pursuit.stop = rule.stop(shape.sparsity, energy);
                pursuit.running = !pursuit.stop.is_full(0);
                pursuit.lowest = <T as One>::one();
                pursuit.doubt = Doubt::new(&pursuit.stop, energy);
                pursuit.in_doubt = false;
            }
        }
        loop {
            backend.product_tn(self.correlations.as_mut(), dictionary, self.residuals.as_ref());
            let mut running = false;
            for i in 0..samples.ncols() {
                running |= self.advance(i, rule, shape.sign, dictionary);
            }
            if !running {
                break;
            }
            if rule.selection == Selection::LeastSquares {
                self.lower_heights(backend, dictionary);
            }
        }
        let residuals = self.residuals.as_ref();
        for (i, pursuit) in self.pursuits[..samples.ncols()].iter().enumerate() {
            let chosen = pursuit.factor.support();
            let (double, sample) = (&mut self.double, column(samples, i));
            block.write(i, |support, values| {
                if pursuit.in_doubt {
                    return double.code(
                        &mut Task { dictionary, sample, support, values },
                        rule,
                        chosen,
                    );
                }
                pursuit.factor.solve(&mut self.gamma);
                if pursuit.doubt.is_of(&self.gamma, loops::energy(column(residuals, i))) {
                    return double.refit(
                        &mut Task { dictionary, sample, support, values },
                        rule,
                        chosen,
                    );
                }
                write(chosen, &self.gamma, support, values)
            });
        }
    }

    /// ‖(I − P) d_j‖² ← ‖d_j‖² for so many samples.
    fn begin_heights(&mut self, dictionary: MatRef<'_, T>, samples: usize) {
        let Self { heights, norms, .. } = self;
        norms.clear();
        let norm = |j| T::narrow(loops::energy(column(dictionary, j)));
        norms.extend((0..dictionary.ncols()).map(norm));
        for i in 0..samples {
            column_mut(heights.as_mut(), i).copy_from_slice(norms);
        }
    }

    /// Adds an atom to sample `i`'s code, if there is one worth it. `false` if its pursuit has
    /// ended, with that atom or without one, or has to go on in double precision.
    fn advance(
        &mut self,
        i: usize,
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
            Selection::Correlation => &mut [],
            Selection::LeastSquares => column_mut(self.heights.as_mut(), i),
        };
        pursuit.factor.mask(alpha);
        pursuit.running = false;
        let (energy, chosen) = (loops::energy(residual), pursuit.factor.support().len());
        pursuit.in_doubt = energy < pursuit.doubt.residual || pursuit.lowest < Doubt::height();
        if pursuit.in_doubt || pursuit.stop.is_done(energy) {
            return false;
        }
        let Some(atom) = select(alpha, heights, T::zero(), rule.selection, sign) else {
            pursuit.in_doubt = chosen > 0;
            return false;
        };
        let correlation = alpha[atom];
        pursuit.in_doubt = Float::abs(correlation).widen() < pursuit.doubt.correlation;
        if pursuit.in_doubt || pursuit.stop.is_too_little(correlation) {
            return false;
        }
        let (earlier, rest) = pursuit.basis.split_at_mut(chosen * dim);
        let q = &mut rest[..dim];
        q.copy_from_slice(column(dictionary, atom));
        self.row_of_l.clear();
        self.row_of_l.resize(chosen, T::zero());
        let squared = orthogonalise(q, earlier, &mut self.row_of_l);
        if squared < Doubt::height::<T>().widen() {
            pursuit.in_doubt = true;
            return false;
        }
        let height = T::narrow(squared.sqrt());
        let coordinate = project_out(q, height, residual);
        pursuit.factor.push(atom as u32, &self.row_of_l, height, coordinate);
        if let Some(height) = heights.get_mut(atom) {
            *height = T::narrow(OUT);
            column_mut(self.directions.as_mut(), i).copy_from_slice(q);
        }
        pursuit.running = !pursuit.stop.is_full(chosen + 1);
        pursuit.running
    }

    /// ‖(I − P) d_j‖² ← ‖(I − P) d_j‖² − (qᵀd_j)² for the newest q of every sample.
    fn lower_heights<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
    ) {
        backend.product_tn(self.overlaps.as_mut(), dictionary, self.directions.as_ref());
        for (i, pursuit) in self.pursuits.iter_mut().enumerate() {
            if pursuit.running {
                let heights = column_mut(self.heights.as_mut(), i);
                pursuit.lowest = lower(heights, column(self.overlaps.as_ref(), i));
            }
        }
    }
}

vectorized! {
    /// Lowers the heights by the squares of the overlaps. Returns the least height.
    fn lower<'a, T>(heights: &'a mut [T], overlaps: &'a [T]) -> T {
        let (chunks, rest) = heights.as_chunks_mut::<LANES>();
        let (overlap_chunks, overlap_rest) = overlaps.as_chunks::<LANES>();
        let mut lanes = [T::infinity(); LANES];
        for (heights, overlaps) in chunks.iter_mut().zip(overlap_chunks) {
            for l in 0..LANES {
                heights[l] -= overlaps[l] * overlaps[l];
                lanes[l] = if heights[l] < lanes[l] { heights[l] } else { lanes[l] };
            }
        }
        let mut lowest = T::infinity();
        for (height, &w) in rest.iter_mut().zip(overlap_rest) {
            *height -= w * w;
            lowest = Float::min(lowest, *height);
        }
        lanes.into_iter().fold(lowest, Float::min)
    }
}
