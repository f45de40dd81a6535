//! Loops over vectors. Sums use [`LANES`] interleaved accumulators, which compilers keep in
//! registers, and which are added in a fixed order. So the bits of a sum do not depend on the
//! processor.

use dbksvd::Scalar;
use dbksvd::faer::{MatMut, MatRef};

/// The number of accumulators of a sum, and the width of the chunks.
const LANES: usize = 32;

/// Σ aᵢ bᵢ.
pub(crate) fn dot<T: Scalar>(a: &[T], b: &[T]) -> T {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for l in 0..LANES {
            lanes[l] += a[l] * b[l];
        }
    }
    for (l, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[l] += a * b;
    }
    fold(lanes)
}

/// y ← y + c x.
pub(crate) fn axpy<T: Scalar>(y: &mut [T], c: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += c * x;
    }
}

/// ‖a‖², accumulated in f64.
pub(crate) fn squared_norm<T: Scalar>(a: &[T]) -> f64 {
    let (chunks, rest) = a.as_chunks::<LANES>();
    let mut lanes = [0.0_f64; LANES];
    for a in chunks {
        for l in 0..LANES {
            lanes[l] += a[l].widen() * a[l].widen();
        }
    }
    for (l, a) in rest.iter().enumerate() {
        lanes[l] += a.widen() * a.widen();
    }
    fold(lanes)
}

/// Scales `a` to norm 1 and returns the norm it had; a zero vector is left as it is.
pub(crate) fn normalize<T: Scalar>(a: &mut [T]) -> f64 {
    // The squares of doubles may overflow or underflow where the doubles do not. The largest value
    // is then divided out first.
    let mut scale = 1.0;
    let mut norm = squared_norm(a).sqrt();
    if !(1e-140..1e140).contains(&norm) {
        scale = a.iter().fold(0.0, |max, x| f64::max(max, x.widen().abs()));
        if scale == 0.0 || !scale.is_finite() {
            return scale;
        }
        a.iter_mut().for_each(|x| *x = T::narrow(x.widen() / scale));
        norm = squared_norm(a).sqrt();
    }
    a.iter_mut().for_each(|x| *x = T::narrow(x.widen() / norm));
    norm * scale
}

/// Index of the first value that is NaN or infinite.
pub(crate) fn first_not_finite<T: Scalar>(a: &[T]) -> Option<usize> {
    a.iter().position(|x| !x.widen().is_finite())
}

/// Sums the lanes pairwise, in a fixed order.
fn fold<T: Scalar>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Column `j` of a matrix of row stride 1.
pub(crate) fn column<T>(matrix: MatRef<'_, T>, j: usize) -> &[T] {
    matrix.col(j).try_as_col_major().expect("a row stride of 1").as_slice()
}

/// Column `j` of a matrix of row stride 1, for writing.
pub(crate) fn column_mut<T>(matrix: MatMut<'_, T>, j: usize) -> &mut [T] {
    matrix.col_mut(j).try_as_col_major_mut().expect("a row stride of 1").as_slice_mut()
}
