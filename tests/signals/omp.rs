//! OMP by itself: against a naive one, and what holds whatever the atoms are.

use dbksvd::coder::{Omp, Selection, Tolerance};
use dbksvd::faer::linalg::solvers::SolveLstsqCore;
use dbksvd::faer::{Conj, Mat, MatRef};
use dbksvd::pursuit::{Pursuit, Stop, omp, omp_gram};
use dbksvd::source::SliceSource;
use dbksvd::{Faer, Scalar, Sign, SparseCodes};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::support::{dense, encode, on_threads};

/// Atoms of norms from 10⁻³ to 10³, and samples of such sizes.
#[derive(Debug)]
struct Problem {
    dictionary: Mat<f64>,
    samples: Mat<f64>,
    sparsity: usize,
}

impl Problem {
    fn new((dim, atoms, samples, sparsity): (usize, usize, usize, usize), seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |cols: usize| {
            let mut matrix = Mat::from_fn(dim, cols, |_, _| {
                let value: f64 = StandardNormal.sample(&mut random);
                value
            });
            for j in 0..cols {
                let size = 10.0_f64.powf((j * 7 % 13) as f64 / 2.0 - 3.0);
                matrix.col_mut(j).iter_mut().for_each(|value| *value *= size);
            }
            matrix
        };
        let (dictionary, samples) = (draw(atoms), draw(samples));
        Self { dictionary, samples, sparsity: sparsity.min(dim).min(atoms) }
    }
}

fn problems() -> impl Strategy<Value = Problem> {
    let shape = (2..=12_usize, 2..=24_usize, 1..=8_usize, 1..=5_usize);
    (shape, any::<u64>()).prop_map(|(shape, seed)| Problem::new(shape, seed))
}

/// argmin ‖y − D_S γ‖, by a QR decomposition.
fn least_squares(dictionary: &Mat<f64>, sample: &[f64], support: &[u32]) -> Vec<f64> {
    let dim = dictionary.nrows();
    let chosen = Mat::from_fn(dim, support.len(), |i, j| dictionary[(i, support[j] as usize)]);
    let mut solution = MatRef::from_column_major_slice(sample, dim, 1).to_owned();
    chosen.col_piv_qr().solve_lstsq_in_place_with_conj(Conj::No, solution.as_mut());
    (0..support.len()).map(|j| solution[(j, 0)]).collect()
}

fn left(dictionary: &Mat<f64>, sample: &[f64], support: &[u32], values: &[f64]) -> Vec<f64> {
    let mut residual = sample.to_vec();
    for (&atom, value) in support.iter().zip(values) {
        for (r, d) in residual.iter_mut().zip(dictionary.col_as_slice(atom as usize)) {
            *r -= value * d;
        }
    }
    residual
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// OMP as its definition states it, and by how much of itself each choice led.
fn naive(dictionary: &Mat<f64>, sample: &[f64], sparsity: usize) -> (Vec<u32>, Vec<f64>, f64) {
    let (mut support, mut values, mut lead) = (Vec::new(), Vec::new(), 1.0_f64);
    for _ in 0..sparsity {
        let residual = left(dictionary, sample, &support, &values);
        let mut scores: Vec<(f64, u32)> = (0..dictionary.ncols() as u32)
            .filter(|atom| !support.contains(atom))
            .map(|atom| {
                let d = dictionary.col_as_slice(atom as usize);
                (dot(d, &residual).abs() / norm(d), atom)
            })
            .collect();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        if scores[0].0 <= 1e-9 * norm(sample) {
            break;
        }
        if let Some(second) = scores.get(1) {
            lead = lead.min(1.0 - second.0 / scores[0].0);
        }
        support.push(scores[0].1);
        values = least_squares(dictionary, sample, &support);
    }
    (support, values, lead)
}

/// Rounding of the coefficients of well-conditioned atoms, relative to their size.
const CLOSE: f64 = 1e-6;

#[track_caller]
fn assert_same(problem: &Problem, codes: &SparseCodes<f64>, expected: &SparseCodes<f64>) {
    for i in 0..codes.samples() {
        assert_eq!(codes.support(i), expected.support(i), "sample {i}");
        let size = norm(problem.samples.col_as_slice(i));
        for ((&atom, a), b) in codes.support(i).iter().zip(codes.values(i)).zip(expected.values(i))
        {
            let atom = norm(problem.dictionary.col_as_slice(atom as usize));
            assert!((a - b).abs() * atom <= CLOSE * size.max(b.abs() * atom), "{a}, not {b}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn codes_are_those_of_a_naive_pursuit(problem in problems()) {
        let Problem { dictionary, samples, sparsity } = &problem;
        let codes = omp(dictionary, samples, *sparsity).unwrap();
        for i in 0..samples.ncols() {
            let sample = samples.col_as_slice(i);
            let (support, values, lead) = naive(dictionary, sample, *sparsity);
            prop_assume!(lead > 1e-6);
            prop_assert_eq!(codes.support(i), &support[..]);
            let expected = left(dictionary, sample, &support, &values);
            let found = left(dictionary, sample, codes.support(i), codes.values(i));
            let difference: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
            prop_assert!(norm(&difference) <= 1e-9 * norm(sample));
            // Whatever is left is orthogonal to the atoms chosen.
            for &atom in codes.support(i) {
                let d = dictionary.col_as_slice(atom as usize);
                prop_assert!(dot(d, &found).abs() <= 1e-12 * norm(d) * norm(sample));
            }
        }
    }

    #[test]
    fn powers_of_two_leave_the_bits(problem in problems(), power in -30..30_i32) {
        let Problem { dictionary, samples, sparsity } = &problem;
        let codes = omp(dictionary, samples, *sparsity).unwrap();
        let of_atom = |j: usize| 2.0_f64.powi((j as i32 * 5) % 17 - 8);
        let scaled = Mat::from_fn(dictionary.nrows(), dictionary.ncols(), |i, j| {
            of_atom(j) * dictionary[(i, j)]
        });
        let factor = 2.0_f64.powi(power);
        let larger =
            Mat::from_fn(samples.nrows(), samples.ncols(), |i, j| factor * samples[(i, j)]);
        let other = omp(&scaled, &larger, *sparsity).unwrap();
        for i in 0..samples.ncols() {
            prop_assert_eq!(codes.support(i), other.support(i));
            let pairs = codes.values(i).iter().zip(other.values(i)).zip(codes.support(i));
            for ((a, b), &atom) in pairs {
                prop_assert_eq!(a * factor / of_atom(atom as usize), *b);
            }
        }
    }

    #[test]
    fn a_path_is_made_of_the_codes_of_each_budget(problem in problems()) {
        let Problem { dictionary, samples, sparsity } = &problem;
        for selection in [Selection::Correlation, Selection::LeastSquares] {
            let pursuit = Pursuit::new(*sparsity).selection(selection);
            let path = pursuit.path(dictionary, samples).unwrap();
            prop_assert_eq!(path.codes(), &pursuit.codes(dictionary, samples).unwrap());
            for length in 1..=*sparsity {
                let codes = pursuit.with_stop(length).codes(dictionary, samples).unwrap();
                prop_assert_eq!(&path.at(length), &codes);
                for i in 0..samples.ncols() {
                    let norms = path.residual_norms(i);
                    prop_assert_eq!(norms.len(), path.codes().support(i).len() + 1);
                    let Some(&told) = norms.get(length) else { continue };
                    let sample = samples.col_as_slice(i);
                    let found = norm(&left(dictionary, sample, codes.support(i), codes.values(i)));
                    prop_assert!((told - found).abs() <= 1e-12 * norm(sample));
                    prop_assert!(told <= norms[length - 1] * (1.0 + 1e-12));
                }
            }
        }
    }

    #[test]
    fn products_are_as_good_as_what_they_are_of(problem in problems()) {
        let Problem { dictionary, samples, sparsity } = &problem;
        let gram = dictionary.transpose() * dictionary;
        let products = dictionary.transpose() * samples;
        let squares: Vec<f64> = samples.col_iter().map(|y| y.squared_norm_l2()).collect();
        for selection in [Selection::Correlation, Selection::LeastSquares] {
            for sign in [Sign::Signed, Sign::NonNegative] {
                let pursuit = Pursuit::new((*sparsity, Tolerance::Relative(1e-3)))
                    .selection(selection)
                    .sign(sign);
                let expected = pursuit.codes(dictionary, samples).unwrap();
                let through = pursuit.through_gram(true).codes(dictionary, samples).unwrap();
                let given =
                    pursuit.codes_from_products(&gram, &products, Some(&squares)).unwrap();
                // Near ties, and where one says that it is good enough, rounding decides.
                let like = |codes: &SparseCodes<f64>| {
                    (0..codes.samples()).all(|i| codes.support(i) == expected.support(i))
                };
                prop_assume!(like(&through) && like(&given));
                assert_same(&problem, &through, &expected);
                assert_same(&problem, &given, &expected);
                if sign == Sign::Signed {
                    let path =
                        pursuit.path_from_products(&gram, &products, Some(&squares)).unwrap();
                    prop_assert_eq!(path.codes(), &given);
                    let with_samples = pursuit.path(dictionary, samples).unwrap();
                    for i in 0..samples.ncols() {
                        // Roots of differences of squares are known to √ε ‖y‖.
                        let pairs = path.residual_norms(i).iter();
                        let pairs = pairs.zip(with_samples.residual_norms(i));
                        let size = norm(samples.col_as_slice(i));
                        for (a, b) in pairs {
                            prop_assert!((a - b).abs() <= 1e-6 * size, "{} {}", a, b);
                        }
                    }
                    let silent = pursuit.with_stop(*sparsity);
                    let silent = silent.path_from_products(&gram, &products, None).unwrap();
                    prop_assert!(silent.residual_norms(0).is_empty());
                    let fewer = sparsity.div_ceil(2);
                    let codes = pursuit
                        .with_stop((fewer, Tolerance::Relative(1e-3)))
                        .codes_from_products(&gram, &products, Some(&squares))
                        .unwrap();
                    prop_assert_eq!(path.at(fewer), codes);
                }
            }
        }
    }
}

#[test]
fn nearly_all_random_problems_are_alike_in_all_forms() {
    // That the assumptions above do not leave out what matters.
    let (mut same, mut all) = (0, 0);
    for seed in 0..200 {
        let Problem { dictionary, samples, sparsity } = Problem::new((10, 20, 5, 4), seed);
        let expected = omp(&dictionary, &samples, sparsity).unwrap();
        let through = Pursuit::new(sparsity).through_gram(true).codes(&dictionary, &samples);
        let gram = dictionary.transpose() * &dictionary;
        let products = dictionary.transpose() * &samples;
        let given = omp_gram(&gram, &products, None, sparsity).unwrap();
        for codes in [through.unwrap(), given] {
            all += samples.ncols();
            same +=
                (0..samples.ncols()).filter(|&i| codes.support(i) == expected.support(i)).count();
        }
    }
    assert!(same * 100 >= all * 99, "{same} of {all}");
}

#[test]
fn unit_atoms_have_the_codes_of_the_coder() {
    fn check<T: Scalar>() {
        let data = dbksvd::synthetic::Planted::new(32, 64, 5, 100).noise(0.1).seed(4);
        let data = data.generate::<T>().unwrap();
        let codes = omp(&data.dictionary, &data.samples, 5).unwrap();
        let dictionary = data.dictionary.as_mat().to_owned();
        let samples = data.samples.as_ref();
        let expected = encode::<Faer<T>, _>(Omp::new(), &dictionary, samples, 5, Sign::Signed);
        for i in 0..100 {
            assert_eq!(codes.support(i), expected.support(i));
            for (a, b) in codes.values(i).iter().zip(expected.values(i)) {
                assert!(
                    (a.widen() - b.widen()).abs() <= 64.0 * T::EPSILON * b.widen().abs().max(1.0)
                );
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn bits_depend_on_nothing_but_the_sample() {
    let Problem { dictionary, samples, .. } = Problem::new((24, 60, 70, 5), 3);
    let products = dictionary.transpose() * &samples;
    let gram = dictionary.transpose() * &dictionary;
    let all = || {
        let plain = omp(&dictionary, &samples, 5).unwrap();
        let through = Pursuit::new(5).through_gram(true).codes(&dictionary, &samples).unwrap();
        let path = Pursuit::new(5).path(&dictionary, &samples).unwrap();
        let given = omp_gram(&gram, &products, None, 5).unwrap();
        (plain, through, path, given)
    };
    let expected = on_threads(1, all);
    for threads in [2, 3] {
        assert!(on_threads(threads, all) == expected, "{threads} threads");
    }
    let alone = omp(&dictionary, samples.as_ref().subcols(33, 1), 5).unwrap();
    assert_eq!(alone.support(0), expected.0.support(33));
    assert_eq!(alone.values(0), expected.0.values(33));
}

#[test]
fn views_of_any_stride_are_taken() {
    let Problem { dictionary, samples, .. } = Problem::new((8, 16, 6, 3), 9);
    let expected = omp(&dictionary, &samples, 3).unwrap();
    let (rows_d, rows_y) = (dictionary.transpose().to_owned(), samples.transpose().to_owned());
    assert_eq!(omp(rows_d.transpose(), rows_y.transpose(), 3).unwrap(), expected);
    let path = Pursuit::new(3).path(rows_d.transpose(), rows_y.transpose()).unwrap();
    assert_eq!(path.codes(), &expected);
}

#[test]
fn a_tolerance_alone_is_met() {
    let Problem { dictionary, samples, .. } = Problem::new((12, 40, 30, 1), 5);
    for share in [0.5, 0.1, 1e-6] {
        let codes = omp(&dictionary, &samples, Tolerance::Relative(share)).unwrap();
        let path = Pursuit::new(Tolerance::Relative(share)).path(&dictionary, &samples).unwrap();
        for i in 0..30 {
            let norms = path.residual_norms(i);
            let last = norms.len() - 1;
            assert!(norms[last] <= share * norms[0] && norms[last - 1] > share * norms[0]);
        }
        assert_eq!(path.codes(), &codes);
    }
    let absolute = omp(&dictionary, &samples, Tolerance::Absolute(1e9)).unwrap();
    assert_eq!(absolute.nnz(), 0);
    let both = omp(&dictionary, &samples, (2, Tolerance::Relative(1e-9))).unwrap();
    assert!((0..30).all(|i| both.support(i).len() == 2));
}

#[test]
fn sizes_at_the_ends_of_the_range_are_coded() {
    let dictionary = Mat::from_fn(3, 3, |i, j| if i == j { 1e-150 } else { 0.0 });
    let samples = Mat::from_fn(3, 2, |i, j| if i == j { 1e150 } else { 0.0 });
    let codes = omp(&dictionary, &samples, 1).unwrap();
    assert!((dense(&codes)[(0, 0)] / 1e300 - 1.0).abs() < 1e-12, "{codes:?}");
    // Squares of these over- or underflow; a tolerance is compared with them all the same.
    let unit = Mat::<f64>::identity(2, 2);
    for size in [1e160, 1e-170, 1e300, 1e-300] {
        let sample = Mat::from_fn(2, 1, |i, _| size * [3.0, 4.0][i]);
        let lengths = |stop: Stop| {
            let path = Pursuit::new(stop).path(&unit, &sample).unwrap();
            let norms = path.residual_norms(0);
            for (norm, expected) in norms.iter().zip([5.0, 3.0, 0.0]) {
                assert!((norm / size - expected).abs() < 1e-12, "{norm} of {size}");
            }
            path.codes().support(0).len()
        };
        assert_eq!(lengths(Tolerance::Relative(0.61).into()), 1);
        assert_eq!(lengths(Tolerance::Relative(0.59).into()), 2);
        assert_eq!(lengths(Tolerance::Absolute(3.1 * size).into()), 1);
        assert_eq!(lengths(Tolerance::Absolute(2.9 * size).into()), 2);
        for selection in [Selection::Correlation, Selection::LeastSquares] {
            let pursuit = Pursuit::new(2).selection(selection);
            let codes = pursuit.codes_from_products(&unit, &sample, None).unwrap();
            assert_eq!(codes.values(0), [4.0 * size, 3.0 * size]);
        }
    }
    // The norm of the sample is beyond f64, the coefficient is not; and a coefficient may vanish.
    let codes = omp(Mat::from_fn(4, 1, |_, _| 1e300_f64), Mat::from_fn(4, 1, |_, _| 1.5e308), 1);
    assert!((codes.unwrap().values(0)[0] / 1.5e8 - 1.0).abs() < 1e-12);
    let single = |value: f32| Mat::from_fn(1, 1, |_, _| value);
    assert_eq!(omp(single(1e30), single(1e-30), 1).unwrap().values(0), [0.0]);
    let single = Mat::from_fn(2, 2, |i, j| if i == j { 1e-30_f32 } else { 0.0 });
    let large = Mat::from_fn(2, 1, |_, _| 1e30_f32);
    let error = omp(&single, &large, 1).unwrap_err();
    assert!(error.to_string().contains("finite coefficient"), "{error}");
}

#[test]
fn atoms_in_single_precision_are_those_that_were_given() {
    // Unit atoms rounded to f32 would leave 2·10⁻⁸ of this sample, and take more atoms for it.
    let dictionary =
        Mat::from_fn(3, 4, |i, j| if j == 0 { (i + 1) as f32 } else { (i == j - 1) as u8 as f32 });
    let sample = Mat::from_fn(3, 1, |i, _| 2.0 * (i + 1) as f32);
    for stop in [Stop::from(3), Tolerance::Relative(1e-8).into()] {
        let codes = omp(&dictionary, &sample, stop).unwrap();
        assert_eq!((codes.support(0), codes.values(0)), (&[0][..], &[2.0][..]));
    }
    // ‖y‖ is beyond f32, the coefficient is not.
    let large = Mat::from_fn(3, 1, |_, _| 3e38_f32);
    let codes = omp(Mat::from_fn(3, 1, |_, _| 10.0_f32), &large, 1).unwrap();
    assert_eq!(codes.values(0), [3e37]);
}

#[test]
fn products_of_long_atoms_in_single_precision_are_accepted() {
    // Sums of many values, one after the other, are off by much more than their last digit.
    let long: Vec<f32> = (0..300_000).map(|i| 0.5 + 0.4 * ((i * i) as f32).sin()).collect();
    let times =
        |factor: f32, other: f32| -> f32 { long.iter().map(|x| factor * x * other * x).sum() };
    let gram = Mat::from_fn(2, 2, |i, j| times([1.0, 3.0][i], [1.0, 3.0][j]));
    let products = Mat::from_fn(2, 1, |i, _| times([1.0, 3.0][i], 2.0));
    let codes = omp_gram(&gram, &products, None, 1).unwrap();
    let decoded = codes.values(0)[0] * [1.0, 3.0][codes.support(0)[0] as usize];
    assert!((decoded - 2.0).abs() < 1e-2, "{decoded}");
}

#[test]
fn a_path_ends_where_double_precision_sees_a_combination() {
    // Rounded to f32, the second unit atom is just beyond the limit; as given, it is just within.
    let atoms = [[25.0_f32, 26.0, 19.0], [74.999_81, 78.000_83, 56.999_57]];
    let dictionary = Mat::from_fn(3, 2, |i, j| atoms[j][i]);
    let sample = Mat::from_fn(3, 1, |i, _| (i + 1) as f32);
    let pursuit = Pursuit::new(2).through_gram(true);
    assert_eq!(pursuit.codes(&dictionary, &sample).unwrap().support(0).len(), 2);
    let path = pursuit.path(&dictionary, &sample).unwrap();
    let length = path.codes().support(0).len();
    assert_eq!(length, 1);
    assert_eq!(path.residual_norms(0).len(), length + 1);
    for budget in 0..=2 {
        let (support, values) = path.prefix(0, budget);
        assert_eq!((support.len(), values.len()), (budget.min(length), budget.min(length)));
    }
    assert_eq!(path.prefix(0, 2).1, path.codes().values(0));
}

#[test]
fn prefixes_beyond_the_end_are_the_end() {
    let Problem { dictionary, samples, .. } = Problem::new((8, 16, 6, 3), 9);
    let path = Pursuit::new(3).path(&dictionary, &samples).unwrap();
    assert_eq!(&path.at(usize::MAX), path.codes());
    assert_eq!(path.prefix(2, usize::MAX), path.prefix(2, 3));
    let codes = path.codes().clone();
    assert_eq!(path.into_codes(), codes);
}

#[test]
fn zero_samples_and_none_at_all() {
    let dictionary = Mat::from_fn(3, 5, |i, j| (1 + i * j) as f64);
    let codes = omp(&dictionary, Mat::<f64>::zeros(3, 2), 2).unwrap();
    assert_eq!((codes.samples(), codes.nnz()), (2, 0));
    let codes = omp(&dictionary, Mat::<f64>::zeros(3, 0), 2).unwrap();
    assert_eq!((codes.samples(), codes.atoms(), codes.sparsity()), (0, 5, 2));
    let path = Pursuit::new(2).path(&dictionary, Mat::<f64>::zeros(3, 2)).unwrap();
    assert_eq!(path.residual_norms(1), [0.0]);
    assert_eq!(path.prefix(1, 2), (&[][..], &[][..]));
}

#[test]
fn samples_in_any_form_have_the_same_codes() {
    let dictionary = Mat::from_fn(2, 3, |i, j| [[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]][i][j]);
    let values = [4.0_f64, 0.0, 5.0, 5.0];
    let matrix = MatRef::from_column_major_slice(&values, 2, 2);
    let expected = omp(&dictionary, matrix, 1).unwrap();
    assert_eq!((expected.support(0), expected.values(0)), (&[0][..], &[2.0][..]));
    assert_eq!(expected.support(1), [2]);
    assert!((expected.values(1)[0] - 5.0).abs() < 1e-14);
    let source = SliceSource::new(&values, 2).unwrap();
    let all = [
        omp(&dictionary, matrix.to_owned(), 1),
        omp(&dictionary, source, 1),
        omp(&dictionary, values, 1),
        omp(&dictionary, &values[..], 1),
        omp(&dictionary, values.to_vec(), 1),
    ];
    for codes in all {
        assert_eq!(codes.unwrap(), expected);
    }
}
