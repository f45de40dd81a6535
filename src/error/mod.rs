//! Typed errors. Each of them names the argument at fault, what was found and what was expected.

mod file;

pub use file::FileError;

use std::path::PathBuf;

use crate::printable::on_a_line;

/// Anything that can go wrong in a call of this crate.
///
/// ```
/// use dbksvd::{DbKsvd, Error};
///
/// match DbKsvd::builder(32, 0).build() {
///     Err(Error::Argument { argument, found, expected }) => {
///         assert_eq!((argument, found.as_str()), ("sparsity", "0"));
///         println!("{argument} is {found}, expected {expected}");
///     }
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is outside its range.
    #[error("`{argument}` is {found}, expected {expected}")]
    Argument {
        /// The parameter's name, as the builder or function spells it.
        argument: &'static str,
        /// The value that was given, as text.
        found: String,
        /// The range of legal values, in words.
        expected: String,
    },
    /// Samples are so large or so small that their squares overflow or vanish. Zeros are in range.
    #[error(
        "`{argument}`: {} {found:e}, expected 0 or {least:e} to {most:e} in {scalar}: scale the \
         data",
        match sample {
            Some(sample) => format!("the norm of sample {sample} is"),
            None => "the root mean square norm is".to_owned(),
        }
    )]
    Range {
        /// The argument at fault.
        argument: &'static str,
        /// Index in its source of a sample that is out of range by itself, after the mean was
        /// subtracted; `None` if only all samples together are, or if none is known.
        sample: Option<usize>,
        /// The norm of that sample, or else the root mean square of all norms.
        found: f64,
        /// The least norm that can be computed with.
        least: f64,
        /// The largest norm that can be computed with.
        most: f64,
        /// The scalar type, whose range this is.
        scalar: &'static str,
    },
    /// A matrix or source has a sample dimension that differs from the dictionary's or the model's.
    #[error("`{argument}` has dimension {found}, expected {expected}")]
    Dimension {
        /// The argument at fault.
        argument: &'static str,
        /// The dimension that was found.
        found: usize,
        /// The dimension that was expected.
        expected: usize,
    },
    /// The samples of a shard have another dimension than those of the first shard.
    #[error("shard {shard} has dimension {found}, expected {expected}, that of the first")]
    Shard {
        /// Index of the shard.
        shard: usize,
        /// The dimension of its samples.
        found: usize,
        /// The dimension of the first shard.
        expected: usize,
    },
    /// An array in an updater's saved state is missing, or is not of the type and length that the
    /// updater restores.
    #[error("kept array `{name}` is {found}, expected {expected}")]
    SavedState {
        /// The array's name.
        name: String,
        /// The type and length that were found.
        found: String,
        /// The type and length that were expected.
        expected: String,
    },
    /// A checkpoint cannot be written, or the run cannot go on from it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The argument holds no samples, so nothing can be learned or measured.
    #[error("`{argument}` holds no samples")]
    NoSamples {
        /// The argument at fault.
        argument: &'static str,
    },
    /// No sample was left to learn from: every sample is zero or was dropped because of its norm.
    #[error(
        "nothing to learn from: of {samples} samples, {zeros} are zero throughout and {dropped} were \
         dropped for their norm"
    )]
    NothingLearned {
        /// How many samples were read.
        samples: usize,
        /// How many of these samples are zero in every coordinate.
        zeros: usize,
        /// How many of these samples were dropped because their norm is beyond the limit.
        dropped: usize,
    },
    /// Most samples lie beyond the norm limit, so the limit does not separate outliers from the
    /// rest.
    #[error(
        "the norm limit of {limit:.4} would {verb} {beyond} of {samples} samples, expected at most half \
         of them: {}",
        if *is_given {
            "the limit is that of the model given, and does not fit these data"
        } else {
            "choose a larger multiple of the median norm"
        }
    )]
    NormLimit {
        /// The limit of ‖y − mean‖.
        limit: f64,
        /// What would be done to samples beyond the limit: `clip` or `drop`.
        verb: &'static str,
        /// How many samples lie beyond the limit.
        beyond: usize,
        /// How many samples were read, not counting those that are zero in every coordinate.
        samples: usize,
        /// Whether the limit was given (for example by an earlier model) instead of being derived
        /// from the samples.
        is_given: bool,
    },
    /// A sample holds a NaN or an infinity.
    #[error("sample {sample} is not finite: coordinate {coordinate} is {value}")]
    NotFinite {
        /// Index of the sample in its source.
        sample: usize,
        /// Index of the coordinate within the sample.
        coordinate: usize,
        /// The value found there.
        value: f64,
    },
    /// Samples are stored as f64, and the differences between them are so small, compared with
    /// their size, that rounding to f32 would destroy them.
    #[error(
        "sample {sample}: coordinate {coordinate} is {value:e}, and rounding to f32 would change the \
         samples by {:.1}% of their variance: read them as f64, or subtract the mean beforehand",
        100.0 * share
    )]
    Rounding {
        /// Index in its source of a sample that is typical of all samples.
        sample: usize,
        /// Index within that sample of the coordinate that loses most by rounding.
        coordinate: usize,
        /// The value of that coordinate.
        value: f64,
        /// (‖a − r(a)‖² + ‖b − r(b)‖²) / ‖a − b‖² of a pair (a, b) of samples, where r rounds to
        /// f32: the median over the pairs that were compared.
        share: f64,
    },
    /// An atom of a given dictionary holds a NaN or an infinity.
    #[error("atom {atom} is not finite: coordinate {coordinate} is {value}")]
    NotFiniteAtom {
        /// Index of the atom.
        atom: usize,
        /// Index of the coordinate within the atom.
        coordinate: usize,
        /// The value found there.
        value: f64,
    },
    /// An atom of a given dictionary is not of unit norm.
    #[error("atom {atom} has norm {norm}, expected 1 (`Dictionary::normalized` scales atoms)")]
    NotUnitAtom {
        /// Index of the atom.
        atom: usize,
        /// The Euclidean norm of the atom.
        norm: f64,
    },
    /// An atom of a given dictionary is zero and has no direction.
    #[error("atom {atom} is zero and cannot be scaled to norm 1")]
    ZeroAtom {
        /// Index of the atom.
        atom: usize,
    },
    /// Reading samples failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The backend failed, for example for lack of memory or because of a device or driver.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A file could not be read, written or understood.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Error {
    /// An [`Error::Argument`] for a parameter that is outside its range, with the value found and
    /// the values expected. Coders, updaters and sources written outside this crate can use it,
    /// too.
    #[must_use]
    pub fn argument(
        argument: &'static str,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { argument, found: found.to_string(), expected: expected.into() }
    }

    /// The same error with another index in place of that of a sample out of range.
    pub(crate) fn with_sample(self, index: usize) -> Self {
        match self {
            Self::Range { argument, sample: Some(_), found, least, most, scalar } => {
                let sample = Some(index);
                Self::Range { argument, sample, found, least, most, scalar }
            }
            error => error,
        }
    }
}

/// Why a [`SampleSource`](crate::source::SampleSource) could not deliver samples.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The requested range lies outside the source.
    #[error("samples {start}..{end} were asked of a source of {len}")]
    OutOfRange {
        /// The first sample requested.
        start: usize,
        /// One past the last sample requested.
        end: usize,
        /// Number of samples in the source.
        len: usize,
    },
    /// The length of the given buffer is not that of the requested samples.
    #[error("the buffer holds {found} values, the samples asked for need {expected}")]
    Buffer {
        /// Length of the buffer.
        found: usize,
        /// The length needed: samples × dimension.
        expected: usize,
    },
    /// A slice's length is not a multiple of its dimension, or its dimension is zero.
    #[error("a slice of {len} values is not a whole number of samples of dimension {dim}")]
    Ragged {
        /// Length of the slice.
        len: usize,
        /// The given dimension.
        dim: usize,
    },
    /// The file behind the source is at fault.
    #[error(transparent)]
    File(#[from] FileError),
    /// An error in a source that is implemented outside this crate.
    #[error("{0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a directory of checkpoints cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Another run, which is still alive, writes to the directory.
    #[error("{}: another run writes its checkpoints here", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory holds checkpoints of an earlier run, and this run was not told to resume it.
    #[error(
        "{}: holds checkpoints of an earlier run: resume it, or choose another directory",
        directory.display()
    )]
    Occupied {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory holds no checkpoint to resume from.
    #[error("{}: no checkpoint to resume from", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
    /// The checkpoint belongs to another run: one with another configuration or other data.
    #[error("{}: `{what}` was {}, now it is {expected}", path.display(), on_a_line(found))]
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// The parameter, or the property of the data, that differs.
        what: String,
        /// Its value in the checkpoint.
        found: String,
        /// Its value in the run that is to resume.
        expected: String,
    },
    /// A file could not be read, written or understood.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a [`Backend`](crate::backend::Backend) failed, for example for lack of memory or because a
/// device was lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A matrix of this shape cannot be allocated.
    #[error("cannot allocate a {rows} × {cols} matrix: {reason}")]
    Allocation {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// The allocator's or device's reason.
        reason: String,
    },
    /// The requested operation is not possible on this backend, or not for several owners of
    /// samples.
    #[error("not supported: {what}")]
    Unsupported {
        /// The requested operation.
        what: String,
    },
    /// An owner of a [`Group`](crate::group::Group) has left, cannot be reached, or does not fit
    /// together with the other owners.
    #[error("owner {rank} of the group: {reason}")]
    Group {
        /// The rank of the owner.
        rank: usize,
        /// What went wrong.
        reason: String,
    },
    /// A device error in a backend that is implemented outside this crate.
    #[error("{0}")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
}
