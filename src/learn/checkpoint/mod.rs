//! Checkpoints: the state of a run in files, so that a run that was ended goes on where it was.
//!
//! A directory belongs to one run. It holds
//!
//! ```text
//! checkpoint-000000001200.safetensors    the state after 1,200 steps; the newest few are kept
//! lock                                   held while a run is alive, whatever ends it
//! ```
//! Each file appears whole or not at all: written under another name, synced, renamed, and the
//! directory synced. So however a run ends, the newest file is a state it was in; going on from
//! there takes the same steps, bit by bit, as the run that was not ended.

mod contents;
mod identity;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::config::Config;
use super::report::CheckpointReport;
use super::run_state::RunState;
use super::session::Trainer;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::{CheckpointError, Error, FileError};
use crate::source::SampleSource;
use crate::updater::DictionaryUpdater;
use identity::Identity;

const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".safetensors";
const LOCK: &str = "lock";

/// Whether a run takes up what an earlier one left in the directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// No: a directory with checkpoints is an error, so that none is lost by mistake.
    #[default]
    Never,
    /// If there is a checkpoint: the way of a job that is started again until it is done.
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
/// # Format
/// A safetensors file. `dictionary` (m, d) and, where there is one, `best.dictionary`; `mean` (d);
/// `updater.*`, what the updater keeps; `course`, `tally`, `tally.*`, `watched`, `watched.*`,
/// `epochs`, `evaluations`: the numbers of the run so far, in F64, sums over rows within the norm
/// limit among them. `__metadata__` holds `format` (`dbksvd-checkpoint`), `version`, `seal` (a hash
/// of all else that the file holds, by which numbers that changed on the disk are noticed), and for
/// every parameter of the run and property of the data a text `run.NAME`: a run resumes only if all
/// are what they were. Not among them are the stop rules `time_budget`, `target_fvu` and `plateau`,
/// which may change.
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

/// The directory of a run that is alive.
pub(super) struct Store {
    checkpoints: Checkpoints,
    identity: Identity,
    /// Steps of the checkpoints that are there, rising.
    saved: Vec<u64>,
    last: Instant,
    /// Held as long as the run lives; the system lets go of it when the process dies.
    _lock: File,
}

impl Store {
    /// Takes hold of the directory.
    pub(super) fn open<B, C, U>(
        checkpoints: &Checkpoints,
        config: &Config<B, C, U>,
        source: &dyn SampleSource<B::Scalar>,
    ) -> Result<Self, Error>
    where
        B: Backend,
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        checkpoints.check()?;
        let directory = &checkpoints.directory;
        fs::create_dir_all(directory).map_err(|source| failed(directory, source))?;
        let lock = lock(directory)?;
        let saved = list(directory)?;
        match (checkpoints.resume, saved.is_empty()) {
            (Resume::Never, false) => {
                return Err(CheckpointError::Occupied { directory: directory.clone() }.into());
            }
            (Resume::Always, true) => {
                return Err(CheckpointError::Missing { directory: directory.clone() }.into());
            }
            _ => {}
        }
        Ok(Self {
            checkpoints: checkpoints.clone(),
            identity: Identity::of(config, source)?,
            saved,
            last: Instant::now(),
            _lock: lock,
        })
    }

    /// The trainer of the newest checkpoint, and its course; `None` if there is none.
    pub(super) fn resume<B, C, U>(
        &self,
        config: &Config<B, C, U>,
        run_state: &mut RunState<B::Scalar>,
    ) -> Result<Option<Trainer<B, C, U>>, Error>
    where
        B: Backend,
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let Some(&step) = self.saved.last() else { return Ok(None) };
        contents::read(&self.path(step), &self.identity, config, run_state).map(Some)
    }

    pub(super) fn on_failure(&self) -> OnFailure {
        self.checkpoints.on_failure
    }

    pub(super) fn is_due(&self, step: u64) -> bool {
        let Checkpoints { every_steps, every, .. } = &self.checkpoints;
        every_steps.is_some_and(|steps| step.is_multiple_of(steps))
            || every.is_some_and(|time| self.last.elapsed() >= time)
    }

    /// Saves the state, unless that of this step is there, and removes what is too old to keep.
    pub(super) fn save<B, C, U>(
        &mut self,
        config: &Config<B, C, U>,
        trainer: &Trainer<B, C, U>,
        run_state: &RunState<B::Scalar>,
    ) -> Result<Option<CheckpointReport>, Error>
    where
        B: Backend,
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let (start, step) = (Instant::now(), trainer.steps);
        if step == 0 {
            return Ok(None);
        }
        if self.saved.last() == Some(&step) {
            // A run that was killed between a save and the removal may have left one too many.
            self.remove_old()?;
            return Ok(None);
        }
        let path = self.path(step);
        // Whether or not it succeeds, the clock starts again: a full disk is not tried at every
        // step.
        self.last = start;
        contents::write(&path, &self.identity, config, trainer, run_state)?;
        self.saved.push(step);
        self.remove_old()?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Some(CheckpointReport { path, step, seconds }))
    }

    fn remove_old(&mut self) -> Result<(), CheckpointError> {
        while self.saved.len() > self.checkpoints.keep {
            let oldest = self.saved.remove(0);
            let old = self.path(oldest);
            fs::remove_file(&old).map_err(|source| failed(&old, source))?;
        }
        Ok(())
    }

    fn path(&self, step: u64) -> PathBuf {
        self.checkpoints.directory.join(format!("{PREFIX}{step:012}{SUFFIX}"))
    }
}

fn failed(path: &Path, source: std::io::Error) -> CheckpointError {
    CheckpointError::File(FileError::Io { path: path.to_owned(), source })
}

fn lock(directory: &Path) -> Result<File, CheckpointError> {
    let path = directory.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| failed(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(CheckpointError::InUse { directory: directory.to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(failed(&path, source)),
    }
}

/// Steps of the checkpoints in a directory, rising. What a run that was killed left half written is
/// removed.
fn list(directory: &Path) -> Result<Vec<u64>, CheckpointError> {
    let entries = fs::read_dir(directory).map_err(|source| failed(directory, source))?;
    let mut steps = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| failed(directory, source))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with(&format!(".{PREFIX}")) && name.ends_with(".tmp") {
            fs::remove_file(entry.path()).map_err(|source| failed(&entry.path(), source))?;
        }
        let number = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
        steps.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    steps.sort_unstable();
    Ok(steps)
}
