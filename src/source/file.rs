//! Samples in a `.npy` or `.safetensors` file; the extension tells the format.

use std::path::Path;

#[cfg(feature = "npy")]
use super::NpySource;
#[cfg(feature = "safetensors")]
use super::SafetensorsSource;
use super::rows::{RowFile, check_kind, impl_file_source};
use crate::error::FileError;

/// An open file of samples, in one of the formats whose features are enabled.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileSource {
    /// A `.npy` file (feature `npy`).
    #[cfg(feature = "npy")]
    Npy(NpySource),
    /// A `.safetensors` file (feature `safetensors`).
    #[cfg(feature = "safetensors")]
    Safetensors(SafetensorsSource),
}

impl FileSource {
    fn rows(&self) -> &RowFile {
        match self {
            #[cfg(feature = "npy")]
            Self::Npy(source) => source.rows(),
            #[cfg(feature = "safetensors")]
            Self::Safetensors(source) => source.rows(),
        }
    }

    pub(super) fn rows_mut(&mut self) -> &mut RowFile {
        match self {
            #[cfg(feature = "npy")]
            Self::Npy(source) => source.rows_mut(),
            #[cfg(feature = "safetensors")]
            Self::Safetensors(source) => source.rows_mut(),
        }
    }
}

impl_file_source!(FileSource);

/// Opens the samples of a `.npy` or `.safetensors` file; the extension tells the format. `tensor`
/// names the tensor of a `.safetensors` file, as in `SafetensorsSource::open`.
///
/// # Errors
/// [`FileError::NotAFile`] for a directory or a pipe; [`FileError::Format`] for any other extension
/// and for a format whose feature is disabled; [`FileError::Tensor`] for a tensor name with a
/// `.npy` file, since its array has no name; and the errors of `NpySource::open` and
/// `SafetensorsSource::open`.
pub fn open(path: impl AsRef<Path>, tensor: Option<&str>) -> Result<FileSource, FileError> {
    let path = path.as_ref();
    let extension = path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("npy") => open_npy(path, tensor),
        Some("safetensors") => open_safetensors(path, tensor),
        _ => {
            // A directory or a pipe gets its own error, not one about a missing extension.
            check_kind(path)?;
            let reason = "its extension is neither .npy nor .safetensors".to_owned();
            Err(FileError::Format { path: path.to_owned(), format: "sample", reason })
        }
    }
}

#[cfg(feature = "npy")]
fn open_npy(path: &Path, tensor: Option<&str>) -> Result<FileSource, FileError> {
    if let Some(name) = tensor {
        return Err(FileError::Tensor {
            path: path.to_owned(),
            problem: format!("no tensor `{name}`"),
            available: vec!["one array without a name".to_owned()],
        });
    }
    Ok(FileSource::Npy(NpySource::open(path)?))
}

#[cfg(not(feature = "npy"))]
fn open_npy(path: &Path, _: Option<&str>) -> Result<FileSource, FileError> {
    Err(feature_off(path, "npy"))
}

#[cfg(feature = "safetensors")]
fn open_safetensors(path: &Path, tensor: Option<&str>) -> Result<FileSource, FileError> {
    Ok(FileSource::Safetensors(SafetensorsSource::open(path, tensor)?))
}

#[cfg(not(feature = "safetensors"))]
fn open_safetensors(path: &Path, _: Option<&str>) -> Result<FileSource, FileError> {
    Err(feature_off(path, "safetensors"))
}

/// The error for a format that is disabled in this build.
#[cfg(not(all(feature = "npy", feature = "safetensors")))]
fn feature_off(path: &Path, format: &'static str) -> FileError {
    let reason = format!("this build cannot read the format: its feature `{format}` is off");
    FileError::Format { path: path.to_owned(), format, reason }
}
