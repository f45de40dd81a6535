//! Vector operations for both scalars, over pulp's instruction sets.
//!
//! For kernels whose accumulators must stay in registers: loops over arrays are at the mercy of the
//! compiler's vectoriser. Everything here is to be inlined into a function that pulp dispatches.

use pulp::Simd;
use pulp::bytemuck::Pod;

/// A scalar with vectors.
pub trait Vectors: Pod {
    /// A register of numbers.
    type V<S: Simd>: Pod;

    /// All numbers equal to `value`.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::V<S>;
    /// a + b.
    fn plus<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// a − b.
    fn minus<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// a · b.
    fn times<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// a / b.
    fn over<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// a · b + c, in one rounding where there is an instruction for it.
    fn fused<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>, c: Self::V<S>) -> Self::V<S>;
    /// The larger of each two.
    fn larger<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// |a|.
    fn magnitude<S: Simd>(simd: S, a: Self::V<S>) -> Self::V<S>;
    /// The sum of the numbers.
    fn total<S: Simd>(simd: S, a: Self::V<S>) -> Self;
    /// The largest of the numbers.
    fn largest<S: Simd>(simd: S, a: Self::V<S>) -> Self;
    /// As many whole registers as there are in `values`, and the rest.
    fn registers<S: Simd>(values: &[Self]) -> (&[Self::V<S>], &[Self]);
    /// As many whole registers as there are in `values`.
    fn registers_mut<S: Simd>(values: &mut [Self]) -> &mut [Self::V<S>];
    /// A register of `values`, fewer than fill it, and zeros.
    fn partial<S: Simd>(simd: S, values: &[Self]) -> Self::V<S>;
    /// x where a > b, else y.
    fn where_greater<S: Simd>(
        simd: S,
        a: Self::V<S>,
        b: Self::V<S>,
        x: Self::V<S>,
        y: Self::V<S>,
    ) -> Self::V<S>;
    /// Whether a ≥ b anywhere.
    fn any_at_least<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> bool;

    /// A number so large that sums with it are integers.
    const INTEGERS: Self;
    /// The integer n, modulo 2¹⁶, of the sum [`INTEGERS`](Self::INTEGERS) + n.
    fn low_bits(self) -> i16;
}

/// How many numbers a register holds.
pub(crate) const fn lanes<T: Vectors, S: Simd>() -> usize {
    size_of::<T::V<S>>() / size_of::<T>()
}

macro_rules! vectors {
    (
        $scalar:ident, $vector:ident, $split:ident, $split_mut:ident, $splat:ident, $add:ident,
        $sub:ident, $mul:ident, $div:ident, $mul_add:ident, $max:ident, $and:ident, $not:ident,
        $reduce_sum:ident, $reduce_max:ident, $partial:ident, $at_least:ident, $first:ident,
        $greater:ident, $select:ident,
        $integers:expr
    ) => {
        impl Vectors for $scalar {
            type V<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }

            #[inline(always)]
            fn plus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }

            #[inline(always)]
            fn minus<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$sub(a, b)
            }

            #[inline(always)]
            fn times<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }

            #[inline(always)]
            fn over<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$div(a, b)
            }

            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$mul_add(a, b, c)
            }

            #[inline(always)]
            fn larger<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$max(a, b)
            }

            #[inline(always)]
            fn magnitude<S: Simd>(simd: S, a: S::$vector) -> S::$vector {
                simd.$and(simd.$not(simd.$splat(-0.0)), a)
            }

            #[inline(always)]
            fn total<S: Simd>(simd: S, a: S::$vector) -> Self {
                simd.$reduce_sum(a)
            }

            #[inline(always)]
            fn largest<S: Simd>(simd: S, a: S::$vector) -> Self {
                simd.$reduce_max(a)
            }

            #[inline(always)]
            fn registers<S: Simd>(values: &[Self]) -> (&[S::$vector], &[Self]) {
                S::$split(values)
            }

            #[inline(always)]
            fn registers_mut<S: Simd>(values: &mut [Self]) -> &mut [S::$vector] {
                S::$split_mut(values).0
            }

            #[inline(always)]
            fn partial<S: Simd>(simd: S, values: &[Self]) -> S::$vector {
                simd.$partial(values)
            }

            #[inline(always)]
            fn where_greater<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                x: S::$vector,
                y: S::$vector,
            ) -> S::$vector {
                simd.$select(simd.$greater(a, b), x, y)
            }

            #[inline(always)]
            fn any_at_least<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> bool {
                // pulp 0.22 counts from the wrong end with AVX-512, but tells none from some.
                simd.$first(simd.$at_least(a, b)) < lanes::<Self, S>()
            }

            const INTEGERS: Self = $integers;

            #[inline(always)]
            fn low_bits(self) -> i16 {
                self.to_bits() as i16
            }
        }
    };
}

vectors!(
    f32,
    f32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    div_f32s,
    mul_add_e_f32s,
    max_f32s,
    and_f32s,
    not_f32s,
    reduce_sum_f32s,
    reduce_max_f32s,
    partial_load_f32s,
    greater_than_or_equal_f32s,
    first_true_m32s,
    greater_than_f32s,
    select_f32s,
    12_582_912.0
);
vectors!(
    f64,
    f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    div_f64s,
    mul_add_e_f64s,
    max_f64s,
    and_f64s,
    not_f64s,
    reduce_sum_f64s,
    reduce_max_f64s,
    partial_load_f64s,
    greater_than_or_equal_f64s,
    first_true_m64s,
    greater_than_f64s,
    select_f64s,
    6_755_399_441_055_744.0
);
