//! Dictionary and states of a run, and the one step that sessions and runs take with them.

use std::time::Instant;

use faer::MatRef;
use rand::seq::SliceRandom;

use super::Seconds;
use super::config::Config;
use super::extend::extend;
use super::loader::{Buffers, Loaded, Loader};
use super::team::Team;
use crate::Scalar;
use crate::backend::Backend;
use crate::coder::{Phase, SparseCoder};
use crate::cpu::vector::outlined;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::group::Group;
use crate::model::Model;
use crate::problem::ProblemShape;
use crate::random::{RandomStream, generator};
use crate::samples::OutlierCounts;
use crate::samples::moments::{Figures, non_negative};
use crate::samples::preprocessing::Preprocessing;
use crate::samples::spectrum::Spectrum;
use crate::samples::statistics::estimate;
use crate::source::SampleSource;
use crate::updater::{DictionaryUpdater, Step, UpdateReport};

/// What a step did, with sums over its samples and the errors of their codes.
pub(super) struct Outcome {
    pub(super) update: UpdateReport,
    pub(super) figures: Figures,
    pub(super) spectrum: Spectrum,
    pub(super) outliers: OutlierCounts,
}

/// Dictionary and states of a run: the method bodies of the driver.
pub(super) struct Trainer<B: Backend, C: SparseCoder<B>, U: DictionaryUpdater<B>> {
    pub(super) coder: C::State,
    pub(super) updater: U::State,
    pub(super) dictionary: B::Matrix,
    pub(super) codes: B::Codes,
    pub(super) loader: Loader<B::Scalar>,
    order: Vec<u32>,
    shape: ProblemShape,
    /// Progress of the run at the last step.
    pub(super) progress: f64,
    /// Root mean square per coordinate of what the last step's codes left, before the update; NaN
    /// before the first.
    pub(super) noise: f64,
    pub(super) steps: u64,
    pub(super) seconds: Seconds,
}

impl<B, C, U> Trainer<B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    /// Takes the statistics of the data, makes the initial dictionary and allocates.
    pub(super) fn new(
        config: &Config<B, C, U>,
        source: &dyn SampleSource<B::Scalar>,
    ) -> Result<Self, Error> {
        let settings = &config.settings;
        let shape = settings.shape_of(source.dim(), settings.sizes()[0]);
        // Memory that cannot be had is an error before samples are read, which may take long.
        drop(config.coder.prepare(&config.backend, &shape)?);
        drop(config.updater.prepare(&config.backend, &shape)?);
        let given = config.preprocessing.clone().unwrap_or_default();
        let preprocessing = estimate(source, &settings.statistics, given, settings.seed)?;
        let outliers = settings.statistics.outliers;
        let initial =
            config.initialisation.draw(source, &preprocessing, outliers, &shape, settings.seed)?;
        let initial = if initial.atoms() < shape.atoms {
            extend(config, initial, source, &preprocessing)?
        } else {
            initial
        };
        let mut trainer = Self::of(config, initial.as_mat(), preprocessing)?;
        // A given dictionary is of unit norm to the precision of the file it may come from.
        trainer.normalize(config)?;
        Ok(trainer)
    }

    /// Scales atoms to norm 1, but for fixed ones that have it: division by a norm that rounding
    /// makes differ from 1 would change their bits.
    fn normalize(&mut self, config: &Config<B, C, U>) -> Result<(), Error> {
        let backend = &config.backend;
        let bound = (self.shape.dim + 8) as f64 * B::Scalar::EPSILON;
        let fixed: Vec<usize> =
            config.updater.fixed_atoms().iter().map(|&atom| atom as usize).collect();
        if fixed.is_empty() {
            backend.normalize_columns(&mut self.dictionary);
            return Ok(());
        }
        let kept = backend.download_columns(&self.dictionary, &fixed)?;
        backend.normalize_columns(&mut self.dictionary);
        for (place, &atom) in fixed.iter().enumerate() {
            let kept = kept.col_as_slice(place);
            if (outlined::energy(kept).sqrt() - 1.0).abs() <= bound {
                backend.upload_column(kept, &mut self.dictionary, atom)?;
            }
        }
        Ok(())
    }

    /// The dictionary as it is now, in host memory: scaled to norm 1, but for fixed atoms.
    pub(super) fn download(
        &self,
        config: &Config<B, C, U>,
    ) -> Result<Dictionary<B::Scalar>, Error> {
        let mut atoms = config.backend.download(&self.dictionary)?;
        let fixed = config.updater.fixed_atoms();
        if fixed.is_empty() {
            return Dictionary::normalized(atoms);
        }
        let kept = atoms.clone();
        atoms = Dictionary::normalized(atoms)?.into_mat();
        for atom in fixed {
            let atom = atom as usize;
            atoms.col_as_slice_mut(atom).copy_from_slice(kept.col_as_slice(atom));
        }
        Ok(Dictionary::trusted(atoms))
    }

    /// With this dictionary and nothing learned yet.
    pub(super) fn of(
        config: &Config<B, C, U>,
        initial: MatRef<'_, B::Scalar>,
        preprocessing: Preprocessing<B::Scalar>,
    ) -> Result<Self, Error> {
        let (settings, backend) = (&config.settings, &config.backend);
        let shape = settings.shape_of(initial.nrows(), initial.ncols());
        let (outliers, cut) =
            (settings.statistics.outliers, settings.cut(shape.dim, Team::alone()));
        let mut dictionary = backend.zeros(shape.dim, shape.atoms)?;
        backend.upload(initial, &mut dictionary)?;
        Ok(Self {
            coder: config.coder.prepare(backend, &shape)?,
            updater: config.updater.prepare(backend, &shape)?,
            dictionary,
            codes: backend.codes(shape.atoms, 0, shape.sparsity)?,
            loader: Loader::new(preprocessing, outliers, cut),
            order: Vec::with_capacity(settings.atoms),
            shape,
            progress: 0.0,
            noise: f64::NAN,
            steps: 0,
            seconds: Seconds::default(),
        })
    }

    /// Goes on with another dictionary, perhaps of another number of atoms: coder and updater begin
    /// anew.
    pub(super) fn replace(
        &mut self,
        config: &Config<B, C, U>,
        dictionary: &Dictionary<B::Scalar>,
    ) -> Result<(), Error> {
        let backend = &config.backend;
        let shape = config.settings.shape_of(dictionary.dim(), dictionary.atoms());
        self.dictionary = backend.zeros(shape.dim, shape.atoms)?;
        backend.upload(dictionary.as_mat(), &mut self.dictionary)?;
        self.coder = config.coder.prepare(backend, &shape)?;
        self.updater = config.updater.prepare(backend, &shape)?;
        self.codes = self.empty_codes(config, &shape)?;
        self.shape = shape;
        Ok(())
    }

    fn empty_codes(
        &self,
        config: &Config<B, C, U>,
        shape: &ProblemShape,
    ) -> Result<B::Codes, Error> {
        Ok(config.backend.codes(shape.atoms, 0, shape.sparsity)?)
    }

    /// Dimensions and constraints as they are now.
    pub(super) fn shape(&self) -> &ProblemShape {
        &self.shape
    }

    /// What is done to samples.
    pub(super) fn preprocessing(&self) -> &Preprocessing<B::Scalar> {
        self.loader.preprocessing()
    }

    /// The dictionary as it is now.
    pub(super) fn dictionary(&self) -> &B::Matrix {
        &self.dictionary
    }

    /// Lets the coder take notice of the dictionary, and the course of learning, as they are now.
    /// All owners of a group do so at the same time.
    pub(super) fn refresh_coder(
        &mut self,
        config: &Config<B, C, U>,
        group: &dyn Group,
    ) -> Result<(), Error> {
        let Config { backend, coder, settings, .. } = config;
        let (state, dictionary) = (&mut self.coder, &self.dictionary);
        if group.ranks() > 1 && group.shares_products() {
            coder.set_dictionary_together(backend, state, dictionary, group)?;
        } else {
            coder.set_dictionary(backend, state, dictionary)?;
        }
        let sizes = settings.sizes();
        let stage = settings.growth.map(|growth| growth.stage_at(self.progress));
        // The stage of the dictionary at hand, which at the moment of growth is still the one
        // before.
        let number = sizes.iter().take_while(|&&size| size < self.shape.atoms).count();
        let share = stage
            .map_or(self.progress, |stage| if stage.number == number { stage.share } else { 1.0 });
        let phase = Phase {
            progress: self.progress,
            stage: share,
            is_grown: number + 1 == sizes.len(),
            earlier: &sizes[..number],
            noise: self.noise,
        };
        if !self.noise.is_nan() {
            coder.set_phase(backend, &mut self.coder, &phase);
        }
        Ok(())
    }

    /// X ← codes of these samples, of which an owner may have none.
    pub(super) fn encode(&mut self, config: &Config<B, C, U>, y: &B::Matrix) -> Result<(), Error> {
        let Config { backend, coder, .. } = config;
        if backend.columns(y) == 0 {
            self.codes = self.empty_codes(config, &self.shape)?;
            return Ok(());
        }
        Ok(coder.encode(backend, &self.coder, &self.dictionary, y, &mut self.codes)?)
    }

    /// Codes the minibatch that was loaded into `buffers`, or this owner's part of it, and updates
    /// the dictionary on it.
    pub(super) fn step(
        &mut self,
        config: &Config<B, C, U>,
        buffers: &mut Buffers<B>,
        loaded: Loaded,
        progress: f64,
        team: Team<'_>,
    ) -> Result<Outcome, Error> {
        let Config { backend, updater, settings, .. } = config;
        let Loaded { mut figures, spectrum, outliers, shards } = loaded;
        let Buffers { upload, apart } = buffers;
        // Every sample may have been left out.
        if figures.all.samples == 0 {
            self.steps += 1;
            return Ok(Outcome { update: UpdateReport::default(), figures, spectrum, outliers });
        }
        let start = Instant::now();
        let share = team.share(shards);
        self.progress = progress;
        if self.noise.is_nan() {
            self.noise = self.per_coordinate(figures.all.energy, figures.all.samples);
        }
        if let Some(growth) = settings.growth {
            let atoms = settings.sizes()[growth.stage_at(progress).number];
            if atoms > self.shape.atoms {
                self.grow(config, upload.matrix(), atoms, &share)?;
            }
        }
        self.refresh_coder(config, team.group())?;
        let y = upload.matrix();
        self.encode(config, y)?;
        let error_apart = if figures.within.samples < figures.all.samples {
            apart.error(config, &self.coder, &self.dictionary, &self.shape, &share)?
        } else {
            0.0
        };
        backend.synchronize()?;
        self.seconds.encode += start.elapsed().as_secs_f64();

        let start = Instant::now();
        self.order.clear();
        self.order.extend(0..self.shape.atoms as u32);
        self.order.shuffle(&mut generator(settings.seed, RandomStream::Step(self.steps)));
        let step = Step::new(&self.order, progress).with_share(&share);
        let (state, codes, dictionary) = (&mut self.updater, &mut self.codes, &mut self.dictionary);
        let update = updater.update(backend, state, y, codes, dictionary, &step)?;
        backend.synchronize()?;
        self.seconds.update += start.elapsed().as_secs_f64();
        self.steps += 1;
        figures.all.error = update.error_before;
        // Rounding may make the difference of two sums of squares negative.
        figures.within.error = non_negative(update.error_before - error_apart);
        self.noise = self.per_coordinate(figures.all.error, figures.all.samples);
        Ok(Outcome { update, figures, spectrum, outliers })
    }

    /// The root mean square of the coordinates of samples with this sum of squares.
    fn per_coordinate(&self, squares: f64, samples: usize) -> f64 {
        (squares / (samples.max(1) * self.shape.dim) as f64).sqrt()
    }

    /// The model as it is now.
    pub(super) fn model(&self, config: &Config<B, C, U>) -> Result<Model<B::Scalar>, Error> {
        self.model_of(config, self.download(config)?)
    }

    /// The model of a dictionary of this run.
    pub(super) fn model_of(
        &self,
        config: &Config<B, C, U>,
        dictionary: Dictionary<B::Scalar>,
    ) -> Result<Model<B::Scalar>, Error> {
        let settings = &config.settings;
        let shape = settings.shape_of(dictionary.dim(), dictionary.atoms());
        Model::new(dictionary, None, shape.sparsity, shape.sign)?
            .preprocessed(self.preprocessing().clone())
    }
}
