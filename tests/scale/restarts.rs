//! Several runs of which the best is kept.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};

use dbksvd::error::{CheckpointError, SourceError};
use dbksvd::faer::Mat;
use dbksvd::learn::{
    BestOf, Checkpoints, Fit, Observer, Progress, Report, Resume, StopReason, StopToken,
};
use dbksvd::source::{HeldOut, SampleSource, split};
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Error};
use tempfile::TempDir;

const SEED: u64 = 40;

fn data() -> Mat<f32> {
    Planted::new(16, 24, 3, 900).noise(0.05).generate().unwrap().samples
}

/// 15 steps a run with a fifth held out, 18 without.
fn learner(seed: u64, held_out: Option<HeldOut>) -> DbKsvd {
    let builder = DbKsvd::builder(24, 3).seed(seed).epochs(3).minibatch(150);
    held_out.map_or(builder.clone(), |part| builder.held_out(part)).build().unwrap()
}

fn errors(best: &BestOf<f32>) -> Vec<f64> {
    best.runs.iter().map(|run| run.fvu.unwrap()).collect()
}

/// The place of the least.
fn least(errors: &[f64]) -> usize {
    let order = |&a: &usize, &b: &usize| errors[a].total_cmp(&errors[b]);
    (0..errors.len()).min_by(order).unwrap()
}

#[test]
fn each_run_is_that_of_its_seed_and_the_best_is_kept() {
    let data = data();
    let part = HeldOut::Range(100..300);
    let best = learner(SEED, Some(part.clone())).run(&data).best_of(5).unwrap();
    let alone: Vec<Fit<f32>> = (SEED..SEED + 5)
        .map(|seed| learner(seed, Some(part.clone())).run(&data).finish().unwrap())
        .collect();
    let expected: Vec<f64> = alone.iter().map(|fit| fit.best.as_ref().unwrap().fvu).collect();
    assert_eq!(errors(&best), expected);
    assert_eq!(best.index, least(&expected));
    assert_eq!(best.fit.model, alone[best.index].model);
    assert_eq!(best.fit.best, alone[best.index].best);
    let seeds: Vec<u64> = best.runs.iter().map(|run| run.seed).collect();
    assert_eq!(seeds, [40, 41, 42, 43, 44]);
    for run in &best.runs {
        assert!(run.failure.is_none());
        assert_eq!(run.report.as_ref().unwrap().stop, StopReason::Completed);
    }
}

#[test]
fn a_share_held_out_is_the_same_for_all() {
    let data = data();
    let share = HeldOut::Share(0.2);
    let best = learner(SEED, Some(share.clone())).run(&data).best_of(3).unwrap();
    let (learned, held_out) = split(&data, &share, SEED).unwrap();
    let alone = |seed| {
        let fit = learner(seed, None).run(&learned).held_out(&held_out).finish().unwrap();
        fit.best.unwrap().fvu
    };
    assert_eq!(errors(&best), (SEED..SEED + 3).map(alone).collect::<Vec<f64>>());
}

#[test]
fn without_held_out_samples_the_last_evaluation_counts() {
    let data = data();
    let best = learner(SEED, None).run(&data).best_of(3).unwrap();
    let last = |report: &Report| report.evaluations.last().unwrap().fvu;
    let expected: Vec<f64> =
        best.runs.iter().map(|run| last(run.report.as_ref().unwrap())).collect();
    assert_eq!(errors(&best), expected);
    assert_eq!(best.index, least(&expected));
    assert!(best.fit.best.is_none());
}

#[test]
fn no_runs_are_an_error() {
    match learner(SEED, None).run(&data()).best_of(0) {
        Err(Error::Argument { argument, found, .. }) => {
            assert_eq!((argument, found.as_str()), ("runs", "0"));
        }
        other => panic!("{other:?}"),
    }
    // What is wrong with every run is told.
    let empty = Mat::<f32>::zeros(16, 0);
    let error = learner(SEED, None).run(&empty).best_of(3).unwrap_err();
    assert!(matches!(error, Error::NoSamples { argument: "source" }), "{error}");
}

/// Samples whose reading fails while it is broken.
struct Broken<'a> {
    samples: Mat<f32>,
    is_broken: &'a AtomicBool,
}

impl SampleSource<f32> for Broken<'_> {
    fn dim(&self) -> usize {
        self.samples.nrows()
    }

    fn len(&self) -> usize {
        self.samples.ncols()
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(SourceError::Other("the disk is gone".into()));
        }
        self.samples.read(range, into)
    }
}

/// Counts runs, and acts at a step of one of them.
struct At<F> {
    run: usize,
    step: u64,
    act: F,
    ended: usize,
}

impl<F: FnMut(bool) -> ControlFlow<()>> Observer<f32> for At<F> {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        if (self.ended, progress.total_steps) == (self.run, self.step) {
            return (self.act)(true);
        }
        ControlFlow::Continue(())
    }

    fn on_stop(&mut self, _: &Report) {
        self.ended += 1;
        let _ = (self.act)(false);
    }
}

#[test]
fn a_run_that_fails_does_not_lose_the_others() {
    let is_broken = AtomicBool::new(false);
    let source = Broken { samples: data(), is_broken: &is_broken };
    let act = |broken| {
        is_broken.store(broken, Ordering::SeqCst);
        ControlFlow::Continue(())
    };
    let mut observer = At { run: 1, step: 7, act, ended: 0 };
    let best = learner(SEED, None).run(&source).observer(&mut observer).best_of(3).unwrap();
    assert_eq!(best.runs.len(), 3);
    let failed = &best.runs[1];
    assert!(matches!(failed.failure, Some(Error::Source(SourceError::Other(_)))));
    assert_eq!(failed.report.as_ref().unwrap().stop, StopReason::Failed);
    assert!(best.index != 1 && best.fit.failure.is_none());
    let whole = learner(SEED, None).run(&source).best_of(3).unwrap();
    for run in [0, 2] {
        assert_eq!(best.runs[run].fvu, whole.runs[run].fvu);
    }

    // If all fail, the first that left a dictionary is not lost either.
    let act = |broken| {
        if broken {
            is_broken.store(true, Ordering::SeqCst);
        }
        ControlFlow::Continue(())
    };
    let mut observer = At { run: 0, step: 7, act, ended: 0 };
    let best = learner(SEED, None).run(&source).observer(&mut observer).best_of(3).unwrap();
    assert_eq!((best.index, best.runs.len()), (0, 3));
    assert!(best.fit.failure.is_some() && best.fit.report.steps >= 7);
    assert!(best.runs[2].report.is_none() && best.runs[2].failure.is_some());
    // Without any dictionary there is the error.
    let error = learner(SEED, None).run(&source).best_of(2).unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
}

#[test]
fn a_token_ends_all_and_an_observer_one() {
    let (data, token) = (data(), StopToken::new());
    let stop = token.clone();
    let act = |due| {
        if due {
            stop.stop();
        }
        ControlFlow::Continue(())
    };
    let mut observer = At { run: 1, step: 4, act, ended: 0 };
    let run = learner(SEED, None);
    let best = run.run(&data).observer(&mut observer).stop_token(token).best_of(5).unwrap();
    assert_eq!(best.runs.len(), 2);
    let report = best.runs[1].report.as_ref().unwrap();
    assert_eq!((report.stop, report.steps), (StopReason::Token, 4));
    assert_eq!(best.index, 0, "18 steps are better than 4");

    let act = |due| if due { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let mut observer = At { run: 1, step: 4, act, ended: 0 };
    let best = learner(SEED, None).run(&data).observer(&mut observer).best_of(3).unwrap();
    let steps: Vec<u64> = best.runs.iter().map(|run| run.report.as_ref().unwrap().steps).collect();
    assert_eq!(steps, [18, 4, 18]);
}

#[test]
fn a_target_that_is_reached_is_enough() {
    let data = data();
    let learner = DbKsvd::builder(24, 3).epochs(3).minibatch(150).target_fvu(0.9).build().unwrap();
    let best = learner.run(&data).best_of(4).unwrap();
    assert_eq!((best.runs.len(), best.fit.report.stop), (1, StopReason::TargetFvu));
}

#[test]
fn an_observer_that_panics_is_not_called_again() {
    let data = data();
    let mut calls = 0;
    let mut observer = |_: &Progress| -> ControlFlow<()> {
        calls += 1;
        panic!("no more")
    };
    let best = learner(SEED, None).run(&data).observer(&mut observer).best_of(3).unwrap();
    assert_eq!(calls, 1);
    let told = |run: usize| best.runs[run].report.as_ref().unwrap().observer_panic.clone();
    assert_eq!((told(0).as_deref(), told(1), told(2)), (Some("no more"), None, None));
}

#[test]
fn runs_that_were_interrupted_go_on_where_they_were() {
    let (data, directory) = (data(), TempDir::new().unwrap());
    let part = Some(HeldOut::Share(0.2));
    let learner = learner(SEED, part);
    let whole = learner.run(&data).best_of(3).unwrap();
    let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    let token = StopToken::new();
    let stop = token.clone();
    let act = |due| {
        if due {
            stop.stop();
        }
        ControlFlow::Continue(())
    };
    let mut observer = At { run: 1, step: 4, act, ended: 0 };
    let run = learner.run(&data).observer(&mut observer).stop_token(token);
    let first = run.checkpoints(checkpoints.clone()).best_of(3).unwrap();
    assert_eq!(first.runs.len(), 2);
    assert!(directory.path().join("run-001").is_dir());
    let second = learner.run(&data).checkpoints(checkpoints.clone()).best_of(3).unwrap();
    assert_eq!(errors(&second), errors(&whole));
    assert_eq!((second.index, &second.fit.model), (whole.index, &whole.fit.model));
    let resumed = |run: usize| second.runs[run].report.as_ref().unwrap().resumed_from;
    assert_eq!((resumed(1), resumed(2)), (Some(4), None));
    assert!(resumed(0).is_some());
    // `Always` is about the first run, `Never` about none.
    let other = TempDir::new().unwrap();
    let always = Checkpoints::new(other.path()).resume(Resume::Always);
    let error = learner.run(&data).checkpoints(always).best_of(1).unwrap_err();
    assert!(matches!(error, Error::Checkpoint(CheckpointError::Missing { .. })), "{error}");
    let never = Checkpoints::new(directory.path());
    let error = learner.run(&data).checkpoints(never).best_of(1).unwrap_err();
    assert!(matches!(error, Error::Checkpoint(CheckpointError::Occupied { .. })), "{error}");
}
