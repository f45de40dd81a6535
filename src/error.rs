//! Typed errors. Each names the argument at fault, what was found and what was expected.

use std::path::PathBuf;

use crate::printable::on_a_line;

/// Anything that can go wrong in a call of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter is outside its range.
    #[error("`{argument}` is {found}, expected {expected}")]
    Argument {
        /// The parameter's name, as the builder or function spells it.
        argument: &'static str,
        /// The value given, printed.
        found: String,
        /// The range of legal values, in words.
        expected: String,
    },
    /// A matrix or source has another sample dimension than the dictionary or model.
    #[error("`{argument}` has dimension {found}, expected {expected}")]
    Dimension {
        /// The argument at fault.
        argument: &'static str,
        /// Its dimension.
        found: usize,
        /// The dimension it must have.
        expected: usize,
    },
    /// A shard is of another sample dimension than the first one.
    #[error("shard {shard} has dimension {found}, expected {expected}, that of the first")]
    Shard {
        /// Index of the shard.
        shard: usize,
        /// Its dimension.
        found: usize,
        /// The dimension of the first shard.
        expected: usize,
    },
    /// What an updater saved, as it comes from a checkpoint, is not what it restores.
    #[error("kept array `{name}` is {found}, expected {expected}")]
    SavedState {
        /// The array's name.
        name: String,
        /// Its type and length.
        found: String,
        /// Those it must have.
        expected: String,
    },
    /// A checkpoint cannot be written, or the run cannot go on from it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// There is nothing to learn from or to measure: the argument holds no samples.
    #[error("`{argument}` holds no samples")]
    NoSamples {
        /// The argument at fault.
        argument: &'static str,
    },
    /// No sample was left to learn from: all are zero, or were dropped for their norm.
    #[error(
        "nothing to learn from: of {samples} samples, {zeros} are zero throughout and {dropped} were \
         dropped for their norm"
    )]
    NothingLearned {
        /// Samples that were looked at.
        samples: usize,
        /// Those of them that are zero throughout.
        zeros: usize,
        /// Those of them beyond the norm limit, where these are left out.
        dropped: usize,
    },
    /// Most samples lie beyond the norm limit, so that it says nothing of outliers.
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
        /// What would be done to samples beyond it: clip or drop.
        verb: &'static str,
        /// Samples beyond it.
        beyond: usize,
        /// Samples that were looked at, not counting those that are zero throughout.
        samples: usize,
        /// Whether the limit was given, as by an earlier model, and not taken from the samples.
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
    /// Samples stored as f64 differ by so little, compared with their size, that rounded to f32
    /// they are no longer what they were.
    #[error(
        "sample {sample}: coordinate {coordinate} is {value:e}, and rounding to f32 would change the \
         samples by {:.1}% of their variance: read them as f64, or subtract the mean beforehand",
        100.0 * share
    )]
    Rounding {
        /// Index in its source of a sample that is typical of all.
        sample: usize,
        /// Index of the coordinate within the sample that loses most.
        coordinate: usize,
        /// Its value.
        value: f64,
        /// Σ‖y − round(y)‖² over half the squared distances of pairs of samples; the median of
        /// pairs.
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
        /// Its Euclidean norm.
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
    /// The backend failed: memory, device, driver.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A file could not be read, written or understood.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Error {
    /// [`Error::Argument`] for a parameter outside its range: what was found, and what is expected.
    /// Coders, updaters and sources written outside this crate say so, too.
    #[must_use]
    pub fn argument(
        argument: &'static str,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { argument, found: found.to_string(), expected: expected.into() }
    }
}

/// Why a [`SampleSource`](crate::source::SampleSource) could not deliver samples.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The range asked for lies outside the source.
    #[error("samples {start}..{end} were asked of a source of {len}")]
    OutOfRange {
        /// First sample asked for.
        start: usize,
        /// One past the last sample asked for.
        end: usize,
        /// Number of samples in the source.
        len: usize,
    },
    /// The buffer handed in does not hold exactly the samples asked for.
    #[error("the buffer holds {found} values, the samples asked for need {expected}")]
    Buffer {
        /// Length of the buffer.
        found: usize,
        /// Samples × dimension.
        expected: usize,
    },
    /// A slice's length is not a multiple of its dimension, or its dimension is zero.
    #[error("a slice of {len} values is not a whole number of samples of dimension {dim}")]
    Ragged {
        /// Length of the slice.
        len: usize,
        /// Dimension stated.
        dim: usize,
    },
    /// The file behind the source is at fault.
    #[error(transparent)]
    File(#[from] FileError),
    /// An error of a source implemented outside this crate.
    #[error("{0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a file could not be read or written. Each names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The header promises more bytes than the file holds.
    #[error("{}: truncated: the header promises {promised} bytes, the file holds {found}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes the header promises.
        promised: u64,
        /// Bytes the file holds.
        found: u64,
    },
    /// The file holds more bytes than its array, which the format has no use for.
    #[error(
        "{}: {} bytes after the array: its header promises {promised} bytes, the file holds \
         {found} (save each array to a file of its own)",
        path.display(),
        found.saturating_sub(*promised)
    )]
    Trailing {
        /// The file.
        path: PathBuf,
        /// Bytes the header promises.
        promised: u64,
        /// Bytes the file holds, which are more.
        found: u64,
    },
    /// The path stands for something that is not a regular file, and so cannot be read by ranges.
    #[error("{}: {kind}, expected a regular file, whose ranges can be read", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it stands for: `a directory`, `a pipe`, `a socket`, `a device` or `a special file`.
        kind: &'static str,
    },
    /// A row of f64 numbers is lost when it is rounded to f32.
    #[error(
        "{}: row {row}: coordinate {coordinate} is {value:e}: {loss}; read the file as f64, or scale \
         the data",
        path.display()
    )]
    Narrowing {
        /// The file.
        path: PathBuf,
        /// Index of the row.
        row: usize,
        /// Index within the row of the number that is furthest out of range.
        coordinate: usize,
        /// That number.
        value: f64,
        /// What would become of it, or of the row.
        loss: &'static str,
    },
    /// The file is not of the format expected, or its header makes no sense.
    #[error("{}: not a valid {format} file: {}", path.display(), on_a_line(reason))]
    Format {
        /// The file.
        path: PathBuf,
        /// The format expected.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The element type is not one this crate reads.
    #[error("{}: element type {}, expected {expected}", path.display(), on_a_line(found))]
    ElementType {
        /// The file.
        path: PathBuf,
        /// The type found.
        found: String,
        /// The types that can be read.
        expected: &'static str,
    },
    /// The array is not of the shape expected.
    #[error("{}: shape {found:?}, expected {expected}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected, in words.
        expected: String,
    },
    /// A path or pattern stands for no file of samples.
    #[error("{}: {reason}", path.display())]
    NoFiles {
        /// The path or pattern.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor asked for by name is not there, or none was named and there are several.
    #[error(
        "{}: {}; the file holds {}",
        path.display(),
        on_a_line(problem),
        on_a_line(&available.join(", "))
    )]
    Tensor {
        /// The file.
        path: PathBuf,
        /// What is wrong: the tensor is missing, or the choice is ambiguous.
        problem: String,
        /// Names of the tensors in the file.
        available: Vec<String>,
    },
    /// A key of a configuration file is absent, or has a value that cannot be honoured.
    #[error(
        "{}: `{}` is {}, expected {expected}",
        path.display(),
        on_a_line(key),
        on_a_line(found)
    )]
    Setting {
        /// The file.
        path: PathBuf,
        /// The key; a dot stands between an object's and those within.
        key: String,
        /// Its value, or `absent`.
        found: String,
        /// The values that can be honoured, in words.
        expected: String,
    },
    /// A configuration file has keys that this crate does not know, and so may not ignore.
    #[error(
        "{}: unknown keys: {} (remove them if they do not change what the model computes)",
        path.display(),
        on_a_line(&keys.join(", "))
    )]
    UnknownKeys {
        /// The file.
        path: PathBuf,
        /// The keys.
        keys: Vec<String>,
    },
}

/// Why a directory of checkpoints cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Another run, alive, writes to the directory.
    #[error("{}: another run writes its checkpoints here", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory holds checkpoints of an earlier run, and this one is not to resume it.
    #[error(
        "{}: holds checkpoints of an earlier run: resume it, or choose another directory",
        directory.display()
    )]
    Occupied {
        /// The directory.
        directory: PathBuf,
    },
    /// There is no checkpoint to resume from.
    #[error("{}: no checkpoint to resume from", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
    /// The checkpoint belongs to another run: another configuration or other data.
    #[error("{}: `{what}` was {}, now it is {expected}", path.display(), on_a_line(found))]
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// The parameter, or the property of the data.
        what: String,
        /// What the checkpoint says of it.
        found: String,
        /// What it is in the run that is to resume.
        expected: String,
    },
    /// A file could not be read, written or understood.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a [`Backend`](crate::backend::Backend) failed: out of memory, a lost device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A matrix of this shape cannot be allocated.
    #[error("cannot allocate a {rows} × {cols} matrix: {reason}")]
    Allocation {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// The allocator's or device's reason.
        reason: String,
    },
    /// What was asked for is not possible on this backend, or for several owners of samples.
    #[error("not supported: {what}")]
    Unsupported {
        /// What was asked for.
        what: String,
    },
    /// An owner of a [`Group`](crate::group::Group) has gone, cannot be reached, or does not fit
    /// together with the others.
    #[error("owner {rank} of the group: {reason}")]
    Group {
        /// The owner.
        rank: usize,
        /// What is known of it.
        reason: String,
    },
    /// A device error of a backend implemented outside this crate.
    #[error("{0}")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
}
