//! Coders against naive ones, on thousands of inputs that are hard to code.

mod oracle;
mod problem;
mod pursuits;
#[path = "../support/mod.rs"]
mod support;
