//! The tensors of an SAE's file: read with their shapes checked, and none left over; written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use faer::{Mat, MatRef};
use serde_json::{Map, json};

use crate::Scalar;
use crate::cpu::vector::loops;
use crate::error::FileError;
use crate::files::atomic::write_atomically;
use crate::matrix::column;
use crate::source::element::{Element, write_values};
use crate::source::rows::RowFile;
use crate::source::safetensors_header::Header;

/// A file whose tensors are read one by one.
pub(super) struct Tensors {
    path: PathBuf,
    /// The tool whose format it is.
    format: &'static str,
    header: Header,
    /// The type to which values are rounded, if the configuration names one.
    dtype: Option<Element>,
    read: Vec<&'static str>,
}

impl Tensors {
    pub(super) fn open(
        path: &Path,
        format: &'static str,
        dtype: Option<Element>,
    ) -> Result<Self, FileError> {
        let header = Header::open(path)?;
        Ok(Self { path: path.to_owned(), format, header, dtype, read: Vec::new() })
    }

    /// A tensor of shape (m, d) as d × m: row j is column j.
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
        self.header.names().iter().any(|found| found == name)
    }

    /// Names the tensors that nobody has asked for.
    pub(super) fn finish(self) -> Result<(), FileError> {
        let mut names = self.header.names();
        names.retain(|name| !self.read.contains(&name.as_str()));
        if names.is_empty() {
            return Ok(());
        }
        let (path, available) = (self.path, self.header.names());
        let problem = format!("unknown tensors: {}", names.join(", "));
        Err(FileError::Tensor { path, problem, available })
    }

    fn open_rows(&mut self, name: &'static str, shape: &[usize]) -> Result<RowFile, FileError> {
        let found = &self.header.info(name)?.shape;
        // A vector may be saved as a matrix of one row.
        let flat = if shape.len() == 1 { found.strip_prefix(&[1]) } else { None };
        if found != shape && flat != Some(shape) {
            let transposed = shape.len() == 2 && found.iter().rev().eq(shape);
            let hint = if transposed { ": it is transposed" } else { "" };
            let (path, found) = (self.path.clone(), found.clone());
            let expected = format!("{shape:?} for `{name}`, as the configuration says{hint}");
            return Err(FileError::Shape { path, found, expected });
        }
        let rows = self.header.rows(name, found.len()).map_err(|error| match error {
            FileError::ElementType { path, found, expected } => {
                let found = format!("{found} of `{name}`");
                FileError::ElementType { path, found, expected }
            }
            other => other,
        })?;
        self.read.push(name);
        Ok(rows)
    }

    /// Row `i` of a tensor, rounded to the type of the configuration and then to `T`: every number
    /// must be finite, in the file and as it is read. `row` is scratch.
    fn read_row<T: Scalar>(
        &self,
        name: &str,
        rows: &RowFile,
        i: usize,
        row: &mut [f64],
        into: &mut [T],
    ) -> Result<(), FileError> {
        rows.read_values(i, row)?;
        for (into, value) in into.iter_mut().zip(&*row) {
            *into = T::narrow(self.dtype.map_or(*value, |dtype| round(*value, dtype)));
        }
        let Some(at) = loops::first_not_finite(into) else { return Ok(()) };
        let place = if rows.len() > 1 { format!("[{i}, {at}]") } else { format!("[{at}]") };
        let problem = match (row[at], self.dtype) {
            (value, _) if !value.is_finite() => format!("{value}, expected a finite number"),
            (value, Some(dtype)) if !round(value, dtype).is_finite() => {
                format!("{value:e}, beyond {}, the `dtype` of the configuration", dtype.name())
            }
            (value, _) => format!("{value:e}, beyond {}: read it in f64", T::NAME),
        };
        let (path, format) = (self.path.clone(), self.format);
        Err(FileError::Format { path, format, reason: format!("`{name}`{place} is {problem}") })
    }
}

/// The nearest value of a type, by way of single precision for those of 16 bits, as PyTorch does
/// it.
fn round(value: f64, element: Element) -> f64 {
    match element {
        Element::F64 => value,
        Element::F32 => f64::from(value as f32),
        Element::F16 => half::f16::from_f32(value as f32).to_f64(),
        Element::Bf16 => half::bf16::from_f32(value as f32).to_f64(),
    }
}

/// A tensor to be written.
pub(super) enum Tensor<'a, T> {
    /// d × m as shape (m, d): column j is row j.
    Columns(MatRef<'a, T>),
    /// d × m as shape (d, m).
    Rows(MatRef<'a, T>),
    Vector(&'a [T]),
}

impl<T: Scalar> Tensor<'_, T> {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Columns(matrix) => vec![matrix.ncols(), matrix.nrows()],
            Self::Rows(matrix) => vec![matrix.nrows(), matrix.ncols()],
            Self::Vector(values) => vec![values.len()],
        }
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Columns(matrix) => {
                (0..matrix.ncols()).try_for_each(|j| write_values(to, column(*matrix, j)))
            }
            Self::Rows(matrix) => {
                let mut row = vec![T::zero(); matrix.ncols()];
                (0..matrix.nrows()).try_for_each(|i| {
                    row.iter_mut().enumerate().for_each(|(j, value)| *value = matrix[(i, j)]);
                    write_values(to, &row)
                })
            }
            Self::Vector(values) => write_values(to, values),
        }
    }
}

/// Writes a safetensors file, which appears whole or not at all.
pub(super) fn write_tensors<T: Scalar>(
    path: &Path,
    tensors: &[(&str, Tensor<'_, T>)],
) -> Result<(), FileError> {
    write_atomically(path, |file| {
        let element = Element::of::<T>();
        let dtype = if element == Element::F64 { "F64" } else { "F32" };
        let (mut header, mut start) = (Map::new(), 0);
        for (name, tensor) in tensors {
            let shape = tensor.shape();
            let end = start + shape.iter().product::<usize>() * element.size();
            let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
            header.insert((*name).to_owned(), entry);
            start = end;
        }
        let mut bytes = serde_json::to_vec(&header)?;
        bytes.resize(bytes.len().next_multiple_of(8), b' ');
        file.write_all(&(bytes.len() as u64).to_le_bytes())?;
        file.write_all(&bytes)?;
        tensors.iter().try_for_each(|(_, tensor)| tensor.write(file))
    })
}
