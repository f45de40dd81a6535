//! The course of learning linear features: step after step, and what is told of each.

use std::ops::ControlFlow;
use std::time::Instant;

use super::minibatch::Minibatch;
use super::weights::Weights;
use super::{DECAY, LinearFeatures};
use crate::coder::{LinearEncoder, TopK};
use crate::cpu::{Faer, HostBackend};
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::learn::loader::{Buffers, Loaded, Loader};
use crate::learn::observer::{Observer, PanicCatching, Progress, Renewed, Snapshot};
use crate::learn::reader::Schedule;
use crate::learn::report::{EpochReport, Report, Seconds};
use crate::learn::run_state::Tally;
use crate::learn::session::Outcome;
use crate::learn::{Growth, StopReason, StopToken};
use crate::model::Model;
use crate::samples::HostSamples;
use crate::updater::UpdateReport;
use crate::{Outliers, Scalar};

/// The model's θ is the mean over the minibatches of the last part of the run, from this share on,
/// in which atoms hardly move. Until then, it is a mean over about so many minibatches.
const SETTLED: f64 = 0.95;
const RECENT: f64 = 50.0;

/// A run of [`LinearFeatures`].
pub(super) struct Course<'a, T: Scalar> {
    rule: &'a LinearFeatures,
    model: &'a Model<T>,
    schedule: Schedule<'a, T>,
    weights: Weights<T>,
    minibatch: Minibatch<T>,
    /// Samples are divided by this: the mean norm of the first minibatch.
    unit: Option<f64>,
    /// θ, in this unit: the mean over so many minibatches.
    threshold: f64,
    averaged: f64,
    /// Whether this mean is of the last part of the run alone.
    is_settled: bool,
    /// The share of the run that lies behind.
    done: f64,
    tally: Tally,
    report: Report,
    start: Instant,
}

impl<'a, T: Scalar> Course<'a, T> {
    pub(super) fn new(
        rule: &'a LinearFeatures,
        model: &'a Model<T>,
        schedule: Schedule<'a, T>,
    ) -> Result<Self, Error> {
        Ok(Self {
            rule,
            model,
            schedule,
            weights: Weights::new(model)?,
            minibatch: Minibatch::new(model.dim(), model.atoms(), rule.room(model)),
            unit: None,
            threshold: 0.0,
            averaged: 0.0,
            is_settled: false,
            done: 0.0,
            tally: Tally::new(model.dim()),
            report: Report { noise: f64::NAN, ..Report::default() },
            start: Instant::now(),
        })
    }

    /// Takes step after step with the minibatches that `next` gives, in exchange for the last.
    pub(super) fn run(
        mut self,
        mut next: impl FnMut(Option<HostSamples<T>>) -> Result<HostSamples<T>, Error>,
        observer: &mut dyn Observer<T>,
        token: &StopToken,
    ) -> Result<(Model<T>, Report), Error> {
        let backend = Faer::<T>::default();
        let (preprocessing, shape) = (self.model.preprocessing().clone(), self.model.shape());
        let outliers = match preprocessing.norm_limit() {
            None => Outliers::Keep,
            Some(limit) if self.rule.drops_outliers => Outliers::Drop(limit),
            Some(limit) => Outliers::Clip(limit),
        };
        let loader = Loader::new(preprocessing, outliers, shape);
        let mut buffers = Buffers::new(&backend, shape.dim)?;
        let mut observer = PanicCatching::new(Some(observer));
        let mut taken = None;
        'run: for epoch in 1..=self.rule.epochs {
            for step in 0..self.schedule.plan(epoch).steps() {
                if let Some(stop) = reason_to_stop(&observer, token) {
                    self.report.stop = stop;
                    break 'run;
                }
                let mut host = next(taken.take())?;
                let loaded = loader.load(&backend, &mut host, &mut buffers)?;
                taken = Some(host);
                self.take(&backend, &buffers)?;
                let is_outside = buffers.upload.is_outside();
                let replaced = self.step(&backend, loaded, is_outside, (epoch, step));
                self.tell_of_step(&mut observer, (epoch, step), replaced);
            }
            self.tally.check()?;
            self.end_epoch(epoch, &mut observer);
        }
        if self.tally.outliers.read > 0 {
            let epoch = self.report.epochs.len() + 1;
            self.report.epochs.push(self.epoch(epoch));
        }
        let Seconds { encode, update, .. } = self.report.seconds;
        let total = self.start.elapsed().as_secs_f64();
        self.report.seconds = Seconds { encode, update, other: total - encode - update, total };
        observer.tell(|observer| {
            observer.on_stop(&self.report);
            ControlFlow::Continue(())
        });
        self.report.observer_panic = observer.panic.take();
        Ok((self.model()?, self.report))
    }

    /// Takes a minibatch in the unit of this run, which is that of its first.
    fn take(&mut self, backend: &Faer<T>, buffers: &Buffers<Faer<T>>) -> Result<(), Error> {
        let is_known = self.unit.is_some();
        self.minibatch.take(backend.view(buffers.upload.matrix()), &mut self.unit)?;
        if let Some(unit) = self.unit.filter(|_| !is_known) {
            self.weights.count_in(unit);
        }
        Ok(())
    }

    /// One step. Returns how many atoms were replaced.
    fn step(
        &mut self,
        backend: &Faer<T>,
        loaded: Loaded,
        is_outside: &[bool],
        (epoch, step): (usize, usize),
    ) -> usize {
        let Loaded { mut figures, spectrum, outliers, .. } = loaded;
        let mut update = UpdateReport::default();
        if self.minibatch.samples() > 0 {
            let begin = Instant::now();
            let cut = self.minibatch.code(backend, &self.weights, self.rule.mean_nonzeros);
            self.report.seconds.encode += begin.elapsed().as_secs_f64();
            let begin = Instant::now();
            self.average(cut);
            update.nonzeros = self.minibatch.nonzeros();
            update.replaced = self.descend();
            self.report.seconds.update += begin.elapsed().as_secs_f64();
            let errors = self.minibatch.errors().iter().map(|e| e * self.unit_squared());
            for (i, error) in errors.enumerate() {
                let is_within = !is_outside.get(i).is_some_and(|&outside| outside);
                figures.all.error += error;
                figures.within.error += if is_within { error } else { 0.0 };
            }
            let coordinates = figures.all.samples * self.model.dim();
            self.report.noise = (figures.all.error / coordinates as f64).sqrt();
        }
        self.report.steps += 1;
        let steps = self.schedule.plan(epoch).steps();
        let position = (epoch - 1) as f64 + (step + 1) as f64 / steps as f64;
        self.done = position / self.rule.epochs as f64;
        self.tally.add(&Outcome { update, figures, spectrum, outliers });
        update.replaced
    }

    /// Adam's step, and the renewal of unused atoms. Returns how many were replaced.
    fn descend(&mut self) -> usize {
        let Self { rule, weights, minibatch, done, report, .. } = self;
        let atoms = self.model.atoms();
        let prefixes = if *done < rule.nested { prefixes(atoms) } else { vec![atoms] };
        minibatch.differentiate(weights, &prefixes);
        weights.step(minibatch, &prefixes, rule.rate_at(report.steps, *done));
        weights.renew(minibatch, rule.idle, *done < 1.0 - DECAY)
    }

    /// Adds the threshold of one minibatch to the mean.
    fn average(&mut self, cut: f64) {
        let is_settled = self.done >= SETTLED;
        if !is_settled {
            self.averaged = self.averaged.min(RECENT - 1.0);
        } else if !std::mem::replace(&mut self.is_settled, true) {
            self.averaged = 0.0;
        }
        self.averaged += 1.0;
        self.threshold += (cut - self.threshold) / self.averaged;
    }

    /// What squared errors are multiplied by, to be those of the preprocessed samples.
    fn unit_squared(&self) -> f64 {
        self.unit.unwrap_or(1.0).powi(2)
    }

    fn tell_of_step(
        &self,
        observer: &mut PanicCatching<'_, T>,
        (epoch, step): (usize, usize),
        replaced: usize,
    ) {
        let figures = &self.tally.figures;
        let progress = Progress {
            epoch,
            epochs: self.rule.epochs,
            step: step + 1,
            steps: self.schedule.plan(epoch).steps(),
            total_steps: self.report.steps,
            done: self.done,
            samples: self.minibatch.samples(),
            fvu: figures.all.fvu(),
            fvu_within: figures.fvu_within(),
            elapsed: self.start.elapsed().as_secs_f64(),
        };
        observer.tell(|observer| observer.on_step(&progress));
        if replaced > 0 {
            let renewed = Renewed { step: self.report.steps, replaced, merged: 0 };
            observer.tell(|observer| observer.on_renewal(&renewed));
        }
    }

    fn epoch(&self, epoch: usize) -> EpochReport {
        self.tally.report(epoch, self.start.elapsed().as_secs_f64())
    }

    fn end_epoch(&mut self, epoch: usize, observer: &mut PanicCatching<'_, T>) {
        let report = self.epoch(epoch);
        self.report.epochs.push(report);
        self.tally = Tally::new(self.model.dim());
        let snapshot = Snapshot { fetch: &|| self.model() };
        observer.tell(|observer| observer.on_epoch(&report, &snapshot));
    }

    /// The model as it is now, in the units of the preprocessed samples.
    fn model(&self) -> Result<Model<T>, Error> {
        if self.report.steps == 0 {
            return Ok(self.model.clone());
        }
        let unit = self.unit.unwrap_or(1.0);
        let (dictionary, encoder, mut bias) = self.weights.matrices();
        bias.iter_mut().for_each(|c| *c *= T::narrow(unit));
        let encoder = LinearEncoder::new(encoder, Some(bias))?;
        let coder = TopK::by_encoder(encoder).threshold(self.threshold * unit);
        let room = self.rule.room(self.model);
        Model::new(Dictionary::trusted(dictionary), None, room, self.model.sign())?
            .preprocessed(self.model.preprocessing().clone())?
            .with_linear_coder(Some(coder))
    }
}

/// The sizes of the prefixes that are fitted in the first part of a run: those that the dictionary
/// had when it grew, from a sixteenth on.
pub(super) fn prefixes(atoms: usize) -> Vec<usize> {
    let mut sizes = Growth { doublings: 4, ..Growth::default() }.sizes(atoms);
    sizes.dedup();
    sizes
}

fn reason_to_stop<T: Scalar>(
    observer: &PanicCatching<'_, T>,
    token: &StopToken,
) -> Option<StopReason> {
    if observer.has_asked_to_stop {
        return Some(StopReason::Observer);
    }
    token.is_stopped().then_some(StopReason::Token)
}
