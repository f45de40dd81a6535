//! Encoding with a fixed dictionary, again and again.

use faer::MatRef;

use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::codes::SparseCodes;
use crate::error::Error;
use crate::model::Model;
use crate::preprocessing::Outliers;
use crate::problem::ProblemShape;
use crate::samples::{HostSamples, Upload};
use crate::source::{SampleSource, check_rounding};

/// Samples uploaded and coded at a time.
const BLOCK: usize = 4096;

/// A model bound to a backend and a coder, with what the coder derived from the dictionary.
pub struct Encoder<B: Backend, C: SparseCoder<B>> {
    shape: ProblemShape,
    backend: B,
    coder: C,
    state: C::State,
    dictionary: B::Matrix,
    host: HostSamples<B::Scalar>,
    samples: Upload<B>,
    codes: B::Codes,
}

impl<B: Backend, C: SparseCoder<B> + std::fmt::Debug> std::fmt::Debug for Encoder<B, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shape, coder, .. } = self;
        f.debug_struct("Encoder")
            .field("shape", shape)
            .field("coder", coder)
            .finish_non_exhaustive()
    }
}

impl<B: Backend, C: SparseCoder<B>> Encoder<B, C> {
    /// Uploads the model's dictionary to `backend` and prepares `coder` for it.
    ///
    /// # Errors
    /// [`Error::Argument`] if the coder cannot serve the model's shape, [`Error::Backend`] if
    /// memory cannot be had.
    pub fn new(backend: B, coder: C, model: &Model<B::Scalar>) -> Result<Self, Error> {
        let shape = model.shape();
        coder.check(&shape)?;
        let mut state = coder.prepare(&backend, &shape)?;
        let mut dictionary = backend.zeros(shape.dim, shape.atoms)?;
        backend.upload(model.dictionary().as_mat(), &mut dictionary)?;
        coder.set_dictionary(&backend, &mut state, &dictionary)?;
        let host = HostSamples::new(shape.dim);
        let preprocessing = model.preprocessing().clone();
        let samples = Upload::new(&backend, shape.dim, preprocessing, Outliers::Keep)?;
        let codes = backend.codes(shape.atoms, 0, shape.sparsity)?;
        Ok(Self { shape, backend, coder, state, dictionary, host, samples, codes })
    }

    /// The coder's state: what coders tell of their work besides the codes.
    #[must_use]
    pub fn state(&self) -> &C::State {
        &self.state
    }

    /// The codes of `samples` (d × N, a column a sample).
    ///
    /// Works through blocks of 4,096 samples: besides the codes, memory does not grow with N.
    /// O(N (d·m + k²m)) with [`BatchOmp`](crate::coder::BatchOmp).
    ///
    /// # Errors
    /// [`Error::Dimension`] if samples are not of dimension d, [`Error::NotFinite`] if one holds a
    /// NaN or an infinity, [`Error::Argument`] if they are too large or small to square,
    /// [`Error::Backend`] if memory cannot be had.
    pub fn encode(
        &mut self,
        samples: MatRef<'_, B::Scalar>,
    ) -> Result<SparseCodes<B::Scalar>, Error> {
        self.encode_source(&samples)
    }

    /// The codes of all samples of `source`, in order.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), [`Error::Source`] if reading fails, and [`Error::Rounding`] for
    /// samples that are stored in more digits than they can do without.
    pub fn encode_source(
        &mut self,
        source: &impl SampleSource<B::Scalar>,
    ) -> Result<SparseCodes<B::Scalar>, Error> {
        let ProblemShape { dim, atoms, sparsity, .. } = self.shape;
        if source.dim() != dim {
            let found = source.dim();
            return Err(Error::Dimension { argument: "samples", found, expected: dim });
        }
        check_rounding(source)?;
        let mut all = SparseCodes::new(atoms, 0, sparsity);
        for start in (0..source.len()).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(source.len());
            let Self { backend, coder, state, dictionary, host, samples, codes, .. } = self;
            host.read(source, std::iter::once(block))?;
            samples.take(backend, host)?;
            coder.encode(backend, state, dictionary, samples.matrix(), codes)?;
            backend.synchronize()?;
            all.extend(&backend.download_codes(codes)?);
        }
        Ok(all)
    }
}
