//! What learning has learned so far, as a plain value: dictionary, preprocessing, and what the
//! updater keeps.

use faer::Mat;

use crate::Scalar;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::learn::config::Config;
use crate::learn::trainer::Trainer;
use crate::parameters::Parameters;
use crate::samples::preprocessing::Preprocessing;
use crate::updater::{DictionaryUpdater, SavedState};

/// The most steps. Up to it, counts are exact in f64, and no run gets that far.
const MOST: u64 = 1 << 53;

/// Everything that later steps depend on, after one of the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingState<T: Scalar> {
    /// D (d × m), of as many atoms as it has at that step.
    pub dictionary: Mat<T>,
    /// What is done to samples.
    pub preprocessing: Preprocessing<T>,
    /// What the updater keeps.
    pub updater: SavedState<T>,
    /// Steps taken.
    pub steps: u64,
    /// Progress of the run at the last step, in `0.0..=1.0`.
    pub progress: f64,
    /// What the codes of the last step left: see [`Report::noise`](crate::learn::Report::noise).
    /// NaN if no step has had a sample to learn from.
    pub noise: f64,
}

/// A [`Session`](crate::learn::Session) as a plain value: arrays and numbers that can be stored in
/// any format.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedSession<T: Scalar> {
    /// The parameters of the session. It goes on only in a session with the same ones.
    pub parameters: Parameters,
    /// What it has learned.
    pub training: TrainingState<T>,
}

impl<T: Scalar> TrainingState<T> {
    /// The state as it is now.
    pub(in crate::learn) fn of<B, C, U>(
        config: &Config<B, C, U>,
        trainer: &Trainer<B, C, U>,
    ) -> Result<Self, Error>
    where
        B: Backend<Scalar = T>,
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        Ok(Self {
            dictionary: config.backend.download(trainer.dictionary())?,
            preprocessing: trainer.preprocessing().clone(),
            updater: config.updater.save(&config.backend, &trainer.updater)?,
            steps: trainer.steps,
            progress: trainer.progress,
            noise: trainer.noise,
        })
    }

    /// A trainer that goes on from here.
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
        Ok(trainer)
    }

    /// Refuses what no session of these dimensions has been in.
    pub(in crate::learn) fn check(&self, dim: usize, sizes: &[usize]) -> Result<(), Error> {
        let (found, atoms) = self.dictionary.shape();
        if found != dim {
            return Err(Error::Dimension { argument: "dictionary", found, expected: dim });
        }
        if !sizes.contains(&atoms) {
            let expected = format!("{sizes:?}, the numbers of atoms of this learner");
            return Err(Error::argument("dictionary", format!("{atoms} atoms"), expected));
        }
        Dictionary::new(self.dictionary.clone())?;
        self.preprocessing.check(dim)?;
        if !(1..=MOST).contains(&self.steps) {
            return Err(Error::argument("steps", self.steps, "1 to 2^53"));
        }
        if !(0.0..=1.0).contains(&self.progress) {
            return Err(Error::argument("progress", self.progress, "0 to 1"));
        }
        if self.noise < 0.0 || self.noise.is_infinite() {
            return Err(Error::argument("noise", self.noise, "finite and at least 0, or NaN"));
        }
        Ok(())
    }
}
