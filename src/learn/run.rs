//! One run of a learner: on which samples, watched by whom, ended and saved how.

use std::time::Instant;

use super::checkpoint::saved_run::SavedRun;
use super::checkpoint::{Checkpoints, OpenCheckpoints, OpenStore, identity};
use super::driver::Driver;
use super::evaluation::HeldOutEvaluator;
use super::fit::Fit;
use super::observer::{Observer, PanicCatching};
use super::reader::Schedule;
use super::run_state::RunState;
use super::team::{Team, of_owner};
use super::trainer::Trainer;
use super::{DbKsvd, StopToken};
use crate::Scalar;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::group::{Group, Message, Reading, Solo};
use crate::parameters::Parameters;
use crate::source::{SampleSource, Subset, check_rounding, split};
use crate::updater::DictionaryUpdater;

/// A run that is set up: [`DbKsvd::run`] makes one, [`finish`](Self::finish) lets it learn.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::learn::{Every, StopReason, StopToken};
/// use dbksvd::source::HeldOut;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 24, 2, 800).generate::<f32>()?;
/// let learner = DbKsvd::builder(24, 2)
///     .held_out(HeldOut::Share(0.1))
///     .evaluate_every(Every::Steps(5))
///     .target_fvu(0.2)
///     .build()?;
/// let token = StopToken::new(); // a handler of Ctrl-C could hold a clone
/// let fit = learner.run(&data.samples).stop_token(token).finish()?;
/// assert_eq!(fit.report.stop, StopReason::TargetFvu);
/// let best = fit.best.unwrap();
/// assert!(best.fvu <= 0.2);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[must_use = "call `finish` to learn"]
pub struct Run<'a, B: Backend, C, U> {
    pub(super) learner: &'a DbKsvd<B, C, U>,
    pub(super) source: &'a dyn SampleSource<B::Scalar>,
    pub(super) held_out: Option<&'a dyn SampleSource<B::Scalar>>,
    pub(super) observer: Option<&'a mut dyn Observer<B::Scalar>>,
    pub(super) token: Option<StopToken>,
    pub(super) group: &'a dyn Group,
    pub(crate) checkpoints: Option<(Checkpoints, OpenStore<B::Scalar>)>,
}

impl<'a, B, C, U> Run<'a, B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    pub(super) fn new(
        learner: &'a DbKsvd<B, C, U>,
        source: &'a dyn SampleSource<B::Scalar>,
    ) -> Self {
        let (held_out, observer, token, checkpoints) = (None, None, None, None);
        Self { learner, source, held_out, observer, token, group: &Solo, checkpoints }
    }

    /// Measures on these samples at every evaluation, in place of a part of the source.
    pub fn held_out(mut self, source: &'a impl SampleSource<B::Scalar>) -> Self {
        self.held_out = Some(source);
        self
    }

    /// Tells `observer` what happens.
    pub fn observer(mut self, observer: &'a mut dyn Observer<B::Scalar>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Ends the run after the step in which this token is stopped.
    pub fn stop_token(mut self, token: StopToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Learns together with the other owners of `group`, each of which makes the same run on the
    /// same data: every owner reads and codes its own part of each minibatch, and all have the same
    /// model and report (but for seconds), which are those of a run without a group. Minibatches
    /// are shared out by [shards](super::Builder::shards).
    ///
    /// Owner 0 decides for all: it takes statistics and draws the first dictionary, its clock is
    /// that of the run, and it alone opens, writes and reads checkpoints; how many owners there are
    /// is no part of them, so a run may go on with more or fewer. An observer or token may end the
    /// run at any owner, and each owner's observer is told of all that happens there.
    ///
    /// A group waits on the calling thread, so call [`finish`](Self::finish) on a thread that is
    /// not of a pool that other owners need.
    ///
    /// ```
    /// use dbksvd::DbKsvd;
    /// use dbksvd::group::Threads;
    /// use dbksvd::synthetic::Planted;
    ///
    /// let data = Planted::new(16, 24, 2, 800).generate::<f32>()?;
    /// let learner = DbKsvd::builder(24, 2).epochs(3).shards(4).build()?;
    /// let alone = learner.run(&data.samples).finish()?;
    /// let [first, second] = Threads::group();
    /// let (learner, samples) = (&learner, &data.samples);
    /// let learn = move |owner: Threads| learner.run(samples).group(&owner).finish();
    /// let [first, second] = std::thread::scope(|scope| {
    ///     [first, second].map(|owner| scope.spawn(move || learn(owner))).map(|owner| owner.join())
    /// });
    /// assert_eq!(first.unwrap()?.model, alone.model);
    /// assert_eq!(second.unwrap()?.model, alone.model);
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    pub fn group(mut self, group: &'a dyn Group) -> Self {
        self.group = group;
        self
    }

    /// Learns until the run ends.
    ///
    /// # Errors
    /// What is wrong before the first step: [`Error::NoSamples`] for an empty source,
    /// [`Error::Argument`] if k > d or a held-out part cannot be had, [`Error::Dimension`] if a
    /// given dictionary, mean or held-out source is of another dimension than the samples,
    /// [`Error::NotFinite`] or [`Error::Source`] for samples that the dictionary begins with,
    /// [`Error::Rounding`] for samples that are stored in more digits than they can do without,
    /// [`Error::NormLimit`] for a norm limit that most samples lie beyond,
    /// [`Error::NothingLearned`] if samples are to be clipped or dropped and all are zero,
    /// [`Error::Checkpoint`] if the directory cannot be used or its checkpoint is of another run,
    /// [`Error::Backend`] if memory cannot be had, or
    /// ([`Group`](crate::error::BackendError::Group)) naming the owner of a [group](Self::group) at
    /// which something failed or that does not make the same run,
    /// [`Error::Argument`] for an updater that cannot learn from samples that several owners hold.
    /// What fails later ends the run, is told by
    /// [`Fit::failure`], and loses nothing; but a backend that fails within a step leaves no
    /// dictionary that could be trusted: that is an error here as well, and the newest checkpoint
    /// the place to go on from.
    pub fn finish(self) -> Result<Fit<B::Scalar>, Error> {
        let team = Team::of(self.group);
        let fit = self.finish_with(team);
        if let Err(error) = &fit {
            team.leave(error);
        }
        fit
    }

    fn finish_with(self, team: Team<'a>) -> Result<Fit<B::Scalar>, Error> {
        let sources = self.sources()?;
        let run = Run {
            learner: self.learner,
            source: sources.learned(),
            held_out: sources.held_out(),
            // Shortens the lifetime of the trait object, which only a coercion does.
            observer: self.observer.map(|observer| observer as &mut dyn Observer<B::Scalar>),
            token: self.token,
            group: self.group,
            checkpoints: self.checkpoints,
        };
        run.learn(team)
    }

    /// What is learned from, and what is measured on.
    pub(super) fn sources(&self) -> Result<Sources<'a, B::Scalar>, Error> {
        let Self { learner, source, held_out, .. } = *self;
        let Some(part) = &learner.config.held_out else {
            return Ok(Sources::Given { source, held_out });
        };
        if held_out.is_some() {
            let (found, expected) = ("a part of the source and a source", "one of them");
            return Err(Error::argument("held_out", found, expected));
        }
        if source.is_empty() {
            return Err(Error::NoSamples { argument: "source" });
        }
        let (learned, held_out) = split(source, part, learner.config.settings.seed)?;
        Ok(Sources::Split { learned, held_out })
    }

    /// Learns from all of the source.
    pub(super) fn learn(mut self, team: Team<'a>) -> Result<Fit<B::Scalar>, Error> {
        let start = Instant::now();
        team.agree(self.check(team))?;
        let begun = if team.leads() { Some(self.begin(start)) } else { None };
        let Self { learner, source, held_out, .. } = self;
        let Begun { trainer, run_state, checkpoints } = match begun {
            Some(begun) if team.is_alone() => begun?,
            begun => begin_together(learner, team, begun, start)?,
        };
        let evaluator = match held_out {
            None => None,
            Some(samples) => Some(HeldOutEvaluator::new(&learner.config, samples, &trainer)?),
        };
        let settings = &learner.config.settings;
        let schedule = Schedule {
            source,
            minibatch: settings.minibatch_of(source.len()),
            seed: settings.seed,
            epochs: settings.epochs,
            cut: settings.cut(source.dim(), team),
        };
        let driver = Driver {
            learner,
            schedule,
            trainer,
            run_state,
            evaluator,
            observer: PanicCatching::new(self.observer),
            token: self.token,
            team,
            is_whole: true,
            checkpoints,
        };
        driver.drive()
    }

    /// Refuses what can be refused before samples are read. Gives all in which the runs of several
    /// owners must be alike.
    fn check(&self, team: Team<'_>) -> Result<Parameters, Error> {
        let Self { learner, source, held_out, .. } = *self;
        let config = &learner.config;
        learner.check_source(source)?;
        if let Some(held_out) = held_out {
            if held_out.is_empty() {
                return Err(Error::NoSamples { argument: "held_out" });
            }
            let (found, expected) = (held_out.dim(), source.dim());
            if found != expected {
                return Err(Error::Dimension { argument: "held_out", found, expected });
            }
        }
        if team.is_alone() {
            return Ok(Parameters::of("one owner"));
        }
        for atoms in config.settings.sizes() {
            config.updater.check_shared(&config.settings.shape_of(source.dim(), atoms))?;
        }
        let settings = &config.settings;
        Ok(identity::of(config, source, held_out)?
            .with("instructions", config.backend.instructions())
            .with("shares_products", team.group().shares_products())
            .with("target_fvu", settings.target_fvu)
            .with("plateau.window", settings.plateau.map(|plateau| plateau.window))
            .with("plateau.least", settings.plateau.map(|plateau| plateau.least)))
    }

    /// Takes the run up, or begins it: what only one owner does.
    fn begin(&mut self, start: Instant) -> Result<Begun<B, C, U>, Error> {
        let Self { learner, source, held_out, .. } = *self;
        for source in [Some(source), held_out].into_iter().flatten() {
            check_rounding(source)?;
        }
        let open = |(plan, store)| {
            OpenCheckpoints::open(plan, store, || identity::of(&learner.config, source, held_out))
        };
        let checkpoints = self.checkpoints.take().map(open).transpose()?;
        let sizes = learner.config.settings.sizes();
        let saved = match &checkpoints {
            None => None,
            Some(checkpoints) => checkpoints.load(source.dim(), &sizes)?,
        };
        let (trainer, run_state) = match saved {
            Some(saved) => (saved.trainer(&learner.config)?, saved.into_state(start)),
            None => {
                let run_state = RunState::new(source.dim(), start);
                (Trainer::new(&learner.config, source)?, run_state)
            }
        };
        Ok(Begun { trainer, run_state, checkpoints })
    }
}

/// A run that has begun, or was taken up.
struct Begun<B: Backend, C: SparseCoder<B>, U: DictionaryUpdater<B>> {
    trainer: Trainer<B, C, U>,
    run_state: RunState<B::Scalar>,
    checkpoints: Option<OpenCheckpoints<B::Scalar>>,
}

/// The run that one owner has begun, for all of them.
fn begin_together<B, C, U>(
    learner: &DbKsvd<B, C, U>,
    team: Team<'_>,
    begun: Option<Result<Begun<B, C, U>, Error>>,
    start: Instant,
) -> Result<Begun<B, C, U>, Error>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let config = &learner.config;
    let mut message = Message::new();
    let begun = begun.transpose().and_then(|begun| {
        if let Some(Begun { trainer, run_state, .. }) = &begun {
            message.put(u8::from(run_state.resumed_from.is_some()));
            SavedRun::of(config, trainer, run_state)?.put_into(&mut message);
        }
        Ok(begun)
    });
    let (begun, own) = match begun {
        Ok(begun) => (begun, Ok(message)),
        Err(error) => (None, Err(error)),
    };
    let told = team.gather(own)?;
    if let Some(begun) = begun {
        return Ok(begun);
    }
    let mut reading = Reading::new(told.first().map_or(&[], Vec::as_slice));
    let broken = |reason| of_owner(0, reason);
    let is_resumed = reading.take::<u8>().map_err(broken)? != 0;
    let saved = SavedRun::take_from(&mut reading).map_err(broken)?;
    let trainer = saved.trainer(config)?;
    let mut run_state = saved.into_state(start);
    run_state.resumed_from = run_state.resumed_from.filter(|_| is_resumed);
    Ok(Begun { trainer, run_state, checkpoints: None })
}

/// The samples of a run.
pub(super) enum Sources<'a, T> {
    Given { source: &'a dyn SampleSource<T>, held_out: Option<&'a dyn SampleSource<T>> },
    Split { learned: Part<'a, T>, held_out: Part<'a, T> },
}

type Part<'a, T> = Subset<&'a dyn SampleSource<T>>;

impl<T: Scalar> Sources<'_, T> {
    pub(super) fn learned(&self) -> &dyn SampleSource<T> {
        match self {
            Self::Given { source, .. } => *source,
            Self::Split { learned, .. } => learned,
        }
    }

    pub(super) fn held_out(&self) -> Option<&dyn SampleSource<T>> {
        match self {
            Self::Given { held_out, .. } => *held_out,
            Self::Split { held_out, .. } => Some(held_out),
        }
    }
}
