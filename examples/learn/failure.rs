//! Everything that ends the program early: one line on stderr and an exit code.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use dbksvd::Error;
use dbksvd::error::{FileError, SourceError};

/// Parameters of the library that are options of the same name.
const OPTIONS: [&str; 4] = ["atoms", "sparsity", "minibatch", "atom_batch"];

/// Why there is no result.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are wrong: exit code 2.
    Usage(String),
    /// Files, data or memory are at fault: exit code 1.
    Run(String),
    /// Whoever read stdout has gone: nothing to say, and nobody to say it to.
    Closed,
}

impl Failure {
    /// Prints the failure on one line and gives its exit code.
    pub fn report(self) -> ExitCode {
        let (message, code) = match self {
            Self::Usage(message) => (message, 2),
            Self::Run(message) => (message, 1),
            Self::Closed => return ExitCode::SUCCESS,
        };
        let mut line = String::from(concat!(env!("CARGO_CRATE_NAME"), ": "));
        // Names of files may hold anything.
        for character in message.chars() {
            if character.is_control() {
                let _ = write!(line, "{}", character.escape_default());
            } else {
                line.push(character);
            }
        }
        let _ = writeln!(io::stderr(), "{line}");
        ExitCode::from(code)
    }

    /// An error met while working on the samples of `file`.
    pub fn in_file(error: Error, file: &std::path::Path) -> Self {
        match error {
            Error::NotFinite { .. } | Error::NoSamples { .. } => {
                Self::Run(format!("{}: {error}", file.display()))
            }
            error => error.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Argument { argument, found, expected } if OPTIONS.contains(&argument) => {
                let option = argument.replace('_', "-");
                Self::Usage(format!("--{option} is {found}, expected {expected}"))
            }
            error => Self::Run(error.to_string()),
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Run(error.to_string())
    }
}

/// Prints `text` on stdout as it is.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::Closed
        } else {
            Failure::Run(format!("stdout: {error}"))
        }
    })
}
