//! The real numbers a problem is stated in: `f32` or `f64`.

use std::any::Any;
use std::fmt::{Debug, Display};
use std::iter::Sum;

pub(crate) mod registers;

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A real scalar: `f32` or `f64`. Sealed: kernels and tolerances are chosen for these two.
///
/// Measures (norms, errors, variances) are accumulated in `f64` whatever the scalar is.
pub trait Scalar:
    private::Sealed
    + registers::Vectors
    + faer::traits::RealField
    + pulp::bytemuck::Pod
    + num_traits::Float
    + Copy
    + Default
    + Send
    + Sync
    + Sum
    + Debug
    + Display
    + 'static
{
    /// The type's name in files and messages: `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The machine epsilon as `f64`.
    const EPSILON: f64;

    /// Samples may have a root mean square norm from the inverse of this to this, or zero: squares
    /// and products of coefficients then neither over- nor underflow.
    const LARGEST_NORM: f64;

    /// Widens to `f64`, exactly.
    fn widen(self) -> f64;

    /// Rounds from `f64` to the nearest representable value.
    fn narrow(value: f64) -> Self;

    /// The nearest representable value.
    fn from_int(value: i32) -> Self;

    /// The integer part, within the range of `i32`.
    fn truncate(self) -> i32;
}

impl Scalar for f32 {
    const NAME: &'static str = "f32";
    const EPSILON: f64 = f32::EPSILON as f64;
    const LARGEST_NORM: f64 = 1e15;

    #[inline(always)]
    fn widen(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn narrow(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn from_int(value: i32) -> Self {
        value as f32
    }

    #[inline(always)]
    fn truncate(self) -> i32 {
        self as i32
    }
}

impl Scalar for f64 {
    const NAME: &'static str = "f64";
    const EPSILON: f64 = f64::EPSILON;
    const LARGEST_NORM: f64 = 1e140;

    #[inline(always)]
    fn widen(self) -> f64 {
        self
    }

    #[inline(always)]
    fn narrow(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn from_int(value: i32) -> Self {
        f64::from(value)
    }

    #[inline(always)]
    fn truncate(self) -> i32 {
        self as i32
    }
}

/// Of one thing for each scalar, that of the scalar at hand.
///
/// Generic functions are compiled in the crate that says what their types are: every program that
/// codes or learns would compile the heavy loops again, for each instruction set. So they are
/// called through pointers, `fn` items of `f32` and of `f64` that are compiled in this crate,
/// whoever calls them; this picks the pointer that fits.
///
/// # Panics
/// If `Of` is the type of neither.
pub(crate) fn pick<Single: 'static, Double: 'static, Of: 'static>(
    single: &'static Single,
    double: &'static Double,
) -> &'static Of {
    let both: [&dyn Any; 2] = [single, double];
    both.into_iter().find_map(<dyn Any>::downcast_ref).expect("a scalar is f32 or f64")
}

/// Defines a function of a scalar that is compiled in this crate for both, and picked: see
/// [`pick`].
macro_rules! compiled {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident<$scalar:ident>(
            $($argument:ident: $type:ty),* $(,)?
        ) $(-> $output:ty)? $body:block
    ) => {
        $(#[$meta])*
        $visibility fn $name<$scalar: $crate::Scalar>($($argument: $type),*) $(-> $output)? {
            type Pointer<$scalar> = fn($($type),*) $(-> $output)?;
            fn compiled<$scalar: $crate::Scalar>($($argument: $type),*) $(-> $output)? $body
            static BOTH: (Pointer<f32>, Pointer<f64>) = (compiled, compiled);
            let picked: &Pointer<$scalar> = $crate::scalar::pick(&BOTH.0, &BOTH.1);
            picked($($argument),*)
        }
    };
}
pub(crate) use compiled;
