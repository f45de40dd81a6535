//! Learning step by step, and sessions that are stored between two steps.

use std::sync::{Mutex, PoisonError};

use dbksvd::coder::AnyCoder;
use dbksvd::learn::{SavedSession, Session as Learning, StepReport, TrainingState};
use dbksvd::source::SampleSource;
use dbksvd::updater::{SavedArray, SavedState};
use dbksvd::{Faer, Parameters, Preprocessing};
use numpy::{IntoPyArray, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::Samples;
use crate::error::{exception, unexpected};
use crate::learner::{Goal, Settings};
use crate::model::Model;
use crate::number::{Either, Number, columns_of, each, rows_of};
use crate::pool::pool;
use crate::supervised::{Value, dict};
use crate::updater::AnyUpdater;

type Locked<T> = Mutex<Learning<Faer<T>, AnyCoder<T>, AnyUpdater>>;

/// A run that is fed one minibatch at a time.
#[pyclass(frozen, module = "dbksvd._core")]
pub struct Session {
    inner: Either<Box<Locked<f32>>, Box<Locked<f64>>>,
}

/// A session as arrays and numbers.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Saved<'py> {
    parameters: Vec<(String, String)>,
    dictionary: Bound<'py, PyAny>,
    mean: Option<Bound<'py, PyAny>>,
    scale: f64,
    norm_limit: Option<f64>,
    updater: Vec<(String, String, Bound<'py, PyAny>)>,
    steps: u64,
    progress: f64,
    noise: f64,
}

#[pymethods]
impl Session {
    #[new]
    fn new(
        settings: &Bound<'_, PyDict>,
        dim: usize,
        planned_steps: u64,
        double: bool,
    ) -> PyResult<Self> {
        let settings: Settings<'_> = settings.extract()?;
        if settings.device != "cpu" {
            let expected = "'cpu': graphics devices learn by `fit`";
            return Err(unexpected("device", format!("{:?}", settings.device), expected));
        }
        if settings.goal()? == Goal::Features {
            let expected = "'error' or 'true_features': its second stage reads the data again";
            return Err(unexpected("goal", "'features'", expected));
        }
        Ok(Self {
            inner: match double {
                false => Either::F32(begun(&settings, dim, planned_steps)?),
                true => Either::F64(begun(&settings, dim, planned_steps)?),
            },
        })
    }

    /// Learns from one minibatch, and tells what it did.
    #[pyo3(signature = (samples, threads=None))]
    fn step<'py>(
        &self,
        py: Python<'py>,
        samples: &Bound<'py, PyAny>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let samples = Samples::new(samples)?;
        let source = samples.source()?;
        let report = each!(&self.inner, session => step(py, session, &source, threads))?;
        dict(
            py,
            [
                ("step", Value::Count(report.step)),
                ("n_samples", Value::Count(report.samples as u64)),
                ("clipped", Value::Count(report.clipped as u64)),
                ("dropped", Value::Count(report.dropped as u64)),
                ("zeros", Value::Count(report.zeros as u64)),
                ("fvu", Value::Number(report.fvu)),
                ("fvu_within", Value::Number(report.fvu_within)),
                ("replaced", Value::Count(report.update.replaced as u64)),
                ("merged", Value::Count(report.update.merged as u64)),
            ],
        )
    }

    /// The model as it is now; ``None`` before the first step.
    fn model(&self, py: Python<'_>) -> PyResult<Option<Model>> {
        each!(&self.inner, session => {
            let model = py.detach(|| locked(session).model());
            Ok(model.map_err(exception)?.map(Model::of))
        })
    }

    /// What the codes of the last minibatch left, root mean square; NaN before the first step.
    #[getter]
    fn noise(&self, py: Python<'_>) -> f64 {
        each!(&self.inner, session => py.detach(|| locked(session).noise()))
    }

    /// The session as arrays and numbers; ``None`` before the first step.
    fn save<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        each!(&self.inner, session => {
            let saved = py.detach(|| locked(session).save()).map_err(exception)?;
            saved.map(|saved| saved_dict(py, &saved)).transpose()
        })
    }

    /// Goes on where another session of the same settings was saved.
    fn restore(&self, py: Python<'_>, saved: &Bound<'_, PyDict>) -> PyResult<()> {
        let saved: Saved<'_> = saved.extract()?;
        match &self.inner {
            Either::F32(session) => restore(py, session, &saved),
            Either::F64(session) => restore(py, session, &saved),
        }
    }
}

fn begun<T: Number>(
    settings: &Settings<'_>,
    dim: usize,
    planned_steps: u64,
) -> PyResult<Box<Locked<T>>> {
    let learner = settings.builder::<T>(dim)?.build().map_err(exception)?;
    let session = learner.session(dim, planned_steps).map_err(exception)?;
    Ok(Box::new(Mutex::new(session)))
}

fn locked<T: Number>(
    session: &Locked<T>,
) -> std::sync::MutexGuard<'_, Learning<Faer<T>, AnyCoder<T>, AnyUpdater>> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

fn step<T: Number>(
    py: Python<'_>,
    session: &Locked<T>,
    source: &dyn SampleSource<T>,
    threads: Option<usize>,
) -> PyResult<StepReport> {
    let pool = pool(py, threads)?;
    let (samples, dim) = (source.len(), source.dim());
    py.detach(|| {
        let mut session = locked(session);
        let mut values = vec![T::default(); samples * dim];
        source.read(0..samples, &mut values)?;
        let y = dbksvd::faer::MatRef::from_column_major_slice(&values, dim, samples);
        let session = &mut *session;
        pool.install(|| session.step(y))
    })
    .map_err(exception)
}

fn saved_dict<'py, T: Number>(
    py: Python<'py>,
    saved: &SavedSession<T>,
) -> PyResult<Bound<'py, PyDict>> {
    let SavedSession { parameters, training } = saved;
    let dict = PyDict::new(py);
    let parameters: Vec<(&str, &str)> = parameters.iter().collect();
    dict.set_item("parameters", parameters)?;
    dict.set_item("dictionary", rows_of(py, training.dictionary.as_ref())?)?;
    let mean = training.preprocessing.mean();
    dict.set_item("mean", mean.map(|mean| mean.to_vec().into_pyarray(py)))?;
    dict.set_item("scale", training.preprocessing.scale())?;
    dict.set_item("norm_limit", training.preprocessing.norm_limit())?;
    let mut updater = Vec::new();
    for (name, array) in training.updater.iter() {
        updater.push(match array {
            SavedArray::F64(values) => (name, "f64", values.clone().into_pyarray(py).into_any()),
            SavedArray::U64(values) => (name, "u64", values.clone().into_pyarray(py).into_any()),
            SavedArray::Scalars(values) => {
                (name, "scalars", values.clone().into_pyarray(py).into_any())
            }
        });
    }
    dict.set_item("updater", updater)?;
    dict.set_item("steps", training.steps)?;
    dict.set_item("progress", training.progress)?;
    dict.set_item("noise", training.noise)?;
    Ok(dict)
}

fn restore<T: Number>(py: Python<'_>, session: &Locked<T>, saved: &Saved<'_>) -> PyResult<()> {
    let dictionary = saved.dictionary.extract::<PyReadonlyArray2<'_, T>>()?;
    let dictionary = columns_of(dictionary.as_slice()?, dictionary.shape()[1]);
    let mean = match &saved.mean {
        None => None,
        Some(mean) => Some(mean.extract::<PyReadonlyArray1<'_, T>>()?.as_slice()?.to_vec()),
    };
    let preprocessing = Preprocessing::none()
        .with_mean(mean)
        .and_then(|given| given.with_scale(saved.scale))
        .and_then(|given| given.with_norm_limit(saved.norm_limit))
        .map_err(exception)?;
    let mut updater = SavedState::new();
    for (name, kind, array) in &saved.updater {
        let array = match kind.as_str() {
            "f64" => SavedArray::F64(vector::<f64>(array)?),
            "u64" => SavedArray::U64(vector::<u64>(array)?),
            _ => SavedArray::Scalars(vector::<T>(array)?),
        };
        updater.insert(name.clone(), array);
    }
    let mut listed = saved.parameters.iter();
    let (_, first) = listed.next().ok_or_else(|| unexpected("state", "empty", "parameters"))?;
    let parameters = listed.fold(Parameters::of(first), |parameters, (name, value)| {
        parameters.with(name, value.as_str())
    });
    let (steps, progress, noise) = (saved.steps, saved.progress, saved.noise);
    let training = TrainingState { dictionary, preprocessing, updater, steps, progress, noise };
    let saved = SavedSession { parameters, training };
    py.detach(|| locked(session).restore(&saved)).map_err(exception)
}

fn vector<E: numpy::Element + Copy>(array: &Bound<'_, PyAny>) -> PyResult<Vec<E>> {
    Ok(array.extract::<PyReadonlyArray1<'_, E>>()?.as_slice()?.to_vec())
}
