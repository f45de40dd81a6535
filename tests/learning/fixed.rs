//! Atoms that stay as they are, bit by bit, while others learn around them.

use std::ops::ControlFlow;
use std::thread;

use dbksvd::backend::Backend;
use dbksvd::coder::BatchOmp;
use dbksvd::codes::SparseCodes;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::group::Threads;
use dbksvd::learn::{Checkpoints, Growth, Initialisation, Progress, Resume};
use dbksvd::metrics::{Coherence, Recovery};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{
    Decorrelation, DictionaryUpdater, Fixed, Incoherent, KSvd, LeadingPair, Mod, Online, Renewal,
    Step,
};
use dbksvd::{DbKsvd, Dictionary, Error, Faer, Groups, Model, ProblemShape, Scalar, Sign};

use crate::support::{argument, on_threads};

const FIXED: [u32; 4] = [0, 3, 5, 11];

fn samples<T: Scalar>() -> Mat<T> {
    let planted = Planted::new(16, 32, 3, 1200).kind(Kind::Correlated).noise(0.1).seed(7);
    planted.generate::<T>().unwrap().samples
}

/// Directions that the samples know nothing of.
fn start<T: Scalar>() -> Dictionary<T> {
    Planted::new(16, 32, 3, 1).seed(99).generate::<T>().unwrap().dictionary
}

fn eager() -> Renewal {
    Renewal { min_usage: 0.5, max_coherence: 0.8, window: 5.0, until: 1.0 }
}

fn learner<T: Scalar, U: DictionaryUpdater<Faer<T>>>(updater: U) -> DbKsvd<Faer<T>, BatchOmp, U> {
    let builder = DbKsvd::builder_on(Faer::<T>::default(), 32, 3).epochs(4).minibatch(300);
    let builder = builder.shards(4).initialisation(Initialisation::Given(start()));
    builder.updater(updater).build().unwrap()
}

fn bits<T: Scalar>(atoms: MatRef<'_, T>, j: usize) -> Vec<u64> {
    atoms.col(j).iter().map(|x| x.widen().to_bits()).collect()
}

/// Fixed atoms have the bits that they were given, and all others have others.
#[track_caller]
fn only_the_fixed_stay<T: Scalar>(model: &Model<T>) {
    let start = start::<T>();
    for j in 0..32 {
        let same = bits(model.dictionary().as_mat(), j) == bits(start.as_mat(), j);
        assert_eq!(same, FIXED.contains(&(j as u32)), "atom {j}");
    }
}

fn stay_under<T: Scalar, U: DictionaryUpdater<Faer<T>>>(updater: U) {
    let (model, report) = learner::<T, _>(Fixed::new(updater, FIXED)).fit(&samples()).unwrap();
    only_the_fixed_stay(&model);
    let (first, last) = (&report.epochs[0], report.epochs.last().unwrap());
    assert!(last.fvu < 0.7 * first.fvu, "{} to {}", first.fvu, last.fvu);
}

fn stay<T: Scalar>() {
    stay_under::<T, _>(KSvd::new());
    stay_under::<T, _>(KSvd::new().renewal(Some(eager())));
    stay_under::<T, _>(KSvd::new().decorrelation(Some(Decorrelation { tolerance: 0.5 })));
    let pair = LeadingPair::Power { iterations: 3 };
    stay_under::<T, _>(KSvd::textbook().leading_pair(pair));
    stay_under::<T, _>(Mod::new());
    stay_under::<T, _>(Online::new().renewal(Some(eager())));
    stay_under::<T, _>(Incoherent::new(KSvd::new(), 0.6));
}

#[test]
fn fixed_atoms_stay_bit_by_bit_whatever_the_others_do() {
    stay::<f32>();
    stay::<f64>();
}

#[test]
fn what_is_known_is_completed() {
    let planted = Planted::new(16, 24, 2, 3000).noise(0.01).seed(2);
    let data = planted.generate::<f32>().unwrap();
    let known = data.dictionary.as_mat().subcols(0, 8).to_owned();
    let builder = DbKsvd::builder(24, 2).epochs(20).seed(1);
    let builder = builder.initialisation(Initialisation::Given(Dictionary::new(known).unwrap()));
    let updater = Fixed::new(KSvd::new(), 0..8);
    let (model, _) = builder.updater(updater).build().unwrap().fit(&data.samples).unwrap();
    for j in 0..8 {
        assert_eq!(model.dictionary().atom(j), data.dictionary.atom(j), "atom {j}");
    }
    let recovery = Recovery::new(model.dictionary(), &data.dictionary).unwrap();
    assert_eq!(recovery.recovered(0.99), 1.0, "{:?}", recovery.mmcs());
}

/// What copies do to codes and errors, by one update of given codes.
#[test]
fn the_codes_of_a_copy_go_to_the_original() {
    let backend = Faer::<f64>::default();
    let shape = ProblemShape { dim: 4, atoms: 4, sparsity: 2, sign: Sign::Signed };
    let mut d = Mat::<f64>::identity(4, 4);
    d[(0, 1)] = -1.0; // Atom 1 is the opposite of atom 0.
    d[(1, 1)] = 0.0;
    let y = Mat::from_fn(4, 6, |i, n| [[2.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 3.0]][n % 2][i]);
    let mut codes = SparseCodes::new(4, 6, 2);
    for n in 0..6 {
        match n % 2 {
            0 => codes.set(n, &[1, 2], &[-2.0, 1.0]),
            _ => codes.set(n, &[2, 3], &[1.0, 3.0]),
        }
    }
    let before = codes.clone();
    let order = [3, 2, 1, 0];
    let update = |updater: Fixed<KSvd>, progress: f64, codes: &mut SparseCodes<f64>| {
        let mut state = updater.prepare(&backend, &shape).unwrap();
        let step = Step::new(&order, progress);
        updater.update(&backend, &mut state, &y, codes, &mut d.clone(), &step).unwrap()
    };
    let fixed = Fixed::new(KSvd::textbook(), [0]);
    let report = update(fixed.clone(), 0.0, &mut codes);
    assert_eq!((codes.support(0), codes.values(0)), (&[0, 2][..], &[2.0, 1.0][..]));
    assert_eq!((report.nonzeros, report.unused), (12, 1), "as the coder left them");
    assert!(report.error_after < 1e-20, "{report:?}");
    // Late, and where nothing counts as a copy, codes stay.
    for (updater, progress) in [(fixed.clone(), 0.95), (fixed.max_coherence(1.0), 0.0)] {
        let mut codes = before.clone();
        update(updater, progress, &mut codes);
        assert_eq!(codes.support(0), &[1, 2]);
    }
}

/// A large sample whose code is full of fixed atoms gets an atom of its own, and one fixed atom
/// leaves its code, which stays within its budget.
#[test]
fn a_large_sample_gets_an_atom_that_learns() {
    let backend = Faer::<f64>::default();
    let shape = ProblemShape { dim: 8, atoms: 12, sparsity: 2, sign: Sign::Signed };
    let data = Planted::new(8, 12, 2, 400).seed(1).generate::<f64>().unwrap();
    let (mut d, mut y) = (data.dictionary.into_mat(), data.samples);
    let mut codes =
        crate::support::encode::<Faer<f64>, _>(BatchOmp::new(), &d, y.as_ref(), 2, Sign::Signed);
    let large = Mat::from_fn(8, 1, |i, _| 1e4 * [1.0, -0.5][i % 2]);
    y.col_mut(17).copy_from(large.col(0));
    codes.set(17, &[0, 1], &[0.5, 0.25]);
    let updater = Fixed::new(KSvd::new(), [0, 1]);
    let mut state = updater.prepare(&backend, &shape).unwrap();
    let order: Vec<u32> = (0..12).collect();
    let step = Step::new(&order, 0.0);
    let report = updater.update(&backend, &mut state, &y, &mut codes, &mut d, &step).unwrap();
    assert_eq!(report.replaced, 1);
    let support = codes.support(17);
    assert!(support.len() == 2 && support.iter().any(|&atom| atom > 1), "{support:?}");
    let mut r = backend.zeros(8, 0).unwrap();
    backend.residual(&mut r, &y, &d, &codes);
    assert!(r.col(17).norm_l2() < 1e-2 * y.col(17).norm_l2());
    let error = backend.squared_norm(&r).unwrap();
    assert!((report.error_after - error).abs() < 1e-9 * error, "{report:?}, {error}");
}

#[test]
fn without_fixed_atoms_it_is_the_inner_updater() {
    let (inner, _) = learner::<f32, _>(KSvd::new()).fit(&samples()).unwrap();
    let (fixed, _) = learner::<f32, _>(Fixed::new(KSvd::new(), [])).fit(&samples()).unwrap();
    assert_eq!(inner, fixed);
}

#[test]
fn coherence_is_bounded_around_fixed_atoms_too() {
    let updater = Incoherent::new(Fixed::new(KSvd::new(), FIXED), 0.6).iterations(100);
    let (model, _) = learner::<f64, _>(updater).fit(&samples()).unwrap();
    only_the_fixed_stay(&model);
    let coherence = |model: &Model<f64>| Coherence::new(model.dictionary()).coherence();
    let (free, _) = learner::<f64, _>(Fixed::new(KSvd::new(), FIXED)).fit(&samples()).unwrap();
    assert!(coherence(&free) > 0.61, "nothing to bound: {}", coherence(&free));
    assert!(coherence(&model) < 0.6001, "{}", coherence(&model));
}

#[test]
fn results_do_not_depend_on_threads_or_owners() {
    let learner = || learner::<f32, _>(Fixed::new(KSvd::new().renewal(Some(eager())), FIXED));
    let fit = || learner().fit(&samples()).unwrap().0;
    let expected = on_threads(1, fit);
    for threads in [2, 3, 8] {
        assert!(on_threads(threads, fit) == expected, "{threads} threads");
    }
    let learn = |owner: Threads| learner().run(&samples()).group(&owner).finish().unwrap().model;
    let learn = &learn;
    for ranks in [2, 3] {
        let models: Vec<_> = thread::scope(|scope| {
            let owners: Vec<_> = Threads::group_of(ranks)
                .into_iter()
                .map(|owner| scope.spawn(move || learn(owner)))
                .collect();
            owners.into_iter().map(|owner| owner.join().unwrap()).collect()
        });
        assert!(models.iter().all(|model| *model == expected), "{ranks} owners");
    }
}

#[test]
fn a_resumed_run_and_a_restored_session_go_on_bit_by_bit() {
    let learner = learner::<f64, _>(Fixed::new(KSvd::new().renewal(Some(eager())), FIXED));
    let data = samples::<f64>();
    let whole = learner.run(&data).finish().unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    let mut end = |progress: &Progress| match progress.total_steps {
        7 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    learner.run(&data).observer(&mut end).checkpoints(checkpoints.clone()).finish().unwrap();
    let resumed = learner.run(&data).checkpoints(checkpoints.clone()).finish().unwrap();
    assert_eq!(resumed.report.resumed_from, Some(7));
    assert_eq!(resumed.model, whole.model);
    only_the_fixed_stay(&resumed.model);
    // Other atoms are another run.
    let other = self::learner::<f64, _>(Fixed::new(KSvd::new().renewal(Some(eager())), [0, 3]));
    let error = other.run(&data).checkpoints(checkpoints).finish().unwrap_err();
    assert!(error.to_string().contains("0 3 5 11"), "{error}");

    let mut session = learner.clone().session(16, 4).unwrap();
    session.step(data.subcols(0, 300)).unwrap();
    let saved = session.save().unwrap().unwrap();
    let mut restored = learner.session(16, 4).unwrap();
    restored.restore(&saved).unwrap();
    for first in [300, 600] {
        session.step(data.subcols(first, 300)).unwrap();
        restored.step(data.subcols(first, 300)).unwrap();
    }
    let model = session.model().unwrap().unwrap();
    assert_eq!(restored.model().unwrap().unwrap(), model);
    only_the_fixed_stay(&model);
}

#[test]
fn dictionaries_grow_around_fixed_atoms() {
    let growth = Some(Growth { doublings: 2, until: 0.5 });
    let learner = |atoms: [u32; 2], epochs: usize| {
        let builder = DbKsvd::builder(32, 3).epochs(epochs).minibatch(300).growth(growth);
        builder.updater(Fixed::new(KSvd::new(), atoms)).build()
    };
    let (first, _) = learner([1, 6], 0).unwrap().fit(&samples()).unwrap();
    let (model, _) = learner([1, 6], 4).unwrap().fit(&samples()).unwrap();
    assert_eq!((first.atoms(), model.atoms()), (8, 32));
    for j in 0..8 {
        let same = model.dictionary().atom(j) == first.dictionary().atom(j);
        assert_eq!(same, [1, 6].contains(&j), "atom {j}");
    }
    let Err(error) = learner([1, 9], 4) else { panic!("an atom that is not there at first") };
    assert!(error.to_string().contains("below 8"), "{error}");
}

/// In groups of atoms, each group has the list; around another list, it counts what that leaves.
#[test]
fn lists_within_groups_and_lists() {
    let builder = DbKsvd::builder(32, 3).epochs(3).minibatch(300);
    let builder = builder.initialisation(Initialisation::Given(start()));
    let builder = builder.updater(Fixed::new(KSvd::new(), [0, 5]));
    let learner = builder.matryoshka(Groups::doubling(32, 8)).build().unwrap();
    let (model, _) = learner.fit(&samples()).unwrap();
    let start = start::<f32>();
    for j in 0..32 {
        let same = model.dictionary().atom(j) == start.atom(j);
        assert_eq!(same, [0, 5, 8, 13, 16, 21].contains(&j), "atom {j}");
    }

    let updater = Fixed::new(Fixed::new(KSvd::new(), [0, 2]), [1]);
    assert_eq!(DictionaryUpdater::<Faer<f32>>::fixed_atoms(&updater), [1, 0, 3]);
    let builder = DbKsvd::builder(32, 3).epochs(3).minibatch(300);
    let builder = builder.initialisation(Initialisation::Given(start.clone()));
    let (model, _) = builder.updater(updater).build().unwrap().fit(&samples()).unwrap();
    for j in 0..32 {
        let same = model.dictionary().atom(j) == start.atom(j);
        assert_eq!(same, [0, 1, 3].contains(&j), "atom {j}");
    }
}

#[test]
fn bad_lists_are_refused() {
    let refused = |updater: Fixed<KSvd>| -> (&'static str, String) {
        let builder = DbKsvd::builder(8, 2).updater(updater);
        let error: Error = builder.build().unwrap_err();
        let message = error.to_string();
        (argument(error), message)
    };
    let fixed = |atoms: &[u32]| Fixed::new(KSvd::new(), atoms.iter().copied());
    let (name, message) = refused(fixed(&[1, 8]));
    assert!(name == "fixed atoms" && message.contains('8') && message.contains("below 8"));
    let (name, message) = refused(fixed(&[1, 3, 1]));
    assert!(name == "fixed atoms" && message.contains("1 twice"), "{message}");
    let (name, message) = refused(fixed(&[0, 1, 2, 3, 4, 5, 6, 7]));
    assert!(name == "fixed atoms" && message.contains("all 8"), "{message}");
    assert_eq!(refused(fixed(&[0]).max_coherence(0.0)).0, "max_coherence");
    assert_eq!(refused(fixed(&[0]).max_coherence(f64::NAN)).0, "max_coherence");
    assert_eq!(refused(fixed(&[0]).until(1.5)).0, "until");
    assert_eq!(refused(Fixed::new(KSvd::new().sweeps(0), [0])).0, "sweeps");
}
