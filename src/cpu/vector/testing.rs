//! Vectors, and sums by the book, for the tests of loops.

use crate::Scalar;

/// Lengths below, at and beyond whole registers and pairs of them, of every instruction set.
pub(super) const LENGTHS: [usize; 8] = [1, 7, 8, 16, 31, 32, 47, 100];

pub(super) fn wave<T: Scalar>(length: usize, pitch: f64) -> Vec<T> {
    (0..length).map(|i| T::narrow((i as f64 * pitch).sin())).collect()
}

pub(super) fn naive<T: Scalar>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.widen() * b.widen()).sum()
}

#[track_caller]
pub(super) fn assert_near<T: Scalar>(found: f64, expected: f64, length: usize) {
    let bound = length as f64 * T::EPSILON;
    assert!((found - expected).abs() <= bound, "{found}, expected {expected}: {length}");
}
