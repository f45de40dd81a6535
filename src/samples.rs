//! The one gate through which samples enter: read, checked, centred, uploaded.

use std::ops::Range;

use faer::MatRef;
use rayon::prelude::*;

use crate::Scalar;
use crate::backend::Backend;
use crate::error::{BackendError, Error};
use crate::kernel;
use crate::moments::Moments;
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

    fn reserve(&mut self, count: usize) -> Result<(), BackendError> {
        let missing = (count * self.dim).saturating_sub(self.host.len());
        self.host.try_reserve_exact(missing).map_err(|error| BackendError::Allocation {
            rows: self.dim,
            cols: count,
            reason: error.to_string(),
        })
    }

    /// Uploads the samples of `ranges`, in order.
    pub(crate) fn ranges(
        &mut self,
        backend: &B,
        source: &impl SampleSource<B::Scalar>,
        ranges: impl Iterator<Item = Range<usize>> + Clone,
    ) -> Result<&B::Matrix, Error> {
        let count: usize = ranges.clone().map(|range| range.len()).sum();
        self.reserve(count)?;
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
        check_size(&self.host, count)?;
        let host =
            MatRef::from_column_major_slice(&self.host, self.dim, self.host.len() / self.dim);
        backend.upload(host, &mut self.matrix)?;
        Ok(&self.matrix)
    }
}

/// Refuses samples whose squares, or products with coefficients, would over- or underflow.
fn check_size<T: Scalar>(samples: &[T], count: usize) -> Result<(), Error> {
    let norm = (kernel::energy(samples) / count.max(1) as f64).sqrt();
    let (least, most) = (1.0 / T::LARGEST_NORM, T::LARGEST_NORM);
    // The norm itself may have underflowed.
    let is_zero = norm == 0.0 && samples.iter().all(|x| x.widen() == 0.0);
    if is_zero || (least..=most).contains(&norm) {
        return Ok(());
    }
    let expected = format!("0 or {least:e} to {most:e} in {}: scale the data", T::NAME);
    Err(Error::argument("root mean square norm of the samples", format!("{norm:e}"), expected))
}

/// Names the first sample, counted from `first`, that holds a NaN or an infinity.
pub(crate) fn check_finite<T: Scalar>(
    samples: &[T],
    dim: usize,
    first: usize,
) -> Result<(), Error> {
    match kernel::first_not_finite(samples) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite {
            sample: first + at / dim,
            coordinate: at % dim,
            value: samples[at].widen(),
        }),
    }
}
