//! Measures: each against its definition or the implementation it comes from.

mod guarantees;
mod metrics;

#[path = "../support/mod.rs"]
mod support;
