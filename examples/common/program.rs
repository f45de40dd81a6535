//! What every program does around its work: arguments, help, and errors in a line.

#![allow(dead_code, reason = "some examples have options, the others have none")]

#[path = "complaint.rs"]
mod complaint;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use complaint::complain;

/// What can go wrong is printed.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs `work` with the arguments, or prints the help that was asked for instead of them. The exit
/// code is 2 for arguments that are wrong, and 1 for work that fails.
pub fn run<A>(
    parse: fn() -> Outcome<Option<A>>,
    help: &str,
    work: fn(A) -> Outcome<()>,
) -> ExitCode {
    match parse() {
        Ok(Some(arguments)) => ended(work(arguments)),
        Ok(None) => ended(io::stdout().write_all(help.as_bytes()).map_err(Into::into)),
        Err(error) => failed(&error.to_string(), 2),
    }
}

/// Runs `work`, which takes no arguments, unless the command line asks for `help`.
pub fn run_without_options<E>(help: &str, work: fn() -> Result<(), E>) -> ExitCode
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    match std::env::args_os().nth(1) {
        None => ended(work().map_err(Into::into)),
        Some(argument) if argument == "--help" || argument == "-h" => {
            ended(io::stdout().write_all(help.as_bytes()).map_err(Into::into))
        }
        Some(argument) => failed(&format!("unexpected argument {argument:?} (see --help)"), 2),
    }
}

fn ended(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string(), 1),
    }
}

fn failed(message: &str, code: u8) -> ExitCode {
    complain("error", message);
    ExitCode::from(code)
}
