//! Sparse autoencoders: their parts, their encoders, and their files.

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
