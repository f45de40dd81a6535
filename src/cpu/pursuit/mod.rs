//! Pursuits on the processor: the greedy loop and the forms of the Gram matrix that it runs on.

pub(crate) mod argmax;
mod basis;
pub(crate) mod batch;
mod best;
pub(crate) mod correlations;
pub(crate) mod dependence;
pub(crate) mod double;
pub(crate) mod factor;
mod format16;
pub(crate) mod full_gram;
pub(crate) mod gram;
pub(crate) mod gram_free;
pub(crate) mod gram_schmidt;
pub(crate) mod greedy;
pub(crate) mod in_step;
mod inverse;
pub(crate) mod least_squares;
mod narrow;
mod pass;
pub(crate) mod product;
mod sample;
mod scratch;
pub(crate) mod small;
mod weights;
pub(crate) mod wide;
