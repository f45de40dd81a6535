//! Samples with missing coordinates: coding against that of what is seen of them by `pursuit`,
//! which has a naive one to answer to (`omp.rs`); an update against its formula; learning against
//! what was planted.

use dbksvd::coder::{Selection, Tolerance};
use dbksvd::faer::Mat;
use dbksvd::masked::{MaskedKsvd, MaskedOmp, complete, draw_atoms};
use dbksvd::metrics::{RECOVERED, Recovery};
use dbksvd::pursuit::{Pursuit, Stop, omp};
use dbksvd::synthetic::Planted;
use dbksvd::{Dictionary, Model, Preprocessing, Sign};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::ops::ControlFlow;

use crate::support::on_threads;

/// A random problem; weights are 0, 1, or between.
#[derive(Debug)]
struct Problem {
    dictionary: Mat<f64>,
    samples: Mat<f64>,
    weights: Mat<f64>,
    sparsity: usize,
}

impl Problem {
    fn new((dim, atoms, count): (usize, usize, usize), seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |cols| {
            Mat::from_fn(dim, cols, |_, _| {
                let value: f64 = StandardNormal.sample(&mut random);
                value
            })
        };
        let (dictionary, mut samples) = (draw(atoms), draw(count));
        let mut random = ChaCha8Rng::seed_from_u64(seed + 1);
        let weights = Mat::from_fn(dim, count, |_, _| match random.random_range(0..4) {
            0 => 0.0,
            1 => random.random_range(0.1..1.0),
            _ => 1.0,
        });
        for i in 0..count {
            for r in 0..dim {
                if weights[(r, i)] == 0.0 {
                    samples[(r, i)] = f64::NAN;
                }
            }
        }
        Self { dictionary, samples, weights, sparsity: 3.min(dim).min(atoms) }
    }

    /// √w y and √w d of a sample, in which nothing is missing.
    fn seen(&self, i: usize) -> (Mat<f64>, Mat<f64>) {
        let (dim, atoms) = self.dictionary.shape();
        let rows: Vec<usize> = (0..dim).filter(|&r| self.weights[(r, i)] > 0.0).collect();
        let root = |r: usize| self.weights[(rows[r], i)].sqrt();
        let dictionary =
            Mat::from_fn(rows.len(), atoms, |r, j| root(r) * self.dictionary[(rows[r], j)]);
        let sample = Mat::from_fn(rows.len(), 1, |r, _| root(r) * self.samples[(rows[r], i)]);
        (dictionary, sample)
    }
}

fn problems() -> impl Strategy<Value = Problem> {
    ((4..=12_usize, 4..=20_usize, 1..=6_usize), any::<u32>())
        .prop_map(|(shape, seed)| Problem::new(shape, u64::from(seed)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn codes_are_those_of_what_is_seen(problem in problems()) {
        let Problem { dictionary, samples, weights, sparsity } = &problem;
        for selection in [Selection::Correlation, Selection::LeastSquares] {
            for sign in [Sign::Signed, Sign::NonNegative] {
                let coder =
                    MaskedOmp::new(*sparsity).least_seen(0.0).selection(selection).sign(sign);
                let codes = coder.encode(dictionary, samples, weights).unwrap();
                for i in 0..samples.ncols() {
                    let (seen, sample) = problem.seen(i);
                    if seen.nrows() == 0 {
                        prop_assert!(codes.support(i).is_empty());
                    }
                    // In the last dimension that is left, all atoms are equally good.
                    if seen.nrows() <= *sparsity {
                        prop_assert!(codes.support(i).len() <= seen.nrows());
                        continue;
                    }
                    let expected = Pursuit::new(*sparsity).selection(selection).sign(sign);
                    let expected = expected.codes(&seen, &sample).unwrap();
                    prop_assert_eq!(codes.support(i), expected.support(0));
                    for (a, b) in codes.values(i).iter().zip(expected.values(0)) {
                        prop_assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0), "{} {}", a, b);
                    }
                }
            }
        }
    }

    #[test]
    fn weights_of_one_change_no_bit(problem in problems()) {
        let Problem { dictionary, sparsity, .. } = &problem;
        let (dim, count) = problem.samples.shape();
        let samples = Mat::from_fn(dim, count, |r, i| ((r * 5 + i * 3) as f64).sin());
        let ones = Mat::from_fn(dim, count, |_, _| 1.0);
        for tolerance in [0.01, 0.5, 1.0].map(Tolerance::Relative) {
            let stop = (*sparsity, tolerance);
            let codes = MaskedOmp::new(stop).encode(dictionary, &samples, &ones).unwrap();
            prop_assert_eq!(codes, omp(dictionary, &samples, stop).unwrap());
        }
        // In one coordinate, every share of the norm is one of the value.
        let single = Mat::from_fn(1, count, |_, i| samples[(0, i)]);
        let stop = (1, Tolerance::Relative(1.0));
        let (atom, ones) = (Mat::<f64>::identity(1, 1), ones.as_ref().subrows(0, 1));
        let codes = MaskedOmp::new(stop).encode(atom, &single, ones);
        prop_assert_eq!(codes.unwrap().nnz(), 0);
    }

    #[test]
    fn one_weight_for_all_is_a_scale(problem in problems(), power in 1..40) {
        let Problem { dictionary, sparsity, .. } = &problem;
        let (dim, count) = problem.samples.shape();
        let samples = Mat::from_fn(dim, count, |r, i| ((r * 5 + i * 3) as f64).sin());
        let coder = MaskedOmp::new(*sparsity).noise(0.2);
        let of = |weight: f64| {
            let weights = Mat::from_fn(dim, count, |_, _| weight);
            coder.encode(dictionary, &samples, &weights).unwrap()
        };
        let (codes, expected) = (of(0.5_f64.powi(power)), of(1.0));
        for i in 0..count {
            prop_assert_eq!(codes.support(i), expected.support(i));
            for (a, b) in codes.values(i).iter().zip(expected.values(i)) {
                prop_assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0));
            }
        }
    }
}

/// Σ w r² / Σ w of sample `i`.
fn mean_square(problem: &Problem, codes: &dbksvd::SparseCodes<f64>, i: usize) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for r in 0..problem.samples.nrows() {
        let weight = problem.weights[(r, i)];
        let code = codes.support(i).iter().zip(codes.values(i));
        let decoded: f64 = code.map(|(&j, x)| x * problem.dictionary[(r, j as usize)]).sum();
        if weight > 0.0 {
            sum += weight * (problem.samples[(r, i)] - decoded).powi(2);
            total += weight;
        }
    }
    sum / total
}

#[test]
fn of_two_limits_the_first_that_is_met_ends_the_pursuit() {
    let problem = Problem::new((30, 60, 40), 7);
    let Problem { dictionary, samples, weights, .. } = &problem;
    let length = |stop: Stop, noise: f64, i: usize| {
        let codes = MaskedOmp::new(stop).noise(noise).encode(dictionary, samples, weights);
        codes.unwrap().support(i).len()
    };
    for tolerance in [Tolerance::Relative(0.3), Tolerance::Absolute(1.0)] {
        for i in 0..40 {
            let both = length((30, tolerance).into(), 0.3, i);
            let alone = [length((30, tolerance).into(), 0.0, i), length(30.into(), 0.3, i)];
            assert_eq!(both, alone[0].min(alone[1]), "{alone:?}");
        }
    }
}

#[test]
fn noise_is_a_limit_for_each_coordinate() {
    let problem = Problem::new((30, 60, 40), 5);
    let Problem { dictionary, samples, weights, .. } = &problem;
    for noise in [0.5, 0.1] {
        let coder = MaskedOmp::new(30).noise(noise);
        let codes = coder.encode(dictionary, samples, weights).unwrap();
        for i in 0..40 {
            assert!(mean_square(&problem, &codes, i).sqrt() <= noise * (1.0 + 1e-9));
            let length = codes.support(i).len();
            let fewer = MaskedOmp::new(length - 1).encode(dictionary, samples, weights).unwrap();
            assert!(mean_square(&problem, &fewer, i).sqrt() > noise);
        }
    }
}

#[test]
fn an_atom_that_is_hardly_seen_is_not_used() {
    let dictionary = Mat::from_fn(3, 2, |r, j| [[0.01, 0.0, 0.99995], [0.6, 0.8, 0.0]][j][r]);
    let samples = Mat::from_fn(3, 1, |r, _| [1.0, 0.1, f64::NAN][r]);
    let weights = Mat::from_fn(3, 1, |r, _| [1.0, 1.0, 0.0][r]);
    let codes = MaskedOmp::new(1).encode(&dictionary, &samples, &weights).unwrap();
    assert_eq!(codes.support(0), [1]);
    let coder = MaskedOmp::new(1).least_seen(0.0);
    let codes = coder.encode(&dictionary, &samples, &weights).unwrap();
    assert_eq!(codes.support(0), [0]);
    assert!((codes.values(0)[0] - 100.0).abs() < 1e-9, "a guess of the rest");
}

#[test]
fn a_sample_that_is_missing_has_the_empty_code() {
    let Problem { dictionary, mut samples, mut weights, .. } = Problem::new((6, 10, 3), 1);
    samples.col_mut(1).fill(f64::NAN);
    weights.col_mut(1).fill(0.0);
    let codes = MaskedOmp::new(2).encode(&dictionary, &samples, &weights).unwrap();
    assert!(codes.support(1).is_empty() && !codes.support(0).is_empty());
    let filled = complete(&dictionary, &codes, &samples, &weights).unwrap();
    assert!(filled.col(1).iter().all(|&x| x == 0.0));
    let none = Mat::<f64>::zeros(6, 0);
    assert_eq!(MaskedOmp::new(2).encode(&dictionary, &none, &none).unwrap().samples(), 0);
}

#[test]
fn a_model_codes_what_its_preprocessing_makes_of_the_sample() {
    let data = Planted::new(40, 60, 2, 20).seed(8).generate::<f64>().unwrap();
    let mean: Vec<f64> = (0..40).map(|r| f64::from(r) - 7.0).collect();
    let preprocessing = Preprocessing::none().with_mean(Some(mean.clone())).unwrap();
    let preprocessing = preprocessing.with_scale(5.0).unwrap();
    let model = Model::new(data.dictionary, None, 2, Sign::Signed).unwrap();
    let model = model.preprocessed(preprocessing).unwrap();
    let whole = Mat::from_fn(40, 20, |r, i| 5.0 * data.samples[(r, i)] + mean[r]);
    let weights = Mat::from_fn(40, 20, |r, i| f64::from((r + i) % 3 > 0));
    let samples =
        Mat::from_fn(40, 20, |r, i| if weights[(r, i)] > 0.0 { whole[(r, i)] } else { f64::NAN });
    let codes = model.encode_masked(samples.as_ref(), weights.as_ref()).unwrap();
    let error = (model.decode(&codes).unwrap() - &whole).norm_max();
    assert!(error < 1e-10, "{error}");
}

/// Planted samples, and which of their coordinates are there.
fn incomplete(samples: usize, missing: f64) -> (Dictionary<f64>, Mat<f64>, Mat<f64>, Mat<f64>) {
    let data = Planted::new(20, 30, 2, samples).seed(11).generate::<f64>().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let weights =
        Mat::from_fn(20, samples, |_, _| f64::from(random.random_range(0.0..1.0) >= missing));
    let seen = Mat::from_fn(20, samples, |r, i| {
        if weights[(r, i)] > 0.0 { data.samples[(r, i)] } else { f64::NAN }
    });
    (data.dictionary, data.samples, seen, weights)
}

#[test]
fn planted_atoms_are_found_in_incomplete_samples() {
    let (truth, whole, seen, weights) = incomplete(3000, 0.3);
    let initial = draw_atoms(&seen, &weights, 30, 1).unwrap();
    let learner = MaskedKsvd::new(MaskedOmp::new(2)).passes(40);
    let fit = learner.learn(initial, &seen, &weights).unwrap();
    let recovery = Recovery::new(&fit.dictionary, &truth).unwrap();
    let recovered = recovery.recovered(RECOVERED);
    assert!(recovered > 0.85, "{recovered} of the atoms");
    let filled = complete(&fit.dictionary, &fit.codes, &seen, &weights).unwrap();
    let error = (&filled - &whole).squared_norm_l2() / whole.squared_norm_l2();
    assert!(error < 0.05, "{error}, where zeros leave 0.3");
    assert_eq!(fit.passes.len(), 41);
    let (first, last) = (fit.passes[0].relative_error, fit.passes[40].relative_error);
    assert!(last < 0.2 * first, "{first} to {last}");
}

#[test]
fn weights_between_are_between() {
    // Noise in half of the coordinates: to trust them less is better than to trust or to drop them.
    let (truth, whole, ..) = incomplete(2000, 0.0);
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let is_noisy = Mat::from_fn(20, 2000, |_, _| random.random::<bool>());
    let samples = Mat::from_fn(20, 2000, |r, i| {
        let noise: f64 = StandardNormal.sample(&mut random);
        whole[(r, i)] + if is_noisy[(r, i)] { 0.4 * noise } else { 0.02 * noise }
    });
    let error = |weight: f64| {
        let weights = Mat::from_fn(20, 2000, |r, i| if is_noisy[(r, i)] { weight } else { 1.0 });
        let codes = MaskedOmp::new(2).encode(&truth, &samples, &weights).unwrap();
        let model = Model::new(truth.clone(), None, 2, Sign::Signed).unwrap();
        (model.decode(&codes).unwrap() - &whole).squared_norm_l2()
    };
    let (dropped, trusted_less, trusted) = (error(0.0), error(0.05), error(1.0));
    assert!(trusted_less < dropped && trusted_less < trusted, "{dropped} {trusted_less} {trusted}");
}

#[test]
fn no_update_raises_the_error_at_given_supports() {
    // With the budget of all atoms there is nothing to choose, so coding cannot raise it either.
    let (_, _, seen, weights) = incomplete(200, 0.3);
    for sign in [Sign::Signed, Sign::NonNegative] {
        let initial = draw_atoms(&seen, &weights, 3, 2).unwrap();
        let coder = MaskedOmp::new(3).least_seen(0.0).sign(sign);
        let fit = MaskedKsvd::new(coder).passes(15).learn(initial, &seen, &weights).unwrap();
        let errors: Vec<f64> = fit.passes.iter().map(|pass| pass.relative_error).collect();
        let falls = errors.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12));
        assert!(falls, "{sign:?}: {errors:?}");
    }
}

/// One pass is the formula of its documentation, whatever the weights are.
#[test]
fn an_update_is_the_weighted_approximation_of_rank_one() {
    let Problem { samples, weights, .. } = Problem::new((5, 1, 30), 21);
    let initial = draw_atoms(&samples, &weights, 1, 0).unwrap();
    let coder = MaskedOmp::new(1).least_seen(0.0);
    let fit = MaskedKsvd::new(coder).passes(1).learn(initial.clone(), &samples, &weights).unwrap();
    let old = initial.atom(0);
    let codes = coder.encode(&initial, &samples, &weights).unwrap();
    let uses: Vec<(usize, f64)> =
        (0..30).filter_map(|i| codes.values(i).first().map(|&x| (i, x))).collect();
    let largest = |i: usize| (0..5).fold(0.0, |most, r| f64::max(most, weights[(r, i)]));
    let one_more: f64 =
        uses.iter().map(|&(i, x)| largest(i) * x * x).sum::<f64>() / uses.len() as f64;
    let mut expected: Vec<f64> = (0..5)
        .map(|r| {
            let (mut pull, mut mass) = (one_more * old[r], one_more);
            for &(i, x) in uses.iter().filter(|&&(i, _)| weights[(r, i)] > 0.0) {
                pull += weights[(r, i)] * x * samples[(r, i)];
                mass += weights[(r, i)] * x * x;
            }
            pull / mass
        })
        .collect();
    let size = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
    expected.iter_mut().for_each(|x| *x /= size);
    for (found, expected) in fit.dictionary.atom(0).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }
}

#[test]
fn whole_samples_see_all_of_an_atom_whatever_the_weight() {
    let problem = Problem::new((10, 30, 20), 3);
    let samples = Mat::from_fn(10, 20, |r, i| ((r * 5 + i * 3) as f64).sin());
    let of = |weight: f64| {
        let weights = Mat::from_fn(10, 20, |_, _| weight);
        MaskedOmp::new(3).least_seen(1.0).encode(&problem.dictionary, &samples, &weights).unwrap()
    };
    let (half, one) = (of(0.3), of(1.0));
    assert!((0..20).all(|i| half.support(i) == one.support(i) && half.support(i).len() == 3));
}

#[test]
fn drawn_and_renewed_atoms_do_not_depend_on_the_unit_of_weights() {
    let (_, _, seen, weights) = incomplete(300, 0.3);
    let learn = |unit: f64| {
        let weights = Mat::from_fn(20, 300, |r, i| unit * weights[(r, i)]);
        let drawn = draw_atoms(&seen, &weights, 10, 2).unwrap();
        let twice = Dictionary::new(Mat::from_fn(20, 20, |r, j| drawn.atom(j % 10)[r])).unwrap();
        let learner = MaskedKsvd::new(MaskedOmp::new(2)).passes(2);
        (drawn, learner.learn(twice, &seen, &weights).unwrap())
    };
    // Powers of two change no digit.
    let (one, other) = (learn(1.0), learn(2.0_f64.powi(-30)));
    assert!(one.1.passes[1].replaced > 0);
    let pairs = [(&one.0, &other.0), (&one.1.dictionary, &other.1.dictionary)];
    for (a, b) in pairs {
        assert!((a.as_mat() - b.as_mat()).norm_max() < 1e-9);
    }
}

#[test]
fn what_is_known_by_half_is_filled_in_by_half() {
    let dictionary = Mat::from_fn(2, 1, |r, _| [0.6, 0.8][r]);
    let mut codes = dbksvd::SparseCodes::new(1, 1, 1);
    codes.set(0, &[0], &[10.0]);
    let samples = Mat::from_fn(2, 1, |r, _| [2.0, 4.0][r]);
    let weights = Mat::from_fn(2, 1, |r, _| [0.25, 0.5][r]);
    let filled = complete(&dictionary, &codes, &samples, &weights).unwrap();
    assert_eq!(
        filled,
        Mat::from_fn(2, 1, |r, _| [0.25 * 2.0 + 0.75 * 6.0, 0.5 * 4.0 + 0.5 * 8.0][r])
    );
}

#[test]
fn as_many_passes_as_one_likes() {
    let (_, _, seen, weights) = incomplete(100, 0.3);
    let initial = draw_atoms(&seen, &weights, 5, 2).unwrap();
    let learner = MaskedKsvd::new(MaskedOmp::new(1)).passes(usize::MAX);
    let fit = learner.learn_observed(initial, &seen, &weights, |pass| match pass.pass {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(fit.unwrap().passes.len(), 4);
}

#[test]
fn unused_atoms_are_replaced() {
    let (_, _, seen, weights) = incomplete(300, 0.3);
    let start = draw_atoms(&seen, &weights, 10, 3).unwrap();
    // The second half of the atoms repeats the first, and is never chosen.
    let twice = Mat::from_fn(20, 20, |r, j| start.atom(j % 10)[r]);
    let initial = Dictionary::new(twice).unwrap();
    let learner = MaskedKsvd::new(MaskedOmp::new(2)).passes(3);
    let fit = learner.learn(initial, &seen, &weights).unwrap();
    assert_eq!(fit.passes[0].replaced, 0);
    assert!(fit.passes[1].replaced >= 10, "{:?}", fit.passes);
    // Samples that are the same become one atom.
    let twins = Mat::from_fn(20, 300, |r, i| seen[(r, i / 150)]);
    let same = Mat::from_fn(20, 300, |r, i| weights[(r, i / 150)]);
    let initial = Dictionary::new(Mat::from_fn(20, 3, |r, _| start.atom(0)[r])).unwrap();
    let learner = MaskedKsvd::new(MaskedOmp::new(1)).passes(1);
    let fit = learner.learn(initial, &twins, &same).unwrap();
    let (one, two) = (fit.dictionary.atom(1), fit.dictionary.atom(2));
    assert!(one != two, "two atoms of one sample");
}

#[test]
fn learning_ends_when_it_is_told_to_with_codes_of_its_dictionary() {
    let (_, _, seen, weights) = incomplete(200, 0.3);
    let initial = draw_atoms(&seen, &weights, 12, 5).unwrap();
    let coder = MaskedOmp::new(2);
    let stop_at_two = |pass: &dbksvd::masked::MaskedPass| match pass.pass {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let learner = MaskedKsvd::new(coder).passes(9);
    let fit = learner.learn_observed(initial.clone(), &seen, &weights, stop_at_two).unwrap();
    assert_eq!(fit.passes.len(), 3);
    let two = MaskedKsvd::new(coder).passes(2).learn(initial, &seen, &weights).unwrap();
    assert_eq!((&fit.dictionary, &fit.codes), (&two.dictionary, &two.codes));
    let (codes, again) = (&fit.codes, coder.encode(&fit.dictionary, &seen, &weights).unwrap());
    assert!((0..200).all(|i| codes.support(i) == again.support(i)));
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads_or_on_other_samples() {
    let (_, _, seen, weights) = incomplete(150, 0.4);
    let learn = || {
        let initial = draw_atoms(&seen, &weights, 20, 7).unwrap();
        let fit = MaskedKsvd::new(MaskedOmp::new(3)).passes(4).learn(initial, &seen, &weights);
        let fit = fit.unwrap();
        let filled = complete(&fit.dictionary, &fit.codes, &seen, &weights).unwrap();
        (fit.dictionary, fit.codes, filled, fit.passes)
    };
    let expected = on_threads(1, learn);
    for threads in [2, 3] {
        assert!(on_threads(threads, learn) == expected, "{threads} threads");
    }
    let one = |matrix: &Mat<f64>| matrix.as_ref().subcols(70, 1).to_owned();
    let coder = MaskedOmp::new(3);
    let all = coder.encode(&expected.0, &seen, &weights).unwrap();
    let alone = coder.encode(&expected.0, one(&seen), one(&weights)).unwrap();
    assert_eq!((alone.support(0), alone.values(0)), (all.support(70), all.values(70)));
}

#[test]
fn single_precision_learns_too() {
    let (_, whole, seen, weights) = incomplete(1000, 0.2);
    let narrow = |matrix: &Mat<f64>| crate::support::narrow::<f32>(matrix.as_ref());
    let (seen, weights) = (narrow(&seen), narrow(&weights));
    let initial = draw_atoms(&seen, &weights, 30, 1).unwrap();
    let fit = MaskedKsvd::new(MaskedOmp::new(2)).passes(25).learn(initial, &seen, &weights);
    let fit = fit.unwrap();
    let filled = complete(&fit.dictionary, &fit.codes, &seen, &weights).unwrap();
    let error = (&filled - narrow(&whole)).squared_norm_l2();
    assert!(f64::from(error) < 0.1 * whole.squared_norm_l2(), "{error}");
}
