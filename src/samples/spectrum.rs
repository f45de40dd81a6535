//! How energy is spread over samples: whether a few of them hold most of it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::Scalar;
use crate::cpu::vector::{loops, vectorized};
use crate::scalar::compiled;

/// Samples that one task measures.
const SAMPLES_A_TASK: usize = 64;

/// Classes of energy to an octave: 2 to this power.
const CLASS_BITS: u32 = 2;

/// One part of the samples in so many is few.
const FEW: usize = 100;

/// Massive samples: under 1% of all, which hold over half of the variance. An error over all
/// samples is then mostly theirs, and so is the dictionary: set [`Outliers`](crate::Outliers).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Massive {
    /// How many of the samples.
    pub samples: usize,
    /// The share of the variance that they hold, 0.5 to 1.
    pub share: f64,
}

impl Massive {
    pub(crate) fn new(samples: usize, share: f64) -> Self {
        Self { samples, share }
    }
}

/// Samples by their energy ‖y − ȳ‖², in classes of a quarter of an octave: how many, and the sum of
/// their energies. It can be merged, in a fixed order, and does not grow with the number of
/// samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spectrum {
    classes: BTreeMap<u16, (u64, f64)>,
}

impl Spectrum {
    /// That of contiguous samples around `mean`.
    pub(crate) fn of<T: Scalar>(values: &[T], mean: &[f64]) -> Self {
        Self::of_energies(&distances(values, mean))
    }

    /// That of samples of these energies, in their order.
    pub(crate) fn of_energies(energies: &[f64]) -> Self {
        let mut spectrum = Self::default();
        energies.iter().for_each(|&energy| spectrum.add(class(energy), 1, energy));
        spectrum
    }

    /// Adds one sample.
    pub(crate) fn include<T: Scalar>(&mut self, sample: &[T], mean: &[f64]) {
        let energy = distance(sample, mean);
        self.add(class(energy), 1, energy);
    }

    fn add(&mut self, class: u16, samples: u64, energy: f64) {
        let (count, sum) = self.classes.entry(class).or_default();
        *count += samples;
        *sum += energy;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (&class, &(samples, energy)) in &other.classes {
            self.add(class, samples, energy);
        }
    }

    /// The fewest classes of largest energy that hold over half of it, if they are of few samples.
    pub(crate) fn massive(&self) -> Option<Massive> {
        let samples: u64 = self.classes.values().map(|&(count, _)| count).sum();
        let energy: f64 = self.classes.values().map(|&(_, sum)| sum).sum();
        let (mut few, mut held) = (0, 0.0);
        for &(count, sum) in self.classes.values().rev() {
            (few, held) = (few + count, held + sum);
            if 2.0 * held > energy {
                break;
            }
        }
        let are_few = few > 0 && (FEW as u64) * few < samples;
        are_few.then(|| Massive::new(few as usize, held / energy))
    }

    /// Three numbers a class, for a checkpoint.
    pub(crate) fn to_numbers(&self) -> Vec<f64> {
        let classes = self.classes.iter();
        classes.flat_map(|(&class, &(count, sum))| [f64::from(class), count as f64, sum]).collect()
    }

    pub(crate) fn from_numbers(numbers: &[f64]) -> Self {
        let classes = numbers.as_chunks().0.iter();
        let class = |&[class, count, sum]: &[f64; 3]| (class as u16, (count as u64, sum));
        Self { classes: classes.map(class).collect() }
    }
}

/// Exponent and first bits of the mantissa.
fn class(energy: f64) -> u16 {
    (energy.to_bits() >> (f64::MANTISSA_DIGITS - 1 - CLASS_BITS)) as u16
}

vectorized! {
    /// ‖y − mean‖².
    fn distance<'a, T>(y: &'a [T], mean: &'a [f64]) -> f64 {
        let mut lanes = [0.0_f64; loops::LANES];
        let ((y, y_rest), (mean, mean_rest)) =
            (y.as_chunks::<{ loops::LANES }>(), mean.as_chunks::<{ loops::LANES }>());
        for (y, mean) in y.iter().zip(mean) {
            for l in 0..loops::LANES {
                let difference = y[l].widen() - mean[l];
                lanes[l] += difference * difference;
            }
        }
        for (lane, (y, mean)) in lanes.iter_mut().zip(y_rest.iter().zip(mean_rest)) {
            let difference = y.widen() - mean;
            *lane += difference * difference;
        }
        lanes.iter().sum()
    }
}

compiled! {
    /// ‖y − mean‖² of contiguous samples.
    pub(crate) fn distances<T>(values: &[T], mean: &[f64]) -> Vec<f64> {
        let samples = values.par_chunks_exact(mean.len()).with_min_len(SAMPLES_A_TASK);
        samples.map(|sample| distance(sample, mean)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `usual` samples of energy 1 around the mean, and `massive` of energy `energy`.
    fn spectrum(usual: usize, massive: usize, energy: f64) -> Spectrum {
        let mut values: Vec<f64> =
            (0..usual).map(|i| 5.0 + f64::from(i as u32 % 2) * 2.0).collect();
        values.extend((0..massive).map(|_| 6.0 + energy.sqrt()));
        Spectrum::of(&values, &[6.0])
    }

    #[test]
    fn few_samples_with_most_of_the_energy_are_massive() {
        let found = spectrum(1000, 5, 300.0).massive().unwrap();
        assert_eq!(found.samples, 5);
        assert!((found.share - 1500.0 / 2500.0).abs() < 1e-12);
        assert_eq!(spectrum(1000, 5, 199.0).massive(), None, "less than half");
        assert_eq!(spectrum(990, 10, 300.0).massive(), None, "one in a hundred");
        assert_eq!(spectrum(0, 0, 1.0).massive(), None);
        assert_eq!(Spectrum::of(&[3.0_f32; 500], &[3.0]).massive(), None, "no energy at all");
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let mut merged = spectrum(600, 1, 1e6);
        merged.merge(&spectrum(400, 2, 4e6));
        let found = merged.massive().unwrap();
        assert_eq!(found.samples, 2);
        assert!((found.share - 8e6 / (9e6 + 1000.0)).abs() < 1e-12);
    }

    #[test]
    fn numbers_give_it_back() {
        let spectrum = spectrum(100, 3, 1e-300);
        assert_eq!(Spectrum::from_numbers(&spectrum.to_numbers()), spectrum);
    }
}
