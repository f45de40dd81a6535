//! The examples, run as programs.

mod ablation;
mod encode;
mod features;
mod images;
mod learn;
mod options;
mod service;
mod studies;
mod truth;

#[path = "../support/programs.rs"]
mod programs;
