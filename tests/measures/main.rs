//! Measures: each against its definition or the implementation it comes from.

mod guarantees;
mod metrics;
mod sae_tools;

#[path = "../support/mod.rs"]
mod support;
