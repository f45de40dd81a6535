//! The learning loop: minibatches of samples outside, batches of atoms inside.
//!
//! While a run learns from a minibatch, a thread reads the next. Preprocessing and the upload to
//! the backend stand between two steps, unless the backend takes in data while it computes
//! ([`overlaps_uploads`](crate::backend::Backend::overlaps_uploads)): a second thread then does
//! both ahead. Results, errors and checkpoints are the same, and what was loaded ahead when a run
//! ends is dropped.

mod apart;
mod builder;
pub(crate) mod checkpoint;
mod config;
mod cut;
mod driver;
mod evaluation;
mod exchange;
mod extend;
mod feed;
mod fit;
mod growth;
pub(crate) mod initialisation;
mod linear;
mod loader;
mod observer;
mod paired;
mod preset;
mod reader;
mod recipe;
mod report;
mod restarts;
mod run;
pub(crate) mod run_state;
mod session;
mod stop;
mod team;
mod trainer;

pub use crate::samples::spectrum::Massive;
pub use builder::Builder;
pub use checkpoint::{Checkpoints, OnFailure, Resume, SavedSession, TrainingState};
pub use config::Every;
pub use fit::Fit;
pub use growth::Growth;
pub use initialisation::Initialisation;
pub use linear::{LinearFeatures, LinearRun};
pub use observer::{Observer, Progress, Renewed, Snapshot};
pub use paired::{Paired, PairedDictionary, PairedQuality, PairedSums};
pub use recipe::{FeatureRecipe, FeatureRun};
pub use report::{CheckpointReport, EpochReport, Evaluation, Report, Seconds};
pub use restarts::{BestOf, Restart};
pub use run::Run;
pub use run_state::Best;
pub use session::{Session, StepReport};
pub use stop::{Plateau, StopReason, StopToken};

use crate::backend::Backend;
use crate::coder::{BatchOmp, SparseCoder};
use crate::cpu::Faer;
use crate::error::Error;
use crate::model::Model;
use crate::source::SampleSource;
use crate::updater::{DictionaryUpdater, KSvd};
use config::Config;
use team::Team;

/// Learns dictionaries: the double-batch K-SVD algorithm, composed of a [`Backend`], a
/// [`SparseCoder`] and a [`DictionaryUpdater`].
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 24, 2, 600).generate::<f32>()?;
/// let learner = DbKsvd::builder(24, 2).epochs(5).build()?;
/// let (model, report) = learner.fit(&data.samples)?;
/// assert_eq!(model.dictionary().atoms(), 24);
/// assert!(report.epochs[4].fvu < report.epochs[0].fvu);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DbKsvd<B: Backend = Faer<f32>, C = BatchOmp, U = KSvd> {
    config: Config<B, C, U>,
}

impl DbKsvd {
    /// Sets up learning of `atoms` atoms with at most `sparsity` nonzeros a sample, in single
    /// precision on the host.
    pub fn builder(atoms: usize, sparsity: usize) -> Builder<Faer<f32>, BatchOmp, KSvd> {
        Self::builder_on(Faer::default(), atoms, sparsity)
    }
}

impl<B: Backend> DbKsvd<B> {
    /// Sets up learning on another backend, and so in its scalar:
    /// `DbKsvd::builder_on(Faer::<f64>::default(), …)`. Any backend with
    /// [`PursuitKernels`](crate::backend::PursuitKernels) and
    /// [`SweepKernels`](crate::backend::SweepKernels) learns by the defaults; one without brings a
    /// coder and an updater of its own.
    pub fn builder_on(backend: B, atoms: usize, sparsity: usize) -> Builder<B, BatchOmp, KSvd> {
        Builder::new(backend, BatchOmp::default(), KSvd::default(), atoms, sparsity)
    }
}

impl<B, C, U> DbKsvd<B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    /// Learns a dictionary of the samples of `source`.
    ///
    /// # Errors
    /// [`Error::NoSamples`] for an empty source, [`Error::Argument`] if k > d, [`Error::Range`] if
    /// a minibatch is too large or small to square (see [Range](crate#range)),
    /// [`Error::Dimension`] if a given dictionary is of another dimension than the samples,
    /// [`Error::NothingLearned`] if every sample is zero or dropped, [`Error::NormLimit`] if most
    /// lie beyond the norm limit, [`Error::NotFinite`] naming a sample and coordinate that is NaN
    /// or infinite (the first one met in the seeded order of reading), [`Error::Source`] if reading
    /// fails, [`Error::Backend`] if memory cannot be had.
    pub fn fit(
        &self,
        source: &impl SampleSource<B::Scalar>,
    ) -> Result<(Model<B::Scalar>, Report), Error> {
        self.run(source).finish()?.into_result()
    }

    /// As [`fit`](Self::fit), telling `observer` what happens.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &self,
        source: &impl SampleSource<B::Scalar>,
        observer: &mut impl Observer<B::Scalar>,
    ) -> Result<(Model<B::Scalar>, Report), Error> {
        self.run(source).observer(observer).finish()?.into_result()
    }

    /// Into how many shards a minibatch of a run on `source` is cut: so many owners of a
    /// [group](Run::group) can have samples of it. See [`Builder::shards`].
    pub fn shards_of(&self, source: &impl SampleSource<B::Scalar>) -> usize {
        let settings = &self.config.settings;
        let minibatch = settings.minibatch_of(source.len());
        settings.cut(source.dim(), Team::alone()).all(minibatch).total()
    }

    /// Sets up a run on the samples of `source`, to which an observer, held-out samples, a stop
    /// token and checkpoints can be added. Unlike [`fit`](Self::fit), it gives the dictionary
    /// learned so far whatever ends it.
    pub fn run<'a>(&'a self, source: &'a impl SampleSource<B::Scalar>) -> Run<'a, B, C, U> {
        Run::new(self, source)
    }

    /// The most samples a step takes of a source of `samples`: what was set, or the default.
    #[must_use]
    pub fn minibatch(&self, samples: usize) -> usize {
        self.config.settings.minibatch_of(samples)
    }

    /// Starts a run that is fed minibatch by minibatch, for streams that cannot seek.
    /// `planned_steps` is the horizon of the schedules ([`Memory`](crate::updater::Memory),
    /// [`Renewal`](crate::updater::Renewal)), not a limit. Epochs and minibatch size do not apply.
    /// The session owns the learner; clone it to keep one.
    ///
    /// # Errors
    /// [`Error::Argument`] if k > `dim` or `planned_steps` is 0, [`Error::Dimension`] if a given
    /// dictionary is of another dimension, [`Error::Backend`] if memory cannot be had.
    pub fn session(self, dim: usize, planned_steps: u64) -> Result<Session<B, C, U>, Error> {
        Session::new(self, dim, planned_steps)
    }

    fn check_source(&self, source: &dyn SampleSource<B::Scalar>) -> Result<(), Error> {
        if source.is_empty() {
            return Err(Error::NoSamples { argument: "source" });
        }
        self.check_dim(source.dim())?;
        let minibatch = self.config.settings.minibatch_of(source.len());
        if u32::try_from(minibatch).is_err() {
            return Err(Error::argument("minibatch", minibatch, "below 2³²"));
        }
        Ok(())
    }

    fn check_dim(&self, dim: usize) -> Result<(), Error> {
        let config = &self.config;
        if let Initialisation::Given(dictionary) = &config.initialisation
            && dictionary.dim() != dim
        {
            let (found, expected) = (dictionary.dim(), dim);
            return Err(Error::Dimension { argument: "initialisation", found, expected });
        }
        if let Some(preprocessing) = &config.preprocessing {
            preprocessing.check(dim)?;
        }
        config.check_parts(dim)
    }
}
