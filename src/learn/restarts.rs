//! Several runs by different seeds, of which the best is kept.

use super::fit::Fit;
use super::report::Report;
use super::run::Run;
use super::team::Team;
use super::{StopReason, StopToken};
use crate::Scalar;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::group::Solo;
use crate::updater::DictionaryUpdater;

/// What [`Run::best_of`] gives.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::source::HeldOut;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 1000).noise(0.1).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(2).held_out(HeldOut::Share(0.1)).build()?;
/// let best = learner.run(&data.samples).best_of(3)?;
/// println!("seed {} did best", best.runs[best.index].seed);
/// assert_eq!(best.runs.len(), 3);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct BestOf<T: Scalar> {
    /// The run that did best, whole.
    pub fit: Fit<T>,
    /// Its place in `runs`.
    pub index: usize,
    /// Every run that was begun, in order.
    pub runs: Vec<Restart>,
}

/// One of several runs, without its dictionary.
#[derive(Debug)]
#[non_exhaustive]
pub struct Restart {
    /// Its seed.
    pub seed: u64,
    /// What it is judged by, of samples [within](crate::Preprocessing::is_within) the norm limit
    /// where there is one: the least FVU on held-out samples or, without any, that of the last
    /// evaluation; `None` if it ended before one.
    pub fvu: Option<f64>,
    /// Its course; `None` if it could not begin, or left nothing to be trusted.
    pub report: Option<Report>,
    /// What failed. For the run that is kept, [`Fit::failure`] says so.
    pub failure: Option<Error>,
}

impl<B, C, U> Run<'_, B, C, U>
where
    B: Backend + Clone,
    C: SparseCoder<B> + Clone,
    U: DictionaryUpdater<B> + Clone,
{
    /// Learns `runs` times, one run after the other, and keeps the one with the least FVU: of its
    /// best dictionary on held-out samples or, without any, of its last evaluation; of the samples
    /// within the norm limit where there is one. Of equal ones the first is kept.
    ///
    /// With the learner's seed s, the runs have the seeds s, s + 1, s + 2, …; the samples that are
    /// held out are the same for all, those of s, so the first run is that of
    /// [`finish`](Run::finish). In memory there are the run at hand and the best so far.
    ///
    /// - A run that fails does not end the others. One that failed is kept only if all did.
    /// - A [`StopToken`] ends the run at hand, and no other begins; nor does one after a run that
    ///   reached [`target_fvu`](super::Builder::target_fvu). An observer that breaks ends the run
    ///   that it is told of, no more. Runs that were ended are judged as all others.
    /// - One observer is told of all runs; `on_stop` comes at the end of each.
    /// - Limits of time and steps are for each run.
    /// - Checkpoints go to directories `run-000`, `run-001`, … of the one given. A job that is
    ///   started again with `learn::Resume` does over only what is missing; `Always` asks for
    ///   checkpoints of the first run.
    ///
    /// ```
    /// use dbksvd::DbKsvd;
    /// use dbksvd::source::HeldOut;
    /// use dbksvd::synthetic::Planted;
    ///
    /// let data = Planted::new(16, 24, 3, 800).generate::<f32>()?;
    /// let learner = DbKsvd::builder(24, 3).epochs(5).held_out(HeldOut::Share(0.2)).build()?;
    /// let best = learner.run(&data.samples).best_of(3)?;
    /// let errors: Vec<f64> = best.runs.iter().filter_map(|run| run.fvu).collect();
    /// assert!(errors.iter().all(|&fvu| errors[best.index] <= fvu));
    /// println!("seed {} of {errors:?}", best.runs[best.index].seed);
    /// let model = best.fit.model;
    /// # assert_eq!(model.atoms(), 24);
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`], naming `runs`, for none, or `best_of` on a [group](Run::group); what
    /// [`finish`](Run::finish) gives for held-out samples that cannot be had; and the error of the
    /// first run if every one failed without leaving a dictionary.
    pub fn best_of(self, runs: usize) -> Result<BestOf<B::Scalar>, Error> {
        if self.group.ranks() > 1 {
            let found = format!("runs on a group of {} owners", self.group.ranks());
            return Err(Error::argument("best_of", found, "runs of one owner, or one run"));
        }
        let sources = self.sources()?;
        let Self { learner, mut observer, token, checkpoints, .. } = self;
        let mut race = BestOfRuns { best: None, runs: Vec::new() };
        for number in 0..runs {
            let mut own = learner.clone();
            let seed = learner.config.settings.seed.wrapping_add(number as u64);
            own.config.settings.seed = seed;
            let run = Run {
                learner: &own,
                source: sources.learned(),
                held_out: sources.held_out(),
                observer: match &mut observer {
                    Some(observer) => Some(&mut **observer),
                    None => None,
                },
                token: token.clone(),
                group: &Solo,
                checkpoints: checkpoints.as_ref().map(|(all, open)| (all.of_run(number), *open)),
            };
            match run.learn(Team::alone()) {
                Err(error) => race.lost(seed, error),
                Ok(fit) => {
                    if fit.report.observer_panic.is_some() {
                        observer = None;
                    }
                    let is_reached = fit.report.stop == StopReason::TargetFvu;
                    race.enter(seed, fit);
                    if is_reached {
                        break;
                    }
                }
            }
            if token.as_ref().is_some_and(StopToken::is_stopped) {
                break;
            }
        }
        race.end()
    }
}

/// The runs so far.
struct BestOfRuns<T: Scalar> {
    best: Option<(usize, Fit<T>)>,
    runs: Vec<Restart>,
}

impl<T: Scalar> BestOfRuns<T> {
    /// A run of which nothing is left.
    fn lost(&mut self, seed: u64, error: Error) {
        self.runs.push(Restart { seed, fvu: None, report: None, failure: Some(error) });
    }

    /// A run that gave a dictionary.
    fn enter(&mut self, seed: u64, mut fit: Fit<T>) {
        let last = fit.report.evaluations.last().map(|evaluation| evaluation.fvu_within);
        let fvu = fit.best.as_ref().map(|best| best.fvu_within).or(last);
        let index = self.runs.len();
        self.runs.push(Restart { seed, fvu, report: Some(fit.report.clone()), failure: None });
        let rank = |index: usize, fit: &Fit<T>| {
            let fvu = self.runs[index].fvu.filter(|fvu| !fvu.is_nan());
            (fit.failure.is_some(), fvu.unwrap_or(f64::INFINITY))
        };
        if self.best.as_ref().is_none_or(|(at, best)| rank(index, &fit) < rank(*at, best)) {
            if let Some((at, beaten)) = self.best.replace((index, fit)) {
                self.runs[at].failure = beaten.failure;
            }
        } else {
            self.runs[index].failure = fit.failure.take();
        }
    }

    fn end(mut self) -> Result<BestOf<T>, Error> {
        if let Some((index, fit)) = self.best {
            return Ok(BestOf { fit, index, runs: self.runs });
        }
        let first = self.runs.first_mut().and_then(|run| run.failure.take());
        Err(first.unwrap_or_else(|| Error::argument("runs", 0, "at least 1")))
    }
}
