//! Means, scales and outliers: what learning makes of them, and what models give back.

use dbksvd::coder::BatchOmp;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::metrics::{Recovery, reconstruction};
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Dictionary, Error, Initialisation, Model, Outliers, Preprocessing, Sign};
use tempfile::TempDir;

const DIM: usize = 32;

/// Planted samples of norm about 1.6 with a mean, a constant coordinate, and every 50th sample a
/// huge one: 300 times as long, all near one of three directions.
fn spoilt() -> (Mat<f32>, Dictionary<f32>, Vec<usize>) {
    let planted = Planted::new(DIM, 48, 3, 4000).noise(0.03).seed(5).generate::<f32>().unwrap();
    let mut samples = planted.samples;
    let mut outliers = Vec::new();
    for i in 0..4000 {
        let sample = samples.col_as_slice_mut(i);
        if i % 50 == 7 {
            outliers.push(i);
            let wobble = sample.to_vec();
            sample.fill(0.0);
            for (r, x) in sample.iter_mut().enumerate() {
                let is_on = r % 3 == (i / 50) % 3;
                *x = if is_on { 150.0 } else { 0.0 } + 5.0 * wobble[r];
            }
        }
        sample.iter_mut().enumerate().for_each(|(r, x)| *x += 0.5 + 0.1 * r as f32);
        sample[DIM - 1] = 70.0;
    }
    (samples, planted.dictionary, outliers)
}

/// The share of planted atoms found, where the last coordinate, which is constant, does not count.
fn found(model: &Model<f32>, truth: &Dictionary<f32>) -> f64 {
    let without_last = |dictionary: &Dictionary<f32>| {
        let mut atoms = dictionary.as_mat().to_owned();
        atoms.as_mut().row_mut(DIM - 1).fill(0.0);
        Dictionary::normalized(atoms).unwrap()
    };
    let learned = without_last(model.dictionary());
    // The noise of a few thousand samples, and of those clipped, is in the atoms.
    Recovery::new(&learned, &without_last(truth)).unwrap().recovered(0.97)
}

fn learn(samples: &Mat<f32>, outliers: Outliers) -> (Model<f32>, dbksvd::learn::Report) {
    let learner = DbKsvd::builder(48, 3).epochs(12).center(true).outliers(outliers).seed(2);
    learner.build().unwrap().fit(samples).unwrap()
}

#[test]
fn outliers_do_not_capture_the_dictionary() {
    let (samples, truth, _) = spoilt();
    let (kept, _) = learn(&samples, Outliers::Keep);
    let (clipped, clipping) = learn(&samples, Outliers::Clip(3.0));
    let (dropped, dropping) = learn(&samples, Outliers::Drop(3.0));
    let shares = [&kept, &clipped, &dropped].map(|model| found(model, &truth));
    // Kept, the large samples have atoms of their own, which others then lack.
    assert!(shares[0] < 0.75 && shares[1] > 0.85 && shares[2] > 0.9, "{shares:?}");
    let last = clipping.epochs.last().unwrap();
    assert_eq!((last.clipped, last.dropped, last.samples), (80, 0, 4000));
    let last = dropping.epochs.last().unwrap();
    assert_eq!((last.clipped, last.dropped, last.samples), (0, 80, 3920));
}

#[test]
fn the_mean_is_that_of_the_others() {
    let (samples, _, outliers) = spoilt();
    let mut expected = vec![0.0; DIM];
    for i in (0..4000).filter(|i| !outliers.contains(i)) {
        expected.iter_mut().zip(samples.col_as_slice(i)).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let (model, _) = learn(&samples, Outliers::Drop(3.0));
    for (&found, sum) in model.mean().unwrap().iter().zip(&expected) {
        assert!((f64::from(found) - sum / 3920.0).abs() < 1e-4, "{found} {}", sum / 3920.0);
    }
    assert!(model.preprocessing().norm_limit().is_some_and(|limit| limit > 1.0 && limit < 20.0));
}

#[test]
fn scale_makes_the_mean_norm_one_and_decoding_undoes_it() {
    let data = Planted::new(16, 24, 16, 500).generate::<f64>().unwrap();
    let samples = Mat::from_fn(16, 500, |r, c| 40.0 * data.samples[(r, c)] + 7.0);
    let faer = dbksvd::Faer::<f64>::default();
    let learner = DbKsvd::builder_on(faer, 24, 16).epochs(1).center(true).scale(true);
    let (model, _) = learner.build().unwrap().fit(&samples).unwrap();
    let mean = model.mean().unwrap();
    let norms: f64 = (0..500)
        .map(|i| {
            let sample = samples.col_as_slice(i).iter().zip(mean);
            sample.map(|(y, mean)| (y - mean).powi(2)).sum::<f64>().sqrt()
        })
        .sum();
    let expected = norms / 500.0;
    assert!((model.preprocessing().scale() / expected - 1.0).abs() < 1e-12);
    // As many atoms a sample as dimensions: decoding gives the samples back.
    let codes = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
    let decoded = model.decode(&codes).unwrap();
    for i in 0..500 {
        for (y, found) in samples.col_as_slice(i).iter().zip(decoded.col_as_slice(i)) {
            assert!((y - found).abs() < 1e-6, "{y} {found}");
        }
    }
    assert!(reconstruction(&model, samples.as_ref(), &codes).unwrap().fvu() < 1e-12);
}

#[test]
fn scaling_changes_codes_by_the_scale_alone() {
    let data = Planted::new(16, 24, 3, 300).noise(0.1).generate::<f64>().unwrap();
    let plain = Model::new(data.dictionary, None, 3, Sign::Signed).unwrap();
    let scaling = Preprocessing::none().with_scale(0.25).unwrap();
    let scaled = plain.clone().preprocessed(scaling).unwrap();
    let samples = data.samples.as_ref();
    let one = plain.encode(&BatchOmp::new(), samples).unwrap();
    let other = scaled.encode(&BatchOmp::new(), samples).unwrap();
    for i in 0..300 {
        assert_eq!(one.support(i), other.support(i));
        for (x, z) in one.values(i).iter().zip(other.values(i)) {
            assert!((x - 0.25 * z).abs() < 1e-12);
        }
    }
    assert_eq!(plain.decode(&one).unwrap().ncols(), 300);
}

#[test]
fn everything_survives_a_file() {
    let (samples, ..) = spoilt();
    let learner = DbKsvd::builder(20, 2).epochs(1).scale(true).outliers(Outliers::Clip(2.0));
    let (model, _) = learner.center(true).build().unwrap().fit(&samples).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("model.safetensors");
    model.save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap(), model);
}

#[test]
fn statistics_of_a_sample_are_seeded_and_close() {
    let (samples, ..) = spoilt();
    let learn = |seed, most| {
        let builder = DbKsvd::builder(8, 1).epochs(0).center(true).outliers(Outliers::Clip(3.0));
        let learner = builder.seed(seed).statistics_samples(most).build().unwrap();
        learner.fit(&samples).unwrap().0.preprocessing().clone()
    };
    let (all, few) = (learn(1, 4000), learn(1, 1000));
    assert_eq!(all, learn(2, 4000));
    assert_eq!(few, learn(1, 1000));
    assert_ne!(few, learn(2, 1000));
    let ratio = few.norm_limit().unwrap() / all.norm_limit().unwrap();
    assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
}

#[test]
fn data_without_spread_have_no_scale_and_no_outliers() {
    let constant = Mat::from_fn(4, 50, |r, _| r as f32 + 1.0);
    let builder = DbKsvd::builder(3, 1).center(true).scale(true).outliers(Outliers::Drop(2.0));
    let (model, report) = builder.epochs(2).build().unwrap().fit(&constant).unwrap();
    assert_eq!((model.preprocessing().scale(), model.preprocessing().norm_limit()), (1.0, None));
    assert_eq!(report.epochs[1].samples, 50);
}

#[test]
fn a_minibatch_of_outliers_alone_is_a_step_without_samples() {
    let mut samples = Planted::new(8, 12, 2, 200).generate::<f32>().unwrap().samples;
    samples.as_mut().subcols_mut(0, 10).fill(1e4);
    let drop = Outliers::Drop(5.0);
    let given = Preprocessing::none().with_norm_limit(Some(50.0)).unwrap();
    let builder = DbKsvd::builder(12, 2).outliers(drop).preprocessing(given);
    let learner = builder.initialisation(Initialisation::Gaussian).build().unwrap();
    let mut session = learner.session(8, 10).unwrap();
    let before = session.step(samples.as_ref().subcols(10, 50)).unwrap();
    assert_eq!((before.samples, before.dropped), (50, 0));
    let model = session.model().unwrap();
    let nothing: MatRef<'_, f32> = samples.as_ref().subcols(0, 10);
    let step = session.step(nothing).unwrap();
    assert_eq!((step.samples, step.dropped, step.step), (0, 10, 2));
    assert_eq!(session.model().unwrap(), model);
}

#[test]
fn wrong_values_are_named() {
    let none = Preprocessing::<f32>::none;
    let refused = |result: Result<Preprocessing<f32>, Error>, name: &str| match result {
        Err(Error::Argument { argument, .. }) => assert_eq!(argument, name),
        other => panic!("{name}: {other:?}"),
    };
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60] {
        refused(none().with_scale(scale), "scale");
    }
    for limit in [0.0, f64::NAN, f64::INFINITY] {
        refused(none().with_norm_limit(Some(limit)), "norm_limit");
    }
    refused(none().with_mean(Some(vec![0.0, f32::NAN])), "mean");
    let narrow = none().with_mean(Some(vec![0.0; 3])).unwrap();
    let learner = DbKsvd::builder(4, 1).preprocessing(narrow).build().unwrap();
    let result = learner.fit(&Mat::<f32>::zeros(5, 20));
    assert!(matches!(result, Err(Error::Dimension { argument: "mean", found: 3, expected: 5 })));
}
