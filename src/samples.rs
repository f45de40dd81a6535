//! The one gate through which samples enter: read, checked, centred, uploaded.

use std::ops::Range;

use faer::MatRef;
use rayon::prelude::*;

use crate::Scalar;
use crate::backend::Backend;
use crate::error::Error;
use crate::kernel;
use crate::source::SampleSource;

/// A host buffer and the backend matrix it is uploaded to, reused from batch to batch.
pub(crate) struct Upload<B: Backend> {
    mean: Option<Vec<B::Scalar>>,
    dim: usize,
    host: Vec<B::Scalar>,
    matrix: B::Matrix,
}

impl<B: Backend> Upload<B> {
    pub(crate) fn new(
        backend: &B,
        dim: usize,
        mean: Option<Vec<B::Scalar>>,
    ) -> Result<Self, Error> {
        Ok(Self { mean, dim, host: Vec::new(), matrix: backend.zeros(dim, 0)? })
    }

    /// What is subtracted from every sample.
    pub(crate) fn mean(&self) -> Option<&[B::Scalar]> {
        self.mean.as_deref()
    }

    /// Sums over the samples uploaded last, as they were uploaded: centred.
    pub(crate) fn moments(&self) -> Moments {
        Moments::of(&self.host, self.dim)
    }

    /// The uploaded matrix.
    pub(crate) fn matrix(&self) -> &B::Matrix {
        &self.matrix
    }

    /// Uploads the columns of `samples`.
    pub(crate) fn columns(
        &mut self,
        backend: &B,
        samples: MatRef<'_, B::Scalar>,
    ) -> Result<&B::Matrix, Error> {
        if samples.nrows() != self.dim {
            return Err(Error::Dimension {
                argument: "samples",
                found: samples.nrows(),
                expected: self.dim,
            });
        }
        self.ranges(backend, &samples, std::iter::once(0..samples.ncols()))
    }

    /// Uploads the samples of `ranges`, in order.
    pub(crate) fn ranges(
        &mut self,
        backend: &B,
        source: &impl SampleSource<B::Scalar>,
        ranges: impl Iterator<Item = Range<usize>> + Clone,
    ) -> Result<&B::Matrix, Error> {
        let count: usize = ranges.clone().map(|range| range.len()).sum();
        self.host.resize(count * self.dim, B::Scalar::default());
        let mut rest = self.host.as_mut_slice();
        for range in ranges {
            let (into, after) = rest.split_at_mut(range.len() * self.dim);
            rest = after;
            let first = range.start;
            source.read(range, into)?;
            check_finite(into, self.dim, first)?;
        }
        if let Some(mean) = &self.mean {
            self.host
                .par_chunks_exact_mut(self.dim)
                .for_each(|sample| kernel::axpy(sample, -B::Scalar::narrow(1.0), mean));
        }
        let host =
            MatRef::from_column_major_slice(&self.host, self.dim, self.host.len() / self.dim);
        backend.upload(host, &mut self.matrix)?;
        Ok(&self.matrix)
    }
}

/// Names the first sample, counted from `first`, that holds a NaN or an infinity.
pub(crate) fn check_finite<T: Scalar>(
    samples: &[T],
    dim: usize,
    first: usize,
) -> Result<(), Error> {
    match kernel::vectorized(kernel::first_not_finite, samples) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite {
            sample: first + at / dim,
            coordinate: at % dim,
            value: samples[at].widen(),
        }),
    }
}

/// Samples summed by one task of [`Moments::of`].
const BLOCK: usize = 256;

/// Sums over samples that the variance and the energy follow from, in f64.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    samples: usize,
    sum: Vec<f64>,
    energy: f64,
}

impl Moments {
    pub(crate) fn new(dim: usize) -> Self {
        Self { samples: 0, sum: vec![0.0; dim], energy: 0.0 }
    }

    fn of<T: Scalar>(values: &[T], dim: usize) -> Self {
        // Blocks of a fixed size, added in order: the same on any number of threads.
        let blocks: Vec<Self> = values
            .par_chunks(BLOCK * dim)
            .map(|block| {
                let mut moments = Self::new(dim);
                kernel::vectorized(Self::add_samples, (&mut moments, block));
                moments
            })
            .collect();
        let mut moments = Self::new(dim);
        blocks.iter().for_each(|block| moments.add(block));
        moments
    }

    #[inline(always)]
    fn add_samples<T: Scalar>((moments, samples): (&mut Self, &[T])) {
        for sample in samples.chunks_exact(moments.sum.len()) {
            for (sum, x) in moments.sum.iter_mut().zip(sample) {
                *sum += x.widen();
            }
            moments.energy += kernel::squared_norm(sample);
            moments.samples += 1;
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.energy += other.energy;
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, x)| *sum += x);
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// Σ‖y − ŷ‖² / Σ‖y − ȳ‖² for a given Σ‖y − ŷ‖²; 0 for no error, whatever the variance.
    pub(crate) fn fvu(&self, error: f64) -> f64 {
        let mean = self.sum.iter().map(|sum| sum * sum).sum::<f64>() / self.samples as f64;
        ratio(error, (self.energy - mean).max(0.0))
    }

    /// Σ‖y − ŷ‖² / Σ‖y‖² for a given Σ‖y − ŷ‖²; 0 for no error, whatever the energy.
    pub(crate) fn relative_error(&self, error: f64) -> f64 {
        ratio(error, self.energy)
    }
}

fn ratio(error: f64, total: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / total }
}
