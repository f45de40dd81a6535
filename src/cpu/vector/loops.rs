//! Sums and updates of one vector or two, with the same bits whichever instruction set runs them.
//!
//! Sums in the scalar go into [`LANES`] interleaved accumulators, in plain loops that compilers
//! vectorise. They do so badly where numbers are widened on the way, so sums in double precision
//! name the vectors, which takes a fifth of the time; they have [`WIDE_LANES`] accumulators. What
//! is to be called within a [`vectorized!`] function is inlined; the others are dispatched on their
//! own, for long vectors.

use num_traits::Float;
use pulp::{Simd, bytemuck};

use super::vectorized;
use crate::Scalar;

/// Accumulators of a sum in the scalar, and the width of the chunks.
pub(crate) const LANES: usize = 32;

/// Accumulators of a sum in double precision: two of the widest registers.
const WIDE_LANES: usize = 16;

/// Σ aᵢ bᵢ.
#[inline(always)]
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
#[inline(always)]
pub(crate) fn axpy<T: Scalar>(y: &mut [T], c: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += c * x;
    }
}

vectorized! {
    /// [`axpy`], dispatched: for long vectors outside other kernels.
    pub(crate) fn add<'a, T>(y: &'a mut [T], c: T, x: &'a [T]) {
        axpy(y, c, x);
    }
}

/// The largest |aᵢ|.
#[inline(always)]
pub(crate) fn largest_magnitude<T: Scalar>(a: &[T]) -> T {
    let (chunks, rest) = a.as_chunks::<LANES>();
    let mut lanes = [T::zero(); LANES];
    for chunk in chunks {
        for l in 0..LANES {
            let a = Float::abs(chunk[l]);
            lanes[l] = if a > lanes[l] { a } else { lanes[l] };
        }
    }
    let mut largest = T::zero();
    for a in lanes.into_iter().chain(rest.iter().map(|&a| Float::abs(a))) {
        largest = if a > largest { a } else { largest };
    }
    largest
}

vectorized! {
    /// [`dot`], dispatched: for long vectors outside other kernels.
    pub(crate) fn product<'a, T>(a: &'a [T], b: &'a [T]) -> T {
        dot(a, b)
    }
}

/// a·a, a·b and b·b, in double precision. What is not used is not computed.
#[inline(always)]
fn wide_sums<T: Scalar, S: Simd>(simd: S, a: &[T], b: &[T]) -> [f64; 3] {
    let (a_chunks, a_rest) = a.as_chunks::<WIDE_LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<WIDE_LANES>();
    let mut sums = [[simd.splat_f64s(0.0); WIDE_LANES]; 3];
    let registers = WIDE_LANES * size_of::<f64>() / size_of::<S::f64s>();
    let (mut wide_a, mut wide_b) = ([0.0_f64; WIDE_LANES], [0.0_f64; WIDE_LANES]);
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for l in 0..WIDE_LANES {
            wide_a[l] = a[l].widen();
            wide_b[l] = b[l].widen();
        }
        let a: &[S::f64s] = bytemuck::cast_slice(&wide_a);
        let b: &[S::f64s] = bytemuck::cast_slice(&wide_b);
        for r in 0..registers {
            sums[0][r] = add_product::<T, S>(simd, sums[0][r], a[r], a[r]);
            sums[1][r] = add_product::<T, S>(simd, sums[1][r], a[r], b[r]);
            sums[2][r] = add_product::<T, S>(simd, sums[2][r], b[r], b[r]);
        }
    }
    // No `map` of the array: what it calls is not inlined.
    let mut totals = [0.0; 3];
    for (total, sums) in totals.iter_mut().zip(&mut sums) {
        *total = wide_fold(simd, &mut sums[..registers]);
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        let (a, b) = (a.widen(), b.widen());
        totals[0] += a * a;
        totals[1] += a * b;
        totals[2] += b * b;
    }
    totals
}

/// sum + a b, with the product rounded, for numbers that were widened from T.
#[inline(always)]
fn add_product<T: Scalar, S: Simd>(simd: S, sum: S::f64s, a: S::f64s, b: S::f64s) -> S::f64s {
    // Rounding leaves products of widened singles as they are: then fusing makes no difference.
    if size_of::<T>() < size_of::<f64>() {
        simd.mul_add_e_f64s(a, b, sum)
    } else {
        simd.add_f64s(sum, simd.mul_f64s(a, b))
    }
}

/// As [`fold`], for [`WIDE_LANES`] accumulators in registers.
#[inline(always)]
fn wide_fold<S: Simd>(simd: S, sums: &mut [S::f64s]) -> f64 {
    let mut width = sums.len() / 2;
    while width > 0 {
        for r in 0..width {
            sums[r] = simd.add_f64s(sums[r], sums[r + width]);
        }
        width /= 2;
    }
    let mut lanes = [0.0_f64; WIDE_LANES];
    let in_one = WIDE_LANES / sums.len();
    lanes[..in_one].copy_from_slice(bytemuck::cast_slice(&sums[..1]));
    let mut width = in_one / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// ‖a‖², in double precision.
#[inline(always)]
pub(crate) fn squared_norm<T: Scalar, S: Simd>(simd: S, a: &[T]) -> f64 {
    wide_sums(simd, a, a)[0]
}

vectorized! {
    /// [`squared_norm`], dispatched: for long vectors outside other kernels.
    pub(crate) fn energy<'a, T>(simd; a: &'a [T]) -> f64 {
        squared_norm(simd, a)
    }
}

vectorized! {
    /// Σ aᵢ bᵢ, in double precision.
    pub(crate) fn wide_product<'a, T>(simd; a: &'a [T], b: &'a [T]) -> f64 {
        wide_sums(simd, a, b)[1]
    }
}

vectorized! {
    /// a·a, a·b and b·b, in double precision.
    pub(crate) fn wide_products<'a, T>(simd; a: &'a [T], b: &'a [T]) -> [f64; 3] {
        wide_sums(simd, a, b)
    }
}

vectorized! {
    /// Scales `a` to norm 1 and returns the norm it had; a zero vector is left as it is.
    pub(crate) fn normalize<'a, T>(simd; a: &'a mut [T]) -> f64 {
        // Squares of a double may over- or underflow where the double does not: then the largest
        // value is taken out first.
        let mut scale = 1.0;
        let mut norm = squared_norm(simd, a).sqrt();
        if !(1e-140..1e140).contains(&norm) {
            scale = a.iter().fold(0.0, |max, x| f64::max(max, x.widen().abs()));
            if scale == 0.0 || !scale.is_finite() {
                return scale;
            }
            a.iter_mut().for_each(|x| *x = T::narrow(x.widen() / scale));
            norm = squared_norm(simd, a).sqrt();
        }
        if size_of::<T>() < size_of::<f64>() {
            // Rounding to T leaves nothing of the error of one division in place of many.
            let factor = norm.recip();
            for x in a.iter_mut() {
                *x = T::narrow(x.widen() * factor);
            }
        } else {
            for x in a.iter_mut() {
                *x = T::narrow(x.widen() / norm);
            }
        }
        norm * scale
    }
}

vectorized! {
    /// y ← y + c x, in f64.
    pub(crate) fn add_wide<'a, T>(y: &'a mut [f64], c: f64, x: &'a [T]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += c * x.widen();
        }
    }
}

vectorized! {
    /// Index of the first value that is NaN or infinite.
    pub(crate) fn first_not_finite<'a, T>(a: &'a [T]) -> Option<usize> {
        // x · 0 is 0 for finite x and NaN otherwise, and NaN survives the sum.
        let (chunks, rest) = a.as_chunks::<LANES>();
        let mut lanes = [T::zero(); LANES];
        for a in chunks {
            for l in 0..LANES {
                lanes[l] += a[l] * T::zero();
            }
        }
        for (l, &a) in rest.iter().enumerate() {
            lanes[l] += a * T::zero();
        }
        let all_finite = fold(lanes) == T::zero();
        if all_finite { None } else { a.iter().position(|x| !x.widen().is_finite()) }
    }
}

/// Sums the lanes pairwise, in a fixed order.
#[inline(always)]
pub(crate) fn fold<T: Scalar>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::vector::testing::{LENGTHS, assert_near, naive, wave};

    #[test]
    fn wide_sums_are_those_of_a_plain_loop() {
        for length in LENGTHS {
            let (a, b) = (wave::<f32>(length, 0.3), wave::<f32>(length, 0.7));
            let found = wide_products(&a, &b);
            let expected = [naive(&a, &a), naive(&a, &b), naive(&b, &b)];
            for (found, expected) in found.into_iter().zip(expected) {
                assert_near::<f64>(found, expected, length);
            }
            assert_near::<f64>(energy(&a), expected[0], length);
        }
    }

    #[test]
    fn normalizing_leaves_norm_one_and_returns_the_norm() {
        for length in LENGTHS {
            for scale in [1e-200, 1.0, 1e200] {
                let mut a: Vec<f64> = wave(length, 0.3);
                a.iter_mut().for_each(|x| *x = (*x + 2.0) * scale);
                let expected = naive(&a.iter().map(|x| x / scale).collect::<Vec<_>>(), &a);
                let expected = (expected / scale).sqrt();
                let norm = normalize(&mut a) / scale;
                assert_near::<f64>(norm / expected, 1.0, length + 8);
                assert_near::<f64>(naive(&a, &a), 1.0, length + 8);
            }
        }
        let mut zero = vec![0.0_f32; 20];
        assert_eq!(normalize(&mut zero), 0.0);
        assert!(zero.iter().all(|&x| x == 0.0));
    }

    /// The sums that this instruction set makes have the bits of those without any.
    fn bits_are_those_of_any_instruction_set<T: Scalar>() {
        for length in LENGTHS {
            let (a, b) = (wave::<T>(length, 0.3), wave::<T>(length, 0.7));
            let expected = wide_sums(pulp::Scalar::new(), &a, &b).map(f64::to_bits);
            assert_eq!(wide_products(&a, &b).map(f64::to_bits), expected, "{length}");
            assert_eq!(wide_product(&a, &b).to_bits(), expected[1], "{length}");
            assert_eq!(energy(&b).to_bits(), expected[2], "{length}");
            assert_eq!(
                product(&a, &b).widen().to_bits(),
                dot(&a, &b).widen().to_bits(),
                "{length}"
            );
            let (mut here, mut plain) = (a.clone(), a);
            let c = T::narrow(0.7);
            add(&mut here, c, &b);
            axpy(&mut plain, c, &b);
            assert!(here == plain, "{length}");
        }
    }

    #[test]
    fn bits_are_those_of_any_instruction_set_in_single_precision() {
        bits_are_those_of_any_instruction_set::<f32>();
    }

    #[test]
    fn bits_are_those_of_any_instruction_set_in_double_precision() {
        bits_are_those_of_any_instruction_set::<f64>();
    }
}
