//! The order in which an epoch visits its samples: a function of (seed, epoch) alone.

use std::ops::Range;

use super::permutation::Permutation;
use crate::random::RandomStream;

/// One epoch: every sample once, in minibatches that are made of runs of consecutive samples.
///
/// Samples are divided into runs of `run` samples (the last may be shorter), the runs are permuted
/// by a function of (seed, epoch), and the resulting sequence is divided into minibatches whose
/// sizes differ by at most one. So a minibatch of n samples comes from about n / `run` places all
/// over the source, and all places are equally likely. The plan stores nothing that grows with the
/// number of samples, and it can compute any step of any epoch again.
///
/// The samples of a run stay together. If neighbouring samples resemble each other, as the tokens
/// of one text do, a minibatch counts as fewer independent samples than it has. A minibatch should
/// hold many runs (runs of 16, the default for files, are 512 runs in a minibatch of 8,192). If
/// neighbours are almost equal, as the frames of a film are, shuffle the data beforehand or wrap
/// the source in one whose [`run_length`](super::SampleSource::run_length) is 1.
///
/// ```
/// use dbksvd::source::EpochPlan;
///
/// // 1,000 samples in minibatches of 300, shuffled in runs of 10.
/// let plan = EpochPlan::new(1000, 300, 10, 7, 1);
/// let seen: usize =
///     (0..plan.steps()).flat_map(|step| plan.ranges(step)).map(|range| range.len()).sum();
/// assert_eq!(seen, 1000);
/// ```
#[derive(Clone, Debug)]
pub struct EpochPlan {
    samples: usize,
    run: usize,
    steps: usize,
    runs: Permutation,
    /// How many samples the one short run lacks, and the position at which it ends.
    missing: usize,
    short_end: usize,
}

impl EpochPlan {
    /// The plan of `epoch` over `samples` samples in minibatches of at most `minibatch`.
    ///
    /// # Panics
    /// If `minibatch` or `run` is 0.
    #[must_use]
    pub fn new(samples: usize, minibatch: usize, run: usize, seed: u64, epoch: u64) -> Self {
        assert!(minibatch > 0 && run > 0, "minibatch {minibatch}, run {run}");
        let count = samples.div_ceil(run);
        let runs = Permutation::new(count, seed, RandomStream::Epoch(epoch));
        let missing = count * run - samples;
        // Only the last run can be short.
        let short = count.checked_sub(1).map(|last| runs.origin(last));
        let short_end = short.map_or(usize::MAX, |slot| (slot + 1) * run - missing);
        Self { samples, run, steps: steps(samples, minibatch), runs, missing, short_end }
    }

    /// Number of minibatches.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The ranges of samples that minibatch `step` reads, in order.
    ///
    /// # Panics
    /// If `step` is not below [`steps`](Self::steps).
    pub fn ranges(&self, step: usize) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
        assert!(step < self.steps, "step {step} of {}", self.steps);
        self.ranges_of(step, 0..self.size(step))
    }

    /// Samples of minibatch `step`.
    pub(crate) fn size(&self, step: usize) -> usize {
        self.position(step + 1) - self.position(step)
    }

    /// Where in the shuffled sequence minibatch `step` begins.
    fn position(&self, step: usize) -> usize {
        (step as u128 * self.samples as u128 / self.steps as u128) as usize
    }

    /// The ranges of a part of the samples of minibatch `step`: those at these places in it.
    pub(crate) fn ranges_of(
        &self,
        step: usize,
        part: Range<usize>,
    ) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
        // The part covers positions at..last of the shuffled sequence.
        let first = self.position(step);
        let (mut at, last) = (first + part.start, first + part.end);
        std::iter::from_fn(move || {
            if at >= last {
                return None;
            }
            // After the short run, positions lag behind multiples of the run length.
            let shifted = if at >= self.short_end { at + self.missing } else { at };
            let (slot, offset) = (shifted / self.run, shifted % self.run);
            let start = self.runs.at(slot) * self.run;
            let length = (self.samples - start).min(self.run);
            let take = (length - offset).min(last - at);
            at += take;
            Some(start + offset..start + offset + take)
        })
    }
}

/// Number of minibatches of at most `minibatch` samples that cover `samples`.
pub(crate) fn steps(samples: usize, minibatch: usize) -> usize {
    samples.div_ceil(minibatch).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_sample_once_in_steps_of_nearly_one_size(
            samples in 1_usize..400, minibatch in 1_usize..90, run in 1_usize..40, epoch in 0_u64..5,
        ) {
            let plan = EpochPlan::new(samples, minibatch, run, 7, epoch);
            let mut seen = vec![0; samples];
            for step in 0..plan.steps() {
                let mut size = 0;
                for range in plan.ranges(step) {
                    prop_assert!(!range.is_empty() && range.len() <= run);
                    size += range.len();
                    range.for_each(|i| seen[i] += 1);
                }
                prop_assert!(size <= minibatch && size >= samples / plan.steps());
            }
            prop_assert!(seen.iter().all(|&count| count == 1));
        }

        #[test]
        fn parts_of_a_step_are_the_step(
            samples in 1_usize..400, minibatch in 1_usize..90, run in 1_usize..40, cut in 0.0..1.0,
        ) {
            let plan = EpochPlan::new(samples, minibatch, run, 7, 1);
            for step in 0..plan.steps() {
                let middle = (cut * plan.size(step) as f64) as usize;
                let parts = [0..middle, middle..plan.size(step)];
                let parts = parts.into_iter().flat_map(|part| plan.ranges_of(step, part));
                prop_assert!(parts.flatten().eq(plan.ranges(step).flatten()));
            }
        }
    }

    #[test]
    #[should_panic(expected = "step 10 of 10")]
    fn a_step_beyond_the_last_is_refused() {
        let _ = EpochPlan::new(1000, 100, 1, 7, 0).ranges(10);
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let first: Vec<_> = EpochPlan::new(1000, 100, 1, 7, 0).ranges(0).collect();
        let again: Vec<_> = EpochPlan::new(1000, 100, 1, 7, 0).ranges(0).collect();
        let other: Vec<_> = EpochPlan::new(1000, 100, 1, 7, 1).ranges(0).collect();
        assert_eq!(first, again);
        assert_ne!(first, other);
    }
}
