//! Samples that are made when they are read.

use std::ops::Range;

use dbksvd::Scalar;
use dbksvd::error::SourceError;
use dbksvd::source::{SampleSource, check_read};
use rayon::prelude::*;

use super::FeatureModel;
use super::sampler::BLOCK;

/// Samples of a [`FeatureModel`] that are made when they are read; [`FeatureModel::source`] makes
/// such a source.
///
/// Reading is in parallel over blocks of 64 samples, which are also the runs of samples that a
/// shuffle keeps together. Reading part of a block costs as much as reading all of it, except for
/// the sums Σ a_i d_i, since the features of earlier samples in the block are drawn again.
#[derive(Clone, Copy, Debug)]
pub struct FeatureSource<'a, T: Scalar> {
    model: &'a FeatureModel<T>,
    len: usize,
    seed: u64,
}

impl<'a, T: Scalar> FeatureSource<'a, T> {
    pub(super) fn new(model: &'a FeatureModel<T>, len: usize, seed: u64) -> Self {
        Self { model, len, seed }
    }
}

impl<T: Scalar> SampleSource<T> for FeatureSource<'_, T> {
    fn dim(&self) -> usize {
        self.model.features.dim()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        let dim = self.dim();
        check_read(&range, into.len(), self.len, dim)?;
        let head = (BLOCK - range.start % BLOCK).min(range.len());
        let (first, rest) = into.split_at_mut(head * dim);
        let start = range.start + head;
        let rest = rest.par_chunks_mut(BLOCK * dim).enumerate();
        let read = |start: usize, into: &mut [T]| {
            let skipped = start % BLOCK;
            let end = skipped + into.len() / dim;
            let codes = self.model.sampler.block(self.seed, start / BLOCK, end);
            for (i, sample) in (skipped..end).zip(into.chunks_exact_mut(dim)) {
                self.model.write(&codes, i, sample);
            }
        };
        if !first.is_empty() {
            read(range.start, first);
        }
        rest.for_each(|(block, into)| read(start + block * BLOCK, into));
        Ok(())
    }

    fn run_length(&self) -> usize {
        BLOCK
    }
}
