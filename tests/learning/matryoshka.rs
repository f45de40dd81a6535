//! Nested groups of atoms: equality with KSVD.jl's step, prefixes that stand by themselves, budgets
//! that add up, and runs that are the same on any number of threads and resumed anywhere.

use std::ops::ControlFlow;

use crate::support::{assert_close, dense, flip_columns, flip_rows, on_threads, signs, sparse};
use dbksvd::coder::{BatchOmp, Matryoshka, Omp, Selection, SparseCoder, Tolerance};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::{Checkpoints, Fit, Growth, Initialisation, Progress, Resume};
use dbksvd::metrics::reconstruction;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{
    DictionaryUpdater, Incoherent, KSvd, MatryoshkaUpdates, Memory, Mod, Online, Renewal, Step,
    UpdateReport,
};
use dbksvd::{
    DbKsvd, Dictionary, Error, Faer, Groups, Model, ProblemShape, Scalar, Sign, conformance,
};
use dbksvd::{HostBackend, Reference};
use tempfile::TempDir;

/// As in `tests/learning/ksvdjl.rs`.
const TOLERANCE: f64 = 1e-8;

/// One update with a fresh state, atoms in order.
fn update<B, U>(
    updater: &U,
    y: MatRef<'_, B::Scalar>,
    codes: &mut SparseCodes<B::Scalar>,
    dictionary: &mut Mat<B::Scalar>,
) -> UpdateReport
where
    B: HostBackend + Default,
    U: DictionaryUpdater<B>,
{
    let backend = B::default();
    let (dim, atoms) = dictionary.shape();
    let shape = ProblemShape { dim, atoms, sparsity: codes.sparsity(), sign: Sign::Signed };
    updater.check(&shape).unwrap();
    let mut state = updater.prepare(&backend, &shape).unwrap();
    let (mut device_y, mut device_d) = (backend.zeros(0, 0).unwrap(), backend.zeros(0, 0).unwrap());
    backend.upload(y, &mut device_y).unwrap();
    backend.upload(dictionary.as_ref(), &mut device_d).unwrap();
    let order: Vec<u32> = (0..atoms as u32).collect();
    let step = Step::new(&order, 0.0);
    let report =
        updater.update(&backend, &mut state, &device_y, codes, &mut device_d, &step).unwrap();
    *dictionary = backend.download(&device_d).unwrap();
    report
}

/// KSVD.jl's step: each group updated and coded anew on what the groups before left.
fn step_matches<B, C>(coder: C)
where
    B: HostBackend<Scalar = f64> + Default,
    C: SparseCoder<B>,
    KSvd: DictionaryUpdater<B>,
{
    let load = |name| crate::support::columns(&format!("reference/ksvdjl/{name}.npy"));
    let (y, mut d, x0) = (load("Y"), load("D0_matryoshka"), load("X0_matryoshka"));
    let (d1, x1) = (load("D1_matryoshka"), load("X1_matryoshka"));
    let updater = MatryoshkaUpdates::new(Groups::doubling(32, 8))
        .updater(KSvd::textbook())
        .recoding(Some(coder));
    let mut codes = sparse(x0.as_ref(), 6);
    let report = update::<B, _>(&updater, y.as_ref(), &mut codes, &mut d);

    let signs = signs(d.as_ref(), d1.as_ref());
    assert_close(flip_columns(d.as_ref(), &signs).as_ref(), d1.as_ref(), TOLERANCE);
    assert_close(flip_rows(dense(&codes).as_ref(), &signs).as_ref(), x1.as_ref(), TOLERANCE);
    let left = |d: &Mat<f64>, x: &Mat<f64>| (&y - d * x).squared_norm_l2();
    assert!((report.error_before - left(&load("D0_matryoshka"), &x0)).abs() <= TOLERANCE);
    assert!((report.error_after - left(&d1, &x1)).abs() <= TOLERANCE);
    assert_eq!((report.nonzeros, report.unused), (6 * y.ncols(), 0));
}

#[test]
fn a_step_is_that_of_the_reference() {
    step_matches::<Faer<f64>, _>(BatchOmp::new());
    step_matches::<Faer<f64>, _>(Omp::new());
    step_matches::<Reference<f64>, _>(Omp::new());
}

/// Groups for the suites' problems: numbers of atoms, of which each coder and updater takes its
/// own.
fn groups_of_suites() -> [Groups; 6] {
    [
        Groups::new([1]),
        Groups::doubling(24, 5),
        Groups::new([3, 1, 20]).budgets([1, 1, 1]),
        Groups::new([2, 3, 1, 3]),
        Groups::new([40, 25]).budgets([4, 1]),
        Groups::doubling(65, 16),
    ]
}

#[test]
fn the_coder_keeps_the_contract() {
    for groups in groups_of_suites() {
        let coder = Matryoshka::new(groups);
        conformance::coder(&Faer::<f32>::default(), &coder);
        conformance::coder(&Faer::<f64>::default(), &coder);
        conformance::coder(&Reference::<f64>::default(), &coder);
    }
    let groups = Groups::doubling(24, 5);
    let inner = Omp::new().selection(Selection::LeastSquares).tolerance(Tolerance::Relative(0.3));
    conformance::coder(&Faer::<f32>::default(), &Matryoshka::new(groups.clone()).coder(inner));
    // Groups within groups.
    let halves = Matryoshka::new(Groups::new([4, 8]).budgets([1, 1]));
    let groups = Groups::new([12, 12]).budgets([2, 2]);
    let nested = Matryoshka::new(groups).coder(halves);
    let planted = Planted::new(9, 24, 4, 30).generate::<f32>().unwrap();
    let model = Model::new(planted.dictionary, None, 4, Sign::Signed).unwrap();
    let codes = model.encode(&nested, planted.samples.as_ref()).unwrap();
    for i in 0..codes.samples() {
        let inner: Vec<u32> = codes
            .support(i)
            .iter()
            .map(|atom| [0, 4, 12, 16].iter().filter(|&first| atom >= first).count() as u32)
            .collect();
        assert_eq!(inner, [1, 2, 3, 4], "one atom of each inner group: {:?}", codes.support(i));
    }
}

#[test]
fn the_updater_keeps_the_contract() {
    let memory = Memory { start: 0.0, full: 0.2, retention: 0.9 };
    let renewal = Renewal { min_usage: 0.5, max_coherence: 0.7, window: 0.1, until: 1.0 };
    let eager = KSvd::new().memory(Some(memory)).renewal(Some(renewal));
    let all = [
        Groups::new([1]),
        Groups::doubling(24, 5),
        Groups::new([13, 27]),
        Groups::new([1, 3, 11]),
        Groups::doubling(15, 4),
    ];
    for groups in all {
        for recoding in [None, Some(BatchOmp::new())] {
            let updates = MatryoshkaUpdates::new(groups.clone()).recoding(recoding);
            check(&groups, &updates);
            check(&groups, &updates.clone().updater(eager));
            check(&groups, &updates.clone().updater(Online::new()));
            check(&groups, &updates.clone().updater(Mod::new().renewal(Some(renewal))));
            check(&groups, &Incoherent::new(updates, 0.9));
        }
    }
}

/// With codes that follow the groups, and with codes that do not.
fn check<U>(groups: &Groups, updater: &U)
where
    U: DictionaryUpdater<Faer<f32>> + DictionaryUpdater<Faer<f64>>,
{
    conformance::updater(&Faer::<f32>::default(), &Matryoshka::new(groups.clone()), updater);
    conformance::updater(&Faer::<f64>::default(), &Matryoshka::new(groups.clone()), updater);
    conformance::updater(&Faer::<f32>::default(), &BatchOmp::new(), updater);
}

fn model<T: Scalar>(sign: Sign, atoms: usize, sparsity: usize) -> (Model<T>, Mat<T>) {
    let planted = Planted::new(18, atoms, sparsity, 300).kind(Kind::Correlated).sign(sign);
    let data = planted.noise(0.2).seed(4).generate::<T>().unwrap();
    (Model::new(data.dictionary, None, sparsity, sign).unwrap(), data.samples)
}

/// Groups of a number of atoms that is no power of two, of unlike sizes.
fn groups_of_45() -> [Groups; 4] {
    [
        Groups::doubling(45, 6),
        Groups::new([10, 3, 32]),
        Groups::new([1, 1, 2, 41]),
        Groups::new([20, 5, 20]).budgets([1, 3, 4]),
    ]
}

fn prefixes_stand_alone<T: Scalar>(sign: Sign) {
    let (model, samples) = model::<T>(sign, 45, 8);
    for groups in groups_of_45() {
        let codes = model.encode(&Matryoshka::new(groups.clone()), samples.as_ref()).unwrap();
        // Later atoms that are others leave the codes of the first groups as they are.
        let (mut errors, mut atoms) = (vec![], 0);
        let budgets = groups.budgets_of(8);
        assert_eq!(budgets.iter().sum::<usize>(), 8);
        for count in 1..=groups.len() {
            let prefix = groups.prefix_of(&model, count).unwrap();
            let first = groups.first(count);
            atoms += groups.sizes()[count - 1];
            assert_eq!(prefix.atoms(), atoms);
            assert_eq!(prefix.sparsity(), budgets[..count].iter().sum::<usize>());
            assert_eq!(first.budgets_of(prefix.sparsity()), budgets[..count]);
            let of_prefix = prefix.encode(&Matryoshka::new(first), samples.as_ref()).unwrap();
            for i in 0..samples.ncols() {
                let of_first = codes.support(i).iter().take_while(|&&j| (j as usize) < atoms);
                let length = of_first.count();
                assert_eq!(of_prefix.support(i), &codes.support(i)[..length]);
                assert_eq!(of_prefix.values(i), &codes.values(i)[..length]);
            }
            errors.push(reconstruction(&prefix, samples.as_ref(), &of_prefix).unwrap().fvu());
        }
        assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
        // Each group within its budget, in turn.
        let mut start = 0;
        for (&size, &budget) in groups.sizes().iter().zip(&budgets) {
            for (support, _) in codes.iter() {
                let own = |&&j: &&u32| (start..start + size).contains(&(j as usize));
                assert!(support.iter().filter(own).count() <= budget);
            }
            start += size;
        }
    }
}

#[test]
fn a_prefix_of_the_groups_has_the_same_codes_bit_by_bit_and_errors_fall() {
    for sign in [Sign::Signed, Sign::NonNegative] {
        prefixes_stand_alone::<f32>(sign);
        prefixes_stand_alone::<f64>(sign);
    }
}

/// What each group leaves is coded by the next as a problem of its own.
#[test]
fn each_group_codes_what_the_groups_before_it_left() {
    let (model, samples) = model::<f64>(Sign::Signed, 45, 8);
    let groups = Groups::new([10, 3, 32]);
    let codes = model.encode(&Matryoshka::new(groups.clone()), samples.as_ref()).unwrap();
    let (mut left, mut start) = (samples.clone(), 0);
    let mut expected = Mat::zeros(45, samples.ncols());
    for (&size, budget) in groups.sizes().iter().zip(groups.budgets_of(8)) {
        let atoms = model.dictionary().as_mat().subcols(start, size).to_owned();
        let own = crate::support::encode::<Faer<f64>, _>(
            Omp::new(),
            &atoms,
            left.as_ref(),
            budget,
            Sign::Signed,
        );
        let own = dense(&own);
        left -= &atoms * &own;
        expected.subrows_mut(start, size).copy_from(&own);
        start += size;
    }
    assert_close(dense(&codes).as_ref(), expected.as_ref(), 1e-10);
}

#[test]
fn one_group_is_no_group() {
    let (model, samples) = model::<f32>(Sign::Signed, 45, 8);
    let plain = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
    let one = Matryoshka::new(Groups::new([45]));
    assert_eq!(model.encode(&one, samples.as_ref()).unwrap(), plain);
    let builder = || DbKsvd::builder(24, 3).epochs(3).minibatch(100).seed(5);
    let plain = builder().build().unwrap().fit(&samples).unwrap().0;
    let one = builder().matryoshka(Groups::new([24])).build().unwrap().fit(&samples).unwrap().0;
    assert_eq!(one, plain);
}

/// Samples of the first group's atoms alone: nothing is left, and nothing is made of it.
fn nothing_is_left<T: Scalar>(recoding: Option<BatchOmp>, sign: Sign) {
    let dictionary = Planted::new(12, 20, 2, 1).generate::<T>().unwrap().dictionary;
    let samples = Mat::from_fn(12, 200, |row, i| {
        let (a, b) = (i % 8, (i + 1 + i / 8 % 7) % 8);
        let atom = |j: usize| dictionary.as_mat()[(row, j)].widen();
        let second = if i % 3 == 0 { 0.0 } else { 1.3 };
        T::narrow((1.0 + i as f64 / 50.0) * (atom(a) + second * atom(b)))
    });
    let groups = Groups::new([8, 4, 8]).budgets([4, 1, 1]);
    let model = Model::new(dictionary.clone(), None, 6, sign).unwrap();
    let coder = Matryoshka::new(groups.clone());
    let codes = model.encode(&coder, samples.as_ref()).unwrap();
    assert!(codes.iter().all(|(support, _)| support.iter().all(|&j| j < 8)));

    let renewal = Renewal { min_usage: 0.0, max_coherence: 1.0, window: 0.1, until: 1.0 };
    let updater = MatryoshkaUpdates::new(groups)
        .updater(KSvd::new().renewal(Some(renewal)))
        .recoding(recoding);
    let learner = DbKsvd::builder_on(Faer::<T>::default(), 20, 6)
        .sign(sign)
        .epochs(3)
        .initialisation(Initialisation::Given(dictionary.clone()))
        .coder(coder)
        .updater(updater)
        .build()
        .unwrap();
    let (learned, report) = learner.fit(&samples).unwrap();
    assert!(report.epochs[2].fvu < 64.0 * T::EPSILON, "{}", report.epochs[2].fvu);
    for j in 8..20 {
        let atoms = learned.dictionary().atom(j).iter().zip(model.dictionary().atom(j));
        let moved = atoms.map(|(a, b)| (a.widen() - b.widen()).abs()).fold(0.0, f64::max);
        // Given atoms are scaled to norm 1 again.
        assert!(moved <= 4.0 * T::EPSILON, "atom {j} moved by {moved}");
    }
}

#[test]
fn later_groups_make_nothing_of_rounding() {
    for recoding in [None, Some(BatchOmp::new())] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            nothing_is_left::<f32>(recoding, sign);
            nothing_is_left::<f64>(recoding, sign);
        }
    }
}

/// Memory, renewal and held-out samples, and a number of atoms that is no power of two.
fn learner<T: Scalar>(
    sign: Sign,
    recoding: Option<BatchOmp>,
) -> DbKsvd<Faer<T>, Matryoshka, MatryoshkaUpdates> {
    let renewal = Renewal { min_usage: 0.5, max_coherence: 0.9, window: 5.0, until: 1.0 };
    let memory = Memory { start: 0.0, full: 0.5, retention: 0.9 };
    let groups = Groups::doubling(30, 7);
    let updater = MatryoshkaUpdates::new(groups.clone())
        .updater(KSvd::new().renewal(Some(renewal)).memory(Some(memory)))
        .recoding(recoding);
    DbKsvd::builder_on(Faer::<T>::default(), 30, 5)
        .sign(sign)
        .epochs(4)
        .minibatch(150)
        .seed(2)
        .center(sign == Sign::Signed)
        .coder(Matryoshka::new(groups))
        .updater(updater)
        .build()
        .unwrap()
}

fn samples<T: Scalar>(sign: Sign) -> Mat<T> {
    Planted::new(16, 30, 5, 900).sign(sign).noise(0.1).generate().unwrap().samples
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for sign in [Sign::Signed, Sign::NonNegative] {
        for recoding in [None, Some(BatchOmp::new())] {
            let learn = || {
                let samples = samples::<f32>(sign);
                let (model, report) = learner::<f32>(sign, recoding).fit(&samples).unwrap();
                let coder = Matryoshka::new(Groups::doubling(30, 7));
                let codes = model.encode(&coder, samples.as_ref()).unwrap();
                let renewed: usize =
                    report.epochs.iter().map(|epoch| epoch.replaced + epoch.merged).sum();
                (model, codes, renewed)
            };
            let expected = on_threads(1, learn);
            assert!(expected.2 > 0, "no atom was renewed");
            for threads in [2, 4] {
                assert!(on_threads(threads, learn) == expected, "{threads} threads, {sign:?}");
            }
        }
    }
}

fn resumed_anywhere<T: Scalar>(sign: Sign, recoding: Option<BatchOmp>) {
    let (data, learner) = (samples::<T>(sign), learner::<T>(sign, recoding));
    let whole = learner.run(&data).finish().unwrap();
    let same = |one: &Fit<T>, other: &Fit<T>| {
        assert_eq!(one.model, other.model);
        let errors = |fit: &Fit<T>| -> Vec<f64> {
            fit.report.epochs.iter().map(|epoch| epoch.fvu).collect()
        };
        assert_eq!(errors(one), errors(other));
    };
    for last in [1, 6, 13, 23] {
        let directory = TempDir::new().unwrap();
        let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
        let mut end = |progress: &Progress| match progress.total_steps {
            step if step >= last => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let first = learner.run(&data).observer(&mut end).checkpoints(checkpoints.clone());
        assert_eq!(first.finish().unwrap().report.steps, last);
        let second = learner.run(&data).checkpoints(checkpoints).finish().unwrap();
        assert_eq!(second.report.resumed_from, Some(last));
        same(&whole, &second);
    }
}

#[test]
fn a_resumed_run_is_the_run_bit_by_bit() {
    resumed_anywhere::<f32>(Sign::Signed, None);
    resumed_anywhere::<f64>(Sign::NonNegative, Some(BatchOmp::new()));
}

#[test]
fn what_was_kept_of_other_groups_is_refused_by_name() {
    let (backend, shape) = (
        Faer::<f32>::default(),
        ProblemShape { dim: 16, atoms: 30, sparsity: 5, sign: Sign::Signed },
    );
    let state = |groups: &Groups| {
        let updater = MatryoshkaUpdates::new(groups.clone());
        let state = DictionaryUpdater::prepare(&updater, &backend, &shape).unwrap();
        (updater, state)
    };
    let (one, of_one) = state(&Groups::new([10, 20]));
    let (other, mut of_other) = state(&Groups::new([10, 10, 10]));
    let saved = one.save(&backend, &of_one).unwrap();
    match other.restore(&backend, &mut of_other, &saved) {
        Err(Error::SavedState { name, found, expected }) => {
            assert_eq!(name, "group.1.weights");
            assert_eq!((found.as_str(), expected.as_str()), ("20 f64", "10 f64"));
        }
        result => panic!("{result:?}"),
    }
}

/// Both ways of updating learn: each group lowers the error, on a model that knows its groups.
#[test]
fn learning_lowers_the_error_of_every_prefix() {
    let data = samples::<f32>(Sign::Signed);
    let groups = Groups::doubling(30, 7);
    let errors = |model: &Model<f32>| -> Vec<f64> {
        let of_prefix = |count| {
            let prefix = groups.prefix_of(model, count).unwrap();
            let coder = Matryoshka::new(groups.first(count));
            let codes = prefix.encode(&coder, data.as_ref()).unwrap();
            reconstruction(&prefix, data.as_ref(), &codes).unwrap().fvu()
        };
        (1..=groups.len()).map(of_prefix).collect()
    };
    for recoding in [None, Some(BatchOmp::new())] {
        let builder = || DbKsvd::builder(30, 5).matryoshka(groups.clone()).epochs(8);
        let updater = MatryoshkaUpdates::new(groups.clone()).recoding(recoding);
        let start = builder().epochs(0).build().unwrap().fit(&data).unwrap().0;
        let learned = builder().updater(updater).build().unwrap().fit(&data).unwrap().0;
        for (before, after) in errors(&start).into_iter().zip(errors(&learned)) {
            assert!(after < 0.9 * before, "{after} after {before}");
        }
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, name: &str, says: &str) {
    match result {
        Err(Error::Argument { argument, found, expected }) => {
            assert_eq!(argument, name, "{found}: {expected}");
            assert!(format!("{found}: {expected}").contains(says), "{found}: {expected}");
        }
        other => panic!("expected an error that names `{name}`, got {other:?}"),
    }
}

#[test]
fn groups_that_do_not_fit_are_named() {
    let build = |groups: Groups| DbKsvd::builder(30, 5).matryoshka(groups).build();
    build(Groups::doubling(30, 7)).unwrap();
    refused(build(Groups::new([])), "groups", "at least one group");
    refused(build(Groups::new([10, 0, 20])), "groups", "at least one atom");
    refused(build(Groups::doubling(30, 0)), "groups", "at least one atom");
    refused(build(Groups::new([10, 10])), "groups", "[10, 10]: sizes that add up to 30");
    refused(build(Groups::new([usize::MAX, 31])), "groups", "add up to 30");
    refused(build(Groups::new([5; 6])), "groups", "at most 5 groups");
    let halves = || Groups::new([10, 20]);
    refused(build(halves().budgets([5])), "budgets", "2 budgets");
    refused(build(halves().budgets([5, 0])), "budgets", "at least 1");
    refused(build(halves().budgets([2, 2])), "budgets", "add up to 5");
    refused(build(Groups::new([2, 28]).budgets([3, 2])), "budgets", "at most [2, 28]");
    // A dictionary that grows is of other sizes on its way.
    let grows = DbKsvd::builder(30, 5).growth(Some(Growth { doublings: 1, ..Growth::default() }));
    refused(grows.matryoshka(Groups::doubling(30, 7)).build(), "groups", "add up to");
    // Parts by themselves, and models.
    let coder = DbKsvd::builder(30, 5).coder(Matryoshka::new(Groups::new([31])));
    refused(coder.build(), "groups", "add up to 30");
    let updater = DbKsvd::builder(30, 5).updater(MatryoshkaUpdates::new(Groups::new([31])));
    refused(updater.build(), "groups", "add up to 30");
    let inner = BatchOmp::new().tolerance(Tolerance::Relative(-1.0));
    let inner = DbKsvd::builder(30, 5).coder(inner).matryoshka(Groups::doubling(30, 7));
    refused(inner.build(), "tolerance", "-1");
    let dictionary = Planted::new(16, 30, 5, 1).generate::<f32>().unwrap().dictionary;
    let model = Model::new(dictionary, None, 5, Sign::Signed).unwrap();
    refused(halves().prefix_of(&model, 0), "count", "1 to 2");
    refused(halves().prefix_of(&model, 3), "count", "1 to 2");
    refused(Groups::new([10, 21]).prefix_of(&model, 1), "groups", "add up to 30");
    let empty = Mat::<f32>::zeros(16, 0);
    refused(
        model.encode(&Matryoshka::new(Groups::new([29])), empty.as_ref()),
        "groups",
        "add up to 30",
    );
}

/// Preprocessing goes with the prefix.
#[test]
fn a_prefix_decodes_as_the_whole_does() {
    let data = samples::<f64>(Sign::Signed);
    let learner = learner::<f64>(Sign::Signed, None);
    let (model, _) = learner.fit(&data).unwrap();
    let groups = Groups::doubling(30, 7);
    let prefix = groups.prefix_of(&model, 2).unwrap();
    assert_eq!((prefix.mean(), prefix.mean().is_some()), (model.mean(), true));
    assert_eq!(
        prefix.dictionary(),
        &Dictionary::new(model.dictionary().as_mat().subcols(0, 14).to_owned(),).unwrap()
    );
}
