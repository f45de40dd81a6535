//! Checkpoints: when a run is saved, how many of them stay, and whether a run goes on from one.
//!
//! `saved_run` says what a run is when it is saved. How it lies in files is not known here: that is
//! up to the [`CheckpointStore`] that a run is given, which `files::checkpoint` implements.

pub(super) mod identity;
pub(crate) mod numbers;
mod packed;
pub(crate) mod parts;
pub(crate) mod saved_run;
#[cfg(test)]
mod tests;
mod training_state;

pub use training_state::{SavedSession, TrainingState};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::observer::PanicCatching;
use super::report::CheckpointReport;
use crate::Scalar;
use crate::error::{CheckpointError, Error};
use crate::parameters::Parameters;
use saved_run::SavedRun;

/// Whether a run takes up what an earlier one left in the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// No: a directory with checkpoints is an error, so that none is lost by mistake.
    #[default]
    Never,
    /// If there is a checkpoint: the way of a job that is started again until it is done. A run
    /// that was done (all epochs, the FVU aimed at, a plateau) stays so, and gives the same again;
    /// if the rule that ended it is no longer set, it goes on.
    IfPresent,
    /// Yes: a directory without checkpoints is an error.
    Always,
}

/// What a run does when a checkpoint cannot be written: the disk is full, or read-only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends, giving the dictionary learned so far and the error.
    #[default]
    Stop,
    /// It tells its observer and goes on; the next checkpoint may succeed.
    GoOn,
}

/// Where and how often the state of a run is saved. The earlier checkpoints stay intact until a
/// newer one is safely on disk, and one is written when the run ends, whatever ends it (but a
/// backend that fails within a step, or an epoch without a sample to learn from).
///
/// | parameter | default | purpose |
/// |---|---|---|
/// | [`every_steps`](Self::every_steps) | none | save after each so many steps |
/// | [`every`](Self::every) | 10 minutes | save when that much time has passed |
/// | [`keep`](Self::keep) | 2 | how many files stay |
/// | [`resume`](Self::resume) | never | whether to go on from what is there |
/// | [`on_failure`](Self::on_failure) | stop | what to do when saving fails |
///
/// `Run::checkpoints` gives them to a run, and says what the files hold. It is there with the
/// feature `safetensors`.
///
/// ```
/// # #[cfg(feature = "safetensors")] {
/// use dbksvd::DbKsvd;
/// use dbksvd::learn::{Checkpoints, Resume};
/// use dbksvd::synthetic::Planted;
///
/// # let folder = std::env::temp_dir().join("dbksvd-doc-checkpoints");
/// # let _ = std::fs::remove_dir_all(&folder);
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(3).build()?;
/// let checkpoints = Checkpoints::new(&folder).every_steps(2).resume(Resume::IfPresent);
/// let first = learner.run(&data.samples).checkpoints(checkpoints.clone()).finish()?;
/// // Had it been killed, the same call would go on from the newest file, to the same bits.
/// let again = learner.run(&data.samples).checkpoints(checkpoints).finish()?;
/// assert_eq!(first.model, again.model);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # }
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoints {
    directory: PathBuf,
    every_steps: Option<u64>,
    every: Option<Duration>,
    keep: usize,
    resume: Resume,
    on_failure: OnFailure,
}

impl Checkpoints {
    /// Saves to `directory`, which is made if it is not there, every ten minutes and at the end.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            every_steps: None,
            every: Some(Duration::from_secs(600)),
            keep: 2,
            resume: Resume::Never,
            on_failure: OnFailure::Stop,
        }
    }

    /// Saves after each `steps` steps, counted from the start of the run.
    #[must_use]
    pub fn every_steps(mut self, steps: u64) -> Self {
        self.every_steps = Some(steps);
        self
    }

    /// Saves when this much time has passed since the last time; `None` for no clock.
    #[must_use]
    pub fn every(mut self, time: Option<Duration>) -> Self {
        self.every = time;
        self
    }

    /// How many of the newest files stay.
    #[must_use]
    pub fn keep(mut self, files: usize) -> Self {
        self.keep = files;
        self
    }

    /// Whether to go on from the newest checkpoint of the directory.
    #[must_use]
    pub fn resume(mut self, resume: Resume) -> Self {
        self.resume = resume;
        self
    }

    /// What to do when saving fails.
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// Those of one of several runs.
    pub(super) fn of_run(&self, number: usize) -> Self {
        let directory = self.directory.join(format!("run-{number:03}"));
        // Only the first is sure to have begun.
        let resume = match self.resume {
            Resume::Always if number > 0 => Resume::IfPresent,
            resume => resume,
        };
        Self { directory, resume, ..self.clone() }
    }

    /// Those of the second stage of a run, within the directory of the first.
    pub(super) fn of_second_stage(&self) -> Self {
        let directory = self.directory.join("linear");
        // It may have ended in the first stage.
        let resume = match self.resume {
            Resume::Always => Resume::IfPresent,
            resume => resume,
        };
        Self { directory, resume, ..self.clone() }
    }

    fn check(&self) -> Result<(), Error> {
        if self.every_steps == Some(0) {
            return Err(Error::argument("every_steps", 0, "at least 1"));
        }
        if self.keep == 0 {
            return Err(Error::argument("keep", 0, "at least 1"));
        }
        Ok(())
    }
}

/// Where the checkpoints of one run are stored. Each is there as a whole or not at all.
pub(crate) trait CheckpointStore<T: Scalar> {
    /// The steps after which those that are there were written, rising.
    fn steps(&self) -> &[u64];

    /// Stores a run of this identity, and gives the file.
    fn save(&mut self, identity: &Parameters, run: &SavedRun<'_, T>) -> Result<PathBuf, Error>;

    /// The run as it was after `step`, if its identity is this one. Samples are of dimension `dim`,
    /// and dictionaries have one of `sizes` atoms.
    fn load(
        &self,
        step: u64,
        identity: &Parameters,
        dim: usize,
        sizes: &[usize],
    ) -> Result<SavedRun<'static, T>, Error>;

    /// Removes the checkpoint of `step`.
    fn remove(&mut self, step: u64) -> Result<(), Error>;
}

/// Takes hold of a directory, for as long as the store lives.
pub(crate) type OpenStore<T> = fn(&Path) -> Result<Box<dyn CheckpointStore<T>>, Error>;

/// The checkpoints of a run that is alive.
pub(super) struct OpenCheckpoints<T: Scalar> {
    plan: Checkpoints,
    store: Box<dyn CheckpointStore<T>>,
    identity: Parameters,
    /// When one was last written, or could not be.
    last: Instant,
}

impl<T: Scalar> OpenCheckpoints<T> {
    /// Takes hold of the directory.
    pub(super) fn open(
        plan: Checkpoints,
        open: OpenStore<T>,
        identify: impl FnOnce() -> Result<Parameters, Error>,
    ) -> Result<Self, Error> {
        plan.check()?;
        let store = open(&plan.directory)?;
        let directory = || plan.directory.clone();
        match (plan.resume, store.steps().is_empty()) {
            (Resume::Never, false) => {
                return Err(CheckpointError::Occupied { directory: directory() }.into());
            }
            (Resume::Always, true) => {
                return Err(CheckpointError::Missing { directory: directory() }.into());
            }
            _ => {}
        }
        let identity = identify()?;
        Ok(Self { plan, store, identity, last: Instant::now() })
    }

    /// The run of the newest checkpoint, if there is one.
    pub(super) fn load(
        &self,
        dim: usize,
        sizes: &[usize],
    ) -> Result<Option<SavedRun<'static, T>>, Error> {
        let newest = self.store.steps().last();
        newest.map(|&step| self.store.load(step, &self.identity, dim, sizes)).transpose()
    }

    pub(super) fn is_due(&self, step: u64) -> bool {
        let Checkpoints { every_steps, every, .. } = &self.plan;
        every_steps.is_some_and(|steps| step.is_multiple_of(steps))
            || every.is_some_and(|time| self.last.elapsed() >= time)
    }

    /// Saves the run as it is after `step`, and tells `observer` what came of it. A failure is an
    /// error only if the plan says that it ends the run.
    pub(super) fn save<'a>(
        &mut self,
        step: u64,
        run: impl FnOnce() -> Result<SavedRun<'a, T>, Error>,
        observer: &mut PanicCatching<'_, T>,
    ) -> Result<(), Error> {
        match self.write(step, run) {
            Ok(Some(written)) => observer.tell(|observer| observer.on_checkpoint(&written)),
            Ok(None) => {}
            Err(error) if self.plan.on_failure == OnFailure::GoOn => {
                observer.tell(|observer| observer.on_checkpoint_failure(&error));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Saves the run as it is after `step`, unless that is there, and removes what is too old to
    /// keep.
    fn write<'a>(
        &mut self,
        step: u64,
        run: impl FnOnce() -> Result<SavedRun<'a, T>, Error>,
    ) -> Result<Option<CheckpointReport>, Error> {
        let start = Instant::now();
        if step == 0 {
            return Ok(None);
        }
        if self.store.steps().last() == Some(&step) {
            // A run that was killed between a save and the removal may have left one too many.
            self.remove_old()?;
            return Ok(None);
        }
        // Whether or not it succeeds, the clock starts again: a full disk is not tried at every
        // step.
        self.last = start;
        let path = self.store.save(&self.identity, &run()?)?;
        self.remove_old()?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Some(CheckpointReport { path, step, seconds }))
    }

    fn remove_old(&mut self) -> Result<(), Error> {
        while let &[oldest, ref newer @ ..] = self.store.steps()
            && newer.len() >= self.plan.keep
        {
            self.store.remove(oldest)?;
        }
        Ok(())
    }
}
