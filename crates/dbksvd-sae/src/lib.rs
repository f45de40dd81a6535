//! Sparse autoencoders as dictionaries and coders of [`dbksvd`], with the benchmark and the
//! measures of their world.
//!
//! A sparse autoencoder (SAE) is a dictionary with an encoder that takes one matrix product and a
//! threshold: latents z = activation(W_encᵀ(y − b) + b_enc), reconstruction ŷ = W_dec z + b. Here
//! its decoder is a [`Dictionary`](dbksvd::Dictionary) and its encoder a
//! [`SparseCoder`](dbksvd::coder::SparseCoder), so that its codes, and a pursuit's on the same
//! atoms, are measured by the same calls:
//!
//! ```no_run
//! use dbksvd::coder::BatchOmp;
//! use dbksvd::metrics::reconstruction;
//! use dbksvd_sae::Sae;
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
//! [`Model`](dbksvd::Model) with a budget k, keeps the k strongest codes of a sample and counts the
//! samples that had more: [`SaeState::cut`], by way of [`Encoder::state`](dbksvd::Encoder::state).
//!
//! # The benchmark
//! [`synthetic`] makes samples of known features as SynthSAEBench does: rare, correlated and
//! hierarchical ones. Of these it can be told whether a dictionary, an autoencoder's or a learned
//! one, holds the features that the samples were made of:
//!
//! ```
//! use dbksvd::metrics::{RECOVERED, Recovery};
//! use dbksvd::{DbKsvd, SparseCodes};
//! use dbksvd_sae::metrics::Detection;
//! use dbksvd_sae::synthetic::Recipe;
//!
//! let truth = Recipe::new(64, 24).frequencies(0.15, 0.03, 0.5).build::<f32>()?;
//! let data = truth.draw(2_000, 1)?;
//! let (model, report) = DbKsvd::true_features(48, 12).epochs(5).build()?.fit(&data.samples)?;
//! let coder = dbksvd::coder::ThresholdPursuit::of_noise(report.noise);
//! let codes = model.encode(&coder, data.samples.as_ref())?;
//!
//! let recovery = Recovery::new(model.dictionary(), truth.features())?;
//! let mut detection = Detection::new(&recovery);
//! detection.add(&codes, &SparseCodes::from_csr_parts(64, 64, &data.codes)?)?;
//! println!("features found: {:.2}", recovery.recovered(RECOVERED));
//! println!("F1 of the atoms that stand for them: {:.2}", detection.mean_f1());
//! # Ok::<(), dbksvd::Error>(())
//! ```
//!
//! # Measures
//! [`metrics`] has the measures that the tools around autoencoders print, by their definitions:
//! errors sample by sample, how often atoms are used, whether they are alike, whether they fire
//! with true features or tell labels, whether two runs agree. Errors, coherence and recovery are
//! measured by [`dbksvd::metrics`].
//!
//! # Determinism
//! As in dbksvd: the same bits on any number of threads, for the same seed, data and processor.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod metrics;
mod random;
mod sae;
pub mod synthetic;
mod vector;

pub use sae::{Affine, Architecture, Sae, SaeCoder, SaeState, Tied, split_signs};
