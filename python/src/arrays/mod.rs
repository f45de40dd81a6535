//! Rows of samples, wherever they are, and codes as compressed rows.

pub mod codes;
pub mod files;
pub mod rows;

use std::ops::Range;

use dbksvd::error::SourceError;
use dbksvd::source::SampleSource;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::number::Number;
use files::Files;
use rows::Rows;

/// What a caller gave as samples.
pub enum Samples<'py> {
    Array(Rows<'py>),
    Files(PyRef<'py, Files>),
}

impl<'py> Samples<'py> {
    pub fn new(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(files) = given.extract::<PyRef<'py, Files>>() {
            return Ok(Self::Files(files));
        }
        Rows::new(given)?.map(Self::Array).ok_or_else(|| {
            PyTypeError::new_err(
                "`X` is no C-contiguous array (n, d) of float16, float32 or float64, and no Files",
            )
        })
    }

    /// The samples, to be read by threads that know nothing of Python.
    pub fn source(&self) -> PyResult<Source<'_>> {
        Ok(match self {
            Self::Array(rows) => Source::Array(rows.slice()?),
            Self::Files(files) => Source::Files(files),
        })
    }
}

/// Samples in memory or in files.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Array(rows::RowSlice<'a>),
    Files(&'a Files),
}

impl Source<'_> {
    fn any<T: Number>(&self) -> &dyn SampleSource<T> {
        match self {
            Self::Array(rows) => rows,
            Self::Files(files) => *files,
        }
    }
}

impl<T: Number> SampleSource<T> for Source<'_> {
    fn dim(&self) -> usize {
        self.any::<T>().dim()
    }

    fn len(&self) -> usize {
        self.any::<T>().len()
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        self.any::<T>().read(range, into)
    }

    fn run_length(&self) -> usize {
        self.any::<T>().run_length()
    }

    fn element_type(&self) -> &'static str {
        self.any::<T>().element_type()
    }

    fn origin(&self, sample: usize) -> usize {
        self.any::<T>().origin(sample)
    }

    fn selection(&self) -> String {
        self.any::<T>().selection()
    }

    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        self.any::<T>().read_unrounded(sample, into)
    }
}

/// Some consecutive samples of a source, which was checked as a whole.
pub struct Block<'a, T> {
    pub source: &'a dyn SampleSource<T>,
    pub first: usize,
    pub len: usize,
}

impl<T: Number> SampleSource<T> for Block<'_, T> {
    fn dim(&self) -> usize {
        self.source.dim()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        self.source.read(self.first + range.start..self.first + range.end, into)
    }

    fn origin(&self, sample: usize) -> usize {
        self.source.origin(self.first + sample)
    }
}
