//! Samples with missing coordinates, or with coordinates that count for less than others.
//!
//! Every coordinate of every sample has a weight from 0 to 1; 0 is missing, and the sample may hold
//! anything there, such as NaN. Codes and dictionaries minimise
//!
//! ```text
//! Σ_i ‖W_i^{1/2} (y_i − D x_i)‖²,   W_i = diag(weights of sample i)
//! ```
//! and D x then says what is missing. [`MaskedOmp`] codes on a given dictionary,
//! [`Model::encode_masked`](crate::Model::encode_masked) with a model; [`MaskedKsvd`] learns a
//! dictionary from incomplete samples; [`complete`] fills in what is missing; [`draw_atoms`] makes
//! a dictionary to start from.
//!
//! J. Mairal, M. Elad, G. Sapiro, "Sparse representation for color image restoration", IEEE Trans.
//! Image Process. 17, 2008.
//!
//! ```
//! use dbksvd::faer::Mat;
//! use dbksvd::masked::{MaskedKsvd, MaskedOmp, complete, draw_atoms};
//! use dbksvd::synthetic::Planted;
//! use rand::{RngExt, SeedableRng};
//!
//! // Samples of which a third is missing, at random.
//! let whole = Planted::new(16, 20, 2, 1000).seed(3).generate::<f64>()?.samples;
//! let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
//! let weights = Mat::from_fn(16, 1000, |_, _| f64::from(random.random_range(0..3) != 0));
//! let samples =
//!     Mat::from_fn(16, 1000, |r, i| if weights[(r, i)] > 0.0 { whole[(r, i)] } else { f64::NAN });
//!
//! let initial = draw_atoms(&samples, &weights, 20, 1)?;
//! let learned = MaskedKsvd::new(MaskedOmp::new(2)).passes(30).learn(initial, &samples, &weights)?;
//! let filled = complete(&learned.dictionary, &learned.codes, &samples, &weights)?;
//! let error = (&filled - &whole).squared_norm_l2() / whole.squared_norm_l2();
//! assert!(error < 0.1, "{error}"); // a third if zeros are filled in
//! # Ok::<(), dbksvd::Error>(())
//! ```

mod checks;
mod coder;
mod complete;
mod learner;
mod start;
mod update;

pub use coder::MaskedOmp;
pub use complete::complete;
pub use learner::{MaskedFit, MaskedKsvd, MaskedPass};
pub use start::draw_atoms;
