//! What works on signals without a learner around it: OMP by itself, samples with missing
//! coordinates, patches of images.

mod masked;
mod misuse;
mod omp;
mod patches;
mod sklearn;

#[path = "../support/mod.rs"]
mod support;
