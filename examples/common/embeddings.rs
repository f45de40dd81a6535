//! The shipped embeddings, in memory.

use dbksvd::Error;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::source::{SafetensorsSource, SampleSource};

/// Rows that the studies do not learn from: the last ones.
pub const HELD_OUT: usize = 1024;

/// All 8,192, a column each.
pub fn embeddings() -> Result<Mat<f32>, Error> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/minilm_l3_8192_f16.safetensors");
    let source = SafetensorsSource::open(path, None)?;
    let (dim, samples) = (source.dim(), source.len());
    let mut values = vec![0.0; dim * samples];
    source.read(0..samples, &mut values)?;
    Ok(MatRef::from_column_major_slice(&values, dim, samples).to_owned())
}
