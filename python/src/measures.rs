//! Measures of models and of codes.

use dbksvd::metrics::{Coherence, RECOVERED, Reconstruction, Recovery};
use dbksvd::source::SampleSource;
use dbksvd::{Dictionary, Model as Learned};
use numpy::{IntoPyArray, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::Samples;
use crate::arrays::codes::Given;
use crate::error::{exception, unexpected};
use crate::model::Model;
use crate::number::{Number, columns_of, each};
use crate::pool::pool;

/// Samples that are measured at a time.
const BLOCK: usize = 4096;

/// The measures as a dictionary.
pub fn figures<'py>(py: Python<'py>, measured: &Reconstruction) -> PyResult<Bound<'py, PyAny>> {
    let figures = PyDict::new(py);
    figures.set_item("n_samples", measured.samples())?;
    figures.set_item("fvu", measured.fvu())?;
    figures.set_item("explained_variance", measured.explained_variance())?;
    figures.set_item("relative_error", measured.relative_error())?;
    figures.set_item("squared_error", measured.squared_error())?;
    figures.set_item("n_samples_within", measured.samples_within())?;
    figures.set_item("fvu_within", measured.fvu_within())?;
    figures.set_item("mean_nonzeros", measured.l0())?;
    figures.set_item("usage", measured.usage().to_vec().into_pyarray(py))?;
    Ok(figures.into_any())
}

/// How well codes ``(data, indices, indptr)`` represent samples.
#[pyfunction]
pub fn measure<'py>(
    py: Python<'py>,
    model: &Model,
    samples: &Bound<'py, PyAny>,
    codes: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let samples = Samples::new(samples)?;
    let source = samples.source()?;
    each!(&model.inner, model => measure_codes(py, model, &source, codes))
}

fn measure_codes<'py, T: Number>(
    py: Python<'py>,
    model: &Learned<T>,
    source: &dyn SampleSource<T>,
    codes: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let given = Given::<T>::new(codes)?;
    let codes = given.parts()?;
    let (samples, dim) = (source.len(), source.dim());
    if codes.samples() != samples {
        let found = format!("{} rows", codes.samples());
        return Err(unexpected("codes", found, &format!("{samples}, one for each sample")));
    }
    let pool = pool(py, None)?;
    let mut measured = Reconstruction::new(model.dim(), model.atoms());
    let mut values = vec![T::default(); dim * BLOCK.min(samples)];
    for first in (0..samples).step_by(BLOCK) {
        let last = (first + BLOCK).min(samples);
        let block = codes.block(model.atoms(), first, last)?;
        let values = &mut values[..(last - first) * dim];
        py.detach(|| -> Result<(), dbksvd::Error> {
            source.read(first..last, values)?;
            let y = dbksvd::faer::MatRef::from_column_major_slice(values, dim, last - first);
            pool.install(|| measured.add(model, y, &block))
        })
        .map_err(exception)?;
        py.check_signals()?;
    }
    figures(py, &measured)
}

fn dictionary<T: Number>(atoms: &PyReadonlyArray2<'_, T>) -> PyResult<Dictionary<T>> {
    let columns = columns_of(atoms.as_slice()?, atoms.shape()[1]);
    Dictionary::normalized(columns).map_err(exception)
}

/// The largest cosines of atoms (m, d), which are scaled to norm 1.
#[pyfunction]
pub fn coherence<'py>(
    py: Python<'py>,
    components: PyReadonlyArray2<'py, f64>,
) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = dictionary(&components)?;
    let pool = pool(py, None)?;
    let measured = py.detach(|| pool.install(|| Coherence::new(&dictionary)));
    let figures = PyDict::new(py);
    figures.set_item("coherence", measured.coherence())?;
    figures.set_item("mean_nearest", measured.mean_nearest())?;
    figures.set_item("nearest", measured.nearest().to_vec().into_pyarray(py))?;
    figures.set_item("sparsity_bound", measured.sparsity_bound())?;
    Ok(figures)
}

/// How well learned atoms (m, d) stand for true ones (M, d); both are scaled to norm 1.
#[pyfunction]
pub fn recovery<'py>(
    py: Python<'py>,
    learned: PyReadonlyArray2<'py, f64>,
    truth: PyReadonlyArray2<'py, f64>,
) -> PyResult<Bound<'py, PyDict>> {
    let (learned, truth) = (dictionary(&learned)?, dictionary(&truth)?);
    let pool = pool(py, None)?;
    let measured = py.detach(|| pool.install(|| Recovery::new(&learned, &truth)));
    let measured = measured.map_err(exception)?;
    let pairs = measured.pairs();
    let figures = PyDict::new(py);
    figures.set_item("mcc", measured.mcc())?;
    figures.set_item("mmcs", measured.mmcs())?;
    figures.set_item("recovered", measured.recovered(RECOVERED))?;
    figures.set_item("uniqueness", measured.uniqueness())?;
    let learned: Vec<u64> = pairs.iter().map(|pair| pair.learned as u64).collect();
    let truth: Vec<u64> = pairs.iter().map(|pair| pair.truth as u64).collect();
    let cosines: Vec<f64> = pairs.iter().map(|pair| pair.cosine).collect();
    let pairs = (learned.into_pyarray(py), truth.into_pyarray(py), cosines.into_pyarray(py));
    figures.set_item("pairs", pairs)?;
    Ok(figures)
}
