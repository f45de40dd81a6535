//! The kernels that [`BatchOmp`](crate::coder::BatchOmp) runs on.

use super::{Backend, PursuitRule};
use crate::error::BackendError;
use crate::group::Group;
use crate::problem::ProblemShape;

/// Greedy pursuits of a batch of samples: all that [`BatchOmp`](crate::coder::BatchOmp) needs.
///
/// A backend that implements this codes by the crate's own coder. What it must do is stated by the
/// textbook loop of `Reference`, which is its oracle.
///
/// # Contract
/// That of [`SparseCoder`](crate::coder::SparseCoder#contract): at most k atoms a sample, each
/// once; finite coefficients of the sign that the shape allows, those of least squares on the atoms
/// chosen; a sample's code depends on the sample, the dictionary and the rule alone, bit by bit.
/// Where scores tie to rounding, the atom with the lower index is chosen.
pub trait PursuitKernels: Backend {
    /// The Gram matrix in whatever form, the rule, and scratch memory. Threads that encode at once
    /// share it.
    type Pursuits: Send + Sync;

    /// Allocates for problems of this shape. What is derived of the dictionary takes at most
    /// `memory` bytes; where it needs more, pursuits do without.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had, or if this backend cannot follow the rule.
    fn prepare_pursuits(
        &self,
        rule: &PursuitRule,
        shape: &ProblemShape,
        memory: usize,
    ) -> Result<Self::Pursuits, BackendError>;

    /// Takes notice of a dictionary D (d × m): called before the first [`pursue`](Self::pursue) and
    /// whenever the dictionary has changed.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had, or a device fails.
    fn set_pursuit_dictionary(
        &self,
        pursuits: &mut Self::Pursuits,
        dictionary: &Self::Matrix,
    ) -> Result<(), BackendError>;

    /// [`set_pursuit_dictionary`](Self::set_pursuit_dictionary) by several owners of samples that
    /// make this call at the same time with the same dictionary, and may each compute a part of
    /// what is derived of it and [`gather`](Group::gather) the others'. By default, each computes
    /// all of it.
    ///
    /// # Errors
    /// As `set_pursuit_dictionary`, and [`BackendError::Group`] if another owner has gone.
    fn set_pursuit_dictionary_together(
        &self,
        pursuits: &mut Self::Pursuits,
        dictionary: &Self::Matrix,
        group: &dyn Group,
    ) -> Result<(), BackendError> {
        let _ = group;
        self.set_pursuit_dictionary(pursuits, dictionary)
    }

    /// X ← codes of Y (d × N) on the dictionary given last, which is handed in again. `codes` takes
    /// the number of samples of `y`. Several threads may make this call at once, with codes of
    /// their own.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had, or a device fails.
    fn pursue(
        &self,
        pursuits: &Self::Pursuits,
        dictionary: &Self::Matrix,
        y: &Self::Matrix,
        codes: &mut Self::Codes,
    ) -> Result<(), BackendError>;
}
