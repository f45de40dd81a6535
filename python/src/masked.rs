//! Codes of samples of which coordinates are missing, or count for less.

use dbksvd::faer::MatRef;
use dbksvd::source::{SampleSource, check_rounding};
use dbksvd::{Error, Model as Learned, SparseCodes};
use pyo3::prelude::*;

use crate::arrays::codes::Rows;
use crate::arrays::{Samples, Source};
use crate::error::exception;
use crate::model::Model;
use crate::number::{Number, each};
use crate::pool::pool;

/// The codes of samples (n, d), whose coordinates have these weights (n, d) from 0 to 1, as
/// compressed rows ``(data, indices, indptr)``.
#[pyfunction]
#[pyo3(signature = (model, samples, weights, threads=None))]
pub fn encode_masked<'py>(
    py: Python<'py>,
    model: &Model,
    samples: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let (samples, weights) = (Samples::new(samples)?, Samples::new(weights)?);
    let (samples, weights) = (samples.source()?, weights.source()?);
    let pool = pool(py, threads)?;
    each!(&model.inner, model => {
        let codes = py.detach(|| pool.install(|| coded(model, &samples, &weights)));
        let codes = codes.map_err(exception)?;
        let mut rows = Rows::new(codes.samples());
        rows.extend(&codes);
        rows.into_arrays(py)
    })
}

fn coded<T: Number>(
    model: &Learned<T>,
    samples: &Source<'_>,
    weights: &Source<'_>,
) -> Result<SparseCodes<T>, Error> {
    check_rounding::<T>(samples)?;
    let (values, of_values) = (read::<T>(samples)?, read::<T>(weights)?);
    model.encode_masked(columns(&values, samples), columns(&of_values, weights))
}

/// All samples, one after the other.
fn read<T: Number>(source: &dyn SampleSource<T>) -> Result<Vec<T>, Error> {
    let mut values = vec![T::default(); source.dim() * source.len()];
    source.read(0..source.len(), &mut values)?;
    Ok(values)
}

fn columns<'a, T: Number>(values: &'a [T], of: &dyn SampleSource<T>) -> MatRef<'a, T> {
    MatRef::from_column_major_slice(values, of.dim(), of.len())
}
