//! The Gram matrix of a dictionary in 16-bit numbers.

use std::ops::Range;

use faer::{Mat, MatRef};
use num_traits::Float;
use pulp::bytemuck;
use rayon::prelude::*;

use super::format16::{CHUNK, UNIT};
use crate::Scalar;
use crate::cpu::HostBackend;
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::aligned::Aligned;
use crate::cpu::vector::dots16::{Dots16, WithDots16, with_fastest};
use crate::cpu::vector::loops::{self, LANES};
use crate::cpu::vector::rows;
use crate::error::BackendError;
use crate::group::Group;
use crate::matrix::column;

/// Columns of G that one task computes at a time.
const BLOCK: usize = 64;

/// Bytes that all owners together send each other at a time, at most or by one block of each.
const AT_ONCE: usize = 32 << 20;

/// G = DᵀD, row by row: G_sj ≈ σ_s · value_sj / [`UNIT`] for j ≠ s, within half a unit.
#[derive(Debug)]
pub(crate) struct QuantisedGram<T> {
    /// Rows, `stride` apart, in the order [`Dots16::stored`].
    values: Aligned<i16>,
    stride: usize,
    /// σ_s, the largest |G_sj| with j ≠ s.
    pub(crate) scales: Vec<T>,
    /// G_ss = ‖d_s‖².
    pub(crate) norms: Vec<T>,
    /// Blocks of G in full precision.
    scratch: ScratchPool<Block<T>>,
}

#[derive(Debug)]
struct Block<T> {
    atoms: Mat<T>,
    products: Mat<T>,
}

impl<T: Scalar> QuantisedGram<T> {
    /// Room for the Gram matrix of `atoms` atoms.
    pub(crate) fn new(atoms: usize) -> Result<Self, BackendError> {
        let stride = Self::stride(atoms);
        Ok(Self {
            values: Aligned::matrix(0, stride, atoms)?,
            stride,
            scales: vec![T::zero(); atoms],
            norms: vec![T::zero(); atoms],
            scratch: ScratchPool::default(),
        })
    }

    fn stride(atoms: usize) -> usize {
        // Rows a power of two apart would fall on the same cache sets.
        atoms.next_multiple_of(CHUNK) + 32
    }

    /// Bytes that the matrix takes.
    pub(crate) fn bytes(atoms: usize) -> usize {
        atoms.saturating_mul(Self::stride(atoms)).saturating_mul(size_of::<i16>())
    }

    /// Takes a new dictionary. O(dm²).
    pub(crate) fn compute<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
    ) {
        self.compute_blocks(backend, dictionary, 0..dictionary.ncols().div_ceil(BLOCK));
    }

    /// [`compute`](Self::compute) by several owners, each of some of the blocks. What they send is
    /// the matrix as it lies here, so their processors must have the same vectors.
    pub(crate) fn compute_together<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
        group: &dyn Group,
    ) -> Result<(), BackendError> {
        let (m, ranks) = (dictionary.ncols(), group.ranks());
        let blocks = m.div_ceil(BLOCK);
        let blocks_of = |rank: usize| rank * blocks / ranks..(rank + 1) * blocks / ranks;
        self.compute_blocks(backend, dictionary, blocks_of(group.rank()));
        // A row without what follows it, and its scale and norm.
        let width = m.next_multiple_of(CHUNK);
        let bytes = width * size_of::<i16>() + 2 * size_of::<T>();
        let at_once = (AT_ONCE / ranks / (bytes * BLOCK)).max(1);
        let rounds = blocks.div_ceil(ranks).div_ceil(at_once);
        let mut message = Vec::with_capacity(at_once * BLOCK * bytes);
        for round in 0..rounds {
            let rows_of = |rank: usize| {
                let blocks = blocks_of(rank);
                let first = (blocks.start + round * at_once).min(blocks.end);
                let last = (first + at_once).min(blocks.end);
                first * BLOCK..(last * BLOCK).min(m)
            };
            message.clear();
            for s in rows_of(group.rank()) {
                message.extend_from_slice(bytemuck::cast_slice(&[self.scales[s], self.norms[s]]));
                let start = s * self.stride;
                message.extend_from_slice(bytemuck::cast_slice(&self.values[start..start + width]));
            }
            for (rank, rows) in group.gather(&message)?.into_iter().enumerate() {
                if rank == group.rank() {
                    continue;
                }
                let expected = rows_of(rank).len();
                if rows.len() != expected * bytes {
                    let found = rows.len();
                    let reason =
                        format!("{found} bytes, expected {expected} rows of the Gram matrix");
                    return Err(BackendError::Group { rank, reason });
                }
                for (s, row) in rows_of(rank).zip(rows.chunks_exact(bytes)) {
                    let (numbers, values) = row.split_at(2 * size_of::<T>());
                    let (scale, norm) = numbers.split_at(size_of::<T>());
                    self.scales[s] = bytemuck::pod_read_unaligned(scale);
                    self.norms[s] = bytemuck::pod_read_unaligned(norm);
                    let own = &mut self.values[s * self.stride..][..width];
                    bytemuck::cast_slice_mut(own).copy_from_slice(values);
                }
            }
        }
        Ok(())
    }

    /// Some of the blocks of [`BLOCK`] rows.
    fn compute_blocks<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
        blocks: Range<usize>,
    ) {
        let (dim, m) = dictionary.shape();
        let Self { values, stride, scales, norms, scratch } = self;
        let scratch = &*scratch;
        let atoms = blocks.start * BLOCK..(blocks.end * BLOCK).min(m);
        let rows =
            values[atoms.start * *stride..atoms.end * *stride].par_chunks_mut(*stride * BLOCK);
        let scales = scales[atoms.clone()].par_chunks_mut(BLOCK);
        let norms = norms[atoms].par_chunks_mut(BLOCK);
        rows.zip(scales).zip(norms).enumerate().for_each(|(b, ((rows, scales), norms))| {
            let b = blocks.start + b;
            let new = || Block { atoms: Mat::zeros(dim, BLOCK), products: Mat::zeros(m, BLOCK) };
            scratch.with(new, |block| {
                // The bits of a product may depend on its width: the last block is padded.
                let atoms = dictionary.subcols(b * BLOCK, scales.len());
                block.atoms.as_mut().subcols_mut(0, scales.len()).copy_from(atoms);
                backend.product_tn(block.products.as_mut(), dictionary, block.atoms.as_ref());
                for (i, row) in rows.chunks_mut(*stride).enumerate() {
                    let products = block.products.col_as_slice_mut(i);
                    norms[i] = std::mem::replace(&mut products[b * BLOCK + i], T::zero());
                    let scale = &mut scales[i];
                    with_fastest(Quantise { products, row, scale });
                }
            });
        });
    }

    /// All rows; row s begins at [`start`](Self::start)(s).
    #[inline(always)]
    pub(crate) fn rows(&self) -> &[i16] {
        &self.values
    }

    #[inline(always)]
    pub(crate) fn start(&self, s: u32) -> usize {
        s as usize * self.stride
    }
}

/// `row` ← [`UNIT`] · products / σ, where σ = max |products|.
struct Quantise<'a, T> {
    products: &'a [T],
    row: &'a mut [i16],
    scale: &'a mut T,
}

impl<T: Scalar> WithDots16 for Quantise<'_, T> {
    #[inline(always)]
    fn run<P: Dots16>(self, _: P) {
        let largest = loops::largest_magnitude(self.products);
        *self.scale = largest;
        let factor = if largest > T::zero() { T::narrow(UNIT) / largest } else { T::zero() };
        let half = T::narrow(0.5);
        let number = |product: T| {
            let p = product * factor;
            (p + Float::copysign(half, p)).truncate() as i16
        };
        let (chunks, rest) = self.products.as_chunks::<LANES>();
        let mut step = [0; LANES];
        for (chunk, row) in chunks.iter().zip(self.row.chunks_exact_mut(LANES)) {
            for l in 0..LANES {
                step[l] = number(chunk[l]);
            }
            P::store(&step, row);
        }
        let first = chunks.len() * LANES;
        for (i, &product) in rest.iter().enumerate() {
            self.row[P::stored(first + i)] = number(product);
        }
    }
}

/// d_jᵀ d_s for the atoms s of `with`, in full precision. `into` is padded to a multiple of four;
/// what follows the last atom's product means nothing.
#[inline(always)]
pub(crate) fn products<T: Scalar, S: pulp::Simd>(
    simd: S,
    dictionary: MatRef<'_, T>,
    atom: u32,
    with: &[u32],
    into: &mut [T],
) {
    let d = column(dictionary, atom as usize);
    let last = with.len().saturating_sub(1);
    for at in (0..with.len()).step_by(4) {
        let other = |i: usize| column(dictionary, with[(at + i).min(last)] as usize);
        let four = rows::dot4(simd, d, [other(0), other(1), other(2), other(3)]);
        into[at..at + 4].copy_from_slice(&four);
    }
}
