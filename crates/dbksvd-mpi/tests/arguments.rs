//! The tests of the command line, without the program, which takes longer to compile.

#[path = "../src/arguments.rs"]
#[allow(dead_code, reason = "the tests are within")]
mod arguments;
