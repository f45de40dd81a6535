//! Loops for code that is not compiled in this crate: rules that are generic over the backend.

use super::loops;
use crate::scalar::compiled;

compiled! {
    /// [`loops::energy`].
    pub(crate) fn energy<T>(a: &[T]) -> f64 {
        loops::energy(a)
    }
}

#[cfg(feature = "serde")]
compiled! {
    /// [`loops::first_not_finite`].
    pub(crate) fn first_not_finite<T>(a: &[T]) -> Option<usize> {
        loops::first_not_finite(a)
    }
}

compiled! {
    /// [`loops::normalize`].
    pub(crate) fn normalize<T>(a: &mut [T]) -> f64 {
        loops::normalize(a)
    }
}

compiled! {
    /// [`loops::product`].
    pub(crate) fn product<T>(a: &[T], b: &[T]) -> T {
        loops::product(a, b)
    }
}
