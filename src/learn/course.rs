//! Where a run is, and what it has to tell so far: all that is not dictionary or updater.

use std::time::Instant;

use super::report::{EpochReport, Evaluation};
use super::session::Outcome;
use crate::dictionary::Dictionary;
use crate::moments::Moments;
use crate::{Model, Scalar};

/// A place in the plan of a run: what is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// From 1.
    pub(super) epoch: usize,
    /// From 0.
    pub(super) step: usize,
}

/// Sums over steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tally {
    pub(super) moments: Moments,
    pub(super) nonzeros: usize,
    pub(super) replaced: usize,
    pub(super) merged: usize,
    pub(super) undone: usize,
    pub(super) clipped: usize,
    pub(super) dropped: usize,
}

impl Tally {
    pub(super) fn new(dim: usize) -> Self {
        let moments = Moments::new(dim);
        let (nonzeros, replaced, merged, undone) = (0, 0, 0, 0);
        Self { moments, nonzeros, replaced, merged, undone, clipped: 0, dropped: 0 }
    }

    pub(super) fn add(&mut self, step: &Outcome) {
        self.moments.merge(&step.moments);
        self.nonzeros += step.update.nonzeros;
        self.replaced += step.update.replaced;
        self.merged += step.update.merged;
        self.undone += step.update.undone;
        self.clipped += step.tamed.clipped;
        self.dropped += step.tamed.dropped;
    }

    /// Samples that were read, those left out included.
    pub(super) fn seen(&self) -> usize {
        self.moments.samples + self.dropped
    }

    fn report(&self, epoch: usize, elapsed: f64) -> EpochReport {
        EpochReport {
            epoch,
            samples: self.moments.samples,
            fvu: self.moments.fvu(),
            relative_error: self.moments.relative_error(),
            l0: self.l0(),
            replaced: self.replaced,
            merged: self.merged,
            undone: self.undone,
            clipped: self.clipped,
            dropped: self.dropped,
            elapsed,
        }
    }

    fn l0(&self) -> f64 {
        self.nonzeros as f64 / self.moments.samples as f64
    }
}

/// The best dictionary so far, by its FVU on held-out samples.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Best<T: Scalar> {
    /// The model.
    pub model: Model<T>,
    /// The step after which it was measured.
    pub step: u64,
    /// Its FVU on the held-out samples.
    pub fvu: f64,
}

/// The state of a run, but for what the trainer holds.
pub(super) struct Course<T: Scalar> {
    pub(super) position: Position,
    /// Over the epoch, and since the last evaluation.
    pub(super) tally: Tally,
    pub(super) watched: Tally,
    pub(super) epochs: Vec<EpochReport>,
    pub(super) evaluations: Vec<Evaluation>,
    /// The best dictionary with the step and FVU of its evaluation.
    pub(super) best: Option<(Dictionary<T>, u64, f64)>,
    pub(super) resumed_from: Option<u64>,
    /// Seconds before a resumption, and since.
    pub(super) earlier: f64,
    pub(super) start: Instant,
}

impl<T: Scalar> Course<T> {
    pub(super) fn new(dim: usize, start: Instant) -> Self {
        Self {
            position: Position { epoch: 1, step: 0 },
            tally: Tally::new(dim),
            watched: Tally::new(dim),
            epochs: Vec::new(),
            evaluations: Vec::new(),
            best: None,
            resumed_from: None,
            earlier: 0.0,
            start,
        }
    }

    pub(super) fn elapsed(&self) -> f64 {
        self.earlier + self.start.elapsed().as_secs_f64()
    }

    /// Counts a step in.
    pub(super) fn add(&mut self, step: &Outcome) {
        self.tally.add(step);
        self.watched.add(step);
        self.position.step += 1;
    }

    /// Closes the epoch if all of its `samples` were read.
    pub(super) fn end_epoch(&mut self, samples: usize) -> Option<EpochReport> {
        if self.tally.seen() < samples {
            return None;
        }
        let report = self.tally.report(self.position.epoch, self.elapsed());
        self.epochs.push(report);
        self.tally = Tally::new(self.tally.moments.mean.len());
        self.position = Position { epoch: self.position.epoch + 1, step: 0 };
        Some(report)
    }

    /// Reports of all epochs, the current one as far as it went.
    pub(super) fn all_epochs(&self) -> Vec<EpochReport> {
        let mut epochs = self.epochs.clone();
        if self.tally.seen() > 0 {
            epochs.push(self.tally.report(self.position.epoch, self.elapsed()));
        }
        epochs
    }

    /// An evaluation by the samples coded since the one before.
    pub(super) fn watch(&mut self, step: u64) -> Evaluation {
        let tally = &self.watched;
        let (samples, fvu, l0) = (tally.moments.samples, tally.moments.fvu(), tally.l0());
        self.evaluation(step, false, samples, fvu, l0)
    }

    pub(super) fn evaluation(
        &mut self,
        step: u64,
        held_out: bool,
        samples: usize,
        fvu: f64,
        l0: f64,
    ) -> Evaluation {
        // The epoch that the last step was part of.
        let Position { epoch, step: next } = self.position;
        let epoch = if next == 0 { epoch - 1 } else { epoch };
        let elapsed = self.elapsed();
        let evaluation = Evaluation { step, epoch, held_out, samples, fvu, l0, elapsed };
        self.evaluations.push(evaluation);
        self.watched = Tally::new(self.watched.moments.mean.len());
        evaluation
    }
}
