//! Test suites for implementations of this crate's traits. One line runs a suite (feature
//! `conformance`).
//!
//! A suite checks the contract in the documentation of its trait on generated problems of several
//! shapes. If a check fails, it panics with a message that says what was found and what was
//! expected. Matrices are uploaded and downloaded, but never borrowed, so the suites also work for
//! backends whose matrices are in the memory of a device.
//!
//! ```
//! use dbksvd::Faer;
//! use dbksvd::coder::Omp;
//! use dbksvd::conformance;
//! use dbksvd::updater::KSvd;
//!
//! conformance::backend(&Faer::<f64>::default());
//! conformance::coder(&Faer::<f64>::default(), &Omp::new());
//! conformance::updater(&Faer::<f64>::default(), &Omp::new(), &KSvd::textbook());
//! ```
//!
//! Tolerances are the scalar's epsilon times the number of terms, so a backend must compute in the
//! precision of its scalar.

mod backend;
mod coder;
mod kernels;
mod owners;
mod updater;

pub use backend::backend;
pub use coder::{coder, unfitted_coder};
pub use kernels::{pursuit_kernels, sweep_kernels};
pub use owners::owners;
pub use updater::updater;

use faer::{Mat, MatRef};

use crate::backend::Backend;
use crate::codes::SparseCodes;
use crate::{ProblemShape, Scalar, Sign};

/// A backend matrix with the content of `host`.
fn upload<B: Backend>(backend: &B, host: MatRef<'_, B::Scalar>) -> B::Matrix {
    let mut matrix = backend.zeros(0, 0).expect("an empty matrix takes no memory");
    backend.upload(host, &mut matrix).expect("memory for a small matrix");
    matrix
}

/// The content of a backend matrix.
fn download<B: Backend>(backend: &B, matrix: &B::Matrix) -> Mat<B::Scalar> {
    backend.synchronize().expect("a sound device");
    backend.download(matrix).expect("memory for a small matrix")
}

/// Runs `run` on a pool of `threads` threads and returns its result.
fn on_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a pool of a few threads").install(run)
}

/// Panics unless the two matrices have the same bits.
#[track_caller]
fn assert_same_bits<T: Scalar>(found: MatRef<'_, T>, expected: MatRef<'_, T>, what: &str) {
    assert_eq!(found.shape(), expected.shape(), "{what}: shapes differ");
    for j in 0..expected.ncols() {
        for i in 0..expected.nrows() {
            let (found, expected) = (found[(i, j)].widen(), expected[(i, j)].widen());
            let same = found.to_bits() == expected.to_bits();
            assert!(same, "{what}: entry ({i}, {j}) is {found:e}, expected {expected:e}");
        }
    }
}

/// Panics unless sample `i` has at most k distinct atoms below m, and finite coefficients whose
/// sign is allowed.
#[track_caller]
fn assert_sound<T: Scalar>(codes: &SparseCodes<T>, shape: &ProblemShape, i: usize) {
    let (support, values) = (codes.support(i), codes.values(i));
    assert!(
        support.len() <= shape.sparsity,
        "sample {i} has {} nonzeros: {shape:?}",
        support.len()
    );
    for (slot, &atom) in support.iter().enumerate() {
        assert!((atom as usize) < shape.atoms, "sample {i} uses atom {atom}: {shape:?}");
        assert!(!support[..slot].contains(&atom), "sample {i} uses atom {atom} twice: {shape:?}");
    }
    for &value in values {
        let allowed = shape.sign == Sign::Signed || value >= T::zero();
        assert!(value.widen().is_finite() && allowed, "sample {i} has {value}: {shape:?}");
    }
}

/// y − Σ x_j d_j of sample `i`, in f64.
fn residual<T: Scalar>(
    samples: MatRef<'_, T>,
    dictionary: MatRef<'_, T>,
    codes: &SparseCodes<T>,
    i: usize,
) -> Vec<f64> {
    let mut residual: Vec<f64> = samples.col(i).iter().map(|y| y.widen()).collect();
    for (&atom, value) in codes.support(i).iter().zip(codes.values(i)) {
        for (r, d) in residual.iter_mut().zip(dictionary.col(atom as usize).iter()) {
            *r -= value.widen() * d.widen();
        }
    }
    residual
}

/// Σ aᵢ².
fn squared(a: impl IntoIterator<Item = f64>) -> f64 {
    a.into_iter().map(|a| a * a).sum()
}

/// ‖y‖ + Σ|x_j| of sample `i`, the size of the terms that y − Dx sums. Rounding errors are a
/// multiple of it.
fn magnitude<T: Scalar>(samples: MatRef<'_, T>, codes: &SparseCodes<T>, i: usize) -> f64 {
    let norm = squared(samples.col(i).iter().map(|y| y.widen())).sqrt();
    norm + codes.values(i).iter().map(|x| x.widen().abs()).sum::<f64>()
}
