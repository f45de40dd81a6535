//! How small minibatches fail on coherent atoms, and what mends it.
//!
//! Bounds were chosen on seeds 0 to 4, of data and learner, and are asserted on another. What those
//! gave stands with each test: the share of atoms recovered, and the error over that of the true
//! dictionary.

use std::sync::LazyLock;

use dbksvd::coder::BatchOmp;
use dbksvd::learn::Builder;
use dbksvd::metrics::{RECOVERED, Recovery, reconstruction};
use dbksvd::synthetic::{Kind, Planted, PlantedData};
use dbksvd::updater::KSvd;
use dbksvd::{DbKsvd, Model, Sign};

const ATOMS: usize = 256;
const SPARSITY: usize = 8;

/// Ten uses an atom.
const SMALL: usize = 10 * ATOMS / SPARSITY;

/// Of data and learner; no bound was chosen on it.
const SEED: u64 = 11;

type Setup = Builder<dbksvd::Faer<f32>, BatchOmp, KSvd>;

static CORRELATED: LazyLock<PlantedData<f32>> = LazyLock::new(|| {
    let planted = Planted::new(128, ATOMS, SPARSITY, 8192).kind(Kind::Correlated);
    planted.noise(0.05).seed(SEED).generate().unwrap()
});

/// The defaults, but for what a test changes.
fn setup() -> Setup {
    DbKsvd::builder(ATOMS, SPARSITY).seed(SEED)
}

/// The share of the atoms recovered, and the error over that of the true dictionary.
fn learn(setup: Setup) -> (f64, f64) {
    let data = &*CORRELATED;
    let (model, _) = setup.build().unwrap().fit(&data.samples).unwrap();
    let truth = Model::new(data.dictionary.clone(), None, SPARSITY, Sign::Signed).unwrap();
    let recovery = Recovery::new(model.dictionary(), &data.dictionary).unwrap();
    (recovery.recovered(RECOVERED), error(&model) / error(&truth))
}

fn error(model: &Model<f32>) -> f64 {
    let samples = CORRELATED.samples.as_ref();
    let codes = model.encode(&BatchOmp::new(), samples).unwrap();
    reconstruction(model, samples, &codes).unwrap().relative_error()
}

/// Ten uses say too little of an atom among others like it: its update is mostly noise. Seeds 0 to
/// 4: nothing recovered, 8.9 to 9.4 times the error.
#[test]
fn plain_updates_on_ten_uses_an_atom_fail() {
    let plain = KSvd::new().sweeps(1).memory(None).renewal(None);
    let (recovered, error) = learn(setup().minibatch(SMALL).updater(plain));
    assert!(recovered < 0.05 && error > 6.0, "{recovered} recovered, {error} times the error");
}

/// The same minibatches with two sweeps, memory and renewal. Seeds 0 to 4: 92.6% to 96.5%, 1.34 to
/// 1.52 times the error.
#[test]
fn memory_and_renewal_mend_it() {
    let (recovered, error) = learn(setup().minibatch(SMALL));
    assert!(recovered > 0.85 && error < 2.0, "{recovered} recovered, {error} times the error");
}

/// As many epochs of a third of the steps. Seeds 0 to 4: 97.3% to 99.2%, 1.07 to 1.21 times the
/// error.
#[test]
fn the_default_minibatch_mends_it_further() {
    let learner = setup().build().unwrap();
    assert!(learner.minibatch(CORRELATED.samples.ncols()) > 3 * SMALL);
    let (recovered, error) = learn(setup());
    assert!(recovered > 0.95 && error < 1.35, "{recovered} recovered, {error} times the error");
}
