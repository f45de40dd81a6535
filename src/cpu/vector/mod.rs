//! Loops over vectors, compiled for every instruction set and chosen at run time.
//!
//! Plain Rust is compiled for the oldest processor of its architecture (SSE2 on x86-64), so the hot
//! loops stand in [`vectorized!`] functions, which select AVX2 or AVX-512 at run time through pulp.
//!
//! # Bits
//! No result depends on the number of threads. Whether it depends on the instruction set is stated
//! by module:
//!
//! - What [`loops`] does gives the same bits with every instruction set: sums have a fixed number
//!   of accumulators, which are added in a fixed order, and every product is rounded before it is
//!   added to something. Norms and energies are of this kind, so two processors that hold the same
//!   vector agree on its norm.
//! - What [`rows`] and [`padded`] do, and pursuits that work on registers
//!   ([`Vectors`](crate::scalar::registers::Vectors)), may differ in the last bits: sums have as
//!   many accumulators as fit the registers, and products are fused with sums where the processor
//!   can. Sweeps and pursuits spend their time there; with a product that is rounded first, or a
//!   number of accumulators that suits all, they would take longer.
//! - [`dots16`] and [`aligned`] are exact, and [`prefetch`] changes no result.
//!
//! So a dictionary, or a code, may differ in the last bits from one processor to another. The
//! products of faer differ as well, and coding begins with one.

pub(crate) mod aligned;
pub(crate) mod dots16;
pub(crate) mod loops;
pub(crate) mod outlined;
pub(crate) mod padded;
pub(crate) mod prefetch;
pub(crate) mod rows;
#[cfg(test)]
mod testing;

/// The instruction set that is chosen here, by name.
pub(crate) fn instructions() -> &'static str {
    match pulp::Arch::new() {
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V4(_) => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V3(_) => "AVX2",
        _ => "basic",
    }
}

/// Defines a function whose body is compiled for every instruction set and dispatched at run time.
/// A body that names the vectors asks for the set at hand as a first argument, followed by a
/// semicolon: `fn add<'a, T>(simd; y: &'a mut [T], x: &'a [T])`.
///
/// Only what is inlined into the body is compiled so: it calls `#[inline(always)]` functions, such
/// as those of [`loops`] and [`rows`], and no closures of any size. The dispatch costs a few
/// nanoseconds; it is for loops, not for single operations.
macro_rules! vectorized {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident<$life:lifetime, $scalar:ident>(
            $simd:ident; $($argument:ident: $type:ty),* $(,)?
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
                fn with_simd<S: pulp::Simd>(self, $simd: S) -> Self::Output {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Arguments { $($argument),* })
        }
    };
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident<$life:lifetime, $scalar:ident>(
            $($argument:ident: $type:ty),* $(,)?
        ) $(-> $output:ty)? $body:block
    ) => {
        $crate::cpu::vector::vectorized! {
            $(#[$meta])*
            $visibility fn $name<$life, $scalar>(_simd; $($argument: $type),*) $(-> $output)? $body
        }
    };
}
pub(crate) use vectorized;
