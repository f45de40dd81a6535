//! Data at the edge of sense: they work, and the tests say what happens.

use std::ops::ControlFlow;

use dbksvd::coder::{BatchOmp, Selection};
use dbksvd::faer::Mat;
use dbksvd::learn::{EpochReport, Observer, Progress, Report, Snapshot, StopReason};
use dbksvd::synthetic::Planted;
use dbksvd::updater::KSvd;
use dbksvd::{DbKsvd, Dictionary, Error, Faer, Initialisation, Model, Scalar, Sign, SparseCodes};

/// What one way to learn makes of a problem.
struct Learned {
    model: Model<f32>,
    report: Report,
    codes: SparseCodes<f32>,
    sign: Sign,
}

impl Learned {
    /// The last epoch, if any.
    fn last(&self) -> EpochReport {
        *self.report.epochs.last().expect("an epoch")
    }

    /// ‖Y − ŷ‖² / ‖Y‖² of the model's own codes.
    fn relative_error(&self, samples: &Mat<f32>) -> f64 {
        let decoded = self.model.decode(&self.codes).unwrap();
        let error = (samples - decoded).squared_norm_l2();
        f64::from(error) / f64::from(samples.squared_norm_l2())
    }
}

/// Rounding of f32 over a few operations.
const ROUNDING: f64 = 64.0 * f32::EPSILON as f64;

/// Learns `atoms` atoms of `samples` in every way there is (OMP and OLS, of either sign, by the
/// default updater and by the textbook) and checks what holds for all data.
fn learn(samples: &Mat<f32>, atoms: usize, sparsity: usize) -> Vec<Learned> {
    let mut all = Vec::new();
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            for updater in [KSvd::new(), KSvd::textbook()] {
                let coder = BatchOmp::new().selection(selection);
                let builder = DbKsvd::builder(atoms, sparsity).coder(coder).updater(updater);
                let learner = builder.sign(sign).epochs(4).minibatch(1000).build().unwrap();
                let (model, report) = learner.fit(samples).unwrap();
                let codes = model.encode(&coder, samples.as_ref()).unwrap();
                let learned = Learned { model, report, codes, sign };
                check(&learned, samples);
                all.push(learned);
            }
        }
    }
    all
}

/// Unit atoms, finite codes within budget and sign, errors that are numbers and not above ‖Y‖².
fn check(learned: &Learned, samples: &Mat<f32>) {
    let Learned { model, report, codes, sign } = learned;
    for j in 0..model.atoms() {
        let norm = model.dictionary().atom(j).iter().map(|x| x.widen().powi(2)).sum::<f64>().sqrt();
        assert!((norm - 1.0).abs() <= ROUNDING, "atom {j} has norm {norm}");
    }
    for (support, values) in codes.iter() {
        let mut distinct = support.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() == support.len() && support.len() <= model.sparsity());
        assert!(values.iter().all(|x| x.is_finite() && (*sign == Sign::Signed || *x >= 0.0)));
    }
    let first = samples.col(0);
    let have_variance = samples.col_iter().any(|sample| sample != first);
    for epoch in &report.epochs {
        let is_share = epoch.fvu >= 0.0 && !epoch.fvu.is_nan();
        assert!(is_share || !have_variance, "{epoch:?}");
        assert!((0.0..=1.0 + ROUNDING).contains(&epoch.relative_error), "{epoch:?}");
        assert_eq!(epoch.samples, samples.ncols(), "{epoch:?}");
    }
}

fn planted(dim: usize, atoms: usize, sparsity: usize, samples: usize) -> Mat<f32> {
    Planted::new(dim, atoms, sparsity, samples).seed(3).generate().unwrap().samples
}

#[test]
fn zero_samples_have_empty_codes_and_teach_nothing() {
    let samples = Mat::<f32>::zeros(6, 20);
    let builder = DbKsvd::builder(8, 2).epochs(4);
    let fit = builder.clone().build().unwrap().run(&samples).finish().unwrap();
    assert_eq!(fit.report.stop, StopReason::Failed);
    let nothing = Error::NothingLearned { samples: 20, zeros: 20, dropped: 0 };
    assert_eq!(fit.failure.unwrap().to_string(), nothing.to_string());
    // The dictionary is the one that it began with, which may still code.
    let (model, _) = builder.epochs(0).build().unwrap().fit(&samples).unwrap();
    assert_eq!(model, fit.model);
    assert_eq!(model.encode(&BatchOmp::new(), samples.as_ref()).unwrap().nnz(), 0);
}

#[test]
fn zeros_among_samples_have_empty_codes() {
    let mut samples = planted(6, 8, 2, 60);
    samples.col_mut(0).fill(0.0);
    samples.col_mut(59).fill(0.0);
    for learned in learn(&samples, 8, 2) {
        assert!(learned.codes.support(0).is_empty() && learned.codes.support(59).is_empty());
        assert!(learned.last().fvu < 0.6, "{:?}", learned.last());
    }
}

#[test]
fn duplicate_samples_have_the_same_code() {
    let few = planted(6, 8, 2, 30);
    let samples = Mat::from_fn(6, 60, |row, i| few[(row, i % 30)]);
    for learned in learn(&samples, 8, 2) {
        for i in 0..30 {
            assert_eq!(learned.codes.support(i), learned.codes.support(i + 30));
            assert_eq!(learned.codes.values(i), learned.codes.values(i + 30));
        }
    }
}

#[test]
fn one_sample_repeated_is_one_atom_and_others_at_random() {
    let few = planted(6, 8, 2, 1);
    let samples = Mat::from_fn(6, 40, |row, _| few[(row, 0)]);
    for learned in learn(&samples, 8, 2) {
        assert!(learned.relative_error(&samples) < ROUNDING);
    }
}

#[test]
fn a_sample_equal_to_an_atom_is_coded_by_it_alone() {
    let data = Planted::new(6, 8, 2, 1).generate::<f32>().unwrap();
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            let model = Model::new(data.dictionary.clone(), None, 2, sign).unwrap();
            let coder = BatchOmp::new().selection(selection);
            let codes = model.encode(&coder, data.dictionary.as_mat()).unwrap();
            for j in 0..8 {
                assert_eq!(codes.support(j)[0], j as u32);
                assert!((codes.values(j)[0].widen() - 1.0).abs() < ROUNDING);
                assert!(codes.values(j)[1..].iter().all(|x| x.widen().abs() < ROUNDING));
            }
        }
    }
}

#[test]
fn constant_data_are_one_atom() {
    let samples = Mat::from_fn(5, 30, |_, _| 2.0_f32);
    for learned in learn(&samples, 6, 2) {
        assert!(learned.relative_error(&samples) < ROUNDING);
    }
}

/// Centring leaves nothing, or rounding.
#[test]
fn constant_data_that_are_centred_are_the_mean() {
    let samples = Mat::from_fn(5, 30, |row, _| 0.1 + row as f32);
    for center in [KSvd::new(), KSvd::textbook()] {
        let learner = DbKsvd::builder(6, 2).center(true).epochs(2).updater(center).build().unwrap();
        let (model, _) = learner.fit(&samples).unwrap();
        let codes = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
        let decoded = model.decode(&codes).unwrap();
        let error = f64::from((&samples - decoded).norm_l2()) / f64::from(samples.norm_l2());
        assert!(error < ROUNDING, "{error}");
    }
}

/// Samples of rank 2 in eight dimensions: two atoms of the plane give any of them.
#[test]
fn rank_deficient_data_are_given_exactly_by_as_many_atoms() {
    let plane = planted(8, 2, 2, 2);
    let weights = planted(2, 4, 2, 80);
    let samples = Mat::from_fn(8, 80, |row, i| {
        plane[(row, 0)] * weights[(0, i)] + plane[(row, 1)] * weights[(1, i)]
    });
    for learned in learn(&samples, 12, 4) {
        let bound = if learned.sign == Sign::Signed { ROUNDING } else { 0.1 };
        assert!(learned.relative_error(&samples) < bound, "{}", learned.relative_error(&samples));
    }
}

#[test]
fn fewer_samples_than_atoms_are_all_atoms() {
    let samples = planted(6, 8, 2, 5);
    for learned in learn(&samples, 20, 2) {
        assert!(learned.relative_error(&samples) < ROUNDING);
    }
}

#[test]
fn one_sample_is_one_atom() {
    let samples = planted(6, 8, 2, 1);
    for learned in learn(&samples, 3, 2) {
        assert!(learned.relative_error(&samples) < ROUNDING);
        // The variance of one sample is 0, or rounding: FVU is no measure of it.
    }
}

#[test]
fn one_dimension_has_the_atoms_plus_and_minus_one() {
    let samples = planted(1, 1, 1, 25);
    for learned in learn(&samples, 4, 1) {
        for j in 0..4 {
            assert_eq!(learned.model.dictionary().atom(j)[0].abs(), 1.0);
        }
        let signed = learned.sign == Sign::Signed;
        assert!(!signed || learned.relative_error(&samples) < ROUNDING);
    }
}

#[test]
fn one_atom_is_the_principal_direction() {
    let samples = planted(6, 8, 2, 50);
    let decomposed = samples.svd().unwrap();
    let largest = decomposed.S().column_vector()[0];
    let expected = 1.0 - f64::from(largest * largest) / f64::from(samples.squared_norm_l2());
    let builder = DbKsvd::builder(1, 1).epochs(60).minibatch(50).updater(KSvd::textbook());
    let (_, report) = builder.build().unwrap().fit(&samples).unwrap();
    let error = report.epochs[59].relative_error;
    assert!((error - expected).abs() < 8.0 * ROUNDING, "{error}, expected {expected}");
    learn(&samples, 1, 1);
}

#[test]
fn a_minibatch_of_more_than_all_samples_is_all_of_them() {
    let samples = planted(6, 8, 2, 30);
    let fit = |minibatch| {
        let learner = DbKsvd::builder(8, 2).epochs(2).minibatch(minibatch).build().unwrap();
        learner.fit(&samples).unwrap()
    };
    let ((all, report), (more, _)) = (fit(30), fit(usize::MAX));
    assert_eq!(report.steps, 2);
    assert_eq!(all, more);
}

#[test]
fn a_minibatch_of_one_works() {
    let samples = planted(6, 8, 2, 30);
    let learner = DbKsvd::builder(8, 2).epochs(2).minibatch(1).build().unwrap();
    let (model, report) = learner.fit(&samples).unwrap();
    assert_eq!(report.steps, 60);
    assert!(report.epochs.iter().all(|epoch| epoch.fvu.is_finite()));
    assert!(model.dictionary().as_mat().norm_l2().is_finite());
}

#[test]
fn no_epochs_give_the_first_dictionary() {
    let data = Planted::new(6, 8, 2, 30).generate::<f32>().unwrap();
    let given = Initialisation::Given(data.dictionary.clone());
    let learner = DbKsvd::builder(8, 2).epochs(0).initialisation(given).build().unwrap();
    let (model, report) = learner.fit(&data.samples).unwrap();
    assert!(report.epochs.is_empty() && report.steps == 0);
    let difference = model.dictionary().as_mat() - data.dictionary.as_mat();
    assert!(f64::from(difference.norm_max()) <= 4.0 * f64::from(f32::EPSILON));
}

#[test]
fn no_samples_have_no_codes() {
    let data = Planted::new(6, 8, 2, 1).generate::<f32>().unwrap();
    let model = Model::new(data.dictionary, None, 2, Sign::Signed).unwrap();
    let codes = model.encode(&BatchOmp::new(), Mat::zeros(6, 0).as_ref()).unwrap();
    assert_eq!((codes.samples(), codes.nnz()), (0, 0));
    assert_eq!(model.decode(&codes).unwrap().shape(), (6, 0));
}

/// Atoms whose squares overflow or vanish have a direction all the same, or are refused.
#[test]
fn atoms_of_extreme_size_are_normalised_or_refused() {
    for size in [1e200, 1e-200] {
        let atoms = Mat::from_fn(3, 2, |i, j| size * (1 + i + j) as f64);
        let norms = Dictionary::normalized(atoms).map(|dictionary| {
            dictionary.as_mat().col_iter().map(|atom| atom.norm_l2()).collect::<Vec<f64>>()
        });
        let unit = |norms: &Vec<f64>| norms.iter().all(|norm| (norm - 1.0).abs() < 1e-12);
        assert!(norms.as_ref().map_or(true, unit), "size {size}: {norms:?}");
    }
}

/// Finite samples whose squares are not: an error or a result, but no NaN.
#[test]
fn samples_whose_squares_overflow_give_no_nan() {
    for size in [1e200, 1e-200] {
        let small = Planted::new(6, 8, 2, 40).generate::<f64>().unwrap().samples;
        let samples = Mat::from_fn(6, 40, |i, j| size * small[(i, j)]);
        let builder = DbKsvd::builder_on(Faer::<f64>::default(), 8, 2).epochs(2);
        let Ok((model, report)) = builder.build().unwrap().fit(&samples) else { continue };
        assert!(model.dictionary().as_mat().norm_l2().is_finite(), "{size}");
        assert!(report.epochs.iter().all(|epoch| !epoch.fvu.is_nan()), "{size}: {report:?}");
    }
}

/// A mean far above the spread must not drown the variance: the report measures as `metrics` does.
#[test]
fn the_reported_error_does_not_depend_on_an_offset() {
    let data = Planted::new(16, 24, 2, 400).noise(0.2).generate::<f64>().unwrap().samples;
    let fvu = |offset: f64| {
        let samples = Mat::from_fn(16, 400, |i, j| data[(i, j)] + offset);
        let builder = DbKsvd::builder_on(Faer::<f64>::default(), 24, 2).center(true).epochs(1);
        builder.build().unwrap().fit(&samples).unwrap().1.epochs[0].fvu
    };
    let (near, far) = (fvu(0.0), fvu(1e7));
    assert!((near - far).abs() < 1e-3 * near, "{near} and {far}");
}

/// Samples whose squares leave the range of `f32` are refused; large ones that stay within work.
#[test]
fn samples_beyond_the_range_are_refused() {
    let data = Planted::new(16, 24, 2, 400).generate::<f32>().unwrap().samples;
    for (scale, within) in [(1e-14, true), (1e14, true), (1e-25, false), (1e20, false)] {
        let samples = Mat::from_fn(16, 400, |i, j| scale * data[(i, j)]);
        let fit = DbKsvd::builder(24, 2).epochs(8).build().unwrap().fit(&samples);
        match fit {
            Ok((_, report)) => assert!(within && report.epochs[7].fvu < 0.2, "{scale}"),
            Err(error) => {
                assert!(!within && error.to_string().contains("scale the data"), "{error}");
            }
        }
    }
}

/// Learning until an observer ends it, which is told of every full epoch.
#[test]
fn epochs_without_end_are_ended_by_an_observer() {
    struct Count {
        steps: usize,
        epochs: usize,
    }
    impl Observer<f32> for Count {
        fn on_step(&mut self, _: &Progress) -> ControlFlow<()> {
            self.steps += 1;
            if self.steps == 8 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        fn on_epoch(&mut self, _: &EpochReport, snapshot: &Snapshot<'_, f32>) -> ControlFlow<()> {
            self.epochs += 1;
            assert_eq!(snapshot.model().unwrap().atoms(), 12);
            ControlFlow::Continue(())
        }
    }
    let data = Planted::new(8, 12, 2, 400).generate::<f32>().unwrap().samples;
    for (epochs, stop) in [(usize::MAX, StopReason::Observer), (2, StopReason::Completed)] {
        let mut count = Count { steps: 0, epochs: 0 };
        let learner = DbKsvd::builder(12, 2).epochs(epochs).minibatch(100).build().unwrap();
        let (_, report) = learner.fit_with(&data, &mut count).unwrap();
        assert_eq!((count.steps, count.epochs, report.epochs.len()), (8, 2, 2));
        assert_eq!(report.stop, stop);
    }
}

/// Opposite samples are different atoms if codes cannot be negative.
#[test]
fn opposite_samples_both_start_a_non_negative_dictionary() {
    let samples = Mat::from_fn(8, 160, |i, j| match j % 16 {
        axis if axis / 2 == i => 1.0 - 2.0 * (axis % 2) as f32,
        _ => 0.0,
    });
    let builder = DbKsvd::builder(16, 1).sign(Sign::NonNegative).epochs(0);
    let (model, _) = builder.build().unwrap().fit(&samples).unwrap();
    let codes = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
    assert_eq!(model.decode(&codes).unwrap(), samples);
}

/// A given dictionary is of unit norm to the precision of a file; learning makes it so exactly.
#[test]
fn a_given_dictionary_is_normalised_on_entry() {
    let samples = Planted::new(8, 12, 2, 100).generate::<f32>().unwrap().samples;
    let unit = Planted::new(8, 12, 2, 1).generate::<f32>().unwrap().dictionary.into_mat();
    let rough = Dictionary::new(Mat::from_fn(8, 12, |i, j| 1.002 * unit[(i, j)])).unwrap();
    let builder = DbKsvd::builder(12, 2).initialisation(Initialisation::Given(rough)).epochs(0);
    let (model, _) = builder.build().unwrap().fit(&samples).unwrap();
    for j in 0..12 {
        let norm = model.dictionary().as_mat().col(j).norm_l2();
        assert!((norm - 1.0).abs() <= 4.0 * f32::EPSILON, "{norm}");
    }
}
