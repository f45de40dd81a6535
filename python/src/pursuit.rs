//! Pursuit by itself: paths of atoms, and pursuit on products.

use dbksvd::coder::{Selection, Tolerance};
use dbksvd::faer::MatRef;
use dbksvd::pursuit::{Path, Pursuit, Stop};
use dbksvd::{Error, Sign, SparseCodes};
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::codes::Rows;
use crate::coder::parameter;
use crate::error::{exception, unexpected};
use crate::number::{Either, Family, Number, each};
use crate::pool::pool;

/// Two matrices of one scalar, each with columns as the rows of an array.
type Pair<'py, T> = (PyReadonlyArray2<'py, T>, PyReadonlyArray2<'py, T>);

fn pair<'py>(
    first: &Bound<'py, PyAny>,
    second: &Bound<'py, PyAny>,
) -> PyResult<Either<Pair<'py, f32>, Pair<'py, f64>>> {
    if let (Ok(first), Ok(second)) = (first.extract(), second.extract()) {
        return Ok(Either::F32((first, second)));
    }
    if let (Ok(first), Ok(second)) = (first.extract(), second.extract()) {
        return Ok(Either::F64((first, second)));
    }
    Err(PyTypeError::new_err("not two C-contiguous arrays of float32, nor two of float64"))
}

fn columns<'a, T: Number>(rows: &'a PyReadonlyArray2<'_, T>) -> PyResult<MatRef<'a, T>> {
    let (count, dim) = (rows.shape()[0], rows.shape()[1]);
    Ok(MatRef::from_column_major_slice(rows.as_slice()?, dim, count))
}

/// The pursuit that a dictionary of parameters describes.
fn pursuit(of: &Bound<'_, PyDict>) -> PyResult<Pursuit> {
    let sparsity: Option<usize> = parameter(of, "n_nonzero_coefs")?;
    let tolerance: Option<f64> = parameter(of, "tol")?;
    let (is_least_squares, is_positive): (bool, bool) =
        (parameter(of, "ols")?, parameter(of, "positive")?);
    let stop = Stop { sparsity, tolerance: tolerance.map(Tolerance::Absolute) };
    Ok(Pursuit::new(stop)
        .selection(if is_least_squares { Selection::LeastSquares } else { Selection::Correlation })
        .sign(if is_positive { Sign::NonNegative } else { Sign::Signed }))
}

fn squared_norms<'a>(given: Option<&'a PyReadonlyArray1<'_, f64>>) -> PyResult<Option<&'a [f64]>> {
    Ok(given.map(|norms| norms.as_slice()).transpose()?)
}

/// The codes of samples (n, d) on atoms (m, d) of any norm, whatever the scale of either.
#[pyfunction]
#[pyo3(signature = (atoms, samples, settings, threads=None))]
pub fn omp<'py>(
    py: Python<'py>,
    atoms: &Bound<'py, PyAny>,
    samples: &Bound<'py, PyAny>,
    settings: &Bound<'py, PyDict>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let pursuit = pursuit(settings)?;
    let pool = pool(py, threads)?;
    each!(pair(atoms, samples)?, both => {
        let (atoms, samples) = both;
        let (atoms, samples) = (columns(&atoms)?, columns(&samples)?);
        let codes = py.detach(|| pool.install(|| pursuit.codes(atoms, samples)));
        arrays_of(py, &codes.map_err(told)?)
    })
}

/// An error by the names that matrices have in Python's pursuits.
fn told(error: Error) -> PyErr {
    let of = |argument| match argument {
        "dictionary" => Some("D"),
        "samples" => Some("Y"),
        _ => None,
    };
    match error {
        Error::Argument { argument, found, expected } if of(argument).is_some() => {
            unexpected(of(argument).unwrap_or(argument), found, &expected)
        }
        error => exception(error),
    }
}

/// The codes of samples given products: ``gram`` (m, m) and ``correlations`` (n, m).
#[pyfunction]
#[pyo3(signature = (gram, correlations, squared_norms, settings, threads=None))]
pub fn omp_gram<'py>(
    py: Python<'py>,
    gram: &Bound<'py, PyAny>,
    correlations: &Bound<'py, PyAny>,
    squared_norms: Option<PyReadonlyArray1<'py, f64>>,
    settings: &Bound<'py, PyDict>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let (pursuit, norms) = (pursuit(settings)?, self::squared_norms(squared_norms.as_ref())?);
    let pool = pool(py, threads)?;
    each!(pair(gram, correlations)?, both => {
        let (gram, correlations) = both;
        let (gram, correlations) = (columns(&gram)?, columns(&correlations)?);
        let find = || pursuit.codes_from_products(gram, correlations, norms);
        let codes = py.detach(|| pool.install(find)).map_err(exception)?;
        arrays_of(py, &codes)
    })
}

fn arrays_of<'py, T: Number>(
    py: Python<'py>,
    codes: &SparseCodes<T>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut rows = Rows::new(codes.samples());
    rows.extend(codes);
    rows.into_arrays(py)
}

struct OfPaths;

impl Family for OfPaths {
    type Of<T: Number> = Path<T>;
}

/// The codes of samples with 0, 1, 2, … atoms.
#[pyclass(frozen, module = "dbksvd._core", name = "Path")]
pub struct AnyPath {
    path: Either<Path<f32>, Path<f64>>,
}

#[pymethods]
impl AnyPath {
    /// The paths of samples (n, d) on atoms (m, d) of any norm.
    #[new]
    #[pyo3(signature = (atoms, samples, settings, threads=None))]
    fn new(
        py: Python<'_>,
        atoms: &Bound<'_, PyAny>,
        samples: &Bound<'_, PyAny>,
        settings: &Bound<'_, PyDict>,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let pursuit = pursuit(settings)?;
        each!(pair(atoms, samples)?, both => {
            let (atoms, samples) = both;
            let (atoms, samples) = (columns(&atoms)?, columns(&samples)?);
            Self::found(py, threads, || pursuit.path(atoms, samples))
        })
    }

    #[getter]
    fn n_samples(&self) -> usize {
        each!(&self.path, path => path.codes().samples())
    }

    /// How many atoms the longest path has.
    #[getter]
    fn length(&self) -> usize {
        each!(&self.path, path => {
            let codes = path.codes();
            (0..codes.samples()).map(|i| codes.support(i).len()).max().unwrap_or(0)
        })
    }

    /// The codes with at most so many atoms, as compressed rows ``(data, indices, indptr)``.
    fn at<'py>(&self, py: Python<'py>, n_nonzero_coefs: usize) -> PyResult<Bound<'py, PyAny>> {
        each!(&self.path, path => arrays_of(py, &path.at(n_nonzero_coefs)))
    }

    /// The atoms of sample ``i``, in the order in which they were chosen.
    fn support(&self, i: usize) -> Vec<u32> {
        each!(&self.path, path => path.codes().support(i).to_vec())
    }

    /// The norms of the residuals (n, 1 + length), NaN after the end of a path.
    fn residual_norms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let width = 1 + self.length();
        each!(&self.path, path => {
            let samples = path.codes().samples();
            let mut norms = Vec::with_capacity(samples * width);
            for i in 0..samples {
                norms.extend_from_slice(path.residual_norms(i));
                norms.resize((i + 1) * width, f64::NAN);
            }
            PyArray1::from_vec(py, norms).reshape([samples, width])
        })
    }
}

impl AnyPath {
    fn found<T: Number>(
        py: Python<'_>,
        threads: Option<usize>,
        find: impl FnOnce() -> Result<Path<T>, Error> + Send,
    ) -> PyResult<Self> {
        let pool = pool(py, threads)?;
        let path = py.detach(|| pool.install(find)).map_err(told)?;
        Ok(Self { path: T::either::<OfPaths>(path) })
    }
}
