//! The examples, run as programs.

mod ablation;
mod encode;
mod features;
mod images;
mod learn;
mod phase;
mod sae;

#[path = "../support/programs.rs"]
mod programs;
