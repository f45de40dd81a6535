//! `omp` and `omp_gram` against scikit-learn's codes in `fixtures/sklearn`, on atoms of any norm.

use dbksvd::coder::{Selection, Tolerance};
use dbksvd::faer::Mat;
use dbksvd::pursuit::{Pursuit, Stop};
use dbksvd::{Scalar, SparseCodes};

use crate::support::{array, columns, narrow, sorted};

/// Norms that atoms are given, from 1/8 to 8, and the scale of samples: none a power of two.
fn norm(atom: usize) -> f64 {
    0.125 * 1.37_f64.powi((atom * 5 % 14) as i32)
}
const SCALE: f64 = 300.0;

/// Codes the fixture in the precision of `T` by both functions, and compares: as
/// `tests/coders/sklearn.rs` does, whose bounds these are.
fn check<T: Scalar>(problem: &str, pursuit: &str, selection: Selection, squared: Option<f64>) {
    let path = |name: &str| format!("fixtures/sklearn/{problem}/{name}.npy");
    let of_pursuit = |name: &str| path(&format!("{pursuit}_{name}"));
    let (shape, supports) = array::<i32>(&of_pursuit("support"));
    let (_, values) = array::<f64>(&of_pursuit("values"));
    let (gaps, conditions) =
        (array::<f64>(&of_pursuit("gap")).1, array::<f64>(&of_pursuit("condition")).1);
    let (dictionary, samples) = (columns(&path("dictionary")), columns(&path("samples")));
    let k = shape[1];
    let scaled =
        Mat::from_fn(dictionary.nrows(), dictionary.ncols(), |i, j| norm(j) * dictionary[(i, j)]);
    let larger = Mat::from_fn(samples.nrows(), samples.ncols(), |i, j| SCALE * samples[(i, j)]);
    let tolerance = squared.map(|squared| Tolerance::Absolute(SCALE * squared.sqrt()));
    let stop = Stop { sparsity: Some(k), tolerance };
    let rule = Pursuit::new(stop).selection(selection);

    let (narrow_d, narrow_y) = (narrow::<T>(scaled.as_ref()), narrow::<T>(larger.as_ref()));
    let (gram, products) = (scaled.transpose() * &scaled, scaled.transpose() * &larger);
    let squares: Vec<f64> = larger.col_iter().map(|sample| sample.squared_norm_l2()).collect();
    let (gram, products) = (narrow::<T>(gram.as_ref()), narrow::<T>(products.as_ref()));
    let all: [SparseCodes<T>; 3] = [
        rule.codes(&narrow_d, &narrow_y).unwrap(),
        rule.through_gram(true).codes(&narrow_d, &narrow_y).unwrap(),
        rule.codes_from_products(&gram, &products, Some(&squares)).unwrap(),
    ];
    for codes in &all {
        let rounding = 8.0 * dictionary.nrows() as f64 * T::EPSILON;
        let mut compared = 0;
        for i in 0..samples.ncols() {
            // The error of a residual is that of the sample times the condition number.
            if gaps[i] <= rounding * conditions[i].sqrt() {
                continue;
            }
            let row = i * k..(i + 1) * k;
            let used = supports[row.clone()].iter().take_while(|&&atom| atom >= 0).count();
            let expected: Vec<u32> =
                supports[row.clone()][..used].iter().map(|&atom| atom as u32).collect();
            assert_eq!(sorted(codes.support(i)), expected, "sample {i}");
            compared += 1;
            let bound = conditions[i] * rounding * samples.col(i).norm_l2();
            for (&atom, value) in codes.support(i).iter().zip(codes.values(i)) {
                let at = expected.binary_search(&atom).unwrap();
                let found = value.widen() * norm(atom as usize) / SCALE;
                let expected = values[row.start + at];
                assert!((found - expected).abs() <= bound, "sample {i}: {found}, not {expected}");
            }
        }
        assert!(10 * compared >= 9 * samples.ncols(), "only {compared} samples away from ties");
    }
}

#[test]
fn by_number() {
    for problem in ["iid", "mean", "decay"] {
        check::<f64>(problem, "omp", Selection::Correlation, None);
        check::<f64>(problem, "ols", Selection::LeastSquares, None);
    }
}

#[test]
fn by_number_in_single_precision() {
    check::<f32>("iid", "omp", Selection::Correlation, None);
    check::<f32>("iid", "ols", Selection::LeastSquares, None);
}

#[test]
fn to_a_tolerance() {
    check::<f64>("iid", "tolerance", Selection::Correlation, Some(1.0));
    check::<f64>("decay", "tolerance", Selection::Correlation, Some(0.15));
}
