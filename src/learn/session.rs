//! Learning step by step: one minibatch at a time, from wherever samples come.

use super::DbKsvd;
use super::checkpoint::{SavedSession, TrainingState, identity};
use super::loader::Buffers;
use super::team::Team;
use super::trainer::{Outcome, Trainer};
use crate::backend::Backend;
use crate::coder::{BatchOmp, SparseCoder};
use crate::cpu::Faer;
use crate::error::Error;
use crate::model::Model;
use crate::parameters::Parameters;
use crate::samples::{HostSamples, OutlierCounts};
use crate::source::AsSamples;
use crate::updater::{DictionaryUpdater, KSvd, UpdateReport};

/// A run that is fed one minibatch at a time (what others call `partial_fit`).
///
/// [`DbKsvd::session`] starts one. The first step's samples give the initial dictionary (unless one
/// was given) and whatever is done to samples: mean, scale, norm limit.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::synthetic::Planted;
///
/// let learner = DbKsvd::builder(32, 3).build()?;
/// let mut session = learner.session(16, 4)?; // of dimension 16, some 4 steps
/// for seed in 0..4 {
///     // Whatever arrives: here, a minibatch of a planted problem.
///     let arrived = Planted::new(16, 32, 3, 500).seed(seed).generate::<f32>()?.samples;
///     let report = session.step(arrived.as_ref())?;
///     println!("step {}: FVU {:.3}", report.step, report.fvu);
/// }
/// let model = session.model()?.expect("after a step");
/// assert_eq!(model.atoms(), 32);
/// # Ok::<(), dbksvd::Error>(())
/// ```
pub struct Session<
    B: Backend = Faer<f32>,
    C: SparseCoder<B> = BatchOmp,
    U: DictionaryUpdater<B> = KSvd,
> {
    learner: DbKsvd<B, C, U>,
    dim: usize,
    planned_steps: u64,
    host: HostSamples<B::Scalar>,
    buffers: Buffers<B>,
    trainer: Option<Trainer<B, C, U>>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u64,
    /// Samples learned from.
    pub samples: usize,
    /// Samples that were scaled down to the norm limit.
    pub clipped: usize,
    /// Samples that were left out for their norm.
    pub dropped: usize,
    /// Samples that are zero throughout: left out where samples are clipped or dropped.
    pub zeros: usize,
    /// Fraction of the minibatch's variance that its codes left unexplained, before the update.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub fvu: f64,
    /// The same for the samples [within](crate::Preprocessing::is_within) the norm limit; `fvu`
    /// again where there is none.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub fvu_within: f64,
    /// What the update did.
    pub update: UpdateReport,
}

impl<B, C, U> Session<B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    pub(super) fn new(
        learner: DbKsvd<B, C, U>,
        dim: usize,
        planned_steps: u64,
    ) -> Result<Self, Error> {
        if planned_steps == 0 {
            return Err(Error::argument("planned_steps", 0, "at least 1"));
        }
        learner.check_dim(dim)?;
        let (host, trainer) = (HostSamples::new(dim), None);
        let buffers = Buffers::new(&learner.config.backend, dim)?;
        Ok(Self { learner, dim, planned_steps, host, buffers, trainer })
    }

    /// Learns from one minibatch (d × n, a column a sample).
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::NoSamples`], [`Error::NotFinite`] or [`Error::Range`] (too
    /// large or small to square) for bad samples, [`Error::Source`] for a slice that does not hold
    /// a whole number of them; all of these leave the session as it was. [`Error::Backend`] if
    /// memory cannot be had.
    pub fn step(&mut self, samples: impl AsSamples<B::Scalar>) -> Result<StepReport, Error> {
        let samples = samples.as_samples(self.dim)?;
        if samples.nrows() != self.dim {
            let (found, expected) = (samples.nrows(), self.dim);
            return Err(Error::Dimension { argument: "samples", found, expected });
        }
        if samples.ncols() == 0 {
            return Err(Error::NoSamples { argument: "samples" });
        }
        if u32::try_from(samples.ncols()).is_err() {
            return Err(Error::argument("samples", samples.ncols(), "below 2³²"));
        }
        let config = &self.learner.config;
        self.host.read(&samples, std::iter::once(0..samples.ncols()))?;
        let mut trainer = match self.trainer.take() {
            Some(trainer) => trainer,
            None => Trainer::new(config, &samples)?,
        };
        let planned = self.planned_steps as f64;
        let share = (trainer.steps as f64 / planned).min(1.0);
        let (host, buffers) = (&mut self.host, &mut self.buffers);
        let loaded = trainer.loader.load(&config.backend, host, buffers);
        let progress = config.settings.progress_of(share, 1.0 / planned);
        let outcome = loaded
            .and_then(|loaded| trainer.step(config, buffers, loaded, progress, Team::alone()));
        let step = trainer.steps;
        // A first minibatch that was refused is not what a dictionary should be drawn from.
        if step > 0 {
            self.trainer = Some(trainer);
        }
        let Outcome { update, figures, outliers, .. } = outcome?;
        let (samples, fvu) = (figures.all.samples, figures.all.fvu());
        let fvu_within = figures.fvu_within();
        let OutlierCounts { zeros, clipped, dropped, .. } = outliers;
        Ok(StepReport { step, samples, clipped, dropped, zeros, fvu, fvu_within, update })
    }

    /// The model as it is now; `None` before the first step.
    ///
    /// # Errors
    /// [`Error::Backend`] if the dictionary cannot be fetched.
    pub fn model(&self) -> Result<Option<Model<B::Scalar>>, Error> {
        self.trainer.as_ref().map(|trainer| trainer.model(&self.learner.config)).transpose()
    }

    /// Root mean square, over samples and coordinates, of what the codes of the last minibatch
    /// left, as [`Report::noise`](super::Report::noise); NaN before the first step.
    #[must_use]
    pub fn noise(&self) -> f64 {
        self.trainer.as_ref().map_or(f64::NAN, |trainer| trainer.noise)
    }

    /// The session as it is now, to be stored; `None` before the first step. A session of the same
    /// parameters that is [`restore`](Self::restore)d from it takes the same steps, bit by bit.
    ///
    /// ```
    /// use dbksvd::DbKsvd;
    /// use dbksvd::synthetic::Planted;
    ///
    /// let data = Planted::new(16, 24, 2, 600).generate::<f32>()?.samples;
    /// let learner = DbKsvd::builder(24, 2).build()?;
    /// let mut session = learner.clone().session(16, 2)?;
    /// session.step(data.subcols(0, 300))?;
    /// let saved = session.save()?.expect("a step was taken");
    ///
    /// let mut resumed = learner.session(16, 2)?;
    /// resumed.restore(&saved)?;
    /// session.step(data.subcols(300, 300))?;
    /// resumed.step(data.subcols(300, 300))?;
    /// assert_eq!(session.model()?, resumed.model()?);
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Backend`] if the dictionary or the updater's data cannot be fetched.
    pub fn save(&self) -> Result<Option<SavedSession<B::Scalar>>, Error> {
        let Self { learner: DbKsvd { config }, dim, planned_steps, trainer, .. } = self;
        let Some(trainer) = trainer else { return Ok(None) };
        let parameters = identity::of_session(config, *dim, *planned_steps);
        Ok(Some(SavedSession { parameters, training: TrainingState::of(config, trainer)? }))
    }

    /// Goes on where another session [was saved](Self::save). What this session has learned is
    /// forgotten.
    ///
    /// # Errors
    /// [`Error::Argument`] naming a parameter that this session has not or has otherwise,
    /// [`Error::Dimension`], [`Error::NotFiniteAtom`], [`Error::NotUnitAtom`], [`Error::Argument`]
    /// or [`Error::SavedState`] for values that no session was in; [`Error::Backend`] if memory
    /// cannot be had. After an error, the session is as it was.
    pub fn restore(&mut self, saved: &SavedSession<B::Scalar>) -> Result<(), Error> {
        let config = &self.learner.config;
        let parameters = identity::of_session(config, self.dim, self.planned_steps);
        check_same(&parameters, &saved.parameters)?;
        saved.training.check(self.dim, &config.settings.sizes())?;
        self.trainer = Some(saved.training.trainer(config)?);
        Ok(())
    }
}

/// Refuses a session that was saved with other parameters.
fn check_same(own: &Parameters, saved: &Parameters) -> Result<(), Error> {
    let value = |of: &Parameters, name: &str| {
        let found = of.iter().find(|(other, _)| *other == name);
        found.map_or_else(|| "not stated".to_owned(), |(_, value)| value.to_owned())
    };
    let names = own.iter().chain(saved.iter()).map(|(name, _)| name);
    for name in names {
        let (found, expected) = (value(saved, name), value(own, name));
        if found != expected {
            let found = format!("a session whose `{name}` is {found}");
            return Err(Error::argument("saved", found, expected));
        }
    }
    Ok(())
}
