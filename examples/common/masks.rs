//! Rows of a file, without those that a mask leaves out.

#![allow(dead_code, reason = "no example needs all of it")]

use std::path::Path;

use dbksvd::Error;
use dbksvd::error::FileError;
use dbksvd::source::{FileSource, Mask, read_mask};

/// Which rows of `source` the mask in a file keeps; without a file, all.
pub fn mask_of(source: &FileSource, mask: Option<&Path>) -> Result<Mask, FileError> {
    match mask {
        None => Ok(Mask::all(source.len())),
        Some(mask) => read_mask([mask], std::slice::from_ref(source)),
    }
}

/// What is said of an error met in coding the rows that `mask` keeps of the file at `path`: it
/// names the row of the file.
pub fn in_file(error: Error, path: &Path, mask: &Mask) -> String {
    match error {
        Error::NotFinite { sample, coordinate, value } => {
            let row = mask.ranges().iter().cloned().flatten().nth(sample).unwrap_or(sample);
            let error = Error::NotFinite { sample: row, coordinate, value };
            format!("{}: {error}", path.display())
        }
        Error::Rounding { .. } => format!("{}: {error}", path.display()),
        error => error.to_string(),
    }
}
