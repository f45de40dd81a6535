//! A run as it is saved: all that it needs to go on, bit by bit, as a plain value.

use std::borrow::Cow;
use std::time::Instant;

use faer::Mat;

use crate::Scalar;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::learn::config::Config;
use crate::learn::run_state::{RunRecord, RunState};
use crate::learn::session::Trainer;
use crate::samples::preprocessing::Preprocessing;
use crate::updater::{DictionaryUpdater, SavedState};

/// A run after one of its steps.
#[derive(Clone)]
pub(crate) struct SavedRun<'a, T: Scalar> {
    /// D, of as many atoms as it has at that step.
    pub(crate) dictionary: Mat<T>,
    pub(crate) preprocessing: Preprocessing<T>,
    /// What the updater keeps.
    pub(crate) updater: SavedState<T>,
    pub(crate) steps: u64,
    /// Progress of the run at the last step.
    pub(crate) progress: f64,
    /// What the codes of the last step left: see [`Report::noise`](crate::learn::Report::noise).
    pub(crate) noise: f64,
    /// Seconds of the run so far, and those of them that went into coding and updates.
    pub(crate) elapsed: f64,
    pub(crate) encode: f64,
    pub(crate) update: f64,
    pub(crate) record: Cow<'a, RunRecord<T>>,
}

impl<T: Scalar> SavedRun<'_, T> {
    /// The run as it is now.
    pub(in crate::learn) fn of<'a, B, C, U>(
        config: &Config<B, C, U>,
        trainer: &Trainer<B, C, U>,
        run_state: &'a RunState<T>,
    ) -> Result<SavedRun<'a, T>, Error>
    where
        B: Backend<Scalar = T>,
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        Ok(SavedRun {
            dictionary: config.backend.download(trainer.dictionary())?,
            preprocessing: trainer.preprocessing().clone(),
            updater: config.updater.save(&config.backend, &trainer.updater)?,
            steps: trainer.steps,
            progress: trainer.progress,
            noise: trainer.noise,
            elapsed: run_state.elapsed(),
            encode: trainer.seconds.encode,
            update: trainer.seconds.update,
            record: Cow::Borrowed(&run_state.record),
        })
    }

    /// The trainer of a run that goes on from here.
    pub(in crate::learn) fn trainer<B, C, U>(
        &self,
        config: &Config<B, C, U>,
    ) -> Result<Trainer<B, C, U>, Error>
    where
        B: Backend<Scalar = T>,
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let preprocessing = self.preprocessing.clone();
        let mut trainer = Trainer::of(config, self.dictionary.as_ref(), preprocessing)?;
        config.updater.restore(&config.backend, &mut trainer.updater, &self.updater)?;
        trainer.steps = self.steps;
        (trainer.progress, trainer.noise) = (self.progress, self.noise);
        (trainer.seconds.encode, trainer.seconds.update) = (self.encode, self.update);
        Ok(trainer)
    }

    /// All else of it, since `start`.
    pub(in crate::learn) fn into_state(self, start: Instant) -> RunState<T> {
        RunState {
            record: self.record.into_owned(),
            resumed_from: Some(self.steps),
            earlier: self.elapsed,
            start,
        }
    }
}
