//! Work that Python can interrupt and watch.
//!
//! The work runs on threads that know nothing of Python. The thread that called waits for it,
//! detached, and wakes up ten times a second to look for signals: Ctrl-C raises the stop token. It
//! also answers what the work tells on its way, so callbacks run on the thread that called `fit`,
//! as Python people expect.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use dbksvd::Error;
use dbksvd::learn::{
    CheckpointReport, EpochReport, Evaluation, Observer, Progress, Renewed, Snapshot, StopToken,
};
use dbksvd::masked::MaskedPass;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rayon::ThreadPool;

use crate::model::Model;
use crate::number::Number;

/// How long a signal may wait.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a thread that awaits an answer does nothing else.
const LULL: Duration = Duration::from_millis(2);

/// What is told, and where the answer is awaited: whether to go on.
struct Event {
    kind: &'static str,
    values: Vec<(&'static str, Value)>,
    answer: SyncSender<bool>,
}

/// A value that is told.
pub enum Value {
    Count(u64),
    Number(f64),
    Flag(bool),
    Text(String),
    Model(Box<Model>),
}

impl Value {
    fn set(self, of: &Bound<'_, PyDict>, name: &str) -> PyResult<()> {
        match self {
            Self::Count(count) => of.set_item(name, count),
            Self::Number(number) => of.set_item(name, number),
            Self::Flag(flag) => of.set_item(name, flag),
            Self::Text(text) => of.set_item(name, text),
            Self::Model(model) => of.set_item(name, Py::new(of.py(), *model)?),
        }
    }
}

/// Names and values as a dictionary.
pub fn dict<'py>(
    py: Python<'py>,
    values: impl IntoIterator<Item = (&'static str, Value)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    values.into_iter().try_for_each(|(name, value)| value.set(&dict, name))?;
    Ok(dict)
}

/// Tells Python of a run.
pub struct Watcher {
    /// `None` if nobody listens.
    events: Option<Sender<Event>>,
    /// Whether the end of an epoch is told with a copy of the model.
    pub wants_models: bool,
}

impl Watcher {
    fn tell(&self, kind: &'static str, values: Vec<(&'static str, Value)>) -> ControlFlow<()> {
        let Some(events) = &self.events else { return ControlFlow::Continue(()) };
        let (answer, answered) = sync_channel(1);
        // Nobody answers after an error: the run is about to end.
        if events.send(Event { kind, values, answer }).is_err() {
            return ControlFlow::Break(());
        }
        // A callback may itself ask for work of this pool, which has perhaps this thread alone.
        let is_to_go_on = loop {
            match answered.recv_timeout(LULL) {
                Ok(answer) => break answer,
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => drop(rayon::yield_now()),
            }
        };
        if is_to_go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

impl Watcher {
    /// Tells of a pass of masked learning.
    pub fn on_pass(&self, pass: &MaskedPass) -> ControlFlow<()> {
        self.tell("pass", pass_values(pass))
    }
}

impl<T: Number> Observer<T> for Watcher {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let Progress { epoch, epochs, step, steps, total_steps, samples, .. } = *progress;
        self.tell(
            "step",
            vec![
                ("epoch", Value::Count(epoch as u64)),
                ("epochs", Value::Count(epochs as u64)),
                ("step", Value::Count(step as u64)),
                ("steps", Value::Count(steps as u64)),
                ("total_steps", Value::Count(total_steps)),
                ("done", Value::Number(progress.done)),
                ("n_samples", Value::Count(samples as u64)),
                ("fvu", Value::Number(progress.fvu)),
                ("fvu_within", Value::Number(progress.fvu_within)),
                ("elapsed", Value::Number(progress.elapsed)),
            ],
        )
    }

    fn on_renewal(&mut self, renewed: &Renewed) -> ControlFlow<()> {
        self.tell(
            "renewal",
            vec![
                ("step", Value::Count(renewed.step)),
                ("replaced", Value::Count(renewed.replaced as u64)),
                ("merged", Value::Count(renewed.merged as u64)),
            ],
        )
    }

    fn on_epoch(&mut self, epoch: &EpochReport, now: &Snapshot<'_, T>) -> ControlFlow<()> {
        let mut values = epoch_values(epoch);
        if self.wants_models {
            // Weights that have overflowed are no model: the run ends with that error by itself.
            let model = now.model().map(|model| Value::Model(Box::new(Model::of(model))));
            values.extend(model.ok().map(|model| ("model", model)));
        }
        self.tell("epoch", values)
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        self.tell("evaluation", evaluation_values(evaluation))
    }

    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        self.tell(
            "checkpoint",
            vec![
                ("path", Value::Text(checkpoint.path.display().to_string())),
                ("step", Value::Count(checkpoint.step)),
                ("seconds", Value::Number(checkpoint.seconds)),
            ],
        )
    }

    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        self.tell("checkpoint_failure", vec![("error", Value::Text(error.to_string()))])
    }
}

pub fn epoch_values(epoch: &EpochReport) -> Vec<(&'static str, Value)> {
    vec![
        ("epoch", Value::Count(epoch.epoch as u64)),
        ("n_samples", Value::Count(epoch.samples as u64)),
        ("fvu", Value::Number(epoch.fvu)),
        ("n_samples_within", Value::Count(epoch.within as u64)),
        ("fvu_within", Value::Number(epoch.fvu_within)),
        ("relative_error", Value::Number(epoch.relative_error)),
        ("mean_nonzeros", Value::Number(epoch.l0)),
        ("replaced", Value::Count(epoch.replaced as u64)),
        ("merged", Value::Count(epoch.merged as u64)),
        ("undone", Value::Count(epoch.undone as u64)),
        ("clipped", Value::Count(epoch.clipped as u64)),
        ("dropped", Value::Count(epoch.dropped as u64)),
        ("zeros", Value::Count(epoch.zeros as u64)),
        ("elapsed", Value::Number(epoch.elapsed)),
    ]
}

pub fn pass_values(pass: &MaskedPass) -> Vec<(&'static str, Value)> {
    vec![
        ("pass", Value::Count(pass.pass as u64)),
        ("passes", Value::Count(pass.passes as u64)),
        ("relative_error", Value::Number(pass.relative_error)),
        ("mean_nonzeros", Value::Number(pass.l0)),
        ("replaced", Value::Count(pass.replaced as u64)),
    ]
}

pub fn evaluation_values(evaluation: &Evaluation) -> Vec<(&'static str, Value)> {
    vec![
        ("step", Value::Count(evaluation.step)),
        ("epoch", Value::Count(evaluation.epoch as u64)),
        ("held_out", Value::Flag(evaluation.held_out)),
        ("n_samples", Value::Count(evaluation.samples as u64)),
        ("fvu", Value::Number(evaluation.fvu)),
        ("n_samples_within", Value::Count(evaluation.within as u64)),
        ("fvu_within", Value::Number(evaluation.fvu_within)),
        ("mean_nonzeros", Value::Number(evaluation.l0)),
        ("elapsed", Value::Number(evaluation.elapsed)),
    ]
}

/// What the work gave, and what Python raised meanwhile: an interrupt, or an error of a callback.
pub struct Supervised<R> {
    pub result: R,
    pub raised: Option<PyErr>,
}

/// Does `work` on the threads of `pool`, while this thread looks for signals, raises `token` if one
/// ends it, and calls `tell(kind, values)` for what is told. A false answer ends the run.
pub fn supervised<R: Send>(
    py: Python<'_>,
    pool: &ThreadPool,
    token: &StopToken,
    tell: Option<&Py<PyAny>>,
    work: impl FnOnce(Watcher) -> R + Send,
) -> Supervised<R> {
    let (sender, events) = channel();
    // The receiver learns of the end of the work by the end of the sender, told or not.
    let (end, ended) = channel::<()>();
    let watcher = Watcher { events: tell.is_some().then_some(sender), wants_models: false };
    py.detach(move || {
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                let _end = end;
                pool.install(|| work(watcher))
            });
            let raised = match tell {
                None => wait(&ended, token),
                Some(tell) => answer(&events, token, tell),
            };
            drop(events);
            let result = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            Supervised { result, raised }
        })
    })
}

/// Looks for signals until the work is done.
fn wait(ended: &Receiver<()>, token: &StopToken) -> Option<PyErr> {
    let mut raised = None;
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PATIENCE) {
        if let Some(error) = signal() {
            token.stop();
            raised.get_or_insert(error);
        }
    }
    raised
}

/// Looks for signals, and answers, until the work is done or something was raised.
fn answer(events: &Receiver<Event>, token: &StopToken, tell: &Py<PyAny>) -> Option<PyErr> {
    loop {
        let raised = match events.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => signal(),
            Ok(Event { kind, values, answer: awaited }) => {
                let answer = Python::attach(|py| -> PyResult<bool> {
                    py.check_signals()?;
                    let values = dict(py, values)?;
                    tell.bind(py).call1((kind, values))?.is_truthy()
                });
                // The work awaits it; it cannot be gone.
                let _ = awaited.send(*answer.as_ref().unwrap_or(&false));
                answer.err()
            }
        };
        if let Some(error) = raised {
            token.stop();
            return Some(error);
        }
    }
}

fn signal() -> Option<PyErr> {
    Python::attach(|py| py.check_signals().err())
}
