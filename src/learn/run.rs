//! One run of a learner: on which samples, watched by whom, ended and saved how.

use std::ops::ControlFlow;
use std::thread;
use std::time::Instant;

#[cfg(feature = "safetensors")]
use super::checkpoint::{Checkpoints, OnFailure, Store};
use super::course::{Best, Course};
use super::evaluation::Examiner;
use super::observer::{Guarded, Observer, Progress, Renewed, Snapshot};
use super::reader::{Reader, Schedule};
use super::report::{EpochReport, Report, Seconds};
use super::session::{Outcome, Trainer};
use super::{DbKsvd, Every, StopReason, StopToken};
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::model::Model;
use crate::source::{SampleSource, Subset, split, steps};
use crate::updater::DictionaryUpdater;
use crate::{Dictionary, Scalar};

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
    #[cfg(feature = "safetensors")]
    pub(super) checkpoints: Option<Checkpoints>,
}

/// What a run gives, whatever ended it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fit<T: Scalar> {
    /// The dictionary after the last step.
    pub model: Model<T>,
    /// The dictionary that did best on the held-out samples; `None` without any, or before the first
    /// evaluation.
    pub best: Option<Best<T>>,
    /// The course of the run.
    pub report: Report,
    /// What failed, if [`Report::stop`] is [`StopReason::Failed`]. The models are those of the
    /// steps before.
    pub failure: Option<Error>,
}

impl<T: Scalar> Fit<T> {
    /// The last model and the report, or what failed.
    ///
    /// # Errors
    /// [`failure`](Self::failure).
    pub fn into_result(self) -> Result<(Model<T>, Report), Error> {
        match self.failure {
            None => Ok((self.model, self.report)),
            Some(error) => Err(error),
        }
    }
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
        Self {
            learner,
            source,
            held_out: None,
            observer: None,
            token: None,
            #[cfg(feature = "safetensors")]
            checkpoints: None,
        }
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

    /// Saves the state of the run so, and takes it up again.
    #[cfg(feature = "safetensors")]
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// Learns until the run ends.
    ///
    /// # Errors
    /// What is wrong before the first step: [`Error::NoSamples`] for an empty source,
    /// [`Error::Argument`] if k > d or a held-out part cannot be had, [`Error::Dimension`] if a given
    /// dictionary, mean or held-out source is of another dimension than the samples,
    /// [`Error::NotFinite`] or [`Error::Source`] for samples that the dictionary begins with,
    /// [`Error::Checkpoint`] if the directory cannot be used or its checkpoint is of another run,
    /// [`Error::Backend`] if memory cannot be had. What fails later ends the run, is told by
    /// [`Fit::failure`], and loses nothing; but a backend that fails within a step leaves no
    /// dictionary that could be trusted: that is an error here as well, and the newest checkpoint the
    /// place to go on from.
    pub fn finish(self) -> Result<Fit<B::Scalar>, Error> {
        let sources = self.sources()?;
        self.learn(sources.learned(), sources.held_out())
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

    pub(super) fn learn(
        self,
        source: &dyn SampleSource<B::Scalar>,
        held_out: Option<&dyn SampleSource<B::Scalar>>,
    ) -> Result<Fit<B::Scalar>, Error> {
        let start = Instant::now();
        let learner = self.learner;
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
        let settings = &learner.config.settings;
        let minibatch = settings.minibatch_of(source.len());
        let schedule = Schedule { source, minibatch, seed: settings.seed, epochs: settings.epochs };
        let course = Course::new(source.dim(), start);
        #[cfg(not(feature = "safetensors"))]
        let resumed = None;
        #[cfg(feature = "safetensors")]
        let (store, course, resumed) = {
            let mut course = course;
            let open = |checkpoints| Store::open(checkpoints, &learner.config, source);
            let store = self.checkpoints.as_ref().map(open).transpose()?;
            let resume = |store: &Store| store.resume(&learner.config, &mut course);
            let resumed = store.as_ref().map(resume).transpose()?.flatten();
            (store, course, resumed)
        };
        let trainer = match resumed {
            Some(trainer) => trainer,
            None => Trainer::new(&learner.config, source)?,
        };
        let examiner = match held_out {
            None => None,
            Some(samples) => Some(Examiner::new(&learner.config, samples, &trainer)?),
        };
        // Shortens the lifetime of the trait object, which only a coercion does.
        let observer = self.observer.map(|observer| observer as &mut dyn Observer<B::Scalar>);
        let driver = Driver {
            learner,
            schedule,
            trainer,
            course,
            examiner,
            observer: Guarded::new(observer),
            token: self.token,
            is_whole: true,
            #[cfg(feature = "safetensors")]
            store,
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

/// Everything that a run works with.
struct Driver<'a, B: Backend, C: SparseCoder<B>, U: DictionaryUpdater<B>> {
    learner: &'a DbKsvd<B, C, U>,
    schedule: Schedule<'a, B::Scalar>,
    trainer: Trainer<B, C, U>,
    course: Course<B::Scalar>,
    examiner: Option<Examiner<'a, B>>,
    observer: Guarded<'a, B::Scalar>,
    token: Option<StopToken>,
    /// Whether the trainer's state is that after a step: not within one, when a backend may fail.
    is_whole: bool,
    #[cfg(feature = "safetensors")]
    store: Option<Store>,
}

impl<B, C, U> Driver<'_, B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    fn drive(mut self) -> Result<Fit<B::Scalar>, Error> {
        let (schedule, position) = (self.schedule, self.course.position);
        let ended = thread::scope(|scope| {
            let mut reader = Reader::start(scope, schedule, position)?;
            self.take_steps(&mut reader)
        });
        let (stop, failure) = match ended {
            Ok(stop) => (stop, None),
            Err(error) => (StopReason::Failed, Some(error)),
        };
        self.end(stop, failure)
    }

    /// Steps, and what follows each, until there is a reason to stop.
    fn take_steps(&mut self, reader: &mut Reader<'_, B::Scalar>) -> Result<StopReason, Error> {
        loop {
            if let Some(stop) = self.reason_to_stop() {
                return Ok(stop);
            }
            let mut samples = reader.next()?;
            let loaded = self.trainer.load(&self.learner.config, &mut samples)?;
            reader.give_back(samples);
            let progress = self.learner.config.settings.progress_of(self.share_done());
            self.is_whole = false;
            let outcome = self.trainer.step(&self.learner.config, loaded, progress)?;
            self.is_whole = true;
            self.course.add(&outcome);
            self.tell_of_step(&outcome);
            let epoch = self.course.end_epoch(self.schedule.source.len());
            if let Some(epoch) = &epoch {
                self.tell_of_epoch(epoch);
            }
            if self.is_evaluation_due(epoch.is_some())
                && let Some(stop) = self.evaluate()?
            {
                return Ok(stop);
            }
            #[cfg(feature = "safetensors")]
            if self.store.as_ref().is_some_and(|store| store.is_due(self.trainer.steps)) {
                self.save()?;
            }
        }
    }

    fn reason_to_stop(&self) -> Option<StopReason> {
        let settings = &self.learner.config.settings;
        if self.course.position.epoch > settings.epochs {
            return Some(StopReason::Completed);
        }
        if settings.max_steps.is_some_and(|most| self.trainer.steps >= most) {
            return Some(StopReason::Steps);
        }
        if self.observer.has_asked_to_stop {
            return Some(StopReason::Observer);
        }
        if self.token.as_ref().is_some_and(StopToken::is_stopped) {
            return Some(StopReason::Token);
        }
        let budget = settings.time_budget?.as_secs_f64();
        (self.course.elapsed() >= budget).then_some(StopReason::Time)
    }

    /// The share of the run that lies behind: of its steps or, if that is more, of its time.
    fn share_done(&self) -> f64 {
        let settings = &self.learner.config.settings;
        let per_epoch = steps(self.schedule.source.len(), self.schedule.minibatch);
        let planned = settings.epochs as f64 * per_epoch as f64;
        let planned = settings.max_steps.map_or(planned, |most| planned.min(most as f64));
        let of_steps = self.trainer.steps as f64 / planned;
        let of_time = settings.time_budget.map(|time| self.course.elapsed() / time.as_secs_f64());
        of_time.map_or(of_steps, |of_time| of_steps.max(of_time)).min(1.0)
    }

    fn tell_of_step(&mut self, outcome: &Outcome) {
        let settings = &self.learner.config.settings;
        let progress = Progress {
            epoch: self.course.position.epoch,
            epochs: settings.epochs,
            step: self.course.position.step,
            steps: steps(self.schedule.source.len(), self.schedule.minibatch),
            total_steps: self.trainer.steps,
            done: self.share_done(),
            samples: outcome.moments.samples,
            fvu: self.course.tally.moments.fvu(),
            elapsed: self.course.elapsed(),
        };
        self.observer.tell(|observer| observer.on_step(&progress));
        let (replaced, merged) = (outcome.update.replaced, outcome.update.merged);
        if replaced + merged > 0 {
            let renewed = Renewed { step: self.trainer.steps, replaced, merged };
            self.observer.tell(|observer| observer.on_renewal(&renewed));
        }
    }

    fn tell_of_epoch(&mut self, epoch: &EpochReport) {
        let Self { trainer, learner, observer, .. } = self;
        let snapshot = Snapshot { fetch: &|| trainer.model(&learner.config) };
        observer.tell(|observer| observer.on_epoch(epoch, &snapshot));
    }

    fn is_evaluation_due(&self, epoch_ended: bool) -> bool {
        match self.learner.config.settings.evaluate_every {
            Every::Epoch => epoch_ended,
            Every::Steps(steps) => self.trainer.steps.is_multiple_of(steps),
        }
    }

    /// Measures the dictionary as it is now, and says whether that is good enough, or no better.
    fn evaluate(&mut self) -> Result<Option<StopReason>, Error> {
        let config = &self.learner.config;
        let step = self.trainer.steps;
        let evaluation = match &mut self.examiner {
            None if self.course.watched.moments.samples == 0 => return Ok(None),
            None => self.course.watch(step),
            Some(examiner) => {
                let measured = examiner.examine(config, &mut self.trainer)?;
                let (samples, fvu) = (measured.moments.samples, measured.moments.fvu());
                let l0 = measured.nonzeros as f64 / samples as f64;
                let evaluation = self.course.evaluation(step, true, samples, fvu, l0);
                if self.course.best.as_ref().is_none_or(|&(_, _, best)| fvu < best) {
                    let dictionary = self.trainer.download(config)?;
                    self.course.best = Some((dictionary, step, fvu));
                }
                evaluation
            }
        };
        let Self { trainer, learner, observer, .. } = self;
        let snapshot = Snapshot { fetch: &|| trainer.model(&learner.config) };
        observer.tell(|observer| observer.on_evaluation(&evaluation, &snapshot));
        let settings = &config.settings;
        if settings.target_fvu.is_some_and(|target| evaluation.fvu <= target) {
            return Ok(Some(StopReason::TargetFvu));
        }
        let plateau = settings.plateau;
        let is_flat = plateau.is_some_and(|plateau| plateau.is_reached(&self.course.evaluations));
        Ok(is_flat.then_some(StopReason::Plateau))
    }

    #[cfg(feature = "safetensors")]
    fn save(&mut self) -> Result<(), Error> {
        let Some(store) = &mut self.store else { return Ok(()) };
        match store.save(&self.learner.config, &self.trainer, &self.course) {
            Ok(Some(written)) => {
                self.observer.tell(|observer| observer.on_checkpoint(&written));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) if store.on_failure() == OnFailure::GoOn => {
                self.observer.tell(|observer| observer.on_checkpoint_failure(&error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn end(
        mut self,
        stop: StopReason,
        mut failure: Option<Error>,
    ) -> Result<Fit<B::Scalar>, Error> {
        let mut stop = stop;
        if !self.is_whole
            && let Some(error) = failure
        {
            return Err(error);
        }
        // Before the last evaluation, which a run that goes on from here will not have made.
        #[cfg(feature = "safetensors")]
        if let Err(error) = self.save() {
            // What ended the run is the first thing to know.
            failure.get_or_insert(error);
        }
        // However a run ends, something is known of what it gives.
        let config = &self.learner.config;
        let evaluated = self.course.evaluations.last().map(|evaluation| evaluation.step);
        if failure.is_none() && self.trainer.steps > 0 && evaluated != Some(self.trainer.steps) {
            failure = self.evaluate().err();
        }
        if failure.is_some() {
            stop = StopReason::Failed;
        }
        let model = match (self.trainer.model(config), failure) {
            (Ok(model), kept) => {
                failure = kept;
                model
            }
            (Err(_), Some(first)) => return Err(first),
            (Err(error), None) => return Err(error),
        };
        let best = match self.course.best.take() {
            None => None,
            Some((dictionary, step, fvu)) => {
                Some(Best { model: self.trainer.model_of(config, dictionary)?, step, fvu })
            }
        };
        let Seconds { encode, update, .. } = self.trainer.seconds;
        let total = self.course.elapsed();
        let mut report = Report {
            epochs: self.course.all_epochs(),
            evaluations: std::mem::take(&mut self.course.evaluations),
            steps: self.trainer.steps,
            noise: self.trainer.noise,
            resumed_from: self.course.resumed_from,
            seconds: Seconds { encode, update, other: total - encode - update, total },
            stop,
            observer_panic: None,
        };
        self.observer.tell(|observer| {
            observer.on_stop(&report);
            ControlFlow::Continue(())
        });
        report.observer_panic = self.observer.panic;
        Ok(Fit { model, best, report, failure })
    }
}

impl<B, C, U> Trainer<B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    /// The dictionary as it is now, in host memory.
    fn download(&self, config: &super::Builder<B, C, U>) -> Result<Dictionary<B::Scalar>, Error> {
        Dictionary::normalized(config.backend.download(self.dictionary())?)
    }
}
