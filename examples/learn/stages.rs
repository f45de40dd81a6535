//! `--goal features`: the two stages of the recipe, as one run.

use std::ops::ControlFlow;

use dbksvd::learn::{
    CheckpointReport, EpochReport, Evaluation, Every, FeatureRecipe, Fit, Observer, Progress,
    Renewed, Report, Snapshot, StopReason, StopToken,
};
use dbksvd::{Error, Outliers, Scalar};

use crate::arguments::Arguments;
use crate::dataset::Dataset;
use crate::failure::Failure;
use crate::learning::{Learned, checkpoints, run};
use crate::start::Start;

/// Passes over the rows, in both stages together, and the share of the first.
const EPOCHS: usize = 16;
const SHARE_OF_FIRST: f64 = 0.375;

/// Learns in both stages. Each has checkpoints of its own.
pub fn learn<T: Scalar>(
    arguments: &Arguments,
    start: &Start<T>,
    dataset: &Dataset,
    observer: &mut dyn Observer<T>,
    token: &StopToken,
) -> Result<Learned<T>, Failure> {
    let (seed, mean) = (arguments.seed, start.shape.sparsity as f64);
    let epochs = arguments.epochs.unwrap_or(EPOCHS);
    let of_first = ((epochs as f64 * SHARE_OF_FIRST).round() as usize).max(1);
    let recipe = FeatureRecipe::new(start.shape.atoms, mean).epochs(of_first).seed(seed);
    let mut learner = recipe.dictionary::<T>(start.shape.dim)?;
    learner = learner.outliers(arguments.outliers).scale(arguments.scale);
    if let Some(steps) = arguments.evaluate_every {
        learner = learner.evaluate_every(Every::Steps(steps));
    }
    let mut stage = Stage { observer, before: 0, all: epochs, steps: 0, seconds: 0.0 };
    let first = run(arguments, &learner.build()?, dataset, &mut stage, token)?;
    // The second stage changes what the best of the first was chosen by.
    let first = Learned { best: None, ..first };
    if first.failure.is_some() || first.report.stop != StopReason::Completed {
        return Ok(first);
    }
    stage.before = of_first;
    (stage.steps, stage.seconds) = (first.report.steps, first.report.seconds.total);
    let drops = matches!(arguments.outliers, Outliers::Drop(_));
    let linear = recipe.linear.epochs(epochs - of_first).drops_outliers(drops);
    let rows = dataset.learned(usize::MAX)?;
    let mut run = linear.run(&first.model, &rows).observer(&mut stage).stop_token(token.clone());
    if let Some(checkpoints) = checkpoints(arguments, "checkpoints/linear") {
        run = run.checkpoints(checkpoints);
    }
    let in_rows = |error: Error| dataset.failure(error);
    let Fit { model, report, failure, .. } = run.finish().map_err(in_rows)?;
    let (report, failure) = (joined(first.report, report), failure.map(in_rows));
    Ok(Learned { model, best: None, report, failure })
}

/// Tells of a stage as a part of the whole.
struct Stage<'a, T: Scalar> {
    observer: &'a mut dyn Observer<T>,
    /// Epochs before this stage, and in all.
    before: usize,
    all: usize,
    /// Steps and seconds before this stage.
    steps: u64,
    seconds: f64,
}

impl<T: Scalar> Observer<T> for Stage<'_, T> {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let mut progress = *progress;
        let own = progress.epochs as f64;
        progress.done = (self.before as f64 + progress.done * own) / self.all as f64;
        progress.epoch += self.before;
        progress.epochs = self.all;
        progress.total_steps += self.steps;
        progress.elapsed += self.seconds;
        self.observer.on_step(&progress)
    }

    fn on_renewal(&mut self, renewed: &Renewed) -> ControlFlow<()> {
        let mut renewed = *renewed;
        renewed.step += self.steps;
        self.observer.on_renewal(&renewed)
    }

    fn on_epoch(&mut self, epoch: &EpochReport, snapshot: &Snapshot<'_, T>) -> ControlFlow<()> {
        self.observer.on_epoch(&later(*epoch, self.before, self.seconds), snapshot)
    }

    fn on_evaluation(
        &mut self,
        evaluation: &Evaluation,
        snapshot: &Snapshot<'_, T>,
    ) -> ControlFlow<()> {
        self.observer.on_evaluation(evaluation, snapshot)
    }

    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        let mut checkpoint = checkpoint.clone();
        checkpoint.step += self.steps;
        self.observer.on_checkpoint(&checkpoint)
    }

    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        self.observer.on_checkpoint_failure(error)
    }

    fn on_stop(&mut self, report: &Report) {
        if self.before > 0 || report.stop != StopReason::Completed {
            self.observer.on_stop(report);
        }
    }
}

/// An epoch, counted from the start of the first stage.
fn later(mut epoch: EpochReport, epochs: usize, seconds: f64) -> EpochReport {
    epoch.epoch += epochs;
    epoch.elapsed += seconds;
    epoch
}

/// The course of both stages.
fn joined(mut first: Report, second: Report) -> Report {
    let (before, seconds) = (first.epochs.len(), first.seconds.total);
    first.epochs.extend(second.epochs.into_iter().map(|epoch| later(epoch, before, seconds)));
    let resumed = second.resumed_from.map(|step| step + first.steps);
    first.resumed_from = resumed.or(first.resumed_from);
    first.steps += second.steps;
    first.seconds.encode += second.seconds.encode;
    first.seconds.update += second.seconds.update;
    first.seconds.other += second.seconds.other;
    first.seconds.total += second.seconds.total;
    first.noise = second.noise;
    first.stop = second.stop;
    first.observer_panic = first.observer_panic.or(second.observer_panic);
    first
}
