//! Runs that end and go on: bit by bit the run that did not end.

use std::fs;
use std::ops::ControlFlow;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dbksvd::coder::BatchOmp;
use dbksvd::error::{CheckpointError, SourceError};
use dbksvd::faer::Mat;
use dbksvd::learn::{
    CheckpointReport, Checkpoints, Every, Fit, Observer, OnFailure, Plateau, Progress, Report,
    Resume, StopReason,
};
use dbksvd::source::{HeldOut, Mask, SampleSource, Subset};
use dbksvd::synthetic::Planted;
use dbksvd::updater::KSvd;
use dbksvd::{DbKsvd, Error, Outliers, Scalar};
use tempfile::TempDir;

fn data<T: Scalar>() -> Mat<T> {
    Planted::new(16, 24, 3, 900).noise(0.05).seed(3).generate::<T>().unwrap().samples
}

type Learner<T> = DbKsvd<dbksvd::Faer<T>>;

type Builder<T> = dbksvd::learn::Builder<dbksvd::Faer<T>, BatchOmp, KSvd>;

/// Everything that a checkpoint must hold is in use: statistics, held-out samples, memory, renewal.
fn builder<T: Scalar>() -> Builder<T> {
    DbKsvd::builder_on(dbksvd::Faer::<T>::default(), 24, 3)
        .epochs(4)
        .minibatch(100)
        .seed(9)
        .center(true)
        .scale(true)
        .outliers(Outliers::Clip(1.5))
        .held_out(HeldOut::Share(0.1))
        .evaluate_every(Every::Steps(5))
}

fn learner<T: Scalar>() -> Learner<T> {
    builder().build().unwrap()
}

fn end_at(last: u64) -> impl FnMut(&Progress) -> ControlFlow<()> {
    move |progress: &Progress| match progress.total_steps {
        step if step >= last => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

/// All that the two runs must have in common: everything but times.
#[track_caller]
fn assert_same<T: Scalar>(one: &Fit<T>, other: &Fit<T>) {
    assert_eq!(one.model, other.model);
    assert_eq!(one.best, other.best);
    let timeless = |report: &Report| {
        let mut report = report.clone();
        report.epochs.iter_mut().for_each(|epoch| epoch.elapsed = 0.0);
        report.evaluations.iter_mut().for_each(|evaluation| evaluation.elapsed = 0.0);
        (report.epochs, report.evaluations, report.steps, report.stop)
    };
    assert_eq!(timeless(&one.report), timeless(&other.report));
}

fn resumed_anywhere<T: Scalar>() {
    let (data, learner) = (data::<T>(), learner::<T>());
    let whole = learner.run(&data).finish().unwrap();
    assert_eq!((whole.report.stop, whole.report.steps), (StopReason::Completed, 36));
    assert!(whole.best.is_some());
    // Figures within the limit are not those of all.
    for epoch in &whole.report.epochs {
        assert!(epoch.within < epoch.samples && epoch.fvu_within != epoch.fvu, "{epoch:?}");
    }
    // Within an epoch, at its end, at an evaluation, before and after the memory sets in.
    for last in [1, 5, 8, 9, 17, 20, 31, 35] {
        let directory = TempDir::new().unwrap();
        let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
        let mut end = end_at(last);
        let first = learner.run(&data).observer(&mut end).checkpoints(checkpoints.clone());
        let first = first.finish().unwrap();
        assert_eq!((first.report.stop, first.report.steps), (StopReason::Observer, last));
        let second = learner.run(&data).checkpoints(checkpoints.clone()).finish().unwrap();
        assert_eq!(second.report.resumed_from, Some(last));
        assert_same(&whole, &second);
        // A run that is complete stays so.
        let third = learner.run(&data).checkpoints(checkpoints).finish().unwrap();
        assert_eq!(third.report.resumed_from, Some(36));
        assert_same(&whole, &third);
    }
}

#[test]
fn a_resumed_run_is_the_run_bit_by_bit() {
    resumed_anywhere::<f32>();
    resumed_anywhere::<f64>();
}

/// A run that ended by a rule of its own gives the same when it is taken up, as long as it has the
/// rule.
#[test]
fn a_run_that_reached_its_end_stays_there() {
    let data = data::<f32>();
    let to_the_end = learner::<f32>();
    let whole = to_the_end.run(&data).finish().unwrap();
    let course = &whole.report.evaluations;
    let target = course[2].fvu_within;
    let reached = course.iter().position(|evaluation| evaluation.fvu_within <= target).unwrap();
    let plateau = Plateau { window: 1, least: 0.9 };
    let cases = [
        (builder().target_fvu(target), StopReason::TargetFvu, course[reached].step),
        (builder().plateau(plateau), StopReason::Plateau, 10),
    ];
    for (builder, stop, last) in cases {
        let learner = builder.build().unwrap();
        let directory = TempDir::new().unwrap();
        let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
        let first = learner.run(&data).checkpoints(checkpoints.clone()).finish().unwrap();
        assert_eq!((first.report.stop, first.report.steps), (stop, last));
        let again = learner.run(&data).checkpoints(checkpoints.clone()).finish().unwrap();
        assert_eq!(again.report.resumed_from, Some(last));
        assert_same(&first, &again);
        // Without the rule that ended it, it goes on to the end of one that never had it.
        let on = to_the_end.run(&data).checkpoints(checkpoints).finish().unwrap();
        assert_same(&whole, &on);
    }
}

/// Samples that cannot be read while `is_gone`.
struct Removable<'a> {
    samples: &'a Mat<f32>,
    is_gone: &'a AtomicBool,
}

impl SampleSource<f32> for Removable<'_> {
    fn dim(&self) -> usize {
        self.samples.nrows()
    }

    fn len(&self) -> usize {
        self.samples.ncols()
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err(SourceError::Other("the disk is gone".into()));
        }
        self.samples.read(range, into)
    }
}

/// The evaluation that failed is made when the run goes on.
#[test]
fn a_failed_evaluation_is_made_up() {
    let (data, is_gone) = (data::<f32>(), AtomicBool::new(false));
    let measured = Planted::new(16, 24, 3, 90).seed(5).generate::<f32>().unwrap().samples;
    let held_out = Removable { samples: &measured, is_gone: &is_gone };
    let builder = DbKsvd::builder(24, 3).epochs(4).minibatch(100).seed(9);
    let learner = builder.evaluate_every(Every::Steps(5)).build().unwrap();
    let whole = learner.run(&data).held_out(&held_out).finish().unwrap();
    let directory = TempDir::new().unwrap();
    let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    let mut fail = |progress: &Progress| {
        is_gone.store(progress.total_steps == 10, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    let run = learner.run(&data).held_out(&held_out).observer(&mut fail);
    let failed = run.checkpoints(checkpoints.clone()).finish().unwrap();
    assert_eq!((failed.report.stop, failed.report.steps), (StopReason::Failed, 10));
    is_gone.store(false, Ordering::Relaxed);
    let again = learner.run(&data).held_out(&held_out).checkpoints(checkpoints).finish().unwrap();
    assert_eq!(again.report.resumed_from, Some(10));
    assert_same(&whole, &again);
}

#[test]
fn the_last_few_are_kept() {
    let (directory, data) = (TempDir::new().unwrap(), data::<f32>());
    let checkpoints = Checkpoints::new(directory.path()).every_steps(5).every(None).keep(3);
    let mut told = Told::default();
    let run = learner().run(&data).observer(&mut told).checkpoints(checkpoints.clone()).finish();
    assert_eq!(run.unwrap().report.steps, 36);
    // The last one is written when the run has ended.
    assert_eq!(told.steps, [5, 10, 15, 20, 25, 30, 35, 36]);
    assert_eq!(files(directory.path()), [30, 35, 36]);

    // What a run leaves that is killed after its last save, before it removes the oldest: with
    // nothing left to save, the next one removes it.
    let path = |step: u64| directory.path().join(format!("checkpoint-{step:012}.safetensors"));
    fs::copy(path(30), path(25)).unwrap();
    let checkpoints = checkpoints.resume(Resume::IfPresent);
    let again = learner().run(&data).checkpoints(checkpoints).finish().unwrap();
    assert_eq!(again.report.resumed_from, Some(36));
    assert_eq!(files(directory.path()), [30, 35, 36]);
}

#[derive(Default)]
struct Told {
    steps: Vec<u64>,
    failures: usize,
}

impl Observer<f32> for Told {
    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        assert!(checkpoint.path.exists());
        self.steps.push(checkpoint.step);
        ControlFlow::Continue(())
    }

    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        assert!(matches!(error, Error::File(_)), "{error}");
        self.failures += 1;
        ControlFlow::Continue(())
    }
}

/// Steps of the checkpoints in a directory, in which there is nothing else but the lock.
fn files(directory: &Path) -> Vec<u64> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut steps: Vec<u64> = names
        .map(|name| name.into_string().unwrap())
        .filter(|name| name != "lock")
        .map(|name| name.replace("checkpoint-", "").replace(".safetensors", "").parse().unwrap())
        .collect();
    steps.sort_unstable();
    steps
}

#[track_caller]
fn checkpoint_error<T: std::fmt::Debug>(result: Result<T, Error>) -> CheckpointError {
    match result {
        Err(Error::Checkpoint(error)) => error,
        other => panic!("expected a checkpoint error, got {other:?}"),
    }
}

#[test]
fn directories_that_cannot_be_used_are_errors_before_learning() {
    let (directory, data, learner) = (TempDir::new().unwrap(), data::<f32>(), learner::<f32>());
    let at = |path: &Path, resume| {
        learner.run(&data).checkpoints(Checkpoints::new(path).resume(resume)).finish()
    };
    let missing = checkpoint_error(at(directory.path(), Resume::Always));
    assert!(matches!(missing, CheckpointError::Missing { .. }), "{missing}");
    at(directory.path(), Resume::Never).unwrap();
    let occupied = checkpoint_error(at(directory.path(), Resume::Never));
    assert!(matches!(occupied, CheckpointError::Occupied { .. }), "{occupied}");
    let lock = fs::File::options().write(true).open(directory.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let in_use = checkpoint_error(at(directory.path(), Resume::Always));
    assert!(matches!(in_use, CheckpointError::InUse { .. }), "{in_use}");
    let file = directory.path().join("lock");
    let no_directory = checkpoint_error(at(&file, Resume::Never));
    assert!(matches!(no_directory, CheckpointError::File(_)), "{no_directory}");
    for (checkpoints, name) in [
        (Checkpoints::new(directory.path()).every_steps(0), "every_steps"),
        (Checkpoints::new(directory.path()).keep(0), "keep"),
    ] {
        match learner.run(&data).checkpoints(checkpoints).finish() {
            Err(Error::Argument { argument, .. }) => assert_eq!(argument, name),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn another_configuration_or_other_data_are_named() {
    let (directory, data) = (TempDir::new().unwrap(), data::<f32>());
    let base = || DbKsvd::builder(24, 3).epochs(2).minibatch(100);
    let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    let resume = |learner: Result<DbKsvd, Error>, data: &Mat<f32>| {
        let learner = learner.unwrap();
        learner.run(data).checkpoints(checkpoints.clone()).finish()
    };
    resume(base().build(), &data).unwrap();
    let shorter = data.as_ref().subcols(0, 899).to_owned();
    let mut other = data.clone();
    other[(3, 0)] += 1.0;
    let cases = [
        (base().seed(1).build(), &data, "seed"),
        (base().epochs(3).build(), &data, "epochs"),
        (base().minibatch(90).build(), &data, "minibatch"),
        (base().center(true).build(), &data, "center"),
        (base().updater(KSvd::new().sweeps(1)).build(), &data, "updater.sweeps"),
        (
            base().coder(BatchOmp::new().min_correlation(0.5)).build(),
            &data,
            "coder.min_correlation",
        ),
        (base().build(), &shorter, "data.samples"),
        (base().build(), &other, "data.fingerprint"),
    ];
    for (learner, data, name) in cases {
        match checkpoint_error(resume(learner, data)) {
            // Several properties may differ; each case names its own or one that follows from it.
            CheckpointError::Mismatch { what, .. } => {
                let follows = name == "data.samples" && what == "data.fingerprint";
                assert!(what == name || follows, "{name}: {what}");
            }
            error => panic!("{name}: {error}"),
        }
    }
    // What may change: when to stop, and how often to save.
    let patient = base().target_fvu(0.0).time_budget(Duration::from_secs(3600));
    assert_eq!(resume(patient.build(), &data).unwrap().report.stop, StopReason::Completed);
}

/// The best dictionary of a run would be chosen by both.
#[test]
fn other_held_out_samples_are_named() {
    let (directory, data) = (TempDir::new().unwrap(), data::<f32>());
    let learner = DbKsvd::builder(24, 3).epochs(2).minibatch(100).build().unwrap();
    let plan = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    let held_out = data.as_ref().subcols(0, 90).to_owned();
    let run = || learner.run(&data).checkpoints(plan.clone());
    run().held_out(&held_out).finish().unwrap();
    run().held_out(&held_out).finish().unwrap();
    let shorter = held_out.as_ref().subcols(0, 89).to_owned();
    let mut other = held_out.clone();
    other[(3, 0)] += 1.0;
    for (fit, name) in [
        (run().held_out(&shorter).finish(), "held_out_data.samples"),
        (run().held_out(&other).finish(), "held_out_data.fingerprint"),
        (run().finish(), "held_out_data"),
    ] {
        match checkpoint_error(fit) {
            CheckpointError::Mismatch { what, .. } => assert_eq!(what, name),
            error => panic!("{name}: {error}"),
        }
    }
}

/// Samples 1 and 2 are none of those whose bits are compared, and as many are used.
#[test]
fn another_mask_of_as_many_rows_is_named() {
    let (directory, data, learner) = (TempDir::new().unwrap(), data::<f32>(), learner::<f32>());
    let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    let resume = |left_out: usize| {
        let mask: Mask = (0..data.ncols()).map(|i| i != left_out).collect();
        let used = Subset::masked(&data, &mask).unwrap();
        learner.run(&used).checkpoints(checkpoints.clone()).finish()
    };
    resume(1).unwrap();
    resume(1).unwrap();
    match checkpoint_error(resume(2)) {
        CheckpointError::Mismatch { what, found, expected, .. } => {
            assert_eq!(what, "data.selection");
            let of = format!(" of {} in ", data.ncols() - 1);
            assert!(found.contains(&of) && expected.contains(&of), "{found}, {expected}");
            assert_ne!(found, expected);
        }
        error => panic!("{error}"),
    }
}

/// The file with `change` done to the text of its header.
fn with_header(content: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let length = u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
    let mut header = change(std::str::from_utf8(&content[8..8 + length]).unwrap());
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &content[8 + length..]].concat()
}

#[test]
fn a_parameter_that_is_missing_or_unknown_is_named() {
    let (directory, data) = (TempDir::new().unwrap(), data::<f32>());
    let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    learner().run(&data).checkpoints(checkpoints.clone()).finish().unwrap();
    let path = directory.path().join("checkpoint-000000000036.safetensors");
    let content = fs::read(&path).unwrap();
    let resume = |header: &dyn Fn(&str) -> String| {
        fs::write(&path, with_header(&content, header)).unwrap();
        let result = learner::<f32>().run(&data).checkpoints(checkpoints.clone()).finish();
        match checkpoint_error(result) {
            CheckpointError::Mismatch { what, found, expected, .. } => (what, found, expected),
            error => panic!("{error}"),
        }
    };
    let named = |what: &str, found: &str, expected: &str| {
        (what.to_owned(), found.to_owned(), expected.to_owned())
    };
    let without = |header: &str| {
        let pair = r#""run.updater.memory.full":"0.8","#;
        assert!(header.contains(pair), "{header}");
        header.replace(pair, "")
    };
    assert_eq!(resume(&without), named("updater.memory.full", "not stated", "0.8"));
    let with = |header: &str| {
        let start = r#""__metadata__":{"#;
        header.replace(start, &format!(r#"{start}"run.updater.momentum":"0.5","#))
    };
    let expected = "not a parameter of this run";
    assert_eq!(resume(&with), named("updater.momentum", "0.5", expected));
}

#[test]
fn a_spoilt_file_is_refused() {
    let (directory, data) = (TempDir::new().unwrap(), data::<f32>());
    let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    learner().run(&data).checkpoints(checkpoints.clone()).finish().unwrap();
    let path = directory.path().join("checkpoint-000000000036.safetensors");
    let content = fs::read(&path).unwrap();
    for cut in [0, 7, 100, content.len() / 2, content.len() - 1] {
        fs::write(&path, &content[..cut]).unwrap();
        let result = learner::<f32>().run(&data).checkpoints(checkpoints.clone()).finish();
        assert!(matches!(result, Err(Error::File(_))), "{cut}: {result:?}");
    }
    // A bit that changed anywhere in the numbers: a count, a sum, an atom.
    let header = 8 + u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
    for at in (header..content.len()).step_by(97).chain([content.len() - 1]) {
        let mut spoilt = content.clone();
        spoilt[at] ^= 0x40;
        fs::write(&path, &spoilt).unwrap();
        let result = learner::<f32>().run(&data).checkpoints(checkpoints.clone()).finish();
        let Err(Error::File(error)) = result else { panic!("byte {at}: {result:?}") };
        assert!(error.to_string().contains("has changed"), "{error}");
    }
    let foreign = dbksvd::Model::<f32>::new(
        dbksvd::Dictionary::new(Mat::identity(16, 16)).unwrap(),
        None,
        1,
        dbksvd::Sign::Signed,
    );
    foreign.unwrap().save(&path).unwrap();
    let result = learner::<f32>().run(&data).checkpoints(checkpoints).finish();
    assert!(matches!(result, Err(Error::File(_))), "{result:?}");
}

/// Takes the directory away after some steps, and brings it back later: what a disk that is full,
/// or gone for a while, looks like.
struct Away<'a> {
    directory: &'a Path,
    elsewhere: &'a Path,
    gone: std::ops::Range<u64>,
    told: Told,
}

impl Observer<f32> for Away<'_> {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        if progress.total_steps == self.gone.start {
            fs::rename(self.directory, self.elsewhere).unwrap();
        }
        if progress.total_steps == self.gone.end {
            fs::rename(self.elsewhere, self.directory).unwrap();
        }
        ControlFlow::Continue(())
    }

    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        self.told.on_checkpoint(checkpoint)
    }

    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        self.told.on_checkpoint_failure(error)
    }
}

#[test]
fn a_failed_save_leaves_the_one_before_and_learning_may_go_on() {
    let (base, data, learner) = (TempDir::new().unwrap(), data::<f32>(), learner::<f32>());
    let whole = learner.run(&data).finish().unwrap();
    let (directory, elsewhere) = (base.path().join("here"), base.path().join("there"));
    let checkpoints = Checkpoints::new(&directory).every_steps(4).every(None).keep(100);
    let away =
        |gone| Away { directory: &directory, elsewhere: &elsewhere, gone, told: Told::default() };

    // By default the run ends, with the dictionary of the last step and the error.
    let mut forever = away(11..1000);
    let run = learner.run(&data).observer(&mut forever).checkpoints(checkpoints.clone());
    let fit = run.finish().unwrap();
    assert_eq!((fit.report.stop, fit.report.steps), (StopReason::Failed, 12));
    assert!(matches!(fit.failure, Some(Error::File(_))));
    assert_eq!(files(&elsewhere), [4, 8]);
    // Those before are intact: the run goes on from them.
    fs::rename(&elsewhere, &directory).unwrap();
    let resumed = learner.run(&data).checkpoints(checkpoints.clone().resume(Resume::Always));
    let resumed = resumed.finish().unwrap();
    assert_eq!(resumed.report.resumed_from, Some(8));
    assert_same(&whole, &resumed);

    fs::remove_dir_all(&directory).unwrap();
    let mut for_a_while = away(11..21);
    let on_failure = checkpoints.on_failure(OnFailure::GoOn);
    let run = learner.run(&data).observer(&mut for_a_while).checkpoints(on_failure);
    let fit = run.finish().unwrap();
    assert_same(&whole, &fit);
    assert_eq!(for_a_while.told.failures, 3, "at 12, 16 and 20");
    assert_eq!(for_a_while.told.steps, [4, 8, 24, 28, 32, 36]);
}

/// A run that found nothing to learn from says so again when it is started again.
#[test]
fn nothing_learned_is_said_again() {
    let zeros = Mat::<f32>::zeros(6, 40);
    for (epochs, every) in [(1, None), (1, Some(1)), (3, None), (3, Some(3))] {
        let directory = TempDir::new().unwrap();
        for attempt in 0..3 {
            let learner = DbKsvd::builder(8, 2).minibatch(10).epochs(epochs).build().unwrap();
            let mut checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
            if let Some(steps) = every {
                checkpoints = checkpoints.every_steps(steps);
            }
            let fit = learner.run(&zeros).checkpoints(checkpoints).finish().unwrap();
            assert_eq!(fit.report.resumed_from.is_some(), attempt > 0 && every.is_some());
            let expected = Error::NothingLearned { samples: 40, zeros: 40, dropped: 0 };
            assert_eq!(
                fit.failure.unwrap().to_string(),
                expected.to_string(),
                "{epochs} {every:?}"
            );
        }
    }
}
