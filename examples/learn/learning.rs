//! The run itself.

use dbksvd::backend::{Backend, PursuitKernels, SweepKernels};
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::learn::{Checkpoints, Every, FeatureRecipe, Fit, Observer, Report, Resume, StopToken};
use dbksvd::updater::{DictionaryUpdater, KSvd};
use dbksvd::{DbKsvd, Error, Initialisation, Model, Scalar};

use crate::arguments::{Arguments, Goal, Often};
use crate::dataset::Dataset;
use crate::device;
use crate::device::Real;
use crate::failure::Failure;
use crate::start::{Given, Start};

/// The progress at which a run begins that has a learned dictionary of as many atoms as it wants.
const NEARLY_DONE: f64 = 0.8;

/// What learning gave.
pub struct Learned<T: Scalar> {
    pub model: Model<T>,
    /// The model that did best on held-out rows, with its FVU on those within the norm limit, if it
    /// is another.
    pub best: Option<(Model<T>, f64)>,
    pub report: Report,
    /// What failed, if that ended the run; the models are those of the steps before.
    pub failure: Option<Failure>,
}

/// Learns from the rows of `dataset`, telling `observer`.
pub fn learn<T: Real>(
    arguments: &Arguments,
    start: Start<T>,
    dataset: &Dataset,
    observer: &mut dyn Observer<T>,
) -> Result<Learned<T>, Failure> {
    if let (Some(0), Some(given)) = (arguments.epochs, &start.given)
        && !given.is_preprocessed_anew
        && given.dictionary.atoms() == start.shape.atoms
    {
        let model =
            Model::new(given.dictionary.clone(), None, start.shape.sparsity, start.shape.sign)?;
        let model = model.preprocessed(given.preprocessing.clone())?;
        let model = model.with_linear_coder(given.linear_coder.clone())?;
        return Ok(Learned { model, best: None, report: Report::default(), failure: None });
    }
    let token = StopToken::new();
    stop_on_interrupt(&token)?;
    match arguments.goal {
        Goal::Error => device::learn(arguments, start, dataset, observer, &token),
        Goal::Features => features(arguments, &start, dataset, observer, &token),
    }
}

/// `--goal features`: the two stages of the recipe, as one run.
fn features<T: Scalar>(
    arguments: &Arguments,
    start: &Start<T>,
    dataset: &Dataset,
    observer: &mut dyn Observer<T>,
    token: &StopToken,
) -> Result<Learned<T>, Failure> {
    let mean = start.shape.sparsity as f64;
    let mut recipe = FeatureRecipe::new(start.shape.atoms, mean).seed(arguments.seed);
    if let Some(epochs) = arguments.epochs {
        recipe = recipe.total_epochs(epochs);
    }
    let first = recipe.dictionary::<T>(start.shape.dim)?;
    let mut first = first.outliers(arguments.outliers).scale(arguments.scale);
    if let Some(steps) = arguments.evaluate_every {
        first = first.evaluate_every(Every::Steps(steps));
    }
    let first = first.build()?;
    let (rows, held_out) = (dataset.learned(usize::MAX)?, dataset.watched()?);
    let mut run = recipe.run(&first, &rows).observer(observer).stop_token(token.clone());
    if let Some(held_out) = &held_out {
        run = run.held_out(held_out);
    }
    if let Some(checkpoints) = checkpoints(arguments) {
        run = run.checkpoints(checkpoints);
    }
    let in_rows = |error: Error| dataset.failure(error);
    let Fit { model, report, failure, .. } = run.finish().map_err(in_rows)?;
    Ok(Learned { model, best: None, report, failure: failure.map(in_rows) })
}

/// One run of a learner.
pub fn run<B, C, U>(
    arguments: &Arguments,
    learner: &DbKsvd<B, C, U>,
    dataset: &Dataset,
    observer: &mut dyn Observer<B::Scalar>,
    token: &StopToken,
) -> Result<Learned<B::Scalar>, Failure>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let (rows, held_out) = (dataset.learned(usize::MAX)?, dataset.watched()?);
    let mut run = learner.run(&rows).observer(observer).stop_token(token.clone());
    if let Some(held_out) = &held_out {
        run = run.held_out(held_out);
    }
    if let Some(checkpoints) = checkpoints(arguments) {
        run = run.checkpoints(checkpoints);
    }
    let in_rows = |error: Error| dataset.failure(error);
    let Fit { model, best, report, failure, .. } = run.finish().map_err(in_rows)?;
    let best =
        best.filter(|best| best.step != report.steps).map(|best| (best.model, best.fvu_within));
    Ok(Learned { model, best, report, failure: failure.map(in_rows) })
}

/// The learner of a run for the least error, on a backend.
pub fn learner<B: PursuitKernels + SweepKernels>(
    backend: B,
    arguments: &Arguments,
    start: Start<B::Scalar>,
) -> Result<DbKsvd<B>, Failure> {
    let Start { shape, given, .. } = start;
    let mut updater = KSvd::new();
    if let Some(atoms) = arguments.atom_batch {
        updater = updater.atom_batch(atoms);
    }
    let mut builder = DbKsvd::builder_on(backend, shape.atoms, shape.sparsity)
        .sign(shape.sign)
        .seed(arguments.seed)
        .center(arguments.center)
        .scale(arguments.scale)
        .outliers(arguments.outliers)
        .coder(BatchOmp::new().selection(arguments.selection.unwrap_or_default()))
        .updater(updater);
    if let Some(Given { dictionary, preprocessing, .. }) = given {
        // New atoms need the whole schedule.
        let is_complete = dictionary.atoms() == shape.atoms;
        builder = builder.start_at(if is_complete { NEARLY_DONE } else { 0.0 });
        builder = builder.initialisation(Initialisation::Given(dictionary));
        builder = builder.preprocessing(preprocessing);
    }
    if let Some(progress) = arguments.start_at {
        builder = builder.start_at(progress);
    }
    if let Some(epochs) = arguments.epochs {
        builder = builder.epochs(epochs);
    }
    if let Some(samples) = arguments.minibatch {
        builder = builder.minibatch(samples);
    }
    if let Some(steps) = arguments.steps {
        builder = builder.max_steps(steps);
    }
    if let Some(time) = arguments.time {
        builder = builder.time_budget(time);
    }
    if let Some(fvu) = arguments.target_fvu {
        builder = builder.target_fvu(fvu);
    }
    if let Some(steps) = arguments.evaluate_every {
        builder = builder.evaluate_every(Every::Steps(steps));
    }
    Ok(builder.build()?)
}

/// `checkpoints` in the directory of the outputs, if any are asked for.
fn checkpoints(arguments: &Arguments) -> Option<Checkpoints> {
    if arguments.checkpoint_every.is_none() && !arguments.resume {
        return None;
    }
    let checkpoints = Checkpoints::new(arguments.out.join("checkpoints"));
    let checkpoints = match arguments.checkpoint_every {
        None => checkpoints,
        Some(Often::Steps(steps)) => checkpoints.every_steps(steps).every(None),
        Some(Often::Time(time)) => checkpoints.every(Some(time)),
    };
    let resume = if arguments.resume { Resume::IfPresent } else { Resume::Never };
    Some(checkpoints.resume(resume))
}

/// Ctrl-C ends the run after its current step, and the program at once if it comes again.
fn stop_on_interrupt(token: &StopToken) -> Result<(), Failure> {
    let token = token.clone();
    let stop = move || {
        if token.is_stopped() {
            std::process::exit(130);
        }
        token.stop();
    };
    ctrlc::set_handler(stop).map_err(|error| Failure::Run(error.to_string()))
}
