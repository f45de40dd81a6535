//! Atoms without negative entries: against NN-K-SVD as published, and on samples made of parts.

use dbksvd::backend::Backend;
use dbksvd::coder::BatchOmp;
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::learn::{Growth, Initialisation};
use dbksvd::metrics::Recovery;
use dbksvd::synthetic::Planted;
use dbksvd::updater::{Decorrelation, DictionaryUpdater, KSvd, LeadingPair, Online, Renewal, Step};
use dbksvd::{DbKsvd, Dictionary, Faer, Model, ProblemShape, Scalar, Sign};

use crate::support::{argument, dense, encode, on_threads};

const SIDE: usize = 6;
const BARS: usize = 2 * SIDE;

/// The bars problem of Földiák (1990): pictures of 6 × 6 pixels that are sums of a few of the 12
/// rows and columns, with weights from 0.5 to 1.5 and a little noise, without negative entries.
fn bars<T: Scalar>(samples: usize) -> (Dictionary<T>, Mat<T>) {
    let bar = |pixel: usize, bar: usize| {
        let (row, column) = (pixel / SIDE, pixel % SIDE);
        if bar < SIDE { row == bar } else { column == bar - SIDE }
    };
    let size = 1.0 / (SIDE as f64).sqrt();
    let atoms = Mat::from_fn(SIDE * SIDE, BARS, |i, j| T::narrow(f64::from(bar(i, j)) * size));
    let noise = |i: usize, n: usize| 0.02 * (1.0 + ((i * samples + n) as f64 * 12.9).sin());
    // Weights of three bars a picture, from a planted problem.
    let data = Planted::new(BARS, BARS, 3, samples).sign(Sign::NonNegative).seed(5);
    let codes = dense(&data.generate::<f64>().unwrap().codes);
    let sums = Mat::from_fn(SIDE * SIDE, BARS, |i, j| atoms[(i, j)].widen()) * codes;
    let samples = Mat::from_fn(SIDE * SIDE, samples, |i, n| T::narrow(sums[(i, n)] + noise(i, n)));
    (Dictionary::new(atoms).unwrap(), samples)
}

#[track_caller]
fn has_no_negatives<T: Scalar>(model: &Model<T>) {
    for j in 0..model.atoms() {
        let least =
            model.dictionary().atom(j).iter().fold(0.0, |least, x| f64::min(least, x.widen()));
        assert!(least >= 0.0, "atom {j} has an entry of {least}");
    }
}

fn learn<T: Scalar, U: DictionaryUpdater<Faer<T>>>(updater: U, samples: &Mat<T>) -> Model<T> {
    let builder = DbKsvd::builder_on(Faer::<T>::default(), BARS, 4).sign(Sign::NonNegative);
    let learner = builder.epochs(60).minibatch(250).seed(2).updater(updater).build().unwrap();
    learner.fit(samples).unwrap().0
}

fn recovers<T: Scalar>(updater: impl DictionaryUpdater<Faer<T>>) {
    let (truth, samples) = bars::<T>(1000);
    let model = learn(updater, &samples);
    has_no_negatives(&model);
    let recovery = Recovery::new(model.dictionary(), &truth).unwrap();
    assert_eq!(recovery.recovered(0.98), 1.0, "mean |cos| {}", recovery.mmcs());
}

#[test]
fn parts_are_recovered() {
    let sign = Sign::NonNegative;
    recovers::<f32>(KSvd::new().atom_sign(sign));
    recovers::<f64>(KSvd::new().atom_sign(sign));
    let pair = LeadingPair::Power { iterations: 5 };
    recovers::<f32>(KSvd::new().atom_sign(sign).leading_pair(pair));
    recovers::<f32>(Online::new().atom_sign(sign));
}

/// A minibatch with a dictionary and codes that have no negative entries.
struct Minibatch {
    y: Mat<f64>,
    d: Mat<f64>,
    codes: SparseCodes<f64>,
    shape: ProblemShape,
}

fn minibatch(sign: Sign) -> Minibatch {
    let (_, y) = bars::<f64>(200);
    let start = Planted::new(SIDE * SIDE, 16, 3, 1).seed(3).generate::<f64>().unwrap().dictionary;
    let mut d = start.into_mat();
    d.col_iter_mut().for_each(|atom| atom.iter_mut().for_each(|x| *x = x.abs()));
    let shape = ProblemShape { dim: SIDE * SIDE, atoms: 16, sparsity: 3, sign };
    let codes = encode::<Faer<f64>, _>(BatchOmp::new(), &d, y.as_ref(), 3, sign);
    Minibatch { y, d, codes, shape }
}

fn update(updater: &KSvd, at: &Minibatch, order: &[u32]) -> (Mat<f64>, SparseCodes<f64>, f64, f64) {
    let backend = Faer::<f64>::default();
    let mut state = updater.prepare(&backend, &at.shape).unwrap();
    let (mut d, mut codes) = (at.d.clone(), at.codes.clone());
    let step = Step::new(order, 0.0);
    let report = updater.update(&backend, &mut state, &at.y, &mut codes, &mut d, &step).unwrap();
    (d, codes, report.error_before, report.error_after)
}

/// NN-K-SVD, on matrices with their zeros: for each atom j, on the samples Ω that use it,
/// `iterations` times d ← max(E x, 0), x ← max(Eᵀd, 0)/‖d‖²; then d ← d/‖d‖, x ← ‖d‖ x.
fn published(at: &Minibatch, order: &[u32], iterations: usize) -> (Mat<f64>, Mat<f64>) {
    let (mut d, mut x) = (at.d.clone(), dense(&at.codes));
    for &j in order {
        let j = j as usize;
        let uses: Vec<usize> = (0..x.ncols()).filter(|&i| x[(j, i)] != 0.0).collect();
        if uses.is_empty() {
            continue;
        }
        let residual = &at.y - &d * &x;
        let e = Mat::from_fn(d.nrows(), uses.len(), |row, u| {
            residual[(row, uses[u])] + d[(row, j)] * x[(j, uses[u])]
        });
        let mut own = Mat::from_fn(uses.len(), 1, |u, _| x[(j, uses[u])]);
        let positive = |a: Mat<f64>| Mat::from_fn(a.nrows(), 1, |i, _| a[(i, 0)].max(0.0));
        let mut atom = Mat::zeros(d.nrows(), 1);
        for _ in 0..iterations {
            atom = positive(&e * &own);
            own = positive(e.transpose() * &atom);
            own *= dbksvd::faer::Scale(1.0 / atom.squared_norm_l2());
        }
        let norm = atom.norm_l2();
        for row in 0..d.nrows() {
            d[(row, j)] = atom[(row, 0)] / norm;
        }
        for (u, &i) in uses.iter().enumerate() {
            x[(j, i)] = own[(u, 0)] * norm;
        }
    }
    (d, x)
}

#[test]
fn a_sweep_is_that_of_nn_ksvd() {
    let at = minibatch(Sign::NonNegative);
    let order: Vec<u32> = (0..16).map(|j| (j * 5) % 16).collect();
    for iterations in [1, 4] {
        let pair = LeadingPair::Power { iterations };
        let updater = KSvd::textbook().leading_pair(pair).atom_sign(Sign::NonNegative);
        let (d, codes, before, after) = update(&updater, &at, &order);
        let (expected, x) = published(&at, &order, iterations);
        assert!((&d - &expected).norm_max() < 1e-10, "{iterations} iterations");
        assert!((dense(&codes) - x).norm_max() < 1e-9, "{iterations} iterations");
        assert!(after < before);
    }
}

#[test]
fn no_sweep_raises_the_error() {
    for sign in [Sign::Signed, Sign::NonNegative] {
        let at = minibatch(sign);
        let order: Vec<u32> = (0..16).rev().collect();
        for pair in [LeadingPair::Power { iterations: 1 }, LeadingPair::Exact] {
            for atom_batch in [1, 5, 16] {
                let updater = KSvd::textbook().atom_sign(Sign::NonNegative).leading_pair(pair);
                let updater = updater.atom_batch(atom_batch);
                let (d, _, before, after) = update(&updater, &at, &order);
                assert!(after < before, "{before} to {after}: {updater:?}");
                assert!(d.col_iter().all(|atom| atom.iter().all(|&x| x >= 0.0)), "{updater:?}");
                let signed = update(&updater.atom_sign(Sign::Signed), &at, &order);
                let has_negatives = signed.0.col_iter().any(|d| d.iter().any(|&x| x < 0.0));
                assert!(has_negatives, "the samples do not tell the two apart: {updater:?}");
            }
        }
    }
}

/// Atoms of a first dictionary lose their negative entries in the first update, and the report is
/// of the codes on the dictionary that was given.
#[test]
fn a_first_dictionary_may_have_negative_entries() {
    let mut at = minibatch(Sign::Signed);
    at.d = Planted::new(SIDE * SIDE, 16, 3, 1).generate::<f64>().unwrap().dictionary.into_mat();
    at.d.col_mut(2).iter_mut().for_each(|x| *x = -x.abs());
    let coder = BatchOmp::new();
    at.codes = encode::<Faer<f64>, _>(coder, &at.d, at.y.as_ref(), 3, Sign::Signed);
    let updater = KSvd::new().atom_sign(Sign::NonNegative);
    let order: Vec<u32> = (0..16).collect();
    let (d, codes, before, after) = update(&updater, &at, &order);
    assert!(d.col_iter().all(|atom| atom.iter().all(|&x| x >= 0.0)));
    let backend = Faer::<f64>::default();
    let mut r = backend.zeros(1, 1).unwrap();
    backend.residual(&mut r, &at.y, &at.d, &at.codes);
    assert!((before - r.squared_norm_l2()).abs() < 1e-9 * before);
    backend.residual(&mut r, &at.y, &d, &codes);
    assert!((after - r.squared_norm_l2()).abs() < 1e-9 * before);
}

/// Dead atoms, growth and Gaussian directions: nothing brings negative entries.
#[test]
fn nothing_brings_negative_entries() {
    let planted = Planted::new(16, 32, 3, 1500).noise(0.1).seed(4);
    let samples = planted.generate::<f32>().unwrap().samples;
    let renewal = Renewal { min_usage: 0.6, max_coherence: 0.8, window: 5.0, until: 1.0 };
    let ksvd = KSvd::new().atom_sign(Sign::NonNegative).renewal(Some(renewal));
    let learn = |sign: Sign| {
        let builder = DbKsvd::builder(32, 3).sign(sign).epochs(4).minibatch(400);
        let builder = builder.initialisation(Initialisation::Gaussian).updater(ksvd);
        let growth = Growth { doublings: 2, until: 0.5 };
        builder.growth(Some(growth)).build().unwrap().fit(&samples).unwrap()
    };
    for sign in [Sign::Signed, Sign::NonNegative] {
        let (model, report) = learn(sign);
        has_no_negatives(&model);
        let renewed: usize = report.epochs.iter().map(|epoch| epoch.replaced + epoch.merged).sum();
        assert!(renewed > 0, "no atom was renewed: the test shows nothing of renewal");
        for threads in [1, 3] {
            assert!(on_threads(threads, || learn(sign)).0 == model, "{threads} threads");
        }
    }
}

#[test]
fn decorrelation_is_refused_beside_it() {
    let decorrelation = Some(Decorrelation::default());
    let updater = KSvd::new().atom_sign(Sign::NonNegative).decorrelation(decorrelation);
    let error = DbKsvd::builder(8, 2).updater(updater).build().unwrap_err();
    assert!(error.to_string().contains("2.8"), "{error}");
    assert_eq!(argument(error), "decorrelation");
}
