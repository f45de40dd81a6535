//! Equality with KSVD.jl on the values in `reference/ksvdjl`; its README says what each file is.

use crate::support::{assert_close, dense, flip_columns, flip_rows, signs, sparse};
use dbksvd::coder::{BatchOmp, Coefficients, MatchingPursuit, Omp, SparseCoder, Tolerance};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::updater::{AtomRule, DictionaryUpdater, KSvd, Step, UpdateReport};
use dbksvd::{Faer, ProblemShape, Sign};
use dbksvd::{HostBackend, Reference};

/// The budget of every file.
const SPARSITY: usize = 4;

/// Two float64 implementations that sum in different orders differ by some 1e-13 here; the least
/// gap between two candidates is 3e-6, the least gap between two singular values 40%.
const TOLERANCE: f64 = 1e-8;

fn load(name: &str) -> Mat<f64> {
    crate::support::columns(&format!("reference/ksvdjl/{name}.npy"))
}

/// A pursuit from D0 gives the codes in `expected`: supports equal, coefficients to [`TOLERANCE`].
fn codes_match<B, C>(coder: C, expected: &str)
where
    B: HostBackend<Scalar = f64> + Default,
    C: SparseCoder<B>,
{
    let all = codes_within_budget_match::<B, C>(coder, expected);
    assert_eq!(all, load(expected).ncols(), "samples within the budget");
}

/// As [`codes_match`], but for samples to which the reference gives more than k nonzeros, which it
/// may. Returns how many are left.
fn codes_within_budget_match<B, C>(coder: C, expected: &str) -> usize
where
    B: HostBackend<Scalar = f64> + Default,
    C: SparseCoder<B>,
{
    let (y, d0, expected) = (load("Y"), load("D0"), load(expected));
    let codes = crate::support::encode::<B, C>(coder, &d0, y.as_ref(), SPARSITY, Sign::Signed);
    let found = dense(&codes);
    let nonzeros = |i| expected.col(i).iter().filter(|&&x| x != 0.0).count();
    let within: Vec<usize> = (0..y.ncols()).filter(|&i| nonzeros(i) <= SPARSITY).collect();
    for &i in &within {
        let wanted = sparse(expected.as_ref().subcols(i, 1), SPARSITY);
        assert_eq!(crate::support::sorted(codes.support(i)), wanted.support(0), "sample {i}");
        let (found, expected) = (found.as_ref().subcols(i, 1), expected.as_ref().subcols(i, 1));
        assert_close(found, expected, TOLERANCE);
    }
    within.len()
}

/// One update of `dictionary` and `codes` with a fresh state, atoms in order.
fn update<B>(
    updater: KSvd,
    y: MatRef<'_, f64>,
    codes: &mut SparseCodes<f64>,
    dictionary: &mut Mat<f64>,
) -> UpdateReport
where
    B: HostBackend<Scalar = f64> + Default,
    KSvd: DictionaryUpdater<B>,
{
    let backend = B::default();
    let (dim, atoms) = dictionary.shape();
    let shape = ProblemShape { dim, atoms, sparsity: SPARSITY, sign: Sign::Signed };
    updater.check(&shape).expect("an updater for this shape");
    let mut state = updater.prepare(&backend, &shape).expect("memory");
    let (mut device_y, mut device_d) =
        (backend.zeros(0, 0).expect("memory"), backend.zeros(0, 0).expect("memory"));
    backend.upload(y, &mut device_y).expect("memory");
    backend.upload(dictionary.as_ref(), &mut device_d).expect("memory");
    let order: Vec<u32> = (0..atoms as u32).collect();
    let step = Step::new(&order, 0.0);
    let report = updater
        .update(&backend, &mut state, &device_y, codes, &mut device_d, &step)
        .expect("memory");
    *dictionary = backend.download(&device_d).expect("memory");
    report
}

/// ‖Y − DX‖²_F / ‖Y‖²_F.
fn relative_error(y: MatRef<'_, f64>, d: MatRef<'_, f64>, x: MatRef<'_, f64>) -> f64 {
    (y - d * x).squared_norm_l2() / y.squared_norm_l2()
}

/// One update from (Y, D0, X_omp) gives `D1_<name>` and `X1_<name>`, up to the signs of atoms.
fn update_matches<B>(updater: KSvd, name: &str)
where
    B: HostBackend<Scalar = f64> + Default,
    KSvd: DictionaryUpdater<B>,
{
    let (y, mut d, x0) = (load("Y"), load("D0"), load("X_omp"));
    let (d1, x1) = (load(&format!("D1_{name}")), load(&format!("X1_{name}")));
    let mut codes = sparse(x0.as_ref(), SPARSITY);
    let before = relative_error(y.as_ref(), d.as_ref(), x0.as_ref());
    let report = update::<B>(updater, y.as_ref(), &mut codes, &mut d);

    let signs = signs(d.as_ref(), d1.as_ref());
    assert_close(flip_columns(d.as_ref(), &signs).as_ref(), d1.as_ref(), TOLERANCE);
    assert_close(flip_rows(dense(&codes).as_ref(), &signs).as_ref(), x1.as_ref(), TOLERANCE);

    let after = relative_error(y.as_ref(), d1.as_ref(), x1.as_ref());
    assert!((report.error_before / y.squared_norm_l2() - before).abs() <= TOLERANCE, "{report:?}");
    assert!((report.error_after / y.squared_norm_l2() - after).abs() <= TOLERANCE, "{report:?}");
    assert_eq!(report.nonzeros, SPARSITY * y.ncols());
    assert_eq!((report.unused, report.replaced, report.merged), (0, 0, 0));
}

/// Ten times (sequential update, then pursuit): the errors are `errors10`, the end is D10, X10.
fn alternations_match<B, C>(coder: C)
where
    B: HostBackend<Scalar = f64> + Default,
    C: SparseCoder<B> + Copy,
    KSvd: DictionaryUpdater<B>,
{
    let (y, mut d, x0) = (load("Y"), load("D0"), load("X_omp"));
    let (_, errors) = crate::support::array::<f64>("reference/ksvdjl/errors10.npy");
    let mut codes = sparse(x0.as_ref(), SPARSITY);
    for (alternation, &expected) in errors.iter().enumerate() {
        update::<B>(KSvd::textbook(), y.as_ref(), &mut codes, &mut d);
        codes = crate::support::encode::<B, C>(coder, &d, y.as_ref(), SPARSITY, Sign::Signed);
        let error = relative_error(y.as_ref(), d.as_ref(), dense(&codes).as_ref());
        assert!(
            (error - expected).abs() <= TOLERANCE,
            "alternation {alternation}: error {error}, expected {expected}"
        );
    }
    let (d10, x10) = (load("D10"), load("X10"));
    let signs = signs(d.as_ref(), d10.as_ref());
    assert_close(flip_columns(d.as_ref(), &signs).as_ref(), d10.as_ref(), TOLERANCE);
    assert_close(flip_rows(dense(&codes).as_ref(), &signs).as_ref(), x10.as_ref(), TOLERANCE);
}

#[test]
fn omp_with_k_atoms() {
    codes_match::<Faer<f64>, _>(Omp::new(), "X_omp");
    codes_match::<Reference<f64>, _>(Omp::new(), "X_omp");
}

#[test]
fn batch_omp_with_k_atoms() {
    codes_match::<Faer<f64>, _>(BatchOmp::new(), "X_omp");
    codes_match::<Reference<f64>, _>(BatchOmp::new(), "X_omp");
}

#[test]
fn omp_to_a_relative_tolerance() {
    let coder = Omp::new().tolerance(Tolerance::Relative(0.5));
    codes_match::<Faer<f64>, _>(coder, "X_omp_rtol05");
    codes_match::<Reference<f64>, _>(coder, "X_omp_rtol05");
}

#[test]
fn batch_omp_to_a_relative_tolerance() {
    let coder = BatchOmp::new().tolerance(Tolerance::Relative(0.5));
    codes_match::<Faer<f64>, _>(coder, "X_omp_rtol05");
    codes_match::<Reference<f64>, _>(coder, "X_omp_rtol05");
}

#[test]
fn matching_pursuit() {
    codes_match::<Faer<f64>, _>(MatchingPursuit::new(), "X_mp");
    codes_match::<Faer<f64>, _>(MatchingPursuit::new().gram_limit(0), "X_mp");
    codes_match::<Reference<f64>, _>(MatchingPursuit::new(), "X_mp");
}

#[test]
fn matching_pursuit_refitted() {
    let coder = MatchingPursuit::new().coefficients(Coefficients::Refitted);
    codes_match::<Faer<f64>, _>(coder, "X_mp_refit");
    codes_match::<Reference<f64>, _>(coder, "X_mp_refit");
}

/// The reference goes over the budget on 88 of 300 samples; ours never does.
#[test]
fn matching_pursuit_to_a_relative_tolerance() {
    let coder = MatchingPursuit::new().coefficients(Coefficients::Refitted);
    let coder = coder.tolerance(Tolerance::Relative(0.5));
    assert_eq!(codes_within_budget_match::<Faer<f64>, _>(coder, "X_mp_refit_rtol05"), 212);
    assert_eq!(codes_within_budget_match::<Reference<f64>, _>(coder, "X_mp_refit_rtol05"), 212);
}

#[test]
fn sequential_update() {
    update_matches::<Faer<f64>>(KSvd::textbook(), "sequential");
    update_matches::<Reference<f64>>(KSvd::textbook(), "sequential");
}

#[test]
fn atom_batches_of_one() {
    let updater = KSvd::textbook().atom_rule(AtomRule::Shared).atom_batch(1);
    update_matches::<Faer<f64>>(updater, "batch1");
}

#[test]
fn atom_batches_of_eight() {
    let updater = KSvd::textbook().atom_rule(AtomRule::Shared).atom_batch(8);
    update_matches::<Faer<f64>>(updater, "batch8");
    update_matches::<Reference<f64>>(updater, "batch8");
}

#[test]
fn one_atom_batch_of_all() {
    let updater = KSvd::textbook().atom_rule(AtomRule::Shared).atom_batch(40);
    update_matches::<Faer<f64>>(updater, "batch40");
    update_matches::<Reference<f64>>(updater, "batch40");
}

#[test]
fn ten_alternations_with_omp() {
    alternations_match::<Faer<f64>, _>(Omp::new());
}

#[test]
fn ten_alternations_with_batch_omp() {
    alternations_match::<Faer<f64>, _>(BatchOmp::new());
}
