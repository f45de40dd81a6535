//! Non-negative pursuit to a threshold: a sample gets as many atoms as its correlations ask for.
//!
//! With a fixed number of nonzeros, true features compete with the noise that unknown features
//! leave: samples with few features get false atoms, and samples with many features miss true ones.
//! With a threshold on the correlation, each sample gets the atoms that stand out from the noise:
//!
//! ```text
//! α⁰ ← Dᵀy,  α ← α⁰,  S ← ∅
//! for each prefix g of the atoms (by default all of them):
//!     until |S| = k or max_{j<g} α_j < τ:
//!         add to S all j < g with α_j ≥ max(τ, share · max α): the largest, if they are too many
//!         c ← argmin ‖y − D_S c‖
//!         while some c ≤ 0: drop these atoms, for good, and solve again
//!         α ← α⁰ − G_S c
//!     with kept coefficients: y ← y − D_S c, set S aside
//! drop atoms with c < prune, and solve again for all
//! ```
//! Each round adds several atoms at once, because the number of rounds decides the time: a round
//! needs |S| rows of the Gram matrix. With prefixes (nested coding), earlier atoms explain what
//! they can before later atoms are tried. So general features come first and stay general.
//!
//! Related: stagewise pursuit with a threshold (Donoho, Tsaig, Drori & Starck 2012, "Sparse
//! solution of underdetermined systems of linear equations by stagewise orthogonal matching
//! pursuit"). The prefixes are those of Matryoshka autoencoders (Bussmann, Nabeshima, Karvonen &
//! Nanda 2025, arXiv:2503.17547).

mod block;
mod gram;
mod pursuit;

use num_traits::Float;
use rayon::prelude::*;

use super::{Phase, SparseCoder};
use crate::Scalar;
use crate::cpu::HostBackend;
use crate::cpu::pursuit::correlations::{BLOCK, Correlations};
use crate::cpu::pursuit::dependence;
use crate::cpu::pursuit::double::Doubt;
use crate::cpu::pursuit::wide::Widened;
use crate::cpu::scratch_pool::ScratchPool;
use crate::error::{BackendError, Error};
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};
use block::{DoubleScratch, ThresholdPursuits};
use gram::SymmetricGram;
use pursuit::{Limits, Pursuit};

/// What is done with the coefficients of a prefix of the atoms when the next prefix is coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Nesting {
    /// They are computed again, together with those of the added atoms. This gives the least error.
    #[default]
    Refitted,
    /// They stay, and the atoms that follow are fitted to what they leave. So a general atom stays
    /// in use beside a special atom that contains it, while a common fit would use the special atom
    /// alone. This is for learning features of which some are general and some are special.
    Kept,
}

impl From<Nesting> for Parameters {
    fn from(nesting: Nesting) -> Self {
        Self::of(match nesting {
            Nesting::Refitted => "refitted",
            Nesting::Kept => "kept",
        })
    }
}

/// How the threshold follows the noise in the course of learning.
///
/// τ = κ σ, where σ is the [noise](Phase::noise) per coordinate. To an atom that is not part of a
/// sample, everything that is left is noise, and the atom's correlation with it has the standard
/// deviation σ. In each stage of growth, κ rises from `start` to `end` and stays there. A low κ
/// lets new atoms find samples; a high κ keeps out correlations by chance. The prefixes are the
/// sizes of earlier stages.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NoiseSchedule {
    /// κ at the start of a stage; positive.
    pub start: f64,
    /// κ at the end of a stage; at least `start`.
    pub end: f64,
    /// The share of a stage in which κ rises, above 0 and at most 1. At full size, half of this
    /// value is used.
    pub rise: f64,
}

impl From<NoiseSchedule> for Parameters {
    fn from(schedule: NoiseSchedule) -> Self {
        let NoiseSchedule { start, end, rise } = schedule;
        Self::of("noise schedule").with("start", start).with("end", end).with("rise", rise)
    }
}

impl Default for NoiseSchedule {
    /// κ rises from 2.1 to 4.7 within 0.6 of a stage. For comparison, the largest of 4,096
    /// correlations with Gaussian noise, one for each of m = 4,096 atoms, is about √(2 ln m) = 4.1
    /// σ.
    fn default() -> Self {
        Self { start: 2.1, end: 4.7, rise: 0.6 }
    }
}

impl NoiseSchedule {
    fn check(&self) -> Result<(), Error> {
        let Self { start, end, rise } = *self;
        if !(start > 0.0 && start <= end && end.is_finite()) {
            let found = format!("{start} to {end}");
            return Err(Error::argument("noise_schedule", found, "0 < start ≤ end, finite"));
        }
        if !(rise > 0.0 && rise <= 1.0) {
            return Err(Error::argument("rise", rise, "above 0, at most 1"));
        }
        Ok(())
    }

    /// κ at this phase.
    fn factor_at(&self, phase: &Phase<'_>) -> f64 {
        let rise = if phase.is_grown { 0.5 * self.rise } else { self.rise };
        self.start + (self.end - self.start) * (phase.stage / rise).min(1.0)
    }
}

/// Non-negative codes with a threshold for each coefficient, instead of a number of nonzeros per
/// sample.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | `threshold` τ | given | > 0 | least correlation dᵀr for which an atom is added, in the units of the samples |
/// | [`share`](Self::share) | 0.7 | 0 to 1 | atoms of at least this share of the largest correlation are added together |
/// | [`prune`](Self::prune) | 0 | ≥ 0 | least coefficient that stays in the final code |
/// | [`prefixes`](Self::prefixes) | none | increasing, ≥ 1 | nested coding: sizes of the prefixes that are coded in turn |
/// | [`nesting`](Self::nesting) | refitted | | what is done with the coefficients of a prefix |
/// | [`learning`](Self::learning) | none | | in learning, lets threshold and prefixes follow its course |
///
/// The budget k of the problem is an upper limit; set it well above the number of nonzeros you
/// expect. Signed problems are refused. Zero samples, and samples without a correlation of at least
/// τ, get the empty code. An atom within 64 ε of the span of the chosen atoms is passed over. If
/// rounding might decide, a sample is coded in double precision, in O(dm) per round. That is the
/// case if τ is below 2·10⁴ ε‖y‖, if almost nothing of the sample is left, or if an atom is within
/// √(10⁵ ε) (0.1 in `f32`) of the span of others.
///
/// Complexity per sample: O(dm + rounds · L0 · m), with about 4 to 8 rounds. Memory: m² scalars for
/// the Gram matrix and, per thread, 132·m + 129·d + k² scalars. Once a sample needs double
/// precision: d·m doubles and, per thread, 3·m + d + k².
///
/// ```
/// use dbksvd::coder::ThresholdPursuit;
/// use dbksvd::faer::mat;
/// use dbksvd::{Dictionary, Model, Sign};
///
/// let dictionary = Dictionary::new(mat![[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]])?;
/// let model = Model::new(dictionary, None, 2, Sign::NonNegative)?;
/// let codes = model.encode(&ThresholdPursuit::new(1.0), mat![[3.0, 0.5], [0.2, 0.5]].as_ref())?;
/// assert_eq!((codes.support(0), codes.support(1)), (&[0][..], &[][..]));
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ThresholdPursuit {
    /// τ, the least correlation for which an atom is added.
    pub threshold: f64,
    /// In each round, atoms whose correlation is at least this share of the largest are added
    /// together.
    pub share: f64,
    /// The least coefficient that stays in the final code.
    pub prune: f64,
    /// Sizes of the prefixes that are coded in turn.
    pub prefixes: Vec<usize>,
    /// What is done with the coefficients of a prefix.
    pub nesting: Nesting,
    /// How threshold and prefixes follow the course of learning.
    pub learning: Option<NoiseSchedule>,
}

impl ThresholdPursuit {
    /// κ and the least coefficient for reading features, in units of the noise.
    const OF_FEATURES: [f64; 2] = [4.0, 4.75];

    /// A coder that reads the features of samples with a dictionary that left this
    /// [noise](Phase::noise). τ is 4 times the noise, and coefficients of at least 4.75 times the
    /// noise stay.
    #[must_use]
    pub fn of_noise(noise: f64) -> Self {
        let [threshold, prune] = Self::OF_FEATURES.map(|factor| factor * noise);
        Self::new(threshold).prune(prune)
    }

    /// Pursuit to the threshold τ.
    #[must_use]
    pub fn new(threshold: f64) -> Self {
        Self {
            threshold,
            share: 0.7,
            prune: 0.0,
            prefixes: Vec::new(),
            nesting: Nesting::Refitted,
            learning: None,
        }
    }

    /// τ, the least correlation for which an atom is added.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// In each round, atoms whose correlation is at least this share of the largest are added
    /// together. With 1, atoms are added one at a time; with 0, all atoms above the threshold are.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// The least coefficient that stays in the final code. If you read codes as "fires or not",
    /// choose a value a little above τ.
    #[must_use]
    pub fn prune(mut self, least: f64) -> Self {
        self.prune = least;
        self
    }

    /// Nested coding: codes with the first `n` atoms for each of these numbers `n` in turn, and
    /// with all atoms at the end. Numbers above m count as m.
    #[must_use]
    pub fn prefixes(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.prefixes = sizes.into();
        self
    }

    /// What is done with the coefficients of a prefix when the next one is coded.
    #[must_use]
    pub fn nesting(mut self, nesting: Nesting) -> Self {
        self.nesting = nesting;
        self
    }

    /// In learning, lets threshold and prefixes follow its course. The other parameters stay as
    /// they are.
    #[must_use]
    pub fn learning(mut self, schedule: Option<NoiseSchedule>) -> Self {
        self.learning = schedule;
        self
    }

    /// The limits in the form that a pursuit uses.
    fn limits<T: Scalar>(&self, shape: &ProblemShape) -> Limits<T> {
        let mut prefixes: Vec<usize> =
            self.prefixes.iter().copied().filter(|&size| size < shape.atoms).collect();
        prefixes.push(shape.atoms);
        Limits {
            // If the noise is only rounding, the threshold may be below the smallest positive f32.
            threshold: Float::max(T::narrow(self.threshold), T::min_positive_value()),
            share: T::narrow(self.share),
            prune: T::narrow(self.prune),
            prefixes,
            budget: shape.sparsity,
            nesting: self.nesting,
            dependence: dependence::of_gram(),
            doubt: Doubt::height(),
        }
    }
}

/// The Gram matrix and scratch memory of [`ThresholdPursuit`]. It depends only on the shape of the
/// problem, so a coder with other thresholds can use the same state.
#[derive(Debug)]
pub struct ThresholdPursuitState<T: Scalar> {
    shape: ProblemShape,
    gram: SymmetricGram<T>,
    wide: Widened,
    /// Scratch of tasks that have ended, which the next tasks reuse.
    scratch: ScratchPool<Scratch<T>>,
    /// In learning, the coder with the threshold and prefixes of the present phase.
    phase: Option<ThresholdPursuit>,
}

/// The scratch memory of one task.
#[derive(Debug)]
struct Scratch<T: Scalar> {
    correlations: Correlations<T>,
    pursuit: Pursuit<T>,
    double: Option<Box<DoubleScratch>>,
}

impl<B: HostBackend> SparseCoder<B> for ThresholdPursuit {
    type State = ThresholdPursuitState<B::Scalar>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        if shape.sign != Sign::NonNegative {
            return Err(Error::argument("sign", "signed", "non-negative, for this coder"));
        }
        let Self { threshold, share, prune, prefixes, .. } = self;
        if !(*threshold > 0.0 && threshold.is_finite()) {
            return Err(Error::argument("threshold", threshold, "positive and finite"));
        }
        if !(0.0..=1.0).contains(share) {
            return Err(Error::argument("share", share, "0 to 1"));
        }
        if !(*prune >= 0.0 && prune.is_finite()) {
            return Err(Error::argument("prune", prune, "finite and at least 0"));
        }
        if prefixes.first() == Some(&0) || !prefixes.is_sorted_by(|a, b| a < b) {
            let found = format!("{prefixes:?}");
            return Err(Error::argument("prefixes", found, "increasing numbers, at least 1"));
        }
        self.learning.map_or(Ok(()), |schedule| schedule.check())
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let gram = SymmetricGram::new(shape.atoms)?;
        let (wide, scratch) = (Widened::default(), ScratchPool::default());
        Ok(ThresholdPursuitState { shape: *shape, gram, wide, scratch, phase: None })
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        state.gram.compute(backend, backend.view(dictionary));
        state.wide.forget();
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let ThresholdPursuitState { shape, gram, wide, scratch, phase } = state;
        assert_eq!(dictionary.shape(), (shape.dim, shape.atoms), "the dictionary's shape");
        assert_eq!(y.nrows(), dictionary.nrows(), "the samples' dimension");
        let limits = phase.as_ref().unwrap_or(self).limits(shape);
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|block| {
            let new = || Scratch {
                correlations: Correlations::new(shape.dim, shape.atoms),
                pursuit: Pursuit::new(shape),
                double: None,
            };
            scratch.with(new, |Scratch { correlations, pursuit, double }| {
                let samples = y.subcols(block.first(), block.len());
                let correlations = correlations.compute(backend, dictionary, samples);
                block::pursue(ThresholdPursuits {
                    shape,
                    gram,
                    wide,
                    limits: &limits,
                    dictionary,
                    samples,
                    correlations,
                    block,
                    pursuit,
                    double,
                });
            });
        });
        Ok(())
    }

    fn set_phase(&self, _: &B, state: &mut Self::State, phase: &Phase<'_>) {
        let Some(schedule) = &self.learning else { return };
        let threshold = schedule.factor_at(phase) * phase.noise;
        let coder = Self {
            // If samples are explained to rounding, the noise is 0 and there is nothing to find.
            threshold: threshold.max(f64::MIN_POSITIVE),
            prefixes: phase.earlier.to_vec(),
            ..self.clone()
        };
        state.phase = Some(coder);
    }

    fn parameters(&self) -> Parameters {
        let Self { threshold, share, prune, prefixes, nesting, learning } = self;
        Parameters::of("ThresholdPursuit")
            .with("threshold", *threshold)
            .with("share", *share)
            .with("prune", *prune)
            .with("prefixes", prefixes.as_slice())
            .with("nesting", *nesting)
            .with("learning", *learning)
    }
}
