//! Watching a run, and ending it.

use std::ops::ControlFlow;

use super::EpochReport;
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
    /// Fraction of variance unexplained over this epoch so far.
    pub fvu: f64,
    /// Seconds since the run began.
    pub elapsed: f64,
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
/// Closures `FnMut(&Progress) -> ControlFlow<()>` observe steps.
pub trait Observer<T: Scalar> {
    /// After every step.
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }

    /// After every epoch. The model is copied only if `snapshot` is asked for it.
    fn on_epoch(&mut self, epoch: &EpochReport, snapshot: &Snapshot<'_, T>) -> ControlFlow<()> {
        let _ = (epoch, snapshot);
        ControlFlow::Continue(())
    }
}

impl<T: Scalar, F: FnMut(&Progress) -> ControlFlow<()>> Observer<T> for F {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        self(progress)
    }
}
