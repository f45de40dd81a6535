//! What learning linear features keeps from step to step, and how it is saved.

use std::borrow::Cow;
use std::time::Instant;

use super::minibatch::Minibatch;
use super::weights::Weights;
use super::{DECAY, LinearFeatures, prefixes};
use crate::Scalar;
use crate::coder::{LinearEncoder, TopK};
use crate::cpu::{Faer, HostBackend};
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::learn::checkpoint::TrainingState;
use crate::learn::checkpoint::saved_run::SavedRun;
use crate::learn::loader::Buffers;
use crate::learn::report::Seconds;
use crate::learn::run_state::RunState;
use crate::model::Model;
use crate::samples::preprocessing::Preprocessing;
use crate::updater::{SavedArray, SavedState, UpdateReport};

/// The model's θ is the mean over the minibatches of the last part of the run, from this share on,
/// in which atoms hardly move. Until then, it is a mean over about so many minibatches.
const SETTLED: f64 = 0.95;
const RECENT: f64 = 50.0;

/// The name under which numbers are saved that are no weights.
const COURSE: &str = "course";

/// What a run of [`LinearFeatures`] keeps.
pub(super) struct State<T: Scalar> {
    weights: Weights<T>,
    pub(super) minibatch: Minibatch<T>,
    /// Samples are divided by this: the mean norm of the first minibatch.
    unit: Option<f64>,
    /// θ, in this unit: the mean over so many minibatches.
    threshold: f64,
    averaged: f64,
    /// Whether this mean is of the last part of the run alone.
    is_settled: bool,
    pub(super) steps: u64,
    /// The share of the run that lies behind.
    pub(super) done: f64,
    pub(super) noise: f64,
    pub(super) seconds: Seconds,
}

impl<T: Scalar> State<T> {
    pub(super) fn new(model: &Model<T>, rule: &LinearFeatures) -> Result<Self, Error> {
        Ok(Self {
            weights: Weights::new(model)?,
            minibatch: Minibatch::new(model.dim(), model.atoms(), rule.room(model)),
            unit: None,
            threshold: 0.0,
            averaged: 0.0,
            is_settled: false,
            steps: 0,
            done: 0.0,
            noise: f64::NAN,
            seconds: Seconds::default(),
        })
    }

    /// Takes a minibatch in the unit of this run, which is that of its first.
    pub(super) fn take(
        &mut self,
        backend: &Faer<T>,
        buffers: &Buffers<Faer<T>>,
    ) -> Result<(), Error> {
        let is_known = self.unit.is_some();
        self.minibatch.take(backend.view(buffers.upload.matrix()), &mut self.unit)?;
        if let Some(unit) = self.unit.filter(|_| !is_known) {
            self.weights.count_in(unit);
        }
        Ok(())
    }

    /// Codes the minibatch, and learns from what the codes leave.
    pub(super) fn learn(&mut self, backend: &Faer<T>, rule: &LinearFeatures) -> UpdateReport {
        let mut update = UpdateReport::default();
        let begin = Instant::now();
        let cut = self.minibatch.code(backend, &self.weights, rule.mean_nonzeros);
        self.seconds.encode += begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        self.average(cut);
        update.nonzeros = self.minibatch.nonzeros();
        update.replaced = self.descend(rule);
        self.seconds.update += begin.elapsed().as_secs_f64();
        update
    }

    /// Adam's step, and the renewal of unused atoms. Returns how many were replaced.
    fn descend(&mut self, rule: &LinearFeatures) -> usize {
        let Self { weights, minibatch, done, steps, .. } = self;
        let atoms = weights.atoms();
        let prefixes = if *done < rule.nested { prefixes(atoms) } else { vec![atoms] };
        minibatch.differentiate(weights, &prefixes);
        weights.step(minibatch, &prefixes, rule.rate_at(*steps, *done));
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
    pub(super) fn unit_squared(&self) -> f64 {
        self.unit.unwrap_or(1.0).powi(2)
    }

    /// The model as it is now, in the units of the preprocessed samples; before the first step, the
    /// one that the run began with.
    pub(super) fn model(&self, first: &Model<T>, rule: &LinearFeatures) -> Result<Model<T>, Error> {
        if self.steps == 0 {
            return Ok(first.clone());
        }
        let unit = self.unit.unwrap_or(1.0);
        let (dictionary, encoder, mut bias) = self.weights.matrices();
        bias.iter_mut().for_each(|c| *c *= T::narrow(unit));
        let encoder = LinearEncoder::new(encoder, Some(bias))?;
        let coder = TopK::by_encoder(encoder).threshold(self.threshold * unit);
        Model::new(Dictionary::trusted(dictionary), None, rule.room(first), first.sign())?
            .preprocessed(first.preprocessing().clone())?
            .with_linear_coder(Some(coder))
    }

    /// The run as it is now.
    pub(super) fn save<'a>(
        &self,
        preprocessing: &Preprocessing<T>,
        run_state: &'a RunState<T>,
    ) -> SavedRun<'a, T> {
        let Self { unit, threshold, averaged, is_settled, .. } = *self;
        let mut saved = SavedState::new();
        self.weights.save(&mut saved);
        let unit = unit.unwrap_or(f64::NAN);
        let course = [unit, threshold, averaged, f64::from(is_settled), self.minibatch.low()];
        saved.insert(COURSE, SavedArray::F64(course.to_vec()));
        let (dictionary, ..) = self.weights.matrices();
        SavedRun {
            training: TrainingState {
                dictionary,
                preprocessing: preprocessing.clone(),
                updater: saved,
                steps: self.steps,
                progress: self.done,
                noise: self.noise,
            },
            elapsed: run_state.elapsed(),
            encode: self.seconds.encode,
            update: self.seconds.update,
            record: Cow::Borrowed(&run_state.record),
        }
    }

    /// Goes on from what [`save`](Self::save) gave.
    pub(super) fn restore(&mut self, saved: &SavedRun<'_, T>) -> Result<(), Error> {
        let training = &saved.training;
        self.weights.restore(training.dictionary.as_ref(), &training.updater)?;
        let course = training.updater.f64s(COURSE, 5)?;
        self.unit = Some(course[0]).filter(|unit| !unit.is_nan());
        (self.threshold, self.averaged) = (course[1], course[2]);
        self.is_settled = course[3] != 0.0;
        self.minibatch.restore_low(course[4]);
        self.steps = training.steps;
        (self.done, self.noise) = (training.progress, training.noise);
        (self.seconds.encode, self.seconds.update) = (saved.encode, saved.update);
        Ok(())
    }
}
