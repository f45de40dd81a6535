//! The state of a run as rows of numbers: how files hold it, and how owners tell each other.

use crate::Scalar;
use crate::learn::checkpoint::saved_run::SavedRun;
use crate::learn::run_state::Tally;
use crate::learn::{EpochReport, Evaluation, Massive};
use crate::samples::OutlierCounts;
use crate::samples::moments::{Figures, Moments};
use crate::samples::spectrum::Spectrum;

/// Numbers in `course`.
pub(crate) const COURSE: usize = 13;

pub(crate) fn run_numbers<T: Scalar>(run: &SavedRun<'_, T>) -> [f64; COURSE] {
    let SavedRun { training, record, .. } = run;
    let preprocessing = &training.preprocessing;
    let best = record.best.as_ref();
    [
        record.position.epoch as f64,
        record.position.step as f64,
        training.steps as f64,
        run.elapsed,
        run.encode,
        run.update,
        preprocessing.scale(),
        preprocessing.norm_limit().unwrap_or(f64::NAN),
        best.map_or(0.0, |best| best.step as f64),
        best.map_or(f64::NAN, |best| best.fvu),
        best.map_or(f64::NAN, |best| best.fvu_within),
        training.progress,
        training.noise,
    ]
}

/// Numbers in `tally` and `watched`.
pub(crate) const TALLY: usize = 16;

pub(crate) fn tally_numbers(tally: &Tally) -> [f64; TALLY] {
    let Tally { figures, spectrum: _, nonzeros, replaced, merged, undone, outliers } = tally;
    let OutlierCounts { read, zeros, clipped, dropped } = outliers;
    let counts = [nonzeros, replaced, merged, undone, read, zeros, clipped, dropped];
    let mut numbers = [0.0; TALLY];
    numbers[..4].copy_from_slice(&moments_numbers(&figures.all));
    numbers[4..8].copy_from_slice(&moments_numbers(&figures.within));
    numbers[8..].copy_from_slice(&counts.map(|&count| count as f64));
    numbers
}

fn moments_numbers(moments: &Moments) -> [f64; 4] {
    [moments.samples as f64, moments.scatter, moments.energy, moments.error]
}

pub(crate) fn tally(numbers: &[f64], means: [Vec<f64>; 2], spectrum: &[f64]) -> Tally {
    let moments = |first: usize, mean| Moments {
        samples: numbers[first] as usize,
        mean,
        scatter: numbers[first + 1],
        energy: numbers[first + 2],
        error: numbers[first + 3],
    };
    let [mean, mean_within] = means;
    let count = |i: usize| numbers[i] as usize;
    Tally {
        figures: Figures { all: moments(0, mean), within: moments(4, mean_within) },
        spectrum: Spectrum::from_numbers(spectrum),
        nonzeros: count(8),
        replaced: count(9),
        merged: count(10),
        undone: count(11),
        outliers: OutlierCounts {
            read: count(12),
            zeros: count(13),
            clipped: count(14),
            dropped: count(15),
        },
    }
}

/// Counts at the beginning of an epoch's numbers.
pub(crate) const EPOCH_COUNTS: usize = 10;

pub(crate) fn epoch_numbers(report: &EpochReport) -> [f64; 16] {
    let EpochReport { fvu, fvu_within, relative_error, l0, elapsed, massive, .. } = *report;
    let EpochReport { epoch, samples, within, replaced, merged, undone, .. } = *report;
    let EpochReport { clipped, dropped, zeros, .. } = *report;
    let few = massive.map_or(0, |massive| massive.samples);
    let share = massive.map_or(0.0, |massive| massive.share);
    let counts = [epoch, samples, within, replaced, merged, undone, clipped, dropped, zeros, few];
    let mut numbers = [0.0; 16];
    numbers[..10].copy_from_slice(&counts.map(|count| count as f64));
    numbers[10..].copy_from_slice(&[fvu, fvu_within, relative_error, l0, share, elapsed]);
    numbers
}

pub(crate) fn epoch_report(numbers: &[f64; 16]) -> EpochReport {
    let [.., fvu, fvu_within, relative_error, l0, share, elapsed] = *numbers;
    let count = |i: usize| numbers[i] as usize;
    EpochReport {
        epoch: count(0),
        samples: count(1),
        within: count(2),
        replaced: count(3),
        merged: count(4),
        undone: count(5),
        clipped: count(6),
        dropped: count(7),
        zeros: count(8),
        massive: (count(9) > 0).then(|| Massive::new(count(9), share)),
        fvu,
        fvu_within,
        relative_error,
        l0,
        elapsed,
    }
}

pub(crate) fn evaluation_numbers(evaluation: &Evaluation) -> [f64; 9] {
    let Evaluation { step, epoch, held_out, samples, fvu, within, fvu_within, l0, elapsed } =
        *evaluation;
    let held_out = f64::from(u8::from(held_out));
    let (step, epoch) = (step as f64, epoch as f64);
    let (samples, within) = (samples as f64, within as f64);
    [step, epoch, held_out, samples, fvu, within, fvu_within, l0, elapsed]
}

pub(crate) fn evaluation(numbers: &[f64; 9]) -> Evaluation {
    let [step, epoch, held_out, samples, fvu, within, fvu_within, l0, elapsed] = *numbers;
    Evaluation {
        step: step as u64,
        epoch: epoch as usize,
        held_out: held_out != 0.0,
        samples: samples as usize,
        fvu,
        within: within as usize,
        fvu_within,
        l0,
        elapsed,
    }
}
