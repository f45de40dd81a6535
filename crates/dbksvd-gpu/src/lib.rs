//! A graphics processor as a backend of [`dbksvd`]: samples, codes, residuals and the dictionary
//! stay in the memory of the device.
//!
//! [`Gpu`] implements [`Backend`](dbksvd::backend::Backend),
//! [`PursuitKernels`](dbksvd::backend::PursuitKernels) and
//! [`SweepKernels`](dbksvd::backend::SweepKernels) in `f32` on [`wgpu`], so it runs on cards of any
//! vendor, through Vulkan, Metal or DirectX 12. `dbksvd` decides everything: its builder, sessions,
//! checkpoints, held-out measures and encoders work on the device as they are.
//!
//! ```
//! use dbksvd::DbKsvd;
//! use dbksvd::synthetic::Planted;
//! use dbksvd_gpu::Gpu;
//!
//! let samples = Planted::new(16, 32, 3, 500).generate::<f32>()?.samples;
//! let learner = DbKsvd::builder_on(Gpu::new()?, 32, 3).epochs(2).build()?;
//! let (model, report) = learner.fit(&samples)?;
//! assert_eq!((model.dim(), model.atoms()), (16, 32));
//! assert!(report.epochs[1].fvu < report.epochs[0].fvu);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//! - Rounding chooses no atom. Scores of atoms have bounds of their errors; what these leave open
//!   is computed again from the residual. Samples in doubt even so, and those whose next atom
//!   nearly depends on the others, are coded in double precision by the processor.
//! - Two runs on one adapter and driver have the same bits: no sum depends on the order in which a
//!   device works. Results of two adapters differ by rounding.
//! - A device that is lost, memory that runs out and problems beyond the limits are
//!   [`BackendError`](dbksvd::error::BackendError)s, with a [`GpuError`] within where the device
//!   has something to say.
//!
//! # Limits
//! At most 65,536 atoms, and at most 128 atoms a code. Pursuits work by rows of the Gram matrix
//! where its 4m² bytes are within [`gram_limit`](dbksvd::coder::BatchOmp::gram_limit) and within
//! what the adapter can bind; else by rows in 16 bits, if that fits and atoms are chosen by
//! correlation; else by products with the residuals. A matrix that
//! is larger than what the adapter hands to a kernel at once is split; how often depends on how
//! many buffers a kernel may have. The codes of a minibatch are not split. One owner holds all
//! samples of a minibatch: there are no [`Group`](dbksvd::group::Group)s on a device.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod adapter;
mod block;
mod buffer;
mod device;
mod error;
mod gpu;
mod gram_free;
mod half_gram;
mod index;
mod matrix;
mod product;
mod pursuit;
mod renewal;
mod sums;
mod sweep;

pub use adapter::{Adapter, AdapterInfo, adapters};
pub use error::GpuError;
pub use gpu::Gpu;
pub use matrix::{GpuCodes, GpuMatrix};
pub use pursuit::GpuPursuits;
pub use sweep::GpuSweep;
