//! Sweeps of dictionary updates on the processor.

mod atom_sums;
mod decorrelation;
mod direction;
pub(crate) mod duplicates;
mod exchange;
pub(crate) mod host;
mod kernels;
mod renewal;
pub(crate) mod sums;
