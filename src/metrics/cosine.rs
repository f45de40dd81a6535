//! Cosines between atoms, a block of them at a time.

use faer::MatMut;
use rayon::prelude::*;

use crate::Scalar;
use crate::cpu::product::multiply;
use crate::cpu::vector::loops;
use crate::dictionary::Dictionary;

/// Atoms multiplied by one task; fixed, so that results do not depend on the number of threads.
pub(super) const BLOCK: usize = 128;

/// A dictionary with the norms of its atoms, which are 1 only to rounding.
pub(super) struct Directions<'a, T: Scalar> {
    dictionary: &'a Dictionary<T>,
    norms: Vec<f64>,
}

impl<'a, T: Scalar> Directions<'a, T> {
    pub(super) fn new(dictionary: &'a Dictionary<T>) -> Self {
        let norms = (0..dictionary.atoms())
            .into_par_iter()
            .map(|j| loops::energy(dictionary.atom(j)).sqrt())
            .collect();
        Self { dictionary, norms }
    }

    pub(super) fn len(&self) -> usize {
        self.norms.len()
    }

    /// |cos| of each of our atoms with the consecutive atoms of `other` from `first` on, as many
    /// as `out` has room for: one row of `out` for each atom of `other`. At most 1.
    pub(super) fn cosines(&self, other: &Self, first: usize, out: &mut [T]) {
        self.signed_cosines(other, first, out);
        for cosine in out {
            *cosine = num_traits::Float::abs(*cosine);
        }
    }

    /// The same with their signs: −1 to 1.
    pub(super) fn signed_cosines(&self, other: &Self, first: usize, out: &mut [T]) {
        let width = out.len() / self.len();
        let (ours, theirs) = (self.dictionary.as_mat(), other.dictionary.as_mat());
        multiply(
            MatMut::from_column_major_slice_mut(out, self.len(), width),
            ours.transpose(),
            theirs.subcols(first, width),
        );
        for (row, norm) in out.chunks_exact_mut(self.len()).zip(&other.norms[first..]) {
            for (cosine, own) in row.iter_mut().zip(&self.norms) {
                *cosine = T::narrow((cosine.widen() / (norm * own)).clamp(-1.0, 1.0));
            }
        }
    }
}
