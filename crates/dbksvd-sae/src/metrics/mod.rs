//! Measures of the tools around sparse autoencoders, in the notation of [`dbksvd::metrics`], whose
//! measures they add to. If tools define a measure differently, its documentation names the
//! variants.
//!
//! | measure | definition | range | best | where |
//! |---|---|---|---|---|
//! | mean squared error | mean ‖y − ŷ‖² | ≥ 0 | 0 | [`Fidelity::mean_squared_error`] |
//! | normalised MSE | mean of ‖y − ŷ‖² / ‖y‖² | ≥ 0 | 0 | [`Fidelity::mean_relative_error`] |
//! | legacy explained variance | mean of 1 − ‖y − ŷ‖² / ‖y − ȳ‖² | ≤ 1 | 1 | [`Fidelity::explained_variance_legacy`] |
//! | cosine | mean of cos(y, ŷ) | −1 … 1 | 1 | [`Fidelity::cosine`] |
//! | l2 ratio, shrinkage | mean of ‖ŷ‖ / ‖y‖ | ≥ 0 | 1 | [`Fidelity::l2_ratio`] |
//! | relative reconstruction bias | Σ‖ŷ‖² / Σyᵀŷ | | 1 | [`Fidelity::relative_reconstruction_bias`] |
//! | dead share | dead atoms / m | 0 … 1 | 0 | [`Usage::dead_share`] |
//! | log densities | atoms by log₁₀ of their densities | | | [`Usage::histogram`] |
//! | max decoder cosine | max over i ≠ j of cos(d_i, d_j), for each j | −1 … 1 | | [`Neighbours::max_cosines`] |
//! | precision, recall, F1 | of d_i firing, for its most alike t_j firing | 0 … 1 | 1 | [`Detection`] |
//! | k-sparse probing | accuracy of a label by k atoms | 0 … 1 | 1 | [`Probing`] |
//! | token-level probing | the same for labels that overlap | 0 … 1 | 1 | [`Probing::run_labels`] |
//! | means over windows | of codes or samples, to probe texts rather than tokens | | | [`Windows`] |
//! | absorption | share of a class that other atoms stand for than those of the class | 0 … 1 | 0 | [`Absorption`] |
//! | targeted probe perturbation (TPP) | what probes of a class lose without its atoms, less what others lose | −1 … 1 | 1 | [`Perturbation`] |
//! | stability | mean c over matched atoms of two runs | 0 … 1 | 1 | [`Stability`] |

mod absorption;
mod detection;
mod features;
mod fidelity;
mod labelled;
mod logistic;
mod neighbours;
mod perturbation;
mod probing;
mod sparse_logistic;
mod split;
mod stability;
mod usage;
mod windows;

pub use absorption::{Absorbed, AbsorbedClass, Absorption, LeftOut};
pub use detection::Detection;
pub use features::Features;
pub use fidelity::{Fidelity, fidelity};
pub use labelled::{Labelled, LinearProbe};
pub use neighbours::{Likeness, Neighbour, Neighbours};
pub use perturbation::{Ablation, Perturbation, Perturbed};
pub use probing::{Probe, Probes, Probing};
pub use split::Split;
pub use stability::Stability;
pub use usage::{DensityHistogram, Usage};
pub use windows::Windows;

/// Atoms that one task compares. The number is fixed, so that results do not depend on the number
/// of threads.
const BLOCK: usize = 128;
