//! The exact coder against all supports there are, each solved by QR.

use dbksvd::coder::{BatchOmp, Exact, Omp, Selection, SparseCoder, Swaps};
use dbksvd::faer::linalg::solvers::{Qr, SolveLstsq};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Dictionary, Error, Faer, ProblemShape, Scalar, Sign};
use proptest::prelude::*;

/// d, m, k, N.
type Shape = (usize, usize, usize, usize);

fn planted<T: Scalar>(shape: Shape, kind: Kind, sign: Sign, seed: u64) -> (Dictionary<T>, Mat<T>) {
    let (dim, atoms, sparsity, samples) = shape;
    let planted = Planted::new(dim, atoms, sparsity, samples).kind(kind).sign(sign).noise(0.3);
    let data = planted.seed(seed).generate::<T>().expect("a legal problem");
    (data.dictionary, data.samples)
}

/// γ and ‖y − D_S γ‖² by QR.
fn least_squares(d: MatRef<'_, f64>, y: MatRef<'_, f64>, support: &[usize]) -> (Vec<f64>, f64) {
    let atoms = Mat::from_fn(d.nrows(), support.len(), |i, u| d[(i, support[u])]);
    let solution = Qr::new(atoms.as_ref()).solve_lstsq(y);
    let gamma = solution.as_ref().subrows(0, support.len());
    let error = (y - &atoms * gamma).squared_norm_l2();
    (gamma.col(0).iter().copied().collect(), error)
}

/// The least error of all supports of at most `sparsity` atoms: those of fewer matter where the
/// sign does.
fn optimum(d: MatRef<'_, f64>, y: MatRef<'_, f64>, sparsity: usize, sign: Sign) -> f64 {
    let mut best = y.squared_norm_l2();
    let mut pending: Vec<Vec<usize>> = (0..d.ncols()).map(|j| vec![j]).collect();
    while let Some(support) = pending.pop() {
        let (gamma, error) = least_squares(d, y, &support);
        if sign == Sign::Signed || gamma.iter().all(|&gamma| gamma > 0.0) {
            best = best.min(error);
        }
        if support.len() < sparsity {
            let last = support[support.len() - 1];
            pending.extend((last + 1..d.ncols()).map(|j| [&support[..], &[j]].concat()));
        }
    }
    best
}

fn proves_the_optimum(shape: Shape, kind: Kind, sign: Sign, seed: u64) {
    let (dictionary, samples) = planted::<f64>(shape, kind, sign, seed);
    for i in 0..samples.ncols() {
        let y = samples.as_ref().subcols(i, 1);
        let proof =
            Exact.solve(&dictionary, samples.col_as_slice(i), shape.2, sign).expect("small");
        let expected = optimum(dictionary.as_mat(), y, shape.2, sign);
        let rounding = 1e-11 * y.squared_norm_l2();
        assert!((proof.error - expected).abs() <= rounding, "{} for {expected}", proof.error);
        assert!(proof.error <= proof.start_error, "{proof:?}");
        assert!(proof.nodes >= 1 && proof.support.len() <= shape.2, "{proof:?}");
        let chosen: Vec<usize> = proof.support.iter().map(|&atom| atom as usize).collect();
        let (_, error) = least_squares(dictionary.as_mat(), y, &chosen);
        assert!((proof.error - error).abs() <= rounding, "the error is that of the support");
        let allowed = |value: &f64| sign == Sign::Signed || *value > 0.0;
        assert!(proof.values.iter().all(allowed), "{proof:?}");
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Planted), Just(Kind::Correlated), Just(Kind::Anisotropic)]
}

fn signs() -> impl Strategy<Value = Sign> {
    prop_oneof![Just(Sign::Signed), Just(Sign::NonNegative)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn small_problems(
        dim in 3..=9_usize, atoms in 3..=14_usize, sparsity in 1..=3_usize,
        kind in kinds(), sign in signs(), seed in any::<u64>(),
    ) {
        proves_the_optimum((dim, atoms, sparsity, 3), kind, sign, seed);
    }

    #[test]
    fn deeper_problems(
        dim in 5..=12_usize, atoms in 5..=11_usize, sparsity in 4..=5_usize,
        kind in kinds(), sign in signs(), seed in any::<u64>(),
    ) {
        proves_the_optimum((dim, atoms, sparsity, 2), kind, sign, seed);
    }
}

/// More atoms than a chunk of any kernel.
#[test]
fn pairs_of_forty_atoms() {
    for sign in [Sign::Signed, Sign::NonNegative] {
        proves_the_optimum((10, 40, 2, 4), Kind::Correlated, sign, 5);
        proves_the_optimum((10, 37, 3, 1), Kind::Correlated, sign, 6);
    }
}

/// Repeated atoms, and atoms that others span, are no trouble.
#[test]
fn dependent_atoms() {
    let (dictionary, samples) = planted::<f64>((3, 6, 2, 3), Kind::Planted, Sign::Signed, 8);
    let repeated = Mat::from_fn(3, 9, |i, j| dictionary.as_mat()[(i, j % 6)]);
    let dictionary = Dictionary::new(repeated).expect("unit atoms");
    for i in 0..samples.ncols() {
        let proof = Exact.solve(&dictionary, samples.col_as_slice(i), 3, Sign::Signed).unwrap();
        let energy = samples.col(i).squared_norm_l2();
        assert!(proof.error <= 1e-12 * energy, "three atoms span the space: {proof:?}");
    }
}

/// The largest problem that is accepted, and what the certificate says of it.
#[test]
fn the_limits_are_within_reach() {
    let shape = (24, Exact::MOST_ATOMS, Exact::MOST_NONZEROS, 4);
    let (dictionary, samples) = planted::<f32>(shape, Kind::Correlated, Sign::Signed, 2);
    for i in 0..samples.ncols() {
        let sample = samples.col_as_slice(i);
        let proof = Exact.solve(&dictionary, sample, shape.2, Sign::Signed).expect("within limits");
        assert!((1..=1 + 64 + 2016 + 41_664).contains(&proof.nodes), "{}", proof.nodes);
    }
}

/// As a coder it finds what `solve` finds, and nothing else does better.
#[test]
fn no_other_coder_leaves_less() {
    let shape = (16, 48, 4, 40);
    let (dictionary, samples) = planted::<f64>(shape, Kind::Correlated, Sign::Signed, 4);
    let atoms = dictionary.as_mat().to_owned();
    macro_rules! errors {
        ($coder:expr) => {{
            let codes = crate::support::encode::<Faer<f64>, _>(
                $coder,
                &atoms,
                samples.as_ref(),
                shape.2,
                Sign::Signed,
            );
            let left = &samples - &atoms * crate::support::dense(&codes);
            left.col_iter().map(|left| left.squared_norm_l2()).collect::<Vec<f64>>()
        }};
    }
    let exact = errors!(Exact);
    let others = [
        errors!(BatchOmp::new()),
        errors!(Omp::new().selection(Selection::LeastSquares)),
        errors!(Swaps::new()),
    ];
    for i in 0..samples.ncols() {
        let proof =
            Exact.solve(&dictionary, samples.col_as_slice(i), shape.2, Sign::Signed).unwrap();
        let rounding = 1e-11 * samples.col(i).squared_norm_l2();
        assert!((proof.error - exact[i]).abs() <= rounding, "sample {i}");
        assert!(others.iter().all(|other| other[i] >= exact[i] - rounding), "sample {i}");
    }
    let missed =
        |other: &[f64]| other.iter().zip(&exact).filter(|(o, e)| **o > 1.001 * **e).count();
    assert!(missed(&others[0]) > missed(&others[2]), "swaps find optima that OMP misses");
    assert!(missed(&others[0]) > 0, "OMP misses some");
}

#[test]
fn the_zero_sample_has_the_empty_code() {
    let (dictionary, _) = planted::<f32>((4, 8, 2, 1), Kind::Planted, Sign::Signed, 1);
    let proof = Exact.solve(&dictionary, &[0.0; 4], 2, Sign::Signed).unwrap();
    assert!(proof.support.is_empty() && proof.values.is_empty());
    assert_eq!((proof.error, proof.start_error, proof.nodes), (0.0, 0.0, 0));
}

#[track_caller]
fn refused<R>(result: Result<R, Error>, name: &str, value: &str) {
    let Err(error) = result else { panic!("`{name}` = {value} is accepted") };
    let Error::Argument { argument, found, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*argument, found.as_str()), (name, value), "{error}");
}

#[test]
fn larger_problems_are_refused() {
    let check = |atoms, sparsity| {
        let shape = ProblemShape { dim: 100, atoms, sparsity, sign: Sign::Signed };
        SparseCoder::<Faer<f32>>::check(&Exact, &shape)
    };
    check(64, 5).expect("the limits themselves");
    refused(check(65, 5), "atoms", "65");
    refused(check(64, 6), "sparsity", "6");
    let (dictionary, samples) = planted::<f32>((8, 65, 2, 1), Kind::Planted, Sign::Signed, 1);
    refused(Exact.solve(&dictionary, samples.col_as_slice(0), 2, Sign::Signed), "atoms", "65");
}

#[test]
fn bad_samples_are_refused() {
    let (dictionary, _) = planted::<f32>((4, 8, 2, 1), Kind::Planted, Sign::Signed, 1);
    let solve = |sample: &[f32]| Exact.solve(&dictionary, sample, 2, Sign::Signed);
    let error = solve(&[1.0; 3]).unwrap_err();
    assert!(matches!(error, Error::Dimension { argument: "sample", found: 3, expected: 4 }));
    let error = solve(&[1.0, f32::NAN, 0.0, 0.0]).unwrap_err();
    assert!(matches!(error, Error::NotFinite { coordinate: 1, .. }), "{error:?}");
    let error = solve(&[1e20, 0.0, 0.0, 0.0]).unwrap_err();
    assert!(matches!(error, Error::Range { sample: Some(0), .. }), "{error:?}");
    refused(Exact.solve(&dictionary, &[1.0; 4], 5, Sign::Signed), "sparsity", "5");
}
