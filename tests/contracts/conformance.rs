//! The public suites, run on everything in this crate that they are for.

use dbksvd::Faer;
use dbksvd::Reference;
use dbksvd::coder::{
    BatchOmp, Coefficients, Exact, Lasso, LinearEncoder, MatchingPursuit, Nesting, Omp, Selection,
    Swaps, ThresholdPursuit, Tolerance, TopK,
};
use dbksvd::conformance;
use dbksvd::faer::Mat;
use dbksvd::updater::{
    AtomRule, Decorrelation, DictionaryUpdater, Fixed, Forgetting, Incoherent, KSvd, LeadingPair,
};
use dbksvd::updater::{Memory, Mod, Online, Renewal};
use dbksvd::{Scalar, Sign};

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
fn pursuit_kernels_are_those_of_the_reference() {
    conformance::pursuit_kernels(&single());
    conformance::pursuit_kernels(&double());
}

#[test]
fn several_owners_of_the_samples_have_the_bits_of_one() {
    conformance::owners(&single());
    conformance::owners(&double());
}

#[test]
fn sweep_kernels_are_those_of_the_reference() {
    conformance::sweep_kernels(&single());
    conformance::sweep_kernels(&double());
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
fn coder_matching_pursuit() {
    conformance::coder(&single(), &MatchingPursuit::new());
    conformance::coder(&double(), &MatchingPursuit::new());
    conformance::coder(&reference(), &MatchingPursuit::new());
}

#[test]
fn coder_matching_pursuit_refitted() {
    let coder = MatchingPursuit::new().coefficients(Coefficients::Refitted);
    conformance::coder(&single(), &coder);
    conformance::coder(&double(), &coder);
}

#[test]
fn coder_matching_pursuit_without_a_gram_matrix() {
    conformance::coder(&single(), &MatchingPursuit::new().gram_limit(0));
    conformance::coder(&double(), &MatchingPursuit::new().gram_limit(0));
}

#[test]
fn coder_matching_pursuit_with_thresholds() {
    let coder = MatchingPursuit::new().tolerance(Tolerance::Relative(0.3));
    conformance::coder(&single(), &coder);
    conformance::coder(&double(), &coder.tolerance(Tolerance::Absolute(0.5)).min_correlation(0.1));
}

/// Projections on coherent atoms are not fitted to the sample.
#[test]
fn coder_top_k() {
    conformance::unfitted_coder(&single(), &TopK::new());
    conformance::unfitted_coder(&double(), &TopK::new());
    conformance::unfitted_coder(&reference(), &TopK::new());
}

#[test]
fn coder_top_k_refitted() {
    conformance::coder(&single(), &TopK::new().coefficients(Coefficients::Refitted));
    conformance::coder(&double(), &TopK::new().coefficients(Coefficients::Refitted));
}

/// For one of the suite's shapes; others are refused.
fn encoder<T: Scalar>() -> LinearEncoder<T> {
    let weights = Mat::from_fn(8, 24, |i, j| T::narrow((i as f64 * 1.7 + j as f64).sin()));
    let bias = (0..24).map(|j| T::narrow(0.1 * f64::from(j - 12))).collect();
    LinearEncoder::new(weights, Some(bias)).expect("finite weights")
}

#[test]
fn coder_top_k_by_an_encoder() {
    conformance::unfitted_coder(&single(), &TopK::by_encoder(encoder()));
    conformance::unfitted_coder(&double(), &TopK::by_encoder(encoder()));
}

#[test]
fn coder_top_k_by_an_encoder_refitted() {
    let refitted = Coefficients::Refitted;
    conformance::coder(&single(), &TopK::by_encoder(encoder()).coefficients(refitted));
    conformance::coder(&double(), &TopK::by_encoder(encoder()).coefficients(refitted));
}

#[test]
fn coder_swaps() {
    conformance::coder(&single(), &Swaps::new());
    conformance::coder(&double(), &Swaps::new());
    conformance::coder(&reference(), &Swaps::new());
}

#[test]
fn coder_swaps_without_a_gram_matrix() {
    conformance::coder(&single(), &Swaps::new().gram_limit(0));
    conformance::coder(&double(), &Swaps::new().gram_limit(0));
}

#[test]
fn coder_swaps_after_other_coders() {
    conformance::coder(&single(), &Swaps::after(TopK::new()));
    conformance::coder(&double(), &Swaps::after(Omp::new().tolerance(Tolerance::Relative(0.3))));
    conformance::coder(&double(), &Swaps::after(MatchingPursuit::new()).max_swaps(1));
}

#[test]
fn coder_lasso() {
    for penalty in [0.0, 0.1] {
        conformance::coder(&single(), &Lasso::new(penalty));
        conformance::coder(&double(), &Lasso::new(penalty));
        conformance::coder(&reference(), &Lasso::new(penalty));
        conformance::coder(&double(), &Lasso::new(penalty).gram_limit(0));
        let refitted = Lasso::new(penalty).coefficients(Coefficients::Refitted);
        conformance::coder(&single(), &refitted);
        conformance::coder(&double(), &refitted);
    }
}

/// On the suite's problems within its limits.
#[test]
fn coder_exact() {
    conformance::coder(&single(), &Exact);
    conformance::coder(&double(), &Exact);
    conformance::coder(&reference(), &Exact);
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
fn updater(updater: impl DictionaryUpdater<Faer<f32>> + DictionaryUpdater<Faer<f64>>) {
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
    updater(Mod::new().renewal(Some(renewal)));
    updater(Online::new().renewal(Some(renewal)));
}

#[test]
fn updater_mod() {
    updater(Mod::new());
    updater(Mod::textbook());
    updater(Mod::new().ridge(0.1));
    conformance::updater(&reference(), &Omp::new(), &Mod::textbook());
}

#[test]
fn updater_online() {
    updater(Online::new());
    updater(Online::new().sweeps(3).forgetting(Forgetting::Power { exponent: 0.0 }));
    updater(Online::new().forgetting(Forgetting::Retention { retention: 0.0 }));
    conformance::updater(&reference(), &Omp::new(), &Online::new());
}

/// The least coherence of 24 atoms in 8 dimensions is 0.3, of 40 in 17 it is 0.18: a bound that is
/// reached and one that is not.
#[test]
fn updater_incoherent() {
    updater(Incoherent::new(KSvd::new(), 0.7));
    updater(Incoherent::new(Mod::new(), 0.31).iterations(3));
    updater(Incoherent::new(Incoherent::new(Online::new(), 0.6), 0.5));
    conformance::updater(&reference(), &Omp::new(), &Incoherent::new(KSvd::new(), 0.6));
}

#[test]
fn updater_of_atoms_without_negative_entries() {
    let renewal = Renewal { min_usage: 0.5, max_coherence: 0.7, window: 0.1, until: 1.0 };
    let sign = Sign::NonNegative;
    updater(KSvd::new().atom_sign(sign));
    updater(KSvd::textbook().atom_sign(sign));
    updater(KSvd::new().atom_sign(sign).renewal(Some(renewal)));
    updater(Online::new().atom_sign(sign).renewal(Some(renewal)));
    conformance::updater(&reference(), &Omp::new(), &KSvd::new().atom_sign(sign));
}

/// Of the problem of one atom, none can be fixed; of the others, the first and some more.
#[test]
fn updater_fixed() {
    let renewal = Renewal { min_usage: 0.5, max_coherence: 0.7, window: 0.1, until: 1.0 };
    updater(Fixed::new(KSvd::new(), [0, 3, 7]));
    updater(Fixed::new(KSvd::new().renewal(Some(renewal)), [5, 0]).max_coherence(0.5).until(1.0));
    updater(Fixed::new(KSvd::textbook().renewal(Some(renewal)), [2]));
    updater(Fixed::new(Mod::new().renewal(Some(renewal)), [1, 2]).max_coherence(0.5));
    updater(Fixed::new(Online::new().renewal(Some(renewal)), [1, 14]));
    updater(Fixed::new(Fixed::new(KSvd::new(), [0]), [1]));
    updater(Incoherent::new(Fixed::new(KSvd::new(), [0, 1]), 0.6));
    updater(Fixed::new(Incoherent::new(KSvd::new(), 0.7), [4]));
    updater(Fixed::new(KSvd::new(), []));
    conformance::updater(&reference(), &Omp::new(), &Fixed::new(KSvd::new(), [0, 1]));
}
