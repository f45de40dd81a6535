//! Rows of f64 numbers that f32 cannot hold, because one is too large for f32 or all are too small.

use std::path::Path;

use crate::error::FileError;

/// Checks, row by row, numbers that are about to be rounded to f32.
pub(super) struct Narrowing {
    row: usize,
    dim: usize,
    /// The coordinate of the next number.
    next: usize,
    /// The finite number of this row that is furthest from 0, and its coordinate.
    largest: f64,
    coordinate: usize,
}

/// A row that f32 cannot hold.
pub(super) struct Loss {
    row: usize,
    coordinate: usize,
    value: f64,
    loss: &'static str,
}

impl Narrowing {
    /// Starts the check at row `row`. Every row has `dim` numbers.
    pub(super) fn new(row: usize, dim: usize) -> Self {
        Self { row, dim, next: 0, largest: 0.0, coordinate: 0 }
    }

    /// Checks the next numbers, given as little-endian bytes. They may end within a row.
    pub(super) fn check(&mut self, bytes: &[u8]) -> Result<(), Loss> {
        for &bytes in bytes.as_chunks().0 {
            let value = f64::from_le_bytes(bytes);
            // A number that is not finite stays so in f32; other checks refuse it.
            if value.is_finite() && value.abs() > self.largest.abs() {
                (self.largest, self.coordinate) = (value, self.next);
            }
            self.next += 1;
            if self.next == self.dim {
                self.end_row()?;
            }
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), Loss> {
        let Self { row, coordinate, largest: value, .. } = *self;
        let single = value as f32;
        if single.is_infinite() {
            return Err(Loss { row, coordinate, value, loss: "finite, but beyond f32" });
        }
        if value != 0.0 && !single.is_normal() {
            let loss = "the largest of its row, which f32 would take for zero or nearly so";
            return Err(Loss { row, coordinate, value, loss });
        }
        *self = Self::new(row + 1, self.dim);
        Ok(())
    }
}

impl Loss {
    /// The error that names the file.
    pub(super) fn in_file(self, path: &Path) -> FileError {
        let Self { row, coordinate, value, loss } = self;
        FileError::Narrowing { path: path.to_owned(), row, coordinate, value, loss }
    }
}
