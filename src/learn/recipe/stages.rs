//! What is told of the second stage, as of a part of the whole run.

use std::ops::ControlFlow;

use crate::Scalar;
use crate::error::Error;
use crate::learn::StopReason;
use crate::learn::observer::{Observer, PanicCatching, Progress, Renewed, Snapshot};
use crate::learn::report::{CheckpointReport, EpochReport, Evaluation, Report};

/// Tells an observer of a stage as a part of the whole.
pub(super) struct Stage<'a, T: Scalar> {
    observer: Option<&'a mut dyn Observer<T>>,
    /// Epochs of each stage.
    epochs: [usize; 2],
    /// Epochs, steps and seconds before this stage.
    before: usize,
    steps: u64,
    seconds: f64,
    /// The course of the stage before.
    earlier: Option<Report>,
    /// Whether the observer has asked for the end, if only after the last step of a stage.
    pub(super) is_over: bool,
}

impl<'a, T: Scalar> Stage<'a, T> {
    /// The first, of two stages of so many epochs.
    pub(super) fn first(epochs: [usize; 2], observer: Option<&'a mut dyn Observer<T>>) -> Self {
        let (before, steps, seconds) = (0, 0, 0.0);
        Self { observer, epochs, before, steps, seconds, earlier: None, is_over: false }
    }

    /// The second, after a first of this course.
    pub(super) fn follow(&mut self, first: &Report) {
        self.before = self.epochs[0];
        (self.steps, self.seconds) = (first.steps, first.seconds.total);
        self.earlier = Some(first.clone());
    }

    /// Tells of the end of a run that no stage tells of, and writes down a panic of the observer.
    pub(super) fn end(&mut self, report: &mut Report) {
        let Some(observer) = self.observer.take() else { return };
        let mut observer = PanicCatching::new(Some(observer));
        observer.tell(|observer| {
            observer.on_stop(report);
            ControlFlow::Continue(())
        });
        report.observer_panic = report.observer_panic.take().or(observer.panic);
    }

    fn tell(
        &mut self,
        event: impl FnOnce(&mut dyn Observer<T>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        // An observer that panics is not put back, and so told no more.
        let Some(observer) = self.observer.take() else { return ControlFlow::Continue(()) };
        let flow = event(observer);
        self.observer = Some(observer);
        self.is_over |= flow.is_break();
        flow
    }

    fn later(&self, epoch: &EpochReport) -> EpochReport {
        let mut epoch = *epoch;
        epoch.epoch += self.before;
        epoch.elapsed += self.seconds;
        epoch
    }

    /// The course of all stages up to the end of this one, whose own course is `second`.
    pub(super) fn joined(&self, second: &Report) -> Report {
        let Some(mut first) = self.earlier.clone() else { return second.clone() };
        let resumed = second.resumed_from.map(|step| step + first.steps);
        first.epochs.extend(second.epochs.iter().map(|epoch| self.later(epoch)));
        first.resumed_from = resumed.or(first.resumed_from);
        first.steps += second.steps;
        first.seconds.encode += second.seconds.encode;
        first.seconds.update += second.seconds.update;
        first.seconds.other += second.seconds.other;
        first.seconds.total += second.seconds.total;
        first.noise = second.noise;
        first.stop = second.stop;
        first.observer_panic = first.observer_panic.or_else(|| second.observer_panic.clone());
        first
    }
}

impl<T: Scalar> Observer<T> for Stage<'_, T> {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let mut progress = *progress;
        let own = progress.epochs as f64;
        let all: usize = self.epochs.iter().sum();
        progress.done = (self.before as f64 + progress.done * own) / all as f64;
        progress.epoch += self.before;
        progress.epochs = all;
        progress.total_steps += self.steps;
        progress.elapsed += self.seconds;
        self.tell(|observer| observer.on_step(&progress))
    }

    fn on_renewal(&mut self, renewed: &Renewed) -> ControlFlow<()> {
        let mut renewed = *renewed;
        renewed.step += self.steps;
        self.tell(|observer| observer.on_renewal(&renewed))
    }

    fn on_epoch(&mut self, epoch: &EpochReport, snapshot: &Snapshot<'_, T>) -> ControlFlow<()> {
        let epoch = self.later(epoch);
        self.tell(|observer| observer.on_epoch(&epoch, snapshot))
    }

    fn on_evaluation(
        &mut self,
        evaluation: &Evaluation,
        snapshot: &Snapshot<'_, T>,
    ) -> ControlFlow<()> {
        self.tell(|observer| observer.on_evaluation(evaluation, snapshot))
    }

    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        let mut checkpoint = checkpoint.clone();
        checkpoint.step += self.steps;
        self.tell(|observer| observer.on_checkpoint(&checkpoint))
    }

    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        self.tell(|observer| observer.on_checkpoint_failure(error))
    }

    fn on_stop(&mut self, report: &Report) {
        // A first stage that was completed is not the end.
        if self.earlier.is_some() || report.stop != StopReason::Completed {
            let whole = self.joined(report);
            if let Some(observer) = self.observer.take() {
                observer.on_stop(&whole);
            }
        }
    }
}
