//! One run of both stages: watched by whom, ended and saved how.

use super::FeatureRecipe;
use super::stages::Stage;
use crate::coder::SparseCoder;
use crate::cpu::Faer;
use crate::error::Error;
use crate::learn::checkpoint::{Checkpoints, OpenStore};
use crate::learn::fit::Fit;
use crate::learn::observer::Observer;
use crate::learn::report::Report;
use crate::learn::team::Team;
use crate::learn::{DbKsvd, Run, StopReason, StopToken};
use crate::source::SampleSource;
use crate::updater::DictionaryUpdater;
use crate::{Outliers, Scalar};

/// A run of both stages that is set up: [`FeatureRecipe::run`] makes one, [`finish`](Self::finish)
/// lets it learn.
///
/// ```
/// use dbksvd::learn::{FeatureRecipe, StopReason, StopToken};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::Sign;
///
/// let planted = Planted::new(16, 32, 3, 2_000).sign(Sign::NonNegative);
/// let data = planted.generate::<f32>()?.samples;
/// let recipe = FeatureRecipe::new(32, 3.0).total_epochs(4);
/// let first = recipe.dictionary(16)?.build()?;
/// let token = StopToken::new(); // a handler of Ctrl-C could hold a clone
/// let fit = recipe.run(&first, &data).stop_token(token).finish()?;
/// assert_eq!((fit.report.stop, fit.report.epochs.len()), (StopReason::Completed, 4));
/// assert!(fit.model.linear_coder().is_some());
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[must_use = "call `finish` to learn"]
pub struct FeatureRun<'a, T: Scalar, C, U> {
    recipe: FeatureRecipe,
    first: &'a DbKsvd<Faer<T>, C, U>,
    source: &'a dyn SampleSource<T>,
    held_out: Option<&'a dyn SampleSource<T>>,
    observer: Option<&'a mut dyn Observer<T>>,
    token: Option<StopToken>,
    pub(crate) checkpoints: Option<(Checkpoints, OpenStore<T>)>,
}

impl<'a, T, C, U> FeatureRun<'a, T, C, U>
where
    T: Scalar,
    C: SparseCoder<Faer<T>>,
    U: DictionaryUpdater<Faer<T>>,
{
    pub(super) fn new(
        recipe: FeatureRecipe,
        first: &'a DbKsvd<Faer<T>, C, U>,
        source: &'a dyn SampleSource<T>,
    ) -> Self {
        let (held_out, observer, token, checkpoints) = (None, None, None, None);
        Self { recipe, first, source, held_out, observer, token, checkpoints }
    }

    /// Measures the first stage on these samples, in place of a part of the source.
    pub fn held_out(mut self, source: &'a dyn SampleSource<T>) -> Self {
        self.held_out = Some(source);
        self
    }

    /// Tells `observer` what happens, in both stages as in one run.
    pub fn observer(mut self, observer: &'a mut dyn Observer<T>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Ends the run after the step in which this token is stopped.
    pub fn stop_token(mut self, token: StopToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Learns until the run ends. The model has a linear coder if the second stage has taken a
    /// step. There is no [`best`](Fit::best) model: what the first stage would call so is changed
    /// by the second.
    ///
    /// # Errors
    /// Those of [`Run::finish`] and of [`LinearRun::finish`](crate::learn::LinearRun::finish).
    pub fn finish(self) -> Result<Fit<T>, Error> {
        let Self { recipe, first, source, held_out, token, checkpoints, .. } = self;
        let run = Run { held_out, ..Run::new(first, source) };
        let sources = run.sources()?;
        let epochs = [first.config.settings.epochs, recipe.linear.epochs];
        let mut stage = Stage::first(epochs, self.observer);
        let run = Run {
            held_out: sources.held_out(),
            observer: Some(&mut stage),
            token: token.clone(),
            checkpoints: checkpoints.clone(),
            ..Run::new(first, sources.learned())
        };
        let ended = Fit { best: None, ..run.learn(Team::alone())? };
        if ended.failure.is_some() || ended.report.stop != StopReason::Completed {
            return Ok(ended);
        }
        if stage.is_over {
            let mut report = Report { stop: StopReason::Observer, ..ended.report };
            stage.end(&mut report);
            return Ok(Fit { report, ..ended });
        }
        stage.follow(&ended.report);
        let drops = matches!(first.config.settings.statistics.outliers, Outliers::Drop(_));
        let linear = recipe.linear.drops_outliers(drops || recipe.linear.drops_outliers);
        let mut run = linear.run(&ended.model, sources.learned()).observer(&mut stage);
        run.checkpoints = checkpoints.map(|(plan, open)| (plan.of_second_stage(), open));
        if let Some(token) = token {
            run = run.stop_token(token);
        }
        match run.finish() {
            Ok(second) => Ok(Fit { report: stage.joined(&second.report), ..second }),
            // What the first stage has learned is not lost.
            Err(error) => {
                let mut report = Report { stop: StopReason::Failed, ..ended.report };
                stage.end(&mut report);
                Ok(Fit { report, failure: Some(error), ..ended })
            }
        }
    }
}
