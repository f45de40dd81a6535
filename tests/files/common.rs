//! Files made by hand, byte by byte, so that nothing is tested against itself.

use std::path::{Path, PathBuf};

use dbksvd::source::SampleSource;
use tempfile::TempDir;

/// A directory that goes with the test.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// A `.npy` file, version 1.0, of this header text.
pub fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// The header text that NumPy writes.
pub fn npy_header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}   \n")
}

/// A safetensors file of this header text.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub fn f64_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The samples of `range`, read as f64.
pub fn read(source: &impl SampleSource<f64>, range: std::ops::Range<usize>) -> Vec<f64> {
    let mut values = vec![f64::NAN; range.len() * source.dim()];
    source.read(range, &mut values).unwrap();
    values
}

/// An error's message must name the file.
#[track_caller]
pub fn assert_names(error: &dbksvd::error::FileError, path: &Path) {
    let message = error.to_string();
    assert!(message.starts_with(&path.display().to_string()), "{message}");
}
