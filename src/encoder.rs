//! Encoding with a fixed dictionary, again and again.

use faer::MatRef;

use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::codes::SparseCodes;
use crate::error::Error;
use crate::model::Model;
use crate::samples::Upload;

/// A model bound to a backend and a coder, with what the coder derived from the dictionary.
pub struct Encoder<B: Backend, C: SparseCoder<B>> {
    backend: B,
    coder: C,
    state: C::State,
    dictionary: B::Matrix,
    samples: Upload<B>,
    codes: B::Codes,
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
        coder.set_dictionary(&backend, &mut state, &dictionary);
        let samples = Upload::new(&backend, shape.dim, model.mean().map(<[_]>::to_vec))?;
        let codes = backend.codes(shape.atoms, 0, shape.sparsity)?;
        Ok(Self { backend, coder, state, dictionary, samples, codes })
    }

    /// The codes of `samples` (d × N, a column a sample).
    ///
    /// # Errors
    /// [`Error::Dimension`] if samples are not of dimension d, [`Error::NotFinite`] if one holds a
    /// NaN or an infinity, [`Error::Backend`] if memory cannot be had.
    pub fn encode(
        &mut self,
        samples: MatRef<'_, B::Scalar>,
    ) -> Result<SparseCodes<B::Scalar>, Error> {
        let y = self.samples.columns(&self.backend, samples)?;
        self.coder.encode(&self.backend, &mut self.state, &self.dictionary, y, &mut self.codes);
        self.backend.synchronize()?;
        Ok(self.backend.download_codes(&self.codes)?)
    }
}
