//! Absorption, targeted probe perturbation, probes of labels that overlap and windows: against
//! scikit-learn and the formulas of SAEBench (`tests/fixtures/measures/make.py`), and on data for
//! which the right value is known by construction.

use approx::assert_abs_diff_eq;
use dbksvd::faer::{Mat, mat};
use dbksvd::{Dictionary, Error, Scalar, SparseCodes};
use dbksvd_sae::metrics::{
    Absorption, Features, Labelled, LinearProbe, Perturbation, Probing, Split, Windows,
};
use dbksvd_sae::split_signs;

#[path = "../../../tests/support/mod.rs"]
mod support;
use support::{Arrays, argument, on_threads, sparse};

/// Labelled samples that own what they consist of.
#[derive(Clone)]
struct Data<T: Scalar> {
    samples: Mat<T>,
    codes: SparseCodes<T>,
    dictionary: Dictionary<T>,
    labels: Vec<u32>,
    split: Split,
}

impl<T: Scalar> Data<T> {
    fn labelled(&self) -> Labelled<'_, T> {
        Labelled {
            samples: self.samples.as_ref(),
            codes: &self.codes,
            dictionary: &self.dictionary,
            labels: &self.labels,
            split: &self.split,
        }
    }

    /// Samples that are `atoms`, each with its value, and nothing else. The first half is for
    /// training.
    fn of(dictionary: Mat<T>, samples: &[(u32, Vec<(u32, f64)>)]) -> Self {
        let dictionary = Dictionary::normalized(dictionary).unwrap();
        let mut codes = SparseCodes::new(dictionary.atoms(), samples.len(), 4);
        for (i, (_, code)) in samples.iter().enumerate() {
            let support: Vec<u32> = code.iter().map(|&(atom, _)| atom).collect();
            let values: Vec<T> = code.iter().map(|&(_, value)| T::narrow(value)).collect();
            codes.set(i, &support, &values);
        }
        let value = |r: usize, i: usize| {
            let added = samples[i]
                .1
                .iter()
                .map(|&(atom, value)| value * dictionary.atom(atom as usize)[r].widen());
            T::narrow(added.sum())
        };
        let (half, all) = (samples.len() / 2, samples.len());
        Self {
            samples: Mat::from_fn(dictionary.dim(), all, value),
            codes,
            labels: samples.iter().map(|&(label, _)| label).collect(),
            split: Split { train: (0..half).collect(), test: (half..all).collect() },
            dictionary,
        }
    }
}

fn fixture<T: Scalar>() -> (Arrays, Data<T>) {
    let arrays = Arrays::parse(include_str!("fixtures/measures/saebench.txt"));
    let data = Data {
        samples: arrays.columns("samples"),
        codes: sparse(arrays.columns::<T>("codes").as_ref(), 8),
        dictionary: Dictionary::normalized(arrays.columns("dictionary")).unwrap(),
        labels: arrays.indices("labels").into_iter().map(|label| label as u32).collect(),
        split: Split { train: arrays.indices("train"), test: arrays.indices("test") },
    };
    (arrays, data)
}

/// Probe c is coordinate c less a half.
fn coordinates(classes: usize, dim: usize) -> Vec<LinearProbe> {
    let weights = |c: usize| (0..dim).map(|r| if r == c { 1.0 } else { 0.0 }).collect();
    (0..classes).map(|c| LinearProbe { weights: weights(c), bias: -0.5 }).collect()
}

mod of_absorption {
    use super::*;

    fn agrees<T: Scalar>() {
        let (arrays, data) = fixture::<T>();
        let absorbed = Absorption::default().run(data.labelled()).unwrap();
        assert_eq!(absorbed.classes.len(), 5);
        assert!(absorbed.left_out.is_empty());
        for (c, class) in absorbed.classes.iter().enumerate() {
            assert_eq!(class.class, c);
            assert_eq!(class.main, arrays.indices(&format!("main{c}")));
            let expected = arrays.vector(&format!("absorption{c}"));
            let found = [class.probe_f1, class.first_f1, class.main_f1, class.samples as f64];
            for (found, expected) in found.iter().zip(expected) {
                assert_abs_diff_eq!(*found, *expected, epsilon = 1e-12);
            }
            // Fractions depend on the direction of the probe, which is fitted.
            assert_abs_diff_eq!(class.fraction, expected[4], epsilon = 1e-6);
            assert_abs_diff_eq!(class.full, expected[5], epsilon = 1e-12);
        }
        assert!(absorbed.classes[4].main.len() == 3 && absorbed.mean_full() > 0.02);
    }

    #[test]
    fn agrees_with_scikit_learn_in_f32() {
        agrees::<f32>();
    }

    #[test]
    fn agrees_with_scikit_learn_in_f64() {
        agrees::<f64>();
    }

    /// Four classes of 200 samples with an atom each: coordinate c. Of class 0, every 20th sample
    /// is what `child` says instead; atom 4 is coordinates 0 and 4 with equal parts, and atom 5 is
    /// coordinate 5, which no class has.
    fn absorbing(child: &[(u32, f64)]) -> Data<f64> {
        let mut atoms = Mat::<f64>::identity(6, 6);
        atoms[(0, 4)] = 1.0;
        let code = |i: usize| match (i % 4, i / 4 % 20) {
            (0, 7) => child.to_vec(),
            (c, _) => vec![(c as u32, 1.0)],
        };
        let samples: Vec<_> = (0..800).map(|i| (i as u32 % 4, code(i))).collect();
        Data::of(atoms, &samples)
    }

    /// Fraction and full absorption of class 0, whose main atom is 0.
    fn of_class_0(child: &[(u32, f64)]) -> (f64, f64) {
        let data = absorbing(child);
        let absorbed =
            Absorption::default().run_probes(data.labelled(), &coordinates(4, 6)).unwrap();
        assert_eq!(absorbed.classes[0].main, [0]);
        assert_eq!(absorbed.classes[0].samples, 100);
        for class in &absorbed.classes[1..] {
            assert_eq!((class.fraction, class.full), (0.0, 0.0));
        }
        (absorbed.classes[0].fraction, absorbed.classes[0].full)
    }

    #[test]
    fn a_child_in_place_of_its_parent_absorbs_fully() {
        // Atom 4 alone holds the projection, 2·0.707.
        assert_eq!(of_class_0(&[(4, 2.0)]), (0.05, 0.05));
    }

    #[test]
    fn a_child_beside_what_is_left_of_its_parent_absorbs_a_fraction() {
        // The parent adds 0.5 to the projection of 0.5 + 1: the child's part is 2/3.
        let (fraction, full) = of_class_0(&[(0, 0.5), (4, 2.0_f64.sqrt())]);
        assert_abs_diff_eq!(fraction, 0.05 * 2.0 / 3.0, epsilon = 1e-12);
        assert_eq!(full, 0.0);
    }

    #[test]
    fn a_child_with_too_small_a_share_absorbs_nothing() {
        // 0.3 of 1.3, below two fifths.
        assert_eq!(of_class_0(&[(0, 1.0), (4, 0.3 * 2.0_f64.sqrt())]), (0.0, 0.0));
    }

    #[test]
    fn a_child_that_says_nothing_of_the_class_is_no_absorber() {
        // Atom 5 has a cosine of 0 with the probe, however strong it is.
        assert_eq!(of_class_0(&[(0, 1.0), (5, 9.0)]), (0.0, 0.0));
    }

    #[test]
    fn an_atom_that_adds_enough_is_a_main_one() {
        // A child in every fourth sample of its class: a second main atom, and no absorption.
        let mut atoms = Mat::<f64>::identity(6, 6);
        atoms[(0, 4)] = 1.0;
        let code = |i: usize| match (i % 4, i / 4 % 4) {
            (0, 0) => vec![(4, 2.0)],
            (c, _) => vec![(c as u32, 1.0)],
        };
        let samples: Vec<_> = (0..800).map(|i| (i as u32 % 4, code(i))).collect();
        let data = Data::of(atoms, &samples);
        let absorbed = Absorption::default().run(data.labelled()).unwrap();
        let class = &absorbed.classes[0];
        assert_eq!(class.main, [0, 4]);
        assert_eq!((class.main_f1, class.fraction, class.full), (1.0, 0.0, 0.0));
        assert_abs_diff_eq!(class.first_f1, 2.0 * 0.75 / 1.75, epsilon = 1e-12);
        assert_eq!(absorbed.mean_main(), 1.25);
        // With the limit above what the child adds, it is an absorber.
        let absorbed = Absorption { jump: 0.2, ..Absorption::default() }.run(data.labelled());
        assert_eq!(absorbed.unwrap().classes[0].full, 0.25);
    }

    #[test]
    fn classes_without_a_probe_are_left_out() {
        let mut data = absorbing(&[(4, 2.0)]);
        // Class 4 is a single sample; class 6 has some, but no direction; class 5 has none.
        data.labels[3] = 4;
        (100..700).filter(|i| i % 7 == 0).for_each(|i| data.labels[i] = 6);
        let absorbed = Absorption::default().run(data.labelled()).unwrap();
        let measured: Vec<usize> = absorbed.classes.iter().map(|class| class.class).collect();
        assert_eq!(measured, [0, 1, 2, 3]);
        let [few, vague] = absorbed.left_out[..] else { panic!("{:?}", absorbed.left_out) };
        assert_eq!((few.class, few.probe_f1, vague.class), (4, None, 6));
        assert!(vague.probe_f1.unwrap() < 0.6);
        let none = Absorption { least_samples: 1000, ..Absorption::default() };
        let none = none.run(data.labelled()).unwrap();
        assert_eq!((none.classes.len(), none.left_out.len()), (0, 6));
        assert!(none.mean_fraction().is_nan());
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let (_, data) = fixture::<f32>();
        let run = || Absorption::default().run(data.labelled()).unwrap();
        assert_eq!(on_threads(1, run), on_threads(3, run));
    }

    #[test]
    fn every_argument_is_checked() {
        let (_, data) = fixture::<f64>();
        let wrong = |absorption: Absorption| argument(absorption.run(data.labelled()).unwrap_err());
        let good = Absorption::default;
        for value in [f64::NAN, -2.0, f64::INFINITY] {
            assert_eq!(wrong(Absorption { least_f1: value, ..good() }), "least_f1");
            assert_eq!(wrong(Absorption { jump: value, ..good() }), "jump");
            assert_eq!(wrong(Absorption { probe_ridge: value, ..good() }), "probe_ridge");
            assert_eq!(wrong(Absorption { ridge: value, ..good() }), "ridge");
            assert_eq!(wrong(Absorption { l1: value, ..good() }), "l1");
            assert_eq!(wrong(Absorption { least_share: value, ..good() }), "least_share");
            assert_eq!(wrong(Absorption { least_cosine: value, ..good() }), "least_cosine");
            let full = Absorption { least_full_cosine: value, ..good() };
            assert_eq!(wrong(full), "least_full_cosine");
        }
        for ridge in [
            ("l1", Absorption { l1: 0.0, ..good() }),
            ("ridge", Absorption { ridge: 0.0, ..good() }),
        ] {
            assert_eq!(wrong(ridge.1), ridge.0);
        }
        assert_eq!(wrong(Absorption { least_samples: 1, ..good() }), "least_samples");
        assert_eq!(wrong(Absorption { most_main: 0, ..good() }), "most_main");
        assert_eq!(wrong(Absorption { absorbers: 0, ..good() }), "absorbers");
        let probes = |probes: &[LinearProbe]| {
            argument(Absorption::default().run_probes(data.labelled(), probes).unwrap_err())
        };
        assert_eq!(probes(&coordinates(4, 10)), "probes");
        assert_eq!(probes(&coordinates(5, 9)), "probes");
        let mut broken = coordinates(5, 10);
        broken[2].weights[2] = 0.0;
        assert_eq!(probes(&broken), "probes");
        broken[2].weights[2] = f64::NAN;
        assert_eq!(probes(&broken), "probes");
    }
}

mod of_labelled {
    use super::*;

    #[test]
    fn every_part_is_checked() {
        let (_, good) = fixture::<f64>();
        let fails = |change: &dyn Fn(&mut Data<f64>)| {
            let mut data = good.clone();
            change(&mut data);
            let error = Absorption::default().run(data.labelled()).unwrap_err();
            let other = Perturbation::default().run(data.labelled(), &[1]).unwrap_err();
            assert_eq!(error.to_string(), other.to_string());
            error
        };
        let name = |change: &dyn Fn(&mut Data<f64>)| argument(fails(change));
        assert_eq!(name(&|data| data.samples = Mat::zeros(9, 600)), "samples");
        assert_eq!(name(&|data| data.codes = SparseCodes::new(19, 600, 1)), "codes");
        let few = "samples of the codes";
        assert_eq!(name(&|data| data.codes = SparseCodes::new(20, 599, 1)), few);
        assert_eq!(name(&|data| data.labels.truncate(599)), "labels");
        assert_eq!(name(&|data| data.labels[0] = 600), "labels");
        assert_eq!(name(&|data| data.labels[0] = u32::MAX), "labels");
        assert_eq!(name(&|data| data.split.train.clear()), "split");
        assert_eq!(name(&|data| data.split.test.clear()), "split");
        assert_eq!(name(&|data| data.split.test[0] = 600), "split");
        assert_eq!(name(&|data| data.split.test[0] = data.split.train[0]), "split");
        let used = good.split.train[3];
        assert_eq!(name(&|data| data.codes.set(used, &[2], &[-0.5])), "codes");
        assert_eq!(name(&|data| data.codes.set(used, &[2], &[f64::INFINITY])), "codes");
        let error = fails(&|data| data.samples[(4, used)] = f64::NAN);
        let expected = |sample: usize| sample == used;
        assert!(
            matches!(error, Error::NotFinite { sample, coordinate: 4, .. } if expected(sample))
        );
    }

    #[test]
    fn signed_codes_are_measured_once_they_are_split() {
        // Class 1 is the opposite of class 0 in an atom that both share.
        let samples: Vec<_> =
            (0..400).map(|i| (i % 2, vec![(0, if i % 2 == 0 { 1.0 } else { -1.0 })])).collect();
        let mut data = Data::<f64>::of(Mat::identity(2, 1), &samples);
        let error = Perturbation::default().run(data.labelled(), &[1]).unwrap_err();
        assert!(error.to_string().contains("split_signs"), "{error}");
        data.codes = split_signs(&data.codes);
        data.dictionary = Dictionary::new(mat![[1.0, -1.0], [0.0, 0.0]]).unwrap();
        let perturbed = Perturbation::default().run(data.labelled(), &[1]).unwrap();
        assert_eq!(perturbed.atoms, [[0], [1]]);
    }
}

mod of_perturbation {
    use super::*;

    fn agrees<T: Scalar>() {
        let (arrays, data) = fixture::<T>();
        let all = Perturbation { balanced: false, ..Perturbation::default() };
        let counts = arrays.indices("counts");
        let perturbed = all.run(data.labelled(), &counts).unwrap();
        assert_eq!(perturbed.accuracies, arrays.vector("clean"));
        for (c, atoms) in perturbed.atoms.iter().enumerate() {
            assert_eq!(*atoms, arrays.indices(&format!("important{c}")));
            for ablation in &perturbed.ablations {
                let expected = arrays.vector(&format!("drops{c}_{}", ablation.count));
                for (found, expected) in ablation.drops[c].iter().zip(expected) {
                    assert_abs_diff_eq!(*found, *expected, epsilon = 1e-12);
                }
            }
        }
        let found: Vec<usize> = perturbed.ablations.iter().map(|ablation| ablation.count).collect();
        assert_eq!(found, counts);
        // Probes that are given are those that were fitted.
        let given = all.run_probes(data.labelled(), &counts, &perturbed.probes).unwrap();
        assert_eq!(given, perturbed);
    }

    #[test]
    fn agrees_with_scikit_learn_in_f32() {
        agrees::<f32>();
    }

    #[test]
    fn agrees_with_scikit_learn_in_f64() {
        agrees::<f64>();
    }

    /// Class c of four is coordinate c; atom c is that as well, or holds the next one, too.
    fn coded(entangled: bool) -> Data<f64> {
        let mut atoms = Mat::<f64>::identity(4, 4);
        let samples: Vec<_> = (0..400).map(|i| (i % 4, vec![(i % 4, 1.0)])).collect();
        let mut data = Data::of(atoms.clone(), &samples);
        if entangled {
            // Samples are as they were, and one atom stands for classes 0 and 1.
            (atoms[(1, 0)], atoms[(0, 1)], atoms[(1, 1)]) = (1.0, 1.0, -1.0);
            data.dictionary = Dictionary::normalized(atoms).unwrap();
            let s = 0.5_f64.sqrt();
            for i in 0..400 {
                match i % 4 {
                    0 => data.codes.set(i, &[0, 1], &[s, s]),
                    1 => data.codes.set(i, &[0], &[s]),
                    _ => {}
                }
            }
        }
        data
    }

    #[test]
    fn atoms_of_one_class_each_are_disentangled() {
        let data = coded(false);
        let counts = [3, 1];
        let perturbed =
            Perturbation::default().run_probes(data.labelled(), &counts, &coordinates(4, 4));
        let perturbed = perturbed.unwrap();
        assert_eq!(perturbed.accuracies, [1.0; 4]);
        assert_eq!(perturbed.atoms, [[0], [1], [2], [3]]);
        // Each probe loses its class, half of what it is tested on, and no other.
        for ablation in &perturbed.ablations {
            let found = (ablation.intended(), ablation.unintended(), ablation.score());
            assert_eq!(found, (0.5, 0.0, 0.5));
        }
    }

    #[test]
    fn an_atom_of_two_classes_is_entangled() {
        let data = coded(true);
        let perturbed =
            Perturbation::default().run_probes(data.labelled(), &[1], &coordinates(4, 4)).unwrap();
        // Atom 0 holds half of class 0's coordinate and, for class 1, half of that of class 1: both
        // probes then see a half, and no more than a half.
        assert_eq!(perturbed.atoms[1], [0]);
        let drops = &perturbed.ablations[0].drops;
        assert_abs_diff_eq!(drops[1][1], 0.5, epsilon = 1e-12);
        assert_abs_diff_eq!(drops[2][2], 0.5, epsilon = 1e-12);
        assert!(drops[1][0] > 0.4 && perturbed.ablations[0].score_of(1) < 0.4, "{drops:?}");
        assert_eq!(drops[2][0], 0.0);
    }

    #[test]
    fn draws_are_of_the_seed_alone() {
        let (_, data) = fixture::<f32>();
        let small = Perturbation { most_train: 60, most_test: 30, ..Perturbation::default() };
        let run = |seed| {
            move |data: &Data<f32>| {
                Perturbation { seed, ..small }.run(data.labelled(), &[2, 5]).unwrap()
            }
        };
        let first = on_threads(1, || run(3)(&data));
        assert_eq!(first, on_threads(3, || run(3)(&data)));
        assert_ne!(first.probes, run(4)(&data).probes);
        // Thirty of the class and thirty of the rest.
        for accuracy in &first.accuracies {
            let right = accuracy * 60.0;
            assert_abs_diff_eq!(right, right.round(), epsilon = 1e-9);
            assert!(right >= 54.0);
        }
    }

    #[test]
    fn every_argument_is_checked() {
        let (_, data) = fixture::<f64>();
        let good = Perturbation::default;
        let wrong = |perturbation: Perturbation, counts: &[usize]| {
            argument(perturbation.run(data.labelled(), counts).unwrap_err())
        };
        for ridge in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(wrong(Perturbation { ridge, ..good() }, &[1]), "ridge");
        }
        assert_eq!(wrong(Perturbation { most_train: 0, ..good() }, &[1]), "most_train");
        assert_eq!(wrong(Perturbation { most_test: 0, ..good() }, &[1]), "most_test");
        for counts in [&[][..], &[0], &[1, 21]] {
            assert_eq!(wrong(good(), counts), "counts");
        }
        let probes = |probes: &[LinearProbe]| {
            argument(good().run_probes(data.labelled(), &[1], probes).unwrap_err())
        };
        assert_eq!(probes(&coordinates(4, 10)), "probes");
        assert_eq!(probes(&coordinates(6, 10)), "probes");
        let mut missing = data.clone();
        let of_class = |&i: &usize| data.labels[i] != 2;
        missing.split.test.retain(of_class);
        let error = good().run(missing.labelled(), &[1]).unwrap_err();
        assert_eq!(argument(error), "split");
        let mut single = data.clone();
        single.labels.fill(0);
        assert_eq!(argument(good().run(single.labelled(), &[1]).unwrap_err()), "labels");
    }
}

mod of_labels {
    use super::*;

    fn columns(arrays: &Arrays) -> Vec<Vec<bool>> {
        let all = arrays.indices("overlapping");
        all.chunks(600).map(|column| column.iter().map(|&has| has == 1).collect()).collect()
    }

    #[test]
    fn probes_of_labels_that_overlap_are_those_of_scikit_learn() {
        let (arrays, data) = fixture::<f64>();
        let probing = Probing { features: 2, ridge: 0.7, balanced: false, ..Probing::default() };
        let columns = columns(&arrays);
        let probes =
            probing.run_labels(Features::Codes(&data.codes), &columns, &data.split).unwrap();
        assert_eq!(probes.len(), 3);
        for (label, probe) in probes.iter().enumerate() {
            let name = |what: &str| format!("label{label}_{what}");
            assert_eq!(probe.features, arrays.indices(&name("features")));
            for (found, expected) in probe.weights.iter().zip(arrays.vector(&name("weights"))) {
                assert_abs_diff_eq!(found, expected, epsilon = 1e-8);
            }
            assert_abs_diff_eq!(probe.bias, arrays.number(&name("bias")), epsilon = 1e-8);
            assert_eq!(probe.test_accuracy, arrays.number(&name("accuracy")));
        }
    }

    #[test]
    fn exclusive_labels_are_the_columns_of_their_classes() {
        let (_, data) = fixture::<f32>();
        let column = |class| data.labels.iter().map(|&label| label == class).collect();
        let columns: Vec<Vec<bool>> = (0..5).map(column).collect();
        let probing = Probing { features: 3, most_train: 50, most_test: 20, ..Probing::default() };
        let features = Features::Codes(&data.codes);
        let probes = probing.run_labels(features, &columns, &data.split).unwrap();
        let classes = probing.run_split(features, &data.labels, &data.split).unwrap();
        assert_eq!(probes, classes.classes);
        let run = || probing.run_labels(features, &columns, &data.split).unwrap();
        assert_eq!(on_threads(1, run), on_threads(3, run));
        for probe in &probes {
            let right = probe.test_accuracy * 40.0;
            assert_abs_diff_eq!(right, right.round(), epsilon = 1e-9);
            assert_eq!(probe.majority, 0.5);
        }
    }

    #[test]
    fn limits_hold_without_balance_too() {
        let (_, data) = fixture::<f32>();
        let probing = Probing { balanced: false, most_test: 30, ..Probing::default() };
        let features = Features::Codes(&data.codes);
        let probes = probing.run_split(features, &data.labels, &data.split).unwrap();
        // All classes have at least thirty test samples.
        assert!(probes.classes.iter().all(|probe| probe.majority == 0.5));
        let none = Probing { balanced: false, ..Probing::default() };
        let probes = none.run_split(features, &data.labels, &data.split).unwrap();
        assert!(probes.classes.iter().all(|probe| probe.majority > 0.7));
    }

    #[test]
    fn every_argument_is_checked() {
        let (arrays, data) = fixture::<f64>();
        let good = columns(&arrays);
        let error = |probing: Probing, columns: &[Vec<bool>], split: &Split| {
            let features = Features::Codes(&data.codes);
            argument(probing.run_labels(features, columns, split).unwrap_err())
        };
        let probing = Probing::default;
        assert_eq!(error(probing(), &[], &data.split), "labels");
        assert_eq!(error(probing(), &[vec![true; 599]], &data.split), "labels");
        assert_eq!(error(probing(), &[vec![true; 600]], &data.split), "labels");
        assert_eq!(error(probing(), &[vec![false; 600]], &data.split), "labels");
        assert_eq!(error(Probing { features: 21, ..probing() }, &good, &data.split), "features");
        assert_eq!(error(Probing { most_train: 0, ..probing() }, &good, &data.split), "most_train");
        assert_eq!(error(Probing { most_test: 0, ..probing() }, &good, &data.split), "most_test");
        let beyond = Split { train: data.split.train.clone(), test: vec![600] };
        assert_eq!(error(probing(), &good, &beyond), "split");
        let empty = Split { train: data.split.train.clone(), test: vec![] };
        assert_eq!(error(probing(), &good, &empty), "labels");
    }
}

mod of_windows {
    use super::*;

    #[test]
    fn means_are_those_of_the_definition() {
        let (_, data) = fixture::<f64>();
        let lengths = [127, 3, 0, 16, 454];
        let windows = Windows::new(&lengths, 16).unwrap();
        assert_eq!(windows.len(), 7 + 1 + 28);
        assert_eq!(windows.range(7), 130..146);
        assert_eq!((windows.sequence(6), windows.sequence(7), windows.sequence(8)), (0, 3, 4));
        let samples = windows.samples(data.samples.as_ref()).unwrap();
        let (codes, dense) = (windows.codes(&data.codes).unwrap(), support::dense(&data.codes));
        let found = support::dense(&codes);
        for w in 0..windows.len() {
            let mean = |matrix: &Mat<f64>, r: usize| {
                windows.range(w).map(|i| matrix[(r, i)]).sum::<f64>() / 16.0
            };
            for r in 0..10 {
                assert_abs_diff_eq!(samples[(r, w)], mean(&data.samples, r), epsilon = 1e-14);
            }
            for j in 0..20 {
                assert_abs_diff_eq!(found[(j, w)], mean(&dense, j), epsilon = 1e-14);
            }
            assert!(codes.support(w).is_sorted());
        }
        let most = (0..windows.len()).map(|w| codes.support(w).len()).max();
        assert_eq!(Some(codes.sparsity()), most);
        let labels = windows.labels(&["a", "b", "c", "d", "e"]).unwrap();
        assert_eq!((labels[6], labels[7], labels[35]), ("a", "d", "e"));
        let run = || windows.codes(&data.codes).unwrap();
        assert_eq!(on_threads(1, run), on_threads(3, run));
    }

    #[test]
    fn a_width_of_one_changes_nothing_but_the_order_of_atoms() {
        let (_, data) = fixture::<f32>();
        let windows = Windows::new(&[600], 1).unwrap();
        let codes = windows.codes(&data.codes).unwrap();
        assert_eq!(codes.to_csr_parts(), data.codes.to_csr_parts());
        assert_eq!(windows.samples(data.samples.as_ref()).unwrap(), data.samples);
        let empty = windows.codes(&SparseCodes::<f32>::new(3, 600, 2)).unwrap();
        assert_eq!((empty.samples(), empty.nnz()), (600, 0));
    }

    #[test]
    fn every_argument_is_checked() {
        let error = |lengths: &[usize], width| argument(Windows::new(lengths, width).unwrap_err());
        assert_eq!(error(&[5], 0), "width");
        assert_eq!(error(&[5, 3], 6), "lengths");
        assert_eq!(error(&[], 1), "lengths");
        assert_eq!(error(&[usize::MAX, 2], usize::MAX), "lengths");
        let windows = Windows::new(&[4, 4], 2).unwrap();
        let codes = SparseCodes::<f32>::new(2, 7, 1);
        assert_eq!(argument(windows.codes(&codes).unwrap_err()), "codes");
        let samples = Mat::<f32>::zeros(2, 9);
        assert_eq!(argument(windows.samples(samples.as_ref()).unwrap_err()), "samples");
        assert_eq!(argument(windows.labels(&[1]).unwrap_err()), "labels");
    }
}
