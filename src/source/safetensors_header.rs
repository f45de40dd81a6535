//! The header of a safetensors file, which is read and checked without the data.

use std::fs::File;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::element::{ByteOrder, Element};
use super::rows::{Layout, RowFile, file_len, open_file, read_at};
use crate::error::FileError;

/// The longest header that is read: the limit of the reference implementation.
const LONGEST_HEADER: u64 = 100_000_000;

/// An open safetensors file.
#[derive(Debug)]
pub(crate) struct Header {
    path: PathBuf,
    file: File,
    data: u64,
    tensors: Metadata,
}

impl Header {
    /// Opens `path`: 8 bytes that hold a length n, n bytes of JSON, and the data, which must end
    /// where the file ends.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let file = open_file(path)?;
        let found = file_len(path, &file)?;
        let promised = |promised| FileError::Truncated { path: path.to_owned(), promised, found };
        if found < 8 {
            return Err(malformed(path, format!("{found} bytes, fewer than the 8 of a length")));
        }
        let mut length = [0; 8];
        read_at(path, &file, &mut length, 0)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER {
            return Err(malformed(path, format!("a header of {length} bytes")));
        }
        let data = 8 + length;
        if data > found {
            return Err(promised(data));
        }
        let mut json = vec![0; length as usize];
        read_at(path, &file, &mut json, 8)?;
        // This checks that the tensors cover the data without overflow, gap or overlap.
        let tensors: Metadata =
            serde_json::from_slice(&json).map_err(|error| malformed(path, error.to_string()))?;
        match data.checked_add(tensors.data_len() as u64) {
            Some(end) if end > found => Err(promised(end)),
            Some(end) if end == found => Ok(Self { path: path.to_owned(), file, data, tensors }),
            Some(end) => {
                let reason = format!("its tensors end at byte {end}, the file holds {found}");
                Err(malformed(path, reason))
            }
            None => Err(malformed(path, format!("data of {} bytes", tensors.data_len()))),
        }
    }

    /// Names of the tensors, in the order of their data.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tensors.offset_keys()
    }

    pub(crate) fn info(&self, tensor: &str) -> Result<&TensorInfo, FileError> {
        self.tensors.info(tensor).ok_or_else(|| self.no_tensor(format!("no tensor `{tensor}`")))
    }

    /// The texts under `__metadata__`.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tensors.metadata().iter().flatten().map(|(key, text)| (key.as_str(), text.as_str()))
    }

    /// Tensor `tensor` as rows: a tensor of shape (N, d) if `rank` is 2; a tensor of shape (d), as
    /// one row, if `rank` is 1.
    pub(crate) fn rows(&self, tensor: &str, rank: usize) -> Result<RowFile, FileError> {
        let info = self.info(tensor)?;
        if info.shape.len() != rank {
            let expected = if rank == 2 { "(N, d)" } else { "(d)" }.to_owned();
            let (path, found) = (self.path.clone(), info.shape.clone());
            return Err(FileError::Shape { path, found, expected });
        }
        let one_row = if rank == 1 { Some(1) } else { None };
        self.open_rows(info, one_row.into_iter().chain(info.shape.iter().map(|&n| n as u64)))
    }

    /// Tensor `tensor` as samples: its last axis is d, and N is the product of the others.
    pub(crate) fn samples(&self, tensor: &str) -> Result<RowFile, FileError> {
        let info = self.info(tensor)?;
        self.open_rows(info, info.shape.iter().map(|&n| n as u64))
    }

    fn open_rows(
        &self,
        info: &TensorInfo,
        shape: impl Iterator<Item = u64>,
    ) -> Result<RowFile, FileError> {
        let path = &self.path;
        let Some(element) = element(info.dtype) else {
            let (path, found) = (path.clone(), info.dtype.to_string());
            let expected = "F16, BF16, F32 or F64";
            return Err(FileError::ElementType { path, found, expected });
        };
        let file = self.file.try_clone();
        let file = file.map_err(|source| FileError::Io { path: path.clone(), source })?;
        let offset = self.data + info.data_offsets.0 as u64;
        let (order, shape) = (ByteOrder::Little, shape.collect());
        let layout = Layout { format: "safetensors", element, order, offset, shape };
        RowFile::new(path, file, layout)
    }

    /// All bytes of tensor `name`, which must be of this type.
    pub(crate) fn bytes(&self, name: &str, dtype: Dtype) -> Result<Vec<u8>, FileError> {
        let info = self.info(name)?;
        if info.dtype != dtype {
            let (path, found) = (self.path.clone(), info.dtype.to_string());
            let expected = if dtype == Dtype::U64 { "U64" } else { "F32 or F64, as the run" };
            return Err(FileError::ElementType { path, found, expected });
        }
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        read_at(&self.path, &self.file, &mut bytes, self.data + start as u64)?;
        Ok(bytes)
    }

    pub(crate) fn no_tensor(&self, problem: String) -> FileError {
        FileError::Tensor { path: self.path.clone(), problem, available: self.names() }
    }
}

/// The element type of samples that corresponds to a tensor's type, if there is one.
pub(crate) fn element(dtype: Dtype) -> Option<Element> {
    match dtype {
        Dtype::F16 => Some(Element::F16),
        Dtype::BF16 => Some(Element::Bf16),
        Dtype::F32 => Some(Element::F32),
        Dtype::F64 => Some(Element::F64),
        _ => None,
    }
}

fn malformed(path: &Path, reason: String) -> FileError {
    FileError::Format { path: path.to_owned(), format: "safetensors", reason }
}
