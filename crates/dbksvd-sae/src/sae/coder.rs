//! The encoder of a sparse autoencoder as a [`SparseCoder`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dbksvd::coder::SparseCoder;
use dbksvd::error::BackendError;
use dbksvd::{Error, HostBackend, Parameters, ProblemShape, Scalar, Sign};
use rayon::prelude::*;

use super::activation::{Activation, Input, Output};
use super::encode::{BLOCK, Pool, copy};
use super::types::Sae;

/// An SAE's encoder, for use with the models that [`Sae::model`] makes of the SAE's decoder.
///
/// Codes are those of [`Sae::encode`], with three departures:
/// - If a sample has more nonzeros than the budget k, the k of largest |code| are kept; of equal
///   ones, the lower atoms. [`SaeState::cut`] counts the samples to which this happened.
/// - The encoder is fixed: codes do not depend on the dictionary that the coder is given.
/// - The model's mean has already been subtracted from samples. For an encoder that wants them
///   without this ([`Sae::is_input_centred`] is false), W_encᵀ b_dec is added to the bias instead,
///   which rounds differently.
///
/// Two clauses of the [contract of coders](SparseCoder#contract) do not hold: a sample that is zero
/// (equal to the mean) may have a code, because b_enc can make latents fire, and the reconstruction
/// of a sample may be worse than an empty code.
///
/// ```
/// use dbksvd::faer::mat;
/// use dbksvd_sae::{Affine, Architecture, Sae, SaeCoder};
///
/// let encoder = Affine { weights: mat![[1.0, 0.0], [0.0, 1.0]], bias: vec![0.0, 0.0] };
/// let decoder = mat![[1.0, 0.0], [0.0, 1.0]];
/// let sae = Sae::new(decoder, vec![0.0, 0.0], true, Architecture::Standard { encoder })?;
/// let encoder = sae.model(1)?.encoder(SaeCoder::new(sae))?;
/// let codes = encoder.encode(mat![[3.0, 1.0], [2.0, -1.0]].as_ref())?;
/// assert_eq!((codes.values(0), codes.values(1)), (&[3.0][..], &[1.0][..]));
/// assert_eq!(encoder.state().cut(), 1); // sample 0 had two
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SaeCoder<T: Scalar> {
    sae: Arc<Sae<T>>,
}

impl<T: Scalar> SaeCoder<T> {
    /// The encoder of `sae`. Clones of the coder share the SAE.
    #[must_use]
    pub fn new(sae: impl Into<Arc<Sae<T>>>) -> Self {
        Self { sae: sae.into() }
    }

    /// The SAE.
    #[must_use]
    pub fn sae(&self) -> &Sae<T> {
        &self.sae
    }
}

/// Scratch memory of [`SaeCoder`], and the number of samples that had too many nonzeros.
#[derive(Debug)]
pub struct SaeState<T: Scalar> {
    shape: ProblemShape,
    activation: Activation<T>,
    pool: Pool<T>,
    cut: AtomicU64,
}

impl<T: Scalar> SaeState<T> {
    /// How many of the samples coded so far had more nonzeros than the budget and lost their
    /// weakest ones.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }
}

impl<B: HostBackend> SparseCoder<B> for SaeCoder<B::Scalar> {
    type State = SaeState<B::Scalar>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        let (sae, expected) = (&self.sae, format!("d = {}, m = {}", shape.dim, shape.atoms));
        if (sae.dim(), sae.atoms()) != (shape.dim, shape.atoms) {
            let found = format!("of d = {}, m = {}", sae.dim(), sae.atoms());
            return Err(Error::argument("sae", found, expected));
        }
        if shape.sign == Sign::NonNegative && sae.architecture().sign() == Sign::Signed {
            let found = sae.architecture().name();
            return Err(Error::argument("sae", found, "non-negative latents"));
        }
        Ok(())
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let input = if self.sae.has_mean() { Input::Centred } else { Input::AsWanted };
        let activation = Activation::new(&self.sae, input, Output::Codes);
        Ok(SaeState { shape: *shape, activation, pool: Pool::default(), cut: AtomicU64::new(0) })
    }

    fn set_dictionary(
        &self,
        _: &B,
        _: &mut Self::State,
        _: &B::Matrix,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        _: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let y = backend.view(y);
        let SaeState { shape, activation, pool, cut } = state;
        assert_eq!(y.nrows(), shape.dim, "the samples' dimension");
        codes.reset(y.ncols());
        let part = (&*self.sae, activation);
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            let samples = y.subcols(block.first(), block.len());
            pool.block(backend, part, samples, None, |i, found| {
                if found.len() > shape.sparsity {
                    cut.fetch_add(1, Ordering::Relaxed);
                    found.truncate(shape.sparsity);
                }
                block.write(i, |support, values| copy(found, support, values));
            });
        });
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        Parameters::of("SaeCoder").with("sae", &*self.sae)
    }
}
