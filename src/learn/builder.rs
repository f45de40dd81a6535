//! The builder: everything that can be set.

use std::time::Duration;

use super::config::Config;
use super::{DbKsvd, Every, Growth, Initialisation, Plateau};
use crate::backend::Backend;
use crate::coder::{Matryoshka, SparseCoder};
use crate::error::Error;
use crate::groups::Groups;
use crate::problem::Sign;
use crate::samples::preprocessing::{Outliers, Preprocessing};
use crate::source::HeldOut;
use crate::updater::{DictionaryUpdater, MatryoshkaUpdates};

/// Sets up a [`DbKsvd`]. Setters never fail; [`build`](Self::build) checks everything.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | backend | [`Faer<f32>`](crate::Faer) | | where matrices live, and their scalar |
/// | atoms m | | ≥ 1 | size of the dictionary |
/// | sparsity k | | 1 ..= min(m, d) | most nonzeros a sample |
/// | [`sign`](Self::sign) | signed | | sign of coefficients |
/// | [`epochs`](Self::epochs) | 20 | ≥ 0 | passes over the data |
/// | [`minibatch`](Self::minibatch) | max(20·m/k, min(4m, N/4)); with growth min(10m, N/10) | ≥ 1 | samples a step |
/// | [`shards`](Self::shards) | of the problem | 1, 2, 4, …, 128 | parts of a minibatch that machines can hold |
/// | [`seed`](Self::seed) | 0 | | all randomness |
/// | [`initialisation`](Self::initialisation) | samples | | the first dictionary |
/// | [`growth`](Self::growth) | none | | a dictionary that begins small |
/// | [`start_at`](Self::start_at) | 0 | 0 ≤ p < 1 | where schedules begin, for a learned dictionary |
/// | [`center`](Self::center) | no | | subtract the mean of the data |
/// | [`scale`](Self::scale) | no | | divide by the mean norm of the data |
/// | [`outliers`](Self::outliers) | kept | factor > 0 | clip or drop samples of extreme norm |
/// | [`statistics_samples`](Self::statistics_samples) | 262,144 | ≥ 1 | samples that these are taken from |
/// | [`preprocessing`](Self::preprocessing) | of the data | | parts given instead, as of an earlier model |
/// | [`held_out`](Self::held_out) | none | | samples measured on, never learned from |
/// | [`evaluate_every`](Self::evaluate_every) | epoch | ≥ 1 step | how often the error is measured |
/// | [`max_steps`](Self::max_steps) | none | ≥ 1 | ends the run |
/// | [`time_budget`](Self::time_budget) | none | > 0 | ends the run |
/// | [`target_fvu`](Self::target_fvu) | none | ≥ 0 | ends the run when an evaluation reaches it |
/// | [`plateau`](Self::plateau) | none | | ends the run when evaluations no longer improve |
/// | [`coder`](Self::coder) | [`BatchOmp`](crate::coder::BatchOmp) | | sparse coding, its stop rules |
/// | [`updater`](Self::updater) | [`KSvd`](crate::updater::KSvd) | | dictionary update, its atom batch |
/// | [`matryoshka`](Self::matryoshka) | none | sizes that add up to m | atoms in nested groups |
///
/// ```
/// use std::time::Duration;
///
/// use dbksvd::DbKsvd;
/// use dbksvd::source::HeldOut;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 2000).noise(0.1).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3)
///     .seed(1)
///     .center(true)
///     .held_out(HeldOut::Share(0.1))
///     .epochs(10)
///     .time_budget(Duration::from_secs(60))
///     .build()?;
/// let (_, report) = learner.fit(&data.samples)?;
/// println!("{}: {} steps", report.stop.name(), report.steps);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `build` to check the parameters and get a `DbKsvd`"]
pub struct Builder<B: Backend, C, U> {
    config: Config<B, C, U>,
}

impl<B: Backend, C, U> Builder<B, C, U> {
    pub(super) fn new(backend: B, coder: C, updater: U, atoms: usize, sparsity: usize) -> Self {
        Self { config: Config::new(backend, coder, updater, atoms, sparsity) }
    }

    /// The sign that coefficients may have.
    pub fn sign(mut self, sign: Sign) -> Self {
        self.config.settings.sign = sign;
        self
    }

    /// Passes over the data. With 0 the initial dictionary is the result.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.config.settings.epochs = epochs;
        self
    }

    /// The most samples per step: the outer batch. An epoch is cut into equal steps of at most
    /// this many; more than there are samples means all of them.
    ///
    /// The default counts on nearly k nonzeros a sample. Where a tolerance ends most pursuits
    /// earlier, give a larger one: an atom wants some twenty uses a step.
    pub fn minibatch(mut self, samples: usize) -> Self {
        self.config.settings.minibatch = Some(samples);
        self
    }

    /// Into how many shards a minibatch is cut, over which all sums over samples are made:
    /// [`SampleShards::of`](crate::backend::SampleShards::of) the problem by default, which may be
    /// one. A [group](super::Run::group) of more owners than shards has owners without samples.
    /// Results differ with it by rounding.
    pub fn shards(mut self, shards: usize) -> Self {
        self.config.settings.shards = Some(shards);
        self
    }

    /// The seed of all randomness: initial atoms, order of samples, order of atoms.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.settings.seed = seed;
        self
    }

    /// The first dictionary.
    pub fn initialisation(mut self, initialisation: Initialisation<B::Scalar>) -> Self {
        self.config.initialisation = initialisation;
        self
    }

    /// Lets the dictionary grow: it begins with few atoms, which are those of the
    /// [initialisation](Self::initialisation), and doubles. Runs that end early give fewer atoms.
    pub fn growth(mut self, growth: Option<Growth>) -> Self {
        self.config.settings.growth = growth;
        self
    }

    /// Where in the schedules ([`Memory`](crate::updater::Memory),
    /// [`Renewal`](crate::updater::Renewal)) the run begins: 0 for a new dictionary. For one that
    /// was learned, 0.8 goes on as a run that is nearly done, with the memory of the default
    /// updater in full force; 0 would let the dictionary wander again before it settles.
    pub fn start_at(mut self, progress: f64) -> Self {
        self.config.settings.start_at = progress;
        self
    }

    /// Whether to subtract the mean of the data. The model keeps it and `decode` gives it back.
    pub fn center(mut self, center: bool) -> Self {
        self.config.settings.statistics.center = center;
        self
    }

    /// Whether to divide samples by their mean norm, after the mean is subtracted, so that
    /// tolerances and coefficients mean the same for all data. The model keeps the scale and
    /// `decode` undoes it.
    pub fn scale(mut self, scale: bool) -> Self {
        self.config.settings.statistics.scale = scale;
        self
    }

    /// What learning does with samples of extreme norm.
    pub fn outliers(mut self, outliers: Outliers) -> Self {
        self.config.settings.statistics.outliers = outliers;
        self
    }

    /// The most samples from which mean, scale and median norm are taken: runs of them spread over
    /// the data by the seed, or all data if there are no more. They are read up to five times.
    pub fn statistics_samples(mut self, samples: usize) -> Self {
        self.config.settings.statistics.samples = samples;
        self
    }

    /// Takes mean, scale and norm limit from here instead of the data: those of the model that a
    /// given dictionary comes from. What is asked for ([`center`](Self::center),
    /// [`scale`](Self::scale), [`outliers`](Self::outliers)) and not given here is taken from the
    /// data; where a limit is given, `outliers` says only what to do beyond it.
    pub fn preprocessing(mut self, preprocessing: Preprocessing<B::Scalar>) -> Self {
        self.config.preprocessing = Some(preprocessing);
        self
    }

    /// Holds out samples: they are measured on at every evaluation and never learned from.
    pub fn held_out(mut self, held_out: HeldOut) -> Self {
        self.config.held_out = Some(held_out);
        self
    }

    /// How often the error is measured: on held-out samples if there are any, else over the
    /// minibatches since the last time.
    pub fn evaluate_every(mut self, every: Every) -> Self {
        self.config.settings.evaluate_every = every;
        self
    }

    /// Ends the run after that many steps; schedules then end there.
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.config.settings.max_steps = Some(steps);
        self
    }

    /// Ends the run after the step in which this time is over, that before a resumption counted in.
    /// Schedules follow the clock where it is ahead of the steps, so that the memory of the updater
    /// is reached in time; such a run cannot be repeated bit by bit.
    pub fn time_budget(mut self, time: Duration) -> Self {
        self.config.settings.time_budget = Some(time);
        self
    }

    /// Ends the run when an evaluation has an FVU of at most this: of the samples
    /// [within](Preprocessing::is_within) the norm limit, where there is one. An evaluation of
    /// which no sample is within ends nothing.
    pub fn target_fvu(mut self, fvu: f64) -> Self {
        self.config.settings.target_fvu = Some(fvu);
        self
    }

    /// Ends the run when evaluations no longer improve.
    pub fn plateau(mut self, plateau: Plateau) -> Self {
        self.config.settings.plateau = Some(plateau);
        self
    }

    /// Codes samples by another coder.
    pub fn coder<Other>(self, coder: Other) -> Builder<B, Other, U> {
        self.map_parts(|_, updater| (coder, updater))
    }

    /// Updates the dictionary by another updater.
    pub fn updater<Other>(self, updater: Other) -> Builder<B, C, Other> {
        self.map_parts(|coder, _| (coder, updater))
    }

    /// Codes and updates by what `parts` makes of the coder and the updater that are set so far. A
    /// program that chooses at run time wraps those of a preset in its own enums this way.
    pub fn map_parts<Coder, Updater>(
        self,
        parts: impl FnOnce(C, U) -> (Coder, Updater),
    ) -> Builder<B, Coder, Updater> {
        Builder { config: self.config.with_parts(parts) }
    }

    /// Learns atoms in nested groups: coder and updater, as they are set so far, work on one group
    /// after the other, each on what the groups before it left. Sets both, so that their groups are
    /// the same; code with [`Matryoshka`] of these groups afterwards. Not for a dictionary that
    /// [grows](Self::growth).
    pub fn matryoshka(self, groups: Groups) -> Builder<B, Matryoshka<C>, MatryoshkaUpdates<U>> {
        self.map_parts(|coder, updater| {
            let updater = MatryoshkaUpdates::new(groups.clone()).updater(updater);
            (Matryoshka::new(groups).coder(coder), updater)
        })
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
        self.config.check()?;
        Ok(DbKsvd { config: self.config })
    }
}
