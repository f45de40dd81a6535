//! Vector kernels, written as plain loops over fixed-width chunks that compilers vectorise.
//!
//! Plain Rust is compiled for the oldest processor of its architecture (SSE2 on x86-64), so the hot
//! loops stand in [`vectorized!`] functions, which select AVX2 or AVX-512 at run time through pulp.
//! Sums go into [`LANES`] interleaved accumulators that are folded in a fixed order, and products
//! are not contracted to fused multiply-adds: a sum has the same bits whichever instruction set
//! runs it.

use num_traits::Float;

use crate::Scalar;

/// Accumulators of a sum, and the width of the chunks.
pub(crate) const LANES: usize = 32;

/// Defines a function whose body is compiled for every instruction set and dispatched at run time.
///
/// Only what is inlined into the body is compiled so: it calls `#[inline(always)]` functions, like
/// those below, and no closures of any size. The dispatch costs a few nanoseconds; it is for loops,
/// not for single operations.
macro_rules! vectorized {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident<$life:lifetime, $scalar:ident>(
            $($argument:ident: $type:ty),* $(,)?
        ) $(-> $output:ty)? $body:block
    ) => {
        $(#[$meta])*
        $visibility fn $name<$life, $scalar: $crate::Scalar>(
            $($argument: $type),*
        ) $(-> $output)? {
            struct Arguments<$life, $scalar: $crate::Scalar> {
                $($argument: $type),*
            }
            impl<$life, $scalar: $crate::Scalar> pulp::WithSimd for Arguments<$life, $scalar> {
                #[allow(unused_parens, reason = "the unit type where a kernel returns nothing")]
                type Output = ($($output)?);

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Arguments { $($argument),* })
        }
    };
}
pub(crate) use vectorized;

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

vectorized! {
    /// Σ aᵢ bᵢ, accumulated in f64.
    pub(crate) fn wide_product<'a, T>(a: &'a [T], b: &'a [T]) -> f64 {
        let (a_chunks, a_rest) = a.as_chunks::<LANES>();
        let (b_chunks, b_rest) = b.as_chunks::<LANES>();
        let mut lanes = [0.0_f64; LANES];
        for (a, b) in a_chunks.iter().zip(b_chunks) {
            for l in 0..LANES {
                lanes[l] += a[l].widen() * b[l].widen();
            }
        }
        for (l, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            lanes[l] += a.widen() * b.widen();
        }
        fold(lanes)
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
    /// [`squared_norm`], dispatched: for long vectors outside other kernels.
    pub(crate) fn energy<'a, T>(a: &'a [T]) -> f64 {
        squared_norm(a)
    }
}

/// Scales `a` to norm 1 and returns the norm it had; a zero vector is left as it is.
#[inline(always)]
pub(crate) fn normalize<T: Scalar>(a: &mut [T]) -> f64 {
    // Squares of a double may over- or underflow where the double does not: then the largest
    // value is taken out first.
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
