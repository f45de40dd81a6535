//! What is done to samples before they are coded, and undone after decoding.

use crate::Scalar;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::parameters::Parameters;

/// Of norms, in ε.
const ROUNDING: f64 = 16.0;

/// Whether a sample is zero throughout, as padding is.
pub(crate) fn is_zero<T: Scalar>(sample: &[T]) -> bool {
    sample.iter().all(|&x| x == T::zero())
}

/// What becomes of samples whose norm, after the mean is subtracted, is above a multiple of the
/// median norm. Real activations have a few tokens of a hundred times the usual norm; squared, they
/// would be most of what a dictionary minimises.
///
/// Samples that are zero throughout count as padding where samples are clipped or dropped: they are
/// no part of the median, the mean and the scale, and they are not learned from.
///
/// A limit that more than half of the other samples lie beyond is an error ([`Error::NormLimit`]),
/// as it is with a factor well below 1, or with the limit of a model whose data were smaller.
///
/// This concerns learning alone: codes of a model are of whole samples.
///
/// ```
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Outliers};
///
/// let mut samples = Planted::new(16, 32, 3, 500).generate::<f32>()?.samples;
/// samples.col_mut(7).iter_mut().for_each(|value| *value *= 1000.0);
/// let learner = DbKsvd::builder(32, 3).epochs(2).outliers(Outliers::Drop(10.0)).build()?;
/// let (model, report) = learner.fit(&samples)?;
/// assert_eq!(report.epochs[0].dropped, 1);
/// assert!(!model.preprocessing().is_within(samples.col_as_slice(7)));
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Outliers {
    /// They are samples like others.
    #[default]
    Keep,
    /// They are scaled down to this multiple of the median norm.
    Clip(f64),
    /// They are left out.
    Drop(f64),
}

impl From<Outliers> for Parameters {
    fn from(outliers: Outliers) -> Self {
        match outliers {
            Outliers::Keep => Self::of("keep"),
            Outliers::Clip(factor) => Self::of("clip").with("factor", factor),
            Outliers::Drop(factor) => Self::of("drop").with("factor", factor),
        }
    }
}

impl Outliers {
    pub(crate) fn factor(self) -> Option<f64> {
        match self {
            Self::Keep => None,
            Self::Clip(factor) | Self::Drop(factor) => Some(factor),
        }
    }

    /// Whether there is to be a norm limit, which also makes zero samples padding.
    pub(crate) fn are_limited(self) -> bool {
        self != Self::Keep
    }

    /// What is done to samples beyond the limit, in a word.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Clip(_) => "clip",
            Self::Drop(_) => "drop",
        }
    }

    pub(crate) fn check(self) -> Result<(), Error> {
        match self.factor() {
            Some(factor) if !(factor.is_finite() && factor > 0.0) => {
                let expected = "a positive, finite multiple of the median norm";
                Err(Error::argument("outliers", factor, expected))
            }
            _ => Ok(()),
        }
    }
}

/// Which statistics of the data are taken before learning, and from how many samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StatisticsChoice {
    pub(crate) center: bool,
    pub(crate) scale: bool,
    pub(crate) outliers: Outliers,
    pub(crate) samples: usize,
}

/// y ↦ (y − mean) / scale, as coding takes samples and decoding gives them back.
///
/// ```
/// use dbksvd::faer::mat;
/// use dbksvd::{Dictionary, Model, Preprocessing, Sign};
///
/// let dictionary = Dictionary::new(mat![[1.0_f32, 0.0], [0.0, 1.0]])?;
/// let preprocessing = Preprocessing::none().with_mean(Some(vec![10.0, 20.0]))?.with_scale(2.0)?;
/// let model = Model::new(dictionary, None, 1, Sign::Signed)?.preprocessed(preprocessing)?;
/// let codes = model.encode(&dbksvd::coder::BatchOmp::new(), mat![[14.0], [20.0]].as_ref())?;
/// assert_eq!((codes.support(0), codes.values(0)), (&[0][..], &[2.0][..])); // (14 - 10) / 2
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing<T> {
    mean: Option<Vec<T>>,
    scale: f64,
    norm_limit: Option<f64>,
}

impl<T> Default for Preprocessing<T> {
    /// Samples as they are.
    fn default() -> Self {
        Self { mean: None, scale: 1.0, norm_limit: None }
    }
}

impl<T: Scalar> Preprocessing<T> {
    /// Samples as they are.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Subtracts `mean`.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not finite.
    pub fn with_mean(mut self, mean: Option<Vec<T>>) -> Result<Self, Error> {
        if let Some(mean) = &mean
            && let Some(coordinate) = loops::first_not_finite(mean)
        {
            let found = format!("{} at coordinate {coordinate}", mean[coordinate]);
            return Err(Error::argument("mean", found, "finite values"));
        }
        self.mean = mean;
        Ok(self)
    }

    /// Divides what is left by `scale`.
    ///
    /// # Errors
    /// [`Error::Argument`] unless it is positive and normal in `T`.
    pub fn with_scale(mut self, scale: f64) -> Result<Self, Error> {
        let rounded = T::narrow(scale).widen();
        if !(rounded.is_normal() && rounded > 0.0) {
            let expected = format!("a positive, normal {}", T::NAME);
            return Err(Error::argument("scale", scale, expected));
        }
        self.scale = rounded;
        Ok(self)
    }

    /// Remembers the norm ‖y − mean‖ at which samples were clipped or dropped in learning. What is
    /// measured is then told of the samples [within](Self::is_within) it besides that of all.
    ///
    /// # Errors
    /// [`Error::Argument`] unless it is positive and finite.
    pub fn with_norm_limit(mut self, limit: Option<f64>) -> Result<Self, Error> {
        if let Some(limit) = limit
            && !(limit.is_finite() && limit > 0.0)
        {
            return Err(Error::argument("norm_limit", limit, "positive and finite"));
        }
        self.norm_limit = limit;
        Ok(self)
    }

    /// What is subtracted from samples, of length d.
    #[must_use]
    pub fn mean(&self) -> Option<&[T]> {
        self.mean.as_deref()
    }

    /// What centred samples are divided by; 1 if nothing.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The norm ‖y − mean‖ above which samples were clipped or dropped in learning.
    #[must_use]
    pub fn norm_limit(&self) -> Option<f64> {
        self.norm_limit
    }

    /// Whether `sample`, as it is in the data, lies within the norm limit: it is not zero
    /// throughout, as padding is, and ‖y − mean‖ is not above the limit by more than rounding.
    /// Always where there is no limit.
    ///
    /// # Panics
    /// If there is a limit, and a mean of another length than the sample.
    #[must_use]
    pub fn is_within(&self, sample: &[T]) -> bool {
        self.is_within_by(sample, &mut Vec::new())
    }

    /// [`is_within`](Self::is_within), with memory for the centred sample.
    pub(crate) fn is_within_by(&self, sample: &[T], scratch: &mut Vec<T>) -> bool {
        if self.norm_limit.is_none() {
            return true;
        }
        if let Some(mean) = &self.mean {
            let (found, expected) = (sample.len(), mean.len());
            assert!(found == expected, "a sample of {found} coordinates, a mean of {expected}");
        }
        if is_zero(sample) {
            return false;
        }
        scratch.clear();
        scratch.extend_from_slice(sample);
        self.apply(scratch);
        self.excess(scratch).is_none()
    }

    /// The norm of a preprocessed sample, and the most it should have, if it has more.
    ///
    /// The limit is a norm before scaling, so norms of samples at the limit may differ by rounding.
    pub(crate) fn excess(&self, preprocessed: &[T]) -> Option<(f64, f64)> {
        let limit = self.norm_limit? / self.scale;
        let norm = loops::energy(preprocessed).sqrt();
        (norm > limit * (1.0 + ROUNDING * T::EPSILON)).then_some((norm, limit))
    }

    /// Refuses a mean that is not of dimension `dim`.
    pub(crate) fn check(&self, dim: usize) -> Result<(), Error> {
        match &self.mean {
            Some(mean) if mean.len() != dim => {
                Err(Error::Dimension { argument: "mean", found: mean.len(), expected: dim })
            }
            _ => Ok(()),
        }
    }

    /// y ← (y − mean) / scale.
    pub(crate) fn apply(&self, sample: &mut [T]) {
        if let Some(mean) = &self.mean {
            loops::axpy(sample, -T::narrow(1.0), mean);
        }
        if self.scale != 1.0 {
            let scale = T::narrow(self.scale);
            sample.iter_mut().for_each(|x| *x /= scale);
        }
    }

    /// y ← scale · y + mean, in double precision.
    pub(crate) fn undo_wide(&self, sample: &mut [f64]) {
        sample.iter_mut().for_each(|x| *x *= self.scale);
        if let Some(mean) = &self.mean {
            loops::add_wide(sample, 1.0, mean);
        }
    }

    /// y ← scale · y + mean.
    pub(crate) fn undo(&self, sample: &mut [T]) {
        if self.scale != 1.0 {
            let scale = T::narrow(self.scale);
            sample.iter_mut().for_each(|x| *x *= scale);
        }
        if let Some(mean) = &self.mean {
            loops::axpy(sample, T::narrow(1.0), mean);
        }
    }
}
