//! Runs on a device that takes in the next minibatch while it computes: by all that they tell, the
//! runs of one that does not.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::mock::MockDevice;
use dbksvd::coder::BatchOmp;
use dbksvd::error::{BackendError, SourceError};
use dbksvd::faer::Mat;
use dbksvd::learn::{
    Builder, Checkpoints, Every, Fit, Growth, Progress, Report, Resume, StopReason,
};
use dbksvd::source::{EpochPlan, HeldOut, SampleSource};
use dbksvd::synthetic::Planted;
use dbksvd::updater::{KSvd, Renewal};
use dbksvd::{DbKsvd, Error, Initialisation, Outliers, conformance};
use tempfile::TempDir;

fn data() -> Mat<f32> {
    Planted::new(8, 16, 2, 450).noise(0.1).seed(1).generate().unwrap().samples
}

/// Eight minibatches an epoch, and everything in use that happens between steps.
fn learner(device: &MockDevice) -> DbKsvd<MockDevice> {
    let renewal = Renewal { window: 2.0, ..Renewal::default() };
    DbKsvd::builder_on(device.clone(), 32, 2)
        .updater(KSvd::new().atom_batch(5).renewal(Some(renewal)))
        .minibatch(50)
        .epochs(3)
        .seed(3)
        .center(true)
        .scale(true)
        .outliers(Outliers::Clip(1.2))
        .growth(Some(Growth { doublings: 1, until: 0.5 }))
        .held_out(HeldOut::Share(0.1))
        .evaluate_every(Every::Steps(5))
        .build()
        .unwrap()
}

/// Four minibatches an epoch, which nothing else reads, and one upload each beside that of the
/// dictionary.
fn plain(device: &MockDevice) -> Builder<MockDevice, BatchOmp, KSvd> {
    let builder = DbKsvd::builder_on(device.clone(), 16, 2).minibatch(115).epochs(2).seed(3);
    builder.initialisation(Initialisation::Gaussian)
}

/// The samples, one of the third minibatch of a plain run holding this value.
fn with_bad_value(value: f32) -> Mat<f32> {
    let mut data = data();
    let plan = EpochPlan::new(data.ncols(), 115, 1, 3, 1);
    let sample = plan.ranges(2).next().unwrap().start;
    data[(3, sample)] = value;
    data
}

fn devices() -> [MockDevice; 2] {
    [MockDevice::default(), MockDevice::default().overlapping()]
}

/// All that two runs must have in common: everything but times.
#[track_caller]
fn assert_same(one: &Fit<f32>, other: &Fit<f32>) {
    assert_eq!(one.model, other.model);
    assert_eq!(one.best, other.best);
    assert_eq!(format!("{:?}", one.failure), format!("{:?}", other.failure));
    let timeless = |report: &Report| {
        let mut report = report.clone();
        report.epochs.iter_mut().for_each(|epoch| epoch.elapsed = 0.0);
        report.evaluations.iter_mut().for_each(|evaluation| evaluation.elapsed = 0.0);
        let Report { epochs, evaluations, steps, noise, stop, .. } = report;
        format!("{epochs:?} {evaluations:?} {steps} {noise} {stop:?}")
    };
    assert_eq!(timeless(&one.report), timeless(&other.report));
}

#[test]
fn the_device_conforms() {
    let device = MockDevice::default().overlapping();
    conformance::backend(&device);
    conformance::pursuit_kernels(&device);
    conformance::sweep_kernels(&device);
}

#[test]
fn dictionary_and_report_are_the_same() {
    let data = data();
    let [plain, overlapping] = devices().map(|device| learner(&device).run(&data).finish());
    let (plain, overlapping) = (plain.unwrap(), overlapping.unwrap());
    assert_same(&plain, &overlapping);
    let Report { epochs, evaluations, steps, .. } = &plain.report;
    assert_eq!((*steps, evaluations.len(), plain.model.atoms()), (27, 6, 32));
    assert!(epochs.iter().all(|epoch| epoch.clipped > 0 && epoch.within < epoch.samples));
    assert!(epochs.iter().any(|epoch| epoch.replaced > 0), "{epochs:?}");
}

/// Every pursuit waits until the next minibatch comes up: on a device that takes it in only after
/// the step, the first waits in vain.
#[test]
fn an_upload_begins_before_the_step_before_has_ended() {
    let data = data();
    let [in_turn, overlapping] = devices();
    in_turn.hold_pursuits(8, Duration::from_millis(50));
    let result = plain(&in_turn).build().unwrap().fit(&data);
    let Err(Error::Backend(BackendError::Device(fault))) = result else { panic!("{result:?}") };
    assert_eq!(fault.to_string(), "minibatch 2 did not come while a pursuit waited");

    overlapping.hold_pursuits(8, Duration::from_secs(60));
    let (_, report) = plain(&overlapping).build().unwrap().fit(&data).unwrap();
    assert_eq!((report.steps, overlapping.calls()[0], overlapping.uploads()), (8, 8, 9));
}

/// On a pool of one thread the run holds the only one.
#[test]
fn uploads_do_not_wait_for_the_threads_of_the_run() {
    let (data, device) = (data(), MockDevice::default().overlapping());
    device.hold_pursuits(8, Duration::from_secs(60));
    let learner = plain(&device).build().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (model, _) = pool.install(|| learner.fit(&data)).unwrap();
    let expected = plain(&MockDevice::default()).build().unwrap().fit(&data).unwrap().0;
    assert_eq!(model, expected);
}

/// A minibatch that cannot be read, one that cannot be squared, and one that does not reach the
/// device end the run after the step before.
#[test]
fn a_bad_minibatch_ends_the_run_in_its_turn() {
    for (data, sound_uploads, message) in [
        (with_bad_value(f32::NAN), 9, "coordinate 3 is NaN"),
        (with_bad_value(1e25), 9, "the root mean square norm is"),
        (data(), 3, "the bus is broken"),
    ] {
        let [one, other] = devices().map(|device| {
            device.fail_uploads_after(sound_uploads);
            let fit = plain(&device).build().unwrap().run(&data).finish().unwrap();
            assert_eq!(device.allocations(), 0);
            fit
        });
        assert_same(&one, &other);
        assert_eq!((one.report.stop, one.report.steps), (StopReason::Failed, 2));
        let failure = one.failure.unwrap().to_string();
        assert!(failure.contains(message), "{failure}");
    }
}

/// What is wrong with a minibatch that the run does not come to is nobody's concern.
#[test]
fn a_run_that_stops_drops_what_was_loaded_ahead() {
    let data = with_bad_value(f32::NAN);
    let [one, other] = devices().map(|device| {
        let learner = plain(&device).max_steps(2).build().unwrap();
        let fit = learner.run(&data).finish().unwrap();
        assert_eq!(device.allocations(), 0);
        fit
    });
    assert_same(&one, &other);
    assert_eq!((other.report.stop, other.report.steps), (StopReason::Steps, 2));
    assert!(other.failure.is_none());
}

#[test]
fn a_resumed_run_is_the_run_bit_by_bit() {
    let (data, [plain, overlapping]) = (data(), devices());
    let whole = learner(&plain).run(&data).finish().unwrap();
    // Within an epoch, before and after the dictionary grows, and at an epoch's end.
    for last in [1, 4, 9, 13, 18, 26] {
        // A checkpoint does not say which of the two it is of.
        for second in [&overlapping, &plain] {
            let directory = TempDir::new().unwrap();
            let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
            let mut end = |progress: &Progress| match progress.total_steps {
                step if step >= last => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            let first = learner(&overlapping);
            let first = first.run(&data).observer(&mut end).checkpoints(checkpoints.clone());
            let first = first.finish().unwrap();
            assert_eq!((first.report.stop, first.report.steps), (StopReason::Observer, last));
            let second = learner(second).run(&data).checkpoints(checkpoints).finish().unwrap();
            assert_eq!(second.report.resumed_from, Some(last));
            assert_same(&whole, &second);
        }
    }
}

/// Samples of which only so many minibatches can be read.
struct Flaky<'a> {
    samples: &'a Mat<f32>,
    sound: AtomicUsize,
    fail: fn() -> SourceError,
}

impl SampleSource<f32> for Flaky<'_> {
    fn dim(&self) -> usize {
        self.samples.nrows()
    }

    fn len(&self) -> usize {
        self.samples.ncols()
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        // Whoever looks whether the data are those of a checkpoint reads less.
        if range.len() > 100 {
            let sound = self.sound.load(Ordering::Relaxed);
            let Some(left) = sound.checked_sub(1) else { return Err((self.fail)()) };
            self.sound.store(left, Ordering::Relaxed);
        }
        self.samples.read(range, into)
    }

    /// A minibatch is one read.
    fn run_length(&self) -> usize {
        115
    }
}

fn gone() -> SourceError {
    SourceError::Other("the disk is gone".into())
}

/// The checkpoint that a failed run leaves is that of the step before, from which it goes on.
#[test]
fn a_run_that_failed_goes_on_from_its_checkpoint() {
    let data = data();
    let samples = |sound| Flaky { samples: &data, sound: AtomicUsize::new(sound), fail: gone };
    let [in_turn, overlapping] = devices();
    let whole = plain(&in_turn).build().unwrap().run(&samples(8)).finish().unwrap();
    for device in [&in_turn, &overlapping] {
        let directory = TempDir::new().unwrap();
        let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
        let learner = plain(device).build().unwrap();
        let samples = samples(3);
        let failed = learner.run(&samples).checkpoints(checkpoints.clone()).finish().unwrap();
        assert_eq!((failed.report.stop, failed.report.steps), (StopReason::Failed, 3));
        assert_eq!(failed.failure.unwrap().to_string(), "the disk is gone");
        samples.sound.store(5, Ordering::Relaxed);
        let second = learner.run(&samples).checkpoints(checkpoints).finish().unwrap();
        assert_eq!(second.report.resumed_from, Some(3));
        assert_same(&whole, &second);
    }
}

#[test]
#[should_panic(expected = "a bug in the source")]
fn a_panic_of_a_source_reaches_the_caller() {
    let data = data();
    let fail = || panic!("a bug in the source");
    let samples = Flaky { samples: &data, sound: AtomicUsize::new(3), fail };
    let learner = plain(&MockDevice::default().overlapping()).build().unwrap();
    let _ = learner.run(&samples).finish();
}
