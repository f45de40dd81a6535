//! The tests of the command line and of the model of time, without the learner, which takes long to
//! compile.

#![allow(dead_code, reason = "only the program uses what is not tested")]

#[path = "../src/arguments.rs"]
mod arguments;

#[path = "../src/cost"]
mod cost {
    pub mod arguments;
    mod model;
}
