//! Equality with scikit-learn's OMP, and with brute-force oracles of the variants it does not have,
//! on the values in `fixtures/sklearn`; `make.py` there says what they are.

use crate::support::{narrow, sorted};
use dbksvd::coder::{BatchOmp, Omp, Selection, SparseCoder, Tolerance};
use dbksvd::faer::Mat;
use dbksvd::{Faer, Scalar, Sign};

/// A problem, the codes expected, and how well each is determined.
struct Fixture {
    dictionary: Mat<f64>,
    samples: Mat<f64>,
    sparsity: usize,
    supports: Vec<Vec<u32>>,
    values: Vec<Vec<f64>>,
    gap: Vec<f64>,
    condition: Vec<f64>,
}

impl Fixture {
    fn load(problem: &str, pursuit: &str) -> Self {
        let path = |name: &str| format!("fixtures/sklearn/{problem}/{name}.npy");
        let of_pursuit = |name: &str| path(&format!("{pursuit}_{name}"));
        let (shape, support) = crate::support::array::<i32>(&of_pursuit("support"));
        let (_, values) = crate::support::array::<f64>(&of_pursuit("values"));
        let sparsity = shape[1];
        let used = |row: &[i32]| row.iter().take_while(|&&atom| atom >= 0).count();
        let rows = || support.chunks(sparsity).zip(values.chunks(sparsity));
        Self {
            dictionary: crate::support::columns(&path("dictionary")),
            samples: crate::support::columns(&path("samples")),
            sparsity,
            supports: rows()
                .map(|(atoms, _)| atoms[..used(atoms)].iter().map(|&atom| atom as u32).collect())
                .collect(),
            values: rows().map(|(atoms, values)| values[..used(atoms)].to_vec()).collect(),
            gap: crate::support::array(&of_pursuit("gap")).1,
            condition: crate::support::array(&of_pursuit("condition")).1,
        }
    }

    /// What rounding to `T` does to a sum of d terms, over the norm of what is summed.
    fn rounding<T: Scalar>(&self) -> f64 {
        8.0 * self.dictionary.nrows() as f64 * T::EPSILON
    }

    /// Samples whose candidates lie further apart than the precision of `T` can confuse: the
    /// error of a residual is that of the sample times the condition number κ of the atoms chosen.
    fn clear<T: Scalar>(&self) -> Vec<usize> {
        let confused = |i: usize| self.rounding::<T>() * self.condition[i].sqrt();
        (0..self.supports.len()).filter(|&i| self.gap[i] > confused(i)).collect()
    }

    /// Codes every sample in the precision of `T`; on at least `share` of the samples away from
    /// ties the support must be the expected one, and wherever it is, so must the coefficients, to
    /// κ² · rounding · ‖y‖: the error of least squares by the normal equations.
    fn check<T, C>(&self, coder: C, sign: Sign, share: f64)
    where
        T: Scalar,
        C: SparseCoder<Faer<T>>,
    {
        let (dictionary, samples) =
            (narrow::<T>(self.dictionary.as_ref()), narrow::<T>(self.samples.as_ref()));
        let codes = crate::support::encode::<Faer<T>, C>(
            coder,
            &dictionary,
            samples.as_ref(),
            self.sparsity,
            sign,
        );
        let clear = self.clear::<T>();
        assert!(
            10 * clear.len() >= 9 * samples.ncols(),
            "only {} samples away from ties",
            clear.len()
        );
        let (agree, differ): (Vec<_>, Vec<_>) =
            clear.iter().partition(|&&i| sorted(codes.support(i)) == self.supports[i]);
        assert!(
            agree.len() as f64 >= share * clear.len() as f64,
            "{} of {} supports differ: samples {differ:?}",
            differ.len(),
            clear.len()
        );
        for &&i in &agree {
            let size = self.samples.col(i).norm_l2();
            let bound = self.condition[i] * self.rounding::<T>() * size;
            for (atom, value) in codes.support(i).iter().zip(codes.values(i)) {
                let at = self.supports[i].binary_search(atom).expect("supports are equal");
                let (found, expected) = (value.widen(), self.values[i][at]);
                assert!(
                    (found - expected).abs() <= bound,
                    "sample {i}, atom {atom}: {found}, expected {expected} to {bound:e}"
                );
            }
        }
    }

    /// All of it in f64, 99% of it in f32.
    fn check_both<C>(&self, coder: C, sign: Sign)
    where
        C: SparseCoder<Faer<f64>> + SparseCoder<Faer<f32>> + Copy,
    {
        self.check::<f64, C>(coder, sign, 1.0);
        self.check::<f32, C>(coder, sign, 0.99);
    }
}

/// One test per problem for a pursuit by one coder.
macro_rules! pursuit {
    ($name:ident, $pursuit:literal, $sign:expr, $coder:expr, [$($problem:ident),+]) => {
        mod $name {
            use super::*;
            $(
                #[test]
                fn $problem() {
                    Fixture::load(stringify!($problem), $pursuit).check_both($coder, $sign);
                }
            )+
        }
    };
}

pursuit!(omp, "omp", Sign::Signed, Omp::new(), [iid, mean, decay]);
pursuit!(batch_omp, "omp", Sign::Signed, BatchOmp::new(), [iid, mean, decay]);

pursuit!(omp_ols, "ols", Sign::Signed, Omp::new().selection(LS), [iid, mean, decay]);
pursuit!(batch_omp_ols, "ols", Sign::Signed, BatchOmp::new().selection(LS), [iid, mean, decay]);
const LS: Selection = Selection::LeastSquares;

pursuit!(omp_nonnegative, "nonnegative", Sign::NonNegative, Omp::new(), [iid, mean, positive]);
pursuit!(
    batch_omp_nonnegative,
    "nonnegative",
    Sign::NonNegative,
    BatchOmp::new(),
    [iid, mean, positive]
);

/// scikit-learn's `tol` is a squared norm.
fn to(squared: f64) -> Tolerance {
    Tolerance::Absolute(squared.sqrt())
}

#[test]
fn omp_to_a_tolerance() {
    Fixture::load("iid", "tolerance").check_both(Omp::new().tolerance(to(1.0)), Sign::Signed);
    Fixture::load("decay", "tolerance").check_both(Omp::new().tolerance(to(0.15)), Sign::Signed);
}

#[test]
fn batch_omp_to_a_tolerance() {
    let coder = |squared| BatchOmp::new().tolerance(to(squared));
    Fixture::load("iid", "tolerance").check_both(coder(1.0), Sign::Signed);
    Fixture::load("decay", "tolerance").check_both(coder(0.15), Sign::Signed);
}
