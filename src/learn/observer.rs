//! Watching a run, and ending it.

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::report::{CheckpointReport, EpochReport, Evaluation, Report};
use crate::Scalar;
use crate::error::Error;
use crate::model::Model;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The current epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// The step just done, from 1, within the epoch.
    pub step: usize,
    /// Steps in an epoch.
    pub steps: usize,
    /// Steps done since the run began, those before a resumption included.
    pub total_steps: u64,
    /// The share of the run that lies behind, 0 to 1: of its steps or, if that is more, of its
    /// time.
    pub done: f64,
    /// Samples learned from in this step.
    pub samples: usize,
    /// Fraction of variance unexplained over this epoch so far.
    pub fvu: f64,
    /// The same for the samples [within](crate::Preprocessing::is_within) the norm limit; `fvu`
    /// again where there is none.
    pub fvu_within: f64,
    /// Seconds since the run began.
    pub elapsed: f64,
}

/// Atoms that were given a new direction after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewed {
    /// Steps done so far.
    pub step: u64,
    /// Dead atoms that were replaced by samples.
    pub replaced: usize,
    /// Duplicate atoms that were merged and replaced by samples.
    pub merged: usize,
}

/// A run that can be asked for its model as it is now.
pub struct Snapshot<'a, T: Scalar> {
    pub(super) fetch: &'a dyn Fn() -> Result<Model<T>, Error>,
}

impl<T: Scalar> Snapshot<'_, T> {
    /// A copy of the model as it is now.
    ///
    /// # Errors
    /// [`Error::Backend`] if the dictionary cannot be fetched from the backend.
    pub fn model(&self) -> Result<Model<T>, Error> {
        (self.fetch)()
    }
}

/// Called during a run, on the thread that runs it. [`ControlFlow::Break`] ends the run after the
/// current step, with the dictionary learned so far.
///
/// Nothing that an observer does changes what is learned, but for ending it: a slow one makes the
/// run slower, and one that panics is not called again ([`Report::observer_panic`] says so).
///
/// [`observe`](crate::observe) makes observers of closures, and has others ready made. Pairs of
/// observers are one, and a closure `FnMut(&Progress) -> ControlFlow<()>` whose argument has its
/// type written observes steps.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use dbksvd::learn::{EpochReport, Observer, Snapshot};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Scalar};
///
/// /// Ends a run that no longer gains a hundredth an epoch.
/// #[derive(Default)]
/// struct Patience {
///     last: Option<f64>,
/// }
///
/// impl<T: Scalar> Observer<T> for Patience {
///     fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, T>) -> ControlFlow<()> {
///         match self.last.replace(epoch.fvu) {
///             Some(last) if epoch.fvu > 0.99 * last => ControlFlow::Break(()),
///             _ => ControlFlow::Continue(()),
///         }
///     }
/// }
///
/// let data = Planted::new(16, 32, 3, 2000).noise(0.2).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(100).build()?;
/// let mut patience = Patience::default();
/// let fit = learner.run(&data.samples).observer(&mut patience).finish()?;
/// assert!(fit.report.epochs.len() < 100);
/// # Ok::<(), dbksvd::Error>(())
/// ```
pub trait Observer<T: Scalar> {
    /// After every step.
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }

    /// After a step that replaced dead atoms or merged duplicates.
    fn on_renewal(&mut self, renewed: &Renewed) -> ControlFlow<()> {
        let _ = renewed;
        ControlFlow::Continue(())
    }

    /// After every epoch. The model is copied only if `snapshot` is asked for it.
    fn on_epoch(&mut self, epoch: &EpochReport, snapshot: &Snapshot<'_, T>) -> ControlFlow<()> {
        let _ = (epoch, snapshot);
        ControlFlow::Continue(())
    }

    /// After every evaluation. The model is copied only if `snapshot` is asked for it.
    fn on_evaluation(
        &mut self,
        evaluation: &Evaluation,
        snapshot: &Snapshot<'_, T>,
    ) -> ControlFlow<()> {
        let _ = (evaluation, snapshot);
        ControlFlow::Continue(())
    }

    /// After a checkpoint was written.
    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        let _ = checkpoint;
        ControlFlow::Continue(())
    }

    /// After a checkpoint could not be written, in a run that goes on all the same.
    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        let _ = error;
        ControlFlow::Continue(())
    }

    /// At the end of the run, whatever ended it.
    fn on_stop(&mut self, report: &Report) {
        let _ = report;
    }
}

impl<T: Scalar, F: FnMut(&Progress) -> ControlFlow<()>> Observer<T> for F {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        self(progress)
    }
}

/// Both are told; either may end the run.
impl<T: Scalar, A: Observer<T>, B: Observer<T>> Observer<T> for (A, B) {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        either(self.0.on_step(progress), self.1.on_step(progress))
    }

    fn on_renewal(&mut self, renewed: &Renewed) -> ControlFlow<()> {
        either(self.0.on_renewal(renewed), self.1.on_renewal(renewed))
    }

    fn on_epoch(&mut self, epoch: &EpochReport, snapshot: &Snapshot<'_, T>) -> ControlFlow<()> {
        either(self.0.on_epoch(epoch, snapshot), self.1.on_epoch(epoch, snapshot))
    }

    fn on_evaluation(
        &mut self,
        evaluation: &Evaluation,
        snapshot: &Snapshot<'_, T>,
    ) -> ControlFlow<()> {
        either(
            self.0.on_evaluation(evaluation, snapshot),
            self.1.on_evaluation(evaluation, snapshot),
        )
    }

    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        either(self.0.on_checkpoint(checkpoint), self.1.on_checkpoint(checkpoint))
    }

    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        either(self.0.on_checkpoint_failure(error), self.1.on_checkpoint_failure(error))
    }

    fn on_stop(&mut self, report: &Report) {
        self.0.on_stop(report);
        self.1.on_stop(report);
    }
}

fn either(a: ControlFlow<()>, b: ControlFlow<()>) -> ControlFlow<()> {
    if a.is_break() { a } else { b }
}

/// An observer whose panics stay here.
pub(super) struct PanicCatching<'a, T: Scalar> {
    observer: Option<&'a mut dyn Observer<T>>,
    pub(super) panic: Option<String>,
    /// Whether it has asked for the end.
    pub(super) has_asked_to_stop: bool,
}

impl<'a, T: Scalar> PanicCatching<'a, T> {
    pub(super) fn new(observer: Option<&'a mut dyn Observer<T>>) -> Self {
        Self { observer, panic: None, has_asked_to_stop: false }
    }

    pub(super) fn tell(&mut self, call: impl FnOnce(&mut dyn Observer<T>) -> ControlFlow<()>) {
        let Some(observer) = &mut self.observer else { return };
        // A panic may leave the observer in any state, but it is not looked at again; nothing else
        // is borrowed for writing.
        match catch_unwind(AssertUnwindSafe(|| call(&mut **observer))) {
            Ok(flow) => self.has_asked_to_stop |= flow.is_break(),
            Err(payload) => {
                self.observer = None;
                self.panic = Some(message(&*payload));
            }
        }
    }
}

/// What a panic was given to say.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
