//! What a pursuit on the 16-bit Gram matrix works with.

use super::format16::CHUNK;
use super::inverse::Inverse;
use super::pass::ScoreBounds;
use super::weights::Weights;
use crate::Scalar;
use crate::backend::Selection;
use crate::cpu::vector::padded::padded;
use crate::problem::ProblemShape;

/// What a pursuit works with; reused from sample to sample.
#[derive(Debug)]
pub(crate) struct PursuitScratch<T> {
    pub(crate) field: ScoreBounds<T>,
    pub(crate) support: Vec<u32>,
    /// Whether an atom must not be chosen: it was, or it is padding.
    pub(crate) taken: Vec<bool>,
    /// Where the rows of G of the chosen atoms begin.
    pub(crate) starts: Vec<usize>,
    /// σ of these rows, and 1/σ, or zero.
    pub(crate) scales: Vec<T>,
    pub(crate) inverse_scales: Vec<T>,
    pub(crate) inverse: Inverse<T>,
    /// c, the sample's coordinates in the orthonormal basis.
    pub(crate) coordinates: Vec<T>,
    pub(crate) gamma: Vec<T>,
    /// γ as far as α̃ takes it into account.
    pub(crate) propagated: Vec<T>,
    /// γ as far as α̃ at the chosen atoms themselves does.
    pub(crate) settled: Vec<T>,
    /// Correlations that are as exact as the product they come from, and the γ they belong to, once
    /// they were computed anew. Until then they are α⁰ and 0.
    pub(crate) fresh: Vec<T>,
    pub(crate) fresh_gamma: Vec<T>,
    pub(crate) weights: Weights<T>,
    /// For what rounding `weights` has left.
    pub(crate) fine: Weights<T>,
    pub(crate) change: Vec<T>,
    pub(crate) found: Vec<u32>,
    pub(crate) candidate: Candidate<T>,
    pub(crate) winner: Candidate<T>,
    pub(crate) sample_residual: Vec<T>,
}

/// An atom with its exact correlation.
#[derive(Debug)]
pub(crate) struct Candidate<T> {
    pub(crate) atom: Option<u32>,
    pub(crate) alpha: T,
    /// ‖(I − P) d‖².
    pub(crate) height: T,
    /// g = D_Sᵀ d.
    pub(crate) products: Vec<T>,
    /// w = L⁻¹ g.
    pub(crate) overlaps: Vec<T>,
}

impl<T: Scalar> Candidate<T> {
    fn new(sparsity: usize) -> Self {
        let empty = vec![T::zero(); padded(sparsity)];
        let (alpha, height) = (T::zero(), T::zero());
        Self { atom: None, alpha, height, products: empty.clone(), overlaps: empty }
    }
}

impl<T: Scalar> PursuitScratch<T> {
    pub(crate) fn new(shape: &ProblemShape, selection: Selection) -> Self {
        let (m, k) = (shape.atoms, shape.sparsity);
        let zeros = || vec![T::zero(); padded(k)];
        let mut taken = vec![false; m.next_multiple_of(CHUNK)];
        taken[m..].fill(true);
        Self {
            field: ScoreBounds::new(m, selection == Selection::LeastSquares),
            support: Vec::with_capacity(k),
            taken,
            starts: Vec::with_capacity(k),
            scales: zeros(),
            inverse_scales: zeros(),
            inverse: Inverse::new(k),
            coordinates: Vec::with_capacity(k),
            gamma: zeros(),
            propagated: zeros(),
            settled: zeros(),
            fresh: vec![T::zero(); m],
            fresh_gamma: zeros(),
            weights: Weights::new(k),
            fine: Weights::new(k),
            change: zeros(),
            found: Vec::with_capacity(m.next_multiple_of(CHUNK)),
            candidate: Candidate::new(k),
            winner: Candidate::new(k),
            sample_residual: vec![T::zero(); shape.dim],
        }
    }
}
