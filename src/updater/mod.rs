//! Dictionary updates: given Y and X, improve D, and with it the coefficients.
//!
//! | updater | what it does | choose it |
//! |---|---|---|
//! | [`KSvd::new`] | approximate K-SVD (one power step per atom, Rubinstein 2008) in batches of atoms, with a memory of earlier minibatches and renewal | by default |
//! | [`KSvd`] with [`LeadingPair::Power`] of 3 | the same with a more precise singular pair | if progress per epoch matters more than the time of an epoch |
//! | [`KSvd::textbook`] with one power step | approximate K-SVD as published, one atom at a time | to compare with it, on all samples at once |
//! | [`KSvd::textbook`] | K-SVD as published (Aharon 2006), with the exact pair | to compare with it on small problems, since the exact pair is slow |
//! | [`KSvd`] with [`AtomRule::Shared`] | the updates of KSVD.jl | to compare with KSVD.jl |
//! | [`Online`] | statistics of all minibatches, descent on atoms (Mairal 2009) | for small minibatches and streams, with memory for m² numbers |
//! | [`Mod`] | the best dictionary for the codes, by least squares (Engan 1999) | for few atoms and all samples at once; never for minibatches |
//! | [`KSvd::atom_sign`], [`Online::atom_sign`] | atoms without negative entries (NN-K-SVD, Aharon 2005) | for parts that only add up: non-negative matrix factorisation |
//! | [`Incoherent`] around any of these | moves atoms apart that are too similar | if the codes must be identifiable, at some cost of error |
//! | [`Fixed`] around any of these | leaves some atoms as they are, bit by bit | if some atoms are known, and the others are to complete them |
//! | [`MatryoshkaUpdates`] around any of these | updates nested groups of atoms in turn | for dictionaries whose prefixes are to be used by themselves |
//!
//! In the repository, `docs/updaters.md` and `docs/study/phase` compare all of them by
//! measurements.

mod fixed;
mod incoherent;
mod ksvd;
mod matryoshka;
mod method_of_directions;
mod non_negative;
mod online;
pub(crate) mod renewal;
mod saved_state;

pub use crate::backend::{AtomRule, LeadingPair};
pub use fixed::Fixed;
pub use incoherent::Incoherent;
pub use ksvd::{Decorrelation, KSvd, Memory};
pub use matryoshka::MatryoshkaUpdates;
pub use method_of_directions::Mod;
pub(crate) use method_of_directions::System;
pub use online::{Forgetting, Online};
pub use renewal::Renewal;
pub use saved_state::{SavedArray, SavedState};

pub mod state {
    //! The data that updaters keep between minibatches
    //! ([`DictionaryUpdater::State`](super::DictionaryUpdater::State)).
    //!
    //! You need these types to write an updater that wraps another, or to keep an updater's state
    //! yourself. Learning makes states and keeps them, so its users need not name any of these
    //! types.

    pub use super::fixed::FixedState;
    pub use super::incoherent::IncoherentState;
    pub use super::ksvd::KSvdState;
    pub use super::matryoshka::MatryoshkaUpdatesState;
    pub use super::method_of_directions::ModState;
    pub use super::online::OnlineState;
}

use crate::backend::{Backend, SampleShards, SweepKernels, SweepStart};
use crate::error::{BackendError, Error};
use crate::group::Share;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;
use crate::sample_shards::MOST_SHARDS;

/// Improves a dictionary on a minibatch of coded samples. A value of an implementing type is a
/// configuration.
///
/// # Contract
/// After [`update`](Self::update), atoms are finite and of norm 1. Codes keep their budget, use an
/// atom at most once per sample, and obey the sign of the shape. `X` belongs to the new `D`. The
/// result has the same bits on any number of threads. `conformance::updater` (feature
/// `conformance`) checks this contract.
pub trait DictionaryUpdater<B: Backend>: Send + Sync {
    /// Scratch memory and statistics kept from one minibatch to the next.
    type State: Send;

    /// Whether this updater can update problems of this shape.
    ///
    /// # Errors
    /// [`Error::Argument`], which names the field of the updater that is at fault.
    fn check(&self, shape: &ProblemShape) -> Result<(), Error>;

    /// Whether this updater can update problems of this shape where several owners hold the
    /// samples: whether it takes its sums over all of them from [`Step::share`]. By default it
    /// cannot.
    ///
    /// # Errors
    /// [`Error::Argument`], which names the updater or the field that is at fault.
    fn check_shared(&self, shape: &ProblemShape) -> Result<(), Error> {
        let _ = shape;
        let parameters = self.parameters();
        let name = parameters.iter().next().map_or("unknown", |(_, value)| value).to_owned();
        let expected = "one that updates on samples that several owners hold, such as `KSvd`";
        Err(Error::argument("updater", name, expected))
    }

    /// The atoms that no update changes, such as those that [`Fixed`] names. What changes a
    /// dictionary around an updater ([`Incoherent`], the scaling of atoms to norm 1) leaves these
    /// alone. None by default.
    fn fixed_atoms(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Allocates the state for problems of this shape.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be allocated.
    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError>;

    /// Updates D (d × m) and X (m × N) on the samples Y (d × N).
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be allocated.
    fn update(
        &self,
        backend: &B,
        state: &mut Self::State,
        y: &B::Matrix,
        codes: &mut B::Codes,
        dictionary: &mut B::Matrix,
        step: &Step<'_>,
    ) -> Result<UpdateReport, BackendError>;

    /// All data that `state` keeps for later minibatches, for a checkpoint. Scratch memory is not
    /// part of it. If these data are [`restore`](Self::restore)d into a fresh state, every later
    /// update gives the same bits. By default there are none, which is right for updaters that keep
    /// nothing.
    ///
    /// # Errors
    /// [`BackendError`] if the data cannot be downloaded.
    fn save(
        &self,
        backend: &B,
        state: &Self::State,
    ) -> Result<SavedState<B::Scalar>, BackendError> {
        let _ = (backend, state);
        Ok(SavedState::new())
    }

    /// Puts the data that [`save`](Self::save) returned into `state`, which must be fresh from
    /// [`prepare`](Self::prepare). By default, there are none.
    ///
    /// # Errors
    /// [`Error::SavedState`] for arrays that are missing, or are of another type or length.
    fn restore(
        &self,
        backend: &B,
        state: &mut Self::State,
        saved: &SavedState<B::Scalar>,
    ) -> Result<(), Error> {
        let _ = (backend, state);
        match saved.iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(Error::SavedState {
                name: name.to_owned(),
                found: "an array".to_owned(),
                expected: "none: this updater keeps nothing".to_owned(),
            }),
        }
    }

    /// The configuration as named values, which a checkpoint compares before a run resumes.
    /// Everything that changes results must be among them.
    fn parameters(&self) -> Parameters;
}

/// The point in the run at which an update happens, and the order of atoms.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// A permutation of `0..m`: the order in which atoms are updated.
    pub order: &'a [u32],
    /// The share of the run that is done, in `0.0..=1.0`. Schedules depend on it.
    pub progress: f64,
    /// The shards of the samples, and the group of owners that hold the others. `None` if the
    /// samples are the whole minibatch.
    pub share: Option<&'a Share<'a>>,
}

impl<'a> Step<'a> {
    /// A step that updates atoms in this order (a permutation of `0..m`), when this share of the
    /// run is done.
    #[must_use]
    pub fn new(order: &'a [u32], progress: f64) -> Self {
        Self { order, progress, share: None }
    }

    /// The same step for an owner of these shards. Without a share, the samples are the whole
    /// minibatch, with the shards that [`SampleShards::of`] gives for the updater's problem.
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
        let all = || Share::alone(SampleShards::of(shape, backend.columns(samples)));
        self.share.cloned().unwrap_or_else(all)
    }
}

/// The figures of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct UpdateReport {
    /// ‖Y − DX‖²_F with the codes that the coder made.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub error_before: f64,
    /// ‖Y − DX‖²_F with the new atoms and coefficients.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub error_after: f64,
    /// Nonzero coefficients in the codes that the coder made.
    pub nonzeros: usize,
    /// Atoms that no sample of this minibatch used.
    pub unused: usize,
    /// Batches of atoms that would have raised the error, and were therefore updated in two halves.
    pub undone: usize,
    /// Atoms that were dead and were replaced by samples.
    pub replaced: usize,
    /// Atoms that duplicated another atom, were merged with it, and then replaced by samples.
    pub merged: usize,
}

/// A minibatch whose sweep has begun, with the figures over all owners.
struct Started<'a> {
    share: Share<'a>,
    /// N, over all owners.
    samples: usize,
    report: UpdateReport,
}

/// Begins a sweep. `counts` becomes the number of samples that use each atom.
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
