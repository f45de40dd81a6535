//! Learning step by step: one minibatch at a time, from wherever samples come.

use std::ops::Range;
use std::time::Instant;

use faer::MatRef;
use rand::seq::SliceRandom;

use super::builder::Builder;
use super::{DbKsvd, Seconds};
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::init;
use crate::model::Model;
use crate::moments::Moments;
use crate::random::{Purpose, generator};
use crate::samples::Upload;
use crate::source::SampleSource;
use crate::updater::{DictionaryUpdater, Step, UpdateReport};

/// A run that is fed one minibatch at a time (what others call `partial_fit`).
///
/// [`DbKsvd::session`] starts one. The first step's samples give the initial dictionary (unless one
/// was given) and, if centring was asked for, the mean.
pub struct Session<B: Backend, C: SparseCoder<B>, U: DictionaryUpdater<B>> {
    learner: DbKsvd<B, C, U>,
    dim: usize,
    planned_steps: u64,
    trainer: Option<Trainer<B, C, U>>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// Number of the step, from 1.
    pub step: u64,
    /// Samples in the minibatch.
    pub samples: usize,
    /// Fraction of the minibatch's variance that its codes left unexplained, before the update.
    pub fvu: f64,
    /// What the update did.
    pub update: UpdateReport,
}

impl<B, C, U> Session<B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    pub(super) fn new(
        learner: DbKsvd<B, C, U>,
        dim: usize,
        planned_steps: u64,
    ) -> Result<Self, Error> {
        if planned_steps == 0 {
            return Err(Error::argument("planned_steps", 0, "at least 1"));
        }
        learner.check_dim(dim)?;
        Ok(Self { learner, dim, planned_steps, trainer: None })
    }

    /// Learns from one minibatch (d × n, a column a sample).
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::NoSamples`], [`Error::NotFinite`] or [`Error::Argument`] (too
    /// large or small to square) for bad samples, which leave the session as it was; [`Error::Backend`] if memory cannot be had.
    pub fn step(&mut self, samples: MatRef<'_, B::Scalar>) -> Result<StepReport, Error> {
        if samples.nrows() != self.dim {
            let (found, expected) = (samples.nrows(), self.dim);
            return Err(Error::Dimension { argument: "samples", found, expected });
        }
        if samples.ncols() == 0 {
            return Err(Error::NoSamples { argument: "samples" });
        }
        if u32::try_from(samples.ncols()).is_err() {
            return Err(Error::argument("samples", samples.ncols(), "below 2³²"));
        }
        let mut trainer = match self.trainer.take() {
            Some(trainer) => trainer,
            None => Trainer::new(&self.learner.config, &samples)?,
        };
        let progress = (trainer.steps as f64 / self.planned_steps as f64).min(1.0);
        let ranges = std::iter::once(0..samples.ncols());
        let outcome = trainer.step(&self.learner.config, &samples, ranges, progress);
        let step = trainer.steps;
        // A first minibatch that was refused is not what a dictionary should be drawn from.
        if step > 0 {
            self.trainer = Some(trainer);
        }
        let Outcome { update, moments } = outcome?;
        let fvu = moments.fvu();
        Ok(StepReport { step, samples: samples.ncols(), fvu, update })
    }

    /// The model as it is now; `None` before the first step.
    ///
    /// # Errors
    /// [`Error::Backend`] if the dictionary cannot be fetched.
    pub fn model(&self) -> Result<Option<Model<B::Scalar>>, Error> {
        self.trainer.as_ref().map(|trainer| trainer.model(&self.learner.config)).transpose()
    }
}

/// What a step did, with sums over its samples and the errors of their codes.
pub(super) struct Outcome {
    pub(super) update: UpdateReport,
    pub(super) moments: Moments,
}

/// Dictionary, states and buffers of a run: the method bodies of the driver.
pub(super) struct Trainer<B: Backend, C: SparseCoder<B>, U: DictionaryUpdater<B>> {
    coder: C::State,
    updater: U::State,
    dictionary: B::Matrix,
    codes: B::Codes,
    upload: Upload<B>,
    order: Vec<u32>,
    pub(super) steps: u64,
    pub(super) seconds: Seconds,
}

impl<B, C, U> Trainer<B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    /// Finds the mean, draws the initial dictionary and allocates.
    pub(super) fn new(
        config: &Builder<B, C, U>,
        source: &impl SampleSource<B::Scalar>,
    ) -> Result<Self, Error> {
        let (settings, backend) = (&config.settings, &config.backend);
        let shape = settings.shape(source.dim());
        let mean = if settings.center { Some(init::mean(source)?) } else { None };
        let initial = config.initialisation.draw(source, mean.as_deref(), &shape, settings.seed)?;
        let mut dictionary = backend.zeros(shape.dim, shape.atoms)?;
        backend.upload(initial.as_mat(), &mut dictionary)?;
        // A given dictionary is of unit norm to the precision of the file it may come from.
        backend.normalize_columns(&mut dictionary);
        Ok(Self {
            coder: config.coder.prepare(backend, &shape)?,
            updater: config.updater.prepare(backend, &shape)?,
            dictionary,
            codes: backend.codes(shape.atoms, 0, shape.sparsity)?,
            upload: Upload::new(backend, shape.dim, mean)?,
            order: Vec::with_capacity(settings.atoms),
            steps: 0,
            seconds: Seconds::default(),
        })
    }

    /// Codes one minibatch and updates the dictionary on it.
    pub(super) fn step(
        &mut self,
        config: &Builder<B, C, U>,
        source: &impl SampleSource<B::Scalar>,
        ranges: impl Iterator<Item = Range<usize>> + Clone,
        progress: f64,
    ) -> Result<Outcome, Error> {
        let Builder { backend, coder, updater, settings, .. } = config;
        self.upload.ranges(backend, source, ranges)?;
        let mut moments = self.upload.moments();
        let y = self.upload.matrix();

        let start = Instant::now();
        coder.set_dictionary(backend, &mut self.coder, &self.dictionary);
        coder.encode(backend, &mut self.coder, &self.dictionary, y, &mut self.codes);
        backend.synchronize()?;
        self.seconds.encode += start.elapsed().as_secs_f64();

        let start = Instant::now();
        self.order.clear();
        self.order.extend(0..settings.atoms as u32);
        self.order.shuffle(&mut generator(settings.seed, Purpose::Step(self.steps)));
        let step = Step { order: &self.order, progress };
        let (state, codes, dictionary) = (&mut self.updater, &mut self.codes, &mut self.dictionary);
        let update = updater.update(backend, state, y, codes, dictionary, &step)?;
        backend.synchronize()?;
        self.seconds.update += start.elapsed().as_secs_f64();
        self.steps += 1;
        moments.error = update.error_before;
        Ok(Outcome { update, moments })
    }

    /// The model as it is now.
    pub(super) fn model(&self, config: &Builder<B, C, U>) -> Result<Model<B::Scalar>, Error> {
        let settings = &config.settings;
        let dictionary = Dictionary::normalized(config.backend.download(&self.dictionary)?)?;
        let mean = self.upload.mean().map(<[_]>::to_vec);
        Model::new(dictionary, mean, settings.sparsity, settings.sign)
    }
}
