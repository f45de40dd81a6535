//! Files: sources, models and exports, and every way in which a file can be broken.
#![cfg(all(feature = "npy", feature = "safetensors"))]

#[path = "files/common.rs"]
mod common;
#[path = "files/export.rs"]
mod export;
#[path = "files/mask.rs"]
mod mask;
#[path = "files/model.rs"]
mod model;
#[path = "files/npy.rs"]
mod npy;
#[path = "files/safetensors.rs"]
mod safetensors;
#[path = "files/tensors.rs"]
mod tensors;
