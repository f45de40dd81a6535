//! Where a run is, and what it has to tell so far: all that is not dictionary or updater.

use std::time::Instant;

use super::report::{EpochReport, Evaluation};
use super::trainer::Outcome;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::samples::OutlierCounts;
use crate::samples::moments::Figures;
use crate::samples::spectrum::Spectrum;
use crate::{Model, Scalar};

/// A place in the plan of a run: what is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// From 1.
    pub(crate) epoch: usize,
    /// From 0.
    pub(crate) step: usize,
}

/// Sums over steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tally {
    pub(crate) figures: Figures,
    pub(crate) spectrum: Spectrum,
    pub(crate) nonzeros: usize,
    pub(crate) replaced: usize,
    pub(crate) merged: usize,
    pub(crate) undone: usize,
    pub(crate) outliers: OutlierCounts,
}

impl Tally {
    pub(super) fn new(dim: usize) -> Self {
        let (figures, spectrum) = (Figures::new(dim), Spectrum::default());
        let (nonzeros, replaced, merged, undone) = (0, 0, 0, 0);
        let outliers = OutlierCounts::default();
        Self { figures, spectrum, nonzeros, replaced, merged, undone, outliers }
    }

    pub(super) fn add(&mut self, step: &Outcome) {
        self.figures.merge(&step.figures);
        self.spectrum.merge(&step.spectrum);
        self.nonzeros += step.update.nonzeros;
        self.replaced += step.update.replaced;
        self.merged += step.update.merged;
        self.undone += step.update.undone;
        self.outliers.add(&step.outliers);
    }

    pub(super) fn dim(&self) -> usize {
        self.figures.all.mean.len()
    }

    pub(super) fn samples(&self) -> usize {
        self.figures.all.samples
    }

    /// Refuses to call it learning where there was nothing to learn from.
    pub(super) fn check(&self) -> Result<(), Error> {
        let OutlierCounts { read, zeros, dropped, .. } = self.outliers;
        if read > 0 && (self.samples() == 0 || zeros == read) {
            return Err(Error::NothingLearned { samples: read, zeros, dropped });
        }
        Ok(())
    }

    pub(super) fn report(&self, epoch: usize, elapsed: f64) -> EpochReport {
        EpochReport {
            epoch,
            samples: self.samples(),
            fvu: self.figures.all.fvu(),
            within: self.figures.within.samples,
            fvu_within: self.figures.fvu_within(),
            relative_error: self.figures.all.relative_error(),
            l0: self.l0(),
            replaced: self.replaced,
            merged: self.merged,
            undone: self.undone,
            clipped: self.outliers.clipped,
            dropped: self.outliers.dropped,
            zeros: self.outliers.zeros,
            massive: self.spectrum.massive(),
            elapsed,
        }
    }

    fn l0(&self) -> f64 {
        self.nonzeros as f64 / self.samples() as f64
    }
}

/// The best dictionary so far, by its FVU on the held-out samples within the norm limit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Best<T: Scalar> {
    /// The model.
    pub model: Model<T>,
    /// The step after which it was measured.
    pub step: u64,
    /// Its FVU on all held-out samples.
    pub fvu: f64,
    /// Its FVU on those of them [within](crate::Preprocessing::is_within) the norm limit, of which
    /// it is the least; `fvu` again where there is no limit.
    pub fvu_within: f64,
}

/// The dictionary of an evaluation, with what it was judged by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leader<T: Scalar> {
    pub(crate) dictionary: Dictionary<T>,
    pub(crate) step: u64,
    pub(crate) fvu: f64,
    pub(crate) fvu_within: f64,
}

impl<T: Scalar> Leader<T> {
    /// Whether a dictionary of this FVU takes the lead. An infinite FVU, or one that is not a
    /// number, holds it against no later one.
    pub(super) fn is_beaten_by(&self, fvu_within: f64) -> bool {
        !self.fvu_within.is_finite() || fvu_within < self.fvu_within
    }
}

/// What an evaluation has measured.
pub(super) struct Measured<'a> {
    pub(super) figures: &'a Figures,
    pub(super) l0: f64,
    pub(super) held_out: bool,
}

/// What a run has done and has to tell so far, and where it is: what is saved of it beside what the
/// trainer holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunRecord<T: Scalar> {
    pub(crate) position: Position,
    /// Over the epoch, and since the last evaluation.
    pub(crate) tally: Tally,
    pub(crate) watched: Tally,
    pub(crate) epochs: Vec<EpochReport>,
    pub(crate) evaluations: Vec<Evaluation>,
    pub(crate) best: Option<Leader<T>>,
}

/// The state of a run, but for what the trainer holds.
pub(super) struct RunState<T: Scalar> {
    pub(super) record: RunRecord<T>,
    pub(super) resumed_from: Option<u64>,
    /// Seconds before a resumption, and since.
    pub(super) earlier: f64,
    pub(super) start: Instant,
}

impl<T: Scalar> RunState<T> {
    pub(super) fn new(dim: usize, start: Instant) -> Self {
        let record = RunRecord {
            position: Position { epoch: 1, step: 0 },
            tally: Tally::new(dim),
            watched: Tally::new(dim),
            epochs: Vec::new(),
            evaluations: Vec::new(),
            best: None,
        };
        Self { record, resumed_from: None, earlier: 0.0, start }
    }

    pub(super) fn elapsed(&self) -> f64 {
        self.earlier + self.start.elapsed().as_secs_f64()
    }

    /// Counts a step in.
    pub(super) fn add(&mut self, step: &Outcome) {
        self.record.tally.add(step);
        self.record.watched.add(step);
        self.record.position.step += 1;
    }

    /// Closes the epoch if all of its `samples` were read.
    ///
    /// # Errors
    /// [`Error::NothingLearned`] if there was nothing to learn from among them; the epoch stays
    /// open.
    pub(super) fn end_epoch(&mut self, samples: usize) -> Result<Option<EpochReport>, Error> {
        if self.record.tally.outliers.read < samples {
            return Ok(None);
        }
        self.record.tally.check()?;
        let report = self.record.tally.report(self.record.position.epoch, self.elapsed());
        self.record.epochs.push(report);
        self.record.tally = Tally::new(self.record.tally.dim());
        self.record.position = Position { epoch: self.record.position.epoch + 1, step: 0 };
        Ok(Some(report))
    }

    /// Refuses a run that ends before it has learned from a sample.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.record.epochs.is_empty() { self.record.tally.check() } else { Ok(()) }
    }

    /// Reports of all epochs, the current one as far as it went.
    pub(super) fn all_epochs(&self) -> Vec<EpochReport> {
        let mut epochs = self.record.epochs.clone();
        if self.record.tally.outliers.read > 0 {
            epochs.push(self.record.tally.report(self.record.position.epoch, self.elapsed()));
        }
        epochs
    }

    /// An evaluation by the samples coded since the one before.
    pub(super) fn watch(&mut self, step: u64) -> Evaluation {
        let tally =
            std::mem::replace(&mut self.record.watched, Tally::new(self.record.tally.dim()));
        let (figures, l0) = (&tally.figures, tally.l0());
        self.evaluation(step, &Measured { figures, l0, held_out: false })
    }

    pub(super) fn evaluation(&mut self, step: u64, measured: &Measured<'_>) -> Evaluation {
        // The epoch that the last step was part of.
        let Position { epoch, step: next } = self.record.position;
        let epoch = if next == 0 { epoch - 1 } else { epoch };
        let elapsed = self.elapsed();
        let Figures { all, within } = measured.figures;
        let fvu_within = measured.figures.fvu_within();
        let evaluation = Evaluation {
            step,
            epoch,
            held_out: measured.held_out,
            samples: all.samples,
            fvu: all.fvu(),
            within: within.samples,
            fvu_within,
            l0: measured.l0,
            elapsed,
        };
        self.record.evaluations.push(evaluation);
        self.record.watched = Tally::new(self.record.watched.dim());
        evaluation
    }
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::*;

    #[test]
    fn a_leader_that_is_not_finite_is_beaten_by_any() {
        let leader = |fvu| Leader {
            dictionary: Dictionary::normalized(Mat::<f64>::identity(2, 2)).unwrap(),
            step: 1,
            fvu,
            fvu_within: fvu,
        };
        for first in [f64::NAN, f64::INFINITY] {
            for later in [0.5, 1e300, f64::INFINITY, f64::NAN] {
                assert!(leader(first).is_beaten_by(later), "{first} {later}");
            }
        }
        for (later, expected) in [(0.4, true), (0.5, false), (0.6, false)] {
            assert_eq!(leader(0.5).is_beaten_by(later), expected, "{later}");
        }
        for later in [f64::INFINITY, f64::NAN] {
            assert!(!leader(0.5).is_beaten_by(later), "{later}");
        }
    }
}
