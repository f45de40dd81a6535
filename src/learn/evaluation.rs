//! The error of the current dictionary on samples that are never learned from.

use super::builder::Builder;
use super::session::Trainer;
use faer::MatRef;

use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::cpu::vector::outlined;
use crate::error::Error;
use crate::matrix::column;
use crate::samples::moments::Figures;
use crate::samples::preprocessing::Outliers;
use crate::samples::{HostSamples, Upload};
use crate::source::SampleSource;
use crate::updater::DictionaryUpdater;

/// Samples coded at a time.
const BLOCK: usize = 4096;

/// Held-out samples, and the memory in which blocks of them are coded.
pub(super) struct HeldOutEvaluator<'a, B: Backend> {
    source: &'a dyn SampleSource<B::Scalar>,
    host: HostSamples<B::Scalar>,
    upload: Upload<B>,
    codes: B::Codes,
    /// Atoms that the codes are for.
    atoms: usize,
    residual: B::Matrix,
}

/// What was measured.
pub(super) struct HeldOutFigures {
    pub(super) figures: Figures,
    pub(super) nonzeros: usize,
}

impl<'a, B: Backend> HeldOutEvaluator<'a, B> {
    pub(super) fn new<C, U>(
        config: &Builder<B, C, U>,
        source: &'a dyn SampleSource<B::Scalar>,
        trainer: &Trainer<B, C, U>,
    ) -> Result<Self, Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let (backend, dim) = (&config.backend, source.dim());
        let shape = trainer.shape();
        let preprocessing = trainer.preprocessing().clone();
        // Whatever their norm, these are samples that a model will meet.
        Ok(Self {
            source,
            host: HostSamples::new(dim),
            upload: Upload::new(backend, dim, preprocessing, Outliers::Keep)?,
            codes: backend.codes(shape.atoms, 0, shape.sparsity)?,
            atoms: shape.atoms,
            residual: backend.zeros(dim, 0)?,
        })
    }

    /// Codes all samples with the trainer's dictionary.
    pub(super) fn examine<C, U>(
        &mut self,
        config: &Builder<B, C, U>,
        trainer: &mut Trainer<B, C, U>,
    ) -> Result<HeldOutFigures, Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let backend = &config.backend;
        let shape = trainer.shape();
        if self.atoms != shape.atoms {
            self.codes = backend.codes(shape.atoms, 0, shape.sparsity)?;
            self.atoms = shape.atoms;
        }
        let Self { source, host, upload, codes, residual, .. } = self;
        let mut measured = HeldOutFigures { figures: Figures::new(source.dim()), nonzeros: 0 };
        trainer.refresh_coder(config)?;
        for start in (0..source.len()).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(source.len());
            host.read(*source, std::iter::once(block))?;
            upload.take(backend, host)?;
            trainer.encode(config, upload.matrix(), codes)?;
            backend.residual(residual, upload.matrix(), trainer.dictionary(), codes);
            backend.synchronize()?;
            let is_outside = upload.is_outside();
            let mut figures = host.figures(is_outside);
            figures.all.error = backend.squared_norm(residual);
            figures.within.error = if is_outside.is_empty() {
                figures.all.error
            } else {
                error_within::<B>(backend.download(residual)?.as_ref(), is_outside)
            };
            measured.figures.merge(&figures);
            measured.nonzeros += backend.nonzeros(codes)?;
        }
        Ok(measured)
    }
}

/// ‖r‖² of the residuals of the samples within the norm limit.
fn error_within<B: Backend>(residual: MatRef<'_, B::Scalar>, is_outside: &[bool]) -> f64 {
    let within = (0..residual.ncols()).filter(|&i| !is_outside[i]);
    within.map(|i| outlined::energy(column(residual, i))).sum()
}
