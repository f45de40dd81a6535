//! A row-major array in a file that is read by ranges of rows. All file formats use it.

use std::fs::{File, FileType, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::check_read;
use super::element::{ByteOrder, Element};
use super::narrowing::Narrowing;
use super::positional::read_exact_at;
use crate::Scalar;
use crate::error::{FileError, SourceError};

/// Samples that are worth one read of a file: at d = 384 in f16 they take 12 KiB, three pages of a
/// disk.
pub(crate) const RUN_LENGTH: usize = 16;

/// Bytes that are read at a time. The buffer is on the stack, so that reading allocates nothing.
const BUFFER: usize = 32 * 1024;

/// An array within an open file, as rows: all axes but the last are merged into one.
#[derive(Debug)]
pub(crate) struct RowFile {
    path: PathBuf,
    /// `None` if the file is opened again for each read.
    file: Option<File>,
    /// As the file was when it was opened first.
    stamp: Stamp,
    element: Element,
    order: ByteOrder,
    offset: u64,
    /// The shape of the array in the file, with all axes.
    shape: Vec<usize>,
    samples: usize,
    dim: usize,
}

/// The array as the file's header describes it.
pub(crate) struct Layout {
    /// The file's format, for error messages.
    pub(crate) format: &'static str,
    pub(crate) element: Element,
    pub(crate) order: ByteOrder,
    /// The offset in the file at which the array starts, in bytes.
    pub(crate) offset: u64,
    /// The shape, of rank 2 at least.
    pub(crate) shape: Vec<u64>,
}

impl RowFile {
    /// The array with this layout in `file`.
    ///
    /// # Errors
    /// [`FileError::Shape`] for rank 0 or 1 and for d = 0, [`FileError::Format`] for sizes that
    /// this machine cannot address, [`FileError::Truncated`] if the file is shorter than the array.
    pub(crate) fn new(path: &Path, file: File, layout: Layout) -> Result<Self, FileError> {
        let Layout { format, element, order, offset, shape } = layout;
        let stamp = Stamp::of(path, &file)?;
        let too_large = || FileError::Format {
            path: path.to_owned(),
            format,
            reason: format!("the sizes overflow: {shape:?} values cannot be addressed"),
        };
        let sizes = shape.iter().map(|&size| usize::try_from(size));
        let sizes: Vec<usize> = sizes.collect::<Result<_, _>>().map_err(|_| too_large())?;
        let (leading, dim) = match *sizes.as_slice() {
            [ref leading @ .., dim] if !leading.is_empty() => (leading, dim),
            _ => return Err(wrong_shape(path, sizes, SHAPES)),
        };
        // A size of 0 makes the array empty. It is counted as 1, so that it does not hide an
        // overflow of the others.
        let values = sizes.iter().try_fold(1_usize, |n, &size| n.checked_mul(size.max(1)));
        let bytes = values.and_then(|values| values.checked_mul(element.size()));
        let fits = bytes.is_some_and(|bytes| offset.checked_add(bytes as u64).is_some());
        if !fits {
            return Err(too_large());
        }
        if dim == 0 {
            return Err(wrong_shape(path, sizes, "(N, d) with d at least 1"));
        }
        let samples = leading.iter().product();
        let (path, file) = (path.to_owned(), Some(file));
        let rows = Self { path, file, stamp, element, order, offset, shape: sizes, samples, dim };
        rows.check_length(stamp.length)?;
        Ok(rows)
    }

    /// The offset in the file at which the array ends, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.offset + (self.samples * self.dim * self.element.size()) as u64
    }

    /// Closes the file. Each read then opens it again, wherever the process is by then.
    pub(crate) fn close(&mut self) {
        self.file = None;
        if let Ok(path) = std::path::absolute(&self.path) {
            self.path = path;
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn element(&self) -> Element {
        self.element
    }

    /// The shape of the array in the file, with all axes.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn len(&self) -> usize {
        self.samples
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Does what [`SampleSource::read`](super::SampleSource::read) does.
    pub(crate) fn read<T: Scalar>(
        &self,
        range: Range<usize>,
        into: &mut [T],
    ) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.samples, self.dim)?;
        Ok(self.read_values(range.start, into)?)
    }

    /// Does what [`SampleSource::read_unrounded`](super::SampleSource::read_unrounded) does.
    pub(crate) fn read_unrounded<T: Scalar>(
        &self,
        sample: usize,
        into: &mut [f64],
    ) -> Result<bool, SourceError> {
        if !self.element.is_rounded_to::<T>() {
            return Ok(false);
        }
        self.read(sample..sample + 1, into)?;
        Ok(true)
    }

    /// Reads values from row `row` on, as many as `into` holds.
    ///
    /// # Errors
    /// [`FileError::Narrowing`] for rows of f64 that `T` cannot hold, [`FileError::Changed`] for a
    /// file that is no longer what was opened, and the errors of reading.
    pub(crate) fn read_values<T: Scalar>(
        &self,
        row: usize,
        into: &mut [T],
    ) -> Result<(), FileError> {
        let opened;
        let file = match &self.file {
            Some(file) => file,
            None => {
                opened = open_file(&self.path)?;
                &opened
            }
        };
        let size = self.element.size();
        let mut offset = self.offset + (row * self.dim * size) as u64;
        let mut buffer = [0; BUFFER];
        let mut narrowing =
            self.element.is_rounded_to::<T>().then(|| Narrowing::new(row, self.dim));
        for values in into.chunks_mut(BUFFER / size) {
            let bytes = &mut buffer[..values.len() * size];
            read_exact_at(file, bytes, offset).map_err(|error| self.failed(file, error))?;
            self.order.make_little(bytes, size);
            if let Some(narrowing) = &mut narrowing {
                narrowing.check(bytes).map_err(|problem| problem.in_file(&self.path))?;
            }
            self.element.decode(bytes, values);
            offset += bytes.len() as u64;
        }
        self.check_unchanged(file)
    }

    /// Refuses a file that is no longer the one that was opened: a run would learn from two sets of
    /// samples. This comes after a read, so that it holds for what has just been read.
    fn check_unchanged(&self, file: &File) -> Result<(), FileError> {
        let stamp = Stamp::of(&self.path, file)?;
        self.check_length(stamp.length)?;
        if stamp == self.stamp {
            return Ok(());
        }
        Err(FileError::Changed { path: self.path.clone() })
    }

    /// Whether a file of `found` bytes holds the array.
    fn check_length(&self, found: u64) -> Result<(), FileError> {
        let promised = self.end();
        if promised <= found {
            return Ok(());
        }
        Err(FileError::Truncated { path: self.path.clone(), promised, found })
    }

    /// The error for a failed read. If the file has become too short, it was cut after it was
    /// opened.
    fn failed(&self, file: &File, source: io::Error) -> FileError {
        let path = self.path.clone();
        match file_len(&path, file) {
            Ok(found) if source.kind() == io::ErrorKind::UnexpectedEof => {
                FileError::Truncated { path, promised: self.end(), found }
            }
            _ => FileError::Io { path, source },
        }
    }
}

/// What changes when a file is written to, or when another takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    /// When it was written to last; `None` where the system does not say.
    modified: Option<SystemTime>,
    /// Of the file system and within it, where files have numbers.
    number: Option<(u64, u64)>,
}

impl Stamp {
    fn of(path: &Path, file: &File) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            number: number(&metadata),
        })
    }
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> Option<(u64, u64)> {
    None
}

/// The shapes that are accepted for samples, in words.
pub(crate) const SHAPES: &str = "(N, d), or (B, S, d), which is read as (B·S, d)";

fn wrong_shape(path: &Path, found: Vec<usize>, expected: &str) -> FileError {
    FileError::Shape { path: path.to_owned(), found, expected: expected.to_owned() }
}

/// Opens the regular file at `path` for reading.
pub(crate) fn open_file(path: &Path) -> Result<File, FileError> {
    // The kind is checked before opening, since opening a pipe waits until somebody writes to it.
    check_kind(path)?;
    File::open(path).map_err(|source| FileError::Io { path: path.to_owned(), source })
}

/// Returns an error if `path` exists but is not a regular file.
pub(crate) fn check_kind(path: &Path) -> Result<(), FileError> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            let kind = kind_name(metadata.file_type());
            Err(FileError::NotAFile { path: path.to_owned(), kind })
        }
        // If the kind cannot be found out, opening the file reports the reason.
        _ => Ok(()),
    }
}

/// The kind of a file that is not a regular one, in words.
fn kind_name(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a directory" } else { "a special file" }
}

/// The number of bytes in `file`.
pub(crate) fn file_len(path: &Path, file: &File) -> Result<u64, FileError> {
    match file.metadata() {
        Ok(metadata) => Ok(metadata.len()),
        Err(source) => Err(FileError::Io { path: path.to_owned(), source }),
    }
}

/// Fills `buffer` from `offset` of the file at `path`.
pub(crate) fn read_at(
    path: &Path,
    file: &File,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), FileError> {
    read_exact_at(file, buffer, offset)
        .map_err(|source| FileError::Io { path: path.to_owned(), source })
}

/// Makes a source of a type that has a method `rows() -> &RowFile`. The inherent methods do not
/// depend on a scalar, so callers need not name one.
macro_rules! impl_file_source {
    ($source:ty) => {
        impl $source {
            /// The file.
            #[must_use]
            pub fn path(&self) -> &std::path::Path {
                self.rows().path()
            }

            /// The dimension d of a sample.
            #[must_use]
            pub fn dim(&self) -> usize {
                self.rows().dim()
            }

            /// The number of samples N.
            #[must_use]
            pub fn len(&self) -> usize {
                self.rows().len()
            }

            /// Whether there are no samples.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The shape of the array in the file: (N, d), or more axes, of which the last is d; N
            /// is the product of the others.
            #[must_use]
            pub fn shape(&self) -> &[usize] {
                self.rows().shape()
            }
        }

        impl<T: $crate::Scalar> $crate::source::SampleSource<T> for $source {
            fn dim(&self) -> usize {
                self.rows().dim()
            }

            fn len(&self) -> usize {
                self.rows().len()
            }

            fn read(
                &self,
                range: std::ops::Range<usize>,
                into: &mut [T],
            ) -> Result<(), $crate::error::SourceError> {
                self.rows().read(range, into)
            }

            fn run_length(&self) -> usize {
                $crate::source::rows::RUN_LENGTH
            }

            fn element_type(&self) -> &'static str {
                self.rows().element().name()
            }

            fn read_unrounded(
                &self,
                sample: usize,
                into: &mut [f64],
            ) -> Result<bool, $crate::error::SourceError> {
                self.rows().read_unrounded::<T>(sample, into)
            }
        }
    };
}
pub(super) use impl_file_source;
