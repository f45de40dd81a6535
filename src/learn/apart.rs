//! The samples of a minibatch that are not within the norm limit, coded once more on their own:
//! what they leave is taken from the error of all, for the error of the others.
//!
//! They are few, and a sample's code does not depend on those beside it, so this asks nothing new
//! of backends, and costs next to nothing where there is no limit or nothing beyond it.

use super::config::Config;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::{BackendError, Error};
use crate::group::Share;
use crate::matrix::column;
use crate::problem::ProblemShape;
use crate::samples::HostSamples;
use crate::updater::DictionaryUpdater;
use faer::{Mat, MatRef};

/// Those samples, and the memory in which they are coded.
pub(super) struct Apart<B: Backend> {
    samples: B::Matrix,
    count: usize,
    residual: B::Matrix,
}

impl<B: Backend> Apart<B> {
    pub(super) fn new(backend: &B, dim: usize) -> Result<Self, BackendError> {
        let (samples, residual) = (backend.zeros(dim, 0)?, backend.zeros(dim, 0)?);
        Ok(Self { samples, count: 0, residual })
    }

    /// Takes from a minibatch, as it was uploaded, the samples for which `is_outside` says so.
    pub(super) fn take(
        &mut self,
        backend: &B,
        host: &HostSamples<B::Scalar>,
        is_outside: &[bool],
    ) -> Result<(), BackendError> {
        self.count = is_outside.iter().filter(|&&outside| outside).count();
        if self.count == 0 {
            return Ok(());
        }
        let values = host.select(is_outside);
        let dim = values.len() / self.count;
        let samples = MatRef::from_column_major_slice(&values, dim, self.count);
        backend.upload(samples, &mut self.samples)
    }

    /// The squared error of their codes by the dictionary that the coder's state knows.
    pub(super) fn error<C, U>(
        &mut self,
        config: &Config<B, C, U>,
        state: &C::State,
        dictionary: &B::Matrix,
        shape: &ProblemShape,
        share: &Share<'_>,
    ) -> Result<f64, Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        if self.count > 0 {
            self.code(config, state, dictionary, shape)?;
        }
        if !share.is_alone() {
            return self.error_of_all(config, shape, share);
        }
        if self.count == 0 { Ok(0.0) } else { Ok(config.backend.squared_norm(&self.residual)?) }
    }

    /// R ← what the codes of these samples leave.
    fn code<C, U>(
        &mut self,
        config: &Config<B, C, U>,
        state: &C::State,
        dictionary: &B::Matrix,
        shape: &ProblemShape,
    ) -> Result<(), Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let Config { backend, coder, .. } = config;
        let mut codes = backend.codes(shape.atoms, 0, shape.sparsity)?;
        coder.encode(backend, state, dictionary, &self.samples, &mut codes)?;
        backend.residual(&mut self.residual, &self.samples, dictionary, &codes);
        Ok(backend.synchronize()?)
    }

    /// ‖R‖² of the samples of all owners, as one would have it that holds them all: they are few.
    fn error_of_all<C, U>(
        &mut self,
        config: &Config<B, C, U>,
        shape: &ProblemShape,
        share: &Share<'_>,
    ) -> Result<f64, Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let backend = &config.backend;
        let mut own = Vec::with_capacity(self.count * shape.dim);
        if self.count > 0 {
            let left: Mat<B::Scalar> = backend.download(&self.residual)?;
            (0..self.count).for_each(|i| own.extend_from_slice(column(left.as_ref(), i)));
        }
        let all = share.concat(own)?;
        if all.is_empty() {
            return Ok(0.0);
        }
        if !all.len().is_multiple_of(shape.dim) {
            let reason = format!("{} numbers are no samples of {}", all.len(), shape.dim);
            return Err(BackendError::Group { rank: share.rank(), reason }.into());
        }
        let all = MatRef::from_column_major_slice(&all, shape.dim, all.len() / shape.dim);
        backend.upload(all, &mut self.residual)?;
        Ok(backend.squared_norm(&self.residual)?)
    }
}
