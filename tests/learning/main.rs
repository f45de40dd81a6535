//! Updaters and whole runs: against KSVD.jl, on planted problems, for any shape.

mod fixed;
mod growth;
mod ksvdjl;
mod large_samples;
mod linear_features;
mod massive_coordinate;
mod matryoshka;
mod messages;
mod minibatches;
mod non_negative;
mod owners;
mod paired;
mod properties;
mod together;
mod updaters;

#[path = "../support/mod.rs"]
mod support;
