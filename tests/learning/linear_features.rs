//! Linear features: on data with general and special features, for any number of threads, ended
//! early, begun again, and misused.

use std::ops::ControlFlow;

use dbksvd::coder::BatchOmp;
use dbksvd::faer::Mat;
use dbksvd::learn::{
    Checkpoints, EpochReport, FeatureRecipe, LinearFeatures, Observer, Progress, Report, Resume,
    Snapshot, StopReason, StopToken,
};
use dbksvd::synthetic::Planted;
use dbksvd::{Dictionary, Error, Model, Preprocessing, Sign, SparseCodes};

use crate::support::on_threads;

const DIM: usize = 24;
const CHILDREN: usize = 12;
const CONTINUE: ControlFlow<()> = ControlFlow::Continue(());

/// The special feature that a sample has, if it has one: as an axis, and as an atom.
fn child_of(sample: usize) -> Option<usize> {
    Some(1 + (sample * 7) % (CHILDREN + 4)).filter(|&child| child <= CHILDREN)
}

/// Samples of one general feature, along the first axis, and in three of four of them one of twelve
/// special features besides.
fn family(samples: usize) -> Mat<f32> {
    Mat::from_fn(DIM, samples, |i, n| {
        let child = child_of(n);
        let noise = 0.02 * ((i * 37 + n * 101) as f32).sin();
        noise + f32::from(i == 0) + f32::from(Some(i) == child)
    })
}

/// Atoms of which those of the special features contain the general one.
fn absorbing() -> Model<f32> {
    let atoms = Mat::from_fn(DIM, 1 + CHILDREN, |i, j| match (i, j) {
        (0, _) => 1.0,
        (i, j) if i == j => 1.0,
        _ => 0.0,
    });
    let dictionary = Dictionary::normalized(atoms).unwrap();
    Model::new(dictionary, None, 4, Sign::NonNegative).unwrap()
}

/// The share of the samples with a special feature whose codes have the general one, too.
fn share_with_parent(codes: &SparseCodes<f32>) -> f64 {
    let special: Vec<usize> = (0..codes.samples()).filter(|&n| child_of(n).is_some()).collect();
    let both = special.iter().filter(|&&n| codes.support(n).contains(&0)).count();
    both as f64 / special.len() as f64
}

#[test]
fn a_general_feature_fires_beside_special_ones() {
    let (data, model) = (family(2_000), absorbing());
    let pursuit = model.clone().with_sparsity(2).unwrap();
    let codes = pursuit.encode(&BatchOmp::new(), data.as_ref()).unwrap();
    let before = share_with_parent(&codes);
    assert!(before < 0.6, "{before}");

    let rule = LinearFeatures::new(1.75).minibatch(200).epochs(40).rate(5e-3);
    let (learned, report) = rule.fit(&model, &data).unwrap();
    let coder = learned.linear_coder().unwrap().clone();
    let codes = learned.encode(&coder, data.as_ref()).unwrap();
    let after = share_with_parent(&codes);
    assert!(after > 0.95, "{after}");
    // What the special atoms contained of the general one has gone to it.
    let atoms = learned.dictionary().as_mat();
    let shared = (1..=CHILDREN).map(|j| f64::from(atoms[(0, j)])).sum::<f64>() / CHILDREN as f64;
    assert!(shared < 0.35, "{shared} of {}", std::f64::consts::FRAC_1_SQRT_2);
    let last = report.epochs.last().unwrap();
    assert!(last.fvu < 0.05, "{last:?}");
    assert!((codes.nnz() as f64 / 2_000.0 - 1.75).abs() < 0.1, "{}", codes.nnz());
    assert_eq!((report.stop, report.steps), (StopReason::Completed, 400));
}

#[test]
fn threads_change_no_bit() {
    let (data, model) = (family(900), absorbing());
    let rule = LinearFeatures::new(2.0).minibatch(300).epochs(6).idle(300);
    let on = |threads| on_threads(threads, || rule.fit(&model, &data).unwrap().0);
    let one = on(1);
    assert_eq!(on(3), one);
    assert_ne!(rule.seed(1).fit(&model, &data).unwrap().0, one);
}

#[test]
fn a_run_can_be_ended_and_goes_on_from_its_encoder() {
    let (data, model) = (family(900), absorbing());
    let rule = LinearFeatures::new(2.0).minibatch(300).epochs(50);
    let mut steps = 0;
    let mut observer = |progress: &Progress| {
        steps += 1;
        assert_eq!(progress.total_steps, steps);
        if steps == 30 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let fit = rule.run(&model, &data).observer(&mut observer).finish().unwrap();
    let (ended, report) = fit.into_result().unwrap();
    assert_eq!((report.stop, report.steps), (StopReason::Observer, 30));
    let error = |report: &Report| report.epochs[0].fvu;
    let (_, first) = rule.epochs(1).fit(&model, &data).unwrap();
    let (_, again) = rule.epochs(1).fit(&ended, &data).unwrap();
    assert!(error(&again) < error(&first), "{} {}", error(&again), error(&first));

    let token = StopToken::new();
    token.stop();
    let (same, report) =
        rule.run(&ended, &data).stop_token(token).finish().unwrap().into_result().unwrap();
    assert_eq!((report.stop, report.steps), (StopReason::Token, 0));
    assert!(report.epochs.is_empty());
    assert_eq!(same, ended);
}

/// Ended in the middle of an epoch, at its end, and while prefixes are fitted.
#[test]
fn a_run_goes_on_from_its_checkpoint_to_the_same_bits() {
    let (data, model) = (family(900), absorbing());
    let rule = LinearFeatures::new(2.0).minibatch(300).epochs(20).idle(300);
    let (whole, report) = rule.fit(&model, &data).unwrap();
    for last in [2, 3, 10, 40, 60] {
        let directory = tempfile::tempdir().unwrap();
        let checkpoints = || Checkpoints::new(directory.path()).every(None);
        let mut end = |progress: &Progress| match progress.total_steps {
            step if step == last => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let run = rule.run(&model, &data).observer(&mut end).checkpoints(checkpoints());
        assert_eq!(run.finish().unwrap().report.steps, last);
        let again = checkpoints().resume(Resume::Always);
        let fit = rule.run(&model, &data).checkpoints(again).finish().unwrap();
        assert_eq!(fit.model, whole, "after {last}");
        assert_eq!(fit.report.resumed_from, Some(last));
        let figures = |report: &Report| -> Vec<_> {
            report.epochs.iter().map(|e| (e.epoch, e.samples, e.fvu.to_bits(), e.l0)).collect()
        };
        assert_eq!(figures(&fit.report), figures(&report), "after {last}");
        assert_eq!((fit.report.steps, fit.report.stop), (report.steps, report.stop));

        // Another rule, another model, other data: each is named.
        let mut other = data.clone();
        other[(0, 0)] += 1.0;
        let of = |rule: &LinearFeatures, model: &Model<f32>, data: &Mat<f32>| {
            let again = checkpoints().resume(Resume::Always);
            rule.run(model, data).checkpoints(again).finish().unwrap_err().to_string()
        };
        for (error, name) in [
            (of(&rule.nested(0.5), &model, &data), "`nested`"),
            (of(&rule, &whole, &data), "`model.dictionary`"),
            (of(&rule, &model, &other), "`data.fingerprint`"),
        ] {
            assert!(error.contains(name), "{error}");
        }
    }
}

/// A source that fails ends the run, and what was learned until then is there.
#[test]
fn a_failure_under_way_loses_nothing() {
    let (mut data, model) = (family(900), absorbing());
    let rule = LinearFeatures::new(2.0).minibatch(100).epochs(2);
    data[(3, 700)] = f32::NAN;
    let directory = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(directory.path()).every(None);
    let fit = rule.run(&model, &data).checkpoints(checkpoints).finish().unwrap();
    assert!(matches!(fit.failure, Some(Error::NotFinite { sample: 700, coordinate: 3, .. })));
    assert_eq!(fit.report.stop, StopReason::Failed);
    let steps = fit.report.steps;
    assert!((1..9).contains(&steps) && fit.model.linear_coder().is_some(), "{steps}");
    data[(3, 700)] = 0.0;
    let again = Checkpoints::new(directory.path()).every(None).resume(Resume::Always);
    let fit = rule.run(&model, &data).checkpoints(again).finish().unwrap();
    assert_eq!((fit.report.resumed_from, fit.report.steps), (Some(steps), 18));
}

/// A row of a thousand times the norm of others is scaled down, and rows of zeros are left out, as
/// the model's norm limit says.
#[test]
fn massive_rows_and_padding_do_not_matter() {
    let limit = Preprocessing::none().with_norm_limit(Some(3.0)).unwrap();
    let model = absorbing().preprocessed(limit).unwrap();
    let rule = LinearFeatures::new(2.0).minibatch(300).epochs(60).rate(5e-3);
    let mut data = family(900);
    data.col_as_slice_mut(5).iter_mut().for_each(|y| *y *= 1e3);
    data.col_as_slice_mut(6).fill(0.0);
    let (_, report) = rule.fit(&model, &data).unwrap();
    let last = report.epochs.last().unwrap();
    assert_eq!((last.samples, last.within, last.clipped, last.zeros), (899, 898, 1, 1));
    // One row holds more than its share of the error, and is told apart.
    assert!(last.fvu_within != last.fvu);
    assert!(last.fvu < 0.3, "{last:?}");
    assert!((last.l0 - 2.0).abs() < 0.05, "{last:?}");

    let (_, report) = rule.drops_outliers(true).fit(&model, &data).unwrap();
    let last = report.epochs.last().unwrap();
    assert_eq!((last.samples, last.within, last.clipped, last.dropped), (898, 898, 0, 1));
    assert_eq!(last.fvu, last.fvu_within);

    let zeros = Mat::<f32>::zeros(DIM, 10);
    let error = rule.fit(&model, &zeros).unwrap_err();
    assert!(matches!(error, Error::NothingLearned { samples: 10, zeros: 10, .. }), "{error}");
}

#[test]
fn unused_atoms_are_replaced() {
    let data = family(2_000);
    // Two atoms that nothing has.
    let atoms = Mat::from_fn(DIM, 3, |i, j| if i == [0, 20, 21][j] { 1.0_f32 } else { 0.0 });
    let dictionary = Dictionary::new(atoms).unwrap();
    let model = Model::new(dictionary, None, 3, Sign::NonNegative).unwrap();
    let rule = LinearFeatures::new(0.9).minibatch(200).epochs(10).idle(1_000);
    let (_, report) = rule.fit(&model, &data).unwrap();
    let replaced: usize = report.epochs.iter().map(|epoch| epoch.replaced).sum();
    assert!(replaced >= 1, "{report:?}");
    let (_, report) = rule.idle(1_000_000).fit(&model, &data).unwrap();
    assert!(report.epochs.iter().all(|epoch| epoch.replaced == 0));
}

#[test]
fn the_recipe_joins_both_stages() {
    let planted = Planted::new(24, 64, 3, 3_000).sign(Sign::NonNegative).noise(0.05);
    let data = planted.generate::<f64>().unwrap().samples;
    let recipe = FeatureRecipe::new(64, 3.0);
    let recipe = recipe.epochs(4).linear(recipe.linear.minibatch(256).epochs(12)).seed(3);
    let (model, report) = recipe.fit(&data).unwrap();
    assert!(model.mean().is_some() && model.preprocessing().norm_limit().is_some());
    assert_eq!((model.atoms(), model.sparsity()), (64, 12));
    let numbers: Vec<usize> = report.epochs.iter().map(|epoch| epoch.epoch).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    assert!(report.epochs.is_sorted_by(|one, next| one.elapsed <= next.elapsed));
    let codes = model.encode(&model.linear_coder().unwrap().clone(), data.as_ref()).unwrap();
    let l0 = codes.nnz() as f64 / 3_000.0;
    assert!((l0 - 3.0).abs() < 0.3, "{l0}");
    assert!(report.epochs[15].fvu < report.epochs[4].fvu);
    // What the second stage would refuse is refused before the first.
    let error = FeatureRecipe::new(64, 30.0).fit(&data).unwrap_err();
    assert!(matches!(error, Error::Argument { argument: "mean_nonzeros", .. }), "{error}");
    // One seed for both stages.
    let of_linear = recipe.linear(recipe.linear.seed(3)).fit(&data).unwrap();
    assert_eq!(of_linear.0, model);
    assert_eq!((recipe.total_epochs(16).epochs, recipe.total_epochs(16).linear.epochs), (6, 10));
    assert_eq!((recipe.total_epochs(2).epochs, recipe.total_epochs(2).linear.epochs), (1, 1));
    // A mean above half the dimension is possible.
    let recipe = FeatureRecipe::new(64, 13.0).epochs(1);
    let recipe = recipe.linear(recipe.linear.minibatch(500).epochs(1));
    assert_eq!(recipe.fit(&data).unwrap().0.sparsity(), 24);
}

/// Ended in either stage, watched as one run, and taken up to the same bits.
#[test]
fn a_run_of_both_stages_goes_on() {
    let planted = Planted::new(16, 32, 3, 1_500).sign(Sign::NonNegative).noise(0.05);
    let data = planted.generate::<f32>().unwrap().samples;
    let recipe = FeatureRecipe::new(32, 3.0).total_epochs(4);
    let recipe = recipe.linear(recipe.linear.minibatch(250));
    let first = recipe.dictionary(16).unwrap().build().unwrap();
    let whole = recipe.run(&first, &data).finish().unwrap();
    let (all, of_second) = (whole.report.steps, 2 * 6);
    assert_eq!(recipe.fit(&data).unwrap().0, whole.model);
    for last in [1, all - of_second - 1, all - of_second, all - 7, all] {
        let directory = tempfile::tempdir().unwrap();
        let plan = || Checkpoints::new(directory.path()).every(None);
        let mut seen = Vec::new();
        let mut watch = |progress: &Progress| {
            seen.push((progress.epoch, progress.total_steps));
            assert_eq!(progress.epochs, 4);
            assert!(progress.done > 0.0 && progress.done <= 1.0);
            if progress.total_steps == last { ControlFlow::Break(()) } else { CONTINUE }
        };
        let run = recipe.run(&first, &data).observer(&mut watch).checkpoints(plan());
        let ended = run.finish().unwrap();
        assert_eq!(ended.report.steps, last);
        assert_eq!(ended.model.linear_coder().is_some(), last > all - of_second);
        assert!(seen.is_sorted() && seen.len() as u64 == last);
        let again = recipe.run(&first, &data).checkpoints(plan().resume(Resume::Always));
        let fit = again.finish().unwrap();
        assert_eq!(fit.model, whole.model, "after {last}");
        assert_eq!((fit.report.steps, fit.report.epochs.len()), (all, 4));
        assert_eq!(fit.report.resumed_from, Some(last));
    }
}

/// What is measured in the first stage is what is given, and a token ends the run in either stage.
#[test]
fn a_run_of_both_stages_is_measured_and_stopped() {
    let planted =
        |seed| Planted::new(16, 32, 3, 600).sign(Sign::NonNegative).noise(0.05).seed(seed);
    let samples = |seed| planted(seed).generate::<f32>().unwrap().samples;
    let (data, held_out) = (samples(1), samples(2));
    let recipe = FeatureRecipe::new(32, 3.0).total_epochs(4);
    let recipe = recipe.linear(recipe.linear.minibatch(250));
    let first = recipe.dictionary(16).unwrap().build().unwrap();
    let whole = recipe.run(&first, &data).held_out(&held_out).finish().unwrap();
    let alone = first.run(&data).held_out(&held_out).finish().unwrap();
    let measured = |report: &Report| -> Vec<(u64, u64)> {
        report.evaluations.iter().map(|e| (e.step, e.fvu.to_bits())).collect()
    };
    assert!(!alone.report.evaluations.is_empty());
    assert_eq!(measured(&whole.report), measured(&alone.report));
    for last in [2, whole.report.steps - 1] {
        let token = StopToken::new();
        let stop = token.clone();
        let mut watch = |progress: &Progress| {
            if progress.total_steps == last {
                stop.stop();
            }
            CONTINUE
        };
        let fit =
            recipe.run(&first, &data).stop_token(token).observer(&mut watch).finish().unwrap();
        assert_eq!((fit.report.stop, fit.report.steps), (StopReason::Token, last));
        assert_eq!(fit.model.linear_coder().is_some(), last > 2);
    }
}

/// An observer that panics when it is told of a certain event, and counts what it is told.
#[derive(Default)]
struct Fragile {
    steps: usize,
    stops: usize,
    breaks_at: Option<u64>,
    panics_at_epoch: Option<usize>,
    panics_at_stop: bool,
}

impl Observer<f32> for Fragile {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        self.steps += 1;
        if self.breaks_at == Some(progress.total_steps) { ControlFlow::Break(()) } else { CONTINUE }
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, f32>) -> ControlFlow<()> {
        assert!(self.panics_at_epoch != Some(epoch.epoch), "as asked");
        CONTINUE
    }

    fn on_stop(&mut self, _: &Report) {
        self.stops += 1;
        assert!(!self.panics_at_stop, "at the stop, as asked");
    }
}

/// Whatever ends either stage, the observer is told so once, and its panics lose nothing.
#[test]
fn observers_of_both_stages_may_panic() {
    let planted = Planted::new(16, 32, 3, 600).sign(Sign::NonNegative).noise(0.05);
    let data = planted.generate::<f32>().unwrap().samples;
    let recipe = FeatureRecipe::new(32, 3.0).total_epochs(4);
    let recipe = recipe.linear(recipe.linear.minibatch(300));
    let first = recipe.dictionary(16).unwrap().build().unwrap();
    let whole = recipe.run(&first, &data).finish().unwrap();
    let of_first = whole.report.steps - 2 * 2;

    let mut observer = Fragile { panics_at_epoch: Some(1), ..Fragile::default() };
    let fit = recipe.run(&first, &data).observer(&mut observer).finish().unwrap();
    assert_eq!(fit.model, whole.model);
    assert!(fit.report.observer_panic.is_some_and(|said| said.contains("as asked")));
    assert_eq!((observer.steps as u64, observer.stops), (of_first / 2, 0));

    // In the second stage.
    let mut observer = Fragile { panics_at_epoch: Some(3), ..Fragile::default() };
    let fit = recipe.run(&first, &data).observer(&mut observer).finish().unwrap();
    assert_eq!(fit.model, whole.model);
    assert!(fit.report.observer_panic.is_some_and(|said| said.contains("as asked")));
    assert_eq!((observer.steps as u64, observer.stops), (of_first + 2, 0));

    // At the end of the first, after it has asked for the end.
    let breaks_at = Some(of_first);
    let mut observer = Fragile { breaks_at, panics_at_epoch: Some(2), ..Fragile::default() };
    let fit = recipe.run(&first, &data).observer(&mut observer).finish().unwrap();
    assert_eq!((fit.report.stop, fit.report.steps), (StopReason::Observer, of_first));
    assert!(fit.report.observer_panic.is_some_and(|said| said.contains("as asked")));
    assert_eq!(observer.stops, 0);

    let mut observer = Fragile { breaks_at, panics_at_stop: true, ..Fragile::default() };
    let fit = recipe.run(&first, &data).observer(&mut observer).finish().unwrap();
    assert_eq!((fit.report.stop, fit.report.steps), (StopReason::Observer, of_first));
    assert!(fit.report.observer_panic.is_some_and(|said| said.contains("at the stop")));

    // A second stage that cannot begin: the folder of its checkpoints is a file.
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("linear"), "not a folder").unwrap();
    let mut observer = Fragile::default();
    let run = recipe.run(&first, &data).observer(&mut observer);
    let fit = run.checkpoints(Checkpoints::new(directory.path())).finish().unwrap();
    assert!(fit.failure.is_some() && fit.report.stop == StopReason::Failed, "{:?}", fit.report);
    assert_eq!(observer.stops, 1);
}

/// A first stage of other epochs than the recipe's is told of by its own.
#[test]
fn a_first_stage_that_was_changed_counts_its_own_epochs() {
    let planted = Planted::new(16, 32, 3, 600).sign(Sign::NonNegative).noise(0.05);
    let data = planted.generate::<f32>().unwrap().samples;
    let recipe = FeatureRecipe::new(32, 3.0).total_epochs(4);
    let recipe = recipe.linear(recipe.linear.minibatch(300));
    let first = recipe.dictionary(16).unwrap().epochs(5).build().unwrap();
    let mut done = Vec::new();
    let mut watch = |progress: &Progress| {
        assert_eq!(progress.epochs, 7);
        done.push(progress.done);
        CONTINUE
    };
    let fit = recipe.run(&first, &data).observer(&mut watch).finish().unwrap();
    assert!(done.is_sorted() && done.last() == Some(&1.0), "{done:?}");
    let epochs: Vec<usize> = fit.report.epochs.iter().map(|epoch| epoch.epoch).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn misuse_is_named() {
    let (data, model) = (family(50), absorbing());
    let argument = |rule: LinearFeatures, model: &Model<f32>| match rule.fit(model, &data) {
        Err(Error::Argument { argument, .. }) => argument,
        other => panic!("{:?}", other.map(|_| ())),
    };
    let rule = LinearFeatures::new(2.0);
    for mean in [0.0, -1.0, 7.0, f64::NAN] {
        assert_eq!(argument(LinearFeatures::new(mean), &model), "mean_nonzeros");
    }
    assert_eq!(argument(rule.epochs(0), &model), "epochs");
    assert_eq!(argument(rule.minibatch(0), &model), "minibatch");
    assert_eq!(argument(rule.idle(0), &model), "idle");
    assert_eq!(argument(rule.nested(1.5), &model), "nested");
    assert_eq!(argument(rule.rate(f64::INFINITY), &model), "rate");
    let signed = Model::new(model.dictionary().clone(), None, 4, Sign::Signed).unwrap();
    assert_eq!(argument(rule, &signed), "sign");
    let other = Mat::<f32>::zeros(3, 10);
    let error = rule.fit(&model, &other).unwrap_err();
    assert!(matches!(error, Error::Dimension { argument: "samples", found: 3, expected: DIM }));
    let none = Mat::<f32>::zeros(DIM, 0);
    assert!(matches!(rule.fit(&model, &none).unwrap_err(), Error::NoSamples { .. }));
    let mut broken = family(50);
    broken[(3, 7)] = f32::NAN;
    let error = rule.fit(&model, &broken).unwrap_err();
    assert!(matches!(error, Error::NotFinite { sample: 7, coordinate: 3, .. }), "{error}");
}
