//! Linear features: an encoder that reads a dictionary's features with one product, learned
//! together with the last refinement of the dictionary.
//!
//! A pursuit explains a sample as cheaply as it can. If an atom for "snake" contains what "begins
//! with s" contributes, the atom for "begins with s" gets no coefficient in that sample, although
//! the sample has this feature: it is absorbed. A linear encoder decides on every atom by itself,
//! and an atom that fires beside others is fitted to what the others leave, so parts that are
//! shared move to the atoms that stand for them.
//!
//! ```text
//! for each minibatch Y of B samples, in units of their mean norm:
//!     H ← E Y + c
//!     θ ← the value between the n-th and the next of all entries of H, for n = B · mean nonzeros
//!     Z ← H where it is above θ, else 0
//!     P ← prefixes of the atoms: of m/16, …, m/2 and m atoms in the first part of the run,
//!         later m alone
//!     R_p ← Y − D_p Z_p for each of them, and for each atom j the mean over all P of the R_p
//!         whose prefix holds j:  R^j = Σ_p R_p / |P|
//!     e_j ← e_j + Adam(Σ y_i d_jᵀ r_i^j / B)         over the samples i that use j
//!     c_j ← c_j + Adam(Σ d_jᵀ r_i^j / B)
//!     d_j ← d_j + Adam((I − d_j d_jᵀ) Σ z_ij r_i^j / B), scaled to norm 1
//!     atoms that no sample has used for a while ← the samples of the largest relative error
//! ```
//! This is a BatchTopK autoencoder with the prefixes of Matryoshka autoencoders, begun at a learned
//! dictionary with E = Dᵀ. Activations that are not used have no gradient, so a step costs one
//! product with E and sums over the nonzeros, where tools for dense gradients compute four
//! products.
//!
//! B. Bussmann, P. Leask, N. Nanda, "BatchTopK sparse autoencoders", arXiv:2412.06410, 2024.
//! B. Bussmann, N. Nabeshima, A. Karvonen, N. Nanda, "Learning multi-level features with Matryoshka
//! sparse autoencoders", arXiv:2503.17547, 2025. D. Kingma, J. Ba, "Adam: a method for stochastic
//! optimization", arXiv:1412.6980, 2014. Absorption: D. Chanin et al., arXiv:2409.14507, 2024.

mod course;
mod descent;
mod minibatch;
mod run;
mod state;
mod weights;

use super::Growth;
use super::report::Report;
use crate::Scalar;
use crate::error::Error;
use crate::model::Model;
use crate::source::SampleSource;
pub use run::LinearRun;

/// The share of the run in which the step length falls to zero.
const DECAY: f64 = 0.2;

/// Steps in which the step length rises to its value, so that Adam's averages mean something.
const WARM_UP: f64 = 100.0;

/// Codes have room for this many times the mean number of nonzeros.
const ROOM: f64 = 4.0;

/// Learns a linear encoder for a model's dictionary, and refines the dictionary with it.
///
/// The atoms of the result are *linearly detectable*: whether a sample has a feature is one product
/// and one comparison, as in a sparse autoencoder, so the model can be exported as one.
/// `docs/study/language-model` in the repository compares such models with autoencoders.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | `mean_nonzeros` | given | > 0, at most m/2 and d | mean number of nonzeros of a sample |
/// | [`epochs`](Self::epochs) | 10 | ≥ 1 | passes over the samples |
/// | [`minibatch`](Self::minibatch) | 2,048 | ≥ 1 | samples a step |
/// | [`rate`](Self::rate) | 10⁻³ | > 0 | Adam's step length, for samples of mean norm 1 |
/// | [`nested`](Self::nested) | 0.4 | 0 to 1 | share of the run in which prefixes of the atoms are fitted, too |
/// | [`idle`](Self::idle) | 50,000 | ≥ 1 | samples after which an unused atom is replaced |
/// | [`drops_outliers`](Self::drops_outliers) | no | | leaves samples beyond the norm limit out, instead of scaling them down |
/// | [`seed`](Self::seed) | 0 | | order of the samples |
///
/// Complexity of a step of B samples: O(B d m) for one product, O(B d k) for the sums over the
/// nonzeros, O(d m) for the step itself. Memory: six times the dictionary, and about (10 d + m) B
/// scalars for a minibatch.
///
/// ```
/// use dbksvd::learn::LinearFeatures;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Sign};
///
/// let planted = Planted::new(16, 32, 3, 2_000).sign(Sign::NonNegative).noise(0.05);
/// let data = planted.generate::<f32>()?.samples;
/// let (model, _) = DbKsvd::true_features(32, 8).epochs(5).build()?.fit(&data)?;
/// let (model, report) = LinearFeatures::new(3.0).minibatch(256).epochs(20).fit(&model, &data)?;
/// let coder = model.linear_coder().expect("it was learned").clone();
/// let codes = model.encode(&coder, data.as_ref())?;
/// assert!((codes.nnz() as f64 / 2_000.0 - 3.0).abs() < 0.5);
/// assert!(report.epochs.last().unwrap().fvu < report.epochs[0].fvu);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinearFeatures {
    /// The mean number of nonzeros of a sample.
    pub mean_nonzeros: f64,
    /// Passes over the samples.
    pub epochs: usize,
    /// Samples a step.
    pub minibatch: usize,
    /// Adam's step length, for samples of mean norm 1.
    pub rate: f64,
    /// The share of the run in which prefixes of the atoms are fitted, too.
    pub nested: f64,
    /// Samples after which an atom that none of them used is replaced.
    pub idle: usize,
    /// Whether samples beyond the model's norm limit are left out, instead of scaled down to it.
    pub drops_outliers: bool,
    /// The seed of the order of samples.
    pub seed: u64,
}

impl LinearFeatures {
    /// Features of which a sample has so many on average.
    #[must_use]
    pub fn new(mean_nonzeros: f64) -> Self {
        let (epochs, minibatch, rate, nested) = (10, 2048, 1e-3, 0.4);
        let (idle, drops_outliers, seed) = (50_000, false, 0);
        Self { mean_nonzeros, epochs, minibatch, rate, nested, idle, drops_outliers, seed }
    }

    /// Passes over the samples. Default: 10.
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// Samples a step. Default: 2,048.
    #[must_use]
    pub fn minibatch(self, samples: usize) -> Self {
        Self { minibatch: samples, ..self }
    }

    /// Adam's step length, for samples of mean norm 1. Default: 10⁻³.
    #[must_use]
    pub fn rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// The share of the run in which prefixes of the atoms (m/16, m/8, m/4, m/2 of them) are fitted
    /// besides all atoms together. It keeps general features, which come first in a dictionary that
    /// has [grown](super::Growth), from being divided among special ones. Default: 0.4.
    #[must_use]
    pub fn nested(self, share: f64) -> Self {
        Self { nested: share, ..self }
    }

    /// Samples after which an atom that none of them used is replaced. Default: 50,000.
    #[must_use]
    pub fn idle(self, samples: usize) -> Self {
        Self { idle: samples, ..self }
    }

    /// Whether samples beyond the model's norm limit are left out, instead of scaled down to it.
    /// Default: no.
    #[must_use]
    pub fn drops_outliers(self, drops: bool) -> Self {
        Self { drops_outliers: drops, ..self }
    }

    /// The seed of the order of samples. Default: 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Learns from the samples of `source`, beginning with `model`.
    ///
    /// Samples are preprocessed as the model says; those beyond its norm limit are scaled down to
    /// it or [left out](Self::drops_outliers), and where it has a limit, rows of zeros are left
    /// out. The result has the model's
    /// preprocessing, a refined dictionary, and a [linear coder](Model::linear_coder). Its
    /// sparsity, which limits the nonzeros of a single sample, is four times the mean, or d or m if
    /// they are smaller. A model that has a linear coder already goes on from its encoder.
    ///
    /// The result is the same on any number of threads.
    ///
    /// # Errors
    /// [`Error::Argument`] for a parameter outside its range, a model with signed codes, or a
    /// [`rate`](Self::rate) with which weights overflow;
    /// [`Error::Dimension`] if samples are not of the model's dimension; [`Error::NoSamples`]
    /// without any; [`Error::NothingLearned`] if no sample is left of a minibatch;
    /// [`Error::NotFinite`], [`Error::Source`], [`Error::Backend`], [`Error::Rounding`] as in
    /// [`DbKsvd::fit`](crate::DbKsvd::fit).
    pub fn fit<T: Scalar>(
        &self,
        model: &Model<T>,
        source: &dyn SampleSource<T>,
    ) -> Result<(Model<T>, Report), Error> {
        self.run(model, source).finish()?.into_result()
    }

    /// A run that can be watched, stopped, saved and taken up again.
    pub fn run<'a, T: Scalar>(
        &self,
        model: &'a Model<T>,
        source: &'a dyn SampleSource<T>,
    ) -> LinearRun<'a, T> {
        LinearRun::new(*self, model, source)
    }

    pub(super) fn check(&self, atoms: usize, dim: usize) -> Result<(), Error> {
        let Self { mean_nonzeros, epochs, minibatch, rate, nested, idle, .. } = *self;
        let most = (atoms as f64 / 2.0).min(dim as f64);
        if !(mean_nonzeros > 0.0 && mean_nonzeros <= most) {
            let expected = format!("above 0, and at most {most} (half the atoms, the dimension)");
            return Err(Error::argument("mean_nonzeros", mean_nonzeros, expected));
        }
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Error::argument("rate", rate, "positive and finite"));
        }
        if !(0.0..=1.0).contains(&nested) {
            return Err(Error::argument("nested", nested, "0 to 1"));
        }
        for (name, count) in [("epochs", epochs), ("minibatch", minibatch), ("idle", idle)] {
            if count == 0 {
                return Err(Error::argument(name, 0, "at least 1"));
            }
        }
        Ok(())
    }

    /// The most nonzeros of a sample.
    fn room<T: Scalar>(&self, model: &Model<T>) -> usize {
        let room = (ROOM * self.mean_nonzeros).ceil() as usize;
        room.min(model.dim()).min(model.atoms())
    }

    /// Adam's step length after so many steps, when this share of the run is done.
    fn rate_at(&self, steps: u64, done: f64) -> f64 {
        let warm = ((steps + 1) as f64 / WARM_UP).min(1.0);
        self.rate * warm * ((1.0 - done) / DECAY).min(1.0)
    }
}

/// The sizes of the prefixes that are fitted in the first part of a run: those that the dictionary
/// had when it grew, from a sixteenth on.
fn prefixes(atoms: usize) -> Vec<usize> {
    let mut sizes = Growth { doublings: 4, ..Growth::default() }.sizes(atoms);
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::minibatch::Minibatch;
    use super::weights::Weights;
    use super::*;
    use crate::cpu::Faer;
    use crate::dictionary::Dictionary;
    use crate::problem::Sign;

    /// The gradients are those of ½ Σ_p ‖Y − D_p Z_p‖² / |P|, for the coefficients at hand.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let (dim, atoms, samples) = (7, 32, 40);
        let entry = |i: usize, j: usize| ((i * 31 + j * 17) as f64 * 0.37).sin();
        let dictionary = Dictionary::normalized(Mat::from_fn(dim, atoms, entry)).unwrap();
        let model = Model::new(dictionary, None, 5, Sign::NonNegative).unwrap();
        let y = Mat::from_fn(dim, samples, |i, j| entry(j + 3, i + 50));
        for prefixes in [vec![atoms], prefixes(atoms)] {
            let mut weights = Weights::<f64>::new(&model).unwrap();
            let mut minibatch = Minibatch::new(dim, atoms, 7);
            minibatch.take(y.as_ref(), &mut Some(1.0)).unwrap();
            minibatch.code(&Faer::default(), &weights, 3.0);
            minibatch.differentiate(&weights, &prefixes);
            let loss = |weights: &Weights<f64>| -> f64 {
                let mut sum = 0.0;
                for &prefix in &prefixes {
                    for i in 0..samples {
                        let mut r = y.col_as_slice(i).to_vec();
                        for j in 0..prefix {
                            let place = j * dim..(j + 1) * dim;
                            let (row, atom) =
                                (&weights.encoder[place.clone()], &weights.dictionary[place]);
                            let h: f64 =
                                row.iter().zip(y.col_as_slice(i)).map(|(e, y)| e * y).sum();
                            let is_used =
                                minibatch.uses(j).iter().any(|at| at.sample as usize == i);
                            if is_used {
                                let z = h + weights.bias[j];
                                r.iter_mut().zip(atom).for_each(|(r, d)| *r -= z * d);
                            }
                        }
                        sum += r.iter().map(|r| r * r).sum::<f64>();
                    }
                }
                0.5 * sum / prefixes.len() as f64
            };
            let last = *minibatch.worst(samples).last().unwrap();
            assert_eq!(last.len(), dim);
            for j in (0..atoms).filter(|&j| !minibatch.uses(j).is_empty()) {
                let (mut of_encoder, mut of_atom) = (vec![0.0; dim], vec![0.0; dim]);
                let prefix = prefixes.partition_point(|&size| size <= j);
                let place = (prefix, prefixes.len());
                let of_bias = minibatch.gradients(j, place, &mut of_encoder, &mut of_atom);
                let step = 1e-5;
                let mut slope = |change: &dyn Fn(&mut Weights<f64>, f64)| {
                    change(&mut weights, step);
                    let above = loss(&weights);
                    change(&mut weights, -2.0 * step);
                    let below = loss(&weights);
                    change(&mut weights, step);
                    -(above - below) / (2.0 * step)
                };
                let at = j * dim + 2;
                let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
                close(slope(&|w, by| w.encoder[at] += by), of_encoder[2]);
                close(slope(&|w, by| w.dictionary[at] += by), of_atom[2]);
                close(slope(&|w, by| w.bias[j] += by), of_bias);
            }
        }
    }

    #[test]
    fn prefixes_are_the_sizes_of_growth() {
        assert_eq!(prefixes(2304), [144, 288, 576, 1152, 2304]);
        assert_eq!(prefixes(3), [1, 2, 3]);
        assert_eq!(prefixes(1), [1]);
    }

    #[test]
    fn the_step_length_rises_and_falls() {
        let rule = LinearFeatures::new(1.0).rate(1.0);
        assert_eq!(rule.rate_at(0, 0.0), 0.01);
        assert_eq!(rule.rate_at(500, 0.5), 1.0);
        assert!((rule.rate_at(500, 0.9) - 0.5).abs() < 1e-12);
    }
}
