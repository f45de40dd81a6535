//! The order in which an epoch visits its samples: a function of (seed, epoch) alone.

use std::ops::Range;

use rand::seq::SliceRandom;

use crate::random;

/// One epoch: every sample once, in minibatches of runs of consecutive samples.
///
/// Samples are cut into runs of `run` (the last may be shorter), the runs are shuffled by a
/// generator seeded with (seed, epoch), and the sequence is cut into steps whose sizes differ by at
/// most one. Nothing else is kept, so any step of any epoch can be found again.
#[derive(Clone, Debug)]
pub struct EpochPlan {
    samples: usize,
    run: usize,
    steps: usize,
    runs: Vec<u32>,
    /// Samples that the one short run lacks, and the position at which it ends.
    missing: usize,
    short_end: usize,
}

impl EpochPlan {
    /// The plan of `epoch` over `samples` samples in minibatches of at most `minibatch`.
    ///
    /// # Panics
    /// If `minibatch` or `run` is 0, or there are 2³² runs or more.
    #[must_use]
    pub fn new(samples: usize, minibatch: usize, run: usize, seed: u64, epoch: u64) -> Self {
        assert!(minibatch > 0 && run > 0, "minibatch {minibatch}, run {run}");
        let count = u32::try_from(samples.div_ceil(run)).expect("fewer than 2³² runs");
        let mut runs: Vec<u32> = (0..count).collect();
        runs.shuffle(&mut random::generator(seed, random::Purpose::Epoch(epoch)));
        let missing = runs.len() * run - samples;
        let short = runs.iter().position(|&r| r as usize + 1 == runs.len());
        let short_end = short.map_or(usize::MAX, |s| (s + 1) * run - missing);
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
    /// The iterator does, if `step` is not below [`steps`](Self::steps).
    pub fn ranges(&self, step: usize) -> impl Iterator<Item = Range<usize>> + Clone + '_ {
        // The minibatch covers positions first..last of the shuffled sequence.
        let position = |s: usize| (s as u128 * self.samples as u128 / self.steps as u128) as usize;
        let (first, last) = (position(step), position(step + 1));
        let mut at = first;
        std::iter::from_fn(move || {
            if at >= last {
                return None;
            }
            // Past the short run, positions lag behind multiples of the run length.
            let shifted = if at >= self.short_end { at + self.missing } else { at };
            let (slot, offset) = (shifted / self.run, shifted % self.run);
            let start = self.runs[slot] as usize * self.run;
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
