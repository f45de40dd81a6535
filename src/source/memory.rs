//! Samples in memory.

use std::ops::Range;

use faer::{Mat, MatRef};

use super::{SampleSource, check_read};
use crate::Scalar;
use crate::error::SourceError;

/// Samples in a slice, one after the other. This is the layout of a row-major (N, d) array and of a
/// column-major d × N matrix.
///
/// ```
/// use dbksvd::source::{SampleSource, SliceSource};
///
/// let values = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]; // two rows of dimension 3
/// let source = SliceSource::new(&values, 3)?;
/// assert_eq!((source.len(), source.as_mat().shape()), (2, (3, 2)));
/// assert!(SliceSource::new(&values, 4).is_err());
/// # Ok::<(), dbksvd::error::SourceError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SliceSource<'a, T> {
    values: &'a [T],
    dim: usize,
}

impl<'a, T: Scalar> SliceSource<'a, T> {
    /// A source of the samples of dimension `dim` in `values`.
    ///
    /// # Errors
    /// [`SourceError::Ragged`] if `dim` is 0 or does not divide the length.
    pub fn new(values: &'a [T], dim: usize) -> Result<Self, SourceError> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            return Err(SourceError::Ragged { len: values.len(), dim });
        }
        Ok(Self { values, dim })
    }

    /// The samples as a d × N matrix.
    #[must_use]
    pub fn as_mat(&self) -> MatRef<'a, T> {
        MatRef::from_column_major_slice(self.values, self.dim, self.values.len() / self.dim)
    }
}

impl<T: Scalar> SampleSource<T> for SliceSource<'_, T> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.len(), self.dim)?;
        into.copy_from_slice(&self.values[range.start * self.dim..range.end * self.dim]);
        Ok(())
    }
}

/// A d × N matrix: each column is a sample.
impl<T: Scalar> SampleSource<T> for MatRef<'_, T> {
    fn dim(&self) -> usize {
        self.nrows()
    }

    fn len(&self) -> usize {
        self.ncols()
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.ncols(), self.nrows())?;
        if self.nrows() == 0 {
            return Ok(());
        }
        for (i, sample) in range.zip(into.chunks_exact_mut(self.nrows())) {
            let column = self.col(i);
            match column.try_as_col_major() {
                Some(column) => sample.copy_from_slice(column.as_slice()),
                None => sample.iter_mut().zip(column.iter()).for_each(|(to, from)| *to = *from),
            }
        }
        Ok(())
    }
}

/// A d × N matrix: each column is a sample.
impl<T: Scalar> SampleSource<T> for Mat<T> {
    fn dim(&self) -> usize {
        self.nrows()
    }

    fn len(&self) -> usize {
        self.ncols()
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        self.as_ref().read(range, into)
    }
}
