//! What holds for every part: conformance, determinism, typed errors, odd input, another backend.

mod codes;
mod conformance;
mod determinism;
mod device;
mod edge_cases;
mod misuse;
mod overlap;

#[path = "../mock/mod.rs"]
mod mock;
#[path = "../support/mod.rs"]
mod support;
