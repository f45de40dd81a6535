//! The kernels that [`KSvd`](crate::updater::KSvd) runs on.

use std::ops::Range;

use faer::Mat;

use super::{Backend, SampleShards, SweepRule};
use crate::Scalar;
use crate::error::BackendError;
use crate::problem::{ProblemShape, Sign};

/// What a minibatch is at the start of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepStart {
    /// Samples here.
    pub samples: usize,
    /// Nonzeros of their codes.
    pub nonzeros: usize,
}

/// By how much the errors ‖r‖² of a shard's samples changed. Of a batch of one atom, and with
/// [`AtomRule::Shared`](super::AtomRule::Shared), nobody asks: `error` and `energy` may then be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// The sum of the changes.
    pub error: f64,
    /// ‖x‖² of the coefficients exchanged, which bounds the rounding of that sum.
    pub energy: f64,
    /// How many coefficients were exchanged.
    pub uses: usize,
}

/// A power step towards the leading left singular vectors of a batch of atoms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerStep<'a> {
    /// The atoms.
    pub batch: &'a [u32],
    /// The place of the first of them in the order of the sweep.
    pub place: usize,
    /// The number of the step, from 0. The first starts from the coefficients at hand.
    pub number: usize,
}

/// The sums over samples that a [`PowerStep`] makes directions from, for a batch of atoms.
#[derive(Clone, Debug)]
pub struct DirectionSums<T: Scalar> {
    /// Σ c r, a column an atom.
    pub vectors: Mat<T>,
    /// Σ c x of each atom.
    pub products: Vec<T>,
    /// Whether a sample uses the atom; if none does, its sums have no meaning.
    pub is_used: Vec<bool>,
}

impl<T: Scalar> DirectionSums<T> {
    /// Sums for a batch of so many atoms of this dimension.
    #[must_use]
    pub fn new(dim: usize, atoms: usize) -> Self {
        let (vectors, products) = (Mat::zeros(dim, atoms), vec![T::zero(); atoms]);
        Self { vectors, products, is_used: vec![false; atoms] }
    }
}

/// A badly represented sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub sample: usize,
    /// ‖r‖².
    pub error: f64,
}

impl Candidate {
    /// Sorts by falling error, of equals the lower sample first.
    pub(crate) fn sort(candidates: &mut [Self]) {
        candidates.sort_by(|a, b| b.error.total_cmp(&a.error).then(a.sample.cmp(&b.sample)));
    }
}

/// A use of an atom by a large sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeUse {
    /// The atom.
    pub atom: u32,
    /// The sample that uses it.
    pub sample: usize,
}

/// The steps of K-SVD on batches of atoms: all that [`KSvd`](crate::updater::KSvd) needs.
///
/// A backend that implements this learns by the crate's own updater, which decides in which order
/// atoms are taken, in batches of which size, what is undone, how much earlier minibatches weigh
/// and which atoms are renewed. Here Y is d × N, D is d × m, X is m × N, R = Y − DX is kept in the
/// sweep's state, and Ω_j are the samples that use atom j. `Reference` states each kernel as its
/// formula is and is the oracle of `conformance::sweep_kernels`.
///
/// # Contract
/// Results do not depend on the number of threads, bit by bit. Errors and energies are summed in
/// f64. Sums over samples are made within each of the [`SampleShards`] first. The sums of shards
/// are then added in the tree that [`SampleShards`] describes: by the kernel, or by its caller
/// where the kernel returns sums by shards. So the samples here may be a part of a minibatch of
/// which other owners hold the other shards.
///
/// A batch has at most the rule's [`atom_batch`](SweepRule::atom_batch) atoms, each once. Shapes
/// that do not fit together, larger batches, and an [`undo`](Self::undo) without its
/// [`exchange`](Self::exchange) are the caller's bug: kernels may panic.
///
/// The first group of methods is called for every minibatch, [`directions`](Self::directions) and
/// [`exchange`](Self::exchange) for every batch of atoms; the second group is called rarely, mostly
/// once in a window of renewal; the third only where several owners hold the samples.
pub trait SweepKernels: Backend {
    /// R, which samples use each atom, new atoms, and scratch memory.
    type Sweep: Send;

    /// Allocates for problems of this shape.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had.
    fn prepare_sweep(
        &self,
        rule: &SweepRule,
        shape: &ProblemShape,
    ) -> Result<Self::Sweep, BackendError>;

    /// R ← Y − DX, and takes notice of which samples use each atom, and of the shards.
    ///
    /// # Errors
    /// [`BackendError`] if memory cannot be had, or a device fails; so for all that follow.
    fn begin(
        &self,
        sweep: &mut Self::Sweep,
        y: &Self::Matrix,
        dictionary: &Self::Matrix,
        codes: &Self::Codes,
        shards: &SampleShards,
    ) -> Result<SweepStart, BackendError>;

    /// `counts` ← |Ω_j| of every atom among the samples here, as of the last [`begin`](Self::begin)
    /// or [`recount`](Self::recount).
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn uses(&self, sweep: &Self::Sweep, counts: &mut [u64]) -> Result<(), BackendError>;

    /// `energies` ← ‖x_j‖² of every atom over the samples of these shards, numbered among those
    /// here, by the codes as they are now.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn energies(
        &self,
        sweep: &Self::Sweep,
        codes: &Self::Codes,
        shards: Range<usize>,
        energies: &mut [f64],
    ) -> Result<(), BackendError>;

    /// Phase (a), for all j of `batch`: d'_j ← the leading left singular vector of
    /// [R_Ωj + d_j x_jᵀ, √w_j d_j], from the R at hand, by the [`LeadingPair`](super::LeadingPair)
    /// of the rule, for a `weights` of w_j by atom. An atom that no sample uses, or whose sum is
    /// zero, keeps its direction. New atoms are kept at places from `place` on until
    /// [`take_atoms`](Self::take_atoms); the dictionary stays as it is.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn directions(
        &self,
        sweep: &mut Self::Sweep,
        dictionary: &Self::Matrix,
        codes: &Self::Codes,
        weights: &[f64],
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError>;

    /// Phase (b), for every sample, atom after atom of `batch` that it uses: c ← r·d'_j + x
    /// (d_j·d'_j), at least 0 where the shape says so; r ← r + x d_j − c d'_j; x ← c. With
    /// [`AtomRule::Shared`](super::AtomRule::Shared) all c are of the r before the batch.
    /// `changes` ← what that changed of each shard here.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn exchange(
        &self,
        sweep: &mut Self::Sweep,
        dictionary: &Self::Matrix,
        codes: &mut Self::Codes,
        batch: &[u32],
        place: usize,
        changes: &mut [Change],
    ) -> Result<(), BackendError>;

    /// Takes the last [`exchange`](Self::exchange) back, which was of this batch: coefficients as
    /// they were, residuals up to rounding.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn undo(
        &self,
        sweep: &mut Self::Sweep,
        dictionary: &Self::Matrix,
        codes: &mut Self::Codes,
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError>;

    /// D ← D' at the end of a sweep that took atoms in this `order`: the new atom of `order[p]` is
    /// at place p.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn take_atoms(
        &self,
        sweep: &mut Self::Sweep,
        dictionary: &mut Self::Matrix,
        order: &[u32],
    ) -> Result<(), BackendError>;

    /// `errors` ← ‖R‖²_F of the samples of each shard here, by R as it is now.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn errors(&self, sweep: &Self::Sweep, errors: &mut [f64]) -> Result<(), BackendError>;

    // What follows is called rarely.

    /// R ← Y − DX anew, after D has changed otherwise.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn refresh(
        &self,
        sweep: &mut Self::Sweep,
        y: &Self::Matrix,
        dictionary: &Self::Matrix,
        codes: &Self::Codes,
    ) -> Result<(), BackendError>;

    /// Takes notice anew of which samples use each atom, after codes have changed otherwise.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn recount(&self, sweep: &mut Self::Sweep, codes: &Self::Codes) -> Result<(), BackendError>;

    /// Samples by falling error, of equals the lower first: those with ‖r‖² and ‖y‖² of at least
    /// `least`, ‖y‖ > 0, and ‖r‖² above `relative` ‖y‖².
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn worst(
        &self,
        sweep: &Self::Sweep,
        y: &Self::Matrix,
        least: f64,
        relative: f64,
    ) -> Result<Vec<Candidate>, BackendError>;

    /// Takes atom `atom` out of every code that uses it: r ← r + x d. An `heir` takes its place:
    /// c ← r·d_heir, at least 0 where the shape says so; r ← r − c d_heir, and c is added to the
    /// code.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn vacate(
        &self,
        sweep: &mut Self::Sweep,
        dictionary: &Self::Matrix,
        codes: &mut Self::Codes,
        atom: u32,
        heir: Option<u32>,
    ) -> Result<(), BackendError>;

    /// The code of a sample becomes c = y·d of one atom, at least 0 where the shape says so;
    /// r ← y − c d.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn code_by_one(
        &self,
        sweep: &mut Self::Sweep,
        y: &Self::Matrix,
        dictionary: &Self::Matrix,
        codes: &mut Self::Codes,
        sample: usize,
        atom: u32,
    ) -> Result<(), BackendError>;

    /// All pairs i < j of atoms with |d_i·d_j| above `threshold` (d_i·d_j, for non-negative codes),
    /// in order.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn coherent_pairs(
        &self,
        dictionary: &Self::Matrix,
        threshold: f64,
        sign: Sign,
    ) -> Result<Vec<(u32, u32)>, BackendError>;

    /// Uses of the atoms `rare` with x² of at least `least`: atom by atom as they are given, in the
    /// order of samples.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn large_uses(
        &self,
        sweep: &Self::Sweep,
        codes: &Self::Codes,
        rare: &[u32],
        least: f64,
    ) -> Result<Vec<LargeUse>, BackendError>;

    /// For each of `uses`, by how much more of the sample would be left if neither its atom nor any
    /// whose cosine with it is above `coherence` were there: the others by at most k steps of
    /// matching pursuit, as far as it takes to show that more than `typical` would be. At least 0.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn lost_without(
        &self,
        sweep: &Self::Sweep,
        y: &Self::Matrix,
        dictionary: &Self::Matrix,
        uses: &[LargeUse],
        coherence: f64,
        typical: f64,
    ) -> Result<Vec<f64>, BackendError>;

    /// D ← normalise(D − D S) with S ← sign(C) max(|C| − t, 0) and C the strict upper triangle of
    /// DᵀD, atoms sorted by `counts` of uses, the most used first, of equals the lower; t is
    /// `tolerance`. An atom of which nothing is left stays.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    fn decorrelate(
        &self,
        dictionary: &mut Self::Matrix,
        counts: &[u64],
        tolerance: f64,
    ) -> Result<(), BackendError>;

    // What follows is called where several owners hold the samples: phase (a) in two halves, with
    // the sums of all owners between them.

    /// The sums over the samples of these shards, numbered among those here, for a power
    /// step: `sums` ← Σ c r and Σ c x, with c = x in the first step and c = r·v + x (d·v)
    /// after it, at least 0 where the shape says so, where v is the direction that the step before
    /// made. An atom that [`directions_of`](Self::directions_of) has settled may be left out.
    ///
    /// # Errors
    /// As [`begin`](Self::begin), and [`BackendError::Unsupported`] unless a backend implements it.
    fn direction_sums(
        &self,
        sweep: &mut Self::Sweep,
        dictionary: &Self::Matrix,
        codes: &Self::Codes,
        step: PowerStep<'_>,
        shards: Range<usize>,
        sums: &mut DirectionSums<Self::Scalar>,
    ) -> Result<(), BackendError> {
        let _ = (sweep, dictionary, codes, step, shards, sums);
        Err(several_owners())
    }

    /// Makes new atoms from the sums over the samples of all owners, as
    /// [`directions`](Self::directions) does from those here, and says whether all have settled, so
    /// that further steps would change nothing.
    ///
    /// # Errors
    /// As [`direction_sums`](Self::direction_sums).
    fn directions_of(
        &self,
        sweep: &mut Self::Sweep,
        dictionary: &Self::Matrix,
        weights: &[f64],
        step: PowerStep<'_>,
        sums: &DirectionSums<Self::Scalar>,
    ) -> Result<bool, BackendError> {
        let _ = (sweep, dictionary, weights, step, sums);
        Err(several_owners())
    }
}

fn several_owners() -> BackendError {
    BackendError::Unsupported { what: "samples that several owners hold, on this backend".into() }
}
