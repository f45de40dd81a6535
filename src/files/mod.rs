//! Every format that is written, and how files are replaced as a whole.

#[cfg(any(feature = "npy", feature = "safetensors"))]
pub(crate) mod atomic;
#[cfg(feature = "safetensors")]
mod checkpoint;
#[cfg(feature = "npy")]
pub mod export;
#[cfg(feature = "safetensors")]
mod model;
#[cfg(feature = "safetensors")]
pub(crate) mod tensors;
