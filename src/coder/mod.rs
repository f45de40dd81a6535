//! Sparse coding: given D and Y, find codes X with at most k nonzeros a sample.
//!
//! | coder | what it does | choose it |
//! |---|---|---|
//! | [`BatchOmp`] | OMP or OLS through the Gram matrix | for everything, unless there is a reason |
//! | [`Omp`] | the same by the book | for a handful of samples |
//! | [`Swaps`] | improves another coder's supports until no swap of one atom helps | for final codes, where errors matter more than time |
//! | [`MatchingPursuit`] | one coefficient a step | to compare with KSVD.jl, or where it is fast enough only so |
//! | [`TopK`] | the k largest activations, of the dictionary or an encoder | to code as an autoencoder does |
//! | [`Matryoshka`] | groups of atoms in turn, each on what those before it left | where prefixes of the dictionary are to be used by themselves |
//! | [`Exact`] | the optimum, for up to 64 atoms and 5 nonzeros | to know how far from it the others are |
//!
//! Measured side by side in `docs/coders.md` of the repository; `examples/custom_coder.rs` adds
//! another in 70 lines.

/// The constructor and setters of a coder whose only field is its [`PursuitRule`].
macro_rules! pursuit_setters {
    ($coder:ident) => {
        impl $coder {
            /// Selection by correlation, and no stop but the budget.
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

mod batch_omp;
mod exact;
mod matching_pursuit;
pub(crate) mod matryoshka;
mod omp;
mod swaps;
mod threshold;
mod top_k;

pub use batch_omp::BatchOmp;
pub use exact::{Certificate, Exact};
pub use matching_pursuit::MatchingPursuit;
pub use matryoshka::Matryoshka;
pub use omp::Omp;
pub use swaps::Swaps;
pub use threshold::{Nesting, NoiseSchedule, ThresholdPursuit};
pub use top_k::{LinearEncoder, TopK};

pub use crate::backend::{PursuitRule, Selection, Tolerance};

pub mod state {
    //! What coders keep between calls ([`SparseCoder::State`](super::SparseCoder::State)).
    //!
    //! These types are for those who write a coder around another, or hold one's state themselves.
    //! Learning and [`Encoder`](crate::Encoder) make states and keep them, so their users need not
    //! name any.

    pub use super::exact::ExactState;
    pub use super::matching_pursuit::MatchingPursuitState;
    pub use super::matryoshka::MatryoshkaState;
    pub use super::omp::OmpState;
    pub use super::swaps::SwapsState;
    pub use super::threshold::ThresholdPursuitState;
    pub use super::top_k::TopKState;
}

use crate::backend::Backend;
use crate::error::{BackendError, Error};
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// Default bytes that a Gram matrix may take.
const GRAM_LIMIT: usize = 4 << 30;

/// Which coefficients the chosen atoms get, where choosing them does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Coefficients {
    /// Those they were chosen by.
    #[default]
    AsChosen,
    /// Those of least squares on the chosen atoms; non-negative least squares where the sign of
    /// codes asks for it. Never a larger error, for O(k³) more a sample, or O(k²d) without a Gram
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

/// Where in the course of learning samples are coded.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Phase<'a> {
    /// The share of the run that lies behind, in `0.0..=1.0`.
    pub progress: f64,
    /// The share of the present stage of a dictionary's [growth](crate::learn::Growth) that lies
    /// behind, in `0.0..=1.0`; without growth, of the run.
    pub stage: f64,
    /// Whether the dictionary is at its full size.
    pub is_grown: bool,
    /// The numbers of atoms in earlier stages, rising: atoms keep their places when others are
    /// added.
    pub earlier: &'a [usize],
    /// Root mean square, over samples and coordinates, of what the codes of the minibatch before
    /// left; at the start, of the samples themselves.
    pub noise: f64,
}

impl Phase<'_> {
    /// A dictionary at its full size, when this share of the run lies behind and the codes of the
    /// minibatch before left this noise.
    #[must_use]
    pub fn new(progress: f64, noise: f64) -> Self {
        Self { progress, stage: progress, is_grown: true, earlier: &[], noise }
    }
}

/// Finds sparse codes. The value is the configuration: immutable, shareable between threads.
///
/// What the problem fixes (dimensions, the budget k, the sign of codes) comes with the
/// [`ProblemShape`]; a coder's own fields say how it searches. Scratch memory and whatever is
/// derived from the dictionary live in [`State`](Self::State).
///
/// # Contract
/// After [`encode`](Self::encode), for each sample of `y`: at most `shape.sparsity` distinct atoms
/// below `shape.atoms`, finite coefficients, non-negative ones where `shape.sign` says so; the
/// empty code for the zero sample. A sample's code depends on that sample and the dictionary
/// alone, bit by bit: not on its neighbours, its position, or the number of threads.
/// `conformance::coder` (feature `conformance`) checks this.
pub trait SparseCoder<B: Backend>: Send + Sync {
    /// Scratch memory and what was derived from the dictionary.
    type State: Send;

    /// Whether this coder can solve problems of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`], naming the field of the coder at fault.
    fn check(&self, shape: &ProblemShape) -> Result<(), Error>;

    /// Allocates the state for problems of this shape.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had.
    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError>;

    /// Takes notice of a new dictionary (d × m): called before the first `encode` and whenever
    /// the dictionary has changed.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had, or a device fails.
    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError>;

    /// X ← codes of Y (d × N) on the dictionary given last. `codes` takes the sample count of `y`.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had, or a device fails.
    fn encode(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError>;

    /// Takes notice of the course of learning: called before [`encode`](Self::encode) whenever that
    /// is part of learning, and never elsewhere. Coders that search the same way throughout, which
    /// is the default, do nothing; for others "the dictionary" in the contract above includes the
    /// phase.
    fn set_phase(&self, _backend: &B, _state: &mut Self::State, _phase: &Phase<'_>) {}

    /// The configuration as named values: what a checkpoint compares before a run resumes.
    /// Whatever changes results must be among them.
    fn parameters(&self) -> Parameters;
}
