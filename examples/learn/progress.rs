//! The bar on stderr, or events on stdout.

use std::ops::ControlFlow;

use dbksvd::Scalar;
use dbksvd::learn::{EpochReport, Evaluation, Observer, Progress, Report, Snapshot};
use dbksvd::observe::ProgressBar;

use crate::arguments::Arguments;
use crate::events;
use crate::failure::Failure;

/// Shows how far a run is.
pub struct Watcher {
    bar: ProgressBar,
    json: bool,
    failure: Option<Failure>,
}

impl Watcher {
    /// The bar shows on terminals alone.
    pub fn new(arguments: &Arguments) -> Self {
        let bar = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new() };
        Self { bar, json: arguments.json, failure: None }
    }

    /// What went wrong in writing, if anything did.
    pub fn finish(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }

    fn say(&mut self, said: impl FnOnce() -> Result<(), Failure>) -> ControlFlow<()> {
        if self.json
            && let Err(failure) = said()
        {
            self.failure = Some(failure);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl<T: Scalar> Observer<T> for Watcher {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        Observer::<T>::on_step(&mut self.bar, progress)
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        self.say(|| events::epoch(epoch))
    }

    fn on_evaluation(
        &mut self,
        evaluation: &Evaluation,
        snapshot: &Snapshot<'_, T>,
    ) -> ControlFlow<()> {
        let _ = self.bar.on_evaluation(evaluation, snapshot);
        self.say(|| events::evaluation(evaluation))
    }

    fn on_stop(&mut self, report: &Report) {
        Observer::<T>::on_stop(&mut self.bar, report);
    }
}
