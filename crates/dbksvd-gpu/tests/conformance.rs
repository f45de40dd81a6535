//! The suites of `dbksvd` for those who implement its traits.

use dbksvd::coder::BatchOmp;
use dbksvd::conformance;
use dbksvd::updater::KSvd;
use dbksvd_gpu::Gpu;

fn gpu() -> Gpu {
    Gpu::new().expect("an adapter")
}

#[test]
fn the_backend_conforms() {
    conformance::backend(&gpu());
}

#[test]
fn pursuits_conform() {
    conformance::pursuit_kernels(&gpu());
}

#[test]
fn coders_conform() {
    conformance::coder(&gpu(), &BatchOmp::new());
    conformance::coder(&gpu(), &BatchOmp::new().gram_limit(0));
}

#[test]
fn sweeps_conform() {
    conformance::sweep_kernels(&gpu());
}

#[test]
fn updaters_conform() {
    conformance::updater(&gpu(), &BatchOmp::new(), &KSvd::new());
    conformance::updater(&gpu(), &BatchOmp::new(), &KSvd::textbook());
}
