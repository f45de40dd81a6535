//! A row-major array in a file, read by ranges of rows: what every file format comes down to.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::check_read;
use super::element::Element;
use super::positional::read_exact_at;
use crate::Scalar;
use crate::error::{FileError, SourceError};

/// Samples worth one read of a file: at d = 384 in f16 that is 12 KiB, three pages of a disk.
pub(crate) const RUN_LENGTH: usize = 16;

/// Bytes read at a time. On the stack, so that reading allocates nothing.
const BUFFER: usize = 32 * 1024;

/// An (N, d) array within an open file.
#[derive(Debug)]
pub(crate) struct RowFile {
    path: PathBuf,
    /// `None`: opened anew for each read.
    file: Option<File>,
    element: Element,
    offset: u64,
    samples: usize,
    dim: usize,
}

impl RowFile {
    /// The array of `shape` (N, d) that starts `offset` bytes into `file`.
    ///
    /// # Errors
    /// [`FileError::Shape`] for d = 0, [`FileError::Format`] for sizes beyond this machine,
    /// [`FileError::Truncated`] if the file is shorter than the array.
    pub(crate) fn new(
        path: &Path,
        file: File,
        element: Element,
        offset: u64,
        shape: (u64, u64),
    ) -> Result<Self, FileError> {
        let found = file_len(path, &file)?;
        let too_large = || FileError::Format {
            path: path.to_owned(),
            format: "array",
            reason: format!("{} × {} values are more than can be addressed", shape.0, shape.1),
        };
        let (Ok(samples), Ok(dim)) = (usize::try_from(shape.0), usize::try_from(shape.1)) else {
            return Err(too_large());
        };
        if dim == 0 {
            let (path, found) = (path.to_owned(), vec![samples, dim]);
            let expected = "(N, d) with d at least 1".to_owned();
            return Err(FileError::Shape { path, found, expected });
        }
        let bytes = samples.checked_mul(dim).and_then(|values| values.checked_mul(element.size()));
        let end = bytes.and_then(|bytes| offset.checked_add(bytes as u64));
        let promised = end.ok_or_else(too_large)?;
        if promised > found {
            return Err(FileError::Truncated { path: path.to_owned(), promised, found });
        }
        Ok(Self { path: path.to_owned(), file: Some(file), element, offset, samples, dim })
    }

    /// Closes the file; each read opens it again.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn element(&self) -> Element {
        self.element
    }

    pub(crate) fn len(&self) -> usize {
        self.samples
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// As [`SampleSource::read`](super::SampleSource::read).
    pub(crate) fn read<T: Scalar>(
        &self,
        range: Range<usize>,
        into: &mut [T],
    ) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.samples, self.dim)?;
        Ok(self.read_values(range.start, into)?)
    }

    /// Reads the values from `row` on, as many as `into` holds.
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
        for values in into.chunks_mut(BUFFER / size) {
            let bytes = &mut buffer[..values.len() * size];
            read_exact_at(file, bytes, offset).map_err(|error| self.failed(file, error))?;
            self.element.decode(bytes, values);
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    /// What went wrong; a file that ends early was cut after it was opened.
    fn failed(&self, file: &File, source: io::Error) -> FileError {
        let path = self.path.clone();
        match file_len(&path, file) {
            Ok(found) if source.kind() == io::ErrorKind::UnexpectedEof => {
                let size = self.samples * self.dim * self.element.size();
                FileError::Truncated { path, promised: self.offset + size as u64, found }
            }
            _ => FileError::Io { path, source },
        }
    }
}

/// Opens `path` for reading.
pub(crate) fn open_file(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|source| FileError::Io { path: path.to_owned(), source })
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

/// Makes a type with a method `rows() -> &RowFile` a source. The inherent methods spare callers
/// the question for which scalar they ask.
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
        }
    };
}
pub(super) use impl_file_source;
