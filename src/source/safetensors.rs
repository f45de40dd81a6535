//! Samples in a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use super::rows::{RowFile, SHAPES, impl_file_source};
use super::safetensors_header::{Header, element};
use crate::error::FileError;

/// Tensors whose shapes a message shows.
const MOST_SHAPES: usize = 4;

/// The samples of one tensor of a safetensors file: F16, BF16, F32 or F64 of shape (N, d), or of
/// shape (B, S, d), which is B·S samples, and so with more axes.
///
/// Opening reads the header alone; [`read`](super::SampleSource::read) reads the range asked for by
/// positional reads, from any thread, converting as it goes and allocating nothing. All but F64
/// convert exactly; F64 read as f32 is rounded, or an error where rounding would lose a row.
/// [`run_length`](super::SampleSource::run_length) is 16. N = 0 is a source without samples.
#[derive(Debug)]
pub struct SafetensorsSource {
    rows: RowFile,
    tensor: String,
    metadata: BTreeMap<String, String>,
}

impl SafetensorsSource {
    /// Opens the tensor of this name, or without a name the only one of floating-point numbers that
    /// is of rank 2, or if there is none, of a higher rank. One of rank 2 that has a number for
    /// each row of another, such as a mask of shape (B, S) beside samples of shape (B, S, d), makes
    /// a name necessary.
    ///
    /// # Errors
    /// - [`FileError::Io`] if the file cannot be opened or read, [`FileError::NotAFile`] for a
    ///   directory or a pipe,
    /// - [`FileError::Format`] if it is not a safetensors file,
    /// - [`FileError::Truncated`] if it is shorter than its header says,
    /// - [`FileError::Tensor`] if the name is not there, or none is given and not exactly one
    ///   tensor could be meant; it lists the names,
    /// - [`FileError::ElementType`] and [`FileError::Shape`] (rank 2 at least, d ≥ 1) for the
    ///   tensor.
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

/// The name of the only tensor that can be samples.
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
        // Opening it tells of its type.
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

/// The shapes of the first tensors, for a message.
fn shapes(header: &Header) -> String {
    let shape = |name: String| {
        header
            .info(&name)
            .map_or_else(|_| name.clone(), |info| format!("{name} is {:?}", info.shape))
    };
    let shapes: Vec<_> = header.names().into_iter().take(MOST_SHAPES).map(shape).collect();
    if shapes.is_empty() { String::new() } else { format!(" ({})", shapes.join(", ")) }
}
