//! Mean, scale and norm limit of a source, from a bounded number of its samples.
//!
//! ```text
//! μ ← 0, or what is given
//! if centred, twice if samples are clipped or dropped, else once:
//!     if samples are clipped or dropped: ν ← factor · median ‖y − μ‖
//!     μ ← mean of the y with ‖y − μ‖ ≤ ν
//! if samples are clipped or dropped: limit ← factor · median ‖y − μ‖
//! scale ← mean of ‖y − μ‖ (≤ limit, or the limit)
//! ```
//! Outliers are no part of the mean, which a few of a hundred times the usual norm would make
//! theirs. The second time finds those that stand out from the other samples, but not from 0.
//!
//! Where samples are clipped or dropped, those that are zero throughout are passed over: with half
//! of the rows padded, the median would be 0, or anything.

use std::ops::Range;

use super::preprocessing::{Outliers, Preprocessing, StatisticsChoice, is_zero};
use crate::Scalar;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::random::RandomStream;
use crate::samples::{check_finite, out_of_range};
use crate::scalar::compiled;
use crate::source::SampleSource;
use crate::source::permutation::Permutation;

/// Samples read at a time.
const BATCH: usize = 1024;

compiled! {
    /// Finds what `wanted` asks for and `given` does not have, by at most five passes over at most
    /// `wanted.samples` samples of `source`: all of them if there are no more, else runs of
    /// consecutive ones spread by the seed.
    ///
    /// # Errors
    /// [`Error::NothingLearned`] if samples are to be clipped or dropped and all are zero,
    /// [`Error::NormLimit`] if more than half of those that are not zero lie beyond the limit.
    pub(crate) fn estimate<T>(
        source: &dyn SampleSource<T>,
        wanted: &StatisticsChoice,
        given: Preprocessing<T>,
        seed: u64,
    ) -> Result<Preprocessing<T>, Error> {
        let StatisticsChoice { outliers, samples, .. } = *wanted;
        let center = wanted.center && given.mean().is_none();
        let scale = wanted.scale && given.scale() == 1.0;
        if !center && !scale && !outliers.are_limited() {
            return Ok(given);
        }
        let sample = Sample::new(source, samples, seed, outliers.are_limited());
        // Norms are those before scaling.
        let mut preprocessing = Preprocessing::none().with_mean(given.mean().map(<[T]>::to_vec))?;
        let rounds = match (center, outliers) {
            (false, _) => 0,
            (true, Outliers::Keep) => 1,
            (true, _) => 2,
        };
        for _ in 0..rounds {
            let mut bound = f64::INFINITY;
            if let Some(factor) = outliers.factor() {
                bound = factor * median(&mut sample.norms(&preprocessing)?);
            }
            // Where more than half of the samples equal the mean, nothing says what an outlier is.
            if bound == 0.0 {
                bound = f64::INFINITY;
            }
            let mean = sample.mean(&preprocessing, bound)?;
            // A mean overflows only where sums of the samples do.
            let too_large = |_| out_of_range::<T>(f64::INFINITY, None);
            preprocessing = preprocessing.with_mean(Some(mean)).map_err(too_large)?;
        }
        if scale || outliers.are_limited() {
            let mut norms = sample.norms(&preprocessing)?;
            let limit = match (given.norm_limit(), outliers.factor()) {
                (Some(limit), _) => Some(limit),
                (None, Some(factor)) => {
                    let bound = (factor * median(&mut norms)).min(f64::MAX);
                    Some(bound).filter(|&bound| bound > 0.0)
                }
                (None, None) => None,
            };
            preprocessing = preprocessing.with_norm_limit(limit)?;
            if outliers.are_limited() {
                sample.check(&norms, &preprocessing, outliers, given.norm_limit().is_some())?;
            }
            if scale && let Some(scale) = mean_norm(norms, limit, outliers) {
                let no_scale = |_| out_of_range::<T>(scale, None);
                preprocessing = preprocessing.with_scale(scale).map_err(no_scale)?;
            }
        }
        let limit = preprocessing.norm_limit().or(given.norm_limit());
        let scale = if scale { preprocessing.scale() } else { given.scale() };
        preprocessing.with_scale(scale)?.with_norm_limit(limit)
    }
}

/// The mean of norms as they are learned from; `None` where all are 0.
fn mean_norm(mut norms: Vec<f64>, limit: Option<f64>, outliers: Outliers) -> Option<f64> {
    let bound = limit.filter(|_| outliers.are_limited()).unwrap_or(f64::INFINITY);
    if let Outliers::Drop(_) = outliers {
        norms.retain(|&norm| norm <= bound);
    }
    let sum: f64 = norms.iter().map(|norm| norm.min(bound)).sum();
    (sum > 0.0).then(|| sum / norms.len() as f64)
}

/// The samples that statistics are taken from.
struct Sample<'a, T> {
    source: &'a dyn SampleSource<T>,
    ranges: Vec<Range<usize>>,
    /// Whether those that are zero throughout are passed over.
    skips_zeros: bool,
}

impl<'a, T: Scalar> Sample<'a, T> {
    fn new(source: &'a dyn SampleSource<T>, most: usize, seed: u64, skips_zeros: bool) -> Self {
        let samples = source.len();
        if samples <= most {
            let starts = (0..samples).step_by(BATCH);
            let ranges = starts.map(|start| start..(start + BATCH).min(samples)).collect();
            return Self { source, ranges, skips_zeros };
        }
        let run = source.run_length().clamp(1, BATCH);
        let runs = Permutation::new(samples.div_ceil(run), seed, RandomStream::Statistics);
        let mut starts: Vec<usize> = (0..most.div_ceil(run)).map(|i| runs.at(i) * run).collect();
        starts.sort_unstable();
        let ranges = starts.into_iter().map(|start| start..(start + run).min(samples)).collect();
        Self { source, ranges, skips_zeros }
    }

    fn each(&self, mut visit: impl FnMut(&mut [T])) -> Result<(), Error> {
        let dim = self.source.dim();
        let longest = self.ranges.iter().map(Range::len).max().unwrap_or(0);
        let mut buffer = vec![T::zero(); longest * dim];
        for range in &self.ranges {
            let batch = &mut buffer[..range.len() * dim];
            self.source.read(range.clone(), batch)?;
            check_finite(batch, self.source, range.start)?;
            for sample in batch.chunks_exact_mut(dim) {
                if !(self.skips_zeros && is_zero(sample)) {
                    visit(sample);
                }
            }
        }
        Ok(())
    }

    /// ‖y‖ of every sample, preprocessed.
    fn norms(&self, preprocessing: &Preprocessing<T>) -> Result<Vec<f64>, Error> {
        let mut norms = Vec::new();
        self.each(|y| {
            preprocessing.apply(y);
            norms.push(loops::energy(y).sqrt());
        })?;
        Ok(norms)
    }

    /// The mean of the samples whose norm, preprocessed, is at most `bound`.
    fn mean(&self, preprocessing: &Preprocessing<T>, bound: f64) -> Result<Vec<T>, Error> {
        let mut mean = Mean::new(self.source.dim());
        let mut centred = Vec::new();
        self.each(|y| {
            // Without a bound, norms need not be taken.
            if bound.is_finite() {
                centred.clear();
                centred.extend_from_slice(y);
                preprocessing.apply(&mut centred);
                if loops::energy(&centred).sqrt() > bound {
                    return;
                }
            }
            mean.add(y);
        })?;
        Ok(mean.finish())
    }

    /// Refuses to learn from samples that are all zero, or mostly beyond the limit.
    fn check(
        &self,
        norms: &[f64],
        preprocessing: &Preprocessing<T>,
        outliers: Outliers,
        is_given: bool,
    ) -> Result<(), Error> {
        if norms.is_empty() {
            let samples = self.ranges.iter().map(Range::len).sum();
            return Err(Error::NothingLearned { samples, zeros: samples, dropped: 0 });
        }
        let Some(limit) = preprocessing.norm_limit() else { return Ok(()) };
        let beyond = norms.iter().filter(|&&norm| norm > limit).count();
        if 2 * beyond > norms.len() {
            let (verb, samples) = (outliers.verb(), norms.len());
            return Err(Error::NormLimit { limit, verb, beyond, samples, is_given });
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
