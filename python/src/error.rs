//! Errors of the library as the exceptions that Python users expect.

use dbksvd::Error;
use dbksvd::error::{BackendError, CheckpointError, FileError, SourceError};
use pyo3::exceptions::{
    PyFileNotFoundError, PyMemoryError, PyOSError, PyPermissionError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;

/// Parameters that have another name in Python.
const NAMES: [(&str, &str); 16] = [
    ("atoms", "n_components"),
    ("sparsity", "n_nonzero_coefs"),
    ("mean_nonzeros", "n_nonzero_coefs"),
    ("seed", "random_state"),
    ("epochs", "max_iter"),
    ("minibatch", "batch_size"),
    ("initialisation", "dict_init"),
    ("dictionary", "components"),
    ("evaluate_every", "evaluate_every"),
    ("plateau.window", "plateau[0]"),
    ("plateau.least", "plateau[1]"),
    ("samples", "X"),
    ("source", "X"),
    ("sign", "positive"),
    ("every_steps", "checkpoint_steps"),
    ("saved", "state"),
];

/// The name that a parameter has in Python.
fn python_name(name: &str) -> &str {
    NAMES.iter().find(|(rust, _)| *rust == name).map_or(name, |(_, python)| python)
}

/// An error as an exception.
pub fn exception(error: impl Into<Error>) -> PyErr {
    match error.into() {
        Error::Argument { argument, found, expected } => {
            let argument = python_name(argument);
            PyValueError::new_err(format!("`{argument}` is {found}, expected {expected}"))
        }
        Error::Dimension { argument, found, expected } => {
            let argument = python_name(argument);
            PyValueError::new_err(format!("`{argument}` has {found} features, expected {expected}"))
        }
        Error::NoSamples { argument } => {
            let argument = python_name(argument);
            PyValueError::new_err(format!("`{argument}` has 0 samples, expected at least 1"))
        }
        Error::Range { argument, sample, found, least, most, scalar } => {
            let argument = python_name(argument);
            let what = match sample {
                Some(sample) => format!("norm of row {sample}"),
                None => "root mean square norm of the rows".to_owned(),
            };
            PyValueError::new_err(format!(
                "`{argument}`: {what} is {found:e}, expected 0 or {least:e} to {most:e} in \
                 {scalar}: scale the data"
            ))
        }
        // Whoever looks for such values looks for these words.
        Error::NotFinite { sample, coordinate, value } => PyValueError::new_err(format!(
            "row {sample} of X contains NaN or infinity: feature {coordinate} is {value}"
        )),
        Error::Backend(error @ BackendError::Allocation { .. }) => {
            PyMemoryError::new_err(error.to_string())
        }
        Error::Backend(error) => PyRuntimeError::new_err(error.to_string()),
        Error::File(error)
        | Error::Source(SourceError::File(error))
        | Error::Checkpoint(CheckpointError::File(error)) => file_exception(&error),
        Error::Source(error @ SourceError::Other(_)) => PyOSError::new_err(error.to_string()),
        error => PyValueError::new_err(error.to_string()),
    }
}

fn file_exception(error: &FileError) -> PyErr {
    let text = error.to_string();
    match error {
        FileError::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => PyFileNotFoundError::new_err(text),
            std::io::ErrorKind::PermissionDenied => PyPermissionError::new_err(text),
            _ => PyOSError::new_err(text),
        },
        FileError::NoFiles { .. } => PyFileNotFoundError::new_err(text),
        FileError::Truncated { .. } | FileError::Changed { .. } | FileError::NotAFile { .. } => {
            PyOSError::new_err(text)
        }
        _ => PyValueError::new_err(text),
    }
}

/// A parameter that is not what it should be.
pub fn unexpected(name: &str, found: impl std::fmt::Display, expected: &str) -> PyErr {
    PyValueError::new_err(format!("`{name}` is {found}, expected {expected}"))
}
