//! The products that coding begins with, a block of samples at a time.

use faer::{Mat, MatRef};

use crate::Scalar;
use crate::cpu::HostBackend;

/// Samples whose correlations are computed by one product. The bits of a product's column depend on
/// the width of the block: the last block is padded, so that they do not depend on anything else.
pub(crate) const BLOCK: usize = 128;

/// α⁰ = DᵀY for a block of samples.
#[derive(Debug)]
pub(crate) struct Correlations<T> {
    padded: Mat<T>,
    pub(super) products: Mat<T>,
}

impl<T: Scalar> Correlations<T> {
    /// Room for samples of dimension `dim` and `atoms` atoms.
    pub(crate) fn new(dim: usize, atoms: usize) -> Self {
        Self { padded: Mat::zeros(dim, BLOCK), products: Mat::zeros(atoms, BLOCK) }
    }

    /// DᵀY for at most [`BLOCK`] samples. What follows their columns means nothing.
    pub(crate) fn compute<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
        samples: MatRef<'_, T>,
    ) -> MatRef<'_, T> {
        let Self { padded, products } = self;
        // Stale columns beyond the block's length are harmless: columns do not mix.
        let full = if samples.ncols() == BLOCK {
            samples
        } else {
            padded.as_mut().subcols_mut(0, samples.ncols()).copy_from(samples);
            padded.as_ref()
        };
        backend.product_tn(products.as_mut(), dictionary, full);
        products.as_ref()
    }
}
