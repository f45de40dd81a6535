//! Codes of many samples: products are computed in blocks, then activations for each sample.

use std::sync::{Mutex, PoisonError};

use dbksvd::faer::{Mat, MatRef};
use dbksvd::source::AsSamples;
use dbksvd::{Error, Faer, HostBackend, Scalar, SparseCodes};
use rayon::prelude::*;

use super::activation::{Activation, Input, Output};
use super::pursuit::Pursuit;
use super::types::Sae;
use crate::vector::{axpy, column, first_not_finite};

/// Samples that are multiplied at a time. The last block is padded to this number, since the bits
/// of a product depend on its width.
pub(super) const BLOCK: usize = 128;

/// The atoms and coefficients of one sample.
type Nonzeros<T> = Vec<(u32, T)>;

/// The scratch memory with which a task codes a block of samples.
#[derive(Debug)]
pub(super) struct Scratch<T: Scalar> {
    samples: Mat<T>,
    products: Mat<T>,
    pursuit: Pursuit<T>,
    codes: Nonzeros<T>,
}

/// Scratch of tasks that have ended, which later tasks reuse. It holds as much as was ever in use
/// at the same time.
#[derive(Debug)]
pub(super) struct Pool<T: Scalar>(Mutex<Vec<Scratch<T>>>);

impl<T: Scalar> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Scalar> Scratch<T> {
    fn new(sae: &Sae<T>) -> Self {
        let products = if sae.architecture().encoder().is_some() { sae.atoms() } else { 0 };
        Self {
            samples: Mat::zeros(sae.dim(), BLOCK),
            products: Mat::zeros(products, BLOCK),
            pursuit: Pursuit::default(),
            codes: Vec::new(),
        }
    }

    /// Calls `take` for each of `samples`, of which there are at most [`BLOCK`], with its number
    /// within the block and its nonzero codes, the strongest first. `minus` is subtracted from the
    /// samples.
    fn block<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        (sae, activation): (&Sae<T>, &Activation<T>),
        samples: MatRef<'_, T>,
        minus: Option<&[T]>,
        mut take: impl FnMut(usize, &mut Nonzeros<T>),
    ) {
        let Self { samples: padded, products, pursuit, codes } = self;
        let count = samples.ncols();
        for i in 0..BLOCK {
            let into = padded.col_as_slice_mut(i);
            if i < count {
                into.copy_from_slice(column(samples, i));
                if let Some(minus) = minus {
                    axpy(into, -<T as num_traits::One>::one(), minus);
                }
            } else {
                into.fill(T::zero());
            }
        }
        if let Some(encoder) = sae.architecture().encoder() {
            backend.product_tn(products.as_mut(), encoder.weights.as_ref(), padded.as_ref());
        }
        for i in 0..count {
            let sample = padded.col_as_slice(i);
            activation.codes(backend, sae, sample, products.col_as_slice(i), pursuit, codes);
            take(i, codes);
        }
    }
}

impl<T: Scalar> Pool<T> {
    /// Does the same as [`Scratch::block`], with scratch of the pool.
    pub(super) fn block<B: HostBackend<Scalar = T>>(
        &self,
        backend: &B,
        (sae, activation): (&Sae<T>, &Activation<T>),
        samples: MatRef<'_, T>,
        minus: Option<&[T]>,
        take: impl FnMut(usize, &mut Nonzeros<T>),
    ) {
        // A panic elsewhere may leave any content in the scratch, which does not matter.
        let idle = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = idle().pop();
        let mut scratch = scratch.unwrap_or_else(|| Scratch::new(sae));
        scratch.block(backend, (sae, activation), samples, minus, take);
        idle().push(scratch);
    }
}

impl<T: Scalar> Sae<T> {
    /// The codes of `samples` (d × N, one sample per column) on the
    /// [`dictionary`](Self::dictionary): every latent that fires and whose decoder row is not zero,
    /// times the norm of its decoder row. The strongest code of a sample comes first. The budget of
    /// the codes is the largest number of nonzeros, at least 1.
    ///
    /// O(N·d·m), in parallel; with matching pursuit O(N·d·m) per iteration. Memory: twice the
    /// codes, and 128·(2d + m) scalars per thread. A sample's code has the same bits whether it is
    /// encoded alone or with others.
    ///
    /// # Errors
    /// [`Error::Dimension`] if samples are not of dimension d, [`Error::Source`] for a slice that
    /// does not hold a whole number of them; [`Error::NotFinite`] for a NaN or an infinity.
    pub fn encode(&self, samples: impl AsSamples<T>) -> Result<SparseCodes<T>, Error> {
        self.code(samples.as_samples(self.dim())?, Output::Codes)
    }

    /// The latents of `samples` (d × N, one sample per column), as other tools show them, the
    /// largest of a sample first. They are those of [`latents`](Self::latents) after
    /// [`encode`](Self::encode), but rounded less often, and they include latents whose decoder row
    /// is zero, which have no code.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    pub fn encode_latents(&self, samples: impl AsSamples<T>) -> Result<SparseCodes<T>, Error> {
        self.code(samples.as_samples(self.dim())?, Output::Latents)
    }

    fn code(&self, samples: MatRef<'_, T>, output: Output) -> Result<SparseCodes<T>, Error> {
        if samples.nrows() != self.dim() {
            let (found, expected) = (samples.nrows(), self.dim());
            return Err(Error::Dimension { argument: "samples", found, expected });
        }
        let activation = Activation::new(self, Input::AsWanted, output);
        let (backend, pool) = (Faer::<T>::default(), Pool::default());
        let minus = self.is_input_centred().then(|| self.decoder_bias());
        let blocks: Vec<Result<Vec<Nonzeros<T>>, Error>> = (0..samples.ncols().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let first = block * BLOCK;
                let width = BLOCK.min(samples.ncols() - first);
                // Matrices that were borrowed may have any strides, so they are copied.
                let samples = samples.subcols(first, width).to_owned();
                for i in 0..width {
                    let sample = samples.col_as_slice(i);
                    if let Some(coordinate) = first_not_finite(sample) {
                        let value = sample[coordinate].widen();
                        return Err(Error::NotFinite { sample: first + i, coordinate, value });
                    }
                }
                let mut block = Vec::with_capacity(width);
                let take = |_, codes: &mut Nonzeros<T>| block.push(codes.clone());
                pool.block(&backend, (self, &activation), samples.as_ref(), minus, take);
                Ok(block)
            })
            .collect();
        // The blocks are looked at in order, so that the first bad sample is reported.
        let blocks = blocks.into_iter().collect::<Result<Vec<_>, _>>()?;
        let most = blocks.iter().flatten().map(Vec::len).max().unwrap_or(0).max(1);
        let mut all = SparseCodes::new(self.atoms(), samples.ncols(), most);
        all.par_blocks_mut(BLOCK).zip(&blocks).for_each(|(mut into, block)| {
            for (i, codes) in block.iter().enumerate() {
                into.write(i, |support, values| copy(codes, support, values));
            }
        });
        Ok(all)
    }
}

/// Copies codes into slots, as many as there are slots.
pub(super) fn copy<T: Scalar>(codes: &[(u32, T)], support: &mut [u32], values: &mut [T]) -> usize {
    for ((&(atom, value), slot), into) in codes.iter().zip(support).zip(values) {
        (*slot, *into) = (atom, value);
    }
    codes.len()
}
