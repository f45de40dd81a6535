//! The configuration of a run: what the [`Builder`](super::Builder) collects, and all of learning
//! reads.

use std::time::Duration;

use super::cut::Cut;
use super::team::Team;
use super::{Growth, Initialisation, Plateau};
use crate::backend::{Backend, SampleShards};
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};
use crate::samples::preprocessing::{Outliers, Preprocessing, StatisticsChoice};
use crate::source::HeldOut;
use crate::updater::DictionaryUpdater;

/// All that is set before a run.
#[derive(Clone, Debug)]
pub(super) struct Config<B: Backend, C, U> {
    pub(super) settings: Settings,
    pub(super) initialisation: Initialisation<B::Scalar>,
    pub(super) preprocessing: Option<Preprocessing<B::Scalar>>,
    pub(super) held_out: Option<HeldOut>,
    pub(super) backend: B,
    pub(super) coder: C,
    pub(super) updater: U,
}

impl<B: Backend, C, U> Config<B, C, U> {
    /// The defaults.
    pub(super) fn new(backend: B, coder: C, updater: U, atoms: usize, sparsity: usize) -> Self {
        let settings = Settings {
            atoms,
            sparsity,
            sign: Sign::Signed,
            epochs: 20,
            minibatch: None,
            seed: 0,
            statistics: StatisticsChoice {
                center: false,
                scale: false,
                outliers: Outliers::Keep,
                samples: 1 << 18,
            },
            start_at: 0.0,
            evaluate_every: Every::Epoch,
            max_steps: None,
            time_budget: None,
            target_fvu: None,
            plateau: None,
            growth: None,
            shards: None,
        };
        let initialisation = Initialisation::Samples;
        let (preprocessing, held_out) = (None, None);
        Self { settings, initialisation, preprocessing, held_out, backend, coder, updater }
    }

    /// The same with another coder or updater, made of those at hand.
    pub(super) fn with_parts<Coder, Updater>(
        self,
        parts: impl FnOnce(C, U) -> (Coder, Updater),
    ) -> Config<B, Coder, Updater> {
        let Self { settings, initialisation, preprocessing, held_out, backend, coder, updater } =
            self;
        let (coder, updater) = parts(coder, updater);
        Config { settings, initialisation, preprocessing, held_out, backend, coder, updater }
    }
}

impl<B, C, U> Config<B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    /// Checks all that can be checked before samples are there.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Self { settings, initialisation, .. } = self;
        // Until data come, the dimension is only known if a dictionary was given.
        let mut dim = usize::MAX;
        if let Initialisation::Given(dictionary) = initialisation {
            if dictionary.atoms() > settings.atoms {
                let found = format!("a dictionary of {} atoms", dictionary.atoms());
                let expected = format!("at most {} atoms", settings.atoms);
                return Err(Error::argument("initialisation", found, expected));
            }
            if settings.growth.is_some() {
                let expected = "samples or Gaussian directions, for a dictionary that grows";
                return Err(Error::argument("initialisation", "a dictionary", expected));
            }
            dim = dictionary.dim();
        }
        settings.check()?;
        self.check_parts(dim)
    }

    /// Whether coder and updater can serve the dictionary at every size that it will have.
    pub(super) fn check_parts(&self, dim: usize) -> Result<(), Error> {
        self.settings.shape(dim).check()?;
        for atoms in self.settings.sizes() {
            let shape = self.settings.shape_of(dim, atoms);
            self.coder.check(&shape)?;
            self.updater.check(&shape)?;
        }
        Ok(())
    }
}

/// The scalars of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) atoms: usize,
    pub(super) sparsity: usize,
    pub(super) sign: Sign,
    pub(super) epochs: usize,
    pub(super) minibatch: Option<usize>,
    pub(super) seed: u64,
    pub(super) statistics: StatisticsChoice,
    pub(super) start_at: f64,
    pub(super) evaluate_every: Every,
    pub(super) max_steps: Option<u64>,
    pub(super) time_budget: Option<Duration>,
    pub(super) target_fvu: Option<f64>,
    pub(super) plateau: Option<Plateau>,
    pub(super) growth: Option<Growth>,
    pub(super) shards: Option<usize>,
}

impl Settings {
    /// Samples a step, of `samples` in all.
    ///
    /// By default 4m, but no more than a quarter of the data, so that an epoch has several steps,
    /// and no fewer than give an atom twenty uses, without which its update is mostly noise. With
    /// growth, where each stage wants its steps, 10m, but no more than a tenth of the data.
    pub(super) fn minibatch_of(&self, samples: usize) -> usize {
        let least = 20 * self.atoms / self.sparsity;
        let default = match self.growth {
            None => (4 * self.atoms).min(samples / 4),
            Some(_) => (10 * self.atoms).min(samples / 10),
        };
        let default = default.max(least).max(1);
        self.minibatch.unwrap_or(default).min(samples)
    }

    /// The progress, from `start_at` to 1, of a run of which this share lies behind, where a step
    /// is so large a share. A dictionary that grows has all its atoms in the last step at the
    /// latest, even in a run of few steps.
    pub(super) fn progress_of(&self, share: f64, of_a_step: f64) -> f64 {
        let progress = self.start_at + (1.0 - self.start_at) * share.clamp(0.0, 1.0);
        // Half a step is more than the rounding of a share.
        let is_last = share + 1.5 * of_a_step > 1.0;
        match self.growth {
            Some(growth) if is_last => progress.max(growth.until),
            _ => progress,
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.minibatch == Some(0) {
            return Err(Error::argument("minibatch", 0, "at least 1"));
        }
        if let Some(shards) = self.shards
            && SampleShards::try_equal(shards, 0).is_err()
        {
            return Err(Error::argument("shards", shards, "a power of two up to 128"));
        }
        self.statistics.outliers.check()?;
        if self.statistics.samples == 0 {
            return Err(Error::argument("statistics_samples", 0, "at least 1"));
        }
        if !(0.0..1.0).contains(&self.start_at) {
            return Err(Error::argument("start_at", self.start_at, "at least 0 and below 1"));
        }
        if self.evaluate_every == Every::Steps(0) {
            return Err(Error::argument("evaluate_every", 0, "at least 1 step"));
        }
        if self.max_steps == Some(0) {
            return Err(Error::argument("max_steps", 0, "at least 1"));
        }
        if self.time_budget == Some(Duration::ZERO) {
            return Err(Error::argument("time_budget", "0 s", "a positive duration"));
        }
        if let Some(target) = self.target_fvu
            && !(target.is_finite() && target >= 0.0)
        {
            return Err(Error::argument("target_fvu", target, "at least 0, and finite"));
        }
        if let Some(growth) = &self.growth {
            growth.check(self.atoms)?;
        }
        self.plateau.map_or(Ok(()), |plateau| plateau.check())
    }

    /// How minibatches are cut into shards, and which of them are this owner's.
    pub(super) fn cut(&self, dim: usize, team: Team<'_>) -> Cut {
        Cut::new(self.shape_of(dim, self.atoms), self.shards, team)
    }

    pub(super) fn shape(&self, dim: usize) -> ProblemShape {
        self.shape_of(dim, self.atoms)
    }

    /// The shape while the dictionary has `atoms` atoms, as it grows.
    pub(super) fn shape_of(&self, dim: usize, atoms: usize) -> ProblemShape {
        let most = if self.growth.is_some() { atoms } else { usize::MAX };
        ProblemShape { dim, atoms, sparsity: self.sparsity.min(most), sign: self.sign }
    }

    /// The numbers of atoms, stage by stage.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.growth.map_or_else(|| vec![self.atoms], |growth| growth.sizes(self.atoms))
    }
}

/// How often something is done in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// At the end of each epoch.
    Epoch,
    /// Each time that many steps have been taken, counted from the start of the run; at least 1.
    Steps(u64),
}

impl From<Every> for Parameters {
    fn from(every: Every) -> Self {
        match every {
            Every::Epoch => Self::of("epoch"),
            Every::Steps(steps) => Self::of("steps").with("steps", steps),
        }
    }
}
