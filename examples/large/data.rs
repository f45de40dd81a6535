//! The file: planted samples with noise and a mean, written block by block.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use dbksvd::synthetic::Planted;
use half::f16;

use crate::program::Outcome;

/// Samples planted.
const BLOCK: usize = 50_000;

/// A prime: what partners of a sample differ by from turn to turn.
const STRIDE: usize = 7919;

/// Added to every coordinate.
const MEAN: f32 = 0.1;

/// Writes the file unless it is there in the right size; returns the bytes written. One of another
/// size is an error.
pub fn write(
    path: &Path,
    samples: usize,
    dim: usize,
    atoms: usize,
    sparsity: usize,
) -> Outcome<u64> {
    let text = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({samples}, {dim}), }}");
    // NumPy wants the data at a multiple of 64.
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let values = (samples as u64).checked_mul(dim as u64).and_then(|values| values.checked_mul(2));
    let size = values.and_then(|bytes| bytes.checked_add((10 + length) as u64));
    let size = size.ok_or_else(|| format!("{samples} samples of dimension {dim} fit no file"))?;
    let name = path.display();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() == size => return Ok(0),
        // It is somebody's file: it is not for this program to replace it.
        Ok(metadata) => {
            let found = metadata.len();
            return Err(
                format!("{name}: there with {found} bytes, expected {size} or no file").into()
            );
        }
        Err(_) => {}
    }
    let file = File::create(path).map_err(|error| format!("{name}: {error}"))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(length as u16).to_le_bytes())?;
    write!(file, "{text:<width$}", width = length - 1)?;
    file.write_all(b"\n")?;
    // A row is the sum of two samples of half the nonzeros, another two each time round: other rows
    // at the speed of writing, all of one dictionary.
    let block = BLOCK.min(samples);
    let planted = Planted::new(dim, atoms, sparsity.div_ceil(2), block).noise(0.05);
    let block = planted.generate::<f32>()?.samples;
    for row in 0..samples {
        let (turn, i) = (row / block.ncols(), row % block.ncols());
        let other = (i + 1 + turn * STRIDE) % block.ncols();
        write_row(&mut file, block.col_as_slice(i), block.col_as_slice(other))?;
    }
    file.flush()?;
    Ok(size)
}

fn write_row(file: &mut impl Write, a: &[f32], b: &[f32]) -> io::Result<()> {
    let values = a.iter().zip(b).map(|(a, b)| f16::from_f32(a + b + MEAN));
    values.into_iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))
}

/// Forgets the most memory that the process has held so far, where the system lets it (Linux).
pub fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that the process has held, where the system says so (Linux), in MiB.
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
