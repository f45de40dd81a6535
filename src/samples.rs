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
#[derive(Debug)]
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

    /// The samples as they were uploaded last: d × N, centred.
    pub(crate) fn host(&self) -> MatRef<'_, B::Scalar> {
        MatRef::from_column_major_slice(&self.host, self.dim, self.host.len() / self.dim)
    }

    /// The uploaded matrix.
    pub(crate) fn matrix(&self) -> &B::Matrix {
        &self.matrix
    }

    /// Uploads the columns of `samples`; `first` is the index of the first one, for messages.
    pub(crate) fn columns(
        &mut self,
        backend: &B,
        samples: MatRef<'_, B::Scalar>,
        first: usize,
    ) -> Result<&B::Matrix, Error> {
        if samples.nrows() != self.dim {
            return Err(Error::Dimension {
                argument: "samples",
                found: samples.nrows(),
                expected: self.dim,
            });
        }
        self.ranges(backend, &samples, std::iter::once(0..samples.ncols()), first)
    }

    /// Uploads the samples of `ranges`, in order; messages count samples from `offset`.
    pub(crate) fn ranges(
        &mut self,
        backend: &B,
        source: &impl SampleSource<B::Scalar>,
        ranges: impl Iterator<Item = Range<usize>> + Clone,
        offset: usize,
    ) -> Result<&B::Matrix, Error> {
        let count: usize = ranges.clone().map(|range| range.len()).sum();
        self.host.resize(count * self.dim, B::Scalar::default());
        let mut rest = self.host.as_mut_slice();
        for range in ranges {
            let (into, after) = rest.split_at_mut(range.len() * self.dim);
            rest = after;
            let first = range.start;
            source.read(range, into)?;
            check_finite(into, self.dim, offset + first)?;
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
    match kernel::vectorized(|| kernel::first_not_finite(samples)) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite {
            sample: first + at / dim,
            coordinate: at % dim,
            value: samples[at].widen(),
        }),
    }
}
