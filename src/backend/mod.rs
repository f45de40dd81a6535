//! What the algorithms run on, so that they do not know where matrices live.
//!
//! | trait | what it holds | who calls it |
//! |---|---|---|
//! | [`Backend`] | memory, transfers, residuals, norms | the learning loop, encoders |
//! | [`PursuitKernels`] | pursuits of a batch of samples | [`BatchOmp`](crate::coder::BatchOmp) |
//! | [`SweepKernels`] | the steps of K-SVD on a batch of atoms | [`KSvd`](crate::updater::KSvd) |
//!
//! Nothing in them gives access to an element or a slice, so a matrix may live on a device. A crate
//! for a device implements the three for a type of its own, and has the crate's own coder, updater,
//! sessions, checkpoints and measures: rules stand above these traits, and are written once. The
//! other coders and updaters of this crate are the processor's alone, and bind to
//! [`HostBackend`](crate::HostBackend), which adds borrowed views.
//!
//! [`Faer`](crate::Faer) is the implementation to use, [`Reference`](crate::Reference) the one to
//! read. `conformance` (a feature) holds others to it.

mod pursuit_kernels;
mod pursuit_rule;
mod sweep_kernels;
mod sweep_rule;

pub use crate::sample_shards::SampleShards;
pub use pursuit_kernels::PursuitKernels;
pub(crate) use pursuit_rule::Stop;
pub use pursuit_rule::{PursuitRule, Selection, Tolerance};
pub use sweep_kernels::{
    Candidate, Change, DirectionSums, LargeUse, PowerStep, SweepKernels, SweepStart,
};
pub use sweep_rule::{AtomRule, LeadingPair, SweepRule};

use faer::{Mat, MatRef};

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
/// `conformance::backend` (feature `conformance`) checks an implementation against
/// [`Reference`](crate::Reference).
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

    /// Columns of a matrix in host memory, in the order in which they are named.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had or the transfer fails.
    fn download_columns(
        &self,
        matrix: &Self::Matrix,
        columns: &[usize],
    ) -> Result<Mat<Self::Scalar>, BackendError>;

    /// Column `column` of a matrix ← `values`.
    ///
    /// # Errors
    /// [`BackendError`] if the transfer fails.
    fn upload_column(
        &self,
        values: &[Self::Scalar],
        matrix: &mut Self::Matrix,
        column: usize,
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

    /// `dst` ← `host`, taking its number of samples.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had or the transfer fails.
    fn upload_codes(
        &self,
        host: &SparseCodes<Self::Scalar>,
        dst: &mut Self::Codes,
    ) -> Result<(), BackendError>;

    /// How many coefficients `codes` hold.
    ///
    /// # Errors
    /// [`BackendError`] if the transfer fails.
    fn nonzeros(&self, codes: &Self::Codes) -> Result<usize, BackendError>;

    /// A copy of `codes` in host memory.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had or the transfer fails.
    fn download_codes(
        &self,
        codes: &Self::Codes,
    ) -> Result<SparseCodes<Self::Scalar>, BackendError>;

    /// R ← Y − DX, for samples Y (d × N), dictionary D (d × m) and codes X (m × N).
    fn residual(&self, r: &mut Self::Matrix, y: &Self::Matrix, d: &Self::Matrix, x: &Self::Codes);

    /// ‖A‖²_F of the columns of each of these shards, accumulated in f64.
    ///
    /// # Errors
    /// [`BackendError`] if a device fails.
    fn squared_norms(
        &self,
        a: &Self::Matrix,
        shards: &SampleShards,
        norms: &mut [f64],
    ) -> Result<(), BackendError>;

    /// ‖A‖²_F, accumulated in f64.
    ///
    /// # Errors
    /// As [`squared_norms`](Self::squared_norms).
    fn squared_norm(&self, a: &Self::Matrix) -> Result<f64, BackendError> {
        let mut norm = [0.0];
        self.squared_norms(a, &SampleShards::single(self.columns(a)), &mut norm)?;
        Ok(norm[0])
    }

    /// Whether a run uploads the next minibatch while it learns from the current one. That is worth
    /// its memory on a device that takes in data while it computes.
    ///
    /// Where this is `true`, a second thread calls [`upload`](Self::upload) while the run's own
    /// thread is in any other method, on other matrices; that may be another `upload`. Kernels that
    /// are called after an `upload` has returned, on either thread, must see all that it uploaded.
    /// A fault of an upload should be an error of that call: the run then ends after the step at
    /// hand, and keeps what it learned. Only the run's own thread calls
    /// [`synchronize`](Self::synchronize), and a fault that surfaces there is one of its step. The
    /// second thread calls nothing else, but drops the matrix that it has when it ends.
    ///
    /// Results are the same either way, bit by bit. With minibatches of n samples of dimension d, a
    /// run takes d·n scalars more on the backend, and d·n more in host memory, since a third
    /// minibatch is read meanwhile. A pool of as many threads as the current one prepares samples.
    /// [`Session`](crate::learn::Session)s, held-out samples and encoders upload in turn.
    ///
    /// `false` by default, and for [`Faer`](crate::Faer): a processor that learns has no time to
    /// spare for it, so the memory would buy nothing.
    fn overlaps_uploads(&self) -> bool {
        false
    }

    /// The instruction set or device on which the last bits of results depend, by name. Owners of a
    /// [group](crate::group) must have the same. Empty, by default, where nothing is to be
    /// compared.
    fn instructions(&self) -> &'static str {
        ""
    }

    /// How many columns A has: of samples, N.
    fn columns(&self, a: &Self::Matrix) -> usize;

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
