//! Measures, each defined once.
//!
//! Samples y, their decoded codes ŷ, the samples' mean ȳ; learned atoms d_i (m of them), true atoms
//! t_j (M of them), c_ij = |cos(d_i, t_j)|. Sums are in f64; decoding
//! and the cosines' products are in the scalar of the dictionary.
//!
//! | measure | definition | range | best | where |
//! |---|---|---|---|---|
//! | FVU | Σ‖y − ŷ‖² / Σ‖y − ȳ‖² | ≥ 0 | 0 | [`Reconstruction::fvu`] |
//! | FVU within the limit | the same, of the samples within the model's norm limit | ≥ 0 | 0 | [`Reconstruction::fvu_within`] |
//! | explained variance | 1 − FVU | ≤ 1 | 1 | [`Reconstruction::explained_variance`] |
//! | relative error | Σ‖y − ŷ‖² / Σ‖y‖² | ≥ 0 | 0 | [`Reconstruction::relative_error`] |
//! | L0 | mean number of coefficients ≠ 0 a sample | 0 … k | | [`Reconstruction::l0`] |
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
//! FVU and relative error are different numbers whenever the samples are not centred: say which.
//! MCC, uniqueness, explained variance and L0 are those of SynthSAEBench (D. Chanin & A.
//! Garriga-Alonso, 2026, arXiv:2602.14687), tested against their formulas in SciPy. MMCS is from
//! L. Sharkey, D. Braun & B. Millidge, *Taking features out of superposition with sparse
//! autoencoders*, 2022. The sources of coherence and its bounds are named at [`Coherence`].
//!
//! Measures of the tools around sparse autoencoders are in the crate `dbksvd-sae`.
//!
//! No single number tells whether a dictionary is right: a pursuit can reproduce samples well by
//! fitting what true atoms leave behind, which shows in recovery and not in FVU.

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
