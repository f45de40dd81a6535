//! Memory that begins with a cache line.

use std::ops::{Deref, DerefMut};

use crate::error::BackendError;

/// Bytes of a cache line, and of the widest registers: where memory begins elsewhere, each of their
/// loads touches two lines.
const LINE: usize = 64;

/// A vector of fixed length that begins with a cache line.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    /// The values, with some before and after them that are not used.
    storage: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Copy> Aligned<T> {
    /// `length` times `value`.
    pub(crate) fn new(value: T, length: usize) -> Self {
        Self::fill(Vec::with_capacity(length + Self::slack()), value, length)
    }

    /// A matrix of `rows` by `cols` times `value`, or the error that memory does not suffice.
    pub(crate) fn matrix(value: T, rows: usize, cols: usize) -> Result<Self, BackendError> {
        let length = rows.saturating_mul(cols);
        let mut storage = Vec::new();
        storage.try_reserve_exact(length.saturating_add(Self::slack())).map_err(|error| {
            let reason = error.to_string();
            BackendError::Allocation { rows, cols, reason }
        })?;
        Ok(Self::fill(storage, value, length))
    }

    const fn slack() -> usize {
        LINE / size_of::<T>() - 1
    }

    /// `storage` is empty and has room.
    fn fill(mut storage: Vec<T>, value: T, length: usize) -> Self {
        let start = storage.as_ptr().align_offset(LINE).min(Self::slack());
        storage.resize(start + length, value);
        Self { storage, start, length }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.storage[self.start..][..self.length]
    }
}

impl<T> DerefMut for Aligned<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.storage[self.start..][..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Copy + PartialEq>(value: T) {
        for length in [0, 1, 7, 64, 1000, 100_000] {
            let vectors = [
                Aligned::new(value, length),
                Aligned::matrix(value, length, 1).expect("so much memory"),
            ];
            for mut vector in vectors {
                assert_eq!(vector.as_ptr() as usize % LINE, 0);
                assert_eq!(vector.len(), length);
                assert!(vector.iter_mut().all(|v| *v == value));
            }
        }
    }

    #[test]
    fn it_begins_with_a_line() {
        check(1_i16);
        check(2_i32);
        check(0.5_f32);
        check(0.25_f64);
    }

    #[test]
    fn too_much_is_an_error() {
        assert!(Aligned::matrix(0.0_f32, usize::MAX, usize::MAX).is_err());
    }
}
