//! Samples in a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use super::rows::{RowFile, impl_file_source};
use super::safetensors_header::Header;
use crate::error::FileError;

/// The samples of one tensor of a safetensors file: shape (N, d) of F16, BF16, F32 or F64.
///
/// Opening reads the header alone; [`read`](super::SampleSource::read) reads the range asked for by
/// positional reads, from any thread, converting as it goes and allocating nothing. All but F64
/// convert exactly; F64 read as f32 is rounded. [`run_length`](super::SampleSource::run_length) is
/// 16. N = 0 is a source without samples.
#[derive(Debug)]
pub struct SafetensorsSource {
    rows: RowFile,
    tensor: String,
    metadata: BTreeMap<String, String>,
}

impl SafetensorsSource {
    /// Opens the tensor of this name, or without a name the only tensor of rank 2.
    ///
    /// # Errors
    /// - [`FileError::Io`] if the file cannot be opened or read,
    /// - [`FileError::Format`] if it is not a safetensors file,
    /// - [`FileError::Truncated`] if it is shorter than its header says,
    /// - [`FileError::Tensor`] if the name is not there, or none is given and not exactly one
    ///   tensor is of rank 2; it lists the names,
    /// - [`FileError::ElementType`] and [`FileError::Shape`] (rank 2, d ≥ 1) for the tensor.
    pub fn open(path: impl AsRef<Path>, tensor: Option<&str>) -> Result<Self, FileError> {
        let header = Header::open(path.as_ref())?;
        let tensor = match tensor {
            Some(name) => name.to_owned(),
            None => only_matrix(&header)?,
        };
        let metadata =
            header.texts().map(|(key, text)| (key.to_owned(), text.to_owned())).collect();
        Ok(Self { rows: header.rows(&tensor, 2)?, tensor, metadata })
    }

    /// The name of the tensor.
    #[must_use]
    pub fn tensor(&self) -> &str {
        &self.tensor
    }

    /// What the file's writer says of it (`__metadata__`), such as model and layer.
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

/// The name of the only tensor of rank 2.
fn only_matrix(header: &Header) -> Result<String, FileError> {
    let is_matrix = |name: &String| header.info(name).is_ok_and(|info| info.shape.len() == 2);
    let mut matrices: Vec<_> = header.names().into_iter().filter(is_matrix).collect();
    match (matrices.pop(), matrices.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(header.no_tensor("no tensor is of rank 2".to_owned())),
        (Some(_), others) => {
            let problem = format!("{} tensors are of rank 2, so one must be named", others + 1);
            Err(header.no_tensor(problem))
        }
    }
}
