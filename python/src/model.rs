//! A dictionary, with what is done to samples and the shape of codes.

use std::path::PathBuf;
use std::sync::Arc;

use dbksvd::coder::{Coefficients, LinearEncoder, TopK};
use dbksvd::{Dictionary, Model as Learned, Preprocessing, Sign};
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::codes::Given;
use crate::error::{exception, unexpected};
use crate::number::{Either, Family, Number, columns_of, each, rows_of};
use crate::pool::pool;

/// Samples that are decoded at a time.
const BLOCK: usize = 4096;

/// A model of each precision.
pub struct Models;

impl Family for Models {
    type Of<T: Number> = Arc<Learned<T>>;
}

/// A dictionary that codes samples, in single or double precision.
#[pyclass(frozen, module = "dbksvd._core")]
pub struct Model {
    pub inner: Either<Arc<Learned<f32>>, Arc<Learned<f64>>>,
}

impl Model {
    pub fn of<T: Number>(model: Learned<T>) -> Self {
        Self { inner: T::either::<Models>(Arc::new(model)) }
    }
}

/// The parts of a model that are not the dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Parts<'py> {
    n_nonzero_coefs: usize,
    positive: bool,
    mean: Option<Bound<'py, PyAny>>,
    scale: f64,
    norm_limit: Option<f64>,
    linear: Option<Linear<'py>>,
}

/// A linear coder.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Linear<'py> {
    weights: Option<Bound<'py, PyAny>>,
    bias: Option<Bound<'py, PyAny>>,
    threshold: f64,
    refit: bool,
}

#[pymethods]
impl Model {
    /// A model of atoms (m, d), with the parts that ``parts`` gives back.
    #[new]
    #[pyo3(signature = (components, parts, normalize=false))]
    fn new(
        components: &Bound<'_, PyAny>,
        parts: &Bound<'_, PyDict>,
        normalize: bool,
    ) -> PyResult<Self> {
        let parts: Parts<'_> = parts.extract()?;
        if let Ok(atoms) = components.extract::<PyReadonlyArray2<'_, f32>>() {
            return Ok(Self::of(build(&atoms, &parts, normalize)?));
        }
        let atoms = components.extract::<PyReadonlyArray2<'_, f64>>().map_err(|_| {
            PyTypeError::new_err("`components` is no array (m, d) of float32 or float64")
        })?;
        Ok(Self::of(build(&atoms, &parts, normalize)?))
    }

    /// Reads a model, in the precision of ``dtype`` (``"float32"`` or ``"float64"``).
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf, dtype: &str) -> PyResult<Self> {
        match dtype {
            "float32" => py.detach(|| Learned::<f32>::load(path)).map(Self::of),
            "float64" => py.detach(|| Learned::<f64>::load(path)).map(Self::of),
            _ => return Err(unexpected("dtype", dtype, "float32 or float64")),
        }
        .map_err(exception)
    }

    /// Writes the model to a safetensors file, which appears whole or not at all.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        if path.as_os_str().is_empty() {
            return Err(PyOSError::new_err("`path` is empty, expected the name of a file"));
        }
        py.detach(|| each!(&self.inner, model => model.save(path))).map_err(exception)
    }

    /// ``"float32"`` or ``"float64"``.
    #[getter]
    fn dtype(&self) -> &'static str {
        match self.inner {
            Either::F32(_) => "float32",
            Either::F64(_) => "float64",
        }
    }

    /// ``(m, d)``.
    #[getter]
    fn shape(&self) -> (usize, usize) {
        each!(&self.inner, model => (model.atoms(), model.dim()))
    }

    /// A copy of the atoms, (m, d).
    fn components<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        each!(&self.inner, model => Ok(rows_of(py, model.dictionary().as_mat())?.into_any()))
    }

    /// Everything but the atoms.
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        each!(&self.inner, model => parts_of(py, model))
    }

    /// The same dictionary with another limit for the nonzeros of a sample.
    fn with_n_nonzero_coefs(&self, n_nonzero_coefs: usize) -> PyResult<Self> {
        each!(&self.inner, model => {
            let model = Learned::clone(model).with_sparsity(n_nonzero_coefs);
            Ok(Self::of(model.map_err(exception)?))
        })
    }

    /// The samples (n, d) that compressed rows ``(data, indices, indptr)`` stand for.
    fn decode<'py>(
        &self,
        py: Python<'py>,
        codes: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        each!(&self.inner, model => Ok(decode(py, model, codes)?.into_any()))
    }
}

fn build<T: Number>(
    atoms: &PyReadonlyArray2<'_, T>,
    parts: &Parts<'_>,
    normalize: bool,
) -> PyResult<Learned<T>> {
    let atoms = columns_of(atoms.as_slice()?, atoms.shape()[1]);
    let dim = atoms.nrows();
    let dictionary = if normalize { Dictionary::normalized(atoms) } else { Dictionary::new(atoms) };
    let sign = if parts.positive { Sign::NonNegative } else { Sign::Signed };
    let model = Learned::new(dictionary.map_err(exception)?, None, parts.n_nonzero_coefs, sign);
    let preprocessing = Preprocessing::none()
        .with_mean(parts.mean.as_ref().map(vector).transpose()?)
        .and_then(|given| given.with_scale(parts.scale))
        .and_then(|given| given.with_norm_limit(parts.norm_limit));
    let coder = match &parts.linear {
        None => None,
        Some(Linear { weights, bias, threshold, refit }) => {
            let coefficients = if *refit { Coefficients::Refitted } else { Coefficients::AsChosen };
            let encoder = match weights {
                None => None,
                Some(weights) => {
                    let weights = weights.extract::<PyReadonlyArray2<'_, T>>()?;
                    let weights = columns_of(weights.as_slice()?, dim);
                    let bias = bias.as_ref().map(vector).transpose()?;
                    Some(LinearEncoder::new(weights, bias).map_err(exception)?)
                }
            };
            let coder = encoder.map_or_else(TopK::new, TopK::by_encoder);
            Some(coder.threshold(*threshold).coefficients(coefficients))
        }
    };
    model
        .and_then(|model| model.preprocessed(preprocessing?))
        .and_then(|model| model.with_linear_coder(coder))
        .map_err(exception)
}

fn vector<T: Number>(given: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    Ok(given.extract::<PyReadonlyArray1<'_, T>>()?.as_slice()?.to_vec())
}

fn parts_of<'py, T: Number>(py: Python<'py>, model: &Learned<T>) -> PyResult<Bound<'py, PyDict>> {
    let parts = PyDict::new(py);
    let preprocessing = model.preprocessing();
    parts.set_item("n_nonzero_coefs", model.sparsity())?;
    parts.set_item("positive", model.sign() == Sign::NonNegative)?;
    parts.set_item("mean", model.mean().map(|mean| mean.to_vec().into_pyarray(py)))?;
    parts.set_item("scale", preprocessing.scale())?;
    parts.set_item("norm_limit", preprocessing.norm_limit())?;
    let linear = match model.linear_coder() {
        None => None,
        Some(coder) => {
            let encoder = coder.encoder.as_deref();
            let linear = PyDict::new(py);
            let weights = encoder.map(|encoder| rows_of(py, encoder.weights())).transpose()?;
            let bias = encoder.and_then(|encoder| encoder.bias());
            linear.set_item("weights", weights)?;
            linear.set_item("bias", bias.map(|bias| bias.to_vec().into_pyarray(py)))?;
            linear.set_item("threshold", coder.threshold)?;
            linear.set_item("refit", coder.coefficients == Coefficients::Refitted)?;
            Some(linear)
        }
    };
    parts.set_item("linear", linear)?;
    Ok(parts)
}

fn decode<'py, T: Number>(
    py: Python<'py>,
    model: &Learned<T>,
    codes: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<T>>> {
    let given = Given::<T>::new(codes)?;
    let codes = given.parts()?;
    let (samples, dim) = (codes.samples(), model.dim());
    let pool = pool(py, None)?;
    let mut values = Vec::with_capacity(samples * dim);
    for first in (0..samples).step_by(BLOCK) {
        let block = codes.block(model.atoms(), first, (first + BLOCK).min(samples))?;
        let decoded = py.detach(|| pool.install(|| model.decode(&block))).map_err(exception)?;
        (0..decoded.ncols()).for_each(|j| values.extend_from_slice(decoded.col_as_slice(j)));
        py.check_signals()?;
    }
    PyArray1::from_vec(py, values).reshape([samples, dim])
}
