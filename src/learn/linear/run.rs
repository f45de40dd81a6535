//! One run of learning linear features: watched by whom, ended and saved how.

use std::thread;
use std::time::Instant;

use super::LinearFeatures;
use super::course::Course;
use super::state::State;
use super::weights::columns;
use crate::Scalar;
use crate::error::Error;
use crate::learn::StopToken;
use crate::learn::checkpoint::{Checkpoints, OpenCheckpoints, OpenStore, identity};
use crate::learn::cut::Cut;
use crate::learn::fit::Fit;
use crate::learn::observer::{Observer, PanicCatching};
use crate::learn::reader::{Schedule, read_ahead};
use crate::learn::run_state::RunState;
use crate::learn::team::Team;
use crate::model::Model;
use crate::parameters::Parameters;
use crate::problem::Sign;
use crate::samples::HostSamples;
use crate::source::{SampleSource, check_rounding};

/// A run that is set up: [`LinearFeatures::run`] makes one, [`finish`](Self::finish) lets it learn.
///
/// ```
/// use dbksvd::learn::{LinearFeatures, StopReason, StopToken};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Sign};
///
/// let planted = Planted::new(16, 32, 3, 2_000).sign(Sign::NonNegative);
/// let data = planted.generate::<f32>()?.samples;
/// let (model, _) = DbKsvd::true_features(32, 8).epochs(2).build()?.fit(&data)?;
/// let token = StopToken::new(); // a handler of Ctrl-C could hold a clone
/// let fit = LinearFeatures::new(3.0).run(&model, &data).stop_token(token).finish()?;
/// assert_eq!(fit.report.stop, StopReason::Completed);
/// assert!(fit.model.linear_coder().is_some());
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[must_use = "call `finish` to learn"]
pub struct LinearRun<'a, T: Scalar> {
    rule: LinearFeatures,
    model: &'a Model<T>,
    source: &'a dyn SampleSource<T>,
    observer: Option<&'a mut dyn Observer<T>>,
    token: Option<StopToken>,
    pub(crate) checkpoints: Option<(Checkpoints, OpenStore<T>)>,
}

impl<'a, T: Scalar> LinearRun<'a, T> {
    pub(super) fn new(
        rule: LinearFeatures,
        model: &'a Model<T>,
        source: &'a dyn SampleSource<T>,
    ) -> Self {
        Self { rule, model, source, observer: None, token: None, checkpoints: None }
    }

    /// Tells `observer` what happens. If it breaks, learning ends after the current step.
    pub fn observer(mut self, observer: &'a mut dyn Observer<T>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Ends the run after the step in which this token is stopped; before the first step, the run
    /// gives the model that it began with.
    pub fn stop_token(mut self, token: StopToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Learns until the run ends. There is no [`best`](Fit::best) model: nothing is held out.
    ///
    /// # Errors
    /// Those of [`LinearFeatures::fit`] that are known before the first step, and
    /// [`Error::Checkpoint`] if the directory of checkpoints cannot be used or its checkpoint is of
    /// another run. What fails later ends the run, is told by [`Fit::failure`], and loses nothing;
    /// but weights that have overflowed are an error here as well.
    pub fn finish(self) -> Result<Fit<T>, Error> {
        let Self { rule, model, source, .. } = self;
        check(&rule, model, source)?;
        let start = Instant::now();
        let open =
            |(plan, store)| OpenCheckpoints::open(plan, store, || identified(&rule, model, source));
        let checkpoints = self.checkpoints.map(open).transpose()?;
        let saved = match &checkpoints {
            None => None,
            Some(checkpoints) => checkpoints.load(model.dim(), &[model.atoms()])?,
        };
        let mut state = State::new(model, &rule)?;
        let run_state = match saved {
            None => RunState::new(model.dim(), start),
            Some(saved) => {
                state.restore(&saved)?;
                saved.into_state(start)
            }
        };
        let minibatch = rule.minibatch.min(source.len());
        let schedule = Schedule {
            source,
            minibatch,
            seed: rule.seed,
            epochs: rule.epochs,
            cut: Cut::new(model.shape(), None, Team::alone()),
        };
        // Shortens the lifetime of the trait object, which only a coercion does.
        let observer = self.observer.map(|observer| observer as &mut dyn Observer<T>);
        thread::scope(|scope| {
            let position = run_state.record.position;
            let mut reader = read_ahead(scope, schedule, position, 1)?;
            let mut next = |taken: Option<HostSamples<T>>| {
                if let Some(samples) = taken {
                    reader.give_back(samples);
                }
                reader.next()
            };
            let (rule, observer, token) = (&rule, PanicCatching::new(observer), self.token);
            let course =
                Course { rule, model, schedule, observer, token, checkpoints, state, run_state };
            course.run(&mut next)
        })
    }
}

fn check<T: Scalar>(
    rule: &LinearFeatures,
    model: &Model<T>,
    source: &dyn SampleSource<T>,
) -> Result<(), Error> {
    if model.sign() != Sign::NonNegative {
        return Err(Error::argument("sign", "signed", "a model with non-negative codes"));
    }
    let dim = model.dim();
    rule.check(model.atoms(), dim)?;
    if source.dim() != dim {
        let found = source.dim();
        return Err(Error::Dimension { argument: "samples", found, expected: dim });
    }
    if source.is_empty() {
        return Err(Error::NoSamples { argument: "samples" });
    }
    check_rounding(source)
}

/// What must be the same for a run to go on: the rule, the model that it began with, and the data.
fn identified<T: Scalar>(
    rule: &LinearFeatures,
    model: &Model<T>,
    source: &dyn SampleSource<T>,
) -> Result<Parameters, Error> {
    let LinearFeatures { mean_nonzeros, epochs, minibatch, rate, nested, .. } = *rule;
    let LinearFeatures { idle, drops_outliers, seed, .. } = *rule;
    let preprocessing = model.preprocessing();
    let mean = preprocessing.mean().unwrap_or_default().iter().map(|x| x.widen());
    let scale = [preprocessing.scale(), preprocessing.norm_limit().unwrap_or(f64::NAN)];
    let encoder = model.linear_coder().and_then(|coder| coder.encoder.as_ref());
    let numbers =
        |matrix| columns::<T>(matrix).into_iter().map(Scalar::widen).collect::<Vec<f64>>();
    let weights = encoder.map(|encoder| numbers(encoder.weights())).unwrap_or_default();
    let bias = encoder.and_then(|encoder| encoder.bias()).unwrap_or_default();
    Ok(Parameters::of("LinearFeatures")
        .with("scalar", T::NAME)
        .with("mean_nonzeros", mean_nonzeros)
        .with("epochs", epochs)
        .with("minibatch", minibatch)
        .with("rate", rate)
        .with("nested", nested)
        .with("idle", idle)
        .with("drops_outliers", drops_outliers)
        .with("seed", seed)
        .with("atoms", model.atoms())
        .with_hash_of("model.dictionary", numbers(model.dictionary().as_mat()))
        .with_hash_of("model.preprocessing", mean.chain(scale))
        .with_hash_of("model.encoder", weights.into_iter().chain(bias.iter().map(|c| c.widen())))
        .with("data", identity::described(source)?))
}
