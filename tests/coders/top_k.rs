//! One-shot coding against a sort of all activations.

use dbksvd::coder::{Coefficients, LinearEncoder, MeanBudget, SparseCoder, TopK};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::{Mat, mat};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Dictionary, Error, Faer, Model, Preprocessing, ProblemShape, Sign};

const DIM: usize = 17;
const ATOMS: usize = 90;
const SAMPLES: usize = 300;

fn planted(kind: Kind) -> (Mat<f64>, Mat<f64>) {
    let data = Planted::new(DIM, ATOMS, 4, SAMPLES).kind(kind).noise(0.3).generate::<f64>();
    let data = data.expect("a legal problem");
    (data.dictionary.into_mat(), data.samples)
}

fn weights() -> Mat<f64> {
    Mat::from_fn(DIM, ATOMS, |i, j| (1.3 * i as f64 + 0.7 * j as f64).sin())
}

fn bias() -> Vec<f64> {
    (0..ATOMS).map(|j| 0.02 * j as f64 - 1.0).collect()
}

/// The k largest activations by a sort, zeros left out.
fn sorted(activations: &[f64], k: usize, sign: Sign) -> Vec<(u32, f64)> {
    let rectify = |h: f64| if sign == Sign::NonNegative { h.max(0.0) } else { h };
    let mut all: Vec<(u32, f64)> =
        activations.iter().enumerate().map(|(j, &h)| (j as u32, rectify(h))).collect();
    all.retain(|&(_, h)| h != 0.0);
    all.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all
}

fn assert_codes(codes: &SparseCodes<f64>, activations: &Mat<f64>, k: usize, sign: Sign) {
    for i in 0..codes.samples() {
        let expected = sorted(activations.col_as_slice(i), k, sign);
        let (atoms, values): (Vec<u32>, Vec<f64>) = expected.into_iter().unzip();
        assert_eq!(codes.support(i), atoms, "sample {i}");
        for (found, expected) in codes.values(i).iter().zip(values) {
            assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "sample {i}");
        }
    }
}

#[test]
fn projections_on_the_dictionary() {
    for kind in [Kind::Planted, Kind::Correlated] {
        let (d, y) = planted(kind);
        for sign in [Sign::Signed, Sign::NonNegative] {
            for k in [1, 4, 17] {
                let codes =
                    crate::support::encode::<Faer<f64>, _>(TopK::new(), &d, y.as_ref(), k, sign);
                assert_codes(&codes, &(d.transpose() * &y), k, sign);
            }
        }
    }
}

#[test]
fn activations_of_an_encoder() {
    let (d, y) = planted(Kind::Planted);
    let encoder = LinearEncoder::new(weights(), Some(bias())).expect("finite weights");
    let activations = weights().transpose() * &y;
    let activations = Mat::from_fn(ATOMS, SAMPLES, |j, i| activations[(j, i)] + bias()[j]);
    for sign in [Sign::Signed, Sign::NonNegative] {
        let coder = TopK::by_encoder(encoder.clone());
        let codes = crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), 6, sign);
        assert_codes(&codes, &activations, 6, sign);
    }
}

/// A dictionary's transpose as the encoder is no encoder at all.
#[test]
fn the_dictionary_as_an_encoder() {
    let (d, y) = planted(Kind::Planted);
    let encoder = LinearEncoder::new(d.clone(), None).expect("finite weights");
    let encode =
        |coder| crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), 5, Sign::Signed);
    assert_eq!(encode(TopK::by_encoder(encoder)), encode(TopK::new()));
}

/// The bias b of an autoencoder's decoder is the model's mean: activations are those of y − b, and
/// b is added when decoding.
#[test]
fn the_mean_is_subtracted_before_the_encoder() {
    let (d, y) = planted(Kind::Planted);
    let mean: Vec<f64> = (0..DIM).map(|i| 0.1 * i as f64).collect();
    let centred = Mat::from_fn(DIM, SAMPLES, |i, n| y[(i, n)] - mean[i]);
    let encoder = LinearEncoder::new(weights(), Some(bias())).expect("finite weights");
    let coder = TopK::by_encoder(encoder);
    let model = |mean| {
        let dictionary = Dictionary::new(d.clone()).expect("unit atoms");
        Model::new(dictionary, mean, 5, Sign::NonNegative).expect("a legal model")
    };
    let codes = model(Some(mean.clone())).encode(&coder, y.as_ref()).expect("finite samples");
    let expected = model(None).encode(&coder, centred.as_ref()).expect("finite samples");
    assert_eq!(codes, expected);
}

#[test]
fn a_refit_is_least_squares_on_the_same_atoms() {
    let (d, y) = planted(Kind::Correlated);
    let encode =
        |coder, sign| crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), 5, sign);
    let refitted = || TopK::new().coefficients(Coefficients::Refitted);
    let (plain, codes) = (encode(TopK::new(), Sign::Signed), encode(refitted(), Sign::Signed));
    let left = &y - &d * crate::support::dense(&codes);
    for i in 0..SAMPLES {
        assert_eq!(codes.support(i), plain.support(i), "sample {i}");
        let size = y.col(i).norm_l2() + codes.values(i).iter().map(|x| x.abs()).sum::<f64>();
        for &atom in codes.support(i) {
            let correlation = d.col(atom as usize).transpose() * left.col(i);
            assert!(correlation.abs() <= 1e-11 * size, "sample {i}: {correlation}");
        }
    }
    // Non-negative least squares: no atom at zero would help, and none is negative.
    let (plain, codes) =
        (encode(TopK::new(), Sign::NonNegative), encode(refitted(), Sign::NonNegative));
    let left = &y - &d * crate::support::dense(&codes);
    for i in 0..SAMPLES {
        let size = y.col(i).norm_l2() + codes.values(i).iter().sum::<f64>();
        assert!(codes.values(i).iter().all(|&x| x > 0.0), "sample {i}");
        for &atom in plain.support(i) {
            let correlation = d.col(atom as usize).transpose() * left.col(i);
            let used = codes.support(i).contains(&atom);
            let bound = 1e-11 * size;
            assert!(correlation <= bound && (!used || correlation >= -bound), "sample {i}");
        }
    }
}

#[test]
fn the_zero_sample_has_the_empty_code_whatever_the_bias() {
    let (d, _) = planted(Kind::Planted);
    let encoder = LinearEncoder::new(weights(), Some(vec![1.0; ATOMS])).expect("finite weights");
    let zeros = Mat::<f64>::zeros(DIM, 2);
    let coder = TopK::by_encoder(encoder);
    let codes = crate::support::encode::<Faer<f64>, _>(coder, &d, zeros.as_ref(), 5, Sign::Signed);
    assert_eq!(codes.nnz(), 0);
}

#[track_caller]
fn refused<R>(result: Result<R, Error>, name: &str, value: &str) {
    let Err(error) = result else { panic!("`{name}` = {value} is accepted") };
    let Error::Argument { argument, found, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*argument, found.as_str()), (name, value), "{error}");
}

#[test]
fn bad_encoders_are_refused() {
    refused(LinearEncoder::<f64>::new(Mat::zeros(0, 3), None), "weights", "0 × 3");
    refused(LinearEncoder::<f64>::new(Mat::zeros(2, 3), Some(vec![0.0; 2])), "bias", "2");
    let mut broken = weights();
    broken[(2, 7)] = f64::NAN;
    // Activations of samples within the range would not be finite.
    let large = 2_f32.powi(100);
    let found = format!("norm {:e} of column 0", f64::from(large));
    refused(LinearEncoder::new(mat![[large, 0.0]], None), "weights", &found);
    let bias_of = |size: f32| Some(vec![0.0, size]);
    let found = format!("{} of atom 1", -3e30_f32);
    refused(LinearEncoder::new(mat![[1.0, 0.0]], bias_of(-3e30)), "bias", &found);
    refused(LinearEncoder::new(broken, None), "weights", "NaN at (2, 7)");
    let mut broken = bias();
    broken[3] = f64::INFINITY;
    refused(LinearEncoder::new(weights(), Some(broken)), "bias", "inf of atom 3");
}

#[test]
fn an_encoder_of_another_shape_is_refused() {
    let coder = TopK::by_encoder(LinearEncoder::new(weights(), None).expect("finite weights"));
    let check = |dim, atoms| {
        let shape = ProblemShape { dim, atoms, sparsity: 2, sign: Sign::Signed };
        SparseCoder::<Faer<f64>>::check(&coder, &shape)
    };
    check(DIM, ATOMS).expect("its own shape");
    refused(check(DIM, ATOMS + 1), "encoder", "weights for 90 atoms");
    refused(check(DIM + 1, ATOMS), "encoder", "weights for samples of dimension 17");
}

/// With a threshold, k is a limit: the k largest of those above it.
#[test]
fn activations_above_a_threshold() {
    let (d, y) = planted(Kind::Planted);
    let products = d.transpose() * &y;
    for sign in [Sign::Signed, Sign::NonNegative] {
        for (k, threshold) in [(17, 0.5), (2, 0.5), (17, 1e9)] {
            let coder = TopK::new().threshold(threshold);
            let codes = crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), k, sign);
            let above = Mat::from_fn(ATOMS, SAMPLES, |j, i| {
                if products[(j, i)].abs() > threshold { products[(j, i)] } else { 0.0 }
            });
            assert_codes(&codes, &above, k, sign);
        }
    }
}

fn model(sign: Sign, k: usize) -> (Model<f64>, Mat<f64>) {
    let (d, y) = planted(Kind::Planted);
    (Model::new(Dictionary::new(d).unwrap(), None, k, sign).unwrap(), y)
}

/// The threshold lies where the wanted number of activations, over all samples, is above it.
#[test]
fn a_mean_budget_is_met_exactly() {
    for (sign, encoder) in
        [(Sign::Signed, false), (Sign::NonNegative, false), (Sign::NonNegative, true)]
    {
        let (model, y) = model(sign, 17);
        let coder = if encoder {
            TopK::by_encoder(LinearEncoder::new(weights(), Some(bias())).unwrap())
        } else {
            TopK::new()
        };
        let scorer = if encoder { weights() } else { model.dictionary().as_mat().to_owned() };
        let mut h = scorer.transpose() * &y;
        for j in 0..ATOMS {
            h.row_mut(j).iter_mut().for_each(|h| {
                *h += if encoder { bias()[j] } else { 0.0 };
                *h = if sign == Sign::NonNegative { *h } else { h.abs() };
            });
        }
        for mean in [0.5, 1.0 / 300.0, 3.21] {
            let coder = MeanBudget::new(mean).fit(coder.clone(), &model, &y).unwrap();
            assert!(coder.threshold > 0.0);
            let above = |i: usize| h.col(i).iter().filter(|&&h| h > coder.threshold).count();
            let total: usize = (0..SAMPLES).map(above).sum();
            assert_eq!(total, (mean * 300.0_f64).round() as usize);
            let codes = model.encode(&coder, y.as_ref()).unwrap();
            assert!((0..SAMPLES).all(|i| codes.support(i).len() == above(i).min(17)));
        }
    }
}

/// What is forgotten on the way does not matter: the threshold is that of a sort of all.
#[test]
fn a_mean_budget_is_that_of_a_sort() {
    let (model, y) = model(Sign::Signed, 17);
    // Read in several batches, the largest last.
    let many = Mat::from_fn(DIM, 10_000, |i, n| y[(i, n % SAMPLES)] * (1.0 + n as f64 / 1e3));
    let coder = MeanBudget::new(2.0).fit(TopK::new(), &model, &many).unwrap();
    let products = model.dictionary().as_mat().transpose() * &many;
    let mut sizes: Vec<f64> =
        (0..10_000).flat_map(|n| products.col_as_slice(n)).map(|h| h.abs()).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    assert!((coder.threshold - sizes[20_000]).abs() < 1e-9 * sizes[0]);
}

/// Few rows of extreme norm do not use up the budget of all.
#[test]
fn a_mean_budget_is_of_rows_within_the_norm_limit() {
    let (model, y) = model(Sign::Signed, 17);
    let plain = MeanBudget::new(2.0).fit(TopK::new(), &model, &y).unwrap();
    let largest = (0..SAMPLES).map(|n| y.col(n).norm_l2()).fold(0.0, f64::max);
    let limit = Preprocessing::none().with_norm_limit(Some(2.0 * largest)).unwrap();
    let model = model.preprocessed(limit).unwrap();
    let with_massive =
        Mat::from_fn(
            DIM,
            SAMPLES + 3,
            |i, n| if n < SAMPLES { y[(i, n)] } else { 1e4 * y[(i, 0)] },
        );
    let coder = MeanBudget::new(2.0).fit(TopK::new(), &model, &with_massive).unwrap();
    assert_eq!(coder, plain);
}

#[test]
fn a_mean_budget_that_cannot_be_met_is_refused() {
    let (model, y) = model(Sign::Signed, 17);
    for mean in [0.0, -1.0, 17.5, f64::NAN] {
        let error = MeanBudget::new(mean).fit(TopK::new(), &model, &y).unwrap_err();
        assert!(matches!(error, Error::Argument { argument: "nonzeros", .. }), "{error}");
    }
    let none = Mat::<f64>::zeros(DIM, 0);
    let error = MeanBudget::new(1.0).fit(TopK::new(), &model, &none).unwrap_err();
    assert!(matches!(error, Error::NoSamples { .. }), "{error}");
    let other = Mat::<f64>::zeros(DIM + 1, 4);
    let error = MeanBudget::new(1.0).fit(TopK::new(), &model, &other).unwrap_err();
    assert!(matches!(error, Error::Dimension { .. }), "{error}");
    // The zero sample has the empty code, whatever the bias: the others share what it does not use.
    let encoder = LinearEncoder::new(weights(), Some(vec![1e3; ATOMS])).unwrap();
    let coder = TopK::by_encoder(encoder);
    let half = Mat::from_fn(DIM, 20, |i, n| if n < 10 { 0.0 } else { y[(i, n)] });
    let fitted = MeanBudget::new(2.0).fit(coder, &model, &half).unwrap();
    let codes = model.encode(&fitted, half.as_ref()).unwrap();
    assert!((0..10).all(|n| codes.support(n).is_empty()));
    assert_eq!(codes.nnz(), 40);
    // Activations that run out leave the threshold at 0.
    let coder = MeanBudget::new(17.0).fit(TopK::new(), &model, &Mat::<f64>::zeros(DIM, 4)).unwrap();
    assert_eq!(coder.threshold, 0.0);
    for threshold in [-1.0, f64::INFINITY] {
        let error = model.encode(&TopK::new().threshold(threshold), y.as_ref()).unwrap_err();
        assert!(matches!(error, Error::Argument { argument: "threshold", .. }), "{error}");
    }
}
