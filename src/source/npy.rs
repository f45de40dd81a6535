//! Samples in a NumPy `.npy` file.

use std::fs::File;
use std::path::Path;

use super::npy_header::{self, Header};
use super::rows::{Layout, RowFile, file_len, impl_file_source, open_file, read_at};
use crate::error::FileError;

/// The samples of a `.npy` file: an array of f16, bfloat16, f32 or f64 in C order. Its last axis is
/// the coordinate of a sample. An array of shape (N, d) is N samples, one of shape (B, S, d) is B·S
/// samples, and so on for more axes.
///
/// Opening reads only the header. [`read`](super::SampleSource::read) uses positional reads, so it
/// can be called from any thread; it reads only the requested range and allocates nothing. All
/// types except f64 convert exactly. f64 read as f32 is rounded; if rounding would lose a row, that
/// is an error. [`run_length`](super::SampleSource::run_length) is 16. If N = 0, the source has no
/// samples.
///
/// Headers are read in all forms that NumPy reads: with either byte order or the machine's (`<f4`,
/// `>f4`, `=f4`, `f4`), as Python 2 wrote them (`400L`), in versions 1 to 3. NumPy has no name for
/// bfloat16. `ml_dtypes`, and so JAX, writes it as `<V2`, and every `V2` is read as bfloat16. If an
/// array of two-byte elements is something else, save it as safetensors, which states its types.
///
/// ```
/// use dbksvd::export::write_dictionary_npy;
/// use dbksvd::source::{NpySource, SampleSource};
/// use dbksvd::synthetic::Planted;
///
/// # let folder = std::env::temp_dir().join("dbksvd-doc-npy");
/// # std::fs::create_dir_all(&folder)?;
/// # let file = folder.join("rows.npy");
/// # let planted = Planted::new(8, 16, 2, 10).generate::<f32>()?;
/// # write_dictionary_npy(&file, &planted.dictionary)?;
/// let rows = NpySource::open(&file)?; // (16, 8)
/// let (samples, dim) = (SampleSource::<f32>::len(&rows), SampleSource::<f32>::dim(&rows));
/// assert_eq!((samples, dim), (16, 8));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NpySource {
    rows: RowFile,
}

impl NpySource {
    /// Opens the file and checks its header against its length.
    ///
    /// # Errors
    /// - [`FileError::Io`] if it cannot be opened or read, [`FileError::NotAFile`] for a directory
    ///   or a pipe,
    /// - [`FileError::Format`] if it is not a `.npy` file, is in Fortran order, or has sizes that
    ///   overflow,
    /// - [`FileError::ElementType`] for elements of other types than those above,
    /// - [`FileError::Shape`] unless the array has at least two axes and d ≥ 1,
    /// - [`FileError::Truncated`] if the file is shorter than its header says, and
    ///   [`FileError::Trailing`] if it is longer. A longer file may hold several arrays that were
    ///   saved one after the other, and all but the first would be lost.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let Array { file, header, offset, len: found } = Array::open(path)?;
        let Header { descr, fortran_order: _, shape } = header;
        let Some((element, order)) = npy_header::element(&descr) else {
            let expected = "f2, f4 or f8, or V2 for bfloat16 (convert it: `a.astype('f4')`)";
            return Err(FileError::ElementType { path: path.to_owned(), found: descr, expected });
        };
        let layout = Layout { format: "npy", element, order, offset, shape };
        let rows = RowFile::new(path, file, layout)?;
        let promised = rows.end();
        if promised < found {
            return Err(FileError::Trailing { path: path.to_owned(), promised, found });
        }
        Ok(Self { rows })
    }

    pub(super) fn rows(&self) -> &RowFile {
        &self.rows
    }

    pub(super) fn rows_mut(&mut self) -> &mut RowFile {
        &mut self.rows
    }

    pub(crate) fn into_rows(self) -> RowFile {
        self.rows
    }
}

impl_file_source!(NpySource);

/// An open `.npy` file whose header was read.
pub(super) struct Array {
    pub(super) file: File,
    pub(super) header: Header,
    /// Where the array begins, in bytes.
    pub(super) offset: u64,
    /// The length of the file in bytes.
    pub(super) len: u64,
}

impl Array {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// Those of [`NpySource::open`], except for what it says of elements, shapes, and the length of
    /// the array.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let file = open_file(path)?;
        let not_npy =
            |reason: String| FileError::Format { path: path.to_owned(), format: "npy", reason };
        let found = file_len(path, &file)?;
        let mut preamble = [0; 12];
        let known = preamble.len().min(usize::try_from(found).unwrap_or(usize::MAX));
        read_at(path, &file, &mut preamble[..known], 0)?;
        let text = npy_header::text_range(&preamble[..known]).map_err(not_npy)?;
        let offset = text.end as u64;
        if offset > found {
            return Err(FileError::Truncated { path: path.to_owned(), promised: offset, found });
        }
        let mut bytes = vec![0; text.len()];
        read_at(path, &file, &mut bytes, text.start as u64)?;
        let header = npy_header::parse(&bytes).map_err(not_npy)?;
        if header.fortran_order && header.shape.len() > 1 {
            let advice = "save it as `numpy.ascontiguousarray(a)`";
            return Err(not_npy(format!("the array is in Fortran order; {advice}")));
        }
        Ok(Self { file, header, offset, len: found })
    }
}
