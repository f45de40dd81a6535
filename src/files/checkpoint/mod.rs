//! Checkpoints in files, so that a run that was ended goes on where it was.
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

use crate::Scalar;
use crate::backend::Backend;
use crate::error::{CheckpointError, Error, FileError};
use crate::learn::checkpoint::CheckpointStore;
use crate::learn::checkpoint::saved_run::SavedRun;
use crate::learn::{Checkpoints, FeatureRun, LinearRun, Run};
use crate::parameters::Parameters;

const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".safetensors";
const LOCK: &str = "lock";

impl<B: Backend, C, U> Run<'_, B, C, U> {
    /// Saves the state of the run as `checkpoints` says, and takes it up again.
    ///
    /// # Format
    /// A safetensors file. `dictionary` (m, d) and, where there is one, `best.dictionary`; `mean`
    /// (d); `updater.*`, what the updater keeps; `course`, `tally`, `tally.*`, `watched`,
    /// `watched.*`, `epochs`, `evaluations`: the numbers of the run so far, in F64, sums over rows
    /// within the norm limit among them. `__metadata__` holds `format` (`dbksvd-checkpoint`),
    /// `version`, `seal` (a hash of all else that the file holds, by which numbers that changed on
    /// the disk are noticed), and for every parameter of the run and property of the data a text
    /// `run.NAME`: a run resumes only if all are what they were. Not among them are the stop rules
    /// `time_budget`, `target_fvu` and `plateau`, which may change.
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some((checkpoints, open));
        self
    }
}

impl<T: Scalar> LinearRun<'_, T> {
    /// Saves the state of the run as `checkpoints` says, and takes it up again: in the format that
    /// [`Run::checkpoints`] describes. The directory must be another
    /// than that of the run that gave the model, and a run goes on only from the same model.
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some((checkpoints, open));
        self
    }
}

impl<T: Scalar, C, U> FeatureRun<'_, T, C, U> {
    /// Saves the state of the run as `checkpoints` says, and takes it up again, in the format that
    /// [`Run::checkpoints`] describes: the first stage in the directory, the second in its folder
    /// `linear`.
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some((checkpoints, open));
        self
    }
}

/// Takes hold of a directory, which is made if it is not there.
fn open<T: Scalar>(directory: &Path) -> Result<Box<dyn CheckpointStore<T>>, Error> {
    fs::create_dir_all(directory).map_err(|source| failed(directory, source))?;
    let lock = lock(directory)?;
    let steps = list(directory)?;
    Ok(Box::new(Directory { path: directory.to_owned(), steps, _lock: lock }))
}

/// The directory of a run that is alive.
struct Directory {
    path: PathBuf,
    /// Steps of the checkpoints that are there, rising.
    steps: Vec<u64>,
    /// Held as long as the run lives; the system lets go of it when the process dies.
    _lock: File,
}

impl Directory {
    fn file(&self, step: u64) -> PathBuf {
        self.path.join(format!("{PREFIX}{step:012}{SUFFIX}"))
    }
}

impl<T: Scalar> CheckpointStore<T> for Directory {
    fn steps(&self) -> &[u64] {
        &self.steps
    }

    fn save(&mut self, identity: &Parameters, run: &SavedRun<'_, T>) -> Result<PathBuf, Error> {
        let path = self.file(run.training.steps);
        contents::write(&path, identity, run)?;
        self.steps.push(run.training.steps);
        Ok(path)
    }

    fn load(
        &self,
        step: u64,
        identity: &Parameters,
        dim: usize,
        sizes: &[usize],
    ) -> Result<SavedRun<'static, T>, Error> {
        contents::read(&self.file(step), identity, dim, sizes)
    }

    fn remove(&mut self, step: u64) -> Result<(), Error> {
        let path = self.file(step);
        // A file that cannot be removed is not tried again at every step.
        self.steps.retain(|&other| other != step);
        Ok(fs::remove_file(&path).map_err(|source| failed(&path, source))?)
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
