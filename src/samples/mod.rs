//! The one gate through which samples enter: read, checked, preprocessed, uploaded.

use std::ops::Range;

use faer::MatRef;
use num_traits::Zero;
use rayon::prelude::*;

pub(crate) mod moments;
pub(crate) mod preprocessing;
pub(crate) mod spectrum;
pub(crate) mod statistics;

use crate::Scalar;
use crate::backend::{Backend, SampleShards};
use crate::cpu::vector::{loops, outlined};
use crate::error::{BackendError, Error};
use crate::samples::moments::Figures;
use crate::samples::preprocessing::{Outliers, Preprocessing, is_zero};
use crate::samples::spectrum::Spectrum;
use crate::scalar::compiled;
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

    /// Reads the samples of `range` in place of those here. Those that are not finite become zero;
    /// their places within the range are returned, each with its error.
    pub(crate) fn read_each(
        &mut self,
        source: &dyn SampleSource<T>,
        range: Range<usize>,
    ) -> Result<Vec<(usize, Error)>, Error> {
        let (first, count) = (range.start, range.len());
        self.reserve(count)?;
        self.values.resize(count * self.dim, T::default());
        source.read(range, &mut self.values)?;
        let mut errors = Vec::new();
        for (i, sample) in self.values.chunks_exact_mut(self.dim).enumerate() {
            if let Err(error) = check_finite(sample, source, first + i) {
                sample.fill(T::zero());
                errors.push((i, error));
            }
        }
        Ok(errors)
    }

    fn reserve(&mut self, count: usize) -> Result<(), BackendError> {
        let missing = (count * self.dim).saturating_sub(self.values.len());
        self.values.try_reserve_exact(missing).map_err(|error| BackendError::Allocation {
            rows: self.dim,
            cols: count,
            reason: error.to_string(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether all samples are zero throughout.
    pub(crate) fn are_zero(&self) -> bool {
        is_zero(&self.values)
    }

    /// Sums over the samples, of which `is_outside` says which are not within the norm limit.
    pub(crate) fn figures(&self, shards: &SampleShards, is_outside: &[bool]) -> Figures {
        Figures::of(&self.values, self.dim, shards, is_outside)
    }

    /// The figures of each node that these shards make up in the tree over all shards.
    pub(crate) fn figures_of_nodes(
        &self,
        shards: &SampleShards,
        is_outside: &[bool],
    ) -> Vec<Figures> {
        let of_node = |node: Range<usize>| {
            let part = shards.part(shards.first() + node.start..shards.first() + node.end);
            let first = shards.range(node.start).start;
            let samples = first..first + part.samples();
            let is_outside = is_outside.get(samples.clone()).unwrap_or_default();
            let values = &self.values[samples.start * self.dim..samples.end * self.dim];
            Figures::of(values, self.dim, &part, is_outside)
        };
        shards.nodes().into_iter().map(of_node).collect()
    }

    /// ‖y − mean‖² of each sample.
    pub(crate) fn energies(&self, mean: &[f64]) -> Vec<f64> {
        spectrum::distances(&self.values, mean)
    }

    /// How the energy of the samples around `mean` is spread over them.
    pub(crate) fn spectrum(&self, mean: &[f64]) -> Spectrum {
        Spectrum::of(&self.values, mean)
    }

    /// Those samples, one after the other, of which `is_outside` says so.
    pub(crate) fn select(&self, is_outside: &[bool]) -> Vec<T> {
        let samples = self.values.chunks_exact(self.dim).zip(is_outside);
        samples.filter(|&(_, &outside)| outside).flat_map(|(sample, _)| sample).copied().collect()
    }

    /// An error of these samples, all of which are here. If they are out of range, it names the
    /// sample of largest norm by its index, which `index` finds from its place here, provided that
    /// it is out of range by itself.
    pub(crate) fn blame(&self, error: Error, index: impl FnOnce(usize) -> usize) -> Error {
        if !matches!(error, Error::Range { .. }) {
            return error;
        }
        let norms = self.values.chunks_exact(self.dim).map(|y| outlined::energy(y).sqrt());
        match norms.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((i, norm)) if !is_in_range::<T>(norm) => out_of_range::<T>(norm, Some(index(i))),
            _ => error,
        }
    }

    /// Keeps the samples for which `is_kept` is true.
    fn retain(&mut self, is_kept: &[bool]) {
        let mut kept = 0;
        for i in (0..is_kept.len()).filter(|&i| is_kept[i]) {
            self.values.copy_within(i * self.dim..(i + 1) * self.dim, kept * self.dim);
            kept += 1;
        }
        self.values.truncate(kept * self.dim);
    }
}

/// Samples that learning did not take as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutlierCounts {
    /// Read.
    pub(crate) read: usize,
    /// Zero throughout; left out where there is to be a norm limit.
    pub(crate) zeros: usize,
    /// Scaled down to the norm limit.
    pub(crate) clipped: usize,
    /// Left out for their norm.
    pub(crate) dropped: usize,
}

impl OutlierCounts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.zeros += other.zeros;
        self.clipped += other.clipped;
        self.dropped += other.dropped;
    }
}

/// What a sample is to learning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Within,
    /// Beyond the norm limit.
    Beyond,
    /// Beyond the norm limit, which it cannot be scaled to: the norm overflows.
    Infinite,
    /// Zero throughout.
    Zero,
}

/// What is done to samples before they are uploaded.
#[derive(Clone, Debug)]
pub(crate) struct Gate<T> {
    preprocessing: Preprocessing<T>,
    /// What to do with samples above the norm limit.
    outliers: Outliers,
}

impl<T: Scalar> Gate<T> {
    pub(crate) fn new(preprocessing: Preprocessing<T>, outliers: Outliers) -> Self {
        Self { preprocessing, outliers }
    }

    /// What is done to every sample.
    pub(crate) fn preprocessing(&self) -> &Preprocessing<T> {
        &self.preprocessing
    }
}

/// A backend matrix that samples are uploaded to, reused from batch to batch.
pub(crate) struct Upload<B: Backend> {
    matrix: B::Matrix,
    samples: usize,
    /// Of each sample in the matrix, or empty.
    is_outside: Vec<bool>,
    /// Of each sample read, whether it is in the matrix.
    is_kept: Vec<bool>,
}

impl<B: Backend> Upload<B> {
    pub(crate) fn new(backend: &B, dim: usize) -> Result<Self, BackendError> {
        let matrix = backend.zeros(dim, 0)?;
        Ok(Self { matrix, samples: 0, is_outside: Vec::new(), is_kept: Vec::new() })
    }

    /// The uploaded matrix.
    pub(crate) fn matrix(&self) -> &B::Matrix {
        &self.matrix
    }

    /// Samples in it.
    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// Which of the uploaded samples are not within the norm limit, those that were clipped
    /// included; empty where all are.
    pub(crate) fn is_outside(&self) -> &[bool] {
        &self.is_outside
    }

    /// The shards of the uploaded samples: those of all samples `read`, without those left out.
    pub(crate) fn shards(&self, read: &SampleShards) -> SampleShards {
        read.without(&self.is_kept)
    }

    /// Takes `host` through the gate, in place, and uploads what is left of it.
    pub(crate) fn take(
        &mut self,
        backend: &B,
        gate: &Gate<B::Scalar>,
        host: &mut HostSamples<B::Scalar>,
    ) -> Result<OutlierCounts, Error> {
        let counts = self.take_part(backend, gate, host)?;
        check_size::<B::Scalar>(outlined::energy(&host.values), host.len(), &|| host.are_zero())?;
        Ok(counts)
    }

    /// Takes all of `host` through the gate, in place, and uploads it. Samples that are out of
    /// range are added to `errors`, by their places in `host`; they, and those that are in `errors`
    /// already, are uploaded as zeros. `errors` is in rising order before and after.
    pub(crate) fn take_each(
        &mut self,
        backend: &B,
        gate: &Gate<B::Scalar>,
        host: &mut HostSamples<B::Scalar>,
        errors: &mut Vec<(usize, Error)>,
    ) -> Result<(), Error> {
        let (is_outside, is_kept) = (&mut self.is_outside, &mut self.is_kept);
        preprocess(&gate.preprocessing, Outliers::Keep, host, is_outside, is_kept)?;
        let mut earlier = std::mem::take(errors).into_iter().peekable();
        for (i, sample) in host.values.chunks_exact_mut(host.dim).enumerate() {
            let known = earlier.next_if(|&(place, _)| place == i);
            let norm = outlined::energy(sample).sqrt();
            let is_sound = is_in_range::<B::Scalar>(norm) || (norm == 0.0 && is_zero(sample));
            if known.is_none() && is_sound {
                continue;
            }
            sample.fill(<B::Scalar as Zero>::zero());
            errors.push(known.unwrap_or_else(|| (i, out_of_range::<B::Scalar>(norm, Some(i)))));
        }
        let samples = MatRef::from_column_major_slice(&host.values, host.dim, host.len());
        backend.upload(samples, &mut self.matrix)?;
        self.samples = host.len();
        Ok(())
    }

    /// As [`take`](Self::take) for a part of some samples, whose size is to be
    /// [checked](check_size) with that of the others.
    pub(crate) fn take_part(
        &mut self,
        backend: &B,
        gate: &Gate<B::Scalar>,
        host: &mut HostSamples<B::Scalar>,
    ) -> Result<OutlierCounts, Error> {
        let dim = host.dim;
        let Gate { preprocessing, outliers } = gate;
        let (is_outside, is_kept) = (&mut self.is_outside, &mut self.is_kept);
        let counts = preprocess(preprocessing, *outliers, host, is_outside, is_kept)?;
        let count = host.len();
        let samples = MatRef::from_column_major_slice(&host.values, dim, count);
        backend.upload(samples, &mut self.matrix)?;
        self.samples = count;
        Ok(counts)
    }
}

compiled! {
    /// Preprocesses samples, clips or drops those above the norm limit, and leaves out padding
    /// where there is to be a limit. Says of each that stays whether it is outside the limit, or
    /// nothing where none is; and of each sample read whether it stays.
    fn preprocess<T>(
        preprocessing: &Preprocessing<T>,
        outliers: Outliers,
        host: &mut HostSamples<T>,
        is_outside: &mut Vec<bool>,
        is_kept: &mut Vec<bool>,
    ) -> Result<OutlierCounts, Error> {
        let dim = host.dim;
        let prepare = |sample: &mut [T]| {
            let is_zero = is_zero(sample);
            preprocessing.apply(sample);
            if is_zero {
                return Kind::Zero;
            }
            let Some((norm, limit)) = preprocessing.excess(sample) else { return Kind::Within };
            if let Outliers::Clip(_) = outliers {
                if !norm.is_finite() {
                    return Kind::Infinite;
                }
                let factor = T::narrow(limit / norm);
                sample.iter_mut().for_each(|x| *x *= factor);
            }
            Kind::Beyond
        };
        let kinds: Vec<Kind> = host
            .values
            .par_chunks_exact_mut(dim)
            .with_min_len(SAMPLES_A_TASK)
            .map(prepare)
            .collect();
        if kinds.contains(&Kind::Infinite) {
            return Err(out_of_range::<T>(f64::INFINITY, None));
        }
        let count = |kind| kinds.iter().filter(|&&other| other == kind).count();
        let (read, zeros, beyond) = (kinds.len(), count(Kind::Zero), count(Kind::Beyond));
        let (clipped, dropped) = match outliers {
            Outliers::Keep => (0, 0),
            Outliers::Clip(_) => (beyond, 0),
            Outliers::Drop(_) => (0, beyond),
        };
        let is_left_out = |kind| match kind {
            Kind::Within => false,
            Kind::Beyond | Kind::Infinite => matches!(outliers, Outliers::Drop(_)),
            Kind::Zero => outliers.are_limited(),
        };
        is_kept.clear();
        is_kept.extend(kinds.iter().map(|&kind| !is_left_out(kind)));
        if is_kept.contains(&false) {
            host.retain(is_kept);
        }
        // Without a limit, zeros are samples like others.
        let has_outside = preprocessing.norm_limit().is_some() && beyond + zeros > 0;
        is_outside.clear();
        if has_outside {
            let kept = kinds.iter().zip(&*is_kept).filter(|&(_, &is_kept)| is_kept);
            is_outside.extend(kept.map(|(&kind, _)| kind != Kind::Within));
        }
        if !is_outside.contains(&true) {
            is_outside.clear();
        }
        Ok(OutlierCounts { read, zeros, clipped, dropped })
    }
}

/// Refuses samples whose squares, or products with coefficients, would over- or underflow.
pub(crate) fn check_size<T: Scalar>(
    energy: f64,
    count: usize,
    are_zero: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let norm = (energy / count.max(1) as f64).sqrt();
    // The norm itself may have underflowed.
    if (norm == 0.0 && are_zero()) || is_in_range::<T>(norm) {
        return Ok(());
    }
    Err(out_of_range::<T>(norm, None))
}

/// Whether the squares of a sample of this norm neither over- nor underflow.
pub(crate) fn is_in_range<T: Scalar>(norm: f64) -> bool {
    (1.0 / T::LARGEST_NORM..=T::LARGEST_NORM).contains(&norm)
}

/// The error of a sample of this norm, or of samples whose root mean square norm it is.
pub(crate) fn out_of_range<T: Scalar>(norm: f64, sample: Option<usize>) -> Error {
    let (least, most) = (1.0 / T::LARGEST_NORM, T::LARGEST_NORM);
    Error::Range { argument: "samples", sample, found: norm, least, most, scalar: T::NAME }
}

compiled! {
    /// Names the first of these samples, which begin with sample `first` of `source`, that holds a
    /// NaN or an infinity.
    pub(crate) fn check_finite<T>(
        samples: &[T],
        source: &dyn SampleSource<T>,
        first: usize,
    ) -> Result<(), Error> {
        match loops::first_not_finite(samples) {
            None => Ok(()),
            Some(at) => Err(Error::NotFinite {
                sample: source.origin(first + at / source.dim()),
                coordinate: at % source.dim(),
                value: samples[at].widen(),
            }),
        }
    }
}
