//! What the fuzz targets do: hand bytes to the crate as files. Whatever the bytes, a call returns,
//! soon, with a value or an error of one line that names the file.
//!
//! Each module has `seeds`, valid files and near misses to begin with, and `try_out`.

pub mod checkpoint;
pub mod codes;
pub mod model;
pub mod npy;
pub mod saelens;
pub mod safetensors;
pub mod sparsify;

mod bytes;
mod sae;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dbksvd::source::SampleSource;

/// A first input: its file's name and content.
pub type Seed = (&'static str, Vec<u8>);

/// With a folder in the variable `SEEDS`, writes the seeds there and ends the process.
pub fn write_seeds(seeds: impl FnOnce() -> Vec<Seed>) {
    let Some(folder) = std::env::var_os("SEEDS") else { return };
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    for (name, bytes) in seeds() {
        std::fs::write(folder.join(name), bytes).expect("a seed");
    }
    std::process::exit(0);
}

/// A folder of this process within the system's folder for temporary files.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("dbksvd-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for files");
        folder
    })
}

/// Writes a file to the folder of this process.
fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch().join(name);
    std::fs::write(&path, bytes).expect("a file in memory or on a disk");
    path
}

/// The error is one short line that begins with the path.
fn check_error(error: &dyn std::error::Error, path: &Path) {
    let line = error.to_string();
    assert!(line.starts_with(&*path.to_string_lossy()), "{line}");
    assert!(!line.contains('\n') && line.len() < 20_000, "{line}");
}

/// Reads the first, a middle and the last samples, and past the end.
fn check_source(source: &(impl SampleSource<f32> + SampleSource<f64>)) {
    check_reads::<f32>(source);
    check_reads::<f64>(source);
}

fn check_reads<T: dbksvd::Scalar>(source: &impl SampleSource<T>) {
    let (dim, len) = (source.dim(), source.len());
    assert!(dim > 0);
    let most = (1 << 16) / dim;
    let count = len.min(most.max(1));
    if count * dim > 1 << 20 {
        return;
    }
    let mut values = vec![T::zero(); count * dim];
    for start in [0, (len - count) / 2, len - count] {
        // A file that is whole can be read; what it holds may be refused.
        let _ = source.read(start..start + count, &mut values);
    }
    assert!(source.read(len..len + 1, &mut values[..0]).is_err());
}
