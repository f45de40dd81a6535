//! What can be wrong with a file.

use std::path::PathBuf;

use crate::printable::on_a_line;

/// Why a file could not be read or written. Every variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system reported an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The header promises more bytes than the file holds.
    #[error(
        "{}: truncated: the header promises {promised} bytes, the file holds {found}",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes the header promises.
        promised: u64,
        /// Bytes the file holds.
        found: u64,
    },
    /// The file is longer than its header and its array, and the format allows no further bytes.
    #[error(
        "{}: {} bytes after the array: its header promises {promised} bytes, the file holds \
         {found} (save each array to a file of its own)",
        path.display(),
        found.saturating_sub(*promised)
    )]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Bytes the header promises.
        promised: u64,
        /// Bytes the file holds.
        found: u64,
    },
    /// The file was written to, or another took its place, after it was opened.
    #[error(
        "{}: changed since it was opened, expected that it stays as it is while it is read",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The path is not that of a regular file, so ranges of it cannot be read.
    #[error("{}: {kind}, expected a regular file, whose ranges can be read", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What the path is: `a directory`, `a pipe`, `a socket`, `a device` or `a special file`.
        kind: &'static str,
    },
    /// A row of f64 numbers would be lost if it were rounded to f32.
    #[error(
        "{}: row {row}: coordinate {coordinate} is {value:e}: {loss}; read the file as f64, or \
         scale the data",
        path.display()
    )]
    Narrowing {
        /// The file.
        path: PathBuf,
        /// Index of the row.
        row: usize,
        /// Index, within the row, of the number that is furthest out of range.
        coordinate: usize,
        /// That number.
        value: f64,
        /// What rounding would do to this number or to the row.
        loss: &'static str,
    },
    /// The file does not have the expected format, or its header is invalid.
    #[error("{}: not a valid {format} file: {}", path.display(), on_a_line(reason))]
    Format {
        /// The file.
        path: PathBuf,
        /// The expected format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// This crate does not read elements of this type.
    #[error("{}: element type {}, expected {expected}", path.display(), on_a_line(found))]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The type that was found.
        found: String,
        /// The types that can be read.
        expected: &'static str,
    },
    /// The array does not have the expected shape.
    #[error("{}: shape {found:?}, expected {expected}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The shape that was found.
        found: Vec<usize>,
        /// The expected shape, in words.
        expected: String,
    },
    /// A mask does not fit the rows that it is for, holds other values than 0 and 1, or keeps no
    /// row.
    #[error("{}: {}, expected {}", path.display(), on_a_line(found), on_a_line(expected))]
    Mask {
        /// The file of the mask; of several, the first.
        path: PathBuf,
        /// What was found there.
        found: String,
        /// What a mask of these rows has, in words.
        expected: String,
    },
    /// A path or pattern leads to no file of samples.
    #[error("{}: {reason}", path.display())]
    NoFiles {
        /// The path or pattern.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file has no tensor of the given name, or no name was given and the file has several
    /// tensors.
    #[error(
        "{}: {}; the file holds {}",
        path.display(),
        on_a_line(problem),
        on_a_line(&available.join(", "))
    )]
    Tensor {
        /// The file.
        path: PathBuf,
        /// What is wrong: the tensor is missing, or the choice is ambiguous.
        problem: String,
        /// Names of the tensors in the file.
        available: Vec<String>,
    },
    /// A key of a configuration file is missing, or has a value that this crate does not support.
    #[error(
        "{}: `{}` is {}, expected {expected}",
        path.display(),
        on_a_line(key),
        on_a_line(found)
    )]
    Setting {
        /// The file.
        path: PathBuf,
        /// The key. For a key within an object, it is the object's key, a dot, and the key itself.
        key: String,
        /// Its value, or `absent`.
        found: String,
        /// The supported values, in words.
        expected: String,
    },
    /// A configuration file has keys that this crate does not know. They might change results, so
    /// they are not ignored.
    #[error(
        "{}: unknown keys: {} (remove them if they do not change what the model computes)",
        path.display(),
        on_a_line(&keys.join(", "))
    )]
    UnknownKeys {
        /// The file.
        path: PathBuf,
        /// The keys.
        keys: Vec<String>,
    },
}
