//! The builder: everything that can be set, checked in one place.

use super::{DbKsvd, Initialisation};
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::problem::{ProblemShape, Sign};
use crate::updater::DictionaryUpdater;

/// The scalars of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) atoms: usize,
    pub(super) sparsity: usize,
    pub(super) sign: Sign,
    pub(super) epochs: usize,
    pub(super) minibatch: Option<usize>,
    pub(super) seed: u64,
    pub(super) center: bool,
}

impl Settings {
    /// Samples a step, of `samples` in all.
    ///
    /// By default 4m, but no more than a quarter of the data, so that an epoch has several steps,
    /// and no fewer than give an atom twenty uses, without which its update is mostly noise.
    pub(super) fn minibatch_of(&self, samples: usize) -> usize {
        let least = 20 * self.atoms / self.sparsity;
        let default = (4 * self.atoms).min(samples / 4).max(least).max(1);
        self.minibatch.unwrap_or(default).min(samples)
    }

    pub(super) fn shape(&self, dim: usize) -> ProblemShape {
        ProblemShape { dim, atoms: self.atoms, sparsity: self.sparsity, sign: self.sign }
    }
}

/// Sets up a [`DbKsvd`]. Setters never fail; [`build`](Self::build) checks everything.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | backend | [`Faer<f32>`](crate::backend::Faer) | | where matrices live, and their scalar |
/// | atoms m | | ≥ 1 | size of the dictionary |
/// | sparsity k | | 1 ..= min(m, d) | most nonzeros a sample |
/// | [`sign`](Self::sign) | signed | | sign of coefficients |
/// | [`epochs`](Self::epochs) | 20 | ≥ 0 | passes over the data |
/// | [`minibatch`](Self::minibatch) | max(20·m/k, min(4m, N/4)) | ≥ 1 | samples a step |
/// | [`seed`](Self::seed) | 0 | | all randomness |
/// | [`initialisation`](Self::initialisation) | samples | | the first dictionary |
/// | [`center`](Self::center) | no | | subtract the mean of the data |
/// | [`coder`](Self::coder) | [`BatchOmp`](crate::coder::BatchOmp) | | sparse coding, its stop rules |
/// | [`updater`](Self::updater) | [`KSvd`](crate::updater::KSvd) | | dictionary update, its atom batch |
#[derive(Clone, Debug)]
#[must_use = "call `build` to check the parameters and get a `DbKsvd`"]
pub struct Builder<B: Backend, C, U> {
    pub(super) settings: Settings,
    pub(super) initialisation: Initialisation<B::Scalar>,
    pub(super) backend: B,
    pub(super) coder: C,
    pub(super) updater: U,
}

impl<B: Backend, C, U> Builder<B, C, U> {
    pub(super) fn new(backend: B, coder: C, updater: U, atoms: usize, sparsity: usize) -> Self {
        let settings = Settings {
            atoms,
            sparsity,
            sign: Sign::Signed,
            epochs: 20,
            minibatch: None,
            seed: 0,
            center: false,
        };
        Self { settings, initialisation: Initialisation::Samples, backend, coder, updater }
    }

    /// The sign that coefficients may have.
    pub fn sign(mut self, sign: Sign) -> Self {
        self.settings.sign = sign;
        self
    }

    /// Passes over the data. With 0 the initial dictionary is the result.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.settings.epochs = epochs;
        self
    }

    /// The most samples per step: the outer batch. An epoch is cut into equal steps of at most
    /// this many; more than there are samples means all of them.
    ///
    /// The default counts on nearly k nonzeros a sample. Where a tolerance ends most pursuits
    /// earlier, give a larger one: an atom wants some twenty uses a step.
    pub fn minibatch(mut self, samples: usize) -> Self {
        self.settings.minibatch = Some(samples);
        self
    }

    /// The seed of all randomness: initial atoms, order of samples, order of atoms.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The first dictionary.
    pub fn initialisation(mut self, initialisation: Initialisation<B::Scalar>) -> Self {
        self.initialisation = initialisation;
        self
    }

    /// Whether to subtract the mean of the data, found in one pass before learning. The model
    /// keeps it and `decode` gives it back.
    pub fn center(mut self, center: bool) -> Self {
        self.settings.center = center;
        self
    }

    /// Codes samples by another coder.
    pub fn coder<Other>(self, coder: Other) -> Builder<B, Other, U> {
        let Self { settings, initialisation, backend, updater, .. } = self;
        Builder { settings, initialisation, backend, coder, updater }
    }

    /// Updates the dictionary by another updater.
    pub fn updater<Other>(self, updater: Other) -> Builder<B, C, Other> {
        let Self { settings, initialisation, backend, coder, .. } = self;
        Builder { settings, initialisation, backend, coder, updater }
    }

    /// Checks every parameter.
    ///
    /// # Errors
    /// [`Error::Argument`], naming the parameter at fault, the value found and those legal. What
    /// depends on the data's dimension (k ≤ d) is checked by [`DbKsvd::fit`].
    pub fn build(self) -> Result<DbKsvd<B, C, U>, Error>
    where
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let Self { settings, initialisation, .. } = &self;
        // Until data come, the dimension is only known if a dictionary was given.
        let mut dim = usize::MAX;
        if let Initialisation::Given(dictionary) = initialisation {
            if dictionary.atoms() != settings.atoms {
                let found = format!("a dictionary of {} atoms", dictionary.atoms());
                let expected = format!("{} atoms", settings.atoms);
                return Err(Error::argument("initialisation", found, expected));
            }
            dim = dictionary.dim();
        }
        if settings.minibatch == Some(0) {
            return Err(Error::argument("minibatch", 0, "at least 1"));
        }
        let shape = settings.shape(dim);
        shape.check()?;
        self.coder.check(&shape)?;
        self.updater.check(&shape)?;
        Ok(DbKsvd { config: self })
    }
}
