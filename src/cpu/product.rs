//! Matrix products on the calling thread, compiled once for each scalar.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use crate::Scalar;
use crate::scalar::pick;

type Product<T> = fn(MatMut<'_, T>, MatRef<'_, T>, MatRef<'_, T>);
static PRODUCT: (Product<f32>, Product<f64>) = (
    |c, a, b| matmul(c, Accum::Replace, a, b, 1.0, Par::Seq),
    |c, a, b| matmul(c, Accum::Replace, a, b, 1.0, Par::Seq),
);

/// C ← AB, on this thread alone.
pub(crate) fn multiply<T: Scalar>(c: MatMut<'_, T>, a: MatRef<'_, T>, b: MatRef<'_, T>) {
    let product: &Product<T> = pick(&PRODUCT.0, &PRODUCT.1);
    product(c, a, b);
}
