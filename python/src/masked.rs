//! Samples of which coordinates are missing, or count for less: their codes, and what is learned
//! from them.

use std::ops::ControlFlow;

use dbksvd::faer::MatRef;
use dbksvd::learn::StopToken;
use dbksvd::masked::{MaskedFit, MaskedKsvd, MaskedOmp, MaskedPass, draw_atoms};
use dbksvd::source::{SampleSource, check_rounding};
use dbksvd::{Dictionary, Error, Model as Learned, Sign, SparseCodes};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arrays::codes::Rows;
use crate::arrays::{Samples, Source};
use crate::error::{exception, unexpected};
use crate::model::Model;
use crate::number::{Either, Number, each};
use crate::pool::pool;
use crate::supervised::{Supervised, Watcher, dict, pass_values, supervised};

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

/// What is set for [`learn_masked`].
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Settings {
    n_components: usize,
    n_nonzero_coefs: usize,
    positive: bool,
    passes: usize,
    seed: u64,
}

/// Learns from samples (n, d), whose coordinates have these weights (n, d), beginning with the
/// atoms of ``initial`` or, without one, with samples. Gives the model, the codes of the samples
/// and a list of what each pass found.
#[pyfunction]
#[pyo3(signature = (settings, samples, weights, double, initial=None, tell=None, threads=None))]
#[allow(clippy::too_many_arguments)] // As many as Python's function has.
pub fn learn_masked<'py>(
    py: Python<'py>,
    settings: &Bound<'py, PyDict>,
    samples: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    double: bool,
    initial: Option<&Model>,
    tell: Option<Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<(Model, Bound<'py, PyAny>, Bound<'py, PyList>)> {
    let settings: Settings = settings.extract()?;
    let (samples, weights) = (Samples::new(samples)?, Samples::new(weights)?);
    let data = (samples.source()?, weights.source()?);
    let tell = tell.as_ref();
    match (initial.map(|model| &model.inner), double) {
        (Some(Either::F64(model)), true) => {
            learned(py, &settings, &data, Some(model.dictionary()), tell, threads)
        }
        (Some(Either::F32(model)), false) => {
            learned(py, &settings, &data, Some(model.dictionary()), tell, threads)
        }
        (None, true) => learned::<f64>(py, &settings, &data, None, tell, threads),
        (None, false) => learned::<f32>(py, &settings, &data, None, tell, threads),
        (Some(_), _) => Err(unexpected("initial", "of one precision", "that of the samples")),
    }
}

fn learned<'py, T: Number>(
    py: Python<'py>,
    settings: &Settings,
    (samples, weights): &(Source<'_>, Source<'_>),
    initial: Option<&Dictionary<T>>,
    tell: Option<&Py<PyAny>>,
    threads: Option<usize>,
) -> PyResult<(Model, Bound<'py, PyAny>, Bound<'py, PyList>)> {
    let &Settings { n_components, n_nonzero_coefs, positive, passes, seed } = settings;
    let sign = if positive { Sign::NonNegative } else { Sign::Signed };
    let (pool, token) = (pool(py, threads)?, StopToken::new());
    let work = |watcher: Watcher| -> Result<MaskedFit<T>, Error> {
        check_rounding::<T>(samples)?;
        let (values, of_values) = (read::<T>(samples)?, read::<T>(weights)?);
        let (y, w) = (columns(&values, samples), columns(&of_values, weights));
        let initial = match initial {
            Some(initial) => initial.clone(),
            None => draw_atoms(y, w, n_components, seed)?,
        };
        let learner = MaskedKsvd::new(MaskedOmp::new(n_nonzero_coefs).sign(sign)).passes(passes);
        learner.learn_observed(initial, y, w, |pass: &MaskedPass| {
            let told = watcher.on_pass(pass);
            if token.is_stopped() { ControlFlow::Break(()) } else { told }
        })
    };
    let Supervised { result, raised } = supervised(py, &pool, &token, tell, work);
    if let Some(raised) = raised {
        return Err(raised);
    }
    let fit = result.map_err(exception)?;
    let course = PyList::empty(py);
    for pass in &fit.passes {
        course.append(dict(py, pass_values(pass))?)?;
    }
    let mut rows = Rows::new(fit.codes.samples());
    rows.extend(&fit.codes);
    let model = Learned::new(fit.dictionary, None, n_nonzero_coefs, sign).map_err(exception)?;
    Ok((Model::of(model), rows.into_arrays(py)?, course))
}
