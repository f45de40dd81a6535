//! The tests of the command line and of the model of time, without what runs, which takes long to
//! compile.

#![allow(dead_code, reason = "only the program uses what is not tested")]

#[path = "../../../examples/learn/arguments.rs"]
mod arguments;
#[path = "../src/call.rs"]
mod call;
#[path = "../../../examples/common/complaint.rs"]
mod complaint;
#[path = "../src/device.rs"]
mod device;
#[path = "../../../examples/learn/failure.rs"]
mod failure;
#[path = "../../../examples/common/options.rs"]
mod options;

#[path = "../src/cost"]
mod cost {
    pub mod arguments;
    mod model;
}
