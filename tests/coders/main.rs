//! Coders: each against brute force, other implementations, and the contract.

mod digits;
mod exact;
mod kernels;
mod lasso;
mod matching_pursuit;
mod near_duplicates;
mod properties;
mod sklearn;
mod swaps;
mod threshold;
mod top_k;

#[path = "../support/mod.rs"]
mod support;
