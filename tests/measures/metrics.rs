//! The measures against values computed by hand and by another implementation.

use approx::assert_abs_diff_eq;
use dbksvd::faer::{Mat, MatRef, mat};
use dbksvd::metrics::{
    Coherence, Directions, Pair, RECOVERED, Reconstruction, Recovery, reconstruction,
};
use dbksvd::synthetic::Planted;
use dbksvd::{Dictionary, Error, Model, Scalar, Sign, SparseCodes};

use crate::support::{Arrays, sparse};

fn check_against_python<T: Scalar>() {
    let case = Arrays::parse(include_str!("../fixtures/metrics/case.txt"));
    let learned = Dictionary::normalized(case.columns::<T>("learned")).unwrap();
    let truth = Dictionary::normalized(case.columns::<T>("truth")).unwrap();
    let tolerance = 100.0 * T::EPSILON;

    let recovery = Recovery::new(&learned, &truth).unwrap();
    assert_abs_diff_eq!(recovery.mcc(), case.number("mcc"), epsilon = tolerance);
    assert_abs_diff_eq!(recovery.mmcs(), case.number("mmcs"), epsilon = tolerance);
    assert_abs_diff_eq!(recovery.uniqueness(), case.number("uniqueness"), epsilon = tolerance);
    assert_abs_diff_eq!(
        recovery.recovered(RECOVERED),
        case.number("recovered"),
        epsilon = tolerance
    );
    let matched: Vec<f64> = recovery.pairs().iter().map(|pair| pair.truth as f64).collect();
    assert_eq!(matched, case.vector("matched"));

    let mean = case.vector("bias").iter().map(|&x| T::narrow(x)).collect();
    let model = Model::new(learned, Some(mean), 3, Sign::Signed).unwrap();
    let samples = case.columns::<T>("samples");
    let codes = case.columns::<T>("codes");
    let codes = sparse(codes.as_ref(), 3);
    let measured = reconstruction(&model, samples.as_ref(), &codes).unwrap();
    assert_abs_diff_eq!(
        measured.explained_variance(),
        case.number("explained_variance"),
        epsilon = tolerance
    );
    assert_abs_diff_eq!(
        measured.relative_error(),
        case.number("relative_error"),
        epsilon = tolerance
    );
    assert_abs_diff_eq!(measured.l0(), case.number("l0"), epsilon = tolerance);
    let usage: Vec<f64> = measured.usage().iter().map(|&uses| uses as f64).collect();
    assert_eq!(usage, case.vector("usage"));
    assert_eq!(measured.dead_atoms().count() as f64, case.number("dead"));
}

#[test]
fn agrees_with_synth_sae_bench_in_f32() {
    check_against_python::<f32>();
}

#[test]
fn agrees_with_synth_sae_bench_in_f64() {
    check_against_python::<f64>();
}

mod of_directions {
    use super::*;

    #[test]
    #[should_panic(expected = "2 atoms from 2 on, of 3")]
    fn atoms_beyond_the_last_panic() {
        let ours = Dictionary::new(Mat::<f64>::identity(3, 3)).unwrap();
        let ours = Directions::new(&ours);
        ours.cosines(&ours, 2, &mut [0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "a whole number of rows")]
    fn parts_of_rows_panic() {
        let ours = Dictionary::new(Mat::<f64>::identity(3, 3)).unwrap();
        let ours = Directions::new(&ours);
        ours.signed_cosines(&ours, 0, &mut [0.0; 5]);
    }
}

mod of_reconstruction {
    use super::*;

    fn identity() -> Dictionary<f64> {
        Dictionary::new(Mat::identity(2, 2)).unwrap()
    }

    fn empty(samples: usize) -> SparseCodes<f64> {
        SparseCodes::new(2, samples, 1)
    }

    fn model(dictionary: &Dictionary<f64>, mean: Option<Vec<f64>>) -> Model<f64> {
        Model::new(dictionary.clone(), mean, 1, Sign::Signed).unwrap()
    }

    /// FVU of the columns of `samples` with empty codes.
    fn fvu_of_nothing(samples: MatRef<'_, f64>, mean: Option<&[f64]>) -> f64 {
        let mut measured = Reconstruction::new(2, 2);
        let model = model(&identity(), mean.map(<[f64]>::to_vec));
        measured.add(&model, samples, &empty(samples.ncols())).unwrap();
        measured.fvu()
    }

    #[test]
    fn empty_codes_leave_all_variance_of_centred_samples() {
        let samples = mat![[1.0, -1.0, 3.0, -3.0], [2.0, -2.0, 0.0, 0.0]];
        assert_eq!(fvu_of_nothing(samples.as_ref(), None), 1.0);
    }

    #[test]
    fn the_mean_alone_leaves_all_variance() {
        let samples = mat![[1.0, 3.0], [5.0, 5.0]];
        let measured =
            reconstruction(&model(&identity(), Some(vec![2.0, 5.0])), samples.as_ref(), &empty(2))
                .unwrap();
        assert_eq!(measured.fvu(), 1.0);
        assert_eq!(measured.explained_variance(), 0.0);
        assert_eq!(measured.relative_error(), 2.0 / 60.0);
        assert_eq!(measured.mean(), [2.0, 5.0]);
        assert_eq!(measured.squared_error(), 2.0);
    }

    #[test]
    fn counts_atoms_by_nonzero_coefficients() {
        let mut codes = SparseCodes::new(2, 4, 2);
        codes.set(0, &[0, 1], &[1.0, 0.0]);
        codes.set(2, &[0], &[-2.0]);
        let samples = Mat::from_fn(2, 4, |r, i| (r + i) as f64);
        let measured = reconstruction(&model(&identity(), None), samples.as_ref(), &codes).unwrap();
        assert_eq!(measured.l0(), 0.5);
        assert_eq!(measured.usage(), [2, 0]);
        assert_eq!(measured.densities(), [0.5, 0.0]);
        assert_eq!(measured.dead_atoms().collect::<Vec<_>>(), [1]);
        assert_eq!(measured.samples(), 4);
    }

    #[test]
    fn a_huge_mean_does_not_cancel_the_variance() {
        let data = Planted::new(16, 32, 3, 700).noise(0.3).seed(1).generate::<f64>().unwrap();
        let shift = 1e7;
        let shifted = Mat::from_fn(16, 700, |r, i| data.samples[(r, i)] + shift);
        let plain = Model::new(data.dictionary.clone(), None, 3, Sign::Signed).unwrap();
        let centred =
            Model::new(data.dictionary.clone(), Some(vec![shift; 16]), 3, Sign::Signed).unwrap();
        let plain = reconstruction(&plain, data.samples.as_ref(), &data.codes).unwrap();
        let shifted = reconstruction(&centred, shifted.as_ref(), &data.codes).unwrap();
        assert_abs_diff_eq!(shifted.fvu(), plain.fvu(), epsilon = 8.0 * shift * f64::EPSILON);
        assert!(plain.fvu() > 0.05);
    }

    #[test]
    fn squared_error_is_that_of_decoding_in_double_precision() {
        let data = Planted::new(16, 32, 3, 300).noise(0.1).generate::<f32>().unwrap();
        let mean = 0.5f32;
        let mut expected = 0.0;
        for (y, (support, values)) in data.samples.col_iter().zip(data.codes.iter()) {
            for i in 0..16 {
                let terms = support.iter().zip(values);
                let of_atoms = terms.map(|(&atom, value)| {
                    data.dictionary.atom(atom as usize)[i].widen() * value.widen()
                });
                let error = y[i].widen() - mean.widen() - of_atoms.sum::<f64>();
                expected += error * error;
            }
        }
        let model = Model::new(data.dictionary, Some(vec![mean; 16]), 3, Sign::Signed).unwrap();
        let measured = reconstruction(&model, data.samples.as_ref(), &data.codes).unwrap();
        assert_abs_diff_eq!(
            measured.squared_error() / expected,
            1.0,
            epsilon = 300.0 * f64::EPSILON
        );
    }

    #[test]
    fn batches_and_merged_parts_measure_the_whole() {
        let data = Planted::new(8, 16, 2, 600).noise(0.2).generate::<f64>().unwrap();
        let part = |range: std::ops::Range<usize>| {
            let mut codes = SparseCodes::new(16, range.len(), 2);
            for (to, from) in range.clone().enumerate() {
                codes.set(to, data.codes.support(from), data.codes.values(from));
            }
            (data.samples.as_ref().subcols(range.start, range.len()), codes)
        };
        let model = model(&data.dictionary, None);
        let measure = |measured: &mut Reconstruction, range| {
            let (samples, codes) = part(range);
            measured.add(&model, samples, &codes).unwrap();
        };
        let [mut whole, mut batches, mut rest] = [(); 3].map(|()| Reconstruction::new(8, 16));
        measure(&mut whole, 0..600);
        measure(&mut batches, 0..0);
        measure(&mut batches, 0..1);
        measure(&mut batches, 1..300);
        measure(&mut rest, 300..600);
        batches.merge(&rest).unwrap();
        assert_eq!(batches.samples(), 600);
        assert_eq!(batches.usage(), whole.usage());
        assert_abs_diff_eq!(batches.fvu(), whole.fvu(), epsilon = 600.0 * f64::EPSILON);
        assert_abs_diff_eq!(
            batches.relative_error(),
            whole.relative_error(),
            epsilon = 600.0 * f64::EPSILON
        );
    }

    #[test]
    fn the_few_samples_of_most_of_the_variance_are_told() {
        let mut data = Planted::new(8, 16, 2, 1000).noise(0.2).generate::<f64>().unwrap();
        let model = model(&data.dictionary, None);
        let measured = |samples: &Mat<f64>, codes| {
            reconstruction(&model, samples.as_ref(), codes).unwrap().massive()
        };
        assert_eq!(measured(&data.samples, &data.codes), None);
        for i in [3, 400, 999] {
            data.samples[(5, i)] += 500.0;
        }
        let whole = measured(&data.samples, &data.codes).unwrap();
        assert!(whole.samples == 3 && whole.share > 0.9 && whole.share < 1.0, "{whole:?}");

        let mut merged = Reconstruction::new(8, 16);
        for range in [0..400, 400..1000] {
            let mut codes = SparseCodes::new(16, range.len(), 2);
            for (to, from) in range.clone().enumerate() {
                codes.set(to, data.codes.support(from), data.codes.values(from));
            }
            let mut part = Reconstruction::new(8, 16);
            let samples = data.samples.as_ref().subcols(range.start, range.len());
            part.add(&model, samples, &codes).unwrap();
            merged.merge(&part).unwrap();
        }
        let merged = merged.massive().unwrap();
        assert_eq!(merged.samples, 3);
        assert_abs_diff_eq!(merged.share, whole.share, epsilon = 0.02);
    }

    #[test]
    fn samples_may_be_rows_of_a_view() {
        let samples = mat![[1.0, 2.0], [3.0, 5.0], [5.0, 1.0]];
        let columns = samples.transpose().to_owned();
        let mean = Some(&[1.0, 1.0][..]);
        assert_eq!(
            fvu_of_nothing(samples.transpose(), mean),
            fvu_of_nothing(columns.as_ref(), mean)
        );
    }

    #[test]
    fn constant_samples_have_no_variance_to_explain() {
        let samples = Mat::from_fn(2, 3, |_, _| 0.1);
        // Reproduced exactly by a mean, without a single atom: no share of anything.
        assert!(fvu_of_nothing(samples.as_ref(), Some(&[0.1, 0.1])).is_nan());
        assert_eq!(fvu_of_nothing(samples.as_ref(), None), f64::INFINITY);
    }

    #[test]
    fn nothing_measured_is_not_a_number() {
        let measured = Reconstruction::new(2, 2);
        assert!(measured.fvu().is_nan() && measured.relative_error().is_nan());
        assert!(measured.l0().is_nan() && measured.densities()[0].is_nan());
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let data = Planted::new(8, 16, 2, 1500).noise(0.2).generate::<f32>().unwrap();
        let model = Model::new(data.dictionary, None, 2, Sign::Signed).unwrap();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| reconstruction(&model, data.samples.as_ref(), &data.codes).unwrap())
        };
        assert_eq!(on(1), on(3));
    }

    /// The name and the two sizes of a dimension error.
    fn dimension<T: std::fmt::Debug>(result: Result<T, Error>) -> (&'static str, usize, usize) {
        match result {
            Err(Error::Dimension { argument, found, expected }) => (argument, found, expected),
            other => panic!("expected a dimension error, got {other:?}"),
        }
    }

    #[test]
    fn every_size_is_checked() {
        let (good, samples) = (identity(), Mat::<f64>::zeros(2, 4));
        let tall = Dictionary::normalized(Mat::from_fn(3, 2, |_, _| 1.0)).unwrap();
        let wide = Dictionary::normalized(Mat::from_fn(2, 5, |_, _| 1.0)).unwrap();
        let mut measured = Reconstruction::new(2, 2);
        let mut add =
            |dictionary: &Dictionary<f64>, samples: &Mat<f64>, codes: &SparseCodes<f64>| {
                dimension(measured.add(&model(dictionary, None), samples.as_ref(), codes))
            };
        assert_eq!(add(&tall, &samples, &empty(4)), ("model", 3, 2));
        assert_eq!(add(&wide, &samples, &empty(4)), ("atoms of the model", 5, 2));
        assert_eq!(add(&good, &Mat::zeros(3, 4), &empty(4)), ("samples", 3, 2));
        let codes = SparseCodes::new(7, 4, 1);
        assert_eq!(add(&good, &samples, &codes), ("codes", 7, 2));
        assert_eq!(add(&good, &samples, &empty(5)), ("samples of the codes", 5, 4));
        assert_eq!(dimension(measured.merge(&Reconstruction::new(3, 2))), ("other", 3, 2));
        assert_eq!(dimension(measured.merge(&Reconstruction::new(2, 3))), ("atoms of other", 3, 2));
        assert_eq!(measured, Reconstruction::new(2, 2));
    }

    #[test]
    fn no_samples_is_an_error_of_the_short_form() {
        let result =
            reconstruction(&model(&identity(), None), Mat::zeros(2, 0).as_ref(), &empty(0));
        assert!(matches!(result, Err(Error::NoSamples { argument: "samples" })));
    }

    #[test]
    fn a_bad_sample_is_counted_from_the_first_batch_and_changes_nothing() {
        let mut measured = Reconstruction::new(2, 2);
        let model = model(&identity(), None);
        measured.add(&model, Mat::zeros(2, 3).as_ref(), &empty(3)).unwrap();
        let before = measured.clone();
        let mut samples = Mat::zeros(2, 600);
        samples[(1, 400)] = f64::NAN;
        samples[(0, 500)] = f64::INFINITY;
        let result = measured.add(&model, samples.as_ref(), &empty(600));
        assert!(matches!(result, Err(Error::NotFinite { sample: 403, coordinate: 1, .. })));
        assert_eq!(measured, before);
    }

    #[test]
    fn codes_must_be_finite_and_of_existing_atoms() {
        let mut measured = Reconstruction::new(2, 2);
        let samples = Mat::zeros(2, 1);
        let mut codes = empty(1);
        for (atom, value) in [(0, f64::NAN), (2, 1.0)] {
            codes.as_block_mut().write(0, |support, values| {
                (support[0], values[0]) = (atom, value);
                1
            });
            let result = measured.add(&model(&identity(), None), samples.as_ref(), &codes);
            assert!(matches!(result, Err(Error::Argument { argument: "codes", .. })));
        }
    }
}

mod of_coherence {
    use super::*;

    #[test]
    fn an_orthonormal_basis_is_incoherent() {
        let coherence = Coherence::new(&Dictionary::new(Mat::<f64>::identity(5, 5)).unwrap());
        assert_eq!(coherence.coherence(), 0.0);
        assert_eq!(coherence.babel(4), 0.0);
        assert_eq!(coherence.sparsity_bound(), 5);
        assert_eq!(coherence.babel_sparsity_bound(), 5);
    }

    #[test]
    fn two_atoms_at_sixty_degrees() {
        let atoms = mat![[1.0, -0.5], [0.0, 0.75_f64.sqrt()]];
        let coherence = Coherence::new(&Dictionary::new(atoms).unwrap());
        assert_abs_diff_eq!(coherence.coherence(), 0.5, epsilon = 4.0 * f64::EPSILON);
        assert_abs_diff_eq!(coherence.mean_nearest(), 0.5, epsilon = 4.0 * f64::EPSILON);
        assert_eq!(coherence.sparsity_bound(), 1);
        // One atom: μ₁(0) + μ₁(1) = 1/2. Both: μ₁(1) + μ₁(1) = 1, not below it.
        assert_eq!(coherence.babel_sparsity_bound(), 1);
    }

    #[test]
    fn a_single_atom_has_coherence_zero() {
        let coherence = Coherence::new(&Dictionary::new(mat![[0.6], [0.8]]).unwrap());
        assert_eq!(coherence.coherence(), 0.0);
        assert_eq!(coherence.nearest(), [0.0]);
        assert_eq!(coherence.babel(3), 0.0);
        assert_eq!((coherence.sparsity_bound(), coherence.babel_sparsity_bound()), (1, 1));
    }

    #[test]
    fn a_duplicate_leaves_no_guarantee() {
        let atoms = mat![[0.6, 0.8, -0.6], [0.8, -0.6, -0.8_f32]];
        let coherence = Coherence::new(&Dictionary::new(atoms).unwrap());
        assert_abs_diff_eq!(coherence.coherence(), 1.0, epsilon = f64::from(f32::EPSILON));
        assert!(coherence.coherence() <= 1.0);
        assert!(coherence.nearest()[1] <= f64::from(f32::EPSILON));
    }

    #[test]
    fn the_babel_bound_can_exceed_that_of_coherence() {
        // Orthonormal but for one pair at cos 0.4: (1 + 1/0.4)/2 = 1.75, yet μ₁(k) = 0.4 for all k.
        let mut atoms = Mat::<f64>::identity(4, 4);
        atoms[(0, 1)] = 0.4;
        atoms[(1, 1)] = 0.84_f64.sqrt();
        let coherence = Coherence::new(&Dictionary::new(atoms).unwrap());
        assert_eq!(coherence.sparsity_bound(), 1);
        assert_eq!(coherence.babel_sparsity_bound(), 4);
    }

    #[test]
    fn equals_the_definitions_over_several_blocks() {
        let dictionary = Planted::new(12, 300, 1, 1).generate::<f64>().unwrap().dictionary;
        let cosine = |i: usize, j: usize| {
            let terms = dictionary.atom(i).iter().zip(dictionary.atom(j)).map(|(a, b)| a * b);
            terms.sum::<f64>().abs()
        };
        let mut babel = vec![0.0_f64; 299];
        let mut nearest = Vec::new();
        for i in 0..300 {
            let mut others: Vec<f64> = (0..300).filter(|&j| j != i).map(|j| cosine(i, j)).collect();
            others.sort_by(|a, b| b.total_cmp(a));
            nearest.push(others[0]);
            let mut sum = 0.0;
            for (babel, cosine) in babel.iter_mut().zip(others) {
                sum += cosine;
                *babel = babel.max(sum);
            }
        }
        let coherence = Coherence::new(&dictionary);
        let tolerance = 300.0 * f64::EPSILON;
        for (k, &expected) in babel.iter().enumerate() {
            assert_abs_diff_eq!(coherence.babel(k + 1) / expected, 1.0, epsilon = tolerance);
        }
        for (&found, &expected) in coherence.nearest().iter().zip(&nearest) {
            assert_abs_diff_eq!(found, expected, epsilon = tolerance);
        }
        assert_eq!(coherence.babel(1), coherence.coherence());
        assert_eq!(coherence.babel(1000), coherence.babel(299));
    }
}

mod of_recovery {
    use super::*;

    #[test]
    fn order_and_sign_do_not_matter() {
        let truth = Planted::new(10, 150, 1, 1).generate::<f32>().unwrap().dictionary;
        let learned = Mat::from_fn(10, 150, |r, j| {
            let sign = if j % 3 == 0 { -1.0 } else { 1.0 };
            sign * truth.atom((j * 7 + 5) % 150)[r]
        });
        let recovery = Recovery::new(&Dictionary::new(learned).unwrap(), &truth).unwrap();
        assert_abs_diff_eq!(recovery.mcc(), 1.0, epsilon = f64::from(f32::EPSILON));
        assert_abs_diff_eq!(recovery.mmcs(), 1.0, epsilon = f64::from(f32::EPSILON));
        assert_eq!(recovery.recovered(RECOVERED), 1.0);
        assert_eq!(recovery.uniqueness(), 1.0);
        for pair in recovery.pairs() {
            assert_eq!(pair.truth, (pair.learned * 7 + 5) % 150);
        }
    }

    /// Learned atoms: two of t_0, one between t_1 and t_2.
    fn duplicates() -> (Dictionary<f64>, Dictionary<f64>) {
        let learned = mat![[1.0, -1.0, 0.0], [0.0, 0.0, 0.6], [0.0, 0.0, 0.8]];
        (Dictionary::new(learned).unwrap(), Dictionary::new(Mat::identity(3, 3)).unwrap())
    }

    #[test]
    fn a_duplicate_is_not_unique_and_matches_what_is_left() {
        let (learned, truth) = duplicates();
        let recovery = Recovery::new(&learned, &truth).unwrap();
        assert_eq!(recovery.uniqueness(), 2.0 / 3.0);
        assert_abs_diff_eq!(recovery.mmcs(), 2.4 / 3.0, epsilon = 4.0 * f64::EPSILON);
        assert_abs_diff_eq!(recovery.mcc(), 1.8 / 3.0, epsilon = 4.0 * f64::EPSILON);
        assert_eq!(recovery.recovered(RECOVERED), 1.0 / 3.0);
        // True atoms resemble the first of the equal learned ones.
        assert_eq!(recovery.best_for_truth()[0].atom, 0);
        assert_eq!(recovery.best_for_truth()[1].atom, 2);
        assert_eq!(
            recovery.best_for_learned().iter().map(|b| b.atom).collect::<Vec<_>>(),
            [0, 0, 2]
        );
    }

    #[test]
    fn rectangular_either_way() {
        let few = Dictionary::new(mat![[0.0, 0.6], [1.0, 0.0], [0.0, 0.8]]).unwrap();
        let many = Dictionary::new(Mat::<f64>::identity(3, 3)).unwrap();
        let recovery = Recovery::new(&few, &many).unwrap();
        let pair = |learned, truth, cosine| Pair { learned, truth, cosine };
        assert_eq!(recovery.pairs(), [pair(0, 1, 1.0), pair(1, 2, 0.8)]);
        assert_eq!(recovery.recovered(0.9), 1.0 / 3.0);
        assert_eq!(recovery.uniqueness(), 1.0);
        let recovery = Recovery::new(&many, &few).unwrap();
        assert_eq!(recovery.pairs(), [pair(1, 0, 1.0), pair(2, 1, 0.8)]);
        assert_eq!(recovery.recovered(0.9), 0.5);
        assert_eq!(recovery.uniqueness(), 2.0 / 3.0);
        assert_eq!(recovery.mcc(), 0.9);
    }

    #[test]
    fn dimensions_must_agree() {
        let learned = Dictionary::new(Mat::<f64>::identity(3, 3)).unwrap();
        let truth = Dictionary::new(Mat::<f64>::identity(2, 2)).unwrap();
        let result = Recovery::new(&learned, &truth);
        let expected = "`learned` has dimension 3, expected 2";
        assert!(
            matches!(result, Err(ref error @ Error::Dimension { .. }) if error.to_string() == expected)
        );
    }
}
