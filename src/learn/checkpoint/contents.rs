//! The state of a run as tensors, and back.

use std::collections::HashMap;
use std::path::Path;

use faer::MatRef;

use super::identity::Identity;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::dictionary::Dictionary;
use crate::error::{Error, FileError};
use crate::learn::builder::Builder;
use crate::learn::course::{Course, Position, Tally};
use crate::learn::report::{EpochReport, Evaluation};
use crate::learn::session::Trainer;
use crate::preprocessing::Preprocessing;
use crate::source::safetensors_header::Header;
use crate::tensors::{Numbers, TensorFile, has_seal, read_f64s, read_scalars, read_u64s};
use crate::updater::{DictionaryUpdater, Kept, KeptArray};
use crate::{Scalar, updater};

const FORMAT: &str = "dbksvd-checkpoint";
const VERSION: &str = "1";
const UPDATER: &str = "updater.";

/// Writes the state, whole or not at all.
pub(super) fn write<B, C, U>(
    path: &Path,
    identity: &Identity,
    config: &Builder<B, C, U>,
    trainer: &Trainer<B, C, U>,
    course: &Course<B::Scalar>,
) -> Result<(), Error>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let dictionary = config.backend.download(trainer.dictionary())?;
    let kept = config.updater.keep(&config.backend, trainer.updater())?;
    let preprocessing = trainer.preprocessing();
    let numbers = course_numbers(trainer, course);
    let tallies = [tally_numbers(&course.tally), tally_numbers(&course.watched)];
    let epochs: Vec<f64> = course.epochs.iter().flat_map(epoch_numbers).collect();
    let evaluations: Vec<f64> = course.evaluations.iter().flat_map(evaluation_numbers).collect();

    let mut file = TensorFile::<B::Scalar>::new();
    file.text("format", FORMAT);
    file.text("version", VERSION);
    for (name, text) in identity.iter() {
        file.text(&format!("run.{name}"), text);
    }
    file.tensor("dictionary", Numbers::Columns(dictionary.as_ref()));
    if let Some((best, ..)) = &course.best {
        file.tensor("best.dictionary", Numbers::Columns(best.as_mat()));
    }
    if let Some(mean) = preprocessing.mean() {
        file.tensor("mean", Numbers::Scalars(mean));
    }
    file.tensor("course", Numbers::F64(&numbers));
    file.tensor("tally", Numbers::F64(&tallies[0]));
    file.tensor("tally.mean", Numbers::F64(&course.tally.moments.mean));
    file.tensor("watched", Numbers::F64(&tallies[1]));
    file.tensor("watched.mean", Numbers::F64(&course.watched.moments.mean));
    file.tensor("epochs", Numbers::F64(&epochs));
    file.tensor("evaluations", Numbers::F64(&evaluations));
    for (name, array) in kept.iter() {
        let numbers = match array {
            KeptArray::F64(numbers) => Numbers::F64(numbers),
            KeptArray::U64(numbers) => Numbers::U64(numbers),
            KeptArray::Scalars(numbers) => Numbers::Scalars(numbers),
        };
        // Which of the three an array is cannot be told from an F64 tensor where scalars are f64.
        let tag = match array {
            KeptArray::Scalars(_) => "scalars.",
            _ => "",
        };
        file.tensor(format!("{UPDATER}{tag}{name}"), numbers);
    }
    file.seal().map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    Ok(file.write(path)?)
}

/// Reads a state into `course`, and makes its trainer.
pub(super) fn read<B, C, U>(
    path: &Path,
    identity: &Identity,
    config: &Builder<B, C, U>,
    course: &mut Course<B::Scalar>,
) -> Result<Trainer<B, C, U>, Error>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let header = Header::open(path)?;
    let texts: HashMap<_, _> = header.texts().collect();
    let invalid = |reason: String| -> Error {
        FileError::Format { path: path.to_owned(), format: FORMAT, reason }.into()
    };
    for (key, expected) in [("format", FORMAT), ("version", VERSION)] {
        if texts.get(key) != Some(&expected) {
            let found = texts.get(key);
            return Err(invalid(format!("`{key}` is {found:?}, expected {expected:?}")));
        }
    }
    identity
        .check(path, |name| texts.get(format!("run.{name}").as_str()).map(ToString::to_string))?;
    // A state that no run was in, of bits that changed on the disk, would be gone on from in silence.
    if !has_seal(&header)? {
        let advice =
            "the content has changed since it was written; go on from an earlier checkpoint";
        return Err(invalid(advice.to_owned()));
    }

    let dim = course.tally.moments.mean.len();
    let names = header.names();
    let has = |name: &str| names.iter().any(|other| other == name);
    let f64s = |name: &str, len: usize| -> Result<Vec<f64>, Error> {
        let numbers = read_f64s(&header, name)?;
        if numbers.len() == len {
            return Ok(numbers);
        }
        Err(invalid(format!("`{name}` holds {} numbers, expected {len}", numbers.len())))
    };
    let dictionary = |name: &str| -> Result<Dictionary<B::Scalar>, Error> {
        let numbers = read_scalars::<B::Scalar>(&header, name)?;
        // Of a dictionary that grows, any stage.
        let sizes = config.settings.sizes();
        let Some(&atoms) = sizes.iter().find(|&&atoms| numbers.len() == dim * atoms) else {
            let expected = dim * config.settings.atoms;
            return Err(invalid(format!(
                "`{name}` holds {} numbers, not {expected}",
                numbers.len()
            )));
        };
        let matrix = MatRef::from_column_major_slice(&numbers, dim, atoms).to_owned();
        Dictionary::new(matrix).map_err(|error| invalid(error.to_string()))
    };

    let numbers = f64s("course", COURSE)?;
    let numbers: [f64; COURSE] =
        *numbers.first_chunk().ok_or_else(|| invalid("`course` is too short".to_owned()))?;
    let [epoch, step, steps, elapsed, encode, update, scale, limit, rest @ ..] = numbers;
    let [best_step, best_fvu, progress, noise] = rest;
    let broken = |error: Error| invalid(error.to_string());
    let mean = if has("mean") { Some(read_scalars(&header, "mean")?) } else { None };
    let preprocessing = Preprocessing::none().with_mean(mean).map_err(broken)?;
    let preprocessing = preprocessing.with_scale(scale).map_err(broken)?;
    let limit = Some(limit).filter(|limit| !limit.is_nan());
    let preprocessing = preprocessing.with_norm_limit(limit).map_err(broken)?;
    preprocessing.check(dim).map_err(broken)?;

    let mut trainer = Trainer::of(config, &dictionary("dictionary")?, preprocessing)?;
    trainer.steps = steps as u64;
    (trainer.progress, trainer.noise) = (progress, noise);
    (trainer.seconds.encode, trainer.seconds.update) = (encode, update);
    let kept = kept(&header, &names)?;
    config.updater.restore(&config.backend, trainer.updater_mut(), &kept)?;

    course.position = Position { epoch: epoch as usize, step: step as usize };
    course.resumed_from = Some(steps as u64);
    course.earlier = elapsed;
    course.tally = tally(&f64s("tally", TALLY)?, f64s("tally.mean", dim)?);
    course.watched = tally(&f64s("watched", TALLY)?, f64s("watched.mean", dim)?);
    course.epochs = rows(&read_f64s(&header, "epochs")?, epoch_report);
    course.evaluations = rows(&read_f64s(&header, "evaluations")?, evaluation);
    if has("best.dictionary") {
        course.best = Some((dictionary("best.dictionary")?, best_step as u64, best_fvu));
    }
    Ok(trainer)
}

fn kept<T: Scalar>(header: &Header, names: &[String]) -> Result<Kept<T>, FileError> {
    let mut kept = updater::Kept::new();
    for full in names {
        let Some(name) = full.strip_prefix(UPDATER) else { continue };
        if let Some(name) = name.strip_prefix("scalars.") {
            kept.insert(name, KeptArray::Scalars(read_scalars(header, full)?));
        } else if header.info(full)?.dtype == safetensors::Dtype::U64 {
            kept.insert(name, KeptArray::U64(read_u64s(header, full)?));
        } else {
            kept.insert(name, KeptArray::F64(read_f64s(header, full)?));
        }
    }
    Ok(kept)
}

/// Numbers in `course`. Counts are exact in f64 up to 2⁵³.
const COURSE: usize = 12;

fn course_numbers<B, C, U>(trainer: &Trainer<B, C, U>, course: &Course<B::Scalar>) -> [f64; COURSE]
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let preprocessing = trainer.preprocessing();
    let best = course.best.as_ref();
    [
        course.position.epoch as f64,
        course.position.step as f64,
        trainer.steps as f64,
        course.elapsed(),
        trainer.seconds.encode,
        trainer.seconds.update,
        preprocessing.scale(),
        preprocessing.norm_limit().unwrap_or(f64::NAN),
        best.map_or(0.0, |&(_, step, _)| step as f64),
        best.map_or(f64::NAN, |&(_, _, fvu)| fvu),
        trainer.progress,
        trainer.noise,
    ]
}

/// Numbers in `tally` and `watched`.
const TALLY: usize = 10;

fn tally_numbers(tally: &Tally) -> [f64; TALLY] {
    let Tally { moments, nonzeros, replaced, merged, undone, clipped, dropped } = tally;
    let counts = [*nonzeros, *replaced, *merged, *undone, *clipped, *dropped].map(|n| n as f64);
    let mut numbers = [0.0; TALLY];
    numbers[..4].copy_from_slice(&[
        moments.samples as f64,
        moments.scatter,
        moments.energy,
        moments.error,
    ]);
    numbers[4..].copy_from_slice(&counts);
    numbers
}

fn tally(numbers: &[f64], mean: Vec<f64>) -> Tally {
    let mut tally = Tally::new(mean.len());
    tally.moments.mean = mean;
    tally.moments.samples = numbers[0] as usize;
    (tally.moments.scatter, tally.moments.energy) = (numbers[1], numbers[2]);
    tally.moments.error = numbers[3];
    let count = |i: usize| numbers[i] as usize;
    (tally.nonzeros, tally.replaced, tally.merged) = (count(4), count(5), count(6));
    (tally.undone, tally.clipped, tally.dropped) = (count(7), count(8), count(9));
    tally
}

fn rows<const N: usize, R>(numbers: &[f64], report: impl Fn(&[f64; N]) -> R) -> Vec<R> {
    numbers.as_chunks().0.iter().map(report).collect()
}

fn epoch_numbers(report: &EpochReport) -> [f64; 11] {
    let EpochReport { epoch, samples, fvu, relative_error, l0, elapsed, .. } = *report;
    let EpochReport { replaced, merged, undone, clipped, dropped, .. } = *report;
    let [replaced, merged, undone] = [replaced, merged, undone].map(|n| n as f64);
    let [epoch, samples, clipped, dropped] = [epoch, samples, clipped, dropped].map(|n| n as f64);
    [epoch, samples, fvu, relative_error, l0, replaced, merged, undone, clipped, dropped, elapsed]
}

fn epoch_report(numbers: &[f64; 11]) -> EpochReport {
    let [epoch, samples, fvu, relative_error, l0, rest @ ..] = *numbers;
    let [replaced, merged, undone, clipped, dropped, elapsed] = rest;
    EpochReport {
        epoch: epoch as usize,
        samples: samples as usize,
        fvu,
        relative_error,
        l0,
        replaced: replaced as usize,
        merged: merged as usize,
        undone: undone as usize,
        clipped: clipped as usize,
        dropped: dropped as usize,
        elapsed,
    }
}

fn evaluation_numbers(evaluation: &Evaluation) -> [f64; 7] {
    let Evaluation { step, epoch, held_out, samples, fvu, l0, elapsed } = *evaluation;
    let held_out = f64::from(u8::from(held_out));
    [step as f64, epoch as f64, held_out, samples as f64, fvu, l0, elapsed]
}

fn evaluation(numbers: &[f64; 7]) -> Evaluation {
    let [step, epoch, held_out, samples, fvu, l0, elapsed] = *numbers;
    Evaluation {
        step: step as u64,
        epoch: epoch as usize,
        held_out: held_out != 0.0,
        samples: samples as usize,
        fvu,
        l0,
        elapsed,
    }
}
