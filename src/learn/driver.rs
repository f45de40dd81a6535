//! The course of a run: step after step, and what follows each, until there is a reason to stop.

use std::ops::ControlFlow;
use std::thread;

use super::checkpoint::OpenCheckpoints;
use super::checkpoint::saved_run::SavedRun;
use super::evaluation::HeldOutEvaluator;
use super::feed::Feed;
use super::fit::Fit;
use super::loader::Buffers;
use super::observer::{PanicCatching, Progress, Renewed, Snapshot};
use super::reader::Schedule;
use super::report::{EpochReport, Evaluation, Report, Seconds};
use super::run_state::{Best, Leader, Measured, RunState};
use super::team::{Team, of_owner};
use super::trainer::{Outcome, Trainer};
use super::{DbKsvd, Every, StopReason, StopToken};
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::group::{Message, Reading};
use crate::source::steps;
use crate::updater::DictionaryUpdater;

/// Everything that a run works with.
pub(super) struct Driver<'a, B: Backend, C: SparseCoder<B>, U: DictionaryUpdater<B>> {
    pub(super) learner: &'a DbKsvd<B, C, U>,
    pub(super) schedule: Schedule<'a, B::Scalar>,
    pub(super) trainer: Trainer<B, C, U>,
    pub(super) run_state: RunState<B::Scalar>,
    pub(super) evaluator: Option<HeldOutEvaluator<'a, B>>,
    pub(super) observer: PanicCatching<'a, B::Scalar>,
    pub(super) token: Option<StopToken>,
    pub(super) team: Team<'a>,
    /// Whether the trainer's state is that after a step: not within one, when a backend may fail.
    pub(super) is_whole: bool,
    /// Of the owner that decides for all; others have none.
    pub(super) checkpoints: Option<OpenCheckpoints<B::Scalar>>,
}

/// What all owners do next.
struct Decision {
    stop: Option<StopReason>,
    /// The share of the run that lies behind.
    done: f64,
}

impl<B, C, U> Driver<'_, B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    /// Learns until the run ends.
    pub(super) fn drive(mut self) -> Result<Fit<B::Scalar>, Error> {
        let (schedule, position) = (self.schedule, self.run_state.record.position);
        let (backend, loader) = (&self.learner.config.backend, self.trainer.loader.clone());
        let team = self.team;
        let ended = thread::scope(|scope| {
            let feed = Feed::start(scope, backend, schedule, position, loader, team);
            let feed = team.tell(feed)?;
            self.take_steps(feed)
        });
        let (stop, failure) = match ended {
            Ok(stop) => (stop, None),
            Err(error) => (StopReason::Failed, Some(error)),
        };
        self.end(stop, failure)
    }

    /// Steps, and what follows each, until there is a reason to stop.
    fn take_steps(&mut self, mut feed: Feed<'_, B>) -> Result<StopReason, Error> {
        let config = &self.learner.config;
        let buffers = Buffers::new(&config.backend, self.schedule.source.dim());
        let mut buffers = self.team.tell(buffers.map_err(Error::from))?;
        let ended = self.take_up();
        if let Some(stop) = self.team.tell(ended)? {
            return Ok(stop);
        }
        loop {
            let Decision { stop, done } = self.decide()?;
            if let Some(stop) = stop {
                return Ok(stop);
            }
            let loaded;
            (buffers, loaded) = feed.next(buffers)?;
            let progress = config.settings.progress_of(done, 1.0 / self.planned_steps());
            self.is_whole = false;
            let outcome = self.trainer.step(config, &mut buffers, loaded, progress, self.team)?;
            self.is_whole = true;
            self.run_state.add(&outcome);
            self.tell_of_step(&outcome);
            let epoch = self.run_state.end_epoch(self.schedule.source.len())?;
            if let Some(epoch) = &epoch {
                self.tell_of_epoch(epoch);
            }
            if self.is_evaluation_due(epoch.is_some()) {
                let evaluated = self.evaluate();
                if let Some(stop) = self.team.tell(evaluated)? {
                    return Ok(stop);
                }
            }
            if self.is_checkpoint_due() {
                let saved = self.save();
                self.team.tell(saved)?;
            }
        }
    }

    /// What follows the last step of the run that this one takes up, if it takes up one: the reason
    /// for which that run ended, and the evaluation that was due and failed.
    fn take_up(&mut self) -> Result<Option<StopReason>, Error> {
        let record = &self.run_state.record;
        let (steps, is_whole_epoch) = (self.trainer.steps, record.position.step == 0);
        if steps == 0 || !self.is_evaluation_due(is_whole_epoch) {
            return Ok(None);
        }
        match record.evaluations.last() {
            Some(last) if last.step == steps => Ok(self.verdict()),
            _ => self.evaluate(),
        }
    }

    /// Whether to go on: the first owner that has a reason not to ends the run. Time and steps are
    /// those of owner 0.
    fn decide(&self) -> Result<Decision, Error> {
        let own = Decision { stop: self.reason_to_stop(), done: self.share_done() };
        if self.team.is_alone() {
            return Ok(own);
        }
        let mut message = Message::new();
        message.put(StopReason::code(own.stop));
        message.put(own.done);
        let told = self.team.gather(Ok(message))?;
        let read = |(rank, told): (usize, &Vec<u8>)| {
            let mut reading = Reading::new(told);
            let stop = reading.take().and_then(StopReason::of_code);
            let decision = stop.and_then(|stop| Ok(Decision { stop, done: reading.take()? }));
            decision.map_err(|reason| of_owner(rank, reason))
        };
        let told: Vec<Decision> =
            told.iter().enumerate().map(read).collect::<Result<_, Error>>()?;
        let stop = told.iter().find_map(|owner| owner.stop);
        Ok(Decision { stop, done: told.first().map_or(own.done, |leader| leader.done) })
    }

    fn reason_to_stop(&self) -> Option<StopReason> {
        let settings = &self.learner.config.settings;
        if self.run_state.record.position.epoch > settings.epochs {
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
        if !self.team.leads() {
            return None;
        }
        let budget = settings.time_budget?.as_secs_f64();
        (self.run_state.elapsed() >= budget).then_some(StopReason::Time)
    }

    /// The share of the run that lies behind: of its steps or, if that is more, of its time.
    fn share_done(&self) -> f64 {
        let settings = &self.learner.config.settings;
        let of_steps = self.trainer.steps as f64 / self.planned_steps();
        let of_time =
            settings.time_budget.map(|time| self.run_state.elapsed() / time.as_secs_f64());
        of_time.map_or(of_steps, |of_time| of_steps.max(of_time)).min(1.0)
    }

    /// The steps of all epochs, or those that are allowed.
    fn planned_steps(&self) -> f64 {
        let settings = &self.learner.config.settings;
        let per_epoch = steps(self.schedule.source.len(), self.schedule.minibatch);
        let planned = settings.epochs as f64 * per_epoch as f64;
        settings.max_steps.map_or(planned, |most| planned.min(most as f64))
    }

    fn tell_of_step(&mut self, outcome: &Outcome) {
        let settings = &self.learner.config.settings;
        let progress = Progress {
            epoch: self.run_state.record.position.epoch,
            epochs: settings.epochs,
            step: self.run_state.record.position.step,
            steps: steps(self.schedule.source.len(), self.schedule.minibatch),
            total_steps: self.trainer.steps,
            done: self.share_done(),
            samples: outcome.figures.all.samples,
            fvu: self.run_state.record.tally.figures.all.fvu(),
            fvu_within: self.run_state.record.tally.figures.fvu_within(),
            elapsed: self.run_state.elapsed(),
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
        let evaluation = match &mut self.evaluator {
            None if self.run_state.record.watched.samples() == 0 => return Ok(None),
            None => self.run_state.watch(step),
            Some(evaluator) => {
                let measured = evaluator.examine(config, &mut self.trainer, self.team)?;
                let l0 = measured.nonzeros as f64 / measured.figures.all.samples as f64;
                let fvu_within = measured.figures.fvu_within();
                let is_beaten = |best: &Leader<_>| best.is_beaten_by(fvu_within);
                let leads = self.run_state.record.best.as_ref().is_none_or(is_beaten);
                // What can fail comes before the evaluation is on record.
                let dictionary = leads.then(|| self.trainer.download(config)).transpose()?;
                let measured = Measured { figures: &measured.figures, l0, held_out: true };
                let evaluation = self.run_state.evaluation(step, &measured);
                if let Some(dictionary) = dictionary {
                    let Evaluation { fvu, fvu_within, .. } = evaluation;
                    self.run_state.record.best = Some(Leader { dictionary, step, fvu, fvu_within });
                }
                evaluation
            }
        };
        let Self { trainer, learner, observer, .. } = self;
        let snapshot = Snapshot { fetch: &|| trainer.model(&learner.config) };
        observer.tell(|observer| observer.on_evaluation(&evaluation, &snapshot));
        Ok(self.verdict())
    }

    /// Whether the last evaluation is good enough, or no better than those before it.
    fn verdict(&self) -> Option<StopReason> {
        let settings = &self.learner.config.settings;
        let evaluations = &self.run_state.record.evaluations;
        let last = evaluations.last()?;
        let is_reached = |target| last.is_of_rows_within() && last.fvu_within <= target;
        if settings.target_fvu.is_some_and(is_reached) {
            return Some(StopReason::TargetFvu);
        }
        let is_flat = settings.plateau.is_some_and(|plateau| plateau.is_reached(evaluations));
        is_flat.then_some(StopReason::Plateau)
    }

    fn is_checkpoint_due(&self) -> bool {
        let checkpoints = self.checkpoints.as_ref();
        checkpoints.is_some_and(|checkpoints| checkpoints.is_due(self.trainer.steps))
    }

    fn save(&mut self) -> Result<(), Error> {
        let Self { learner, trainer, run_state, checkpoints, observer, .. } = self;
        let Some(checkpoints) = checkpoints else { return Ok(()) };
        let run = || SavedRun::of(&learner.config, trainer, run_state);
        checkpoints.save(trainer.steps, run, observer)
    }

    fn end(
        mut self,
        mut stop: StopReason,
        mut failure: Option<Error>,
    ) -> Result<Fit<B::Scalar>, Error> {
        if !self.is_whole
            && let Some(error) = failure
        {
            return Err(error);
        }
        // Before the last evaluation, which a run that goes on from here will not have made.
        // A run that has nothing to learn from has nothing to go on with, and would not tell why.
        if !matches!(failure, Some(Error::NothingLearned { .. }))
            && let Err(error) = self.save()
        {
            // What ended the run is the first thing to know.
            failure.get_or_insert(error);
        }
        if failure.is_none() {
            failure = self.run_state.check().err();
        }
        failure = self.team.settle(failure);
        // However a run ends, something is known of what it gives.
        let config = &self.learner.config;
        let evaluated = self.run_state.record.evaluations.last().map(|evaluation| evaluation.step);
        if failure.is_none() && self.trainer.steps > 0 && evaluated != Some(self.trainer.steps) {
            failure = self.evaluate().err();
        }
        if failure.is_some() {
            stop = StopReason::Failed;
        }
        let model = match self.trainer.model(config) {
            Ok(model) => model,
            Err(error) => return Err(failure.unwrap_or(error)),
        };
        let best = match self.run_state.record.best.take() {
            None => None,
            Some(Leader { dictionary, step, fvu, fvu_within }) => {
                let model = self.trainer.model_of(config, dictionary)?;
                Some(Best { model, step, fvu, fvu_within })
            }
        };
        let Seconds { encode, update, .. } = self.trainer.seconds;
        let total = self.run_state.elapsed();
        let mut report = Report {
            epochs: self.run_state.all_epochs(),
            evaluations: std::mem::take(&mut self.run_state.record.evaluations),
            steps: self.trainer.steps,
            noise: self.trainer.noise,
            resumed_from: self.run_state.resumed_from,
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
