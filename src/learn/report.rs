//! What a run says of itself.

use std::path::PathBuf;

use super::StopReason;
use crate::samples::spectrum::Massive;

/// The course of a run.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// let (_, report) = DbKsvd::builder(32, 3).epochs(3).build()?.fit(&data.samples)?;
/// for epoch in &report.epochs {
///     println!("{}: FVU {:.3}, {:.1} atoms a sample", epoch.epoch, epoch.fvu, epoch.l0);
/// }
/// println!("{:.2} s, of which coding took {:.2}", report.seconds.total, report.seconds.encode);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report {
    /// One entry for each epoch, the last perhaps incomplete.
    pub epochs: Vec<EpochReport>,
    /// One entry for each evaluation.
    pub evaluations: Vec<Evaluation>,
    /// Steps taken.
    pub steps: u64,
    /// Root mean square, over samples and coordinates, of what the codes of the last minibatch
    /// left, before its update, in the units of the samples as they were learned from; NaN before
    /// the first step. A threshold of features is a multiple of it.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub noise: f64,
    /// The step of the checkpoint that the run resumed from.
    pub resumed_from: Option<u64>,
    /// Where the time went, that before a resumption included.
    pub seconds: Seconds,
    /// Why it ended.
    pub stop: StopReason,
    /// What an observer panicked with; it was not called again.
    pub observer_panic: Option<String>,
}

/// One epoch. Errors are those of each minibatch as it was coded, before the update that followed:
/// an estimate on samples that the dictionary of that moment had not just been fitted to. They are
/// of the samples as they were learned from: centred, scaled, clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct EpochReport {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Samples coded.
    pub samples: usize,
    /// Fraction of variance unexplained, Σ‖y − ŷ‖² / Σ‖y − ȳ‖², defined as
    /// [`Reconstruction::fvu`](crate::metrics::Reconstruction::fvu): for samples that are all equal
    /// NaN without an error, and infinite with one.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub fvu: f64,
    /// Of `samples`, those [within](crate::Preprocessing::is_within) the norm limit: all, where
    /// there is none.
    pub within: usize,
    /// The same fraction for the samples within the norm limit (for all, if none is): the figure to
    /// go by where a few samples of extreme norm hold most of the variance.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub fvu_within: f64,
    /// Σ‖y − ŷ‖² / Σ‖y‖², of the centred samples if the mean is subtracted.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub relative_error: f64,
    /// Mean number of nonzeros a sample.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub l0: f64,
    /// Dead atoms that were replaced by samples.
    pub replaced: usize,
    /// Duplicate atoms that were merged and replaced by samples.
    pub merged: usize,
    /// Batches of atoms that would have raised the error, and were taken in two.
    pub undone: usize,
    /// Samples that were scaled down to the norm limit.
    pub clipped: usize,
    /// Samples that were left out for their norm; not among `samples`.
    pub dropped: usize,
    /// Samples that are zero throughout. Where samples are clipped or dropped they count as
    /// padding, and are not among `samples`.
    pub zeros: usize,
    /// The few samples that hold most of the variance, if there are such.
    pub massive: Option<Massive>,
    /// Seconds since the run began.
    pub elapsed: f64,
}

/// How well the dictionary does at one moment: on held-out samples if there are any, or else on the
/// minibatches since the evaluation before, each as it was coded before its update.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Evaluation {
    /// Steps taken so far.
    pub step: u64,
    /// The current epoch, from 1.
    pub epoch: usize,
    /// Whether the samples were held out.
    pub held_out: bool,
    /// Samples measured.
    pub samples: usize,
    /// Fraction of variance unexplained.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub fvu: f64,
    /// Of `samples`, those [within](crate::Preprocessing::is_within) the norm limit: all, where
    /// there is none.
    pub within: usize,
    /// Fraction of their variance that is unexplained (of all, if none is within): what the best
    /// dictionary is chosen by. [`target_fvu`](super::Builder::target_fvu) and
    /// [`plateau`](super::Builder::plateau) go by it too, but pass over evaluations of which no
    /// sample is within.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub fvu_within: f64,
    /// Mean number of nonzeros a sample.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::number"))]
    pub l0: f64,
    /// Seconds since the run began.
    pub elapsed: f64,
}

impl Evaluation {
    /// Whether `fvu_within` is of samples within the norm limit: not where there is none, and it
    /// stands for all, of which the largest decide.
    pub(super) fn is_of_rows_within(&self) -> bool {
        self.within > 0
    }
}

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CheckpointReport {
    /// The file.
    pub path: PathBuf,
    /// Steps taken when it was written.
    pub step: u64,
    /// Seconds it took.
    pub seconds: f64,
}

/// Wall-clock seconds of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Seconds {
    /// Sparse coding, including what coders derive from the dictionary (Gram matrix).
    pub encode: f64,
    /// Dictionary updates, including residuals and renewal.
    pub update: f64,
    /// Everything else: initialisation, waiting for samples, transfers, evaluations, checkpoints,
    /// observers.
    pub other: f64,
    /// The whole run.
    pub total: f64,
}
