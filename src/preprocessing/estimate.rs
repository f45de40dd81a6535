//! Mean, scale and norm limit of a source, from a bounded number of its samples.
//!
//! ```text
//! μ ← 0
//! if centred, twice if samples are clipped or dropped, else once:
//!     if samples are clipped or dropped: ν ← factor · median ‖y − μ‖
//!     μ ← mean of the y with ‖y − μ‖ ≤ ν
//! if samples are clipped or dropped: limit ← factor · median ‖y − μ‖
//! scale ← mean of ‖y − μ‖ (≤ limit, or the limit)
//! ```
//! Outliers are no part of the mean, which a few of a hundred times the usual norm would make theirs.
//! The second time finds those that stand out from the other samples, but not from 0.

use std::ops::Range;

use super::{Outliers, Preprocessing, Wanted};
use crate::Scalar;
use crate::error::Error;
use crate::kernel;
use crate::random::Purpose;
use crate::samples::check_finite;
use crate::source::SampleSource;
use crate::source::permutation::Permutation;

/// Samples read at a time.
const BATCH: usize = 1024;

/// Finds what `wanted` asks for, by at most five passes over at most `wanted.samples` samples of
/// `source`: all of them if there are no more, else runs of consecutive ones spread by the seed.
pub(crate) fn estimate<T: Scalar>(
    source: &dyn SampleSource<T>,
    wanted: &Wanted,
    seed: u64,
) -> Result<Preprocessing<T>, Error> {
    let none = Preprocessing::none();
    if wanted.is_nothing() {
        return Ok(none);
    }
    let sample = Sample::new(source, wanted.samples, seed);
    let Wanted { center, scale, outliers, .. } = *wanted;
    let needs_norms = scale || outliers != Outliers::Keep;

    let mut preprocessing = none;
    let mut norms = Vec::new();
    let rounds = match (center, outliers) {
        (false, _) => 0,
        (true, Outliers::Keep) => 1,
        (true, _) => 2,
    };
    for _ in 0..rounds {
        let mut bound = f64::INFINITY;
        if let Some(factor) = outliers.factor() {
            norms.clear();
            sample.each(|y| {
                preprocessing.apply(y);
                norms.push(kernel::energy(y).sqrt());
            })?;
            bound = factor * median(&mut norms);
        }
        // Where more than half of all samples equal the mean, nothing says what an outlier is.
        if bound == 0.0 {
            bound = f64::INFINITY;
        }
        let mut mean = Mean::new(source.dim());
        let mut centred = Vec::new();
        sample.each(|y| {
            // Without a bound, norms need not be taken.
            if bound.is_finite() {
                centred.clear();
                centred.extend_from_slice(y);
                preprocessing.apply(&mut centred);
                if kernel::energy(&centred).sqrt() > bound {
                    return;
                }
            }
            mean.add(y);
        })?;
        preprocessing = preprocessing.with_mean(Some(mean.finish()))?;
    }
    if !needs_norms {
        return Ok(preprocessing);
    }
    norms.clear();
    sample.each(|y| {
        preprocessing.apply(y);
        norms.push(kernel::energy(y).sqrt());
    })?;
    let mut bound = f64::INFINITY;
    if let Some(factor) = outliers.factor() {
        bound = factor * median(&mut norms);
        preprocessing = preprocessing.with_norm_limit((bound > 0.0).then_some(bound))?;
        bound = if bound > 0.0 { bound } else { f64::INFINITY };
    }
    if scale {
        if let Outliers::Drop(_) = outliers {
            norms.retain(|&norm| norm <= bound);
        }
        let sum: f64 = norms.iter().map(|norm| norm.min(bound)).sum();
        // Samples that all equal the mean have no scale.
        if sum > 0.0 {
            preprocessing = preprocessing.with_scale(sum / norms.len() as f64)?;
        }
    }
    Ok(preprocessing)
}

/// The samples that statistics are taken from.
struct Sample<'a, T> {
    source: &'a dyn SampleSource<T>,
    ranges: Vec<Range<usize>>,
}

impl<'a, T: Scalar> Sample<'a, T> {
    fn new(source: &'a dyn SampleSource<T>, most: usize, seed: u64) -> Self {
        let samples = source.len();
        if samples <= most {
            let starts = (0..samples).step_by(BATCH);
            let ranges = starts.map(|start| start..(start + BATCH).min(samples)).collect();
            return Self { source, ranges };
        }
        let run = source.run_length().clamp(1, BATCH);
        let runs = Permutation::new(samples.div_ceil(run), seed, Purpose::Statistics);
        let mut starts: Vec<usize> = (0..most.div_ceil(run)).map(|i| runs.at(i) * run).collect();
        starts.sort_unstable();
        let ranges = starts.into_iter().map(|start| start..(start + run).min(samples)).collect();
        Self { source, ranges }
    }

    fn each(&self, mut visit: impl FnMut(&mut [T])) -> Result<(), Error> {
        let dim = self.source.dim();
        let longest = self.ranges.iter().map(Range::len).max().unwrap_or(0);
        let mut buffer = vec![T::zero(); longest * dim];
        for range in &self.ranges {
            let batch = &mut buffer[..range.len() * dim];
            self.source.read(range.clone(), batch)?;
            check_finite(batch, self.source, range.start)?;
            batch.chunks_exact_mut(dim).for_each(&mut visit);
        }
        Ok(())
    }
}

/// The mean of samples, in f64.
struct Mean {
    sum: Vec<f64>,
    samples: usize,
}

impl Mean {
    fn new(dim: usize) -> Self {
        Self { sum: vec![0.0; dim], samples: 0 }
    }

    fn add<T: Scalar>(&mut self, sample: &[T]) {
        self.samples += 1;
        self.sum.iter_mut().zip(sample).for_each(|(sum, x)| *sum += x.widen());
    }

    fn finish<T: Scalar>(self) -> Vec<T> {
        let count = self.samples.max(1) as f64;
        self.sum.into_iter().map(|sum| T::narrow(sum / count)).collect()
    }
}

/// The upper median; 0 of nothing.
fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
