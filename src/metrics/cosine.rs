//! Cosines between atoms, computed in blocks.

use faer::MatMut;
use rayon::prelude::*;

use crate::Scalar;
use crate::cpu::product::multiply;
use crate::cpu::vector::loops;
use crate::dictionary::Dictionary;

/// Atoms that one task multiplies. The number is fixed, so that results do not depend on the number
/// of threads.
pub(super) const BLOCK: usize = 128;

/// The directions of a dictionary's atoms, which can be compared with those of another dictionary.
/// The cosines of all pairs can be computed a block at a time, if there is no memory for all at
/// once.
///
/// Products are divided by the norms of the atoms, which are not exactly 1 because of rounding.
///
/// ```
/// use dbksvd::Dictionary;
/// use dbksvd::faer::mat;
/// use dbksvd::metrics::Directions;
///
/// let ours = Dictionary::new(mat![[1.0, 0.0], [0.0, 1.0]])?;
/// let theirs = Dictionary::new(mat![[0.6, 0.0, 0.0], [-0.8, 1.0, -1.0]])?;
/// let (ours, theirs) = (Directions::new(&ours), Directions::new(&theirs));
/// let mut cosines = [0.0; 4]; // of our two atoms with two of theirs, from the second on
/// ours.signed_cosines(&theirs, 1, &mut cosines);
/// assert_eq!(cosines, [0.0, 1.0, 0.0, -1.0]);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Directions<'a, T: Scalar> {
    dictionary: &'a Dictionary<T>,
    norms: Vec<f64>,
}

impl<'a, T: Scalar> Directions<'a, T> {
    /// The directions of a dictionary's atoms. O(m d), in parallel.
    #[must_use]
    pub fn new(dictionary: &'a Dictionary<T>) -> Self {
        let norms = (0..dictionary.atoms())
            .into_par_iter()
            .map(|j| loops::energy(dictionary.atom(j)).sqrt())
            .collect();
        Self { dictionary, norms }
    }

    /// The number m of atoms.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.norms.len()
    }

    /// |cos| of each of our atoms with consecutive atoms of `other`, from atom `first` on. `out`
    /// gets one row for each atom of `other`, as many rows as it has room for. The values are at
    /// most 1.
    ///
    /// O(m d) for each row. It runs on the calling thread only, for use inside parallel tasks. A
    /// block of another size may give other last bits.
    ///
    /// # Panics
    /// If the dimensions differ, if `out` is not a whole number of rows, or if `other` has fewer
    /// atoms from `first` on than `out` has rows.
    #[track_caller]
    pub fn cosines(&self, other: &Self, first: usize, out: &mut [T]) {
        self.signed_cosines(other, first, out);
        for cosine in out {
            *cosine = num_traits::Float::abs(*cosine);
        }
    }

    /// The same as [`cosines`](Self::cosines), but with signs: −1 to 1.
    ///
    /// # Panics
    /// As [`cosines`](Self::cosines).
    #[track_caller]
    pub fn signed_cosines(&self, other: &Self, first: usize, out: &mut [T]) {
        let width = out.len() / self.atoms();
        let (ours, theirs) = (self.dictionary.as_mat(), other.dictionary.as_mat());
        assert_eq!(ours.nrows(), theirs.nrows(), "the dimensions of two dictionaries");
        assert_eq!(out.len(), width * self.atoms(), "a whole number of rows");
        let end = first.checked_add(width).filter(|&end| end <= other.atoms());
        assert!(end.is_some(), "{width} atoms from {first} on, of {}", other.atoms());
        multiply(
            MatMut::from_column_major_slice_mut(out, self.atoms(), width),
            ours.transpose(),
            theirs.subcols(first, width),
        );
        for (row, norm) in out.chunks_exact_mut(self.atoms()).zip(&other.norms[first..]) {
            for (cosine, own) in row.iter_mut().zip(&self.norms) {
                *cosine = T::narrow((cosine.widen() / (norm * own)).clamp(-1.0, 1.0));
            }
        }
    }
}
