//! Products of matrices on the device.

use dbksvd::Sign;
use dbksvd::error::BackendError;

use crate::buffer::Buffer;
use crate::device::{Device, Kernel};
use crate::matrix::GpuMatrix;

const PRODUCT: Kernel = Kernel::new(
    concat!(include_str!("wgsl/tile.wgsl"), include_str!("wgsl/product.wgsl")),
    "product",
);
const PAIRS: Kernel = Kernel::new(
    concat!(include_str!("wgsl/tile.wgsl"), include_str!("wgsl/pairs.wgsl")),
    "pairs_above",
);

/// Columns and rows of a tile of the product.
const TILE: usize = 64;

/// C ← AᵀB for the first few columns of B. C has room for them.
pub(crate) fn product(device: &Device, a: &GpuMatrix, b: &GpuMatrix, c: &Buffer, columns: usize) {
    debug_assert!(a.rows == b.rows && columns <= b.cols, "AᵀB of {a:?} and {b:?}");
    let tiles = a.cols.div_ceil(TILE) * columns.div_ceil(TILE);
    let numbers = [a.rows, a.cols, columns].map(|number| number as u32);
    device.run(&PRODUCT, &[&a.buffer, &b.buffer, c], &numbers, tiles);
}

/// All pairs i < j of columns of A with |a_i·a_j| above a threshold (a_i·a_j, for non-negative
/// codes), in order.
pub(crate) fn pairs_above(
    device: &Device,
    a: &GpuMatrix,
    threshold: f64,
    sign: Sign,
) -> Result<Vec<(u32, u32)>, BackendError> {
    let tiles = a.cols.div_ceil(TILE);
    let found = list(device, a.cols, &mut |pairs, most| {
        let [rows, cols] = [a.rows, a.cols].map(|number| number as u32);
        let is_signed = u32::from(sign == Sign::Signed);
        let numbers = [rows, cols, (threshold as f32).to_bits(), is_signed, most];
        device.run(&PAIRS, &[&a.buffer, &a.buffer, pairs], &numbers, tiles * tiles);
    })?;
    Ok(found.into_iter().map(|[i, j]| (i, j)).collect())
}

/// The pairs of numbers that a kernel appends to a list, sorted. `append` runs it on a buffer that
/// has a count and then room for as many pairs as it is told. It runs again if that was too little;
/// `likely` pairs find room at first.
pub(crate) fn list(
    device: &Device,
    likely: usize,
    append: &mut dyn FnMut(&Buffer, u32),
) -> Result<Vec<[u32; 2]>, BackendError> {
    let mut most = likely.max(16);
    loop {
        let buffer = device.buffer(1 + 2 * most, "a list of pairs")?;
        append(&buffer, most as u32);
        let count = device.read::<u32>(&[(&buffer, 0, 1)])?[0] as usize;
        if count > most {
            most = count;
            continue;
        }
        let numbers: Vec<u32> = device.read(&[(&buffer, 1, 2 * count)])?;
        let mut pairs: Vec<[u32; 2]> =
            numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        pairs.sort_unstable();
        return Ok(pairs);
    }
}
