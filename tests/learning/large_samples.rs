//! Atoms of rare, large samples: found at once, kept where minibatches hold none of them, and let
//! go when nothing needs them.

use std::ops::ControlFlow;

use dbksvd::backend::Backend;
use dbksvd::coder::{BatchOmp, Omp, SparseCoder};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::learn::{Builder, Checkpoints, Progress, Resume};
use dbksvd::metrics::reconstruction;
use dbksvd::synthetic::Planted;
use dbksvd::updater::{DictionaryUpdater, KSvd, LeadingPair, Mod, Online, Renewal};
use dbksvd::updater::{Step, UpdateReport};
use dbksvd::{DbKsvd, Faer, Groups, Model, ProblemShape, Scalar, Sign};
use tempfile::TempDir;

const DIM: usize = 32;
const ATOMS: usize = 64;
const SPARSITY: usize = 3;
const SAMPLES: usize = 4000;

/// A sample, a coordinate, and the number that stands there.
type Extreme = (usize, usize, f64);

/// A half-precision number that overflowed and was clamped.
const CLAMPED: Extreme = (123, 4, 65_504.0);

fn planted<T: Scalar>(extremes: &[Extreme]) -> Mat<T> {
    let data = Planted::new(DIM, ATOMS, SPARSITY, SAMPLES).noise(0.01).seed(1).generate::<T>();
    let mut samples = data.unwrap().samples;
    for &(sample, coordinate, value) in extremes {
        samples[(coordinate, sample)] = T::narrow(value);
    }
    samples
}

fn setup<T: Scalar>(seed: u64) -> Builder<Faer<T>, BatchOmp, KSvd> {
    DbKsvd::builder_on(Faer::<T>::default(), ATOMS, SPARSITY).epochs(10).seed(seed)
}

/// The largest ‖r‖² / ‖y‖² of the extreme samples.
fn left_of<T: Scalar>(model: &Model<T>, samples: &Mat<T>, extremes: &[Extreme]) -> f64 {
    let errors = extremes.iter().map(|&(sample, _, _)| {
        let sample = samples.as_ref().subcols(sample, 1);
        let codes = model.encode(&Omp::new(), sample).unwrap();
        reconstruction(model, sample, &codes).unwrap().relative_error()
    });
    errors.fold(0.0, f64::max)
}

/// Once an epoch begins with atoms for the extreme samples, all later ones do. The first one finds
/// them.
#[track_caller]
fn is_found_and_stays<T, C, U>(setup: Builder<Faer<T>, C, U>, extremes: &[Extreme], usual: f64)
where
    T: Scalar,
    C: SparseCoder<Faer<T>>,
    U: DictionaryUpdater<Faer<T>>,
{
    let samples = planted::<T>(extremes);
    let (model, report) = setup.build().unwrap().fit(&samples).unwrap();
    let errors: Vec<f64> = report.epochs.iter().map(|epoch| epoch.fvu).collect();
    assert!(errors[1..].iter().all(|&error| error < usual), "{extremes:?}: {errors:?}");
    let left = left_of(&model, &samples, extremes);
    assert!(left < 1e-3, "{extremes:?}: {left} is left of an extreme sample");
}

#[test]
fn the_atom_of_a_clamped_half_stays_once_found() {
    for seed in 0..10 {
        is_found_and_stays(setup::<f32>(seed), &[CLAMPED], 3e-7);
    }
    is_found_and_stays(setup::<f64>(0), &[CLAMPED], 3e-7);
}

#[test]
fn so_do_those_of_several_and_of_smaller_ones() {
    for seed in 0..3 {
        is_found_and_stays(setup::<f32>(seed), &[(123, 4, 300.0)], 0.01);
        let one_direction = [5, 700, 1400, 2100, 3900].map(|sample| (sample, 4, 65_504.0));
        is_found_and_stays(setup::<f32>(seed), &one_direction, 1e-7);
        let several = [(100, 4, 65_504.0), (900, 9, 3000.0), (1800, 17, -300.0)];
        is_found_and_stays(setup::<f32>(seed), &several, 1e-6);
    }
}

#[test]
fn so_they_do_whatever_the_minibatch_and_the_epochs() {
    for minibatch in [100, 250, 1500, 4000] {
        is_found_and_stays(setup::<f32>(1).minibatch(minibatch), &[CLAMPED], 1e-5);
    }
    for epochs in [4, 30] {
        is_found_and_stays(setup::<f32>(1).epochs(epochs), &[CLAMPED], 1e-6);
    }
}

#[test]
fn so_they_do_with_other_updates() {
    let exact = KSvd::new().leading_pair(LeadingPair::Exact).atom_batch(1);
    is_found_and_stays(setup::<f32>(2).updater(exact), &[CLAMPED], 1e-6);
    is_found_and_stays(setup::<f32>(2).updater(KSvd::new().memory(None)), &[CLAMPED], 1e-6);
    is_found_and_stays(setup::<f32>(2).sign(Sign::NonNegative), &[CLAMPED], 2e-5);
    is_found_and_stays(setup::<f32>(2).updater(Online::new()), &[CLAMPED], 1e-6);
    is_found_and_stays(setup::<f32>(2).minibatch(1000).updater(Mod::new()), &[CLAMPED], 1e-5);
    is_found_and_stays(setup::<f32>(2).matryoshka(Groups::new([16, 48])), &[CLAMPED], 2e-5);
}

/// A run with such a sample that ends and goes on is the run that did not end.
#[test]
fn a_resumed_run_remembers_what_large_samples_need() {
    let samples = planted::<f32>(&[CLAMPED]);
    let learner = setup::<f32>(3).epochs(4).minibatch(150).build().unwrap();
    let whole = learner.run(&samples).finish().unwrap();
    for last in [2, 27, 50, 80] {
        let directory = TempDir::new().unwrap();
        let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
        let mut end = |progress: &Progress| match progress.total_steps {
            step if step >= last => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let run = learner.run(&samples).observer(&mut end).checkpoints(checkpoints.clone());
        run.finish().unwrap();
        let resumed = learner.run(&samples).checkpoints(checkpoints).finish().unwrap();
        assert_eq!(resumed.report.resumed_from, Some(last));
        assert!(resumed.model == whole.model, "resumed from step {last}");
    }
}

/// Updates by hand, one minibatch after the other.
struct Hand {
    state: <KSvd as DictionaryUpdater<Faer<f64>>>::State,
    dictionary: Mat<f64>,
}

const SHAPE: ProblemShape = ProblemShape { dim: 16, atoms: 12, sparsity: 2, sign: Sign::Signed };

impl Hand {
    fn new(dictionary: Mat<f64>) -> Self {
        let state = updater().prepare(&Faer::<f64>::default(), &SHAPE).unwrap();
        Self { state, dictionary }
    }

    fn step(&mut self, samples: &Mat<f64>) -> UpdateReport {
        let backend = Faer::<f64>::default();
        let coder = BatchOmp::new();
        let mut coding = SparseCoder::<Faer<f64>>::prepare(&coder, &backend, &SHAPE).unwrap();
        let mut codes = SparseCodes::new(SHAPE.atoms, samples.ncols(), SHAPE.sparsity);
        coder.set_dictionary(&backend, &mut coding, &self.dictionary).unwrap();
        coder.encode(&backend, &coding, &self.dictionary, samples, &mut codes).unwrap();
        let order: Vec<u32> = (0..SHAPE.atoms as u32).collect();
        let step = Step::new(&order, 0.0);
        let Self { state, dictionary } = self;
        let done = updater().update(&backend, state, samples, &mut codes, dictionary, &step);
        let report = done.unwrap();
        let mut residual = backend.zeros(SHAPE.dim, samples.ncols()).unwrap();
        backend.residual(&mut residual, samples, dictionary, &codes);
        let (error, rounding) = (
            backend.squared_norm(&residual).expect("host memory"),
            1e-12 * backend.squared_norm(samples).expect("host memory"),
        );
        assert!((report.error_after - error).abs() <= rounding, "{error}, {report:?}");
        report
    }

    /// Which atom has the direction of `coordinate`, to 1°.
    fn atom_along(&self, coordinate: usize) -> Option<usize> {
        (0..SHAPE.atoms)
            .find(|&j| self.dictionary[(coordinate, j)].abs() > 1_f64.to_radians().cos())
    }
}

fn updater() -> KSvd {
    KSvd::new().renewal(Some(Renewal { window: 3.0, until: 1.0, ..Renewal::default() }))
}

/// Samples of eleven planted atoms in the first fifteen coordinates, with those atoms and, as the
/// last, a direction `along` the sixteenth.
fn eleven_and_one(seed: u64, along: f64) -> (Mat<f64>, Mat<f64>) {
    let data = Planted::new(15, 11, 2, 200).noise(0.02).seed(3).generate::<f64>().unwrap();
    let other = Planted::new(15, 11, 2, 200).noise(0.02).seed(seed).generate::<f64>().unwrap();
    // Codes and noise of another seed on the same atoms.
    let codes = crate::support::dense(&other.codes);
    let noise = &other.samples - other.dictionary.as_mat() * &codes;
    let samples = data.dictionary.as_mat() * &codes + noise;
    let deepen = |i, j: usize, of: &Mat<f64>| if i < 15 { of[(i, j)] } else { 0.0 };
    let samples = Mat::from_fn(16, 200, |i, j| deepen(i, j, &samples));
    let atoms = data.dictionary.as_mat().to_owned();
    let last = |i| match i {
        0 => (1.0 - along * along).sqrt(),
        15 => along,
        _ => 0.0,
    };
    let atoms = Mat::from_fn(16, 12, |i, j| if j < 11 { deepen(i, j, &atoms) } else { last(i) });
    (samples, atoms)
}

/// A sample of 400 along the last coordinate in the first minibatch, and in none of those to come.
fn with_a_large_sample(mut samples: Mat<f64>) -> Mat<f64> {
    samples.col_as_slice_mut(7).fill(0.0);
    samples[(15, 7)] = 400.0;
    samples
}

#[test]
fn an_atom_waits_for_its_sample_and_is_renewed_if_none_comes() {
    let (samples, atoms) = eleven_and_one(4, 1.0);
    let mut run = Hand::new(atoms);
    let first = run.step(&with_a_large_sample(samples));
    assert_eq!((first.replaced, first.merged), (0, 0), "{first:?}");
    let atom = run.atom_along(15).expect("the atom of the large sample");
    let mut windows = 0;
    while run.atom_along(15) == Some(atom) {
        run.step(&eleven_and_one(5 + windows, 1.0).0);
        windows += 1;
        assert!(windows < 3000, "an atom that nothing uses any more was never renewed");
    }
    assert!(windows > 50, "gone after {windows} windows");
}

#[test]
fn an_unused_atom_without_a_large_sample_is_dead() {
    let (samples, atoms) = eleven_and_one(4, 1.0);
    let mut run = Hand::new(atoms);
    let first = run.step(&samples);
    assert_eq!((first.replaced, run.atom_along(15)), (1, None), "{first:?}");
}

/// None of the twelve atoms is along the large sample: one is given up for it, and no other is torn
/// away.
#[test]
fn a_large_sample_gets_an_atom_and_leaves_the_others_alone() {
    let (samples, atoms) = eleven_and_one(4, 0.0);
    let mut run = Hand::new(atoms.clone());
    let report = run.step(&with_a_large_sample(samples));
    assert!(report.replaced >= 1, "{report:?}");
    assert!(report.error_after < 1e-3 * report.error_before, "{report:?}");
    assert!(run.atom_along(15).is_some());
    let cosines = atoms.transpose() * &run.dictionary;
    let is_kept = |&j: &usize| (0..12).any(|l| cosines[(j, l)].abs() > 0.99);
    assert!((0..11).filter(is_kept).count() >= 10, "{cosines:?}");
}

/// The more used one of two that are alike goes if a large sample needs the other.
#[test]
fn a_duplicate_of_an_atom_that_a_large_sample_needs_is_the_one_to_go() {
    let (samples, mut atoms) = eleven_and_one(4, 1.0);
    // Atom 10 is 9° from the last coordinate, and many samples lie along it.
    let (sin, cos) = (9_f64.to_radians().sin(), 9_f64.to_radians().cos());
    for i in 0..16 {
        atoms[(i, 10)] = match i {
            0 => sin,
            15 => cos,
            _ => 0.0,
        };
    }
    let mut samples = with_a_large_sample(samples);
    for j in 100..200 {
        for i in 0..16 {
            samples[(i, j)] = (0.5 + 0.01 * j as f64) * atoms[(i, 10)];
        }
    }
    let mut run = Hand::new(atoms);
    let report = run.step(&samples);
    assert!(report.merged >= 1, "{report:?}");
    let atom = run.atom_along(15).expect("the atom of the large sample");
    assert!(run.dictionary[(15, atom)].abs() > 1.0 - 1e-6, "the large sample's atom was moved");
}
