//! Matrix kernels behind one trait, so that the algorithms do not know where matrices live.
//!
//! [`Backend`] holds what every driver calls: allocation, transfers, and the batch-level products.
//! Nothing in it gives access to an element or a slice, so a matrix may live on a device.
//! [`HostBackend`] adds borrowed views for matrices in this process's memory; the coders and
//! updaters of this crate bind to it. A device crate implements [`Backend`] for its own type, and
//! [`SparseCoder`](crate::coder::SparseCoder) and
//! [`DictionaryUpdater`](crate::updater::DictionaryUpdater) for that backend; the learning loop
//! and the builder then work unchanged.
//!
//! [`Faer`](crate::Faer) is the implementation to use, [`Reference`] the one to read.

mod kernels;
mod reference;
mod rule;
mod sweep_rule;

pub use kernels::PursuitKernels;
pub use reference::{Reference, ReferencePursuits};
pub use rule::{PursuitRule, Selection, Tolerance};
pub use sweep_rule::{AtomRule, LeadingPair};

use faer::{Mat, MatMut, MatRef};

use crate::Scalar;
use crate::codes::SparseCodes;
use crate::error::BackendError;

/// The matrix kernels that coding and learning are built of. A backend is a value: no globals.
///
/// # Contract
/// - Matrices are column-major in meaning: a column is a sample or an atom.
/// - Kernels overwrite their first argument and give it the shape of the result; its old content,
///   NaN included, never reaches the result. They reuse its storage where it fits.
/// - A kernel's result does not depend on the number of threads, bit by bit.
/// - Shapes that do not fit together are the caller's bug: kernels panic, naming both shapes.
/// - Kernels may be asynchronous: a device fault may surface at the next
///   [`synchronize`](Self::synchronize) or [`download`](Self::download).
///
/// `conformance::backend` (feature `conformance`) checks an implementation against [`Reference`].
pub trait Backend: Send + Sync {
    /// The scalar of every matrix.
    type Scalar: Scalar;
    /// A dense matrix, opaque: it may live on a device.
    type Matrix: Send + Sync;
    /// Sparse codes of a batch of samples, opaque likewise.
    type Codes: Send + Sync;

    /// A `rows` × `cols` matrix of zeros.
    ///
    /// # Errors
    /// [`BackendError`] if the memory cannot be had.
    fn zeros(&self, rows: usize, cols: usize) -> Result<Self::Matrix, BackendError>;

    /// `dst ← host`, taking its shape.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had or the transfer fails.
    fn upload(
        &self,
        host: MatRef<'_, Self::Scalar>,
        dst: &mut Self::Matrix,
    ) -> Result<(), BackendError>;

    /// A copy of `matrix` in host memory.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had or the transfer fails.
    fn download(&self, matrix: &Self::Matrix) -> Result<Mat<Self::Scalar>, BackendError>;

    /// Empty codes over `atoms` atoms for `samples` samples of at most `sparsity` nonzeros.
    ///
    /// # Errors
    /// [`BackendError`] if the memory cannot be had.
    fn codes(
        &self,
        atoms: usize,
        samples: usize,
        sparsity: usize,
    ) -> Result<Self::Codes, BackendError>;

    /// A copy of `codes` in host memory.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had or the transfer fails.
    fn download_codes(
        &self,
        codes: &Self::Codes,
    ) -> Result<SparseCodes<Self::Scalar>, BackendError>;

    /// C ← AᵀB, for A (p × q) and B (p × r): C is q × r.
    fn matmul_tn(&self, c: &mut Self::Matrix, a: &Self::Matrix, b: &Self::Matrix);

    /// G ← DᵀD, the Gram matrix (m × m) of the dictionary D (d × m).
    fn gram(&self, g: &mut Self::Matrix, d: &Self::Matrix) {
        self.matmul_tn(g, d, d);
    }

    /// R ← Y − DX, for samples Y (d × N), dictionary D (d × m) and codes X (m × N).
    fn residual(&self, r: &mut Self::Matrix, y: &Self::Matrix, d: &Self::Matrix, x: &Self::Codes);

    /// ‖A‖²_F, accumulated in f64.
    fn squared_norm(&self, a: &Self::Matrix) -> f64;

    /// Scales every column of D to Euclidean norm 1; zero columns stay zero.
    fn normalize_columns(&self, d: &mut Self::Matrix);

    /// Waits for pending work and reports what went wrong in it.
    ///
    /// # Errors
    /// [`BackendError`] for any fault since the last call.
    fn synchronize(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

/// A backend whose matrices lie in this process's memory, as column-major arrays.
pub trait HostBackend: Backend<Codes = SparseCodes<<Self as Backend>::Scalar>> {
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
