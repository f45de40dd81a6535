//! Sums over samples and their errors, from which every share of variance follows.

use std::ops::Range;

use rayon::prelude::*;

use crate::Scalar;
use crate::backend::SampleShards;
use crate::cpu::vector::{loops, vectorized};
use crate::sample_shards::tree_sum;
use crate::scalar::compiled;

/// Samples summed by one task; fixed, so that results do not depend on the number of threads.
const BLOCK: usize = 256;

/// Sums over samples that can be merged, in f64.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) samples: usize,
    /// ȳ; zero without samples.
    pub(crate) mean: Vec<f64>,
    /// Σ‖y − ȳ‖².
    pub(crate) scatter: f64,
    /// Σ‖y‖².
    pub(crate) energy: f64,
    /// Σ‖y − ŷ‖².
    pub(crate) error: f64,
}

impl Moments {
    pub(crate) fn new(dim: usize) -> Self {
        Self { samples: 0, mean: vec![0.0; dim], scatter: 0.0, energy: 0.0, error: 0.0 }
    }

    /// Numbers that [`from_numbers`](Self::from_numbers) makes the same moments of. Counts are
    /// exact in f64.
    fn put_into(&self, numbers: &mut Vec<f64>) {
        numbers.extend([self.samples as f64, self.scatter, self.energy, self.error]);
        numbers.extend_from_slice(&self.mean);
    }

    fn from_numbers(numbers: &[f64]) -> Self {
        let [samples, scatter, energy, error, mean @ ..] = numbers else {
            return Self::new(0);
        };
        let (samples, mean) = (*samples as usize, mean.to_vec());
        Self { samples, mean, scatter: *scatter, energy: *energy, error: *error }
    }

    /// Chan, Golub & LeVeque: with δ the difference of the means,
    /// scatter ← scatter_a + scatter_b + ‖δ‖² n_a n_b / n and mean ← mean_a + δ n_b / n.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.samples == 0 {
            return;
        }
        let (ours, theirs) = (self.samples as f64, other.samples as f64);
        let weight = theirs / (ours + theirs);
        let mut distance = 0.0;
        for (mean, &other) in self.mean.iter_mut().zip(&other.mean) {
            let delta = other - *mean;
            distance += delta * delta;
            *mean += delta * weight;
        }
        self.scatter += other.scatter + distance * ours * weight;
        self.samples += other.samples;
        self.energy += other.energy;
        self.error += other.error;
    }

    /// Σ‖y − ŷ‖² / Σ‖y − ȳ‖²: a share of no variance is not a number, even without an error, since
    /// samples that are all equal say nothing of the atoms.
    pub(crate) fn fvu(&self) -> f64 {
        self.error / self.scatter
    }

    /// Σ‖y − ŷ‖² / Σ‖y‖²: NaN without samples, and 0 for zeros that are reproduced.
    pub(crate) fn relative_error(&self) -> f64 {
        if self.samples > 0 && self.error == 0.0 { 0.0 } else { self.error / self.energy }
    }
}

/// Moments of all samples, and of those within the norm limit: the same where there is no limit, or
/// nothing beyond it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) all: Moments,
    pub(crate) within: Moments,
}

impl Figures {
    pub(crate) fn new(dim: usize) -> Self {
        Self { all: Moments::new(dim), within: Moments::new(dim) }
    }

    /// The figures of contiguous samples, without errors, summed by shards. `is_outside` says of
    /// each whether it is not within the limit; it may be empty where all are.
    pub(crate) fn of<T: Scalar>(
        values: &[T],
        dim: usize,
        shards: &SampleShards,
        is_outside: &[bool],
    ) -> Self {
        figures(values, dim, shards, is_outside)
    }

    /// How many numbers figures of samples of this dimension are.
    pub(crate) fn numbers(dim: usize) -> usize {
        2 * (dim + 4)
    }

    /// Adds the figures to numbers that are sent.
    pub(crate) fn put_into(&self, numbers: &mut Vec<f64>) {
        self.all.put_into(numbers);
        self.within.put_into(numbers);
    }

    /// The figures that were put into these numbers.
    pub(crate) fn from_numbers(numbers: &[f64]) -> Self {
        let (all, within) = numbers.split_at(numbers.len() / 2);
        Self { all: Moments::from_numbers(all), within: Moments::from_numbers(within) }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        self.within.merge(&other.within);
    }

    /// The FVU of the samples within the limit; of all, if none is.
    pub(crate) fn fvu_within(&self) -> f64 {
        if self.within.samples == 0 { self.all.fvu() } else { self.within.fvu() }
    }
}

/// A sum of squares that rounding, in a difference of two, may have made negative; what is not a
/// number stays so.
pub(crate) fn non_negative(sum: f64) -> f64 {
    if sum < 0.0 { 0.0 } else { sum }
}

/// Gathers the figures of a few hundred samples.
pub(crate) struct PairOfSums<T> {
    /// Of the samples within the limit; of all, as long as all are.
    within: Sums<T>,
    /// Of all samples, once one is outside.
    all: Option<Sums<T>>,
}

impl<T: Scalar> PairOfSums<T> {
    pub(crate) fn new(dim: usize) -> Self {
        Self { within: Sums::new(dim), all: None }
    }

    pub(crate) fn add(&mut self, sample: &[T], is_outside: bool) {
        if is_outside && self.all.is_none() {
            self.all = Some(self.within.clone());
        }
        if let Some(all) = &mut self.all {
            all.add(sample);
        }
        if !is_outside {
            self.within.add(sample);
        }
    }

    /// With these sums of squared errors, of all samples and of those within.
    pub(crate) fn finish(self, error: f64, error_within: f64) -> Figures {
        let within = Moments { error: error_within, ..self.within.finish() };
        let all = match self.all {
            None => Moments { error, ..within.clone() },
            Some(all) => Moments { error, ..all.finish() },
        };
        Figures { all, within }
    }
}

/// Gathers the moments of a few hundred samples.
///
/// Squares are taken around the first sample s: Σ‖y − ȳ‖² = Σ‖y − s‖² − n‖ȳ − s‖² loses at most a
/// factor n to cancellation, whatever the mean is.
#[derive(Clone)]
struct Sums<T> {
    first: Vec<T>,
    differences: Vec<f64>,
    squares: Vec<f64>,
    samples: usize,
    energy: f64,
}

impl<T: Scalar> Sums<T> {
    fn new(dim: usize) -> Self {
        let zeros = vec![0.0; dim];
        Self {
            first: Vec::with_capacity(dim),
            differences: zeros.clone(),
            squares: zeros,
            samples: 0,
            energy: 0.0,
        }
    }

    fn add(&mut self, sample: &[T]) {
        if self.samples == 0 {
            self.first.extend_from_slice(sample);
        }
        self.samples += 1;
        self.energy += loops::energy(sample);
        add_differences(&mut self.differences, &mut self.squares, sample, &self.first);
    }

    fn finish(self) -> Moments {
        let Self { first, differences: mut mean, squares, samples, energy } = self;
        if samples == 0 {
            return Moments::new(mean.len());
        }
        let count = samples as f64;
        mean.iter_mut().for_each(|sum| *sum /= count);
        let scatter = squares.iter().sum::<f64>() - count * loops::energy(&mean);
        mean.iter_mut().zip(&first).for_each(|(mean, first)| *mean += first.widen());
        Moments { samples, mean, scatter: non_negative(scatter), energy, error: 0.0 }
    }
}

vectorized! {
    /// sums ← sums + (a − b) and squares ← squares + (a − b)², coordinate by coordinate.
    fn add_differences<'a, T>(
        sums: &'a mut [f64],
        squares: &'a mut [f64],
        a: &'a [T],
        b: &'a [T],
    ) {
        for (((sum, square), a), b) in sums.iter_mut().zip(squares).zip(a).zip(b) {
            let difference = a.widen() - b.widen();
            *sum += difference;
            *square += difference * difference;
        }
    }
}

compiled! {
    /// [`Figures::of`].
    fn figures<T>(values: &[T], dim: usize, shards: &SampleShards, is_outside: &[bool]) -> Figures {
        let of_shard = |samples: Range<usize>| {
            let blocks = samples.clone().into_par_iter().step_by(BLOCK);
            let blocks: Vec<Figures> = blocks
                .map(|first| {
                    let mut sums = PairOfSums::new(dim);
                    for i in first..(first + BLOCK).min(samples.end) {
                        let sample = &values[i * dim..(i + 1) * dim];
                        sums.add(sample, is_outside.get(i).copied().unwrap_or(false));
                    }
                    sums.finish(0.0, 0.0)
                })
                .collect();
            let mut figures = Figures::new(dim);
            blocks.iter().for_each(|block| figures.merge(block));
            figures
        };
        let of_shards: Vec<Figures> =
            shards.ranges().collect::<Vec<_>>().into_par_iter().map(of_shard).collect();
        let add = |mut left: Figures, right: Figures| {
            left.merge(&right);
            left
        };
        let sum = tree_sum(&mut of_shards.into_iter(), shards.len(), &add);
        sum.unwrap_or_else(|| Figures::new(dim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_shards_are_those_of_all_samples() {
        let values: Vec<f64> = (0..3 * 700).map(|i| (f64::from(i) * 0.7).sin() + 5.0).collect();
        let is_outside: Vec<bool> = (0..700).map(|i| i % 9 == 0).collect();
        let all = Figures::of(&values, 3, &SampleShards::single(700), &is_outside);
        let shards = SampleShards::try_equal(8, 700).expect("a power of two");
        let by_shards = Figures::of(&values, 3, &shards, &is_outside);
        for (found, expected) in [(by_shards.all, all.all), (by_shards.within, all.within)] {
            assert_eq!(found.samples, expected.samples);
            let pairs = [(found.energy, expected.energy), (found.scatter, expected.scatter)];
            let means = found.mean.into_iter().zip(expected.mean);
            for (found, expected) in pairs.into_iter().chain(means) {
                assert!((found / expected - 1.0).abs() < 1e-12, "{found}, expected {expected}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_taken_for_nothing() {
        assert_eq!([-1e-9, 0.0, 2.0].map(non_negative), [0.0, 0.0, 2.0]);
        assert!(non_negative(f64::NAN).is_nan());
        // The squares of these overflow, and their difference is not a number.
        let moments = Figures::of(&[1e200, -1e200, 0.0, 1.0], 2, &SampleShards::single(2), &[]).all;
        assert!(!moments.fvu().is_finite(), "{moments:?}");
        assert!(moments.scatter != 0.0, "{moments:?}");
    }
}
