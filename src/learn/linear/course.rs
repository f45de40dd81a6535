//! The course of learning linear features: step after step, what is told of each, and how the run
//! ends.

use std::ops::ControlFlow;

use super::LinearFeatures;
use super::state::State;
use crate::cpu::Faer;
use crate::error::Error;
use crate::learn::checkpoint::OpenCheckpoints;
use crate::learn::fit::Fit;
use crate::learn::loader::{Buffers, Loaded, Loader};
use crate::learn::observer::{PanicCatching, Progress, Renewed, Snapshot};
use crate::learn::reader::Schedule;
use crate::learn::report::{Report, Seconds};
use crate::learn::run_state::{Position, RunState};
use crate::learn::trainer::Outcome;
use crate::learn::{StopReason, StopToken};
use crate::model::Model;
use crate::samples::HostSamples;
use crate::updater::UpdateReport;
use crate::{Outliers, Scalar};

/// A run of [`LinearFeatures`].
pub(super) struct Course<'a, T: Scalar> {
    pub(super) rule: &'a LinearFeatures,
    pub(super) model: &'a Model<T>,
    pub(super) schedule: Schedule<'a, T>,
    pub(super) observer: PanicCatching<'a, T>,
    pub(super) token: Option<StopToken>,
    pub(super) checkpoints: Option<OpenCheckpoints<T>>,
    pub(super) state: State<T>,
    pub(super) run_state: RunState<T>,
}

/// Reads the next minibatch, in exchange for the memory of the last.
pub(super) type Next<'n, T> =
    dyn FnMut(Option<HostSamples<T>>) -> Result<HostSamples<T>, Error> + 'n;

impl<T: Scalar> Course<'_, T> {
    /// Takes step after step until the run ends.
    pub(super) fn run(mut self, next: &mut Next<'_, T>) -> Result<Fit<T>, Error> {
        let (stop, failure) = match self.take_steps(next) {
            Ok(stop) => (stop, None),
            Err(error) => (StopReason::Failed, Some(error)),
        };
        self.end(stop, failure)
    }

    fn take_steps(&mut self, next: &mut Next<'_, T>) -> Result<StopReason, Error> {
        let backend = Faer::<T>::default();
        let (preprocessing, shape) = (self.model.preprocessing().clone(), self.model.shape());
        let outliers = match preprocessing.norm_limit() {
            None => Outliers::Keep,
            Some(limit) if self.rule.drops_outliers => Outliers::Drop(limit),
            Some(limit) => Outliers::Clip(limit),
        };
        let loader = Loader::new(preprocessing, outliers, self.schedule.cut);
        let mut buffers = Buffers::new(&backend, shape.dim)?;
        let mut taken = None;
        loop {
            if let Some(stop) = self.reason_to_stop() {
                return Ok(stop);
            }
            let mut host = next(taken.take())?;
            let loaded = loader.load(&backend, &mut host, &mut buffers)?;
            taken = Some(host);
            self.state.take(&backend, &buffers)?;
            let outcome = self.step(&backend, loaded, buffers.upload.is_outside());
            self.run_state.add(&outcome);
            self.tell_of_step(outcome.update.replaced);
            if let Some(epoch) = self.run_state.end_epoch(self.schedule.source.len())? {
                let Self { observer, state, model, rule, .. } = self;
                let snapshot = Snapshot { fetch: &|| state.model(model, rule) };
                observer.tell(|observer| observer.on_epoch(&epoch, &snapshot));
            }
            let step = self.state.steps;
            if self.checkpoints.as_ref().is_some_and(|checkpoints| checkpoints.is_due(step)) {
                self.save()?;
            }
        }
    }

    fn reason_to_stop(&self) -> Option<StopReason> {
        if self.run_state.record.position.epoch > self.rule.epochs {
            return Some(StopReason::Completed);
        }
        if self.observer.has_asked_to_stop {
            return Some(StopReason::Observer);
        }
        self.token.as_ref().is_some_and(StopToken::is_stopped).then_some(StopReason::Token)
    }

    /// One step with the minibatch that was taken.
    fn step(&mut self, backend: &Faer<T>, loaded: Loaded, is_outside: &[bool]) -> Outcome {
        let Loaded { mut figures, spectrum, outliers, .. } = loaded;
        let mut update = UpdateReport::default();
        let Self { rule, schedule, model, state, run_state, .. } = self;
        if state.minibatch.samples() > 0 {
            update = state.learn(backend, rule);
            let errors = state.minibatch.errors().iter().map(|e| e * state.unit_squared());
            for (i, error) in errors.enumerate() {
                let is_within = !is_outside.get(i).is_some_and(|&outside| outside);
                figures.all.error += error;
                figures.within.error += if is_within { error } else { 0.0 };
            }
            let coordinates = figures.all.samples * model.dim();
            state.noise = (figures.all.error / coordinates as f64).sqrt();
        }
        state.steps += 1;
        let Position { epoch, step } = run_state.record.position;
        let steps = schedule.plan(epoch).steps();
        let position = (epoch - 1) as f64 + (step + 1) as f64 / steps as f64;
        state.done = position / rule.epochs as f64;
        Outcome { update, figures, spectrum, outliers }
    }

    fn tell_of_step(&mut self, replaced: usize) {
        let Self { state, run_state, observer, .. } = self;
        let Position { epoch, step } = run_state.record.position;
        let figures = &run_state.record.tally.figures;
        let progress = Progress {
            epoch,
            epochs: self.rule.epochs,
            step,
            steps: self.schedule.plan(epoch).steps(),
            total_steps: state.steps,
            done: state.done,
            samples: state.minibatch.samples(),
            fvu: figures.all.fvu(),
            fvu_within: figures.fvu_within(),
            elapsed: run_state.elapsed(),
        };
        observer.tell(|observer| observer.on_step(&progress));
        if replaced > 0 {
            let renewed = Renewed { step: state.steps, replaced, merged: 0 };
            observer.tell(|observer| observer.on_renewal(&renewed));
        }
    }

    fn save(&mut self) -> Result<(), Error> {
        let Self { rule, model, state, run_state, checkpoints, observer, .. } = self;
        let Some(checkpoints) = checkpoints else { return Ok(()) };
        let run = || {
            // Weights that have overflowed are nothing to go on from.
            state.model(model, rule)?;
            Ok(state.save(model.preprocessing(), run_state))
        };
        checkpoints.save(state.steps, run, observer)
    }

    fn end(mut self, mut stop: StopReason, mut failure: Option<Error>) -> Result<Fit<T>, Error> {
        if !matches!(failure, Some(Error::NothingLearned { .. }))
            && let Err(error) = self.save()
        {
            // What ended the run is the first thing to know.
            failure.get_or_insert(error);
        }
        if failure.is_none() {
            failure = self.run_state.check().err();
        }
        if failure.is_some() {
            stop = StopReason::Failed;
        }
        let Self { rule, model, state, run_state, mut observer, .. } = self;
        let model = match state.model(model, rule) {
            Ok(model) => model,
            Err(error) => return Err(failure.unwrap_or(error)),
        };
        let Seconds { encode, update, .. } = state.seconds;
        let total = run_state.elapsed();
        let mut report = Report {
            epochs: run_state.all_epochs(),
            evaluations: Vec::new(),
            steps: state.steps,
            noise: state.noise,
            resumed_from: run_state.resumed_from,
            seconds: Seconds { encode, update, other: total - encode - update, total },
            stop,
            observer_panic: None,
        };
        observer.tell(|observer| {
            observer.on_stop(&report);
            ControlFlow::Continue(())
        });
        report.observer_panic = observer.panic;
        Ok(Fit { model, best: None, report, failure })
    }
}
