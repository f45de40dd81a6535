//! Dictionary updates: given Y and X, improve D, and the coefficients with it.
//!
//! | updater | what it does | choose it |
//! |---|---|---|
//! | [`KSvd::new`] | approximate K-SVD (one power step an atom, Rubinstein 2008) in batches of atoms, with a memory of earlier minibatches and renewal | unless there is a reason not to |
//! | [`KSvd`] with [`LeadingPair::Power`] of 3 | the same with a more precise pair | where an epoch's time matters less than its progress |
//! | [`KSvd::textbook`] with one power step | approximate K-SVD as published, one atom at a time | to compare with it, on all samples at once |
//! | [`KSvd::textbook`] | K-SVD as published (Aharon 2006): the exact pair | to compare with it on small problems: the exact pair is slow |
//! | [`KSvd`] with [`AtomRule::Shared`] | the updates of KSVD.jl | to compare with it |
//! | [`Online`] | statistics of all minibatches, descent on atoms (Mairal 2009) | for small minibatches and streams, with memory for m² numbers |
//! | [`Mod`] | the best dictionary for the codes, by least squares (Engan 1999) | for few atoms and all samples at once; never for minibatches |
//! | [`Incoherent`] around any of these | moves atoms apart that are too much alike | where the codes must be identifiable, at some cost of error |
//! | [`MatryoshkaUpdates`] around any of these | updates nested groups of atoms in turn | for dictionaries whose prefixes are to be used by themselves |
//!
//! All are measured against each other in `docs/updaters.md` and `docs/study/phase` of the
//! repository.

mod incoherent;
mod ksvd;
mod matryoshka;
mod method_of_directions;
mod online;
pub(crate) mod renewal;
mod saved_state;

pub use crate::backend::{AtomRule, LeadingPair};
pub use incoherent::Incoherent;
pub use ksvd::{Decorrelation, KSvd, Memory};
pub use matryoshka::MatryoshkaUpdates;
pub use method_of_directions::Mod;
pub use online::{Forgetting, Online};
pub use renewal::Renewal;
pub use saved_state::{SavedArray, SavedState};

pub mod state {
    //! What updaters keep between minibatches
    //! ([`DictionaryUpdater::State`](super::DictionaryUpdater::State)).
    //!
    //! These types are for those who write an updater around another, or hold one's state
    //! themselves. Learning makes states and keeps them, so its users need not name any.

    pub use super::incoherent::IncoherentState;
    pub use super::ksvd::KSvdState;
    pub use super::matryoshka::MatryoshkaUpdatesState;
    pub use super::method_of_directions::ModState;
    pub use super::online::OnlineState;
}

use crate::backend::{Backend, Shards, SweepKernels, SweepStart};
use crate::error::{BackendError, Error};
use crate::group::Share;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;
use crate::shards::MOST_SHARDS;

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
    fn save(&self, backend: &B, state: &Self::State)
    -> Result<SavedState<B::Scalar>, BackendError>;

    /// Takes up in `state`, fresh from [`prepare`](Self::prepare), what [`save`](Self::save) gave.
    ///
    /// # Errors
    /// [`Error::SavedState`] for arrays that are missing or of another type or length.
    fn restore(
        &self,
        backend: &B,
        state: &mut Self::State,
        saved: &SavedState<B::Scalar>,
    ) -> Result<(), Error>;

    /// The configuration as named values: what a checkpoint compares before a run resumes.
    /// Whatever changes results must be among them.
    fn parameters(&self) -> Parameters;
}

/// Where in the run an update happens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// A permutation of `0..m`: the order in which atoms are to be updated.
    pub order: &'a [u32],
    /// The share of the run that lies behind, in `0.0..=1.0`: what schedules are functions of.
    pub progress: f64,
    /// The samples' shards, and who holds the others.
    pub share: Option<&'a Share<'a>>,
}

impl<'a> Step<'a> {
    /// A step that takes atoms in this order (a permutation of `0..m`), when that share of the run
    /// lies behind.
    #[must_use]
    pub fn new(order: &'a [u32], progress: f64) -> Self {
        Self { order, progress, share: None }
    }

    /// The same step for an owner of these shards. Without, the samples are the whole minibatch,
    /// and its shards are those of [`Shards::of`] the updater's problem.
    #[must_use]
    pub fn with_share(self, share: &'a Share<'a>) -> Self {
        Self { share: Some(share), ..self }
    }

    /// The shards of the samples of this step.
    #[must_use]
    pub fn share_of<B: Backend>(
        &self,
        backend: &B,
        samples: &B::Matrix,
        shape: &ProblemShape,
    ) -> Share<'a> {
        let all = || Share::alone(Shards::of(shape, backend.columns(samples)));
        self.share.cloned().unwrap_or_else(all)
    }
}

/// What an update did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
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

/// A minibatch whose sweep has begun, as all its owners see it.
struct Started<'a> {
    share: Share<'a>,
    /// N.
    samples: usize,
    report: UpdateReport,
}

/// Begins a sweep. `counts` ← how many samples use each atom.
fn begin<'a, B: SweepKernels>(
    backend: &B,
    sweep: &mut B::Sweep,
    (y, dictionary, codes): (&B::Matrix, &B::Matrix, &B::Codes),
    shape: &ProblemShape,
    step: &Step<'a>,
    counts: &mut [u64],
) -> Result<Started<'a>, BackendError> {
    let share = step.share_of(backend, y, shape);
    let SweepStart { samples, nonzeros } =
        backend.begin(sweep, y, dictionary, codes, share.shards())?;
    backend.uses(sweep, counts)?;
    share.add_counts(counts)?;
    let report = UpdateReport {
        error_before: error_of(backend, sweep, &share)?,
        nonzeros: share.count(nonzeros)?,
        unused: counts.iter().filter(|&&count| count == 0).count(),
        ..UpdateReport::default()
    };
    Ok(Started { samples: share.count(samples)?, share, report })
}

/// ‖R‖²_F of a sweep, over the samples of all owners.
fn error_of<B: SweepKernels>(
    backend: &B,
    sweep: &B::Sweep,
    share: &Share<'_>,
) -> Result<f64, BackendError> {
    let mut errors = [0.0; MOST_SHARDS];
    let errors = &mut errors[..share.shards().len()];
    backend.errors(sweep, errors)?;
    share.sum(errors)
}

/// ‖A‖²_F over the samples of all owners.
fn squared_norm_of<B: Backend>(
    backend: &B,
    a: &B::Matrix,
    share: &Share<'_>,
) -> Result<f64, BackendError> {
    let mut norms = [0.0; MOST_SHARDS];
    let norms = &mut norms[..share.shards().len()];
    backend.squared_norms(a, share.shards(), norms)?;
    share.sum(norms)
}
