//! The tensors of an SAE's file. Their shapes are checked, and every tensor must be read.

use std::path::{Path, PathBuf};

use dbksvd::Scalar;
use dbksvd::error::FileError;
use dbksvd::faer::Mat;
use dbksvd::files::{TensorReader, TensorRows};

use crate::vector::first_not_finite;

/// The types that a configuration may give for its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F16,
    Bf16,
    F32,
    F64,
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The nearest value of this type. For types of 16 bits, the value is first rounded to single
    /// precision, as PyTorch does.
    fn round(self, value: f64) -> f64 {
        match self {
            Self::F64 => value,
            Self::F32 => f64::from(value as f32),
            Self::F16 => half::f16::from_f32(value as f32).to_f64(),
            Self::Bf16 => half::bf16::from_f32(value as f32).to_f64(),
        }
    }
}

/// A file whose tensors are read one by one.
pub(super) struct Tensors {
    path: PathBuf,
    /// The tool that defined the format.
    format: &'static str,
    reader: TensorReader,
    /// The type to which values are rounded, if the configuration names one.
    dtype: Option<Dtype>,
    read: Vec<&'static str>,
}

impl Tensors {
    pub(super) fn open(
        path: &Path,
        format: &'static str,
        dtype: Option<Dtype>,
    ) -> Result<Self, FileError> {
        let reader = TensorReader::open(path)?;
        Ok(Self { path: path.to_owned(), format, reader, dtype, read: Vec::new() })
    }

    /// A tensor of shape (m, d) as d × m: row j becomes column j.
    pub(super) fn columns<T: Scalar>(
        &mut self,
        name: &'static str,
        (dim, latents): (usize, usize),
    ) -> Result<Mat<T>, FileError> {
        let rows = self.open_rows(name, &[latents, dim])?;
        let (mut matrix, mut row) = (Mat::zeros(dim, latents), vec![0.0; dim]);
        for j in 0..latents {
            self.read_row(name, &rows, j, &mut row, matrix.col_as_slice_mut(j))?;
        }
        Ok(matrix)
    }

    /// A tensor of shape (d, m) as d × m.
    pub(super) fn rows<T: Scalar>(
        &mut self,
        name: &'static str,
        (dim, latents): (usize, usize),
    ) -> Result<Mat<T>, FileError> {
        let rows = self.open_rows(name, &[dim, latents])?;
        let mut matrix = Mat::zeros(dim, latents);
        let (mut row, mut narrow) = (vec![0.0; latents], vec![T::zero(); latents]);
        for i in 0..dim {
            self.read_row(name, &rows, i, &mut row, &mut narrow)?;
            for (j, &value) in narrow.iter().enumerate() {
                matrix[(i, j)] = value;
            }
        }
        Ok(matrix)
    }

    /// A tensor of shape (n) or (1, n).
    pub(super) fn vector<T: Scalar>(
        &mut self,
        name: &'static str,
        len: usize,
    ) -> Result<Vec<T>, FileError> {
        let rows = self.open_rows(name, &[len])?;
        let (mut row, mut values) = (vec![0.0; len], vec![T::zero(); len]);
        self.read_row(name, &rows, 0, &mut row, &mut values)?;
        Ok(values)
    }

    /// Whether there is a tensor of this name.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.reader.names().iter().any(|found| found == name)
    }

    /// Returns an error that names the tensors that were not read.
    pub(super) fn finish(self) -> Result<(), FileError> {
        let mut names = self.reader.names();
        names.retain(|name| !self.read.contains(&name.as_str()));
        if names.is_empty() {
            return Ok(());
        }
        let (path, available) = (self.path, self.reader.names());
        let problem = format!("unknown tensors: {}", names.join(", "));
        Err(FileError::Tensor { path, problem, available })
    }

    fn open_rows(&mut self, name: &'static str, shape: &[usize]) -> Result<TensorRows, FileError> {
        let found = self.reader.shape(name)?;
        // A vector may be saved as a matrix of one row.
        let flat = if shape.len() == 1 { found.strip_prefix(&[1]) } else { None };
        if found != shape && flat != Some(shape) {
            let transposed = shape.len() == 2 && found.iter().rev().eq(shape);
            let hint = if transposed { ": it is transposed" } else { "" };
            let (path, found) = (self.path.clone(), found.to_vec());
            let expected = format!("{shape:?} for `{name}`, as the configuration says{hint}");
            return Err(FileError::Shape { path, found, expected });
        }
        let rows = self.reader.rows(name).map_err(|error| match error {
            FileError::ElementType { path, found, expected } => {
                let found = format!("{found} of `{name}`");
                FileError::ElementType { path, found, expected }
            }
            other => other,
        })?;
        self.read.push(name);
        Ok(rows)
    }

    /// Row `i` of a tensor, rounded to the type of the configuration and then to `T`. Every number
    /// must be finite, both in the file and after rounding. `row` is scratch memory.
    fn read_row<T: Scalar>(
        &self,
        name: &str,
        rows: &TensorRows,
        i: usize,
        row: &mut [f64],
        into: &mut [T],
    ) -> Result<(), FileError> {
        rows.read_row(i, row)?;
        for (into, value) in into.iter_mut().zip(&*row) {
            *into = T::narrow(self.dtype.map_or(*value, |dtype| dtype.round(*value)));
        }
        let Some(at) = first_not_finite(into) else { return Ok(()) };
        let place = if rows.count() > 1 { format!("[{i}, {at}]") } else { format!("[{at}]") };
        let problem = match (row[at], self.dtype) {
            (value, _) if !value.is_finite() => format!("{value}, expected a finite number"),
            (value, Some(dtype)) if !dtype.round(value).is_finite() => {
                format!("{value:e}, beyond {}, the `dtype` of the configuration", dtype.name())
            }
            (value, _) => format!("{value:e}, beyond {}: read it in f64", T::NAME),
        };
        let (path, format) = (self.path.clone(), self.format);
        Err(FileError::Format { path, format, reason: format!("`{name}`{place} is {problem}") })
    }
}
