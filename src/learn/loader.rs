//! The way of a minibatch from host memory to the backend, and what is found out about it there.

use super::apart::Apart;
use crate::backend::{Backend, SampleShards};
use crate::error::{BackendError, Error};
use crate::problem::ProblemShape;
use crate::samples::moments::Figures;
use crate::samples::preprocessing::Preprocessing;
use crate::samples::spectrum::Spectrum;
use crate::samples::{Gate, HostSamples, OutlierCounts, Upload};
use crate::{Outliers, Scalar};

/// The memory of one minibatch on the backend, used again for the next.
pub(super) struct Buffers<B: Backend> {
    pub(super) upload: Upload<B>,
    pub(super) apart: Apart<B>,
}

impl<B: Backend> Buffers<B> {
    pub(super) fn new(backend: &B, dim: usize) -> Result<Self, BackendError> {
        Ok(Self { upload: Upload::new(backend, dim)?, apart: Apart::new(backend, dim)? })
    }
}

/// What is known of a minibatch on the backend that was not yet learned from.
pub(super) struct Loaded {
    pub(super) figures: Figures,
    pub(super) spectrum: Spectrum,
    pub(super) outliers: OutlierCounts,
    pub(super) shards: SampleShards,
}

/// Takes minibatches to the backend. It is the same for all of a run, so a thread may have a clone.
#[derive(Clone)]
pub(super) struct Loader<T: Scalar> {
    gate: Gate<T>,
    /// The problem whose shards samples are cut into.
    shape: ProblemShape,
}

impl<T: Scalar> Loader<T> {
    /// `shape` is that of the largest dictionary of the run: growth changes how many atoms there
    /// are, and is no reason to cut samples otherwise.
    pub(super) fn new(
        preprocessing: Preprocessing<T>,
        outliers: Outliers,
        shape: ProblemShape,
    ) -> Self {
        Self { gate: Gate::new(preprocessing, outliers), shape }
    }

    /// What is done to samples.
    pub(super) fn preprocessing(&self) -> &Preprocessing<T> {
        self.gate.preprocessing()
    }

    /// Preprocesses a minibatch and takes it to the backend: `host` is then free. Of the backend,
    /// it calls [`upload`](Backend::upload) alone, to matrices of `buffers`.
    pub(super) fn load<B: Backend<Scalar = T>>(
        &self,
        backend: &B,
        host: &mut HostSamples<T>,
        buffers: &mut Buffers<B>,
    ) -> Result<Loaded, Error> {
        let Buffers { upload, apart } = buffers;
        let outliers = upload.take(backend, &self.gate, host)?;
        apart.take(backend, host, upload.is_outside())?;
        let shards = upload.shards(&self.shape);
        let figures = host.figures(&shards, upload.is_outside());
        let spectrum = host.spectrum(&figures.all.mean);
        Ok(Loaded { figures, spectrum, outliers, shards })
    }
}
