//! The Gram matrix in full precision. Only one half of it is computed; the other is copied.

use faer::{Mat, MatMut, MatRef};
use rayon::prelude::*;

use crate::Scalar;
use crate::cpu::HostBackend;
use crate::error::BackendError;
use crate::matrix::{column_mut, zeros};

/// Columns that one product computes.
const BLOCK: usize = 128;

/// Unused entries after each column. Without them, columns at distances of a power of two would
/// share cache sets.
const PADDING: usize = 16;

/// G = DᵀD, whose rows equal its columns.
#[derive(Debug)]
pub(super) struct SymmetricGram<T: Scalar> {
    values: Mat<T>,
    atoms: usize,
}

impl<T: Scalar> SymmetricGram<T> {
    pub(super) fn new(atoms: usize) -> Result<Self, BackendError> {
        Ok(Self { values: zeros(atoms.saturating_add(PADDING), atoms)?, atoms })
    }

    /// Computes G for a new dictionary: O(dm²/2).
    pub(super) fn compute<B: HostBackend<Scalar = T>>(
        &mut self,
        backend: &B,
        dictionary: MatRef<'_, T>,
    ) {
        let mut gram = self.values.as_mut().subrows_mut(0, self.atoms);
        gram.as_mut().par_col_chunks_mut(BLOCK).enumerate().for_each(|(block, columns)| {
            let (start, width) = (block * BLOCK, columns.ncols());
            let upper = columns.subrows_mut(0, start + width);
            let atoms = dictionary.subcols(start, width);
            backend.product_tn(upper, dictionary.subcols(0, start + width), atoms);
        });
        mirror(gram, 0);
    }

    /// Row `s`, of length m.
    #[inline(always)]
    pub(super) fn row(&self, s: u32) -> &[T] {
        &self.values.col_as_slice(s as usize)[..self.atoms]
    }
}

/// Copies the entries above the blocks of the diagonal to the rows below them, for columns from
/// `first` on.
fn mirror<T: Scalar>(columns: MatMut<'_, T>, first: usize) {
    let width = columns.ncols();
    if width <= BLOCK {
        return;
    }
    let half = (width / 2).next_multiple_of(BLOCK);
    let (mut left, right) = columns.split_at_col_mut(half);
    let above = right.as_ref().subrows(first, half);
    let below = left.as_mut().subrows_mut(first + half, width - half);
    below.par_col_chunks_mut(BLOCK).enumerate().for_each(|(block, mut below)| {
        for j in 0..below.ncols() {
            let source = above.row(block * BLOCK + j);
            let into = column_mut(below.as_mut(), j);
            into.iter_mut().zip(source.iter()).for_each(|(to, &from)| *to = from);
        }
    });
    rayon::join(|| mirror(left, first), || mirror(right, first + half));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Faer;
    use crate::synthetic::Planted;

    #[test]
    fn rows_are_those_of_the_whole_product() {
        for atoms in [1, 5, 128, 129, 300, 515] {
            let data = Planted::new(20, atoms, 1, 1).generate::<f64>().expect("a legal problem");
            let mut gram = SymmetricGram::new(atoms).expect("memory");
            gram.compute(&Faer::default(), data.dictionary.as_mat());
            let expected = data.dictionary.as_mat().transpose() * data.dictionary.as_mat();
            for s in 0..atoms {
                for (found, expected) in gram.row(s as u32).iter().zip(expected.col(s).iter()) {
                    assert!((found - expected).abs() < 1e-14, "row {s} of {atoms}");
                }
            }
        }
    }
}
