//! Products of matrices on the device.

use crate::device::{Device, Kernel};
use crate::matrix::GpuMatrix;

const PRODUCT: Kernel = Kernel::new(include_str!("wgsl/product.wgsl"), "product");

/// Columns and rows of a tile of the product.
const TILE: usize = 64;

/// C ← AᵀB for the first few columns of B. C has room for them.
pub(crate) fn product(
    device: &Device,
    a: &GpuMatrix,
    b: &GpuMatrix,
    c: &wgpu::Buffer,
    columns: usize,
) {
    debug_assert!(a.rows == b.rows && columns <= b.cols, "AᵀB of {a:?} and {b:?}");
    let tiles = a.cols.div_ceil(TILE) * columns.div_ceil(TILE);
    let numbers = [a.rows, a.cols, columns].map(|number| number as u32);
    device.run(&PRODUCT, &[&a.buffer, &b.buffer, c], &numbers, tiles);
}
