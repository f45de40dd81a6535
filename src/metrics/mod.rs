//! Measures of codes and dictionaries. Each measure is defined and computed in one place.
//!
//! Notation: samples y, their decoded codes ŷ, the samples' mean ȳ; learned atoms d_i (m of them),
//! true atoms t_j (M of them), c_ij = |cos(d_i, t_j)|. Sums and decoding are in f64; the products
//! for cosines are in the scalar of the dictionary.
//!
//! | measure | definition | range | best | where |
//! |---|---|---|---|---|
//! | FVU | Σ‖y − ŷ‖² / Σ‖y − ȳ‖² | ≥ 0 | 0 | [`Reconstruction::fvu`] |
//! | FVU within the limit | the same, of the samples within the model's norm limit | ≥ 0 | 0 | [`Reconstruction::fvu_within`] |
//! | explained variance | 1 − FVU | ≤ 1 | 1 | [`Reconstruction::explained_variance`] |
//! | relative error | Σ‖y − ŷ‖² / Σ‖y‖² | ≥ 0 | 0 | [`Reconstruction::relative_error`] |
//! | L0 | mean number of coefficients ≠ 0 per sample | 0 … k | | [`Reconstruction::l0`] |
//! | density | share of samples that use an atom | 0 … 1 | | [`Reconstruction::densities`] |
//! | dead atoms | atoms that no sample uses | 0 … m | 0 | [`Reconstruction::dead_atoms`] |
//! | MCC | mean c over the matching of least Σ (1 − c) | 0 … 1 | 1 | [`Recovery::mcc`] |
//! | recovered | share of true atoms matched with c > threshold | 0 … 1 | 1 | [`Recovery::recovered`] |
//! | MMCS | mean over j of max_i c_ij | 0 … 1 | 1 | [`Recovery::mmcs`] |
//! | uniqueness | distinct argmax_j c_ij over i, / m | 1/m … 1 | 1 | [`Recovery::uniqueness`] |
//! | coherence μ | max over i ≠ j of \|cos(d_i, d_j)\| | 0 … 1 | 0 | [`Coherence::coherence`] |
//! | Babel μ₁(k) | max over j of the k largest \|cos(d_i, d_j)\|, summed | 0 … k | 0 | [`Coherence::babel`] |
//! | recovery bound | largest k with k < (1 + 1/μ)/2 | 0 … m | m | [`Coherence::sparsity_bound`] |
//! | Babel bound | largest k with μ₁(k − 1) + μ₁(k) < 1 | 0 … m | m | [`Coherence::babel_sparsity_bound`] |
//! | recovery coefficient | max over j ∉ S of ‖D_S⁺ d_j‖₁, for the support S of a sample | ≥ 0 | 0 | [`SampleGuarantee::recovery_coefficient`] |
//!
//! FVU and relative error differ whenever the samples are not centred, so always say which one you
//! give. MCC, uniqueness, explained variance and L0 are those of SynthSAEBench (D. Chanin & A.
//! Garriga-Alonso, 2026, arXiv:2602.14687), tested against their formulas in SciPy. MMCS is from L.
//! Sharkey, D. Braun & B. Millidge, *Taking features out of superposition with sparse
//! autoencoders*, 2022. The sources of coherence and its bounds are named at [`Coherence`].
//!
//! The crate `dbksvd-sae` has the measures of the tools around sparse autoencoders.
//!
//! No single number tells whether a dictionary is right. A pursuit can reproduce samples well by
//! fitting what the true atoms leave; measures of recovery show this, and FVU does not.

mod assignment;
mod batch;
mod coherence;
mod cosine;
mod guarantees;
mod reconstruction;
mod recovery;

pub use coherence::Coherence;
pub use cosine::Directions;
pub use guarantees::{Guarantees, SampleGuarantee};
pub use reconstruction::{Reconstruction, reconstruction};
pub use recovery::{Alike, Pair, RECOVERED, Recovery};
