//! Codes as the three arrays of SciPy's compressed rows, and back.

use dbksvd::SparseCodes;
use dbksvd::codes::CsrParts;
use numpy::{IntoPyArray, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::error::{exception, unexpected};
use crate::number::Number;

/// Compressed rows that grow block by block.
pub struct Rows<T> {
    values: Vec<T>,
    indices: Vec<i32>,
    offsets: Vec<usize>,
}

impl<T: Number> Rows<T> {
    pub fn new(samples: usize) -> Self {
        let mut offsets = Vec::with_capacity(samples + 1);
        offsets.push(0);
        Self { values: Vec::new(), indices: Vec::new(), offsets }
    }

    /// Adds the codes of a block, atoms of a sample in increasing order.
    pub fn extend(&mut self, codes: &SparseCodes<T>) {
        let CsrParts { indices, values, offsets } = codes.to_csr_parts();
        let before = self.values.len();
        self.values.extend_from_slice(&values);
        // A dictionary has far fewer than 2³¹ atoms.
        self.indices.extend(indices.iter().map(|&atom| atom as i32));
        self.offsets.extend(offsets[1..].iter().map(|offset| before + offset));
    }

    /// `(data, indices, indptr)`. Indices are of 32 bits unless there are 2³¹ nonzeros or more;
    /// SciPy wants both arrays to be of one type.
    pub fn into_arrays<'py>(mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.values.shrink_to_fit();
        self.indices.shrink_to_fit();
        let values = self.values.into_pyarray(py);
        let arrays = if i32::try_from(*self.offsets.last().unwrap_or(&0)).is_ok() {
            let offsets: Vec<i32> = self.offsets.iter().map(|&offset| offset as i32).collect();
            (values, self.indices.into_pyarray(py), offsets.into_pyarray(py)).into_pyobject(py)?
        } else {
            let indices: Vec<i64> = self.indices.iter().map(|&atom| i64::from(atom)).collect();
            let offsets: Vec<i64> = self.offsets.iter().map(|&offset| offset as i64).collect();
            (values, indices.into_pyarray(py), offsets.into_pyarray(py)).into_pyobject(py)?
        };
        Ok(arrays.into_any())
    }
}

/// Compressed rows that were given, borrowed.
pub struct Given<'py, T: numpy::Element> {
    values: PyReadonlyArray1<'py, T>,
    indices: PyReadonlyArray1<'py, i64>,
    offsets: PyReadonlyArray1<'py, i64>,
}

/// The slices of [`Given`].
#[derive(Clone, Copy)]
pub struct Parts<'a, T> {
    values: &'a [T],
    indices: &'a [i64],
    offsets: &'a [i64],
}

impl<'py, T: Number> Given<'py, T> {
    /// `(data, indices, indptr)`, the last two of 64 bits.
    pub fn new(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        let (values, indices, offsets) = given.extract()?;
        Ok(Self { values, indices, offsets })
    }

    pub fn parts(&self) -> PyResult<Parts<'_, T>> {
        let values = self.values.as_slice()?;
        let (indices, offsets) = (self.indices.as_slice()?, self.offsets.as_slice()?);
        let is_in_order = offsets.first() == Some(&0)
            && offsets.is_sorted()
            && offsets.last() == Some(&(indices.len() as i64));
        if !is_in_order || values.len() != indices.len() {
            let expected = "consistent compressed rows (scipy.sparse.csr_array)";
            return Err(unexpected("codes", "inconsistent", expected));
        }
        Ok(Parts { values, indices, offsets })
    }
}

impl<T: Number> Parts<'_, T> {
    pub fn samples(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The codes of samples `first..last`, for `atoms` atoms.
    pub fn block(&self, atoms: usize, first: usize, last: usize) -> PyResult<SparseCodes<T>> {
        let offsets = &self.offsets[first..=last];
        let start = offsets[0] as usize;
        let place = start..offsets[offsets.len() - 1] as usize;
        let atom = |&index: &i64| {
            u32::try_from(index).map_err(|_| {
                unexpected("codes.indices", index, &format!("0 to {}", atoms.saturating_sub(1)))
            })
        };
        let indices = self.indices[place.clone()].iter().map(atom).collect::<PyResult<_>>()?;
        let most = offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let parts = CsrParts {
            indices,
            values: self.values[place].to_vec(),
            offsets: offsets.iter().map(|&offset| offset as usize - start).collect(),
        };
        SparseCodes::from_csr_parts(atoms, (most as usize).max(1), &parts).map_err(exception)
    }
}
