//! Sweeps of dictionary updates on the processor.

pub(crate) mod direction;
pub(crate) mod duplicates;
pub(crate) mod exchange;
pub(crate) mod sums;
