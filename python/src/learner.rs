//! What is set before learning, as Python gives it.

use std::path::PathBuf;
use std::time::Duration;

use dbksvd::Scalar;
use dbksvd::backend::Backend;
use dbksvd::coder::{AnyCoder, Matryoshka, SparseCoder};
use dbksvd::faer::Mat;
use dbksvd::learn::{Builder, Checkpoints, Every, FeatureRecipe, Plateau, Resume};
use dbksvd::updater::{DictionaryUpdater, MatryoshkaUpdates};
use dbksvd::{
    DbKsvd, Dictionary, Faer, Groups, Initialisation, Model as Learned, Outliers, Preprocessing,
    Sign,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::coder::{Described, coder_of, groups};
use crate::error::{exception, unexpected};
use crate::model::Model;
use crate::number::{Number, each};
use crate::updater::AnyUpdater;

/// A learner with parts that were chosen at run time.
pub type AnyBuilder<T> = Builder<Faer<T>, AnyCoder<T>, AnyUpdater>;

/// Everything that is set. `None` where the default of the goal holds.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Settings<'py> {
    pub goal: String,
    /// `cpu`, `gpu`, or `gpu:` and a name or a number.
    pub device: String,
    pub atoms: usize,
    /// k; with the goal `features` a mean.
    pub nonzeros: f64,
    pub positive: bool,
    pub epochs: Option<usize>,
    pub minibatch: Option<usize>,
    pub seed: u64,
    pub center: Option<bool>,
    pub scale: bool,
    /// `keep`, `clip` or `drop`, with a factor.
    pub outliers: Option<(String, f64)>,
    pub start_at: Option<f64>,
    pub evaluate_every: Option<u64>,
    pub max_steps: Option<u64>,
    pub time_budget: Option<f64>,
    pub target_fvu: Option<f64>,
    pub plateau: Option<(usize, f64)>,
    pub held_out: Option<f64>,
    pub coder: Option<Described<'py>>,
    pub updater: Option<Described<'py>>,
    pub groups: Option<Bound<'py, PyDict>>,
    pub is_gaussian: bool,
    /// A dictionary to begin with.
    pub start: Option<Py<Model>>,
    pub checkpoints: Option<Saving>,
    /// Whether ends of epochs are told with a copy of the model.
    pub tells_models: bool,
}

/// Checkpoints.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Saving {
    directory: PathBuf,
    every_steps: Option<u64>,
    every_seconds: Option<f64>,
    resume: bool,
}

/// What a dictionary is learned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Error,
    TrueFeatures,
    Features,
}

impl Settings<'_> {
    pub fn goal(&self) -> PyResult<Goal> {
        match self.goal.as_str() {
            "error" => Ok(Goal::Error),
            "true_features" => Ok(Goal::TrueFeatures),
            "features" => Ok(Goal::Features),
            other => {
                let expected = "'error', 'true_features' or 'features'";
                Err(unexpected("goal", format!("{other:?}"), expected))
            }
        }
    }

    /// The recipe for features, with the epochs of both stages.
    pub fn recipe(&self) -> PyResult<FeatureRecipe> {
        let mut recipe = FeatureRecipe::new(self.atoms, self.nonzeros).seed(self.seed);
        if let Some(epochs) = self.epochs {
            if epochs < 2 {
                let expected = "at least 2 with goal='features', which learns in two stages";
                return Err(unexpected("max_iter", epochs, expected));
            }
            recipe = recipe.total_epochs(epochs);
        }
        if let Some(samples) = self.minibatch {
            recipe = recipe.linear(recipe.linear.minibatch(samples));
        }
        Ok(recipe)
    }

    /// What is set, for samples of dimension `dim`, on the processor. With the goal `features`, the
    /// first stage.
    pub fn builder<T: Number>(&self, dim: usize) -> PyResult<AnyBuilder<T>> {
        let goal = self.goal()?;
        let preset =
            |coder, updater| (AnyCoder::ThresholdPursuit(coder), AnyUpdater::KSvd(updater));
        let sparsity = self.nonzeros as usize;
        let mut builder = match goal {
            Goal::Error => {
                let sign = if self.positive { Sign::NonNegative } else { Sign::Signed };
                DbKsvd::builder_on(Faer::default(), self.atoms, sparsity)
                    .map_parts(|coder, updater| {
                        (AnyCoder::BatchOmp(coder), AnyUpdater::KSvd(updater))
                    })
                    .sign(sign)
            }
            Goal::TrueFeatures => {
                DbKsvd::true_features_on(Faer::default(), self.atoms, sparsity).map_parts(preset)
            }
            Goal::Features => self.recipe()?.dictionary(dim).map_err(exception)?.map_parts(preset),
        };
        if let Some(coder) = &self.coder {
            builder = builder.coder(coder_of(coder, None)?);
        }
        if let Some(updater) = &self.updater {
            builder = builder.updater(AnyUpdater::new(updater)?);
        }
        if let Some(of) = &self.groups {
            builder = in_groups(builder, groups(of)?);
        }
        self.finish(builder)
    }

    /// What is set for every coder, every updater and every device.
    pub fn finish<B, C, U>(&self, mut builder: Builder<B, C, U>) -> PyResult<Builder<B, C, U>>
    where
        B: Backend<Scalar: Number>,
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let goal = self.goal()?;
        // A dictionary that is given does not grow anew.
        if self.start.is_some() {
            builder = builder.growth(None);
        }
        if let Some(start) = &self.start {
            let started = each!(&start.get().inner, model => start_with(builder, model));
            builder = started.map_err(exception)?;
        } else if self.is_gaussian {
            builder = builder.initialisation(Initialisation::Gaussian);
        }
        if goal != Goal::Features {
            if let Some(epochs) = self.epochs {
                builder = builder.epochs(epochs);
            }
            if let Some(samples) = self.minibatch {
                builder = builder.minibatch(samples);
            }
        }
        if let Some(center) = self.center {
            builder = builder.center(center);
        }
        if let Some(outliers) = self.outliers()? {
            builder = builder.outliers(outliers);
        }
        if let Some(progress) = self.start_at {
            builder = builder.start_at(progress);
        }
        if let Some(steps) = self.evaluate_every {
            builder = builder.evaluate_every(Every::Steps(steps));
        }
        if let Some(steps) = self.max_steps {
            builder = builder.max_steps(steps);
        }
        if let Some(time) = self.time_budget {
            builder = builder.time_budget(seconds("time_budget", time)?);
        }
        if let Some(fvu) = self.target_fvu {
            builder = builder.target_fvu(fvu);
        }
        if let Some((window, least)) = self.plateau {
            builder = builder.plateau(Plateau { window, least });
        }
        Ok(builder.scale(self.scale).seed(self.seed))
    }

    fn outliers(&self) -> PyResult<Option<Outliers>> {
        let Some((what, factor)) = &self.outliers else { return Ok(None) };
        Ok(Some(match what.as_str() {
            "keep" => Outliers::Keep,
            "clip" => Outliers::Clip(*factor),
            "drop" => Outliers::Drop(*factor),
            _ => return Err(unexpected("outliers", what, "'keep', 'clip' or 'drop'")),
        }))
    }
}

/// The sizes of groups of which each has as many atoms as all before it.
#[pyfunction]
pub fn doubling_groups(atoms: usize, first: usize) -> Vec<usize> {
    Groups::doubling(atoms, first).sizes().to_vec()
}

/// The builder with coder and updater that work on one group after the other.
fn in_groups<T: Number>(builder: AnyBuilder<T>, groups: Groups) -> AnyBuilder<T> {
    builder.map_parts(|coder, updater| {
        let updater = MatryoshkaUpdates::new(groups.clone()).updater(updater);
        let coder = Matryoshka::new(groups).coder(coder);
        (AnyCoder::Matryoshka(Box::new(coder)), AnyUpdater::Matryoshka(Box::new(updater)))
    })
}

/// The builder with the dictionary of a model, and with what that model does to samples.
fn start_with<S: Number, B: Backend<Scalar: Number>, C, U>(
    builder: Builder<B, C, U>,
    start: &Learned<S>,
) -> Result<Builder<B, C, U>, dbksvd::Error> {
    let atoms = start.dictionary().as_mat();
    let convert = |x: S| B::Scalar::narrow(x.widen());
    let atoms = Mat::from_fn(atoms.nrows(), atoms.ncols(), |i, j| convert(atoms[(i, j)]));
    // Atoms in one precision are not of norm 1 by the measure of the other.
    let dictionary = match S::NAME == B::Scalar::NAME {
        true => Dictionary::new(atoms)?,
        false => Dictionary::normalized(atoms)?,
    };
    let given = start.preprocessing();
    let mean = given.mean().map(|mean| mean.iter().map(|&x| convert(x)).collect());
    let given = Preprocessing::none()
        .with_mean(mean)?
        .with_scale(given.scale())?
        .with_norm_limit(given.norm_limit())?;
    Ok(builder.initialisation(Initialisation::Given(dictionary)).preprocessing(given))
}

impl Saving {
    pub fn checkpoints(&self) -> PyResult<Checkpoints> {
        let resume = if self.resume { Resume::IfPresent } else { Resume::Never };
        let mut checkpoints = Checkpoints::new(&self.directory).resume(resume);
        if let Some(steps) = self.every_steps {
            checkpoints = checkpoints.every_steps(steps).every(None);
        }
        if let Some(time) = self.every_seconds {
            checkpoints = checkpoints.every(Some(seconds("checkpoint_seconds", time)?));
        }
        Ok(checkpoints)
    }
}

fn seconds(name: &str, time: f64) -> PyResult<Duration> {
    let duration = Duration::try_from_secs_f64(time).ok().filter(|time| !time.is_zero());
    duration.ok_or_else(|| unexpected(name, time, "a positive number of seconds"))
}
