//! Everything that ends the program early: one line on stderr and an exit code.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use dbksvd::Error;
use dbksvd::error::{FileError, SourceError};

use crate::complaint::complain;
use crate::options::Usage;

/// Parameters of the library that are options of the same name.
const OPTIONS: [(&str, &str); 9] = [
    ("atoms", "atoms"),
    ("sparsity", "sparsity"),
    ("minibatch", "minibatch"),
    ("atom_batch", "atom-batch"),
    ("held_out", "held-out"),
    ("max_steps", "steps"),
    ("target_fvu", "target-fvu"),
    ("start_at", "start-at"),
    ("outliers", "clip-norm or --drop-norm"),
];

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
        complain(env!("CARGO_CRATE_NAME"), &message);
        ExitCode::from(code)
    }

    /// An error met while working on samples of files: `locate` gives a sample's file and its row
    /// there.
    pub fn in_files<'a>(
        error: Error,
        files: &str,
        locate: impl Fn(usize) -> Option<(&'a Path, usize)>,
    ) -> Self {
        match error {
            Error::NotFinite { sample, coordinate, value } => {
                let (path, sample) = locate(sample).unwrap_or((Path::new(files), sample));
                let error = Error::NotFinite { sample, coordinate, value };
                Self::Run(format!("{}: {error}", path.display()))
            }
            Error::Rounding { sample, coordinate, value, share } => {
                let (path, sample) = locate(sample).unwrap_or((Path::new(files), sample));
                let error = Error::Rounding { sample, coordinate, value, share };
                Self::Run(format!("{}: {error}", path.display()))
            }
            Error::NoSamples { .. } | Error::NothingLearned { .. } => {
                Self::Run(format!("{files}: {error}"))
            }
            error => error.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Argument { argument, found, expected } => {
                match OPTIONS.iter().find(|(parameter, _)| *parameter == argument) {
                    Some((_, option)) => {
                        Self::Usage(format!("--{option} is {found}, expected {expected}"))
                    }
                    None => Self::Run(format!("`{argument}` is {found}, expected {expected}")),
                }
            }
            Error::NormLimit { verb, .. } => Self::Usage(format!("--{verb}-norm: {error}")),
            error => Self::Run(error.to_string()),
        }
    }
}

impl From<Usage> for Failure {
    fn from(Usage(message): Usage) -> Self {
        Self::Usage(message)
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
