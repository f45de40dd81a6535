//! Samples that are coded and labelled, and linear probes of the samples.

use dbksvd::faer::MatRef;
use dbksvd::{Dictionary, Error, Scalar, SparseCodes};

use super::split::{Split, check_count};
use crate::vector::first_not_finite;

/// Samples with their codes and classes: what [`Absorption`](super::Absorption) and
/// [`Perturbation`](super::Perturbation) measure.
///
/// Codes must not be negative, since an atom that fires stands for something that is there. Signed
/// codes over D become codes over \[D, −D\] by [`split_signs`](crate::split_signs).
///
/// If the model subtracts a mean from samples, samples may be given with their mean or without.
/// SAEBench takes activations as they are.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a, T: Scalar> {
    /// The samples (d × N), such as the activations of a language model.
    pub samples: MatRef<'a, T>,
    /// Their codes (m × N), at least 0.
    pub codes: &'a SparseCodes<T>,
    /// The dictionary (d × m) of the codes.
    pub dictionary: &'a Dictionary<T>,
    /// The class of each sample, counted from 0.
    pub labels: &'a [u32],
    /// The samples for training and for testing.
    pub split: &'a Split,
}

/// A linear probe of samples: it finds a class where wᵀx + b is positive.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearProbe {
    /// w, of length d.
    pub weights: Vec<f64>,
    /// b.
    pub bias: f64,
}

impl LinearProbe {
    /// wᵀx + b. Panics unless the sample has the length of the weights.
    #[must_use]
    #[track_caller]
    pub fn decision<T: Scalar>(&self, sample: &[T]) -> f64 {
        assert_eq!(sample.len(), self.weights.len(), "dimension of the sample");
        self.bias + product(&self.weights, sample)
    }

    /// An error unless there is a finite probe, which is not zero, for each of `classes`.
    pub(super) fn check_all(probes: &[Self], classes: usize, dim: usize) -> Result<(), Error> {
        if probes.len() < classes {
            let (found, expected) = (probes.len(), classes);
            return Err(Error::Dimension { argument: "probes", found, expected });
        }
        for (class, probe) in probes.iter().enumerate() {
            let found = probe.weights.len();
            if found != dim {
                return Err(Error::Dimension { argument: "probes", found, expected: dim });
            }
            let numbers = probe.weights.iter().chain([&probe.bias]);
            if numbers.clone().any(|x| !x.is_finite()) || probe.weights.iter().all(|&w| w == 0.0) {
                let found = format!("probe {class} with weights that are zero or not finite");
                return Err(Error::argument("probes", found, "finite weights, not all zero"));
            }
        }
        Ok(())
    }
}

/// Σ w_r x_r.
pub(super) fn product<T: Scalar>(weights: &[f64], x: &[T]) -> f64 {
    let mut lanes = [0.0; 8];
    let (w_chunks, w_rest) = weights.as_chunks::<8>();
    let (x_chunks, x_rest) = x.as_chunks::<8>();
    for (w, x) in w_chunks.iter().zip(x_chunks) {
        for l in 0..8 {
            lanes[l] += w[l] * x[l].widen();
        }
    }
    let rest = w_rest.iter().zip(x_rest).map(|(w, x)| w * x.widen());
    lanes.iter().sum::<f64>() + rest.sum::<f64>()
}

impl<T: Scalar> Labelled<'_, T> {
    /// The number of classes, if all arguments fit together.
    pub(super) fn check(&self) -> Result<usize, Error> {
        let (dim, samples) = self.samples.shape();
        let sizes = [
            ("samples", dim, self.dictionary.dim()),
            ("codes", self.codes.atoms(), self.dictionary.atoms()),
            ("samples of the codes", self.codes.samples(), samples),
        ];
        for (argument, found, expected) in sizes {
            if found != expected {
                return Err(Error::Dimension { argument, found, expected });
            }
        }
        check_count(self.labels.len(), samples)?;
        self.split.check(samples)?;
        for (part, name) in [(&self.split.train, "train"), (&self.split.test, "test")] {
            if part.is_empty() {
                return Err(Error::argument("split", format!("empty for {name}"), "samples"));
            }
        }
        let used = || self.split.train.iter().chain(&self.split.test);
        for &i in used() {
            let found = (0..dim).find(|&r| !self.samples[(r, i)].widen().is_finite());
            if let Some(coordinate) = found {
                let value = self.samples[(coordinate, i)].widen();
                return Err(Error::NotFinite { sample: i, coordinate, value });
            }
            if let Some(at) = first_not_finite(self.codes.values(i)) {
                let found = format!("{} in sample {i}", self.codes.values(i)[at]);
                return Err(Error::argument("codes", found, "finite values"));
            }
            if let Some(value) = self.codes.values(i).iter().find(|&&value| value < T::zero()) {
                let found = format!("{value} in sample {i}");
                let expected = "at least 0 (`split_signs` makes signed codes so)";
                return Err(Error::argument("codes", found, expected));
            }
        }
        let last = used().map(|&i| self.labels[i] as usize).max().unwrap_or(0);
        if last >= samples {
            return Err(Error::argument("labels", last, format!("classes below {samples}")));
        }
        Ok(last + 1)
    }

    /// wᵀx + b of each of `samples`.
    pub(super) fn decisions(&self, probe: &LinearProbe, samples: &[usize]) -> Vec<f64> {
        let mut row = Vec::with_capacity(self.dictionary.dim());
        let decision = |&i: &usize| {
            row.clear();
            row.extend(self.samples.col(i).iter().map(|value| value.widen()));
            probe.decision(&row)
        };
        samples.iter().map(decision).collect()
    }

    /// These samples as doubles, one after the other, less `minus` and times `factor`.
    pub(super) fn rows(&self, samples: &[usize], minus: &[f64], factor: f64) -> Vec<f64> {
        let row = |&i: &usize| {
            let values = self.samples.col(i).iter().zip(minus);
            values.map(move |(value, minus)| factor * (value.widen() - minus))
        };
        samples.iter().flat_map(row).collect()
    }

    /// d_jᵀw for every atom j.
    pub(super) fn products(&self, weights: &[f64]) -> Vec<f64> {
        (0..self.dictionary.atoms()).map(|j| product(weights, self.dictionary.atom(j))).collect()
    }
}
