//! Sparse autoencoders as dictionaries and coders of [`dbksvd`], together with a benchmark and the
//! measures that are common for sparse autoencoders.
//!
//! A sparse autoencoder (SAE) is a dictionary together with an encoder, which computes one matrix
//! product and applies a threshold: latents z = activation(W_encᵀ(y − b) + b_enc), reconstruction
//! ŷ = W_dec z + b. Here its decoder is a [`Dictionary`](dbksvd::Dictionary) and its encoder a
//! [`SparseCoder`](dbksvd::coder::SparseCoder). So the codes of its encoder and the codes of a
//! pursuit with the same atoms are measured by the same calls:
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
//! [`Sae::from_model`] makes an SAE of a learned dictionary.
//!
//! # Norms: codes and latents
//! Decoder rows of an SAE may have any norm, while atoms have norm 1. **Codes** are coefficients of
//! atoms: latents times the norms of their decoder rows. So codes on the
//! [dictionary](Sae::dictionary) decode to the reconstruction of the SAE, and the sizes of two
//! codes can be compared. **Latents** are the activations that other tools show. [`Sae::latents`]
//! computes them from codes, and [`Sae::encode_latents`] from samples. A latent whose decoder row
//! is zero can fire, but it has no code, because it adds nothing to any reconstruction.
//!
//! # How many nonzeros
//! Only top-k encoders fix the number of latents that fire. [`Sae::encode`] keeps all of them: the
//! budget of its codes is the largest number that occurs. [`SaeCoder`] codes for a
//! [`Model`](dbksvd::Model) with a budget k. It keeps the k strongest codes of a sample and counts
//! the samples that had more: [`SaeState::cut`], which is reached through
//! [`Encoder::state`](dbksvd::Encoder::state).
//!
//! # The benchmark
//! [`synthetic`] makes samples of known features, which are rare, correlated and hierarchical, as
//! in SynthSAEBench. With such samples one can measure whether a dictionary, learned or of an
//! autoencoder, holds the features that the samples were made of:
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
//! [`metrics`] has the measures that the tools around autoencoders print, by their definitions: the
//! errors of samples, how often atoms are used, how similar they are, whether they fire with true
//! features, whether they tell labels, whether features of a class are absorbed by others, what
//! probes lose without them, and whether two runs agree. [`dbksvd::metrics`] has the measures of
//! errors, coherence and recovery.
//!
//! # Determinism
//! As in dbksvd, the same seed, data and processor give the same bits on any number of threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod metrics;
mod random;
mod sae;
pub mod synthetic;
mod vector;

pub use sae::{Affine, Architecture, Sae, SaeCoder, SaeState, Tied, split_signs};
