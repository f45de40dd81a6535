//! Matrices in this process's memory: columns as slices, and allocation that may fail.

use faer::{Mat, MatMut, MatRef};

use crate::Scalar;
use crate::error::BackendError;

/// Column `j` of a host matrix as a slice.
#[inline(always)]
pub(crate) fn column<T>(matrix: MatRef<'_, T>, j: usize) -> &[T] {
    matrix.col(j).try_as_col_major().expect("host matrices have row stride 1").as_slice()
}

/// Column `j` of a host matrix as a slice, for writing.
#[inline(always)]
pub(crate) fn column_mut<T>(matrix: MatMut<'_, T>, j: usize) -> &mut [T] {
    matrix
        .col_mut(j)
        .try_as_col_major_mut()
        .expect("host matrices have row stride 1")
        .as_slice_mut()
}

/// A matrix of zeros, or an error instead of an abort when the memory cannot be had.
pub(crate) fn zeros<T: Scalar>(rows: usize, cols: usize) -> Result<Mat<T>, BackendError> {
    check_room::<T>(rows, cols)?;
    Ok(Mat::zeros(rows, cols))
}

/// An error where the memory for a matrix cannot be had: for what is allocated later, where no
/// error can be told.
pub(crate) fn check_room<T>(rows: usize, cols: usize) -> Result<(), BackendError> {
    let refuse = |reason: String| BackendError::Allocation { rows, cols, reason };
    let bytes = rows
        .checked_mul(cols)
        .and_then(|n| n.checked_mul(size_of::<T>()))
        .filter(|&n| isize::try_from(n).is_ok())
        .ok_or_else(|| refuse("its size overflows the address space".into()))?;
    // faer aborts when memory runs out; asking first, without touching the pages, does not.
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|error| refuse(error.to_string()))
}
