//! Rows of a NumPy array, read in place.
//!
//! A C-contiguous array (n, d) is the d × n matrix, column by column, that the library reads. Other
//! precisions than that of the computation are converted as they are read, a minibatch or a block
//! at a time, so no copy of the whole is made. The array stays borrowed; another thread of Python
//! can write to it meanwhile, as with NumPy itself.

use std::ops::Range;

use dbksvd::error::SourceError;
use dbksvd::source::{SampleSource, check_read};
use half::f16;
use numpy::{PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::error::unexpected;
use crate::number::Number;

/// An array that is borrowed.
pub enum Rows<'py> {
    F16(PyReadonlyArray2<'py, f16>),
    F32(PyReadonlyArray2<'py, f32>),
    F64(PyReadonlyArray2<'py, f64>),
}

impl<'py> Rows<'py> {
    /// The rows of `given`, if it is an array of two axes of one of these types.
    pub fn new(given: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        if let Ok(rows) = given.extract() {
            return Ok(Some(Self::F32(rows)));
        }
        if let Ok(rows) = given.extract() {
            return Ok(Some(Self::F64(rows)));
        }
        Ok(given.extract().ok().map(Self::F16))
    }

    /// Its numbers.
    pub fn slice(&self) -> PyResult<RowSlice<'_>> {
        let not_contiguous = |_| unexpected("X", "not C-contiguous", "numpy.ascontiguousarray(X)");
        let (values, dim) = match self {
            Self::F16(rows) => {
                (Values::F16(rows.as_slice().map_err(not_contiguous)?), rows.shape()[1])
            }
            Self::F32(rows) => {
                (Values::F32(rows.as_slice().map_err(not_contiguous)?), rows.shape()[1])
            }
            Self::F64(rows) => {
                (Values::F64(rows.as_slice().map_err(not_contiguous)?), rows.shape()[1])
            }
        };
        if dim == 0 {
            return Err(unexpected("X.shape[1]", 0, "at least 1 feature"));
        }
        Ok(RowSlice { values, dim })
    }
}

/// The numbers of an array, row after row.
#[derive(Clone, Copy)]
pub struct RowSlice<'a> {
    values: Values<'a>,
    dim: usize,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    F16(&'a [f16]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl RowSlice<'_> {
    pub fn is_double(&self) -> bool {
        matches!(self.values, Values::F64(_))
    }

    fn values(&self) -> usize {
        match self.values {
            Values::F16(values) => values.len(),
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
        }
    }
}

impl<T: Number> SampleSource<T> for RowSlice<'_> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.values() / self.dim
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        check_read(&range, into.len(), SampleSource::<T>::len(self), self.dim)?;
        let place = range.start * self.dim..range.end * self.dim;
        match self.values {
            Values::F16(values) => convert(&values[place], into, |x| f64::from(f32::from(x))),
            Values::F32(values) => convert(&values[place], into, f64::from),
            Values::F64(values) => convert(&values[place], into, |x| x),
        }
        Ok(())
    }

    fn element_type(&self) -> &'static str {
        match self.values {
            Values::F16(_) => "f16",
            Values::F32(_) => "f32",
            Values::F64(_) => "f64",
        }
    }

    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        let is_rounded = self.is_double() && T::NAME == "f32";
        if is_rounded {
            SampleSource::<f64>::read(self, sample..sample + 1, into)?;
        }
        Ok(is_rounded)
    }
}

fn convert<S: Copy, T: Number>(from: &[S], into: &mut [T], widen: impl Fn(S) -> f64) {
    into.iter_mut().zip(from).for_each(|(to, &from)| *to = T::narrow(widen(from)));
}
