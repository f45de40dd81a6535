//! Updaters and whole runs: against KSVD.jl, on planted problems, for any shape.

mod growth;
mod ksvdjl;
mod large_samples;
mod linear_features;
mod massive_coordinate;
mod matryoshka;
mod minibatches;
mod owners;
mod properties;
mod together;
mod updaters;

#[path = "../support/mod.rs"]
mod support;
