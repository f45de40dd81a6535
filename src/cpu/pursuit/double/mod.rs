//! Pursuits in double precision, by the book: no Gram matrix, the residual at hand.
//!
//! [`Omp`](crate::coder::Omp) codes every sample so. The other pursuits keep correlations by
//! recurrences in the scalar, whose errors are relative to ‖y‖, and leave a sample to this one as
//! soon as those errors might decide (see [`Doubt`]): when little of the sample is left, as on a
//! baseline that its first atom explains, or when atoms are nearly combinations of the chosen ones.
//!
//! The chosen atoms are orthogonalised by modified Gram–Schmidt, twice each ("twice is enough",
//! Giraud, Langou & Rozložník 2005), which keeps the residual orthogonal to them to rounding:
//!
//! ```text
//! l ← Qᵀ d_s,  q ← d_s − Q l (twice),  h ← ‖q‖,  q ← q / h;   row s of L is (l, h)
//! c ← qᵀ r,    r ← r − c q,            α ← Dᵀ r,              ‖(I − P) d_j‖² ← … − (qᵀd_j)²
//! in the end:  γ ← L⁻ᵀ c,  and once more for what is left:  γ ← γ + L⁻ᵀ Qᵀ(y − D_S γ)
//! ```
//! Samples are divided by a power of two, so that squares neither over- nor underflow.

mod basis;
mod doubt;

pub(crate) use basis::power_of_two;
use basis::{DoubleBasis, DoubleScratch};
pub(crate) use doubt::Doubt;
use faer::MatRef;
use rayon::prelude::*;

use super::dependence;
use super::greedy::{Basis, pursue};
use crate::Scalar;
use crate::backend::{PursuitRule, Selection};
use crate::codes::SparseCodes;
use crate::cpu::scratch_pool::ScratchPool;
use crate::matrix::column;
use crate::problem::{ProblemShape, Sign};

/// Samples coded by one task.
const BLOCK: usize = 16;

/// Pursuits of many samples in double precision: what tasks hand on to each other.
#[derive(Debug, Default)]
pub(crate) struct DoublePursuits {
    scratch: ScratchPool<DoublePursuit>,
}

impl DoublePursuits {
    /// X ← codes of Y, in parallel by blocks of samples.
    pub(crate) fn run<T: Scalar>(
        &self,
        rule: &PursuitRule,
        shape: &ProblemShape,
        dictionary: MatRef<'_, T>,
        y: MatRef<'_, T>,
        codes: &mut SparseCodes<T>,
    ) {
        assert_eq!(dictionary.shape(), (shape.dim, shape.atoms), "the dictionary's shape");
        assert_eq!(y.nrows(), dictionary.nrows(), "the samples' dimension");
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            let new = || DoublePursuit::new(shape, rule.selection);
            self.scratch.with(new, |pursuit| {
                for i in 0..block.len() {
                    let sample = column(y, block.first() + i);
                    block.write(i, |support, values| {
                        let mut task = Task { dictionary, sample, support, values };
                        pursuit.code(&mut task, rule, &[])
                    });
                }
            });
        });
    }
}

/// Pursuits in double precision. Scratch memory is allocated when the first sample comes.
#[derive(Debug)]
pub(crate) struct DoublePursuit {
    shape: ProblemShape,
    selection: Selection,
    /// ‖(I − P) d‖² up to which an atom is taken for a combination of the chosen ones; `None` for
    /// what the scalar of the dictionary asks for.
    least_height: Option<f64>,
    scratch: Option<Box<DoubleScratch>>,
}

/// A sample to be coded, and where its code goes.
pub(crate) struct Task<'a, T: Scalar> {
    /// d × m.
    pub(crate) dictionary: MatRef<'a, T>,
    pub(crate) sample: &'a [T],
    /// Room for the k atoms of the code.
    pub(crate) support: &'a mut [u32],
    /// Room for their coefficients.
    pub(crate) values: &'a mut [T],
}

impl DoublePursuit {
    pub(crate) fn new(shape: &ProblemShape, selection: Selection) -> Self {
        Self { shape: *shape, selection, least_height: None, scratch: None }
    }

    /// For codes that are narrowed to this scalar, whatever that of the dictionary is.
    pub(crate) fn narrowed_to<V: Scalar>(self) -> Self {
        Self { least_height: Some(dependence::of_vectors::<V>()), ..self }
    }

    /// Codes a sample and writes its code; returns the code's length. Signed codes begin with the
    /// atoms `chosen`, in this order; non-negative ones begin anew, since atoms may leave them.
    pub(crate) fn code<T: Scalar>(
        &mut self,
        task: &mut Task<'_, T>,
        rule: &PursuitRule,
        chosen: &[u32],
    ) -> usize {
        let sign = self.shape.sign;
        let budget = self.shape.sparsity;
        let scratch = self.scratch();
        let (mut work, mut gamma) =
            (std::mem::take(&mut scratch.work), std::mem::take(&mut scratch.gamma));
        let given = if sign == Sign::Signed { chosen } else { &[] };
        let mut basis = DoubleBasis::begin(task, sign, given, scratch);
        let stop = rule.stop(budget, basis.energy());
        gamma.clear();
        gamma.extend_from_slice(pursue(&mut basis, rule.selection, sign, stop, &mut work));
        basis.polish(&mut gamma);
        let length = basis.write(&gamma, task);
        (scratch.work, scratch.gamma) = (work, gamma);
        length
    }

    /// Writes the code with the best coefficients for atoms that were `chosen`; returns its length.
    /// Where they would have to be negative and may not, the sample is coded anew.
    pub(crate) fn refit<T: Scalar>(
        &mut self,
        task: &mut Task<'_, T>,
        rule: &PursuitRule,
        chosen: &[u32],
    ) -> usize {
        match self.fit(task, chosen) {
            Some(length) => length,
            None => self.code(task, rule, &[]),
        }
    }

    /// Writes the code with the best coefficients for atoms that were `chosen`, and returns its
    /// length; `None` where they would have to be negative and may not.
    pub(crate) fn fit<T: Scalar>(
        &mut self,
        task: &mut Task<'_, T>,
        chosen: &[u32],
    ) -> Option<usize> {
        let sign = self.shape.sign;
        let scratch = self.scratch();
        let mut gamma = std::mem::take(&mut scratch.gamma);
        let mut basis = DoubleBasis::begin(task, sign, chosen, scratch);
        basis.coefficients(&mut gamma);
        basis.polish(&mut gamma);
        let feasible = sign == Sign::Signed || gamma.iter().all(|&gamma| gamma > 0.0);
        let length = feasible.then(|| basis.write(&gamma, task));
        scratch.gamma = gamma;
        length
    }

    fn scratch(&mut self) -> &mut DoubleScratch {
        let Self { shape, selection, least_height, scratch } = self;
        scratch
            .get_or_insert_with(|| Box::new(DoubleScratch::new(shape, *selection, *least_height)))
    }
}
