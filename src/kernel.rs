//! Vector kernels, written as plain loops over fixed-width chunks that compilers vectorise.
//!
//! Plain Rust is compiled for the oldest processor of its architecture (SSE2 on x86-64), so the hot
//! loops are called through [`vectorized`], which selects AVX2 or AVX-512 at run time through pulp. Sums go
//! into [`LANES`] interleaved accumulators that are folded in a fixed order, and products are not
//! contracted to fused multiply-adds: a sum has the same bits whichever instruction set runs it.

use crate::Scalar;

/// Accumulators of a sum, and the width of the chunks.
pub(crate) const LANES: usize = 32;

/// Calls `kernel` on `arguments`, compiled for the best instruction set of this processor.
///
/// `kernel` must be the name of an `#[inline(always)]` function: only what is inlined is compiled
/// for that instruction set, and a closure's body may not be. The dispatch costs a few nanoseconds;
/// it is for loops, not for single operations.
#[inline(always)]
pub(crate) fn vectorized<A, R>(kernel: impl FnOnce(A) -> R, arguments: A) -> R {
    pulp::Arch::new().dispatch(Call { kernel, arguments })
}

struct Call<K, A> {
    kernel: K,
    arguments: A,
}

impl<K: FnOnce(A) -> R, A, R> pulp::WithSimd for Call<K, A> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> R {
        (self.kernel)(self.arguments)
    }
}

/// Σ aᵢ bᵢ.
#[inline(always)]
pub(crate) fn dot<T: Scalar>(a: &[T], b: &[T]) -> T {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for l in 0..LANES {
            lanes[l] = lanes[l] + a[l] * b[l];
        }
    }
    for (l, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[l] = lanes[l] + a * b;
    }
    fold(lanes)
}

/// y ← y + c x.
#[inline(always)]
pub(crate) fn axpy<T: Scalar>(y: &mut [T], c: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = *y + c * x;
    }
}

/// y ← y + Σ_q c_q x_q for four vectors: one read and one write of y instead of four.
#[inline(always)]
pub(crate) fn axpy4<T: Scalar>(y: &mut [T], c: [T; 4], x: [&[T]; 4]) {
    let [x0, x1, x2, x3] = x.map(|x| &x[..y.len()]);
    for (i, y) in y.iter_mut().enumerate() {
        *y = *y + c[0] * x0[i] + c[1] * x1[i] + (c[2] * x2[i] + c[3] * x3[i]);
    }
}

/// ‖a‖², accumulated in f64.
#[inline(always)]
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
#[inline(always)]
pub(crate) fn normalize<T: Scalar>(a: &mut [T]) -> f64 {
    let norm = squared_norm(a).sqrt();
    if norm > 0.0 {
        a.iter_mut().for_each(|x| *x = T::narrow(x.widen() / norm));
    }
    norm
}

/// Index of the first value that is NaN or infinite.
#[inline(always)]
pub(crate) fn first_not_finite<T: Scalar>(a: &[T]) -> Option<usize> {
    // x · 0 is 0 for finite x and NaN otherwise, and NaN survives the sum.
    let mut sum = T::zero();
    for chunk in a.chunks(1024) {
        let mut lanes = [T::zero(); LANES];
        let (chunks, rest) = chunk.as_chunks::<LANES>();
        for c in chunks {
            for l in 0..LANES {
                lanes[l] = lanes[l] + c[l] * T::zero();
            }
        }
        for (l, &c) in rest.iter().enumerate() {
            lanes[l] = lanes[l] + c * T::zero();
        }
        sum = sum + fold(lanes);
    }
    if sum.widen() == 0.0 { None } else { a.iter().position(|x| !x.widen().is_finite()) }
}

/// Sums the lanes pairwise, in a fixed order.
#[inline(always)]
pub(crate) fn fold<T: Scalar>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] = lanes[l] + lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}
