//! Sparse coding: given D and Y, find codes X with at most k nonzeros per sample.
//!
//! | coder | what it does | choose it |
//! |---|---|---|
//! | [`BatchOmp`] | OMP or OLS through the Gram matrix | by default |
//! | [`Omp`] | OMP or OLS as in the textbook, without a Gram matrix | as a reference; for a few samples without a kept encoder |
//! | [`Swaps`] | improves another coder's supports until no swap of one atom helps | for final codes, if errors matter more than time |
//! | [`MatchingPursuit`] | changes one coefficient per step, without least squares | to compare with KSVD.jl, or if the other coders are too slow |
//! | [`TopK`] | takes the k largest activations, of the dictionary or of an encoder, or those above a threshold ([`MeanBudget`]) | to code as an autoencoder does |
//! | [`Matryoshka`] | codes groups of atoms in turn, each on what the groups before it left | if prefixes of the dictionary are to be used by themselves |
//! | [`Lasso`] | minimises ½‖y − Dx‖² + λ‖x‖₁, along its path | to compare with ℓ1 codes, such as those of scikit-learn |
//! | [`Exact`] | finds the optimum, for up to 64 atoms and 5 nonzeros | to know how far from the optimum the other coders are |
//!
//! [`AnyCoder`] is any of them, chosen at run time.
//!
//! In the repository, `docs/coders.md` compares their speed and their errors, and
//! `examples/custom_coder.rs` adds another coder in 70 lines.

/// The constructor and setters of a coder whose only field is its [`PursuitRule`].
macro_rules! pursuit_setters {
    ($coder:ident) => {
        impl $coder {
            /// Selection by correlation, without a stop rule other than the budget.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            /// How the next atom is chosen. Default: [`Selection::Correlation`].
            #[must_use]
            pub fn selection(mut self, selection: Selection) -> Self {
                self.rule.selection = selection;
                self
            }

            /// Stops a sample once its residual is this small. Default: never.
            #[must_use]
            pub fn tolerance(mut self, tolerance: Tolerance) -> Self {
                self.rule.tolerance = Some(tolerance);
                self
            }

            /// Stops a sample once the next atom's |dᵀr| is below this. Default: 0.
            #[must_use]
            pub fn min_correlation(mut self, least: f64) -> Self {
                self.rule.min_correlation = Some(least);
                self
            }
        }
    };
}

mod any;
mod batch_omp;
mod exact;
mod lasso;
mod matching_pursuit;
pub(crate) mod matryoshka;
mod mean_budget;
mod omp;
mod swaps;
mod threshold;
mod top_k;

pub use any::AnyCoder;
pub use batch_omp::BatchOmp;
pub use exact::{Certificate, Exact};
pub use lasso::Lasso;
pub use matching_pursuit::MatchingPursuit;
pub use matryoshka::Matryoshka;
pub use mean_budget::MeanBudget;
pub use omp::Omp;
pub use swaps::Swaps;
pub use threshold::{Nesting, NoiseSchedule, ThresholdPursuit};
pub use top_k::{LinearEncoder, TopK};

pub use crate::backend::{PursuitRule, Selection, Tolerance};
pub use crate::cpu::ScratchPool;

pub mod state {
    //! The data that coders keep between calls ([`SparseCoder::State`](super::SparseCoder::State)).
    //!
    //! You need these types to write a coder that wraps another, or to keep a coder's state
    //! yourself. Learning and [`Encoder`](crate::Encoder) make states and keep them, so their users
    //! need not name any of these types.

    pub use super::any::AnyState;
    pub use super::exact::ExactState;
    pub use super::lasso::LassoState;
    pub use super::matching_pursuit::MatchingPursuitState;
    pub use super::matryoshka::MatryoshkaState;
    pub use super::omp::OmpState;
    pub use super::swaps::SwapsState;
    pub use super::threshold::ThresholdPursuitState;
    pub use super::top_k::TopKState;
}

use crate::backend::Backend;
use crate::error::{BackendError, Error};
use crate::group::Group;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// The default limit for the bytes of a Gram matrix.
const GRAM_LIMIT: usize = 4 << 30;

/// Which coefficients the chosen atoms get, for coders in which the choice of atoms does not settle
/// this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Coefficients {
    /// The coefficients by which the atoms were chosen.
    #[default]
    AsChosen,
    /// The coefficients of least squares on the chosen atoms, or of non-negative least squares if
    /// codes must not be negative. The error is never larger than with
    /// [`AsChosen`](Self::AsChosen). A refit costs O(k³) per sample, or O(k²d) without a Gram
    /// matrix.
    Refitted,
}

impl From<Coefficients> for Parameters {
    fn from(coefficients: Coefficients) -> Self {
        Self::of(match coefficients {
            Coefficients::AsChosen => "as chosen",
            Coefficients::Refitted => "refitted",
        })
    }
}

/// The point in the course of learning at which samples are coded.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Phase<'a> {
    /// The share of the run that is done, in `0.0..=1.0`.
    pub progress: f64,
    /// The share of the present stage of the dictionary's [growth](crate::learn::Growth) that is
    /// done, in `0.0..=1.0`. Without growth, the share of the run.
    pub stage: f64,
    /// Whether the dictionary is at its full size.
    pub is_grown: bool,
    /// The numbers of atoms in earlier stages, in rising order. Atoms keep their places when others
    /// are added.
    pub earlier: &'a [usize],
    /// Root mean square, over samples and coordinates, of the error that the codes of the previous
    /// minibatch left. At the start, it is that of the samples themselves.
    pub noise: f64,
}

impl Phase<'_> {
    /// The phase of a dictionary at its full size, when this share of the run is done and the codes
    /// of the previous minibatch left this noise.
    #[must_use]
    pub fn new(progress: f64, noise: f64) -> Self {
        Self { progress, stage: progress, is_grown: true, earlier: &[], noise }
    }
}

/// Finds sparse codes. A value of an implementing type is a configuration: it does not change, and
/// threads can share it.
///
/// The problem fixes the dimensions, the budget k and the sign of codes; a coder gets these as a
/// [`ProblemShape`]. A coder's own fields say how it searches. Scratch memory and everything that
/// is derived from the dictionary are in [`State`](Self::State).
///
/// Threads that encode at once share one state, so that what is derived from the dictionary, such
/// as a Gram matrix, is in memory once. Scratch memory lies in a [`ScratchPool`] of the state.
///
/// # Contract
/// After [`encode`](Self::encode), each sample of `y` has at most `shape.sparsity` distinct atoms
/// below `shape.atoms`, with finite coefficients, which are non-negative if `shape.sign` says so.
/// The zero sample has the empty code. A sample's code depends only on that sample and the
/// dictionary, bit by bit. It does not depend on the samples beside it, on its position, on the
/// number of threads, or on what other threads encode at the same time. `conformance::coder`
/// (feature `conformance`) checks this contract.
pub trait SparseCoder<B: Backend>: Send + Sync {
    /// Scratch memory, and everything that is derived from the dictionary.
    type State: Send + Sync;

    /// Whether this coder can solve problems of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`], which names the field of the coder that is at fault.
    fn check(&self, shape: &ProblemShape) -> Result<(), Error>;

    /// Allocates the state for problems of this shape.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be allocated.
    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError>;

    /// Prepares the state for a new dictionary (d × m). This is called before the first `encode`
    /// and whenever the dictionary has changed.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be allocated, or a device fails.
    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError>;

    /// [`set_dictionary`](Self::set_dictionary) by several owners of samples that make this call at
    /// the same time, each with the same dictionary, and may share the work out among them. The
    /// states are then as they would be without the group. By default, each does all of it.
    ///
    /// # Errors
    /// As `set_dictionary`, and [`BackendError::Group`] if another owner has gone.
    fn set_dictionary_together(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
        group: &dyn Group,
    ) -> Result<(), BackendError> {
        let _ = group;
        self.set_dictionary(backend, state, dictionary)
    }

    /// X ← codes of Y (d × N) on the dictionary that was set last. The number of samples of `codes`
    /// becomes that of `y`. Several threads may make this call at once, with the same state and
    /// codes of their own.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be allocated, or a device fails.
    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError>;

    /// Tells the coder how far learning has come. This is called before every
    /// [`encode`](Self::encode) that is part of learning, and never elsewhere. The default does
    /// nothing, which is right for coders that always search the same way. For other coders, "the
    /// dictionary" in the contract above includes the phase.
    fn set_phase(&self, _backend: &B, _state: &mut Self::State, _phase: &Phase<'_>) {}

    /// The configuration as named values, which a checkpoint compares before a run resumes.
    /// Everything that changes results must be among them.
    fn parameters(&self) -> Parameters;
}
