//! What a run says of itself.

/// Why learning ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs were done.
    Completed,
    /// An observer asked for it.
    Observer,
}

impl StopReason {
    /// The reason in one word, for logs: `completed` or `observer`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Observer => "observer",
        }
    }
}

/// The course of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// One entry for each epoch, the last perhaps incomplete.
    pub epochs: Vec<EpochReport>,
    /// Steps taken.
    pub steps: u64,
    /// Where the time went.
    pub seconds: Seconds,
    /// Why it ended.
    pub stop: StopReason,
}

/// One epoch. Errors are those of each minibatch as it was coded, before the update that followed:
/// an estimate on samples that the dictionary of that moment had not just been fitted to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct EpochReport {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Samples coded.
    pub samples: usize,
    /// Fraction of variance unexplained, Σ‖y − ŷ‖² / Σ‖y − ȳ‖², defined as
    /// [`Reconstruction::fvu`](crate::metrics::Reconstruction::fvu): infinite for an error on
    /// samples that are all equal.
    pub fvu: f64,
    /// Σ‖y − ŷ‖² / Σ‖y‖², of the centred samples if the mean is subtracted.
    pub relative_error: f64,
    /// Mean number of nonzeros a sample.
    pub l0: f64,
    /// Dead atoms that were replaced by samples.
    pub replaced: usize,
    /// Duplicate atoms that were merged and replaced by samples.
    pub merged: usize,
    /// Batches of atoms that would have raised the error, and were taken in two.
    pub undone: usize,
    /// Seconds since the run began.
    pub elapsed: f64,
}

/// Wall-clock seconds of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds {
    /// Sparse coding, including what coders derive from the dictionary (Gram matrix).
    pub encode: f64,
    /// Dictionary updates, including residuals and renewal.
    pub update: f64,
    /// Everything else: initialisation, reading, shuffling, transfers, observers.
    pub other: f64,
    /// The whole run.
    pub total: f64,
}
