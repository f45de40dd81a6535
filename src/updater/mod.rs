//! Dictionary updates: given Y and X, improve D, and the coefficients with it.

mod kept;
mod ksvd;

pub use kept::{Kept, KeptArray};
pub(crate) use ksvd::Sweep;
pub use ksvd::{AtomRule, Decorrelation, KSvd, KSvdState, LeadingPair, Memory, Renewal};

use crate::backend::Backend;
use crate::error::{BackendError, Error};
use crate::problem::ProblemShape;

/// Improves a dictionary on a minibatch of coded samples. The value is the configuration.
///
/// # Contract
/// After [`update`](Self::update): atoms are finite and of norm 1; codes keep their budget, use
/// an atom at most once a sample, and obey the sign of the shape; `X` belongs to the new `D`.
/// The result does not depend on the number of threads, bit by bit.
/// `conformance::updater` (feature `conformance`) checks this.
pub trait DictionaryUpdater<B: Backend>: Send + Sync {
    /// Scratch memory and statistics kept from one minibatch to the next.
    type State: Send;

    /// Whether this updater can serve problems of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`], naming the field of the updater at fault.
    fn check(&self, shape: &ProblemShape) -> Result<(), Error>;

    /// Allocates the state for problems of this shape.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had.
    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError>;

    /// Updates D (d × m) and X (m × N) on the samples Y (d × N).
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had.
    fn update(
        &self,
        backend: &B,
        state: &mut Self::State,
        y: &B::Matrix,
        codes: &mut B::Codes,
        dictionary: &mut B::Matrix,
        step: &Step<'_>,
    ) -> Result<UpdateReport, BackendError>;

    /// All that `state` holds for minibatches to come, for a checkpoint. Scratch memory is not part
    /// of it: [`restore`](Self::restore)d into a fresh state, it makes every later update the same,
    /// bit by bit.
    ///
    /// # Errors
    /// [`BackendError`] if it cannot be fetched.
    fn keep(&self, backend: &B, state: &Self::State) -> Result<Kept<B::Scalar>, BackendError>;

    /// Takes up in `state`, fresh from [`prepare`](Self::prepare), what [`keep`](Self::keep) gave.
    ///
    /// # Errors
    /// [`Error::Kept`] for arrays that are missing or of another type or length.
    fn restore(
        &self,
        backend: &B,
        state: &mut Self::State,
        kept: &Kept<B::Scalar>,
    ) -> Result<(), Error>;

    /// The configuration in words: what a checkpoint compares before a run resumes. Whatever changes
    /// results must show in it.
    fn description(&self) -> String;
}

/// Where in the run an update happens.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// A permutation of `0..m`: the order in which atoms are to be updated.
    pub order: &'a [u32],
    /// The share of the run that lies behind, in `0.0..=1.0`: what schedules are functions of.
    pub progress: f64,
}

/// What an update did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpdateReport {
    /// ‖Y − DX‖²_F as the coder left it.
    pub error_before: f64,
    /// ‖Y − DX‖²_F with the new atoms and coefficients.
    pub error_after: f64,
    /// Nonzero coefficients as the coder left them.
    pub nonzeros: usize,
    /// Atoms that no sample of this minibatch used.
    pub unused: usize,
    /// Batches of atoms that would have raised the error, and were taken in two.
    pub undone: usize,
    /// Atoms that had died and were replaced by samples.
    pub replaced: usize,
    /// Atoms that duplicated another, were merged with it, and replaced by samples.
    pub merged: usize,
}
