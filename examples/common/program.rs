//! What every program does around its work: arguments, help, and errors in a line.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

/// What can go wrong is printed.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs `work` with the arguments, or prints the help that was asked for instead of them.
pub fn run<A>(
    parse: fn() -> Outcome<Option<A>>,
    help: &str,
    work: fn(A) -> Outcome<()>,
) -> ExitCode {
    let done = parse().and_then(|arguments| match arguments {
        Some(arguments) => work(arguments),
        None => Ok(std::io::stdout().write_all(help.as_bytes())?),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
