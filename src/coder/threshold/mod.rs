//! Non-negative pursuit to a threshold: as many atoms as a sample's correlations ask for.
//!
//! A fixed number of nonzeros makes true features compete with the noise that unknown features
//! leave behind: samples with few features get false atoms, samples with many miss true ones. A
//! threshold on the correlation lets each sample have what stands out of the noise:
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
//! Several atoms a round are worth it: rounds, each of which needs |S| rows of the Gram matrix, are
//! what coding costs. With prefixes (nested coding) earlier atoms explain what they can before
//! later ones are asked, so that the general features come first and stay general.
//!
//! Related: stagewise pursuit with a threshold (Donoho, Tsaig, Drori & Starck 2012, "Sparse
//! solution of underdetermined systems of linear equations by stagewise orthogonal matching
//! pursuit"); prefixes as in Matryoshka autoencoders (Bussmann, Nabeshima, Karvonen & Nanda 2025,
//! arXiv:2503.17547).

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

/// What becomes of the coefficients of a prefix of the atoms when the next prefix is coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Nesting {
    /// They are solved for again, with those of the atoms that are added: the least error.
    #[default]
    Refitted,
    /// They stay, and the atoms that follow are fitted to what they leave. A general atom then
    /// stays in use beside a special one that contains it, where a common fit would do without it:
    /// for learning features that are general and special.
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
/// τ = κ σ, where σ is the [noise](Phase::noise): what is left per coordinate is noise to an atom
/// that is not part of a sample, whose correlation with it has this standard deviation. In each
/// stage of growth κ rises from `start`, which lets new atoms find samples, to `end`, which keeps
/// chance out, and stays there. Prefixes are the sizes of earlier stages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseSchedule {
    /// κ at the start of a stage; positive.
    pub start: f64,
    /// κ in the end; at least `start`.
    pub end: f64,
    /// The share of a stage in which κ rises, above 0, at most 1. At full size half of it.
    pub rise: f64,
}

impl From<NoiseSchedule> for Parameters {
    fn from(schedule: NoiseSchedule) -> Self {
        let NoiseSchedule { start, end, rise } = schedule;
        Self::of("noise schedule").with("start", start).with("end", end).with("rise", rise)
    }
}

impl Default for NoiseSchedule {
    /// From 2.1 to 4.7 in 0.6 of a stage. Among m = 4,096 atoms the largest of as
    /// many correlations with Gaussian noise is about √(2 ln m) = 4.1 σ.
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

    /// κ.
    fn factor_at(&self, phase: &Phase<'_>) -> f64 {
        let rise = if phase.is_grown { 0.5 * self.rise } else { self.rise };
        self.start + (self.end - self.start) * (phase.stage / rise).min(1.0)
    }
}

/// Non-negative codes by a threshold per coefficient, instead of a number of nonzeros per sample.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | `threshold` τ | given | > 0 | least correlation dᵀr that is worth an atom, in the units of the samples |
/// | [`share`](Self::share) | 0.7 | 0 to 1 | atoms of at least this share of the largest correlation are added together |
/// | [`prune`](Self::prune) | 0 | ≥ 0 | least coefficient that stays in the end |
/// | [`prefixes`](Self::prefixes) | none | increasing, ≥ 1 | nested coding: sizes of the groups that are coded in turn |
/// | [`nesting`](Self::nesting) | refitted | | what becomes of the coefficients of a prefix |
/// | [`learning`](Self::learning) | none | | lets threshold and prefixes follow the course of learning instead |
///
/// The budget k of the problem is a limit, to be set well above what is expected. Signed problems
/// are refused. Zero samples, and those without a correlation of τ, get the empty code. An atom
/// within 64 ε of the span of those chosen is passed over. A sample is coded in double precision,
/// in O(dm) a round, where rounding might decide: where τ is below 2·10⁴ ε‖y‖, where almost nothing
/// of the sample is left, or where an atom is within √(10⁵ ε) (0.1 in `f32`) of the span of others.
///
/// Complexity per sample: O(dm + rounds · L0 · m), with some 4 to 8 rounds. Memory: m² scalars for
/// the Gram matrix, and for each thread 132·m + 129·d + k² scalars; once a sample needs double
/// precision, d·m doubles and, for each thread, 3·m + d + k².
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
#[non_exhaustive]
pub struct ThresholdPursuit {
    /// τ, the least correlation that is worth an atom.
    pub threshold: f64,
    /// Atoms of at least this share of the largest correlation are added together.
    pub share: f64,
    /// The least coefficient that stays in the end.
    pub prune: f64,
    /// Sizes of the groups that are coded in turn.
    pub prefixes: Vec<usize>,
    /// What becomes of the coefficients of a prefix.
    pub nesting: Nesting,
    /// How threshold and prefixes follow the course of learning.
    pub learning: Option<NoiseSchedule>,
}

impl ThresholdPursuit {
    /// κ and the least coefficient, in units of the noise, by which features are read.
    const OF_FEATURES: [f64; 2] = [4.0, 4.75];

    /// Reads the features of samples with a dictionary that left this [noise](Phase::noise): τ is 4
    /// times that, and coefficients of at least 4.75 times it stay.
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

    /// τ, the least correlation that is worth an atom.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Atoms of at least this share of the largest correlation are added together: 1 adds one at a
    /// time, 0 all above the threshold.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// The least coefficient that stays in the end. Where codes are read as "fires or not", a
    /// little above τ.
    #[must_use]
    pub fn prune(mut self, least: f64) -> Self {
        self.prune = least;
        self
    }

    /// Codes by the first atoms of each of these numbers in turn, and by all in the end. Numbers
    /// beyond m count as m.
    #[must_use]
    pub fn prefixes(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.prefixes = sizes.into();
        self
    }

    /// What becomes of the coefficients of a prefix when the next one is coded.
    #[must_use]
    pub fn nesting(mut self, nesting: Nesting) -> Self {
        self.nesting = nesting;
        self
    }

    /// In learning, lets threshold and prefixes follow its course; the rest stays as it is.
    #[must_use]
    pub fn learning(mut self, schedule: Option<NoiseSchedule>) -> Self {
        self.learning = schedule;
        self
    }

    /// The numbers that a pursuit works with.
    fn limits<T: Scalar>(&self, shape: &ProblemShape) -> Limits<T> {
        let mut prefixes: Vec<usize> =
            self.prefixes.iter().copied().filter(|&size| size < shape.atoms).collect();
        prefixes.push(shape.atoms);
        Limits {
            // Of noise that is rounding, less than a number of f32 can be.
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

/// The Gram matrix and scratch memory of [`ThresholdPursuit`]. It depends on the shape of the
/// problem alone: coders of other thresholds can go on with it.
#[derive(Debug)]
pub struct ThresholdPursuitState<T: Scalar> {
    shape: ProblemShape,
    gram: SymmetricGram<T>,
    wide: Widened,
    /// Scratch of tasks that have ended, for the tasks that come.
    scratch: ScratchPool<Scratch<T>>,
    /// What the course of learning asks for.
    phase: Option<ThresholdPursuit>,
}

/// What one task works with.
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
        state: &mut Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let ThresholdPursuitState { shape, gram, wide, scratch, phase } = &*state;
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
            // Samples that are explained to rounding leave no noise, and nothing to be found.
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
