//! A graphics processor as a backend of [`dbksvd`]: its matrices and codes stay in the memory of
//! the device.
//!
//! [`Gpu`] implements [`Backend`](dbksvd::backend::Backend) in `f32` on [`wgpu`], so it runs on
//! cards of any vendor, through Vulkan, Metal or DirectX 12. Without a card, a driver that runs on
//! the processor (Mesa's lavapipe) does for tests.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod adapter;
mod device;
mod error;
mod gpu;
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
