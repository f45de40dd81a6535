//! Short vectors in the scalar, padded to whole registers: loops over them have no remainders.

use pulp::Simd;

use crate::Scalar;
use crate::scalar::registers::lanes;

/// Lengths are rounded up to this, which every register divides.
pub(crate) const LANES: usize = 16;

/// The length of the storage of a vector of `order` numbers.
pub(crate) fn padded(order: usize) -> usize {
    order.next_multiple_of(LANES)
}

/// Σ w_u² for the first `count`, in the scalar, as the other terms of a height are. `w` is padded
/// with zeros.
#[inline(always)]
pub(crate) fn sum_of_squares<T: Scalar, S: Simd>(simd: S, count: usize, w: &[T]) -> T {
    let used = count.div_ceil(lanes::<T, S>());
    let mut sum = T::splat(simd, T::zero());
    for &w in &T::registers::<S>(w).0[..used] {
        sum = T::fused(simd, w, w, sum);
    }
    T::total(simd, sum)
}

/// Σ (a_u − b_u) g_u for the first `count`. Arguments are padded; a and b with zeros.
#[inline(always)]
pub(crate) fn dot_difference<T: Scalar, S: Simd>(
    simd: S,
    count: usize,
    a: &[T],
    b: &[T],
    g: &[T],
) -> T {
    let used = count.div_ceil(lanes::<T, S>());
    let (a, b, g) = (T::registers::<S>(a).0, T::registers::<S>(b).0, T::registers::<S>(g).0);
    let mut sum = T::splat(simd, T::zero());
    for ((&a, &b), &g) in a.iter().zip(b).zip(g).take(used) {
        sum = T::fused(simd, T::minus(simd, a, b), g, sum);
    }
    T::total(simd, sum)
}

/// a ← b. Both are padded.
#[inline(always)]
pub(crate) fn copy<T: Scalar, S: Simd>(a: &mut [T], b: &[T]) {
    for (a, &b) in T::registers_mut::<S>(a).iter_mut().zip(T::registers::<S>(b).0) {
        *a = b;
    }
}

/// c ← a − b. All are padded.
#[inline(always)]
pub(crate) fn subtract<T: Scalar, S: Simd>(simd: S, a: &[T], b: &[T], c: &mut [T]) {
    let (a, b) = (T::registers::<S>(a).0, T::registers::<S>(b).0);
    for ((c, &a), &b) in T::registers_mut::<S>(c).iter_mut().zip(a).zip(b) {
        *c = T::minus(simd, a, b);
    }
}

/// a ← a + c b, for as long as b is. Both are padded.
#[inline(always)]
pub(crate) fn add_multiple<T: Scalar, S: Simd>(simd: S, a: &mut [T], c: T, b: &[T]) {
    let c = T::splat(simd, c);
    for (a, &b) in T::registers_mut::<S>(a).iter_mut().zip(T::registers::<S>(b).0) {
        *a = T::fused(simd, c, b, *a);
    }
}
