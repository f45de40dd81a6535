//! Samples in files, which may be larger than memory.

use std::ops::Range;
use std::path::PathBuf;

use dbksvd::error::SourceError;
use dbksvd::source::{FileSource, Mask, SampleSource, Shards, Subset, open_shards, read_mask};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;

use crate::error::{exception, unexpected};
use crate::number::Number;

/// Rows of ``.npy`` and ``.safetensors`` files, read by ranges.
#[pyclass(frozen, module = "dbksvd._core")]
pub struct Files {
    source: Subset<Shards<FileSource>>,
    paths: Vec<PathBuf>,
}

#[pymethods]
impl Files {
    #[new]
    #[pyo3(signature = (paths, tensor=None, mask=None))]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        tensor: Option<&str>,
        mask: Option<Vec<PathBuf>>,
    ) -> PyResult<Self> {
        let opened = py.detach(|| -> Result<_, dbksvd::Error> {
            let shards = open_shards(&paths, tensor)?;
            let mask = match mask {
                None => Mask::all(shards.samples()),
                Some(masks) => read_mask(masks, shards.shards())?,
            };
            Subset::masked::<f32>(shards, &mask)
        });
        Ok(Self { source: opened.map_err(exception)?, paths })
    }

    /// The number of rows, (n, d).
    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.source.samples(), SampleSource::<f32>::dim(&self.source))
    }

    /// The type of the numbers in the files: ``"f16"``, ``"bf16"``, ``"f32"`` or ``"f64"``.
    #[getter]
    fn element_type(&self) -> &'static str {
        SampleSource::<f32>::element_type(&self.source)
    }

    /// The paths as they were given.
    #[getter]
    fn paths(&self) -> Vec<PathBuf> {
        self.paths.clone()
    }

    /// Rows ``start`` to ``stop`` as an array of float32, or float64 if they are stored so.
    fn read<'py>(&self, py: Python<'py>, start: usize, stop: usize) -> PyResult<Bound<'py, PyAny>> {
        let (rows, _) = self.shape();
        if start > stop || stop > rows {
            let found = format!("{start}:{stop}");
            return Err(unexpected("rows", found, &format!("a range within 0:{rows}")));
        }
        if self.is_double() {
            return Ok(self.values::<f64>(py, start..stop)?.into_any());
        }
        Ok(self.values::<f32>(py, start..stop)?.into_any())
    }
}

impl Files {
    pub fn is_double(&self) -> bool {
        self.element_type() == "f64"
    }

    fn values<'py, T: Number>(
        &self,
        py: Python<'py>,
        range: Range<usize>,
    ) -> PyResult<Bound<'py, numpy::PyArray2<T>>> {
        let shape = [range.len(), SampleSource::<T>::dim(&self.source)];
        let mut values = vec![T::default(); shape[0] * shape[1]];
        py.detach(|| self.source.read(range, &mut values)).map_err(exception)?;
        PyArray1::from_vec(py, values).reshape(shape)
    }
}

impl<T: Number> SampleSource<T> for Files {
    fn dim(&self) -> usize {
        SampleSource::<T>::dim(&self.source)
    }

    fn len(&self) -> usize {
        self.source.samples()
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        self.source.read(range, into)
    }

    fn run_length(&self) -> usize {
        SampleSource::<T>::run_length(&self.source)
    }

    fn element_type(&self) -> &'static str {
        SampleSource::<T>::element_type(&self.source)
    }

    fn origin(&self, sample: usize) -> usize {
        SampleSource::<T>::origin(&self.source, sample)
    }

    fn selection(&self) -> String {
        SampleSource::<T>::selection(&self.source)
    }

    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        SampleSource::<T>::read_unrounded(&self.source, sample, into)
    }
}
