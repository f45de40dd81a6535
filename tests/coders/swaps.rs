//! Swaps: never worse than the start, and where they end no swap of one atom helps, by least
//! squares solved anew for every swap there is.

use dbksvd::coder::{BatchOmp, Coefficients, MatchingPursuit, Omp, Selection, Swaps, TopK};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::linalg::solvers::{Qr, SolveLstsq};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Faer, Scalar, Sign};
use proptest::prelude::*;

/// A dictionary and samples of dimension `dim`; correlated atoms have cosines up to 0.9 and more.
fn planted<T: Scalar>(
    (dim, atoms, sparsity, samples): (usize, usize, usize, usize),
    kind: Kind,
    seed: u64,
) -> (Mat<T>, Mat<T>) {
    let planted = Planted::new(dim, atoms, sparsity, samples).kind(kind).noise(0.2).seed(seed);
    let data = planted.generate::<T>().expect("a legal problem");
    (data.dictionary.into_mat(), data.samples)
}

/// ‖y − Dx‖² of sample `i`.
fn error<T: Scalar>(
    dictionary: &Mat<T>,
    samples: MatRef<'_, T>,
    codes: &SparseCodes<T>,
    i: usize,
) -> f64 {
    let mut residual: Vec<f64> = samples.col(i).iter().map(|y| y.widen()).collect();
    for (&atom, value) in codes.support(i).iter().zip(codes.values(i)) {
        for (r, d) in residual.iter_mut().zip(dictionary.col(atom as usize).iter()) {
            *r -= value.widen() * d.widen();
        }
    }
    residual.iter().map(|r| r * r).sum()
}

/// min ‖y − D_S γ‖², by QR.
fn left(dictionary: &Mat<f64>, y: MatRef<'_, f64>, support: &[u32]) -> f64 {
    let atoms = Mat::from_fn(dictionary.nrows(), support.len(), |i, u| {
        dictionary[(i, support[u] as usize)]
    });
    let solution = Qr::new(atoms.as_ref()).solve_lstsq(y);
    (y - &atoms * solution.as_ref().subrows(0, support.len())).squared_norm_l2()
}

/// min ‖y − D_S γ‖² over γ ≥ 0: the least over the subsets whose least squares are positive.
fn left_non_negative(dictionary: &Mat<f64>, y: MatRef<'_, f64>, support: &[u32]) -> f64 {
    let mut least = y.squared_norm_l2();
    for subset in 1_u32..1 << support.len() {
        let chosen: Vec<u32> =
            (0..support.len()).filter(|&u| subset >> u & 1 == 1).map(|u| support[u]).collect();
        let atoms = Mat::from_fn(dictionary.nrows(), chosen.len(), |i, u| {
            dictionary[(i, chosen[u] as usize)]
        });
        let solution = Qr::new(atoms.as_ref()).solve_lstsq(y);
        let gamma = solution.as_ref().subrows(0, chosen.len());
        if gamma.col(0).iter().all(|&gamma| gamma > 0.0) {
            least = least.min((y - &atoms * gamma).squared_norm_l2());
        }
    }
    least
}

/// No swap of one atom lowers the error by more than rounding, nor one atom more where the start
/// had as many.
fn no_non_negative_move_helps(
    dictionary: &Mat<f64>,
    samples: &Mat<f64>,
    start: &SparseCodes<f64>,
    codes: &SparseCodes<f64>,
) {
    for i in 0..samples.ncols() {
        let y = samples.as_ref().subcols(i, 1);
        let support = codes.support(i);
        let here = error(dictionary, samples.as_ref(), codes, i);
        let tolerance = 64.0 * f64::EPSILON * energy(samples, i);
        assert!(codes.values(i).iter().all(|&value| value > 0.0));
        assert!((here - left_non_negative(dictionary, y, support)).abs() <= tolerance);
        for atom in (0..dictionary.ncols() as u32).filter(|atom| !support.contains(atom)) {
            let swaps = (0..support.len()).map(|place| {
                let mut swapped = support.to_vec();
                swapped[place] = atom;
                swapped
            });
            let room = support.len() < start.support(i).len();
            let longer = room.then(|| [support, &[atom]].concat());
            for moved in swaps.chain(longer) {
                let there = left_non_negative(dictionary, y, &moved);
                assert!(
                    there >= here - tolerance,
                    "sample {i}: {moved:?} in place of {support:?} lowers {here} to {there}"
                );
            }
        }
    }
}

fn energy<T: Scalar>(samples: &Mat<T>, i: usize) -> f64 {
    samples.col(i).iter().map(|y| y.widen().powi(2)).sum()
}

/// No swap lowers the error of a sample by more than rounding.
fn no_swap_helps(dictionary: &Mat<f64>, samples: &Mat<f64>, codes: &SparseCodes<f64>) {
    for i in 0..samples.ncols() {
        let y = samples.as_ref().subcols(i, 1);
        let support = codes.support(i);
        let here = error(dictionary, samples.as_ref(), codes, i);
        let tolerance = 64.0 * f64::EPSILON * energy(samples, i);
        for place in 0..support.len() {
            for atom in (0..dictionary.ncols() as u32).filter(|atom| !support.contains(atom)) {
                let mut swapped = support.to_vec();
                swapped[place] = atom;
                let there = left(dictionary, y, &swapped);
                assert!(
                    there >= here - tolerance,
                    "sample {i}: {atom} for {} in {support:?} lowers {here} to {there}",
                    support[place]
                );
            }
        }
    }
}

fn shapes() -> impl Strategy<Value = (usize, usize, usize, usize)> {
    (4..=12_usize, 8..=40_usize, 1..=4_usize, 1..=6_usize)
}

fn signs() -> impl Strategy<Value = Sign> {
    prop_oneof![Just(Sign::Signed), Just(Sign::NonNegative)]
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Planted), Just(Kind::Correlated), Just(Kind::Anisotropic)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn where_swaps_end_none_helps(shape in shapes(), kind in kinds(), seed in any::<u64>()) {
        let (d, y) = planted::<f64>(shape, kind, seed);
        let codes = crate::support::encode::<Faer<f64>, _>(
            Swaps::new().max_swaps(usize::MAX), &d, y.as_ref(), shape.2, Sign::Signed,
        );
        no_swap_helps(&d, &y, &codes);
    }

    /// By all subsets of all supports a move away.
    #[test]
    fn where_non_negative_swaps_end_none_helps(
        shape in shapes(), kind in kinds(), sign in signs(), seed in any::<u64>()
    ) {
        let planted = Planted::new(shape.0, shape.1, shape.2, shape.3).kind(kind).sign(sign);
        let data = planted.noise(0.2).seed(seed).generate::<f64>().expect("a legal problem");
        let (d, y) = (data.dictionary.into_mat(), data.samples);
        macro_rules! check {
            ($($start:expr),* $(,)?) => {$({
                let [start, codes] = [
                    crate::support::encode::<Faer<f64>, _>(
                        $start, &d, y.as_ref(), shape.2, Sign::NonNegative,
                    ),
                    crate::support::encode::<Faer<f64>, _>(
                        Swaps::after($start).max_swaps(usize::MAX), &d, y.as_ref(), shape.2,
                        Sign::NonNegative,
                    ),
                ];
                no_non_negative_move_helps(&d, &y, &start, &codes);
            })*};
        }
        check!(BatchOmp::new(), TopK::new(), MatchingPursuit::new());
    }

    /// From any start, in both precisions.
    #[test]
    fn errors_are_at_most_those_of_the_start(
        shape in shapes(), kind in kinds(), seed in any::<u64>()
    ) {
        for sign in [Sign::Signed, Sign::NonNegative] {
            not_above::<f64>(shape, kind, seed, sign);
            not_above::<f32>(shape, kind, seed, sign);
        }
    }

    /// A power of two changes no mantissa.
    #[test]
    fn a_scaled_sample_has_a_scaled_code(
        shape in shapes(), seed in any::<u64>(), exponent in -40..40_i32
    ) {
        let (d, y) = planted::<f64>(shape, Kind::Correlated, seed);
        let scale = 2_f64.powi(exponent);
        let scaled = Mat::from_fn(y.nrows(), y.ncols(), |row, i| scale * y[(row, i)]);
        let encode = |y: &Mat<f64>| crate::support::encode::<Faer<f64>, _>(
            Swaps::new(), &d, y.as_ref(), shape.2, Sign::Signed,
        );
        let (codes, found) = (encode(&y), encode(&scaled));
        for i in 0..y.ncols() {
            let expected: Vec<f64> = codes.values(i).iter().map(|value| scale * value).collect();
            prop_assert_eq!(found.support(i), codes.support(i));
            prop_assert_eq!(found.values(i), expected);
        }
    }
}

fn not_above<T: Scalar>(shape: (usize, usize, usize, usize), kind: Kind, seed: u64, sign: Sign) {
    let (d, y) = planted::<T>(shape, kind, seed);
    macro_rules! compare {
        ($($start:expr),* $(,)?) => {$({
            let [before, after] = [
                crate::support::encode::<Faer<T>, _>($start, &d, y.as_ref(), shape.2, sign),
                crate::support::encode::<Faer<T>, _>(
                    Swaps::after($start), &d, y.as_ref(), shape.2, sign,
                ),
            ];
            for i in 0..y.ncols() {
                let (was, is) = (
                    error(&d, y.as_ref(), &before, i), error(&d, y.as_ref(), &after, i),
                );
                let rounding = 64.0 * T::EPSILON * energy(&y, i);
                assert!(is <= was + rounding, "sample {i}: {is} after {was}");
                assert!(after.support(i).len() <= before.support(i).len());
            }
        })*};
    }
    compare!(
        BatchOmp::new(),
        Omp::new().selection(Selection::LeastSquares),
        MatchingPursuit::new(),
        TopK::new(),
        TopK::new().coefficients(Coefficients::Refitted),
    );
}

/// Larger than a block, at widths that no register divides: kept and computed rows of the Gram
/// matrix agree.
#[test]
fn without_a_gram_matrix_the_codes_are_the_same() {
    let (d, y) = planted::<f64>((24, 150, 6, 200), Kind::Correlated, 3);
    let encode =
        |coder| crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), 6, Sign::Signed);
    let (kept, computed) = (encode(Swaps::new()), encode(Swaps::new().gram_limit(0)));
    for i in 0..y.ncols() {
        assert_eq!(kept.support(i), computed.support(i), "sample {i}");
    }
}

/// On coherent atoms the search finds what OMP misses: the test would be empty otherwise.
#[test]
fn coherent_atoms_leave_much_to_swap() {
    let shape = (24, 150, 6, 300);
    let (d, y) = planted::<f32>(shape, Kind::Correlated, 3);
    let total = |codes: &SparseCodes<f32>| -> f64 {
        (0..y.ncols()).map(|i| error(&d, y.as_ref(), codes, i)).sum()
    };
    let encode = |swaps| {
        let coder = Swaps::new().max_swaps(swaps);
        crate::support::encode::<Faer<f32>, _>(coder, &d, y.as_ref(), shape.2, Sign::Signed)
    };
    let omp = crate::support::encode::<Faer<f32>, _>(
        BatchOmp::new(),
        &d,
        y.as_ref(),
        shape.2,
        Sign::Signed,
    );
    let (none, one, all) = (total(&encode(0)), total(&encode(1)), total(&encode(24)));
    assert!((none - total(&omp)).abs() <= 1e-4 * none, "no swaps: the start");
    assert!(one < 0.97 * none && all < 0.97 * one, "{none} {one} {all}");
}
