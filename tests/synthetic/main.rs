//! Synthetic problems have the statistics that they promise.

mod planted;
mod sae_bench;
