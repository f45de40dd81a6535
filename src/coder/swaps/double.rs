//! The search in double precision, for samples whose error is so small that in single precision the
//! gains of exchanges would be rounding.

use super::exchange::Sample;
use super::{Found, LocalSearch};
use crate::Scalar;
use crate::cpu::pursuit::wide::{Wide, widen};
use crate::cpu::vector::loops;
use crate::problem::ProblemShape;

/// Searches one sample after the other.
#[derive(Debug)]
pub(super) struct DoubleSearch {
    search: LocalSearch<f64>,
    sparsity: usize,
    sample: Vec<f64>,
    initial: Vec<f64>,
    pub(super) found: Found<f64>,
}

impl DoubleSearch {
    pub(super) fn new(shape: &ProblemShape) -> Box<Self> {
        Box::new(Self {
            search: LocalSearch::new(shape.atoms, shape.sparsity, shape.sign),
            sparsity: shape.sparsity,
            sample: Vec::with_capacity(shape.dim),
            initial: vec![0.0; shape.atoms],
            found: Found { support: Vec::new(), values: Vec::new() },
        })
    }

    /// Looks for a code that is better than one with the error `start`, and begins with the support
    /// of that code. Returns `false` if there is none.
    pub(super) fn improve<T: Scalar>(
        &mut self,
        wide: &Wide,
        y: &[T],
        support: &[u32],
        start: f64,
        max_swaps: usize,
    ) -> bool {
        widen(y, &mut self.sample);
        wide.correlate(&self.sample, &mut self.initial);
        let sample = Sample {
            gram: &wide.gram,
            dictionary: wide.dictionary(),
            initial: &self.initial,
            energy: loops::energy(&self.sample),
        };
        let improved = self.search.improve(sample, support, start, max_swaps);
        if improved {
            self.found.take(&self.search, self.sparsity);
        }
        improved
    }
}
