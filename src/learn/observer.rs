//! Watching a run, and ending it.

use std::ops::ControlFlow;

use super::EpochReport;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
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

/// Called during a run, on the thread that runs it. [`ControlFlow::Break`] ends the run after the
/// current step, with the dictionary learned so far.
///
/// Closures `FnMut(&Progress) -> ControlFlow<()>` observe steps.
pub trait Observer {
    /// After every step.
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }

    /// After every epoch.
    fn on_epoch(&mut self, epoch: &EpochReport) -> ControlFlow<()> {
        let _ = epoch;
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(&Progress) -> ControlFlow<()>> Observer for F {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        self(progress)
    }
}
