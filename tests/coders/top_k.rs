//! One-shot coding against a sort of all activations.

use dbksvd::coder::{Coefficients, LinearEncoder, SparseCoder, TopK};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Dictionary, Error, Faer, Model, ProblemShape, Sign};

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
