//! Norm limits: what counts as padding, what is refused, and the figures of rows within the limit
//! beside those of all.

use std::ops::{ControlFlow, Range};

use dbksvd::coder::BatchOmp;
use dbksvd::error::SourceError;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::{Every, Observer, Plateau, StepReport, StopReason};
use dbksvd::metrics::reconstruction;
use dbksvd::source::{HeldOut, SampleSource};
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Dictionary, Error, Initialisation, Model, Outliers, Preprocessing, Sign};

const DIM: usize = 32;
const ROWS: usize = 2000;
const SINKS: usize = 16;

/// Planted samples of norm about 1.7, and every 125th of norm 300, all in nearly one direction, as
/// the attention sinks of a language model are. `mean` is added to all.
fn with_sinks(mean: f32) -> Mat<f32> {
    let planted = Planted::new(DIM, 64, 3, ROWS).noise(0.02).seed(5).generate::<f32>().unwrap();
    let mut samples = planted.samples;
    for i in (7..ROWS).step_by(ROWS / SINKS) {
        samples[(5, i)] += 300.0;
    }
    samples.as_mut().col_iter_mut().for_each(|column| {
        column.iter_mut().enumerate().for_each(|(r, x)| *x += mean * (r % 3) as f32);
    });
    samples
}

/// The samples in their order, with so many zero rows strewn among them.
fn padded(samples: &Mat<f32>, zeros: usize) -> Mat<f32> {
    let (rows, all) = (samples.ncols(), samples.ncols() + zeros);
    let mut padded = Mat::zeros(samples.nrows(), all);
    for i in 0..rows {
        let place = i * all / rows;
        padded.as_mut().col_mut(place).copy_from(samples.as_ref().col(i));
    }
    padded
}

fn is_sink(sample: &[f32]) -> bool {
    sample.iter().map(|x| x * x).sum::<f32>() > 1e4
}

/// The columns for which `is_kept`.
fn columns(samples: MatRef<'_, f32>, is_kept: impl Fn(&[f32]) -> bool) -> Mat<f32> {
    let samples = samples.to_owned();
    let kept: Vec<usize> =
        (0..samples.ncols()).filter(|&i| is_kept(samples.col_as_slice(i))).collect();
    Mat::from_fn(samples.nrows(), kept.len(), |r, c| samples[(r, kept[c])])
}

fn fvu(model: &Model<f32>, samples: &Mat<f32>) -> f64 {
    let codes = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
    reconstruction(model, samples.as_ref(), &codes).unwrap().fvu()
}

#[test]
fn padding_counts_for_nothing() {
    // The baseline is three times the usual norm: padding, once centred, would stand out.
    for (mean, center, scale, outliers) in [
        (0.0, false, false, Outliers::Clip(3.0)),
        (0.0, true, false, Outliers::Clip(3.0)),
        (0.0, true, true, Outliers::Drop(3.0)),
        (1.0, true, false, Outliers::Clip(3.0)),
        (1.0, true, true, Outliers::Drop(3.0)),
    ] {
        let samples = with_sinks(mean);
        let usual = columns(samples.as_ref(), |sample| !is_sink(sample));
        let builder = DbKsvd::builder(64, 3).center(center).scale(scale).outliers(outliers);
        let learner = builder.epochs(8).seed(1).build().unwrap();
        let (expected, _) = learner.fit(&samples).unwrap();
        let without = fvu(&expected, &usual);
        assert!(without < 0.1, "{without}");
        for zeros in [600, 1950, 3000] {
            let (model, report) = learner.fit(&padded(&samples, zeros)).unwrap();
            assert_eq!(model.preprocessing(), expected.preprocessing(), "{zeros} {outliers:?}");
            for epoch in &report.epochs {
                assert_eq!((epoch.clipped + epoch.dropped, epoch.zeros), (SINKS, zeros));
                assert_eq!(epoch.samples + epoch.dropped, ROWS, "padding is no sample");
                assert_eq!(epoch.within, ROWS - SINKS);
            }
            let with = fvu(&model, &usual);
            assert!(with < 1.5 * without + 0.01, "{zeros} {outliers:?}: {with} and {without}");
        }
    }
}

#[test]
fn padding_gives_no_atom() {
    let samples = padded(&with_sinks(1.0), 3000);
    let builder = DbKsvd::builder(64, 3).center(true).outliers(Outliers::Drop(3.0)).epochs(0);
    let (model, _) = builder.build().unwrap().fit(&samples).unwrap();
    let mean = model.mean().unwrap();
    let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    for j in 0..64 {
        let atom = model.dictionary().atom(j);
        let cosine = atom.iter().zip(mean).map(|(a, b)| a * b).sum::<f32>() / norm;
        assert!(cosine.abs() < 0.99, "atom {j} is the mean");
    }
}

#[test]
fn without_a_limit_zeros_are_samples_like_others() {
    let samples = padded(&with_sinks(0.0), 600);
    let (model, report) =
        DbKsvd::builder(64, 3).center(true).epochs(1).build().unwrap().fit(&samples).unwrap();
    let epoch = report.epochs[0];
    assert_eq!((epoch.samples, epoch.within, epoch.zeros), (ROWS + 600, ROWS + 600, 600));
    assert_eq!(epoch.fvu, epoch.fvu_within);
    let sum: f64 = (0..ROWS + 600).map(|i| f64::from(samples[(3, i)])).sum();
    let expected = sum / (ROWS + 600) as f64;
    assert!((f64::from(model.mean().unwrap()[3]) - expected).abs() < 1e-6);
}

/// The error of learning with these outliers, from samples of which many are zero.
#[track_caller]
fn error(outliers: Outliers, given: Option<f64>, samples: &Mat<f32>) -> Error {
    let mut builder = DbKsvd::builder(8, 2).outliers(outliers).epochs(3);
    if let Some(limit) = given {
        builder =
            builder.preprocessing(Preprocessing::none().with_norm_limit(Some(limit)).unwrap());
    }
    builder.build().unwrap().fit(samples).unwrap_err()
}

#[test]
fn limits_that_most_samples_pass_are_refused() {
    let samples = padded(&with_sinks(0.0), 3000);
    // A small multiple of the median, and the limit of a model whose data were smaller.
    for (outliers, given, name) in [
        (Outliers::Clip(0.1), None, "clip"),
        (Outliers::Drop(0.1), None, "drop"),
        (Outliers::Clip(3.0), Some(0.01), "clip"),
        (Outliers::Drop(3.0), Some(0.01), "drop"),
    ] {
        match error(outliers, given, &samples) {
            Error::NormLimit { limit, verb, beyond, samples, is_given } => {
                assert_eq!((verb, samples, is_given), (name, ROWS, given.is_some()));
                assert!(beyond > ROWS / 2 && limit > 0.0, "{beyond} {limit}");
            }
            other => panic!("{outliers:?} {given:?}: {other}"),
        }
    }
    let text = error(Outliers::Drop(3.0), Some(0.01), &samples).to_string();
    assert!(text.starts_with("the norm limit of 0.0100 would drop 2000 of 2000 samples"), "{text}");
    assert!(text.ends_with("that of the model given, and does not fit these data"), "{text}");
    let text = error(Outliers::Clip(0.1), None, &samples).to_string();
    assert!(text.ends_with("choose a larger multiple of the median norm"), "{text}");
    // Half of them may lie beyond.
    let half = DbKsvd::builder(8, 2).outliers(Outliers::Drop(1.0)).epochs(1).build().unwrap();
    let epoch = half.fit(&samples).unwrap().1.epochs[0];
    assert!(epoch.dropped > 900 && epoch.dropped <= 1000, "{epoch:?}");
}

#[test]
fn nothing_learned_is_an_error() {
    let zeros = Mat::<f32>::zeros(DIM, 40);
    for outliers in [Outliers::Keep, Outliers::Clip(2.0), Outliers::Drop(2.0)] {
        let error = error(outliers, None, &zeros);
        let expected = Error::NothingLearned { samples: 40, zeros: 40, dropped: 0 };
        assert_eq!(error.to_string(), expected.to_string());
    }
    // The limit was taken from a few samples; all that the first steps meet is dropped.
    let mut samples = with_sinks(0.0);
    samples.as_mut().col_iter_mut().for_each(|mut column| column.fill(100.0));
    samples.as_mut().subcols_mut(0, 400).fill(1.0);
    let builder = DbKsvd::builder(8, 2).outliers(Outliers::Drop(3.0)).minibatch(50);
    let given = Preprocessing::none().with_norm_limit(Some(10.0)).unwrap();
    let mut session = builder.preprocessing(given).build().unwrap().session(DIM, 10).unwrap();
    let first: StepReport = session.step(samples.as_ref().subcols(0, 50)).unwrap();
    assert_eq!((first.samples, first.dropped), (50, 0));
    let second = session.step(samples.as_ref().subcols(500, 50)).unwrap();
    assert_eq!((second.samples, second.dropped), (0, 50));
}

/// An epoch's figures are those of the dictionary it began with, where it is one step.
#[test]
fn an_epoch_tells_the_error_of_rows_within_the_limit() {
    let samples = with_sinks(0.5);
    for outliers in [Outliers::Clip(3.0), Outliers::Drop(3.0)] {
        let builder = DbKsvd::builder(64, 3).center(true).scale(true).outliers(outliers);
        let builder = builder.minibatch(ROWS).seed(3);
        let (initial, _) = builder.clone().epochs(0).build().unwrap().fit(&samples).unwrap();
        let (_, report) = builder.epochs(1).build().unwrap().fit(&samples).unwrap();
        let usual = columns(samples.as_ref(), |sample| !is_sink(sample));
        let expected = fvu(&initial, &usual);
        let found = report.epochs[0].fvu_within;
        assert!((found / expected - 1.0).abs() < 1e-4, "{outliers:?}: {found} {expected}");
        assert_eq!(report.evaluations[0].fvu_within, found, "the minibatches since the start");
    }
}

#[test]
fn measures_of_rows_within_the_limit_are_those_of_these_rows_alone() {
    let samples = padded(&with_sinks(0.5), 500);
    let builder = DbKsvd::builder(64, 3).center(true).outliers(Outliers::Clip(3.0)).epochs(4);
    let held_out = HeldOut::Range(100..900);
    let fit = builder.held_out(held_out).build().unwrap().run(&samples).finish().unwrap();
    let part = samples.as_ref().subcols(100, 800).to_owned();
    let usual =
        columns(part.as_ref(), |sample| !is_sink(sample) && sample.iter().any(|&x| x != 0.0));
    assert!(usual.ncols() < 650);
    for i in 0..800 {
        let sample = part.col_as_slice(i);
        let expected = !is_sink(sample) && sample.iter().any(|&x| x != 0.0);
        assert_eq!(fit.model.preprocessing().is_within(sample), expected);
    }
    let codes = fit.model.encode(&BatchOmp::new(), part.as_ref()).unwrap();
    let measured = reconstruction(&fit.model, part.as_ref(), &codes).unwrap();
    let alone = fvu(&fit.model, &usual);
    assert_eq!((measured.samples(), measured.samples_within()), (800, usual.ncols()));
    assert!(
        (measured.fvu_within() / alone - 1.0).abs() < 1e-9,
        "{} {alone}",
        measured.fvu_within()
    );
    assert!((measured.fvu() / fvu(&fit.model, &part) - 1.0).abs() < 1e-9);
    let ratio = measured.fvu() / measured.fvu_within();
    assert!((ratio - 1.0).abs() > 0.1, "sinks and padding make another figure: {ratio}");
    let last = fit.report.evaluations.last().unwrap();
    assert_eq!((last.samples, last.within), (800, usual.ncols()));
    assert!((last.fvu_within / alone - 1.0).abs() < 1e-3, "{} {alone}", last.fvu_within);
    assert!((last.fvu / measured.fvu() - 1.0).abs() < 1e-2, "{} {}", last.fvu, measured.fvu());
}

#[test]
fn selection_and_stops_go_by_rows_within_the_limit() {
    let samples = with_sinks(0.0);
    let builder = DbKsvd::builder(64, 3).outliers(Outliers::Clip(3.0)).minibatch(300);
    let builder = builder.held_out(HeldOut::Share(0.2)).evaluate_every(Every::Steps(2));
    let run = builder.clone().epochs(5).build().unwrap();
    let fit = run.run(&samples).finish().unwrap();
    let best = fit.best.unwrap();
    let evaluations = &fit.report.evaluations;
    let least = |figure: &dyn Fn(&dbksvd::learn::Evaluation) -> f64| {
        evaluations.iter().map(figure).fold(f64::INFINITY, f64::min)
    };
    assert_eq!(best.fvu_within, least(&|one| one.fvu_within));
    let of_best = evaluations.iter().find(|one| one.step == best.step).unwrap();
    assert_eq!(best.fvu, of_best.fvu);

    // The error of all rows is below the target from the first, that of rows within the limit is
    // not.
    let target = 0.5 * evaluations[0].fvu_within;
    assert!(evaluations[0].fvu < target, "{:?}", evaluations[0]);
    let run = builder.clone().epochs(30).target_fvu(target).build().unwrap();
    let fit = run.run(&samples).finish().unwrap();
    assert_eq!(fit.report.stop, StopReason::TargetFvu);
    let last = fit.report.evaluations.last().unwrap();
    assert!(last.fvu_within <= target && last.step > 2, "{last:?}");

    let plateau = Plateau { window: 2, least: 0.001 };
    let run = builder.clone().epochs(30).plateau(plateau).build().unwrap();
    let flat = run.run(&samples).finish().unwrap().report;
    let errors: Vec<f64> = flat.evaluations.iter().map(|one| one.fvu_within).collect();
    let (before, recent) = errors.split_at(errors.len() - 2);
    let best = |of: &[f64]| of.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(flat.stop != StopReason::Plateau || best(recent) >= 0.999 * best(before));

    let restarts = builder.epochs(2).build().unwrap().run(&samples).best_of(2).unwrap();
    let best = restarts.fit.best.unwrap();
    assert_eq!(restarts.runs[restarts.index].fvu, Some(best.fvu_within));
}

#[test]
fn held_out_samples_that_are_all_beyond_the_limit_are_judged_as_they_are() {
    let mut samples = with_sinks(0.0);
    samples.as_mut().subcols_mut(0, 20).fill(90.0);
    let builder = DbKsvd::builder(16, 2).outliers(Outliers::Drop(3.0)).epochs(2);
    let learner = builder.held_out(HeldOut::Range(0..20)).build().unwrap();
    let fit = learner.run(&samples).finish().unwrap();
    for evaluation in &fit.report.evaluations {
        assert_eq!((evaluation.samples, evaluation.within), (20, 0));
        assert_eq!(evaluation.fvu.to_bits(), evaluation.fvu_within.to_bits());
    }
    assert!(fit.best.is_some());
}

#[test]
fn a_norm_that_overflows_cannot_be_clipped() {
    let mut samples = Mat::from_fn(4, 40, |r, c| ((r * 7 + c * 3) % 5) as f64 - 1.5);
    samples[(2, 30)] = 1e200;
    let of = |outliers| {
        let builder = DbKsvd::builder_on(dbksvd::Faer::<f64>::default(), 8, 2);
        builder.outliers(outliers).epochs(2).build().unwrap().fit(&samples)
    };
    match of(Outliers::Clip(3.0)).unwrap_err() {
        Error::Range { argument, found, .. } => {
            assert_eq!((argument, found), ("samples", f64::INFINITY));
        }
        other => panic!("{other}"),
    }
    // Left out, it does no harm.
    assert_eq!(of(Outliers::Drop(3.0)).unwrap().1.epochs[0].dropped, 1);
}

/// Samples of which runs of `RUN` share a minibatch.
struct Runs(Mat<f32>);

const RUN: usize = 50;

impl SampleSource<f32> for Runs {
    fn dim(&self) -> usize {
        self.0.nrows()
    }

    fn len(&self) -> usize {
        self.0.ncols()
    }

    fn run_length(&self) -> usize {
        RUN
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        SampleSource::<f32>::read(&self.0.as_ref(), range, into)
    }
}

#[test]
fn windows_without_a_row_within_the_limit_end_no_run() {
    // Every fourth minibatch is of large rows alone, in one direction, that one atom explains.
    let mut samples = with_sinks(0.0);
    for run in (0..ROWS / RUN).step_by(4) {
        let mut massive = samples.as_mut().subcols_mut(run * RUN, RUN);
        massive.fill(0.0);
        for i in 0..RUN {
            massive[(3, i)] = 1e3 + i as f32;
        }
    }
    let limit = Preprocessing::none().with_norm_limit(Some(10.0)).unwrap();
    let builder = DbKsvd::builder(16, 2).minibatch(RUN).epochs(3).preprocessing(limit);
    let builder = builder.evaluate_every(Every::Steps(1)).target_fvu(1e-3);
    let fit = builder.build().unwrap().run(&Runs(samples)).finish().unwrap();
    let low = fit.report.evaluations.iter().filter(|one| one.fvu_within < 1e-3);
    assert!(low.clone().count() > 0 && low.clone().all(|one| one.within == 0));
    assert_eq!(fit.report.stop, StopReason::Completed);
}

#[derive(Default)]
struct Steps(Vec<(f64, f64)>);

impl Observer<f32> for Steps {
    fn on_step(&mut self, progress: &dbksvd::learn::Progress) -> ControlFlow<()> {
        self.0.push((progress.fvu, progress.fvu_within));
        ControlFlow::Continue(())
    }
}

#[test]
fn massive_samples_are_told_of() {
    let samples = with_sinks(0.5);
    let learn = |samples: &Mat<f32>, outliers| {
        let builder = DbKsvd::builder(64, 3).center(true).epochs(2).outliers(outliers);
        let mut steps = Steps::default();
        let learner = builder.build().unwrap();
        let (_, report) = learner.fit_with(samples, &mut steps).unwrap();
        (report, steps)
    };
    let (report, steps) = learn(&samples, Outliers::Keep);
    for epoch in &report.epochs {
        let massive = epoch.massive.expect("sixteen rows of norm 300");
        assert_eq!(massive.samples, SINKS);
        assert!(massive.share > 0.95 && massive.share < 1.0, "{massive:?}");
    }
    assert!(steps.0.iter().all(|(all, within)| all == within), "there is no limit");
    let (report, steps) = learn(&samples, Outliers::Clip(3.0));
    assert!(report.epochs.iter().all(|epoch| epoch.massive.is_none()));
    assert!(steps.0.iter().all(|(all, within)| all != within));
    let usual = columns(samples.as_ref(), |sample| !is_sink(sample));
    let (report, _) = learn(&usual, Outliers::Keep);
    assert!(report.epochs.iter().all(|epoch| epoch.massive.is_none()));
}

#[test]
fn parts_that_are_not_given_are_taken_from_the_data() {
    let samples = with_sinks(1.0);
    let mean = vec![0.75_f32; DIM];
    let given = Preprocessing::none().with_mean(Some(mean.clone())).unwrap();
    let learn = |given: &Preprocessing<f32>, builder: dbksvd::learn::Builder<_, _, _>| {
        let learner = builder.epochs(0).preprocessing(given.clone()).build().unwrap();
        let (model, _): (Model<f32>, _) = learner.fit(&samples).unwrap();
        model.preprocessing().clone()
    };
    let builder = || DbKsvd::builder(64, 3).center(true);
    let norms = |mean: &[f32]| -> Vec<f64> {
        let norm = |i| {
            let sample = samples.col_as_slice(i).iter().zip(mean);
            sample.map(|(y, mean)| f64::from(y - mean).powi(2)).sum::<f64>().sqrt()
        };
        let mut norms: Vec<f64> = (0..ROWS).map(norm).collect();
        norms.sort_by(f64::total_cmp);
        norms
    };
    let median = norms(&mean)[ROWS / 2];

    let clipped = learn(&given, builder().outliers(Outliers::Clip(3.0)));
    assert_eq!((clipped.mean(), clipped.scale()), (Some(&mean[..]), 1.0));
    assert!((clipped.norm_limit().unwrap() / (3.0 * median) - 1.0).abs() < 1e-6);
    let scaled = learn(&clipped, builder().outliers(Outliers::Drop(2.0)).scale(true));
    assert_eq!((scaled.mean(), scaled.norm_limit()), (Some(&mean[..]), clipped.norm_limit()));
    assert!(scaled.scale() > 0.5 * median && scaled.scale() < 1.5 * median, "{}", scaled.scale());
    // Everything is given: nothing is asked of the data. Limits are norms before scaling.
    assert_eq!(learn(&scaled, builder().outliers(Outliers::Clip(3.0)).scale(true)), scaled);
    assert_eq!(learn(&scaled, DbKsvd::builder(64, 3)), scaled);
    let centred = learn(&Preprocessing::none().with_scale(2.0).unwrap(), builder());
    assert!(centred.mean().is_some() && centred.scale() == 2.0 && centred.norm_limit().is_none());
}

#[test]
fn new_atoms_are_no_padding() {
    // A dictionary that represents all but the padding's direction, once centred.
    let samples = padded(&with_sinks(1.0), 3000);
    let builder = |atoms| DbKsvd::builder(atoms, 3).center(true).outliers(Outliers::Drop(3.0));
    let (first, _) = builder(32).epochs(1).build().unwrap().fit(&samples).unwrap();
    let given = Initialisation::Given(first.dictionary().clone());
    let grown = builder(48).initialisation(given).epochs(0).build().unwrap();
    let (model, _) = grown.fit(&samples).unwrap();
    let mean = Dictionary::normalized(Mat::from_fn(DIM, 1, |r, _| model.mean().unwrap()[r]));
    let mean = mean.unwrap();
    for j in 32..48 {
        let cosine: f32 =
            model.dictionary().atom(j).iter().zip(mean.atom(0)).map(|(a, b)| a * b).sum();
        assert!(cosine.abs() < 0.99, "atom {j}");
    }
}

#[test]
#[should_panic(expected = "a sample of 2 coordinates, a mean of 3")]
fn a_sample_of_another_dimension_is_a_bug_of_the_caller() {
    let mean = Preprocessing::none().with_mean(Some(vec![0.0_f64; 3])).unwrap();
    let limited = mean.with_norm_limit(Some(1.0)).unwrap();
    let dictionary = Dictionary::new(Mat::<f64>::identity(3, 3)).unwrap();
    let model = Model::new(dictionary, None, 1, Sign::Signed).unwrap();
    let model = model.preprocessed(limited).unwrap();
    let _ = model.preprocessing().is_within(&[1.0, 2.0]);
}
