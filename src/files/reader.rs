//! Safetensors files, read by the names of their tensors.

use std::path::Path;

use crate::Scalar;
use crate::error::FileError;
use crate::source::rows::RowFile;
use crate::source::safetensors_header::Header;

/// An open safetensors file, whose tensors are read by name and row by row.
///
/// Its header has been read and checked; numbers are read when they are asked for. (Samples are
/// read by [`SafetensorsSource`](crate::source::SafetensorsSource).)
///
/// ```
/// use dbksvd::files::{Numbers, TensorFile, TensorReader};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("weights.safetensors");
/// let matrix = dbksvd::faer::mat![[1.0_f32, 3.0], [2.0, 4.0]];
/// let mut file = TensorFile::new();
/// file.text("made_by", "an example");
/// file.tensor("weights", Numbers::Columns(matrix.as_ref()));
/// file.tensor("bias", Numbers::Scalars(&[0.5]));
/// file.write(&path)?;
///
/// let reader = TensorReader::open(&path)?;
/// assert_eq!(reader.names(), ["weights", "bias"]);
/// assert_eq!(reader.text("made_by"), Some("an example"));
/// let weights = reader.rows("weights")?;
/// let mut row = [0.0_f64; 2];
/// weights.read_row(1, &mut row)?;
/// assert_eq!((weights.shape(), row), (&[2, 2][..], [3.0, 4.0]));
/// # Ok::<(), dbksvd::error::FileError>(())
/// ```
#[derive(Debug)]
pub struct TensorReader {
    header: Header,
}

impl TensorReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`FileError::Io`] if it cannot be opened or read, [`FileError::NotAFile`] for a directory or
    /// a pipe, [`FileError::Format`] if it is not a safetensors file, [`FileError::Truncated`] if
    /// it is shorter than its header says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        Ok(Self { header: Header::open(path.as_ref())? })
    }

    /// The names of the tensors, in the order of their data.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.header.names()
    }

    /// The text that the file's writer has left under a key of `__metadata__`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.header.texts().find_map(|(found, text)| (found == key).then_some(text))
    }

    /// The shape of a tensor.
    ///
    /// # Errors
    /// [`FileError::Tensor`], which lists the names, if there is none of this name.
    pub fn shape(&self, name: &str) -> Result<&[usize], FileError> {
        Ok(&self.header.info(name)?.shape)
    }

    /// A tensor of F16, BF16, F32 or F64 as rows along its last axis. A vector is one row.
    ///
    /// # Errors
    /// [`FileError::Tensor`], which lists the names, if there is none of this name,
    /// [`FileError::ElementType`] for other types, [`FileError::Shape`] for a tensor without axes
    /// or with rows of no numbers.
    pub fn rows(&self, name: &str) -> Result<TensorRows, FileError> {
        let shape = self.shape(name)?.to_vec();
        let rows = match shape.len() {
            1 => self.header.rows(name, 1)?,
            _ => self.header.samples(name)?,
        };
        Ok(TensorRows { shape, rows })
    }
}

/// A tensor of a [`TensorReader`]'s file, as rows along its last axis.
#[derive(Debug)]
pub struct TensorRows {
    shape: Vec<usize>,
    rows: RowFile,
}

impl TensorRows {
    /// The tensor's shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many rows there are: the product of all sizes but the last.
    #[must_use]
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// How many numbers a row has, at least 1.
    #[must_use]
    pub fn width(&self) -> usize {
        self.rows.dim()
    }

    /// Reads a row by a positional read, from any thread. All types but F64 read as f32 convert
    /// exactly; that is rounded to nearest.
    ///
    /// # Errors
    /// [`FileError::Io`]; [`FileError::Truncated`] if the file was cut after it was opened;
    /// [`FileError::Narrowing`] for a row of F64 that f32 cannot hold.
    ///
    /// # Panics
    /// If there is no such row, or `into` is not as long as a row.
    #[track_caller]
    pub fn read_row<T: Scalar>(&self, row: usize, into: &mut [T]) -> Result<(), FileError> {
        assert!(row < self.count(), "row {row} of {}", self.count());
        assert_eq!(into.len(), self.width(), "a buffer as long as a row");
        self.rows.read_values(row, into)
    }
}
