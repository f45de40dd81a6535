//! What samples with weights must be.

use crate::Scalar;
use crate::error::Error;
use crate::pursuit::{Contiguous, contiguous};
use crate::samples::check_size;
use crate::source::AsSamples;

/// Samples and their weights, checked.
pub(super) struct Masked<'a, T> {
    samples: Contiguous<'a, T>,
    weights: Contiguous<'a, T>,
}

impl<'a, T: Scalar> Masked<'a, T> {
    /// Samples of dimension `dim` with a weight for each coordinate.
    pub(super) fn new(
        samples: &'a impl AsSamples<T>,
        weights: &'a impl AsSamples<T>,
        dim: usize,
    ) -> Result<Self, Error> {
        let (samples, weights) = (samples.as_samples(dim)?, weights.as_samples(dim)?);
        for (argument, matrix) in [("samples", samples), ("weights", weights)] {
            if matrix.nrows() != dim {
                let found = matrix.nrows();
                return Err(Error::Dimension { argument, found, expected: dim });
            }
        }
        if weights.ncols() != samples.ncols() {
            let found = format!("{} columns", weights.ncols());
            return Err(Error::argument("weights", found, format!("{}", samples.ncols())));
        }
        let masked = Self { samples: contiguous(samples)?, weights: contiguous(weights)? };
        for i in 0..masked.len() {
            let pairs = masked.sample(i).iter().zip(masked.weights(i)).enumerate();
            for (coordinate, (value, weight)) in pairs {
                if !(0.0..=1.0).contains(&weight.widen()) {
                    let found = format!("{weight} for coordinate {coordinate} of sample {i}");
                    return Err(Error::argument("weights", found, "0 to 1"));
                }
                if *weight > T::zero() && !value.widen().is_finite() {
                    let value = value.widen();
                    return Err(Error::NotFinite { sample: i, coordinate, value });
                }
            }
        }
        Ok(masked)
    }

    /// The number of samples.
    pub(super) fn len(&self) -> usize {
        self.samples.as_ref().ncols()
    }

    /// The number of coordinates of a sample.
    pub(super) fn dim(&self) -> usize {
        self.samples.as_ref().nrows()
    }

    /// Sample `i`, which may hold anything where its weight is 0.
    pub(super) fn sample(&self, i: usize) -> &[T] {
        self.samples.column(i)
    }

    pub(super) fn weights(&self, i: usize) -> &[T] {
        self.weights.column(i)
    }

    /// The largest weight of sample `i`: what its other weights are compared with.
    pub(super) fn largest_weight(&self, i: usize) -> f64 {
        self.weights(i).iter().fold(0.0, |most, weight| f64::max(most, weight.widen()))
    }

    /// Refuses samples of which nothing can be learned, and those whose squares over- or underflow.
    pub(super) fn check_content(&self) -> Result<(), Error> {
        if self.len() == 0 {
            return Err(Error::NoSamples { argument: "samples" });
        }
        let is_seen = |i: usize| self.weights(i).iter().any(|w| *w > T::zero());
        if !(0..self.len()).any(is_seen) {
            let expected = "a weight above 0 somewhere";
            return Err(Error::argument("weights", "0 throughout", expected));
        }
        let has_energy = |i: usize| {
            let mut pairs = self.sample(i).iter().zip(self.weights(i));
            pairs.any(|(y, w)| *w > T::zero() && *y != T::zero())
        };
        if !(0..self.len()).any(has_energy) {
            let samples = self.len();
            return Err(Error::NothingLearned { samples, zeros: samples, dropped: 0 });
        }
        let of_pair = |(y, w): (&T, &T)| match *w > T::zero() {
            true => w.widen() * y.widen() * y.widen(),
            false => 0.0,
        };
        let energy_of = |i: usize| self.sample(i).iter().zip(self.weights(i)).map(of_pair).sum();
        let energy = (0..self.len()).map::<f64, _>(energy_of).sum();
        check_size::<T>(energy, self.len(), &|| false)
    }
}
