//! One run, from settings and samples to a model.

use dbksvd::backend::Backend;
use dbksvd::coder::SparseCoder;
use dbksvd::learn::{Checkpoints, Fit as Ended, Report, Seconds, StopToken};
use dbksvd::source::{HeldOut, SampleSource, split};
use dbksvd::updater::DictionaryUpdater;
use dbksvd::{DbKsvd, Error, Model as Learned};
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arrays::Samples;
use crate::device;
use crate::error::{exception, unexpected};
use crate::learner::{Goal, Settings};
use crate::model::Model;
use crate::number::Number;
use crate::pool::pool;
use crate::supervised::{Supervised, Watcher, dict, epoch_values, evaluation_values, supervised};

/// What a run gives, whatever ended it.
#[pyclass(frozen, module = "dbksvd._core")]
pub struct Fit {
    /// The model after the last step.
    #[pyo3(get)]
    model: Py<Model>,
    /// The model that did best on held-out samples, with its step and its error, if there is one.
    #[pyo3(get)]
    best: Option<(Py<Model>, u64, f64)>,
    /// The course of the run.
    #[pyo3(get)]
    report: Py<PyDict>,
    /// What ended it, if it was an exception.
    #[pyo3(get)]
    error: Option<Py<PyBaseException>>,
}

/// What a run of any stages gives in Rust.
struct Outcome<T: Number> {
    model: Learned<T>,
    best: Option<(Learned<T>, u64, f64)>,
    report: Report,
    failure: Option<Error>,
}

/// Learns a dictionary, in double precision if ``double``. ``tell(kind, values)`` is called with
/// what happens on the way; a false answer ends the run. Errors are measured on ``held_out``, if it
/// is given.
#[pyfunction]
#[pyo3(signature = (settings, samples, double, tell=None, threads=None, held_out=None))]
pub fn fit(
    py: Python<'_>,
    settings: &Bound<'_, PyDict>,
    samples: &Bound<'_, PyAny>,
    double: bool,
    tell: Option<Py<PyAny>>,
    threads: Option<usize>,
    held_out: Option<&Bound<'_, PyAny>>,
) -> PyResult<Fit> {
    let settings: Settings<'_> = settings.extract()?;
    let samples = Samples::new(samples)?;
    let source = samples.source()?;
    let held_out = held_out.map(Samples::new).transpose()?;
    let held_out = held_out.as_ref().map(|samples| samples.source()).transpose()?;
    let supervision = Supervision { tell: tell.as_ref(), threads };
    if settings.device != "cpu" {
        let learner = device::learner(py, &settings)?;
        if double {
            let expected = "float32 or float16 with a graphics device, which computes in float32";
            return Err(unexpected("X", "float64", expected));
        }
        let held_out = held_out.as_ref().map(|source| source as &dyn SampleSource<f32>);
        let data: (&dyn SampleSource<f32>, _) = (&source, held_out);
        return watched(py, &settings, data, &supervision, |part| learned(&learner, part));
    }
    if double {
        let held_out = held_out.as_ref().map(|source| source as &dyn SampleSource<f64>);
        return run::<f64>(py, &settings, (&source, held_out), &supervision);
    }
    let held_out = held_out.as_ref().map(|source| source as &dyn SampleSource<f32>);
    run::<f32>(py, &settings, (&source, held_out), &supervision)
}

/// A run on the processor.
fn run<T: Number>(
    py: Python<'_>,
    settings: &Settings<'_>,
    data: (&dyn SampleSource<T>, Option<&dyn SampleSource<T>>),
    supervision: &Supervision<'_>,
) -> PyResult<Fit> {
    let learner = settings.builder::<T>(data.0.dim())?.build().map_err(exception)?;
    match settings.goal()? {
        Goal::Features => {
            let recipe = settings.recipe()?;
            watched(py, settings, data, supervision, |part: Part<'_, T>| {
                let Part { rows, held_out, watcher, token, checkpoints } = part;
                let mut run = recipe.run(&learner, rows).observer(watcher).stop_token(token);
                if let Some(held_out) = held_out {
                    run = run.held_out(held_out);
                }
                if let Some(checkpoints) = checkpoints {
                    run = run.checkpoints(checkpoints);
                }
                run.finish()
            })
        }
        _ => watched(py, settings, data, supervision, |part| learned(&learner, part)),
    }
}

/// Who is told of a run, and how many threads it has.
struct Supervision<'a> {
    tell: Option<&'a Py<PyAny>>,
    threads: Option<usize>,
}

/// What a run has besides its learner.
struct Part<'a, T: Number> {
    rows: &'a dyn SampleSource<T>,
    held_out: Option<&'a dyn SampleSource<T>>,
    watcher: &'a mut Watcher,
    token: StopToken,
    checkpoints: Option<Checkpoints>,
}

/// A run of one stage, on any device.
fn learned<B, C, U>(
    learner: &DbKsvd<B, C, U>,
    part: Part<'_, B::Scalar>,
) -> Result<Ended<B::Scalar>, Error>
where
    B: Backend<Scalar: Number>,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let Part { rows, held_out, watcher, token, checkpoints } = part;
    let mut run = DbKsvd::run(learner, &rows).observer(watcher).stop_token(token);
    if let Some(held_out) = &held_out {
        run = run.held_out(held_out);
    }
    if let Some(checkpoints) = checkpoints {
        run = run.checkpoints(checkpoints);
    }
    run.finish()
}

/// A run that Python watches, and may interrupt.
fn watched<T: Number>(
    py: Python<'_>,
    settings: &Settings<'_>,
    (source, held_out): (&dyn SampleSource<T>, Option<&dyn SampleSource<T>>),
    &Supervision { tell, threads }: &Supervision<'_>,
    learn: impl FnOnce(Part<'_, T>) -> Result<Ended<T>, Error> + Send,
) -> PyResult<Fit> {
    let checkpoints =
        settings.checkpoints.as_ref().map(|saving| saving.checkpoints()).transpose()?;
    let share = settings.held_out.map(HeldOut::Share);
    let (seed, wants_models, token) = (settings.seed, settings.tells_models, StopToken::new());
    let pool = pool(py, threads)?;
    let work = |mut watcher: Watcher| -> Result<Outcome<T>, Error> {
        watcher.wants_models = wants_models;
        let parts = share.map(|part| split(&source, &part, seed)).transpose()?;
        let (rows, held_out): (&dyn SampleSource<T>, Option<&dyn SampleSource<T>>) = match &parts {
            None => (source, held_out),
            Some((rows, held_out)) => (rows, Some(held_out)),
        };
        let (watcher, token) = (&mut watcher, token.clone());
        let ended = learn(Part { rows, held_out, watcher, token, checkpoints })?;
        let Ended { model, best, report, failure, .. } = ended;
        let best = best.map(|best| (best.model, best.step, best.fvu_within));
        Ok(Outcome { model, best, report, failure })
    };
    let Supervised { result, raised } = supervised(py, &pool, &token, tell, work);
    match (result, raised) {
        (Ok(outcome), raised) => give(py, outcome, raised),
        // What Python raised ended it.
        (Err(_), Some(raised)) => Err(raised),
        (Err(error), None) => Err(exception(error)),
    }
}

fn give<T: Number>(py: Python<'_>, outcome: Outcome<T>, raised: Option<PyErr>) -> PyResult<Fit> {
    let Outcome { model, best, report, failure } = outcome;
    let error = raised.or(failure.map(exception));
    let best = match best {
        None => None,
        Some((model, step, fvu)) => Some((Py::new(py, Model::of(model))?, step, fvu)),
    };
    Ok(Fit {
        model: Py::new(py, Model::of(model))?,
        best,
        report: report_dict(py, &report)?.unbind(),
        error: error.map(|error| error.into_value(py)),
    })
}

/// A report as a dictionary.
fn report_dict<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyDict>> {
    let epochs = PyList::empty(py);
    for epoch in &report.epochs {
        epochs.append(dict(py, epoch_values(epoch))?)?;
    }
    let evaluations = PyList::empty(py);
    for evaluation in &report.evaluations {
        evaluations.append(dict(py, evaluation_values(evaluation))?)?;
    }
    let seconds = PyDict::new(py);
    let Seconds { encode, update, other, total } = report.seconds;
    for (name, value) in
        [("encode", encode), ("update", update), ("other", other), ("total", total)]
    {
        seconds.set_item(name, value)?;
    }
    let all = PyDict::new(py);
    all.set_item("epochs", epochs)?;
    all.set_item("evaluations", evaluations)?;
    all.set_item("steps", report.steps)?;
    all.set_item("noise", report.noise)?;
    all.set_item("resumed_from", report.resumed_from)?;
    all.set_item("seconds", seconds)?;
    all.set_item("stop", report.stop.name())?;
    Ok(all)
}
