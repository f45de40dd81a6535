//! The tensors of an SAE's file: read with their shapes checked, and none left over; written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use faer::{Mat, MatRef};
use serde_json::{Map, json};

use crate::Scalar;
use crate::atomic::write_atomically;
use crate::backend::column;
use crate::error::FileError;
use crate::source::element::{Element, write_values};
use crate::source::rows::RowFile;
use crate::source::safetensors_header::Header;

/// A file whose tensors are read one by one.
pub(super) struct Tensors {
    path: PathBuf,
    header: Header,
    read: Vec<&'static str>,
}

impl Tensors {
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        Ok(Self { path: path.to_owned(), header: Header::open(path)?, read: Vec::new() })
    }

    /// A tensor of shape (m, d) as d × m: row j is column j.
    pub(super) fn columns<T: Scalar>(
        &mut self,
        name: &'static str,
        (dim, latents): (usize, usize),
    ) -> Result<Mat<T>, FileError> {
        let rows = self.open_rows(name, &[latents, dim])?;
        let mut matrix = Mat::zeros(dim, latents);
        for j in 0..latents {
            rows.read_values(j, matrix.col_as_slice_mut(j))?;
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
        let (mut matrix, mut row) = (Mat::zeros(dim, latents), vec![T::zero(); latents]);
        for i in 0..dim {
            rows.read_values(i, &mut row)?;
            for (j, &value) in row.iter().enumerate() {
                matrix[(i, j)] = value;
            }
        }
        Ok(matrix)
    }

    pub(super) fn vector<T: Scalar>(
        &mut self,
        name: &'static str,
        len: usize,
    ) -> Result<Vec<T>, FileError> {
        let rows = self.open_rows(name, &[len])?;
        let mut values = vec![T::zero(); len];
        rows.read_values(0, &mut values)?;
        Ok(values)
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
        let rows = self.header.rows(name, shape.len())?;
        let found = &self.header.info(name)?.shape;
        if found != shape {
            let (path, found) = (self.path.clone(), found.clone());
            let expected = format!("{shape:?}, as the configuration says, for `{name}`");
            return Err(FileError::Shape { path, found, expected });
        }
        self.read.push(name);
        Ok(rows)
    }

    /// The element types of the tensors read, with a name that has each.
    pub(super) fn elements(&self) -> Result<Vec<(&'static str, Element)>, FileError> {
        let element = |&name: &&'static str| {
            let rank = self.header.info(name)?.shape.len();
            Ok((name, self.header.rows(name, rank)?.element()))
        };
        self.read.iter().map(element).collect()
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
