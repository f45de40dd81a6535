//! The run itself.

use dbksvd::backend::Backend;
use dbksvd::coder::SparseCoder;
use dbksvd::learn::{Every, FeatureRecipe, Fit, Observer, Report, StopToken};
use dbksvd::updater::DictionaryUpdater;
use dbksvd::{DbKsvd, Error, Model, Scalar};

use crate::arguments::{Arguments, Goal};
use crate::dataset::Dataset;
use crate::device;
use crate::device::Real;
use crate::failure::Failure;
use crate::learner::checkpoints;
use crate::start::Start;

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
