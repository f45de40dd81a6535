//! One run of a learner: on which samples, watched by whom, ended and saved how.

use std::time::Instant;

use super::checkpoint::{Checkpoints, OpenCheckpoints, OpenStore, identity};
use super::driver::Driver;
use super::evaluation::HeldOutEvaluator;
use super::fit::Fit;
use super::observer::{Observer, PanicCatching};
use super::reader::Schedule;
use super::run_state::RunState;
use super::session::Trainer;
use super::{DbKsvd, StopToken};
use crate::Scalar;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::source::{SampleSource, Subset, check_rounding, split};
use crate::updater::DictionaryUpdater;

/// A run that is set up: [`DbKsvd::run`] makes one, [`finish`](Self::finish) lets it learn.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::learn::{Every, StopReason, StopToken};
/// use dbksvd::source::HeldOut;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 24, 2, 800).generate::<f32>()?;
/// let learner = DbKsvd::builder(24, 2)
///     .held_out(HeldOut::Share(0.1))
///     .evaluate_every(Every::Steps(5))
///     .target_fvu(0.2)
///     .build()?;
/// let token = StopToken::new(); // a handler of Ctrl-C could hold a clone
/// let fit = learner.run(&data.samples).stop_token(token).finish()?;
/// assert_eq!(fit.report.stop, StopReason::TargetFvu);
/// let best = fit.best.unwrap();
/// assert!(best.fvu <= 0.2);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[must_use = "call `finish` to learn"]
pub struct Run<'a, B: Backend, C, U> {
    pub(super) learner: &'a DbKsvd<B, C, U>,
    pub(super) source: &'a dyn SampleSource<B::Scalar>,
    pub(super) held_out: Option<&'a dyn SampleSource<B::Scalar>>,
    pub(super) observer: Option<&'a mut dyn Observer<B::Scalar>>,
    pub(super) token: Option<StopToken>,
    pub(crate) checkpoints: Option<(Checkpoints, OpenStore<B::Scalar>)>,
}

impl<'a, B, C, U> Run<'a, B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    pub(super) fn new(
        learner: &'a DbKsvd<B, C, U>,
        source: &'a dyn SampleSource<B::Scalar>,
    ) -> Self {
        Self { learner, source, held_out: None, observer: None, token: None, checkpoints: None }
    }

    /// Measures on these samples at every evaluation, in place of a part of the source.
    pub fn held_out(mut self, source: &'a impl SampleSource<B::Scalar>) -> Self {
        self.held_out = Some(source);
        self
    }

    /// Tells `observer` what happens.
    pub fn observer(mut self, observer: &'a mut dyn Observer<B::Scalar>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Ends the run after the step in which this token is stopped.
    pub fn stop_token(mut self, token: StopToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Learns until the run ends.
    ///
    /// # Errors
    /// What is wrong before the first step: [`Error::NoSamples`] for an empty source,
    /// [`Error::Argument`] if k > d or a held-out part cannot be had, [`Error::Dimension`] if a
    /// given dictionary, mean or held-out source is of another dimension than the samples,
    /// [`Error::NotFinite`] or [`Error::Source`] for samples that the dictionary begins with,
    /// [`Error::Rounding`] for samples that are stored in more digits than they can do without,
    /// [`Error::NormLimit`] for a norm limit that most samples lie beyond,
    /// [`Error::NothingLearned`] if samples are to be clipped or dropped and all are zero,
    /// [`Error::Checkpoint`] if the directory cannot be used or its checkpoint is of another run,
    /// [`Error::Backend`] if memory cannot be had. What fails later ends the run, is told by
    /// [`Fit::failure`], and loses nothing; but a backend that fails within a step leaves no
    /// dictionary that could be trusted: that is an error here as well, and the newest checkpoint
    /// the place to go on from.
    pub fn finish(self) -> Result<Fit<B::Scalar>, Error> {
        let sources = self.sources()?;
        let run = Run {
            learner: self.learner,
            source: sources.learned(),
            held_out: sources.held_out(),
            // Shortens the lifetime of the trait object, which only a coercion does.
            observer: self.observer.map(|observer| observer as &mut dyn Observer<B::Scalar>),
            token: self.token,
            checkpoints: self.checkpoints,
        };
        run.learn()
    }

    /// What is learned from, and what is measured on.
    pub(super) fn sources(&self) -> Result<Sources<'a, B::Scalar>, Error> {
        let Self { learner, source, held_out, .. } = *self;
        let Some(part) = &learner.config.held_out else {
            return Ok(Sources::Given { source, held_out });
        };
        if held_out.is_some() {
            let (found, expected) = ("a part of the source and a source", "one of them");
            return Err(Error::argument("held_out", found, expected));
        }
        if source.is_empty() {
            return Err(Error::NoSamples { argument: "source" });
        }
        let (learned, held_out) = split(source, part, learner.config.settings.seed)?;
        Ok(Sources::Split { learned, held_out })
    }

    /// Learns from all of the source.
    pub(super) fn learn(self) -> Result<Fit<B::Scalar>, Error> {
        let start = Instant::now();
        let Self { learner, source, held_out, .. } = self;
        learner.check_source(source)?;
        if let Some(held_out) = held_out {
            if held_out.is_empty() {
                return Err(Error::NoSamples { argument: "held_out" });
            }
            let (found, expected) = (held_out.dim(), source.dim());
            if found != expected {
                return Err(Error::Dimension { argument: "held_out", found, expected });
            }
        }
        for source in [Some(source), held_out].into_iter().flatten() {
            check_rounding(source)?;
        }
        let settings = &learner.config.settings;
        let minibatch = settings.minibatch_of(source.len());
        let schedule = Schedule { source, minibatch, seed: settings.seed, epochs: settings.epochs };
        let open = |(plan, store)| {
            OpenCheckpoints::open(plan, store, || identity::of(&learner.config, source, held_out))
        };
        let checkpoints = self.checkpoints.map(open).transpose()?;
        let saved = match &checkpoints {
            None => None,
            Some(checkpoints) => checkpoints.load(source.dim(), &settings.sizes())?,
        };
        let (trainer, run_state) = match saved {
            Some(saved) => (saved.trainer(&learner.config)?, saved.into_state(start)),
            None => {
                let run_state = RunState::new(source.dim(), start);
                (Trainer::new(&learner.config, source)?, run_state)
            }
        };
        let evaluator = match held_out {
            None => None,
            Some(samples) => Some(HeldOutEvaluator::new(&learner.config, samples, &trainer)?),
        };
        let driver = Driver {
            learner,
            schedule,
            trainer,
            run_state,
            evaluator,
            observer: PanicCatching::new(self.observer),
            token: self.token,
            is_whole: true,
            checkpoints,
        };
        driver.drive()
    }
}

/// The samples of a run.
pub(super) enum Sources<'a, T> {
    Given { source: &'a dyn SampleSource<T>, held_out: Option<&'a dyn SampleSource<T>> },
    Split { learned: Part<'a, T>, held_out: Part<'a, T> },
}

type Part<'a, T> = Subset<&'a dyn SampleSource<T>>;

impl<T: Scalar> Sources<'_, T> {
    pub(super) fn learned(&self) -> &dyn SampleSource<T> {
        match self {
            Self::Given { source, .. } => *source,
            Self::Split { learned, .. } => learned,
        }
    }

    pub(super) fn held_out(&self) -> Option<&dyn SampleSource<T>> {
        match self {
            Self::Given { held_out, .. } => *held_out,
            Self::Split { held_out, .. } => Some(held_out),
        }
    }
}
