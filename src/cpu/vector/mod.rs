//! Loops over vectors, compiled for every instruction set and chosen at run time.

pub(crate) mod aligned;
pub(crate) mod dots16;
pub(crate) mod loops;
pub(crate) mod outlined;
pub(crate) mod prefetch;
pub(crate) mod rows;
