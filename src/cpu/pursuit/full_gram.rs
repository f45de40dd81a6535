//! The Gram matrix of a dictionary in full precision, row by row.

use faer::MatRef;
use rayon::prelude::*;

use crate::Scalar;
use crate::cpu::HostBackend;
use crate::cpu::vector::aligned::Aligned;
use crate::cpu::vector::{loops, vectorized};
use crate::error::BackendError;
use crate::matrix::column;

/// Rows are padded with zeros to a multiple of this.
pub(crate) const CHUNK: usize = 128;

/// Rows of G that one task computes at a time.
const BLOCK: usize = 128;

/// G = DᵀD.
#[derive(Debug)]
pub(crate) struct FullGram<T> {
    /// Rows, `stride` apart, padded with zeros.
    values: Aligned<T>,
    pub(crate) stride: usize,
    pub(crate) norms: Vec<T>,
}

impl<T: Scalar> FullGram<T> {
    /// Room for the Gram matrix of `atoms` atoms.
    pub(crate) fn new(atoms: usize) -> Result<Self, BackendError> {
        let stride = atoms.next_multiple_of(CHUNK);
        let values = Aligned::matrix(T::zero(), stride, atoms)?;
        Ok(Self { values, stride, norms: vec![T::zero(); atoms] })
    }

    /// Bytes that the matrix takes.
    pub(crate) fn bytes(atoms: usize) -> usize {
        atoms.saturating_mul(atoms.next_multiple_of(CHUNK)).saturating_mul(size_of::<T>())
    }

    /// Takes a new dictionary. O(dm²).
    pub(crate) fn compute<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
    ) {
        let (atoms, stride) = (dictionary.ncols(), self.stride);
        self.values.par_chunks_mut(stride * BLOCK).enumerate().for_each(|(b, rows)| {
            let count = rows.len() / stride;
            let rows =
                faer::MatMut::from_column_major_slice_with_stride_mut(rows, atoms, count, stride);
            backend.product_tn(rows, dictionary, dictionary.subcols(b * BLOCK, count));
        });
        for (s, norm) in self.norms.iter_mut().enumerate() {
            *norm = self.values[s * stride + s];
        }
    }

    #[inline(always)]
    pub(crate) fn row(&self, s: usize) -> &[T] {
        &self.values[s * self.stride..][..self.stride]
    }
}

/// Rows of G for coders that ask for few of them: kept if they fit into memory, else computed anew.
#[derive(Debug)]
pub(crate) enum GramRows<T> {
    Kept(FullGram<T>),
    /// The squared norms of atoms alone.
    Computed(Vec<T>),
}

impl<T: Scalar> GramRows<T> {
    /// For `atoms` atoms, in at most `limit` bytes.
    pub(crate) fn new(atoms: usize, limit: usize) -> Result<Self, BackendError> {
        Ok(if FullGram::<T>::bytes(atoms) <= limit {
            Self::Kept(FullGram::new(atoms)?)
        } else {
            Self::Computed(vec![T::zero(); atoms])
        })
    }

    /// Takes a new dictionary. O(dm²) if rows are kept, else O(dm).
    pub(crate) fn compute<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
    ) {
        match self {
            Self::Kept(gram) => gram.compute(backend, dictionary),
            Self::Computed(norms) => {
                for (j, norm) in norms.iter_mut().enumerate() {
                    let atom = column(dictionary, j);
                    *norm = loops::product(atom, atom);
                }
            }
        }
    }

    /// ‖d_j‖² of all atoms.
    pub(crate) fn norms(&self) -> &[T] {
        match self {
            Self::Kept(gram) => &gram.norms,
            Self::Computed(norms) => norms,
        }
    }

    /// d_sᵀd_t. O(d) if rows are not kept.
    pub(crate) fn entry(&self, dictionary: MatRef<'_, T>, s: u32, t: u32) -> T {
        match self {
            Self::Kept(gram) => gram.row(s as usize)[t as usize],
            Self::Computed(_) => {
                let (s, t) = (column(dictionary, s as usize), column(dictionary, t as usize));
                loops::product(s, t)
            }
        }
    }

    /// Row s of G, padded with zeros to a multiple of [`CHUNK`]. `into` is as long, and may be
    /// used.
    pub(crate) fn row<'a>(
        &'a self,
        dictionary: MatRef<'_, T>,
        s: usize,
        into: &'a mut [T],
    ) -> &'a [T] {
        match self {
            Self::Kept(gram) => gram.row(s),
            Self::Computed(norms) => {
                let (products, padding) = into.split_at_mut(norms.len());
                correlate(dictionary, column(dictionary, s), products);
                padding.fill(T::zero());
                into
            }
        }
    }
}

vectorized! {
    /// α ← Dᵀr.
    pub(crate) fn correlate<'a, T>(
        dictionary: MatRef<'a, T>,
        residual: &'a [T],
        alpha: &'a mut [T],
    ) {
        for (j, alpha) in alpha.iter_mut().enumerate() {
            *alpha = loops::dot(column(dictionary, j), residual);
        }
    }
}
