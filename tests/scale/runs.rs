//! How runs end, what they give, and what observers can do to them.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use dbksvd::error::SourceError;
use dbksvd::faer::Mat;
use dbksvd::learn::{
    EpochReport, Evaluation, Every, Observer, Plateau, Progress, Renewed, Report, Snapshot,
    StopReason, StopToken,
};
use dbksvd::observe::{JsonLines, ProgressBar, Trace};
use dbksvd::source::{HeldOut, SampleSource, Subset, check_read};
use dbksvd::synthetic::{Planted, PlantedData};
use dbksvd::{DbKsvd, Error};

fn planted() -> PlantedData<f32> {
    Planted::new(16, 24, 3, 900).noise(0.05).generate().unwrap()
}

#[test]
fn steps_end_a_run_and_its_schedules() {
    let data = planted();
    let learner = DbKsvd::builder(24, 3).minibatch(100).max_steps(13).build().unwrap();
    let mut done = Vec::new();
    let mut watch = |progress: &Progress| {
        done.push(progress.done);
        ControlFlow::Continue(())
    };
    let fit = learner.run(&data.samples).observer(&mut watch).finish().unwrap();
    assert_eq!((fit.report.stop, fit.report.steps), (StopReason::Steps, 13));
    assert_eq!(fit.report.epochs.len(), 2, "the second is not complete");
    assert_eq!(fit.report.epochs[1].samples, 400);
    assert_eq!(done[12], 1.0);
    // One evaluation when the epoch ended, one when the run did.
    let steps: Vec<u64> = fit.report.evaluations.iter().map(|one| one.step).collect();
    assert_eq!(steps, [9, 13]);
}

#[test]
fn time_ends_a_run_and_its_schedules() {
    let data = planted();
    let time = Duration::from_millis(150);
    let learner = DbKsvd::builder(24, 3).epochs(1_000_000).time_budget(time).build().unwrap();
    let mut done = 0.0;
    let mut watch = |progress: &Progress| {
        assert!(progress.done >= done);
        done = progress.done;
        ControlFlow::Continue(())
    };
    let fit = learner.run(&data.samples).observer(&mut watch).finish().unwrap();
    assert_eq!(fit.report.observer_panic, None);
    assert_eq!(fit.report.stop, StopReason::Time);
    assert!(fit.report.seconds.total >= 0.15 && done > 0.5);
}

#[test]
fn a_target_ends_a_run_and_the_best_is_kept() {
    let data = planted();
    let builder = DbKsvd::builder(24, 3).minibatch(100).epochs(60).evaluate_every(Every::Steps(3));
    let learner = builder.clone().held_out(HeldOut::Share(0.2)).target_fvu(0.1).build().unwrap();
    let fit = learner.run(&data.samples).finish().unwrap();
    let last = *fit.report.evaluations.last().unwrap();
    assert_eq!(fit.report.stop, StopReason::TargetFvu);
    assert!(last.held_out && last.fvu <= 0.1 && last.step == fit.report.steps);
    let best = fit.best.unwrap();
    assert_eq!((best.step, best.fvu, &best.model), (last.step, last.fvu, &fit.model));

    // Without held-out samples the minibatches are what is watched, and there is no best.
    let fit = builder.target_fvu(0.1).build().unwrap().run(&data.samples).finish().unwrap();
    assert_eq!(fit.report.stop, StopReason::TargetFvu);
    assert!(fit.best.is_none() && !fit.report.evaluations[0].held_out);
}

#[test]
fn the_best_is_what_it_says() {
    let data = planted();
    let learner = DbKsvd::builder(24, 3)
        .minibatch(100)
        .epochs(5)
        .evaluate_every(Every::Steps(2))
        .held_out(HeldOut::Range(0..200))
        .build()
        .unwrap();
    let fit = learner.run(&data.samples).finish().unwrap();
    let best = fit.best.unwrap();
    let least = fit.report.evaluations.iter().map(|one| one.fvu).fold(f64::INFINITY, f64::min);
    assert_eq!(best.fvu, least);
    let held_out = data.samples.as_ref().subcols(0, 200);
    let codes = best.model.encode(&dbksvd::coder::BatchOmp::new(), held_out).unwrap();
    let measured = dbksvd::metrics::reconstruction(&best.model, held_out, &codes).unwrap();
    assert!(
        (measured.fvu() - best.fvu).abs() <= 1e-4 * best.fvu,
        "{} {}",
        measured.fvu(),
        best.fvu
    );
}

#[test]
fn held_out_samples_are_never_learned_from() {
    let data = planted();
    // Samples that would be seen at once: a direction of their own.
    let mut samples = Mat::<f32>::zeros(17, 900);
    samples.as_mut().submatrix_mut(0, 0, 16, 900).copy_from(&data.samples);
    for i in 300..330 {
        samples.col_as_slice_mut(i).fill(0.0);
        samples[(16, i)] = 100.0;
    }
    let learner = DbKsvd::builder(24, 3).held_out(HeldOut::Range(300..330)).epochs(3);
    let fit = learner.build().unwrap().run(&samples).finish().unwrap();
    let last_row = fit.model.dictionary().as_mat().row(16).iter().map(|x| x.abs()).sum::<f32>();
    assert_eq!(last_row, 0.0);
    assert_eq!(fit.report.epochs[0].samples, 870);
    assert!(fit.report.evaluations[0].samples == 30 && fit.report.evaluations[0].fvu >= 0.99);
}

#[test]
fn a_plateau_ends_a_run() {
    let data = planted();
    let plateau = Plateau { window: 3, least: 0.02 };
    let learner = DbKsvd::builder(24, 3).epochs(500).plateau(plateau).build().unwrap();
    let fit = learner.run(&data.samples).finish().unwrap();
    assert_eq!(fit.report.stop, StopReason::Plateau);
    let errors: Vec<f64> = fit.report.evaluations.iter().map(|one| one.fvu).collect();
    let (before, recent) = errors.split_at(errors.len() - 3);
    let best = |of: &[f64]| of.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best(recent) >= 0.98 * best(before), "{errors:?}");
    assert!(fit.report.epochs.len() < 500);
}

#[test]
fn a_token_ends_a_run_after_its_step() {
    let (data, token) = (planted(), StopToken::new());
    let learner = DbKsvd::builder(24, 3).minibatch(100).build().unwrap();
    let other = token.clone();
    let mut watch = |progress: &Progress| {
        if progress.total_steps == 7 {
            other.stop();
        }
        ControlFlow::Continue(())
    };
    let run = learner.run(&data.samples).observer(&mut watch).stop_token(token.clone());
    let fit = run.finish().unwrap();
    assert_eq!((fit.report.stop, fit.report.steps), (StopReason::Token, 7));
    assert!(token.is_stopped());
    // Stopped before it begins, a run gives the dictionary that it would have begun with.
    let fit = learner.run(&data.samples).stop_token(token).finish().unwrap();
    assert_eq!((fit.report.steps, fit.report.evaluations.len()), (0, 0));
}

/// Fails from one reading on.
struct Failing<'a> {
    samples: &'a Mat<f32>,
    reads: std::sync::atomic::AtomicUsize,
    last: usize,
}

impl SampleSource<f32> for Failing<'_> {
    fn dim(&self) -> usize {
        self.samples.nrows()
    }

    fn len(&self) -> usize {
        self.samples.ncols()
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.samples.ncols(), self.samples.nrows())?;
        if self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= self.last {
            return Err(SourceError::Other("the disk is gone".into()));
        }
        self.samples.read(range, into)
    }

    fn run_length(&self) -> usize {
        100
    }
}

#[test]
fn a_failure_under_way_loses_nothing() {
    let data = planted();
    let learner = DbKsvd::builder(24, 3).minibatch(100).build().unwrap();
    let source = Failing { samples: &data.samples, reads: 0.into(), last: 24 + 5 };
    let fit = learner.run(&source).finish().unwrap();
    assert_eq!((fit.report.stop, fit.report.steps), (StopReason::Failed, 5));
    assert!(matches!(&fit.failure, Some(Error::Source(SourceError::Other(_)))));
    // The dictionary is that of the five steps before.
    let mut five = |progress: &Progress| match progress.total_steps {
        5 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let whole = Failing { samples: &data.samples, reads: 0.into(), last: usize::MAX };
    assert_eq!(learner.run(&whole).observer(&mut five).finish().unwrap().model, fit.model);
    assert!(matches!(fit.into_result(), Err(Error::Source(_))));
    // So is a bad sample, named as the source counts it, whatever is held out.
    let mut samples = data.samples.clone();
    samples[(3, 700)] = f32::NAN;
    let learner = DbKsvd::builder(24, 3)
        .initialisation(dbksvd::Initialisation::Gaussian)
        .held_out(HeldOut::Range(100..200))
        .build()
        .unwrap();
    let fit = learner.run(&samples).finish().unwrap();
    assert!(matches!(fit.failure, Some(Error::NotFinite { sample: 700, coordinate: 3, .. })));
}

/// What a panic in a source's code does: the same as without a thread between.
struct Panicking;

impl SampleSource<f32> for Panicking {
    fn dim(&self) -> usize {
        2
    }

    fn len(&self) -> usize {
        100
    }

    fn read(&self, _: Range<usize>, _: &mut [f32]) -> Result<(), SourceError> {
        panic!("a bug in the source")
    }
}

#[test]
#[should_panic(expected = "a bug in the source")]
fn a_panic_of_a_source_reaches_the_caller() {
    let initialisation = dbksvd::Initialisation::Gaussian;
    let learner = DbKsvd::builder(4, 1).initialisation(initialisation).build().unwrap();
    let _ = learner.run(&Panicking).finish();
}

#[derive(Default)]
struct Everything {
    events: Vec<String>,
}

impl Observer<f32> for Everything {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        self.events.push(format!("step {}", progress.total_steps));
        ControlFlow::Continue(())
    }

    fn on_renewal(&mut self, renewed: &Renewed) -> ControlFlow<()> {
        self.events.push(format!("renewal {}", renewed.replaced + renewed.merged > 0));
        ControlFlow::Continue(())
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, f32>) -> ControlFlow<()> {
        self.events.push(format!("epoch {}", epoch.epoch));
        ControlFlow::Continue(())
    }

    fn on_evaluation(&mut self, one: &Evaluation, snapshot: &Snapshot<'_, f32>) -> ControlFlow<()> {
        assert_eq!(snapshot.model().unwrap().atoms(), 24);
        self.events.push(format!("evaluation {} {}", one.step, one.epoch));
        ControlFlow::Continue(())
    }

    fn on_stop(&mut self, report: &Report) {
        self.events.push(format!("stop {}", report.stop.name()));
    }
}

#[test]
fn observers_are_told_in_order() {
    let data = planted();
    // An atom that nothing uses, among twice as many as were planted, is renewed.
    let learner = DbKsvd::builder(24, 3).minibatch(450).epochs(2).build().unwrap();
    let mut one = Everything::default();
    let mut pair = (Everything::default(), &mut |_: &Progress| ControlFlow::Continue(()));
    learner.run(&data.samples).observer(&mut one).finish().unwrap();
    learner.run(&data.samples).observer(&mut pair).finish().unwrap();
    assert_eq!(one.events, pair.0.events);
    one.events.retain(|event| !event.starts_with("renewal"));
    let expected = [
        "step 1",
        "step 2",
        "epoch 1",
        "evaluation 2 1",
        "step 3",
        "step 4",
        "epoch 2",
        "evaluation 4 2",
        "stop completed",
    ];
    assert_eq!(one.events, expected);
}

#[test]
fn a_panicking_observer_changes_nothing_but_is_not_called_again() {
    let data = planted();
    let learner = DbKsvd::builder(24, 3).minibatch(100).epochs(3).build().unwrap();
    let expected = learner.run(&data.samples).finish().unwrap();
    let calls = RefCell::new(0);
    let mut panics = |progress: &Progress| {
        *calls.borrow_mut() += 1;
        assert!(progress.total_steps < 4, "step {}", progress.total_steps);
        ControlFlow::Continue(())
    };
    let fit = learner.run(&data.samples).observer(&mut panics).finish().unwrap();
    assert_eq!(fit.model, expected.model);
    assert_eq!(*calls.borrow(), 4);
    assert_eq!(fit.report.observer_panic.as_deref(), Some("step 4"));
}

#[test]
fn the_log_has_a_line_for_each_event() {
    let data = planted();
    let learner = DbKsvd::builder(24, 3)
        .minibatch(100)
        .epochs(2)
        .held_out(HeldOut::Share(0.1))
        .build()
        .unwrap();
    let log = JsonLines::new(Vec::new()).every_steps(6);
    let mut observers = ((log, ProgressBar::hidden()), Trace);
    learner.run(&data.samples).observer(&mut observers).finish().unwrap();
    let ((log, _), _) = observers;
    let text = String::from_utf8(log.finish().unwrap()).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!((count("step"), count("epoch"), count("evaluation"), count("stop")), (3, 2, 2, 1));
    let last = &lines[lines.len() - 1];
    assert_eq!((last["reason"].as_str(), last["steps"].as_u64()), (Some("completed"), Some(18)));
    assert!(lines[0]["fvu"].is_f64());
}

struct Broken;

impl std::io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_log_that_cannot_be_written_says_so_in_the_end() {
    let data = planted();
    let mut log = JsonLines::new(Broken);
    let learner = DbKsvd::builder(24, 3).epochs(1).build().unwrap();
    let fit = learner.run(&data.samples).observer(&mut log).finish().unwrap();
    assert_eq!(fit.report.stop, StopReason::Completed);
    assert!(log.finish().is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull));
}

#[test]
fn reading_by_parts_changes_nothing() {
    let data = planted();
    let learner = DbKsvd::builder(24, 3).epochs(2).build().unwrap();
    let whole = Subset::new::<f32>(&data.samples, vec![0..450, 450..900]).unwrap();
    let (one, _) = learner.fit(&data.samples).unwrap();
    let (other, _) = learner.fit(&whole).unwrap();
    assert_eq!(one, other);
}

#[test]
fn wrong_stop_rules_are_named() {
    let builder = || DbKsvd::builder(24, 3);
    let cases = [
        (builder().max_steps(0).build(), "max_steps"),
        (builder().time_budget(Duration::ZERO).build(), "time_budget"),
        (builder().target_fvu(f64::NAN).build(), "target_fvu"),
        (builder().target_fvu(-0.1).build(), "target_fvu"),
        (builder().plateau(Plateau { window: 0, least: 0.1 }).build(), "plateau.window"),
        (builder().plateau(Plateau { window: 2, least: 1.0 }).build(), "plateau.least"),
        (builder().evaluate_every(Every::Steps(0)).build(), "evaluate_every"),
        (builder().start_at(1.0).build(), "start_at"),
        (builder().outliers(dbksvd::Outliers::Clip(0.0)).build(), "outliers"),
        (builder().outliers(dbksvd::Outliers::Drop(f64::NAN)).build(), "outliers"),
        (builder().statistics_samples(0).build(), "statistics_samples"),
    ];
    for (result, name) in cases {
        match result {
            Err(Error::Argument { argument, .. }) => assert_eq!(argument, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let data = planted();
    let both = builder().held_out(HeldOut::Share(0.1)).build().unwrap();
    let result = both.run(&data.samples).held_out(&data.samples).finish();
    assert!(matches!(result, Err(Error::Argument { argument: "held_out", .. })));
    let learner = builder().build().unwrap();
    let narrow = Mat::<f32>::zeros(15, 3);
    let result = learner.run(&data.samples).held_out(&narrow).finish();
    assert!(matches!(result, Err(Error::Dimension { argument: "held_out", .. })));
    let empty = Mat::<f32>::zeros(16, 0);
    let result = learner.run(&data.samples).held_out(&empty).finish();
    assert!(matches!(result, Err(Error::NoSamples { argument: "held_out" })));
}
