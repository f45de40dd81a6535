//! The recipe for interpretable features of embeddings: which stages, with which parameters.

use super::{Builder, DbKsvd, LinearFeatures, Report};
use crate::coder::ThresholdPursuit;
use crate::cpu::Faer;
use crate::error::Error;
use crate::model::Model;
use crate::source::SampleSource;
use crate::updater::KSvd;
use crate::{Outliers, Scalar};

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
/// let features = FeatureRecipe::new(4_096, 32.0).fit(&data)?;
/// let coder = features.model.linear_coder().expect("it was learned").clone();
/// let codes = features.model.encode(&coder, data.as_ref())?;
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

/// What [`FeatureRecipe::fit`] gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FeatureFit<T: Scalar> {
    /// The dictionary, with its linear coder.
    pub model: Model<T>,
    /// The course of the first stage.
    pub dictionary: Report,
    /// The course of the second stage.
    pub linear: Report,
}

impl FeatureRecipe {
    /// So many atoms, of which a sample has so many on average.
    #[must_use]
    pub fn new(atoms: usize, mean_nonzeros: f64) -> Self {
        Self { atoms, epochs: 6, linear: LinearFeatures::new(mean_nonzeros) }
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

    /// Learns from the samples of `source`: both stages, one after the other.
    ///
    /// # Errors
    /// Those of [`DbKsvd::fit`] and of [`LinearFeatures::fit`].
    pub fn fit<T: Scalar>(&self, source: &impl SampleSource<T>) -> Result<FeatureFit<T>, Error> {
        let (model, dictionary) = self.dictionary(source.dim())?.build()?.fit(source)?;
        let (model, linear) = self.linear.fit(&model, source)?;
        Ok(FeatureFit { model, dictionary, linear })
    }
}
