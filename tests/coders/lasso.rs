//! The lasso against scikit-learn's values (`fixtures/sklearn/lasso.py`), against the conditions of
//! optimality, and at the limit of nonzeros.

use crate::support::{array, columns, dense, encode, narrow, sorted};
use dbksvd::coder::{BatchOmp, Coefficients, Lasso, SparseCoder};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Faer, ProblemShape, Scalar, Sign};

/// Samples of a problem for which there are values.
const SAMPLES: usize = 20;

struct Fixture {
    dictionary: Mat<f64>,
    samples: Mat<f64>,
    penalties: Vec<f64>,
    /// X (m × N) for each penalty.
    codes: Vec<Mat<f64>>,
}

impl Fixture {
    fn load(problem: &str, sign: Sign) -> Self {
        let path = |name: &str| format!("fixtures/sklearn/{problem}/{name}.npy");
        let sign = if sign == Sign::Signed { "" } else { "nonnegative_" };
        let dictionary = columns(&path("dictionary"));
        let samples = columns(&path("samples")).subcols(0, SAMPLES).to_owned();
        let (_, penalties) = array::<f64>(&path("lasso_penalty"));
        let (_, rows) = array::<i32>(&path(&format!("lasso_{sign}rows")));
        let (_, values) = array::<f64>(&path(&format!("lasso_{sign}values")));
        let mut codes = vec![Mat::zeros(dictionary.ncols(), SAMPLES); penalties.len()];
        for (row, value) in rows.chunks(3).zip(values) {
            let [penalty, sample, atom] = [row[0] as usize, row[1] as usize, row[2] as usize];
            codes[penalty][(atom, sample)] = value;
        }
        Self { dictionary, samples, penalties, codes }
    }

    /// The largest difference of a coefficient from the expected one, over ‖y‖.
    fn worst<T: Scalar>(&self, sign: Sign) -> f64 {
        let dictionary = narrow::<T>(self.dictionary.as_ref());
        let samples = narrow::<T>(self.samples.as_ref());
        let most = dictionary.nrows();
        let mut worst = 0.0_f64;
        for (&penalty, expected) in self.penalties.iter().zip(&self.codes) {
            let coder = Lasso::new(penalty);
            let codes = encode::<Faer<T>, _>(coder, &dictionary, samples.as_ref(), most, sign);
            let difference = dense(&codes) - expected;
            for i in 0..SAMPLES {
                let size = self.samples.col(i).norm_l2();
                worst = difference.col(i).iter().fold(worst, |worst, x| worst.max(x.abs() / size));
            }
        }
        worst
    }
}

#[test]
fn codes_are_those_of_scikit_learn() {
    for problem in ["iid", "mean", "decay"] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            let fixture = Fixture::load(problem, sign);
            let (double, single) = (fixture.worst::<f64>(sign), fixture.worst::<f32>(sign));
            assert!(double < 1e-9, "{problem}, {sign:?}: {double:e}");
            // The problem itself is rounded to single precision.
            assert!(single < 1e-3, "{problem}, {sign:?}: {single:e}");
        }
    }
}

/// By how much the correlations of the residual, over λ, differ from what they are at the optimum:
/// λ sign(x) of atoms in use, and at most λ of the others.
fn violation(
    dictionary: MatRef<'_, f64>,
    sample: MatRef<'_, f64>,
    code: MatRef<'_, f64>,
    penalty: f64,
    sign: Sign,
) -> f64 {
    let correlations = dictionary.transpose() * (sample - dictionary * code);
    let of_atom = |j: usize| match (code[(j, 0)], sign) {
        (x, _) if x != 0.0 => (correlations[(j, 0)] - penalty * x.signum()).abs(),
        (_, Sign::Signed) => correlations[(j, 0)].abs() - penalty,
        (_, Sign::NonNegative) => correlations[(j, 0)] - penalty,
    };
    (0..dictionary.ncols()).map(of_atom).fold(0.0, f64::max) / penalty
}

/// λ of a code that the limit ended: the largest correlation that is left.
fn penalty_of(
    dictionary: MatRef<'_, f64>,
    sample: MatRef<'_, f64>,
    code: MatRef<'_, f64>,
    sign: Sign,
) -> f64 {
    let correlations = dictionary.transpose() * (sample - dictionary * code);
    let size = |c: &f64| if sign == Sign::Signed { c.abs() } else { *c };
    correlations.col(0).iter().map(size).fold(0.0, f64::max)
}

/// On coherent data with many atoms that join and leave. Whatever ends the path, its end is the
/// lasso of some λ, which is the wanted one unless k nonzeros are in use.
#[test]
fn codes_are_optimal_and_within_the_limit() {
    let mut limited = 0;
    for sign in [Sign::Signed, Sign::NonNegative] {
        for kind in [Kind::Correlated, Kind::Anisotropic] {
            let planted = Planted::new(30, 90, 4, 150).kind(kind).sign(sign).noise(0.1);
            let data = planted.seed(3).generate::<f64>().unwrap();
            let (d, y) = (data.dictionary.into_mat(), data.samples);
            let k = 12;
            for penalty in [0.5, 0.1, 0.01] {
                let codes = encode::<Faer<f64>, _>(Lasso::new(penalty), &d, y.as_ref(), k, sign);
                let codes = dense(&codes);
                for i in 0..y.ncols() {
                    let (y, x) = (y.as_ref().subcols(i, 1), codes.as_ref().subcols(i, 1));
                    let used = x.col(0).iter().filter(|&&x| x != 0.0).count();
                    let reached = penalty_of(d.as_ref(), y, x, sign);
                    let is_at_end = reached <= penalty * (1.0 + 1e-9);
                    limited += usize::from(!is_at_end);
                    assert!(is_at_end || used == k, "λ {reached} for {penalty}, {used} nonzeros");
                    // Of a zero code, any λ above its correlations is one.
                    let penalty = if is_at_end { penalty } else { reached };
                    let violation = violation(d.as_ref(), y, x, penalty, sign);
                    assert!(violation < 1e-8, "sample {i}: {violation:e}, λ {penalty}, {sign:?}");
                    assert!(sign == Sign::Signed || x.col(0).iter().all(|&x| x >= 0.0));
                }
            }
        }
    }
    assert!(limited > 100, "only {limited} samples reach the limit of nonzeros");
}

/// Copies, opposite atoms, sums of others, samples that are atoms, and correlations that are equal
/// by symmetry: the path has events at one λ, and ends at an optimum all the same.
#[test]
fn ties_and_dependent_atoms() {
    let half = 0.5_f64.sqrt();
    let axes: [[f64; 4]; 11] = [
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, -1.0, 0.0, 0.0],
        [half, half, 0.0, 0.0],
        [half, -half, 0.0, 0.0],
        [0.0, half, half, 0.0],
        [0.5, 0.5, 0.5, 0.5],
        [0.5, -0.5, 0.5, -0.5],
    ];
    let d = Mat::from_fn(4, axes.len(), |i, j| axes[j][i]);
    let rows = [
        [1.0, 1.0, 1.0, 1.0],
        [1.0, 1.0, 0.0, 0.0],
        [2.0, -1.0, 1.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [3.0, 1.0, 3.0, 1.0],
        [1.0, 2.0, 1.0, -1.0],
    ];
    let y = Mat::from_fn(4, rows.len(), |i, n| rows[n][i]);
    for sign in [Sign::Signed, Sign::NonNegative] {
        for penalty in [1.5, 0.5, 0.25, 0.01] {
            let codes = encode::<Faer<f64>, _>(Lasso::new(penalty), &d, y.as_ref(), 4, sign);
            let codes = dense(&codes);
            for i in 0..y.ncols() {
                let (y, x) = (y.as_ref().subcols(i, 1), codes.as_ref().subcols(i, 1));
                let violation = violation(d.as_ref(), y, x, penalty, sign);
                assert!(violation < 1e-12, "sample {i}, λ {penalty}, {sign:?}: {violation:e}");
            }
        }
    }
}

fn planted<T: Scalar>() -> (Mat<T>, Mat<T>) {
    let data = Planted::new(24, 60, 3, 300).noise(0.05).seed(4).generate::<T>().unwrap();
    (data.dictionary.into_mat(), data.samples)
}

fn error<T: Scalar>(d: &Mat<T>, y: &Mat<T>, codes: &SparseCodes<T>) -> f64 {
    let wide = |a: &Mat<T>| Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)].widen());
    (wide(y) - wide(d) * dense(codes)).squared_norm_l2()
}

/// A refit keeps the atoms, and the error is between those of the lasso and of OMP.
#[test]
fn a_refit_takes_the_shrinkage_back() {
    let (d, y) = planted::<f32>();
    let lasso = Lasso::new(0.3);
    let shrunk = encode::<Faer<f32>, _>(lasso, &d, y.as_ref(), 3, Sign::Signed);
    let coder = lasso.coefficients(Coefficients::Refitted);
    let refitted = encode::<Faer<f32>, _>(coder, &d, y.as_ref(), 3, Sign::Signed);
    for i in 0..y.ncols() {
        assert_eq!(sorted(shrunk.support(i)), sorted(refitted.support(i)), "sample {i}");
    }
    let omp = encode::<Faer<f32>, _>(BatchOmp::new(), &d, y.as_ref(), 3, Sign::Signed);
    let [shrunk, refitted, omp] = [shrunk, refitted, omp].map(|codes| error(&d, &y, &codes));
    assert!(omp < refitted && refitted < 0.5 * shrunk, "{omp} {refitted} {shrunk}");
}

#[test]
fn rows_of_the_gram_matrix_that_are_not_kept_give_the_same_codes_to_rounding() {
    let (d, y) = planted::<f64>();
    for penalty in [0.0, 0.2] {
        let coder = Lasso::new(penalty);
        let kept = encode::<Faer<f64>, _>(coder, &d, y.as_ref(), 5, Sign::Signed);
        let coder = coder.gram_limit(0);
        let computed = encode::<Faer<f64>, _>(coder, &d, y.as_ref(), 5, Sign::Signed);
        let worst = (dense(&kept) - dense(&computed)).norm_max();
        assert!(worst < 1e-10, "{worst:e}");
    }
}

#[test]
fn bad_penalties_are_refused() {
    let shape = ProblemShape { dim: 8, atoms: 12, sparsity: 3, sign: Sign::Signed };
    let check = |coder: Lasso| SparseCoder::<Faer<f32>>::check(&coder, &shape);
    assert!(check(Lasso::new(0.0)).is_ok());
    for penalty in [-0.1, f64::NAN, f64::INFINITY] {
        let message = check(Lasso::new(penalty)).unwrap_err().to_string();
        assert!(message.contains("`penalty`"), "{message}");
        assert!(message.contains(&penalty.to_string()), "{message}");
    }
}
