//! What is accepted where samples in memory are wanted.

use faer::{Mat, MatRef};

use super::SliceSource;
use crate::Scalar;
use crate::error::SourceError;

/// Samples in memory, in any of their usual forms.
///
/// | type | how samples lie in it |
/// |---|---|
/// | `Mat<T>`, `MatRef<T>` | d × N, a column each |
/// | `[T]`, `Vec<T>`, `[T; n]` | one after the other, as in a row-major (N, d) array |
/// | [`SliceSource`] | the same, with its d |
/// | references to these | |
///
/// ```
/// use dbksvd::coder::BatchOmp;
/// use dbksvd::faer::{Mat, mat};
/// use dbksvd::{Dictionary, Model, Sign};
///
/// let dictionary = Dictionary::normalized(Mat::<f32>::identity(2, 2))?;
/// let model = Model::new(dictionary, None, 1, Sign::Signed)?;
/// let codes = model.encode(&BatchOmp::new(), &mat![[1.0, 0.0], [0.0, 3.0]])?;
/// assert_eq!(model.encode(&BatchOmp::new(), [1.0, 0.0, 0.0, 3.0])?, codes);
/// # Ok::<(), dbksvd::Error>(())
/// ```
pub trait AsSamples<T> {
    /// The samples as a matrix (d × N, a column each). `dim` is the d that is wanted: slices are
    /// cut by it; a matrix keeps its own, and whoever uses it compares.
    ///
    /// # Errors
    /// [`SourceError::Ragged`] for a slice of which `dim` does not divide the length.
    fn as_samples(&self, dim: usize) -> Result<MatRef<'_, T>, SourceError>;
}

impl<T: Scalar> AsSamples<T> for Mat<T> {
    fn as_samples(&self, _dim: usize) -> Result<MatRef<'_, T>, SourceError> {
        Ok(self.as_ref())
    }
}

impl<T: Scalar> AsSamples<T> for MatRef<'_, T> {
    fn as_samples(&self, _dim: usize) -> Result<MatRef<'_, T>, SourceError> {
        Ok(*self)
    }
}

impl<T: Scalar> AsSamples<T> for SliceSource<'_, T> {
    fn as_samples(&self, _dim: usize) -> Result<MatRef<'_, T>, SourceError> {
        Ok(self.as_mat())
    }
}

impl<T: Scalar> AsSamples<T> for [T] {
    fn as_samples(&self, dim: usize) -> Result<MatRef<'_, T>, SourceError> {
        Ok(SliceSource::new(self, dim)?.as_mat())
    }
}

impl<T: Scalar, const LEN: usize> AsSamples<T> for [T; LEN] {
    fn as_samples(&self, dim: usize) -> Result<MatRef<'_, T>, SourceError> {
        self.as_slice().as_samples(dim)
    }
}

impl<T: Scalar> AsSamples<T> for Vec<T> {
    fn as_samples(&self, dim: usize) -> Result<MatRef<'_, T>, SourceError> {
        self.as_slice().as_samples(dim)
    }
}

impl<T, S: AsSamples<T> + ?Sized> AsSamples<T> for &S {
    fn as_samples(&self, dim: usize) -> Result<MatRef<'_, T>, SourceError> {
        (**self).as_samples(dim)
    }
}
