//! Matrix products on the calling thread, compiled once for each scalar.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use num_traits::One;

use crate::scalar::compiled;

compiled! {
    /// C ← AB, on this thread alone.
    pub(crate) fn multiply<T>(c: MatMut<'_, T>, a: MatRef<'_, T>, b: MatRef<'_, T>) {
        matmul(c, Accum::Replace, a, b, <T as One>::one(), Par::Seq);
    }
}
