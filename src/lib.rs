//! Dictionary learning that scales: double-batch K-SVD for millions of samples and thousands of
//! dimensions.
//!
//! Given samples Y (d × N), find a dictionary D (d × m) of unit-norm *atoms* and sparse codes X
//! (m × N) such that
//!
//! ```text
//! minimise ‖Y − DX‖²_F    subject to    ‖d_j‖₂ = 1  and  ‖x_i‖₀ ≤ k
//! ```
//!
//! so that every sample is a combination of at most k atoms. K-SVD (Aharon, Elad & Bruckstein 2006)
//! alternates sparse coding with rank-one updates of atoms; DB-KSVD (arXiv 2505.18441) makes it
//! scale with two nested batches, of samples and of atoms:
//!
//! ```text
//! for epoch in 1..=epochs:
//!     for each minibatch B of samples (seeded plan):           outer batch: samples
//!         X_B ← encode(D, Y_B)                                 parallel over samples
//!         R_B ← Y_B − D X_B
//!         for each batch J of atoms (seeded order):            inner batch: atoms
//!             for j ∈ J in parallel, all reading one R_B:
//!                 d'_j ← leading left singular vector of E_j = R_Ωj + d_j x_jᵀ
//!             for each sample in parallel, each j ∈ J it uses:
//!                 x_j ← E_jᵀ d'_j,  r ← its new residual
//!             if that raised the error: undo it, take J in two halves
//!             D_J ← d'_J
//!         renew atoms that died, or that duplicate another
//! ```
//!
//! # Quick start
//!
//! ```
//! use dbksvd::coder::BatchOmp;
//! use dbksvd::metrics::reconstruction;
//! use dbksvd::source::SliceSource;
//! use dbksvd::DbKsvd;
//!
//! // 400 samples of dimension 16, one after the other: any row-major (N, d) array.
//! let samples: Vec<f32> = (0..400 * 16).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
//! let source = SliceSource::new(&samples, 16).map_err(dbksvd::Error::from)?;
//!
//! let learner = DbKsvd::builder(32, 4).seed(7).build()?; // 32 atoms, at most 4 a sample
//! let (model, report) = learner.fit(&source)?;
//!
//! let codes = model.encode(&BatchOmp::new(), source.as_mat())?;
//! let quality = reconstruction(&model, source.as_mat(), &codes)?;
//! assert!(quality.explained_variance() > 0.5 && codes.sparsity() == 4);
//! let percent = 100.0 * quality.explained_variance();
//! println!("{percent:.1} % explained after {} steps", report.steps);
//! # Ok::<(), dbksvd::Error>(())
//! ```
//!
//! # The parts
//!
//! | part | what it is |
//! |---|---|
//! | [`DbKsvd`] | the learner: builder, [`fit`](DbKsvd::fit), [`run`](DbKsvd::run)s that survive, and step-wise [`session`](DbKsvd::session)s |
//! | [`learn`] | stop rules, observers, checkpoints, reports, the best of several runs |
//! | [`observe`] | observers ready made |
//! | [`Model`], [`Encoder`] | what learning gives: a dictionary that encodes and decodes, on any number of threads at once |
//! | [`SparseCodes`] | codes, convertible to compressed columns and rows |
//! | [`coder`] | OMP and OLS, matching pursuit, top k, swaps, exact search, the lasso; the trait to write another |
//! | [`updater`] | [`KSvd`](updater::KSvd), [`Mod`](updater::Mod), [`Online`](updater::Online), a bound on coherence, fixed and non-negative atoms; the trait to write another |
//! | [`learn::Paired`] | a second dictionary, for targets that belong to the samples |
//! | [`omp`](fn@omp), [`pursuit`] | OMP by itself, for any matrix of atoms; compressed sensing |
//! | [`masked`] | coding of, and learning from, samples with missing coordinates |
//! | [`patches`] | images as samples; denoising and inpainting |
//! | [`Groups`] | nested groups of atoms, for Matryoshka dictionaries |
//! | [`backend`] | the matrix kernels, on the host or on a device |
//! | [`group`] | several owners of a minibatch's samples, with the bits of one |
//! | [`source`] | samples in memory and in files, read by ranges; shards, splits |
//! | [`Preprocessing`], [`Outliers`] | means, scales, and samples of extreme norm |
//! | [`metrics`] | errors, coherence, recovery and its guarantees |
//! | [`synthetic`] | planted problems whose answer is known |
//! | [`notation`] | letters, names and shapes |
//!
//! Sparse autoencoders, which are dictionaries with another coder, are in a crate of their own,
//! `dbksvd-sae`.
//!
//! # Determinism
//!
//! Results are a function of the data, the parameters and the seed, bit by bit, on any number of
//! threads: every sum has a fixed order (over samples, that of
//! [`SampleShards`](backend::SampleShards)), products run on one thread over blocks of a fixed
//! width, and the size of the atom batch is a parameter. A sample's code has the same bits encoded
//! alone or among a million. Another processor may give other last bits: faer's products choose
//! their kernels by its instruction set. Parallel loops run on the current rayon pool; to use
//! another, call [`fit`](DbKsvd::fit) inside its `install`.
//!
//! # Range
//!
//! Samples are to be finite, and of a root mean square norm, over a minibatch, of 10⁻¹⁵ to 10¹⁵ in
//! `f32` (10⁻¹⁴⁰ to 10¹⁴⁰ in `f64`), or zero: outside, squares over- and underflow, and an error
//! says so. Files of f64 are rounded where the scalar is `f32`; what that would lose is an error
//! too ([`source::check_rounding`]).
//!
//! # Memory
//!
//! With n samples in a minibatch, p threads and scalars of s bytes (4 or 8), learning takes about
//!
//! ```text
//! s·(3·d·n                  the minibatch: host buffer, backend matrix, residual
//!    + 3·d·m                the dictionary: initial, current, the model's; d·m more for the best
//!    + p·((324 + 2·k)·m + 200·d)   scratch of batch-OMP, its Gram matrix, and renewal
//!    + 64·6·d)              partial sums of 64 atoms at a time
//! + 2·m² + 2·d·m            the Gram matrix and the dictionary, in 16-bit numbers; s·m² instead
//!                           for small problems: signed codes and m ≤ 512 or m·k ≤ 8,192
//! + n·(k·(s + 16) + 4)      codes and their index
//! ```
//!
//! bytes, and nothing that grows with N: samples are read when they are needed, ahead of time into
//! the one host buffer, and the shuffled order is a function. Where a backend
//! [overlaps uploads](backend::Backend::overlaps_uploads), a minibatch takes 2·d·n scalars more:
//! another host buffer and another backend matrix. Held-out samples take 3·d·4096
//! scalars. `tests/memory.rs` holds the peak of a run against it. Where 2·m² bytes are more than
//! [`BatchOmp::gram_limit`](coder::BatchOmp::gram_limit), the coder does without the Gram matrix,
//! in p·128·(m + (k + 1)·d) scalars. Once a sample has to be coded in double precision, each thread
//! takes 2·m + (k + 3)·d + k² doubles for it.
//!
//! # Complexity
//!
//! Coding a sample by batch-OMP takes d·m multiplications for its correlations and about k²m/2 for
//! the pursuit; the Gram matrix d·m² once a step. A sweep of atom updates takes 4·d per nonzero.
//!
//! # Feature flags
//!
//! None is on by default; the algorithms need none.
//!
//! | feature | adds |
//! |---|---|
//! | `npy` | samples and masks from `.npy` files; dictionaries, means, scales to `.npy`, codes to SciPy's `.npz` |
//! | `safetensors` | samples from `.safetensors` files; models saved and loaded; checkpoints; tensors read and written by name |
//! | `json` | an observer that logs JSON lines |
//! | `progress` | an observer that shows a progress bar |
//! | `tracing` | an observer that emits `tracing` events |
//! | `serde` | by serde: models, codes and reports, checked when they are read, and the configurations of coders |
//! | `conformance` | the public test suites for backends, coders and updaters |
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backend;
mod coded_blocks;
pub mod coder;
pub mod codes;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod cpu;
pub mod dictionary;
mod encoder;
pub mod error;
#[cfg(any(feature = "npy", feature = "safetensors"))]
pub mod files;
mod fingerprint;
pub mod group;
mod groups;
pub mod learn;
pub mod masked;
mod matrix;
pub mod metrics;
mod model;
pub mod notation;
pub mod observe;
mod parameters;
pub mod patches;
mod printable;
mod problem;
pub mod pursuit;
mod random;
mod reference;
mod sample_shards;
mod samples;
mod scalar;
#[cfg(feature = "serde")]
mod serialised;
pub mod source;
pub mod synthetic;
pub mod updater;

pub use codes::SparseCodes;
pub use cpu::{Faer, HostBackend, HostSweep};
pub use dictionary::Dictionary;
pub use encoder::{Encoder, Outcomes};
pub use error::Error;
pub use faer;
#[cfg(feature = "npy")]
pub use files::export;
pub use groups::Groups;
pub use learn::{DbKsvd, Initialisation};
pub use model::Model;
pub use parameters::Parameters;
pub use problem::{ProblemShape, Sign};
pub use pursuit::omp;
pub use reference::{Reference, ReferencePursuits};
pub use samples::preprocessing::{Outliers, Preprocessing};
pub use scalar::Scalar;

/// The README's example is compiled and run as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
