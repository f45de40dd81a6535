//! Files that results are written to, whole or not at all; the tensors of safetensors files.
//!
//! With feature `safetensors`, `TensorFile` writes named tensors and `TensorReader` reads them.
//! Models and checkpoints are such files, and so are the weights that other tools keep of theirs.
//! [`write_atomically`] is for any other format.

pub(crate) mod atomic;
#[cfg(feature = "safetensors")]
mod checkpoint;
#[cfg(feature = "npy")]
pub mod export;
#[cfg(feature = "safetensors")]
mod model;
#[cfg(feature = "safetensors")]
mod reader;
#[cfg(feature = "safetensors")]
pub(crate) mod tensors;

pub use atomic::write_atomically;
#[cfg(feature = "safetensors")]
pub use reader::{TensorReader, TensorRows};
#[cfg(feature = "safetensors")]
pub use tensors::{Numbers, TensorFile};
