//! A saved run in parts, as they are read from a file or told by another owner, and what is checked
//! before they are taken for a run.

use std::borrow::Cow;

use faer::Mat;

use super::numbers::{COURSE, EPOCH_COUNTS, TALLY, epoch_report, evaluation, tally};
use super::saved_run::SavedRun;
use super::training_state::TrainingState;
use crate::Scalar;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::learn::run_state::{Leader, Position, RunRecord, Tally};
use crate::samples::preprocessing::Preprocessing;
use crate::updater::SavedState;

/// The parts of a run, by the names that they have in a file.
pub(crate) struct Parts<T: Scalar> {
    pub(crate) dictionary: Mat<T>,
    pub(crate) best: Option<Mat<T>>,
    pub(crate) mean: Option<Vec<T>>,
    pub(crate) course: Vec<f64>,
    pub(crate) tally: TallyParts,
    pub(crate) watched: TallyParts,
    pub(crate) epochs: Vec<f64>,
    pub(crate) evaluations: Vec<f64>,
    pub(crate) updater: SavedState<T>,
}

/// The parts of a tally.
pub(crate) struct TallyParts {
    pub(crate) numbers: Vec<f64>,
    /// Of all samples, and of those within the norm limit.
    pub(crate) means: [Vec<f64>; 2],
    pub(crate) spectrum: Vec<f64>,
}

impl<T: Scalar> Parts<T> {
    /// The run.
    ///
    /// # Errors
    /// A part that is not of its length, holds a count that no run has, or is no dictionary or
    /// preprocessing.
    pub(crate) fn checked(self) -> Result<SavedRun<'static, T>, String> {
        let dim = self.dictionary.nrows();
        let broken = |error: Error| error.to_string();
        let course: [f64; COURSE] = of_length("course", &self.course)?;
        let [epoch, step, steps, elapsed, encode, update, scale, limit, rest @ ..] = course;
        let [best_step, best_fvu, best_within, progress, noise] = rest;
        check_counts("course", epoch >= 1.0 && are_counts(&[epoch, step, steps, best_step]))?;
        let preprocessing = Preprocessing::none().with_mean(self.mean).map_err(broken)?;
        let preprocessing = preprocessing.with_scale(scale).map_err(broken)?;
        let limit = Some(limit).filter(|limit| !limit.is_nan());
        let preprocessing = preprocessing.with_norm_limit(limit).map_err(broken)?;
        preprocessing.check(dim).map_err(broken)?;
        let best = self.best.map(|best| {
            if best.nrows() != dim {
                let found = best.nrows();
                return Err(format!("`best.dictionary` is of dimension {found}, expected {dim}"));
            }
            let dictionary = Dictionary::new(best).map_err(broken)?;
            let (fvu, fvu_within) = (best_fvu, best_within);
            Ok(Leader { dictionary, step: best_step as u64, fvu, fvu_within })
        });
        let record = RunRecord {
            position: Position { epoch: epoch as usize, step: step as usize },
            tally: self.tally.checked("tally", dim)?,
            watched: self.watched.checked("watched", dim)?,
            epochs: rows("epochs", &self.epochs, epoch_report, |row| row[..EPOCH_COUNTS].to_vec())?,
            evaluations: rows("evaluations", &self.evaluations, evaluation, |row| {
                let [step, epoch, _, samples, _, within, ..] = *row;
                vec![step, epoch, samples, within]
            })?,
            best: best.transpose()?,
        };
        let training = TrainingState {
            dictionary: Dictionary::new(self.dictionary).map_err(broken)?.into_mat(),
            preprocessing,
            updater: self.updater,
            steps: steps as u64,
            progress,
            noise,
        };
        Ok(SavedRun { training, elapsed, encode, update, record: Cow::Owned(record) })
    }
}

impl TallyParts {
    fn checked(self, name: &str, dim: usize) -> Result<Tally, String> {
        let numbers: [f64; TALLY] = of_length(name, &self.numbers)?;
        for (mean, part) in self.means.iter().zip(["mean", "within.mean"]) {
            if mean.len() != dim {
                return Err(wrong_length(&format!("{name}.{part}"), mean.len(), dim));
            }
        }
        let samples = [numbers[0], numbers[4]];
        check_counts(name, are_counts(samples.iter().chain(&numbers[8..])))?;
        if !self.spectrum.len().is_multiple_of(3) {
            let found = self.spectrum.len();
            return Err(format!("`{name}.spectrum` holds {found} numbers, expected rows of 3"));
        }
        let of_spectrum = are_counts(self.spectrum.iter().skip(1).step_by(3));
        check_counts(&format!("{name}.spectrum"), of_spectrum)?;
        Ok(tally(&numbers, self.means, &self.spectrum))
    }
}

/// The rows of `numbers`, of which `counts` gives the counts of each.
fn rows<const N: usize, R>(
    name: &str,
    numbers: &[f64],
    report: impl Fn(&[f64; N]) -> R,
    counts: impl Fn(&[f64; N]) -> Vec<f64>,
) -> Result<Vec<R>, String> {
    let (rows, rest) = numbers.as_chunks();
    if !rest.is_empty() {
        return Err(format!("`{name}` holds {} numbers, expected rows of {N}", numbers.len()));
    }
    check_counts(name, rows.iter().all(|row| are_counts(&counts(row))))?;
    Ok(rows.iter().map(report).collect())
}

fn of_length<const N: usize>(name: &str, numbers: &[f64]) -> Result<[f64; N], String> {
    numbers.try_into().map_err(|_| wrong_length(name, numbers.len(), N))
}

fn wrong_length(name: &str, found: usize, expected: usize) -> String {
    format!("`{name}` holds {found} numbers, expected {expected}")
}

fn check_counts(name: &str, are_counts: bool) -> Result<(), String> {
    if are_counts { Ok(()) } else { Err(format!("`{name}` holds a count that no run has")) }
}

/// Whether these are counts that can be added to without overflow: each is a whole number of at
/// least 0, and their sum is at most 2⁵³, up to which counts are exact in f64.
fn are_counts<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> bool {
    const MOST: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    let mut left = MOST;
    numbers.into_iter().all(|number| {
        let fits = number.fract() == 0.0 && (0.0..=left).contains(number);
        left -= number;
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_counts_are_told() {
        for (numbers, expected) in [
            (&[][..], true),
            (&[0.0, 5.0], true),
            (&[1.5], false),
            (&[-1.0, 5.0], false),
            (&[f64::NAN], false),
            (&[f64::INFINITY], false),
            (&[9e15, 9e15], false),
        ] {
            assert_eq!(are_counts(numbers), expected, "{numbers:?}");
        }
    }
}
