//! What a pursuit on the 16-bit Gram matrix works with.

use super::inverse::Inverse;
use super::padded::padded;
use super::pass::{CHUNK, Field};
use super::weights::Weights;
use crate::Scalar;
use crate::coder::pursuit::Selection;
use crate::problem::ProblemShape;

/// What a pursuit works with; reused from sample to sample.
#[derive(Debug)]
pub(super) struct PursuitScratch<T> {
    pub(super) field: Field<T>,
    pub(super) support: Vec<u32>,
    /// Whether an atom must not be chosen: it was, or it is padding.
    pub(super) taken: Vec<bool>,
    /// Where the rows of G of the chosen atoms begin.
    pub(super) starts: Vec<usize>,
    /// σ of these rows, and 1/σ, or zero.
    pub(super) scales: Vec<T>,
    pub(super) inverse_scales: Vec<T>,
    pub(super) inverse: Inverse<T>,
    /// c, the sample's coordinates in the orthonormal basis.
    pub(super) coordinates: Vec<T>,
    pub(super) gamma: Vec<T>,
    /// γ as far as α̃ takes it into account.
    pub(super) propagated: Vec<T>,
    /// γ as far as α̃ at the chosen atoms themselves does.
    pub(super) settled: Vec<T>,
    /// Correlations that are as exact as the product they come from, and the γ they belong to, once
    /// they were computed anew. Until then they are α⁰ and 0.
    pub(super) fresh: Vec<T>,
    pub(super) fresh_gamma: Vec<T>,
    pub(super) weights: Weights<T>,
    /// For what rounding `weights` has left.
    pub(super) fine: Weights<T>,
    pub(super) change: Vec<T>,
    pub(super) found: Vec<u32>,
    pub(super) candidate: Candidate<T>,
    pub(super) winner: Candidate<T>,
    pub(super) sample_residual: Vec<T>,
}

/// An atom with its exact correlation.
#[derive(Debug)]
pub(super) struct Candidate<T> {
    pub(super) atom: Option<u32>,
    pub(super) alpha: T,
    /// ‖(I − P) d‖².
    pub(super) height: T,
    /// g = D_Sᵀ d.
    pub(super) products: Vec<T>,
    /// w = L⁻¹ g.
    pub(super) overlaps: Vec<T>,
}

impl<T: Scalar> Candidate<T> {
    fn new(sparsity: usize) -> Self {
        let empty = vec![T::zero(); padded(sparsity)];
        let (alpha, height) = (T::zero(), T::zero());
        Self { atom: None, alpha, height, products: empty.clone(), overlaps: empty }
    }
}

impl<T: Scalar> PursuitScratch<T> {
    pub(super) fn new(shape: &ProblemShape, selection: Selection) -> Self {
        let (m, k) = (shape.atoms, shape.sparsity);
        let zeros = || vec![T::zero(); padded(k)];
        let mut taken = vec![false; m.next_multiple_of(CHUNK)];
        taken[m..].fill(true);
        Self {
            field: Field::new(m, selection == Selection::LeastSquares),
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
