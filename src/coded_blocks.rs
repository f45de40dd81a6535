//! Samples of a source, coded a block at a time.

use std::ops::Range;

use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::problem::ProblemShape;
use crate::samples::preprocessing::{Outliers, Preprocessing};
use crate::samples::{Gate, HostSamples, Upload};
use crate::source::SampleSource;

/// Samples coded at a time.
pub(crate) const BLOCK: usize = 4096;

/// A block of samples on a backend with its codes, and what they leave: memory that is used again
/// for the next.
pub(crate) struct CodedBlocks<B: Backend> {
    pub(crate) host: HostSamples<B::Scalar>,
    gate: Gate<B::Scalar>,
    upload: Upload<B>,
    codes: B::Codes,
    residual: B::Matrix,
}

impl<B: Backend> CodedBlocks<B> {
    /// For codes of this shape. Samples are preprocessed so, whatever their norm: a model will meet
    /// such samples, too.
    pub(crate) fn new(
        backend: &B,
        shape: &ProblemShape,
        preprocessing: Preprocessing<B::Scalar>,
    ) -> Result<Self, Error> {
        Ok(Self {
            host: HostSamples::new(shape.dim),
            gate: Gate::new(preprocessing, Outliers::Keep),
            upload: Upload::new(backend, shape.dim)?,
            codes: backend.codes(shape.atoms, 0, shape.sparsity)?,
            residual: backend.zeros(shape.dim, 0)?,
        })
    }

    /// Makes room for codes of another shape.
    pub(crate) fn reshape(&mut self, backend: &B, shape: &ProblemShape) -> Result<(), Error> {
        self.codes = backend.codes(shape.atoms, 0, shape.sparsity)?;
        Ok(())
    }

    /// Reads and codes the samples of `ranges` on a dictionary that the coder knows.
    pub(crate) fn code<C: SparseCoder<B>>(
        &mut self,
        backend: &B,
        (coder, state): (&C, &C::State),
        dictionary: &B::Matrix,
        source: &dyn SampleSource<B::Scalar>,
        ranges: impl Iterator<Item = Range<usize>> + Clone,
    ) -> Result<(), Error> {
        self.host.read(source, ranges.clone())?;
        let place = |i: usize| ranges.clone().flatten().nth(i).map_or(i, |i| source.origin(i));
        let taken = self.upload.take(backend, &self.gate, &mut self.host);
        taken.map_err(|error| self.host.blame(error, place))?;
        coder.encode(backend, state, dictionary, self.upload.matrix(), &mut self.codes)?;
        Ok(())
    }

    /// Reads and codes the samples of `range`. Bad ones are added to `errors` and coded as zeros.
    pub(crate) fn code_each<C: SparseCoder<B>>(
        &mut self,
        backend: &B,
        (coder, state): (&C, &C::State),
        dictionary: &B::Matrix,
        source: &dyn SampleSource<B::Scalar>,
        range: Range<usize>,
        errors: &mut Vec<(usize, Error)>,
    ) -> Result<(), Error> {
        let first = range.start;
        let mut found = self.host.read_each(source, range)?;
        self.upload.take_each(backend, &self.gate, &mut self.host, &mut found)?;
        errors.extend(
            found
                .into_iter()
                .map(|(i, error)| (first + i, error.with_sample(source.origin(first + i)))),
        );
        coder.encode(backend, state, dictionary, self.upload.matrix(), &mut self.codes)?;
        Ok(())
    }

    /// R ← Y − DX of the block that was coded.
    pub(crate) fn compute_residual(&mut self, backend: &B, dictionary: &B::Matrix) {
        backend.residual(&mut self.residual, self.upload.matrix(), dictionary, &self.codes);
    }

    /// R, as computed last.
    pub(crate) fn residual(&self) -> &B::Matrix {
        &self.residual
    }

    /// The codes of the block.
    pub(crate) fn codes(&self) -> &B::Codes {
        &self.codes
    }

    /// Which samples of the block are not within the norm limit; empty where all are.
    pub(crate) fn is_outside(&self) -> &[bool] {
        self.upload.is_outside()
    }
}
