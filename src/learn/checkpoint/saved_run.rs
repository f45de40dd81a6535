//! A run as it is saved: all that it needs to go on, bit by bit, as a plain value.

use std::borrow::Cow;
use std::time::Instant;

use super::training_state::TrainingState;
use crate::Scalar;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::learn::config::Config;
use crate::learn::run_state::{RunRecord, RunState};
use crate::learn::trainer::Trainer;
use crate::updater::DictionaryUpdater;

/// A run after one of its steps.
#[derive(Clone)]
pub(crate) struct SavedRun<'a, T: Scalar> {
    pub(crate) training: TrainingState<T>,
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
            training: TrainingState::of(config, trainer)?,
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
        let mut trainer = self.training.trainer(config)?;
        (trainer.seconds.encode, trainer.seconds.update) = (self.encode, self.update);
        Ok(trainer)
    }

    /// All else of it, since `start`.
    pub(in crate::learn) fn into_state(self, start: Instant) -> RunState<T> {
        RunState {
            resumed_from: Some(self.training.steps),
            record: self.record.into_owned(),
            earlier: self.elapsed,
            start,
        }
    }
}
