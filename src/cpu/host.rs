//! Backends whose matrices can be borrowed.

use faer::{MatMut, MatRef};

use super::HostSweep;
use crate::backend::{Backend, SweepKernels};
use crate::codes::SparseCodes;

/// A backend whose matrices lie in this process's memory, as column-major arrays: for the coders
/// and updaters that are the processor's alone.
///
/// Another one than [`Faer`](crate::Faer) may hand its [`SweepKernels`] on to it: the state of
/// sweeps is the same.
pub trait HostBackend:
    SweepKernels<
        Codes = SparseCodes<<Self as Backend>::Scalar>,
        Sweep = HostSweep<<Self as Backend>::Scalar>,
    >
{
    /// The matrix, borrowed. Its row stride is 1.
    fn view<'a>(&self, matrix: &'a Self::Matrix) -> MatRef<'a, Self::Scalar>;

    /// The matrix, borrowed for writing. Its row stride is 1.
    fn view_mut<'a>(&self, matrix: &'a mut Self::Matrix) -> MatMut<'a, Self::Scalar>;

    /// C ← AᵀB on the calling thread alone, for use inside parallel tasks.
    ///
    /// For blocks of one width, a column of the result depends on its own column of B alone: not
    /// on its position in the block, nor on the other columns. (Another width may give other
    /// bits: callers that need reproducible columns use one width and pad.)
    fn product_tn(
        &self,
        c: MatMut<'_, Self::Scalar>,
        a: MatRef<'_, Self::Scalar>,
        b: MatRef<'_, Self::Scalar>,
    );
}
