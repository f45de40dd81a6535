//! The Gram matrix in 16 bits, and pursuits by its rows. `wgsl/halves.wgsl` says how.

use dbksvd::ProblemShape;
use dbksvd::error::BackendError;

use crate::block::Block;
use crate::buffer::Buffer;
use crate::device::{Device, Kernel, LANES};
use crate::gram_free::SQUARES;
use crate::matrix::{GpuCodes, GpuMatrix};
use crate::product::product;
use crate::sweep::{Way, copy};

const PURSUE: Kernel = Kernel::new(
    concat!(
        include_str!("wgsl/sum.wgsl"),
        include_str!("wgsl/pursuit_common.wgsl"),
        include_str!("wgsl/from_atoms.wgsl"),
        include_str!("wgsl/halves.wgsl")
    ),
    "pursue",
);
const QUANTISE: Kernel = Kernel::new(include_str!("wgsl/quantise.wgsl"), "quantise");

/// Rows that are computed at once: their products with all atoms take memory.
const BLOCK: usize = 128;

/// G = DᵀD in 16 bits: G_sj ≈ σ_s v_sj / 32767 for j ≠ s.
#[derive(Debug)]
pub(crate) struct HalfGram {
    /// v, two numbers a word; rows are whole words.
    gram: Buffer,
    /// σ_s.
    scales: Buffer,
    /// ‖d_s‖².
    squares: Buffer,
    /// The atoms of a block of rows, and their products with all.
    atoms: GpuMatrix,
    products: Buffer,
}

/// Words of the matrix for so many atoms.
pub(crate) fn words(atoms: usize) -> usize {
    atoms * atoms.div_ceil(2)
}

impl HalfGram {
    pub(crate) fn new(device: &Device, shape: &ProblemShape) -> Result<Self, BackendError> {
        let ProblemShape { dim, atoms, .. } = *shape;
        let width = BLOCK.min(atoms).min((device.most_bytes as usize / (4 * atoms)).max(1));
        let what = "the Gram matrix";
        Ok(Self {
            gram: device.in_parts(words(atoms), what)?,
            scales: device.buffer(atoms, what)?,
            squares: device.buffer(atoms, what)?,
            atoms: GpuMatrix::new(device, dim, width)?,
            products: device.buffer(atoms * width, what)?,
        })
    }

    pub(crate) fn set_dictionary(
        &self,
        device: &Device,
        dictionary: &GpuMatrix,
    ) -> Result<(), BackendError> {
        let (dim, atoms) = (dictionary.rows, dictionary.cols);
        let numbers = [dim, atoms].map(|number| number as u32);
        let buffers = [&dictionary.buffer, &self.squares];
        device.run(&SQUARES, &buffers, &numbers, atoms.div_ceil(LANES));
        let width = self.atoms.cols;
        for first in (0..atoms).step_by(width) {
            let count = width.min(atoms - first);
            let places: Vec<u32> = (first..first + count).map(|place| place as u32).collect();
            let order = device.buffer(count, "an order of atoms")?;
            device.write_all(&order, &places)?;
            copy(device, dictionary, &self.atoms, (&order, count), Way::Gather);
            product(device, dictionary, &self.atoms, &self.products, count);
            let numbers = [atoms, first, count].map(|number| number as u32);
            let buffers = [&self.products, &self.gram, &self.scales];
            device.run(&QUANTISE, &buffers, &numbers, count);
        }
        Ok(())
    }

    /// Codes a block of scaled samples.
    pub(crate) fn pursue(
        &self,
        device: &Device,
        dictionary: &GpuMatrix,
        block: &Block<'_>,
        codes: &GpuCodes,
    ) {
        product(device, dictionary, block.scaled, block.correlations, block.count);
        let buffers =
            [&block.buffers(&self.gram, dictionary, codes)[..], &[&self.scales, &self.squares]]
                .concat();
        device.run(&block.wide(PURSUE), &buffers, &block.numbers(0), block.count);
    }
}
