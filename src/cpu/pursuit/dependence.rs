//! When an atom is taken for a combination of the chosen ones: up to which height
//! h² = ‖(I − P) d‖².
//!
//! There are two limits, since there are two reasons, and which of them counts depends on how the
//! height was found.

use crate::Scalar;

/// Where h² was found from a Gram matrix in this scalar, as ‖d‖² − ‖w‖²: 128 ε.
///
/// The difference of two numbers near 1 is off by a few ε, so this near to zero it has lost its
/// digits, and everything divided by h with it. A pursuit loses little by leaving the atom out: its
/// correlation is at most h‖r‖.
#[inline(always)]
pub(crate) fn of_gram<T: Scalar>() -> T {
    T::narrow(128.0 * T::EPSILON)
}

/// Where d was made orthogonal to the chosen atoms in double precision, so that h itself has its
/// digits, and codes are in this scalar: (64 ε)².
///
/// The coefficient of such an atom is so large that rounding it to the scalar undoes what it
/// explains.
#[inline(always)]
pub(crate) fn of_vectors<T: Scalar>() -> f64 {
    (64.0 * T::EPSILON).powi(2)
}

/// Where h² was found from a Gram matrix in double precision, and codes are in this scalar: both
/// reasons hold.
#[inline(always)]
pub(crate) fn of_wide_gram<T: Scalar>() -> f64 {
    f64::max(of_vectors::<T>(), of_gram::<f64>())
}
