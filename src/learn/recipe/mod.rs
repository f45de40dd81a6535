//! The recipe for interpretable features of embeddings: which stages, with which parameters.

mod run;
mod stages;

use super::{Builder, DbKsvd, LinearFeatures, Report};
use crate::coder::{SparseCoder, ThresholdPursuit};
use crate::cpu::Faer;
use crate::error::Error;
use crate::model::Model;
use crate::source::SampleSource;
use crate::updater::{DictionaryUpdater, KSvd};
use crate::{Outliers, Scalar};
pub use run::FeatureRun;

/// The share of the first stage in the passes over the samples.
const SHARE_OF_FIRST: f64 = 0.375;

/// Learns interpretable features of embeddings, such as the activations of a language model.
///
/// | stage | what it does | why |
/// |---|---|---|
/// | centring, clipping at 3 times the median norm | takes the mean out, and tames massive rows | embeddings have a strong mean, and a few rows of a hundred times the norm of others |
/// | [`DbKsvd::true_features`], 6 epochs | grows a dictionary by thresholded pursuit and K-SVD | its atoms stand for something by themselves: general ones first, special ones later |
/// | [`LinearFeatures`], 10 epochs | learns a linear encoder, and refines the dictionary with it | features are detected one by one, so that special ones do not absorb general ones |
///
/// The result has a [linear coder](Model::linear_coder), by which samples are to be coded. In the
/// repository, `docs/study/language-model` compares it with sparse autoencoders, and
/// `docs/study/truth.md` measures the first stage alone on data with known features.
///
/// ```no_run
/// use dbksvd::faer::Mat;
/// use dbksvd::learn::FeatureRecipe;
/// # fn activations() -> Mat<f32> { Mat::zeros(576, 100_000) }
///
/// let data = activations(); // d × N
/// let (model, _) = FeatureRecipe::new(4_096, 32.0).fit(&data)?;
/// let coder = model.linear_coder().expect("it was learned").clone();
/// let codes = model.encode(&coder, data.as_ref())?;
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FeatureRecipe {
    /// The number of atoms m.
    pub atoms: usize,
    /// Epochs of the first stage.
    pub epochs: usize,
    /// The second stage. Its mean number of nonzeros and its seed are those of both stages.
    pub linear: LinearFeatures,
}

impl FeatureRecipe {
    /// So many atoms, of which a sample has so many on average.
    #[must_use]
    pub fn new(atoms: usize, mean_nonzeros: f64) -> Self {
        Self { atoms, epochs: 6, linear: LinearFeatures::new(mean_nonzeros) }
    }

    /// So many passes over the samples in both stages together, three eighths of them in the first;
    /// at least 2. Default: 16.
    #[must_use]
    pub fn total_epochs(self, epochs: usize) -> Self {
        let of_first = ((epochs as f64 * SHARE_OF_FIRST).round() as usize).max(1);
        let linear = self.linear.epochs(epochs.saturating_sub(of_first));
        Self { epochs: of_first, linear, ..self }
    }

    /// Epochs of the first stage. Default: 6.
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// The second stage. Its mean number of nonzeros and its seed are those of both stages.
    #[must_use]
    pub fn linear(self, linear: LinearFeatures) -> Self {
        Self { linear, ..self }
    }

    /// The seed of both stages. Default: 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { linear: self.linear.seed(seed), ..self }
    }

    /// The first stage for samples of dimension `dim`, for those who want to change it, or to
    /// watch, save and resume it. Its limit k is twice the mean number of nonzeros, or d if that is
    /// less.
    ///
    /// # Errors
    /// [`Error::Argument`] if the second stage would refuse its parameters.
    pub fn dictionary<T: Scalar>(
        &self,
        dim: usize,
    ) -> Result<Builder<Faer<T>, ThresholdPursuit, KSvd>, Error> {
        self.linear.check(self.atoms, dim)?;
        let limit = (2.0 * self.linear.mean_nonzeros).ceil() as usize;
        let learner = DbKsvd::true_features_on(Faer::default(), self.atoms, limit.clamp(1, dim));
        let learner = learner.epochs(self.epochs).seed(self.linear.seed);
        Ok(learner.center(true).outliers(Outliers::Clip(3.0)))
    }

    /// Learns from the samples of `source`: both stages, one after the other, as one run.
    ///
    /// # Errors
    /// Those of [`DbKsvd::fit`] and of [`LinearFeatures::fit`].
    pub fn fit<T: Scalar>(
        &self,
        source: &impl SampleSource<T>,
    ) -> Result<(Model<T>, Report), Error> {
        let first = self.dictionary(source.dim())?.build()?;
        self.run(&first, source).finish()?.into_result()
    }

    /// A run of both stages that can be watched, stopped, saved and taken up again. `first` is the
    /// learner of the first stage, as [`dictionary`](Self::dictionary) gives it, or changed. If it
    /// drops outliers, so does the second stage.
    ///
    /// The second stage needs all samples in one place, so this run takes no group of owners. Where
    /// several machines share the samples, let the first stage learn on them by
    /// [`Run::group`](super::Run::group), and the second on one by [`LinearFeatures::run`]: the
    /// model is that of both in one run.
    pub fn run<'a, T, C, U>(
        &self,
        first: &'a DbKsvd<Faer<T>, C, U>,
        source: &'a dyn SampleSource<T>,
    ) -> FeatureRun<'a, T, C, U>
    where
        T: Scalar,
        C: SparseCoder<Faer<T>>,
        U: DictionaryUpdater<Faer<T>>,
    {
        FeatureRun::new(*self, first, source)
    }
}
