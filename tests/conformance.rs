//! The public suites, run on everything in this crate that they are for.

use dbksvd::backend::{Faer, Reference};
use dbksvd::coder::{BatchOmp, Nesting, Omp, Selection, ThresholdPursuit, Tolerance};
use dbksvd::conformance;
use dbksvd::updater::{AtomRule, Decorrelation, KSvd, LeadingPair, Memory, Renewal};

fn single() -> Faer<f32> {
    Faer::default()
}

fn double() -> Faer<f64> {
    Faer::default()
}

fn reference() -> Reference<f64> {
    Reference::default()
}

#[test]
fn backend_faer() {
    conformance::backend(&single());
    conformance::backend(&double());
}

#[test]
fn backend_reference() {
    conformance::backend(&Reference::<f32>::default());
    conformance::backend(&reference());
}

#[test]
fn coder_omp() {
    conformance::coder(&single(), &Omp::new());
    conformance::coder(&double(), &Omp::new());
    conformance::coder(&reference(), &Omp::new());
}

#[test]
fn coder_omp_by_least_squares() {
    let coder = Omp::new().selection(Selection::LeastSquares);
    conformance::coder(&single(), &coder);
    conformance::coder(&double(), &coder);
}

#[test]
fn coder_omp_with_thresholds() {
    let coder = Omp::new().tolerance(Tolerance::Relative(0.3));
    conformance::coder(&single(), &coder);
    conformance::coder(&double(), &coder.tolerance(Tolerance::Absolute(0.5)).min_correlation(0.1));
}

#[test]
fn coder_batch_omp() {
    conformance::coder(&single(), &BatchOmp::new());
    conformance::coder(&double(), &BatchOmp::new());
    conformance::coder(&reference(), &BatchOmp::new());
}

#[test]
fn coder_batch_omp_by_least_squares() {
    let coder = BatchOmp::new().selection(Selection::LeastSquares);
    conformance::coder(&single(), &coder);
    conformance::coder(&double(), &coder);
}

#[test]
fn coder_batch_omp_with_thresholds() {
    let coder = BatchOmp::new().tolerance(Tolerance::Relative(0.3));
    conformance::coder(&single(), &coder);
    conformance::coder(&double(), &coder.tolerance(Tolerance::Absolute(0.5)).min_correlation(0.1));
}

#[test]
fn coder_threshold_pursuit() {
    conformance::coder(&single(), &ThresholdPursuit::new(0.3));
    conformance::coder(&double(), &ThresholdPursuit::new(0.01).share(1.0));
    conformance::coder(&reference(), &ThresholdPursuit::new(0.1).prune(0.4).prefixes([3, 20]));
    let kept = ThresholdPursuit::new(0.1).prefixes([3, 20]).nesting(Nesting::Kept);
    conformance::coder(&single(), &kept);
    conformance::coder(&double(), &kept.prune(0.2));
}

/// The updater on every backend, with a coder that passes its suite.
fn updater(updater: KSvd) {
    conformance::updater(&single(), &BatchOmp::new(), &updater);
    conformance::updater(&double(), &BatchOmp::new(), &updater);
}

#[test]
fn updater_ksvd() {
    updater(KSvd::new());
    conformance::updater(&reference(), &Omp::new(), &KSvd::new());
}

#[test]
fn updater_textbook() {
    updater(KSvd::textbook());
    conformance::updater(&reference(), &Omp::new(), &KSvd::textbook());
}

#[test]
fn updater_exact_in_batches() {
    updater(KSvd::new().leading_pair(LeadingPair::Exact).atom_batch(7));
}

#[test]
fn updater_of_all_atoms_at_once() {
    updater(KSvd::new().atom_batch(1000).leading_pair(LeadingPair::Power { iterations: 3 }));
}

#[test]
fn updater_from_the_shared_residual() {
    updater(KSvd::textbook().atom_rule(AtomRule::Shared).atom_batch(4));
}

#[test]
fn updater_with_memory_from_the_start() {
    let memory = Memory { start: 0.0, full: 0.2, retention: 0.9 };
    updater(KSvd::new().memory(Some(memory)).sweeps(3));
}

#[test]
fn updater_that_decorrelates() {
    updater(KSvd::new().decorrelation(Some(Decorrelation { tolerance: 0.5 })));
    updater(KSvd::textbook().decorrelation(Some(Decorrelation::default())));
}

/// Windows so short and thresholds so low that every step renews.
#[test]
fn updater_with_eager_renewal() {
    let renewal = Renewal { min_usage: 0.5, max_coherence: 0.7, window: 0.1, until: 1.0 };
    updater(KSvd::new().renewal(Some(renewal)));
    updater(KSvd::textbook().renewal(Some(renewal)));
}
