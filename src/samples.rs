//! The one gate through which samples enter: read, checked, preprocessed, uploaded.

use std::ops::Range;

use faer::MatRef;
use rayon::prelude::*;

use crate::Scalar;
use crate::backend::Backend;
use crate::error::{BackendError, Error};
use crate::kernel;
use crate::moments::Moments;
use crate::preprocessing::{Outliers, Preprocessing};
use crate::source::SampleSource;

/// Samples that one task preprocesses.
const SAMPLES_A_TASK: usize = 64;

/// Samples in host memory, as a source gave them.
#[derive(Debug)]
pub(crate) struct HostSamples<T> {
    values: Vec<T>,
    dim: usize,
}

impl<T: Scalar> HostSamples<T> {
    pub(crate) fn new(dim: usize) -> Self {
        Self { values: Vec::new(), dim }
    }

    /// Reads the samples of `ranges`, in order, in place of those here.
    pub(crate) fn read(
        &mut self,
        source: &dyn SampleSource<T>,
        ranges: impl Iterator<Item = Range<usize>> + Clone,
    ) -> Result<(), Error> {
        let count: usize = ranges.clone().map(|range| range.len()).sum();
        self.reserve(count)?;
        self.values.resize(count * self.dim, T::default());
        let mut rest = self.values.as_mut_slice();
        for range in ranges {
            let (into, after) = rest.split_at_mut(range.len() * self.dim);
            rest = after;
            let first = range.start;
            source.read(range, into)?;
            check_finite(into, source, first)?;
        }
        Ok(())
    }

    fn reserve(&mut self, count: usize) -> Result<(), BackendError> {
        let missing = (count * self.dim).saturating_sub(self.values.len());
        self.values.try_reserve_exact(missing).map_err(|error| BackendError::Allocation {
            rows: self.dim,
            cols: count,
            reason: error.to_string(),
        })
    }

    fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// ‖y‖ of a sample.
    pub(crate) fn norm(&self, sample: usize) -> f64 {
        kernel::energy(&self.values[sample * self.dim..(sample + 1) * self.dim]).sqrt()
    }

    /// Sums over the samples.
    pub(crate) fn moments(&self) -> Moments {
        Moments::of(&self.values, self.dim)
    }
}

/// Samples that learning did not take as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tamed {
    /// Scaled down to the norm limit.
    pub(crate) clipped: usize,
    /// Left out.
    pub(crate) dropped: usize,
}

/// A backend matrix that samples are uploaded to, reused from batch to batch.
pub(crate) struct Upload<B: Backend> {
    preprocessing: Preprocessing<B::Scalar>,
    /// What to do with samples above the norm limit.
    outliers: Outliers,
    matrix: B::Matrix,
    samples: usize,
}

impl<B: Backend> Upload<B> {
    pub(crate) fn new(
        backend: &B,
        dim: usize,
        preprocessing: Preprocessing<B::Scalar>,
        outliers: Outliers,
    ) -> Result<Self, Error> {
        let matrix = backend.zeros(dim, 0)?;
        Ok(Self { preprocessing, outliers, matrix, samples: 0 })
    }

    /// What is done to every sample.
    pub(crate) fn preprocessing(&self) -> &Preprocessing<B::Scalar> {
        &self.preprocessing
    }

    /// The uploaded matrix.
    pub(crate) fn matrix(&self) -> &B::Matrix {
        &self.matrix
    }

    /// Samples in it.
    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// Preprocesses `host` in place and uploads what is left of it.
    pub(crate) fn take(
        &mut self,
        backend: &B,
        host: &mut HostSamples<B::Scalar>,
    ) -> Result<Tamed, Error> {
        let dim = host.dim;
        host.values.par_chunks_mut(SAMPLES_A_TASK * dim).for_each(|samples| {
            samples.chunks_exact_mut(dim).for_each(|sample| self.preprocessing.apply(sample));
        });
        let tamed = self.tame(host);
        let count = host.len();
        check_size(&host.values, count)?;
        let samples = MatRef::from_column_major_slice(&host.values, dim, count);
        backend.upload(samples, &mut self.matrix)?;
        self.samples = count;
        Ok(tamed)
    }

    /// Clips or drops samples above the norm limit.
    fn tame(&self, host: &mut HostSamples<B::Scalar>) -> Tamed {
        let mut tamed = Tamed::default();
        let Some(limit) = self.preprocessing.norm_limit() else { return tamed };
        let limit = limit / self.preprocessing.scale();
        let dim = host.dim;
        let norm = |sample: &[B::Scalar]| kernel::energy(sample).sqrt();
        match self.outliers {
            Outliers::Keep => {}
            Outliers::Clip(_) => {
                let clip = |sample: &mut [B::Scalar]| {
                    let norm = norm(sample);
                    if norm > limit {
                        let factor = B::Scalar::narrow(limit / norm);
                        sample.iter_mut().for_each(|x| *x *= factor);
                    }
                    usize::from(norm > limit)
                };
                tamed.clipped = host.values.par_chunks_exact_mut(dim).map(clip).sum();
            }
            Outliers::Drop(_) => {
                let mut kept = 0;
                for i in 0..host.len() {
                    if norm(&host.values[i * dim..(i + 1) * dim]) <= limit {
                        host.values.copy_within(i * dim..(i + 1) * dim, kept * dim);
                        kept += 1;
                    }
                }
                tamed.dropped = host.len() - kept;
                host.values.truncate(kept * dim);
            }
        }
        tamed
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

/// Names the first of these samples, which begin with sample `first` of `source`, that holds a NaN or
/// an infinity.
pub(crate) fn check_finite<T: Scalar>(
    samples: &[T],
    source: &dyn SampleSource<T>,
    first: usize,
) -> Result<(), Error> {
    match kernel::first_not_finite(samples) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite {
            sample: source.origin(first + at / source.dim()),
            coordinate: at % source.dim(),
            value: samples[at].widen(),
        }),
    }
}
