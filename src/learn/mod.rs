//! The learning loop: minibatches of samples outside, batches of atoms inside.

mod builder;
mod observer;
mod report;
mod session;

pub use crate::init::Initialisation;
pub use builder::Builder;
pub use observer::{Observer, Progress, Snapshot};
pub use report::{EpochReport, Report, Seconds, StopReason};
pub use session::{Session, StepReport};

use std::ops::ControlFlow;
use std::time::Instant;

use crate::backend::{Backend, Faer};
use crate::coder::{BatchOmp, SparseCoder};
use crate::error::Error;
use crate::model::Model;
use crate::moments::Moments;
use crate::source::{EpochPlan, SampleSource, steps};
use crate::updater::{DictionaryUpdater, KSvd};
use session::{Outcome, Trainer};

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
    config: Builder<B, C, U>,
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
    /// `DbKsvd::builder_on(Faer::<f64>::default(), …)`. Backends that are not
    /// [`HostBackend`](crate::backend::HostBackend)s bring a coder and an updater of their own.
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
    /// [`Error::NoSamples`] for an empty source, [`Error::Argument`] if k > d or a minibatch is too
    /// large or small to square (see [Range](crate#range)),
    /// [`Error::Dimension`] if a given dictionary is of another dimension than the samples,
    /// [`Error::NotFinite`] naming a sample and coordinate that is NaN or infinite (the first one
    /// met in the seeded order of reading),
    /// [`Error::Source`] if reading fails, [`Error::Backend`] if memory cannot be had.
    pub fn fit(
        &self,
        source: &impl SampleSource<B::Scalar>,
    ) -> Result<(Model<B::Scalar>, Report), Error> {
        self.fit_with(source, &mut |_: &Progress| ControlFlow::Continue(()))
    }

    /// As [`fit`](Self::fit), telling `observer` of every step and epoch.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &self,
        source: &impl SampleSource<B::Scalar>,
        observer: &mut impl Observer<B::Scalar>,
    ) -> Result<(Model<B::Scalar>, Report), Error> {
        let start = Instant::now();
        let (samples, settings) = (source.len(), &self.config.settings);
        self.check_source(source)?;
        let minibatch = settings.minibatch_of(samples);
        let per_epoch = steps(samples, minibatch);
        let planned = settings.epochs as f64 * per_epoch as f64;
        let mut trainer = Trainer::new(&self.config, source)?;
        let (mut epochs, mut stop) = (Vec::new(), StopReason::Completed);

        for epoch in 1..=settings.epochs {
            let run_length = source.run_length().max(1);
            let plan = EpochPlan::new(samples, minibatch, run_length, settings.seed, epoch as u64);
            let (mut tally, mut end) = (Tally::new(source.dim()), ControlFlow::Continue(()));
            for step in 0..plan.steps() {
                let progress = trainer.steps as f64 / planned;
                tally.add(&trainer.step(&self.config, source, plan.ranges(step), progress)?);
                end = observer.on_step(&Progress {
                    epoch,
                    epochs: settings.epochs,
                    step: step + 1,
                    steps: plan.steps(),
                    fvu: tally.moments.fvu(),
                    elapsed: start.elapsed().as_secs_f64(),
                });
                if end.is_break() {
                    break;
                }
            }
            let report = tally.report(epoch, start.elapsed().as_secs_f64());
            epochs.push(report);
            let complete = report.samples == samples;
            if complete {
                let snapshot = Snapshot { fetch: &|| trainer.model(&self.config) };
                let after = observer.on_epoch(&report, &snapshot);
                end = if end.is_break() { end } else { after };
            }
            if end.is_break() && !(complete && epoch == settings.epochs) {
                stop = StopReason::Observer;
                break;
            }
        }

        let model = trainer.model(&self.config)?;
        let mut seconds = trainer.seconds;
        seconds.total = start.elapsed().as_secs_f64();
        seconds.other = seconds.total - seconds.encode - seconds.update;
        Ok((model, Report { epochs, steps: trainer.steps, seconds, stop }))
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
    /// dictionary is of another dimension.
    pub fn session(self, dim: usize, planned_steps: u64) -> Result<Session<B, C, U>, Error> {
        Session::new(self, dim, planned_steps)
    }

    fn check_source(&self, source: &impl SampleSource<B::Scalar>) -> Result<(), Error> {
        if source.is_empty() {
            return Err(Error::NoSamples { argument: "source" });
        }
        self.check_dim(source.dim())?;
        let minibatch = self.config.settings.minibatch_of(source.len());
        if u32::try_from(minibatch).is_err() {
            return Err(Error::argument("minibatch", minibatch, "below 2³²"));
        }
        let runs = source.len().div_ceil(source.run_length().max(1));
        if u32::try_from(runs).is_err() {
            return Err(Error::argument("source", runs, "fewer than 2³² runs of samples"));
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
        let shape = config.settings.shape(dim);
        shape.check()?;
        config.coder.check(&shape)?;
        config.updater.check(&shape)
    }
}

/// Sums over the steps of an epoch.
struct Tally {
    moments: Moments,
    nonzeros: usize,
    replaced: usize,
    merged: usize,
    undone: usize,
}

impl Tally {
    fn new(dim: usize) -> Self {
        Self { moments: Moments::new(dim), nonzeros: 0, replaced: 0, merged: 0, undone: 0 }
    }

    fn add(&mut self, step: &Outcome) {
        self.moments.merge(&step.moments);
        self.nonzeros += step.update.nonzeros;
        self.replaced += step.update.replaced;
        self.merged += step.update.merged;
        self.undone += step.update.undone;
    }

    fn report(&self, epoch: usize, elapsed: f64) -> EpochReport {
        let samples = self.moments.samples;
        EpochReport {
            epoch,
            samples,
            fvu: self.moments.fvu(),
            relative_error: self.moments.relative_error(),
            l0: self.nonzeros as f64 / samples as f64,
            replaced: self.replaced,
            merged: self.merged,
            undone: self.undone,
            elapsed,
        }
    }
}
