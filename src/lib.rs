//! Dictionary learning that scales.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(any(feature = "npy", feature = "safetensors"))]
mod atomic;
pub mod backend;
pub mod coder;
pub mod codes;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod dictionary;
mod encoder;
pub mod error;
#[cfg(feature = "npy")]
pub mod export;
mod init;
mod kernel;
pub mod learn;
pub mod metrics;
mod model;
mod problem;
mod random;
mod samples;
mod scalar;
pub mod source;
pub mod synthetic;
pub mod updater;

pub use codes::SparseCodes;
pub use dictionary::Dictionary;
pub use encoder::Encoder;
pub use error::Error;
pub use faer;
pub use learn::{DbKsvd, Initialisation};
pub use model::Model;
pub use problem::{ProblemShape, Sign};
pub use scalar::Scalar;
