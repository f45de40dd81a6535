//! The state of a run as tensors, and back.

use std::collections::HashMap;
use std::path::Path;

use faer::{Mat, MatRef};

use super::identity;
use crate::Scalar;
use crate::error::{Error, FileError};
use crate::files::tensors::{Numbers, TensorFile, has_seal, read_f64s, read_scalars, read_u64s};
use crate::learn::checkpoint::numbers::{
    epoch_numbers, evaluation_numbers, run_numbers, tally_numbers,
};
use crate::learn::checkpoint::parts::{Parts, TallyParts};
use crate::learn::checkpoint::saved_run::SavedRun;
use crate::parameters::Parameters;
use crate::source::safetensors_header::Header;
use crate::updater::{SavedArray, SavedState};

const FORMAT: &str = "dbksvd-checkpoint";
const VERSION: &str = "3";
const UPDATER: &str = "updater.";

/// Writes the state, whole or not at all.
pub(super) fn write<T: Scalar>(
    path: &Path,
    identity: &Parameters,
    run: &SavedRun<'_, T>,
) -> Result<(), Error> {
    let (training, record) = (&run.training, &run.record);
    let numbers = run_numbers(run);
    let tallies = [tally_numbers(&record.tally), tally_numbers(&record.watched)];
    let spectra = [&record.tally, &record.watched].map(|tally| tally.spectrum.to_numbers());
    let epochs: Vec<f64> = record.epochs.iter().flat_map(epoch_numbers).collect();
    let evaluations: Vec<f64> = record.evaluations.iter().flat_map(evaluation_numbers).collect();

    let mut file = TensorFile::<T>::new();
    file.text("format", FORMAT);
    file.text("version", VERSION);
    for (key, text) in identity::texts(identity) {
        file.text(&key, text);
    }
    file.tensor("dictionary", Numbers::Columns(training.dictionary.as_ref()));
    if let Some(best) = &record.best {
        file.tensor("best.dictionary", Numbers::Columns(best.dictionary.as_mat()));
    }
    if let Some(mean) = training.preprocessing.mean() {
        file.tensor("mean", Numbers::Scalars(mean));
    }
    file.tensor("course", Numbers::F64(&numbers));
    file.tensor("tally", Numbers::F64(&tallies[0]));
    file.tensor("tally.mean", Numbers::F64(&record.tally.figures.all.mean));
    file.tensor("tally.within.mean", Numbers::F64(&record.tally.figures.within.mean));
    file.tensor("tally.spectrum", Numbers::F64(&spectra[0]));
    file.tensor("watched", Numbers::F64(&tallies[1]));
    file.tensor("watched.mean", Numbers::F64(&record.watched.figures.all.mean));
    file.tensor("watched.within.mean", Numbers::F64(&record.watched.figures.within.mean));
    file.tensor("watched.spectrum", Numbers::F64(&spectra[1]));
    file.tensor("epochs", Numbers::F64(&epochs));
    file.tensor("evaluations", Numbers::F64(&evaluations));
    for (name, array) in training.updater.iter() {
        let numbers = match array {
            SavedArray::F64(numbers) => Numbers::F64(numbers),
            SavedArray::U64(numbers) => Numbers::U64(numbers),
            SavedArray::Scalars(numbers) => Numbers::Scalars(numbers),
        };
        // Which of the three an array is cannot be told from an F64 tensor where scalars are f64.
        let tag = match array {
            SavedArray::Scalars(_) => "scalars.",
            _ => "",
        };
        file.tensor(format!("{UPDATER}{tag}{name}"), numbers);
    }
    file.seal().map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    Ok(file.write(path)?)
}

/// A checkpoint of this version and identity, whose content is what was written.
fn open(path: &Path, identity: &Parameters) -> Result<Header, Error> {
    let header = Header::open(path)?;
    let texts: HashMap<_, _> = header.texts().collect();
    let advice = "a run goes on from checkpoints of its own version alone; start a new run from \
                  the dictionary that was saved beside it (`Builder::initialisation` with \
                  `Initialisation::Given`, or `learn --dictionary`)";
    for (key, expected, advice) in
        [("format", FORMAT, "this is no checkpoint"), ("version", VERSION, advice)]
    {
        if texts.get(key) != Some(&expected) {
            let found = texts.get(key).unwrap_or(&"not stated");
            let reason = format!("`{key}` is {found}, expected {expected}: {advice}");
            return Err(invalid(path, reason));
        }
    }
    identity::check(identity, path, &texts)?;
    // A state that no run was in, of bits that changed on the disk, would be gone on from in
    // silence.
    if !has_seal(&header)? {
        let advice =
            "the content has changed since it was written; go on from an earlier checkpoint";
        return Err(invalid(path, advice.to_owned()));
    }
    Ok(header)
}

fn invalid(path: &Path, reason: String) -> Error {
    FileError::Format { path: path.to_owned(), format: FORMAT, reason }.into()
}

/// Reads the state of a run of this identity, whose samples are of dimension `dim` and whose
/// dictionaries have one of `sizes` atoms.
pub(super) fn read<T: Scalar>(
    path: &Path,
    identity: &Parameters,
    dim: usize,
    sizes: &[usize],
) -> Result<SavedRun<'static, T>, Error> {
    let header = open(path, identity)?;
    let invalid = |reason| invalid(path, reason);
    let names = header.names();
    let has = |name: &str| names.iter().any(|other| other == name);
    let dictionary = |name: &str| -> Result<Mat<T>, Error> {
        let numbers = read_scalars::<T>(&header, name)?;
        // Of a dictionary that grows, any stage.
        let Some(&atoms) = sizes.iter().find(|&&atoms| numbers.len() == dim * atoms) else {
            let expected = dim * sizes.iter().max().unwrap_or(&0);
            return Err(invalid(format!(
                "`{name}` holds {} numbers, not {expected}",
                numbers.len()
            )));
        };
        Ok(MatRef::from_column_major_slice(&numbers, dim, atoms).to_owned())
    };
    let tally = |name: &str| -> Result<TallyParts, FileError> {
        let part = |part: &str| read_f64s(&header, &format!("{name}.{part}"));
        let means = [part("mean")?, part("within.mean")?];
        Ok(TallyParts { numbers: read_f64s(&header, name)?, means, spectrum: part("spectrum")? })
    };
    let parts = Parts {
        dictionary: dictionary("dictionary")?,
        best: has("best.dictionary").then(|| dictionary("best.dictionary")).transpose()?,
        mean: has("mean").then(|| read_scalars(&header, "mean")).transpose()?,
        course: read_f64s(&header, "course")?,
        tally: tally("tally")?,
        watched: tally("watched")?,
        epochs: read_f64s(&header, "epochs")?,
        evaluations: read_f64s(&header, "evaluations")?,
        updater: saved_state(&header, &names)?,
    };
    parts.checked().map_err(invalid)
}

fn saved_state<T: Scalar>(header: &Header, names: &[String]) -> Result<SavedState<T>, FileError> {
    let mut saved = SavedState::new();
    for full in names {
        let Some(name) = full.strip_prefix(UPDATER) else { continue };
        if let Some(name) = name.strip_prefix("scalars.") {
            saved.insert(name, SavedArray::Scalars(read_scalars(header, full)?));
        } else if header.info(full)?.dtype == safetensors::Dtype::U64 {
            saved.insert(name, SavedArray::U64(read_u64s(header, full)?));
        } else {
            saved.insert(name, SavedArray::F64(read_f64s(header, full)?));
        }
    }
    Ok(saved)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::learn::checkpoint::TrainingState;
    use crate::learn::checkpoint::numbers::{TALLY, epoch_report, tally};
    use crate::learn::run_state::{Position, RunRecord};
    use crate::samples::preprocessing::Preprocessing;
    use crate::samples::spectrum::Spectrum;

    fn run() -> SavedRun<'static, f32> {
        SavedRun {
            training: TrainingState {
                dictionary: Mat::identity(2, 2),
                preprocessing: Preprocessing::none(),
                updater: SavedState::new(),
                steps: 3,
                progress: 0.5,
                noise: 0.1,
            },
            elapsed: 1.0,
            encode: 0.2,
            update: 0.3,
            record: Cow::Owned(RunRecord {
                position: Position { epoch: 1, step: 3 },
                tally: tally(&[0.0; TALLY], [vec![0.0; 2], vec![0.0; 2]], &[]),
                watched: tally(&[0.0; TALLY], [vec![0.0; 2], vec![0.0; 2]], &[]),
                epochs: Vec::new(),
                evaluations: Vec::new(),
                best: None,
            }),
        }
    }

    /// The error of a run that is written and read after `change`, if there is one.
    fn error_after(change: fn(&mut SavedRun<'static, f32>, &mut RunRecord<f32>)) -> Option<String> {
        let mut changed = run();
        let mut record = run().record.into_owned();
        change(&mut changed, &mut record);
        let changed = SavedRun { record: Cow::Owned(record), ..changed };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.safetensors");
        let identity = Parameters::of("run");
        write(&path, &identity, &changed).unwrap();
        let read = read::<f32>(&path, &identity, 2, &[2]);
        read.err().map(|error| error.to_string())
    }

    #[test]
    fn counts_that_no_run_has_are_refused() {
        assert_eq!(error_after(|_, _| ()), None);
        assert_eq!(error_after(|run, _| run.training.steps = 1 << 52), None);
        type Change = fn(&mut SavedRun<'static, f32>, &mut RunRecord<f32>);
        let changes: [(&str, Change); 7] = [
            ("epochs", |_, record| {
                let mut numbers = [0.0; 16];
                numbers[1] = 1e300;
                record.epochs.push(epoch_report(&numbers));
            }),
            ("course", |run, _| run.training.steps = u64::MAX),
            ("course", |_, record| record.position.epoch = 0),
            ("tally", |_, record| record.tally.nonzeros = usize::MAX),
            ("tally", |_, record| record.tally.figures.all.samples = usize::MAX),
            ("watched", |_, record| record.watched.outliers.read = usize::MAX),
            ("tally.spectrum", |_, record| {
                record.tally.spectrum = Spectrum::from_numbers(&[7.0, f64::MAX, 1.0]);
            }),
        ];
        for (name, change) in changes {
            let error = error_after(change).unwrap_or_default();
            assert!(error.contains(&format!("`{name}` holds a count that no run has")), "{error}");
        }
    }
}
