//! Sparse autoencoders (feature `sae`): read from files, used as coders, written to files.
//!
//! A sparse autoencoder (SAE) is a dictionary with an encoder that takes one matrix product and a
//! threshold: latents z = activation(W_encᵀ(y − b) + b_enc), reconstruction ŷ = W_dec z + b. Here
//! its decoder is a [`Dictionary`](crate::Dictionary) and its encoder a
//! [`SparseCoder`](crate::coder::SparseCoder), so that its codes, and a pursuit's on the same
//! atoms, are measured by the same calls:
//!
//! ```no_run
//! use dbksvd::coder::BatchOmp;
//! use dbksvd::metrics::reconstruction;
//! use dbksvd::sae::Sae;
//! # let samples = dbksvd::faer::Mat::<f32>::zeros(768, 100);
//!
//! let sae = Sae::<f32>::read_saelens("gpt2-small-res-jb")?; // cfg.json, sae_weights.safetensors
//! let model = sae.model(32)?; // the decoder as a dictionary, b_dec as its mean
//! let own = sae.encode(samples.as_ref())?;
//! let pursued = model.encode(&BatchOmp::new(), samples.as_ref())?; // at most 32 a sample
//! println!("its encoder {:.3}", reconstruction(&model, samples.as_ref(), &own)?.fvu());
//! println!("pursuit     {:.3}", reconstruction(&model, samples.as_ref(), &pursued)?.fvu());
//! # Ok::<(), dbksvd::Error>(())
//! ```
//!
//! | file format | read | write |
//! |---|---|---|
//! | SAELens (`cfg.json`, `sae_weights.safetensors`), of any version | [`Sae::read_saelens`] | [`Sae::write_saelens`] |
//! | EleutherAI's sparsify (`cfg.json`, `sae.safetensors`) | [`Sae::read_sparsify`] | |
//!
//! A learned dictionary becomes an SAE by [`Sae::from_model`].
//!
//! # Norms, and two kinds of numbers
//! Decoder rows of an SAE may have any norm; atoms have norm 1. **Codes** are coefficients of
//! atoms: latents times the norms of their decoder rows, so that codes on the
//! [dictionary](Sae::dictionary) decode to what the SAE reconstructs, and the strength of two codes
//! compares. **Latents**, the activations that other tools show, are what [`Sae::latents`] makes of
//! codes, and [`Sae::encode_latents`] of samples. A latent whose decoder row is zero fires and has
//! no code: it adds nothing to any reconstruction.
//!
//! # How many nonzeros
//! The number of latents that fire is fixed for top-k encoders only. [`Sae::encode`] keeps them
//! all: the budget of its codes is the largest number there is. [`SaeCoder`], which codes for a
//! [`Model`](crate::Model) with a budget k, keeps the k strongest codes of a sample and counts the
//! samples that had more: [`SaeState::cut`], by way of [`Encoder::state`](crate::Encoder::state).

mod activation;
mod coder;
mod config;
mod decoding;
mod encode;
mod from_model;
mod parameters;
mod pursuit;
mod saelens_keys;
mod saelens_read;
mod saelens_write;
mod sparsify_read;
mod tensors;
mod types;

pub use coder::{SaeCoder, SaeState};
pub use from_model::{Tied, split_signs};
pub use types::{Affine, Architecture, Sae};
