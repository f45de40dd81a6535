//! Measures of SAE tools against those tools, SciPy and scikit-learn (`tests/fixtures/measures`),
//! and against values computed by hand.

use std::path::Path;

use approx::assert_abs_diff_eq;
use dbksvd::faer::{Mat, mat};
use dbksvd::metrics::{Coherence, Pair, Recovery, reconstruction};
use dbksvd::source::{self, SampleSource};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Dictionary, Error, Model, Scalar, Sign, SparseCodes};
use dbksvd_sae::metrics::{
    Detection, Features, Likeness, Neighbours, Probing, Split, Stability, Usage, fidelity,
};

#[path = "../../../tests/support/mod.rs"]
mod support;
use support::{Arrays, argument, sparse};

/// What `run` returns is the same on one thread and on three.
#[track_caller]
fn same_on_any_number_of_threads<R: PartialEq + Send + std::fmt::Debug>(
    run: impl Fn() -> R + Send + Sync,
) {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&run)
    };
    assert_eq!(on(1), on(3));
}

mod of_fidelity {
    use super::*;

    fn agrees<T: Scalar>() {
        let case = Arrays::parse(include_str!("fixtures/measures/fidelity.txt"));
        let dictionary = Dictionary::normalized(case.columns::<T>("dictionary")).unwrap();
        let mean = case.vector("bias").iter().map(|&x| T::narrow(x)).collect();
        let model = Model::new(dictionary, Some(mean), 3, Sign::Signed).unwrap();
        let (samples, codes) = (case.columns::<T>("samples"), case.columns::<T>("codes"));
        let codes = sparse(codes.as_ref(), 3);
        let found = fidelity(&model, samples.as_ref(), &codes).unwrap();
        // Sums of fifty samples; the legacy measure divides by small numbers.
        let tolerance = 1000.0 * T::EPSILON;
        for (found, name) in [
            (found.mean_squared_error(), "mse"),
            (found.mean_relative_error(), "normalised"),
            (found.explained_variance_legacy(), "legacy"),
            (found.cosine(), "cossim"),
            (found.l2_ratio(), "l2_ratio"),
            (found.relative_reconstruction_bias(), "bias_ratio"),
        ] {
            assert_abs_diff_eq!(found, case.number(name), epsilon = tolerance);
        }
        assert_eq!(found.samples(), 50);
        let measured = reconstruction(&model, samples.as_ref(), &codes).unwrap();
        let expected = measured.squared_error() / 50.0;
        assert_abs_diff_eq!(found.mean_squared_error(), expected, epsilon = tolerance);
    }

    #[test]
    fn agrees_with_saelens_in_f32() {
        agrees::<f32>();
    }

    #[test]
    fn agrees_with_saelens_in_f64() {
        agrees::<f64>();
    }

    fn identity(mean: Option<Vec<f64>>) -> Model<f64> {
        let dictionary = Dictionary::new(Mat::identity(2, 2)).unwrap();
        Model::new(dictionary, mean, 1, Sign::Signed).unwrap()
    }

    #[test]
    fn what_is_undefined_is_left_out() {
        // A zero sample, one whose reconstruction is zero, and one that is the mean of all.
        let samples = mat![[0.0, 3.0, 1.0, 0.0], [0.0, 4.0, 2.0, 2.0]];
        let mut codes = SparseCodes::new(2, 4, 1);
        codes.set(3, &[1], &[2.0]);
        let found = fidelity(&identity(None), samples.as_ref(), &codes).unwrap();
        assert_abs_diff_eq!(found.cosine(), 1.0 / 3.0, epsilon = 1e-15);
        assert_abs_diff_eq!(found.l2_ratio(), 1.0 / 3.0, epsilon = 1e-15);
        assert_abs_diff_eq!(found.mean_relative_error(), 2.0 / 3.0, epsilon = 1e-15);
        // ȳ = (1, 2): deviations 5, 8, 0, 1 and errors 0, 25, 5, 0.
        let legacy = (1.0 + (1.0 - 25.0 / 8.0) + 1.0) / 3.0;
        assert_abs_diff_eq!(found.explained_variance_legacy(), legacy, epsilon = 1e-15);
    }

    #[test]
    fn zero_samples_alone_have_no_ratios() {
        let codes = SparseCodes::new(2, 3, 1);
        let found = fidelity(&identity(None), Mat::zeros(2, 3).as_ref(), &codes).unwrap();
        assert!(found.cosine().is_nan() && found.l2_ratio().is_nan());
        assert_eq!(found.mean_squared_error(), 0.0);
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let data = Planted::new(8, 20, 3, 1500).noise(0.2).seed(1).generate::<f32>().unwrap();
        let model = Model::new(data.dictionary, None, 3, Sign::Signed).unwrap();
        same_on_any_number_of_threads(|| {
            fidelity(&model, data.samples.as_ref(), &data.codes).unwrap()
        });
    }

    #[test]
    fn every_argument_is_checked() {
        let model = identity(Some(vec![0.0; 2]));
        let error = |samples: Mat<f64>, codes: &SparseCodes<f64>| {
            argument(fidelity(&model, samples.as_ref(), codes).unwrap_err())
        };
        assert_eq!(error(Mat::zeros(2, 0), &SparseCodes::new(2, 0, 1)), "samples");
        assert_eq!(error(Mat::zeros(3, 1), &SparseCodes::new(2, 1, 1)), "samples");
        assert_eq!(error(Mat::zeros(2, 1), &SparseCodes::new(3, 1, 1)), "codes");
        assert_eq!(error(Mat::zeros(2, 1), &SparseCodes::new(2, 2, 1)), "samples of the codes");
        let mut broken = SparseCodes::new(2, 1, 1);
        broken.set(0, &[0], &[f64::NAN]);
        assert_eq!(error(Mat::zeros(2, 1), &broken), "codes");
        let nan = mat![[0.0, 0.0], [0.0, f64::NAN]];
        let error = fidelity(&model, nan.as_ref(), &SparseCodes::new(2, 2, 1)).unwrap_err();
        assert!(matches!(error, Error::NotFinite { sample: 1, coordinate: 1, .. }));
    }
}

mod of_usage {
    use super::*;

    #[test]
    fn shares_are_those_of_saebench() {
        let usage = Usage::new(vec![0, 0, 1, 10, 11, 100, 101, 777], 1000).unwrap();
        assert_eq!(usage.dead_share(), 0.25);
        assert_eq!(usage.share_above(0.01), 0.5);
        assert_eq!(usage.share_above(0.1), 0.25);
        assert_eq!(usage.use_share_above(0.01), 989.0 / 1000.0);
        assert_eq!(Usage::new(vec![0, 0], 5).unwrap().use_share_above(0.01), 0.0);
    }

    #[test]
    fn bins_are_half_open_also_where_logarithms_round() {
        // Every power of ten, of a number of samples that is one.
        let usage = Usage::new(vec![0, 1, 9, 10, 99, 100, 999, 1000], 1000).unwrap();
        let histogram = usage.histogram(1).unwrap();
        assert_eq!(histogram.decades(), (-3, 0));
        assert_eq!(histogram.counts(), [2, 2, 3]);
        assert_eq!((histogram.edge(0), histogram.edge(3)), (-3.0, 0.0));
        let fine = usage.histogram(10).unwrap();
        assert_eq!(fine.counts().len(), 30);
        assert_eq!(fine.counts().iter().sum::<usize>(), 7);
        assert_eq!((fine.counts()[0], fine.counts()[10], fine.counts()[29]), (1, 1, 2));
        assert_abs_diff_eq!(fine.edge(11), -1.9, epsilon = 1e-12);
    }

    #[test]
    fn one_sample_has_one_decade() {
        assert_eq!(Usage::new(vec![1, 0], 1).unwrap().histogram(2).unwrap().counts(), [0, 1]);
    }

    #[test]
    fn counts_coefficients_that_are_not_zero() {
        let model =
            Model::new(Dictionary::new(Mat::<f64>::identity(2, 2)).unwrap(), None, 2, Sign::Signed)
                .unwrap();
        let mut codes = SparseCodes::new(2, 2, 2);
        codes.set(0, &[0, 1], &[-1.0, 0.0]);
        let measured = reconstruction(&model, Mat::zeros(2, 2).as_ref(), &codes).unwrap();
        assert_eq!(Usage::of(&measured).unwrap(), Usage::new(vec![1, 0], 2).unwrap());
    }

    #[test]
    fn every_argument_is_checked() {
        assert_eq!(argument(Usage::new(vec![1], 0).unwrap_err()), "samples");
        assert_eq!(argument(Usage::new(vec![], 1).unwrap_err()), "counts");
        assert_eq!(argument(Usage::new(vec![2], 1).unwrap_err()), "counts");
        for bins in [0, 1001] {
            let error = Usage::new(vec![1], 1).unwrap().histogram(bins).unwrap_err();
            assert_eq!(argument(error), "bins");
        }
    }
}

mod of_neighbours {
    use super::*;

    #[test]
    fn the_largest_cosines_are_numpys() {
        let case = Arrays::parse(include_str!("fixtures/measures/stability.txt"));
        let dictionary = Dictionary::normalized(case.columns::<f64>("one")).unwrap();
        let found = Neighbours::new(&dictionary, 1, Likeness::Signed).max_cosines();
        for (found, expected) in found.iter().zip(case.vector("max_cosines")) {
            assert_abs_diff_eq!(found, expected, epsilon = 1e-14);
        }
    }

    #[test]
    fn equals_the_definition_over_several_blocks() {
        let data = Planted::new(6, 300, 2, 1).kind(Kind::Correlated).generate::<f64>().unwrap();
        let cosine = |i: usize, j: usize| {
            let pairs = data.dictionary.atom(i).iter().zip(data.dictionary.atom(j));
            pairs.map(|(a, b)| a * b).sum::<f64>()
        };
        let found = Neighbours::new(&data.dictionary, 4, Likeness::Absolute);
        for j in [0, 127, 128, 299] {
            let mut others: Vec<usize> = (0..300).filter(|&i| i != j).collect();
            others.sort_by(|&a, &b| cosine(b, j).abs().total_cmp(&cosine(a, j).abs()));
            for (found, expected) in found.of(j).iter().zip(others) {
                assert_eq!(found.atom, expected);
                assert_abs_diff_eq!(found.cosine, cosine(expected, j), epsilon = 1e-12);
            }
        }
        let coherence = Coherence::new(&data.dictionary);
        let largest = found.max_cosines();
        assert_eq!(largest.iter().map(|x| x.abs()).collect::<Vec<_>>(), coherence.nearest());
        same_on_any_number_of_threads(|| Neighbours::new(&data.dictionary, 4, Likeness::Signed));
    }

    #[test]
    fn ties_and_few_atoms() {
        let same = Dictionary::new(mat![[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]).unwrap();
        let found = Neighbours::new(&same, 9, Likeness::Signed);
        let atoms = |j| found.of(j).iter().map(|near| near.atom).collect::<Vec<_>>();
        assert_eq!((atoms(0), atoms(1), atoms(2)), (vec![1, 2], vec![0, 2], vec![0, 1]));
        let one = Dictionary::new(mat![[1.0], [0.0]]).unwrap();
        let found = Neighbours::new(&one, 3, Likeness::Absolute);
        assert!(found.of(0).is_empty() && found.max_cosines().is_empty());
    }
}

mod of_detection {
    use super::*;

    /// The rows of a fixture's array as columns.
    fn columns<T: Scalar>(name: &str) -> Mat<T> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/measures/synth");
        let file = source::open(folder.join(name), None).unwrap();
        let mut values = vec![T::zero(); file.len() * file.dim()];
        file.read(0..file.len(), &mut values).unwrap();
        Mat::from_fn(file.dim(), file.len(), |r, i| values[i * file.dim() + r])
    }

    fn agrees<T: Scalar>() {
        let expected = Arrays::parse(include_str!("fixtures/measures/synth/expected.txt"));
        let learned = Dictionary::normalized(columns::<T>("learned.npy")).unwrap();
        let truth = Dictionary::normalized(columns::<T>("truth.npy")).unwrap();
        let codes = sparse(columns::<T>("codes.npy").as_ref(), 50);
        let true_codes = sparse(columns::<T>("true_codes.npy").as_ref(), 160);

        let recovery = Recovery::new(&learned, &truth).unwrap();
        let mut detection = Detection::new(&recovery);
        detection.add(&codes, &true_codes).unwrap();
        let model = Model::new(learned, None, 50, Sign::NonNegative).unwrap();
        let samples = columns::<T>("samples.npy");
        let measured = reconstruction(&model, samples.as_ref(), &codes).unwrap();
        let faithful = fidelity(&model, samples.as_ref(), &codes).unwrap();
        for (found, name) in [
            (recovery.mcc(), "mcc"),
            (recovery.uniqueness(), "uniqueness"),
            (recovery.mmcs(), "mmcs"),
            (detection.mean_precision(), "precision"),
            (detection.mean_recall(), "recall"),
            (detection.mean_f1(), "f1"),
            (detection.mean_accuracy(), "accuracy"),
            (measured.explained_variance(), "explained_variance"),
            (measured.l0(), "l0"),
            (measured.dead_atoms().count() as f64, "dead"),
            (faithful.l2_ratio(), "shrinkage"),
        ] {
            assert_abs_diff_eq!(found, expected.number(name), epsilon = 1e-5);
        }
        assert_eq!(true_codes.nnz() as f64 / 120.0, expected.number("true_l0"));
    }

    #[test]
    fn agrees_with_synth_sae_bench_in_f32() {
        agrees::<f32>();
    }

    #[test]
    fn agrees_with_synth_sae_bench_in_f64() {
        agrees::<f64>();
    }

    /// Two learned atoms, of which both are most like true atom 0, and a true atom 1.
    fn detection() -> Detection {
        let truth = Dictionary::new(mat![[1.0, 0.0], [0.0, 1.0]]).unwrap();
        let learned = Dictionary::normalized(mat![[1.0, -1.0], [0.0, 0.1]]).unwrap();
        Detection::new(&Recovery::new(&learned, &truth).unwrap())
    }

    #[test]
    fn batches_measure_the_whole_and_dead_atoms_count_as_zero() {
        let mut detection = detection();
        let (mut codes, mut truth) = (SparseCodes::new(2, 2, 2), SparseCodes::new(2, 2, 2));
        codes.set(0, &[0], &[-1.0]);
        codes.set(1, &[0, 1], &[0.0, 0.0]);
        truth.set(0, &[0], &[1.0]);
        truth.set(1, &[0, 1], &[2.0, 0.0]);
        detection.add(&codes, &truth).unwrap();
        detection.add(&codes, &truth).unwrap();
        // Atom 0 fires in samples 0 of both batches, its true atom in all four.
        assert_eq!((detection.precision(0), detection.recall(0)), (1.0, 0.5));
        assert_eq!((detection.f1(0), detection.accuracy(0)), (2.0 / 3.0, 0.5));
        assert_eq!((detection.precision(1), detection.recall(1), detection.f1(1)), (0.0, 0.0, 0.0));
        assert_eq!(detection.mean_f1(), 1.0 / 3.0);
        assert_eq!(detection.atoms(), 2);
    }

    #[test]
    fn sizes_must_agree() {
        let mut detection = detection();
        let codes = |atoms, samples| SparseCodes::<f64>::new(atoms, samples, 1);
        let mut error = |a: SparseCodes<f64>, b| argument(detection.add(&a, &b).unwrap_err());
        assert_eq!(error(codes(3, 1), codes(2, 1)), "codes");
        assert_eq!(error(codes(2, 1), codes(3, 1)), "true_codes");
        assert_eq!(error(codes(2, 1), codes(2, 2)), "samples of the true codes");
    }
}

mod of_stability {
    use super::*;

    fn case() -> (Arrays, Stability) {
        let case = Arrays::parse(include_str!("fixtures/measures/stability.txt"));
        let dictionary =
            |name| Dictionary::normalized(case.columns::<f64>(name)).expect("nonzero rows");
        let stability = Stability::new(&dictionary("one"), &dictionary("other")).unwrap();
        (case, stability)
    }

    fn indices(pairs: &[Pair]) -> Vec<usize> {
        pairs.iter().flat_map(|pair| [pair.learned, pair.truth]).collect()
    }

    #[test]
    fn agrees_with_scipy_and_the_book() {
        let (case, stability) = case();
        assert_eq!(indices(stability.hungarian()), case.indices("hungarian"));
        assert_eq!(indices(stability.greedy()), case.indices("greedy"));
        for (found, name) in [
            (stability.hungarian_mean(), "hungarian_mean"),
            (stability.greedy_mean(), "greedy_mean"),
            (stability.mean_max(), "mean_max"),
            (stability.share_above(0.7), "above"),
        ] {
            assert_abs_diff_eq!(found, case.number(name), epsilon = 1e-14);
        }
        assert!(stability.greedy_mean() < stability.hungarian_mean());
    }

    #[test]
    fn order_signs_and_sides_do_not_matter() {
        let one = Planted::new(7, 20, 2, 1).seed(1).generate::<f64>().unwrap().dictionary;
        let other = Planted::new(7, 20, 2, 1).seed(2).generate::<f64>().unwrap().dictionary;
        let turned = Mat::from_fn(7, 20, |i, j| {
            let sign = if j % 2 == 0 { -1.0 } else { 1.0 };
            sign * other.atom(19 - j)[i]
        });
        let straight = Stability::new(&one, &other).unwrap();
        for changed in [
            Stability::new(&one, &Dictionary::new(turned).unwrap()).unwrap(),
            Stability::new(&other, &one).unwrap(),
        ] {
            let measures = |stability: &Stability| {
                [stability.hungarian_mean(), stability.greedy_mean(), stability.mean_max()]
            };
            for (found, expected) in measures(&changed).into_iter().zip(measures(&straight)) {
                assert_abs_diff_eq!(found, expected, epsilon = 1e-12);
            }
        }
        let same = Stability::new(&one, &one).unwrap();
        assert_abs_diff_eq!(same.greedy_mean(), 1.0, epsilon = 1e-12);
        assert_eq!(same.share_above(0.7), 1.0);
    }

    #[test]
    fn dimensions_must_agree() {
        let one = Dictionary::new(Mat::<f64>::identity(2, 2)).unwrap();
        let other = Dictionary::new(Mat::<f64>::identity(3, 3)).unwrap();
        assert_eq!(argument(Stability::new(&one, &other).unwrap_err()), "learned");
    }
}

mod of_probing {
    use super::*;

    struct Case {
        arrays: Arrays,
        samples: Mat<f64>,
        codes: SparseCodes<f64>,
        labels: Vec<u32>,
        split: Split,
    }

    fn case() -> Case {
        let arrays = Arrays::parse(include_str!("fixtures/measures/probing.txt"));
        let samples = arrays.columns::<f64>("codes");
        let codes = sparse(samples.as_ref(), 24);
        let labels = arrays.indices("labels").into_iter().map(|label| label as u32).collect();
        let split = Split { train: arrays.indices("train"), test: arrays.indices("test") };
        Case { arrays, samples, codes, labels, split }
    }

    fn probing(features: usize) -> Probing {
        Probing { features, ridge: 0.7, balanced: false, ..Probing::default() }
    }

    #[test]
    fn probes_are_those_of_scikit_learn() {
        let Case { arrays, codes, labels, split, .. } = case();
        for k in [1, 2, 5, 16] {
            let probes = probing(k).run_split(Features::Codes(&codes), &labels, &split).unwrap();
            assert_eq!(probes.accuracy, arrays.number(&format!("k{k}_accuracy")));
            assert_eq!(probes.classes.len(), 3);
            for (class, probe) in probes.classes.iter().enumerate() {
                let name = |what: &str| format!("k{k}_class{class}_{what}");
                assert_eq!(probe.features, arrays.indices(&name("features")));
                for (found, expected) in probe.weights.iter().zip(arrays.vector(&name("weights"))) {
                    assert_abs_diff_eq!(found, expected, epsilon = 1e-8);
                }
                assert_abs_diff_eq!(probe.bias, arrays.number(&name("bias")), epsilon = 1e-8);
                let found = [probe.train_accuracy, probe.test_accuracy];
                assert_eq!(found[..], *arrays.vector(&name("accuracy")));
            }
        }
    }

    #[test]
    fn codes_and_their_dense_samples_are_probed_alike() {
        let Case { samples, codes, labels, .. } = case();
        for balanced in [false, true] {
            let probing = Probing { balanced, seed: 4, ..probing(5) };
            let found = probing.run(Features::Samples(samples.as_ref()), &labels).unwrap();
            assert_eq!(found, probing.run(Features::Codes(&codes), &labels).unwrap());
            same_on_any_number_of_threads(|| {
                probing.run(Features::Codes(&codes), &labels).unwrap()
            });
        }
    }

    #[test]
    fn balanced_parts_are_half_of_the_class() {
        let Case { codes, labels, .. } = case();
        let probes = Probing { features: 5, ..Probing::default() };
        let probes = probes.run(Features::Codes(&codes), &labels).unwrap();
        for probe in &probes.classes {
            assert_eq!(probe.majority, 0.5);
            assert!(probe.test_accuracy > 0.7);
        }
        assert!(probes.mean_test_accuracy() > 0.8);
        let count = labels.iter().filter(|&&label| label == 0).count() as f64;
        assert_abs_diff_eq!(probes.majority, count / 240.0, epsilon = 0.02);
    }

    #[test]
    fn labels_without_relation_are_told_no_better_than_by_chance() {
        let codes = Planted::new(8, 16, 3, 2000).seed(8).generate::<f32>().unwrap().codes;
        let labels: Vec<u32> = (0..2000).map(|i| (i / 7) % 2).collect();
        let probing = Probing { features: 2, seed: 1, ..Probing::default() };
        let probes = probing.run(Features::Codes(&codes), &labels).unwrap();
        // The standard error is .025.
        assert_abs_diff_eq!(probes.mean_test_accuracy(), 0.5, epsilon = 0.1);
    }

    #[test]
    fn every_argument_is_checked() {
        let Case { codes, labels, split, .. } = case();
        let error = |probing: Probing, labels: &[u32]| {
            argument(probing.run(Features::Codes(&codes), labels).unwrap_err())
        };
        assert_eq!(error(probing(0), &labels), "features");
        assert_eq!(error(probing(25), &labels), "features");
        for ridge in [0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(error(Probing { ridge, ..probing(1) }, &labels), "ridge");
        }
        for test_share in [0.0, 1.0, f64::NAN] {
            assert_eq!(error(Probing { test_share, ..probing(1) }, &labels), "test_share");
        }
        assert_eq!(error(probing(1), &labels[1..]), "labels");
        assert_eq!(error(probing(1), &[]), "labels");
        assert_eq!(error(probing(1), &[0; 240]), "labels");
        let mut lonely = labels.clone();
        for class in [3, u32::MAX] {
            lonely[0] = class;
            assert_eq!(error(probing(1), &lonely), "labels");
        }
        let split_error = |split: &Split| {
            let features = Features::Codes(&codes);
            argument(probing(1).run_split(features, &labels, split).unwrap_err())
        };
        let twice = Split { train: split.train.clone(), test: split.train.clone() };
        let beyond = Split { train: vec![240], test: split.test.clone() };
        let nothing = Split { train: split.train.clone(), test: vec![] };
        for split in [twice, beyond, nothing] {
            assert_eq!(split_error(&split), "split");
        }
        let mut broken = codes.clone();
        broken.set(0, &[0], &[f64::INFINITY]);
        let error = probing(1).run(Features::Codes(&broken), &labels).unwrap_err();
        assert_eq!(argument(error), "features");
    }
}
