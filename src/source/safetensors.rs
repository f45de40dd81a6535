//! Samples in a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use super::rows::{RowFile, SHAPES, impl_file_source};
use super::safetensors_header::{Header, element};
use crate::error::FileError;

/// The most tensors whose shapes an error message lists.
const MOST_SHAPES: usize = 4;

/// The samples of one tensor of a safetensors file: F16, BF16, F32 or F64. A tensor of shape (N, d)
/// is N samples, one of shape (B, S, d) is B·S samples, and so on for more axes.
///
/// Opening reads only the header. [`read`](super::SampleSource::read) uses positional reads, so it
/// can be called from any thread; it reads only the requested range and allocates nothing. All
/// types except F64 convert exactly. F64 read as f32 is rounded; if rounding would lose a row, that
/// is an error. [`run_length`](super::SampleSource::run_length) is 16. If N = 0, the source has no
/// samples.
///
/// ```
/// use dbksvd::files::{Numbers, TensorFile};
/// use dbksvd::source::{SafetensorsSource, SampleSource};
///
/// # let folder = std::env::temp_dir().join("dbksvd-doc-safetensors");
/// # std::fs::create_dir_all(&folder)?;
/// # let file = folder.join("rows.safetensors");
/// let values = dbksvd::faer::mat![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
/// let mut written = TensorFile::new();
/// written.tensor("acts", Numbers::Columns(values.as_ref()));
/// written.write(&file)?;
///
/// let rows = SafetensorsSource::open(&file, Some("acts"))?;
/// assert_eq!((SampleSource::<f32>::len(&rows), SampleSource::<f32>::dim(&rows)), (3, 2));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SafetensorsSource {
    rows: RowFile,
    tensor: String,
    metadata: BTreeMap<String, String>,
}

impl SafetensorsSource {
    /// Opens the tensor of this name. Without a name, opens the only floating-point tensor of rank
    /// 2, or, if no tensor has rank 2, the only one of a higher rank. A name is required, too, if
    /// the tensor of rank 2 has one number for each row of another tensor, as a mask of shape (B,
    /// S) beside samples of shape (B, S, d) has.
    ///
    /// # Errors
    /// - [`FileError::Io`] if the file cannot be opened or read, [`FileError::NotAFile`] for a
    ///   directory or a pipe,
    /// - [`FileError::Format`] if it is not a safetensors file,
    /// - [`FileError::Truncated`] if it is shorter than its header says,
    /// - [`FileError::Tensor`] if the file has no tensor of this name, or if no name is given and
    ///   not exactly one tensor can be the samples; it lists the names,
    /// - [`FileError::ElementType`] if the tensor's type is not one of those above, and
    ///   [`FileError::Shape`] unless it has rank 2 at least and d ≥ 1.
    pub fn open(path: impl AsRef<Path>, tensor: Option<&str>) -> Result<Self, FileError> {
        let header = Header::open(path.as_ref())?;
        let tensor = match tensor {
            Some(name) => name.to_owned(),
            None => only_samples(&header)?,
        };
        let metadata =
            header.texts().map(|(key, text)| (key.to_owned(), text.to_owned())).collect();
        Ok(Self { rows: header.samples(&tensor)?, tensor, metadata })
    }

    /// The name of the tensor.
    #[must_use]
    pub fn tensor(&self) -> &str {
        &self.tensor
    }

    /// The texts that the program which wrote the file left in `__metadata__`, such as model and
    /// layer.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    pub(super) fn rows(&self) -> &RowFile {
        &self.rows
    }

    pub(super) fn rows_mut(&mut self) -> &mut RowFile {
        &mut self.rows
    }
}

impl_file_source!(SafetensorsSource);

/// The name of the only tensor that can be the samples.
fn only_samples(header: &Header) -> Result<String, FileError> {
    let shape = |name: &str| header.info(name).map_or(&[][..], |info| info.shape.as_slice());
    let of_rank_2 = |name: &String| shape(name).len() >= 2;
    let is_real = |name: &String| header.info(name).is_ok_and(|info| element(info.dtype).is_some());
    let arrays: Vec<_> = header.names().into_iter().filter(of_rank_2).collect();
    let real: Vec<_> = arrays.iter().filter(|name| is_real(name)).collect();
    let (matrices, others): (Vec<&String>, Vec<&String>) =
        real.iter().copied().partition(|name| shape(name).len() == 2);
    if let [matrix] = matrices.as_slice()
        && !others.iter().any(|other| shape(other).starts_with(shape(matrix)))
    {
        return Ok((*matrix).clone());
    }
    match (real.as_slice(), arrays.as_slice()) {
        ([only], _) => Ok((*only).clone()),
        // Opening it gives an error that names its type.
        ([], [only]) => Ok(only.clone()),
        ([], []) => {
            let shapes = shapes(header);
            let problem = format!("no tensor is of shape {SHAPES}{shapes}");
            Err(header.no_tensor(problem))
        }
        ([], _) => Err(header.no_tensor("no tensor is of floating-point numbers".to_owned())),
        _ => {
            let count = real.len();
            let problem = format!("{count} tensors may be the samples, so one must be named");
            Err(header.no_tensor(problem))
        }
    }
}

/// The shapes of the first few tensors, for an error message.
fn shapes(header: &Header) -> String {
    let shape = |name: String| {
        header
            .info(&name)
            .map_or_else(|_| name.clone(), |info| format!("{name} is {:?}", info.shape))
    };
    let shapes: Vec<_> = header.names().into_iter().take(MOST_SHAPES).map(shape).collect();
    if shapes.is_empty() { String::new() } else { format!(" ({})", shapes.join(", ")) }
}
