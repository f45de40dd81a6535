//! The suites of `dbksvd` for those who implement its traits.

use std::sync::LazyLock;

use dbksvd::coder::BatchOmp;
use dbksvd::conformance;
use dbksvd::updater::KSvd;
use dbksvd_gpu::Gpu;

/// The device that tests share, since its kernels are compiled once.
fn gpu() -> Gpu {
    static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("an adapter"));
    GPU.clone()
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
    // Of the suite's problems, one has a Gram matrix that fits in 16 bits alone.
    conformance::coder(&gpu(), &BatchOmp::new().gram_limit(3 * 24 * 24));
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
