//! The suites of `dbksvd` for those who implement its traits.

use dbksvd::conformance;
use dbksvd_gpu::Gpu;

#[test]
fn the_backend_conforms() {
    conformance::backend(&Gpu::new().expect("an adapter"));
}
