//! For each atom, the atoms that are most similar to it.

use std::cmp::Ordering;

use dbksvd::metrics::Directions;
use dbksvd::{Dictionary, Scalar};
use rayon::prelude::*;

use super::BLOCK;

/// The measure of how similar two atoms are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Likeness {
    /// |cos|, for signed codes: an atom and its negative count as the same.
    #[default]
    Absolute,
    /// cos, for non-negative codes: the measure that SAE tools use.
    Signed,
}

/// Another atom, and its cosine with the atom in question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Index of the atom.
    pub atom: usize,
    /// The cosine, with its sign.
    pub cosine: f64,
}

/// For each atom, the most similar other atoms, the nearest one first.
///
/// ```
/// use dbksvd::Dictionary;
/// use dbksvd::faer::mat;
/// use dbksvd_sae::metrics::{Likeness, Neighbours};
///
/// let dictionary = Dictionary::new(mat![[1.0, 0.6, -0.8], [0.0, 0.8, 0.6]])?;
/// let neighbours = Neighbours::new(&dictionary, 1, Likeness::Absolute);
/// assert_eq!(neighbours.of(0)[0].atom, 2);
/// let neighbours = Neighbours::new(&dictionary, 1, Likeness::Signed);
/// assert_eq!(neighbours.of(0)[0].atom, 1);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    nearest: Vec<Neighbour>,
    count: usize,
    atoms: usize,
}

impl Neighbours {
    /// The `count` nearest atoms of every atom, or all other atoms if there are fewer.
    ///
    /// O(m² d), in parallel over atoms. Memory: 128 m scalars per thread; the m² cosines are never
    /// all stored. The result does not depend on the number of threads; ties go to the lowest
    /// index.
    #[must_use]
    pub fn new<T: Scalar>(dictionary: &Dictionary<T>, count: usize, likeness: Likeness) -> Self {
        let atoms = dictionary.atoms();
        let count = count.min(atoms - 1);
        let directions = Directions::new(dictionary);
        let blocks: Vec<Vec<Neighbour>> = (0..atoms.div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let first = block * BLOCK;
                let width = BLOCK.min(atoms - first);
                let mut cosines = vec![T::zero(); atoms * width];
                directions.signed_cosines(&directions, first, &mut cosines);
                let rows = cosines.chunks_exact(atoms).enumerate();
                rows.flat_map(|(i, row)| nearest(row, first + i, count, likeness)).collect()
            })
            .collect();
        Self { nearest: blocks.concat(), count, atoms }
    }

    /// The nearest atoms of atom `j`. Panics if `j` ≥ m.
    #[must_use]
    pub fn of(&self, j: usize) -> &[Neighbour] {
        assert!(j < self.atoms, "atom {j} of {}", self.atoms);
        &self.nearest[j * self.count..(j + 1) * self.count]
    }

    /// The cosine of every atom with its nearest atom. With [`Likeness::Signed`], this is
    /// SAEBench's `max_decoder_cosine_sim`. With [`Likeness::Absolute`], its absolute value is
    /// [`Coherence::nearest`](dbksvd::metrics::Coherence::nearest). Empty if `count` was 0 or there
    /// is a single atom.
    #[must_use]
    pub fn max_cosines(&self) -> Vec<f64> {
        self.nearest.chunks_exact(self.count.max(1)).map(|nearest| nearest[0].cosine).collect()
    }
}

/// The `count` entries of `row` that are most similar, without the entry `own`.
fn nearest<T: Scalar>(row: &[T], own: usize, count: usize, likeness: Likeness) -> Vec<Neighbour> {
    let others = row.iter().enumerate().filter(|&(atom, _)| atom != own);
    let mut all: Vec<Neighbour> =
        others.map(|(atom, cosine)| Neighbour { atom, cosine: cosine.widen() }).collect();
    let key = |neighbour: &Neighbour| match likeness {
        Likeness::Absolute => neighbour.cosine.abs(),
        Likeness::Signed => neighbour.cosine,
    };
    let nearer = |a: &Neighbour, b: &Neighbour| -> Ordering {
        key(b).total_cmp(&key(a)).then(a.atom.cmp(&b.atom))
    };
    if count < all.len() {
        all.select_nth_unstable_by(count, nearer);
        all.truncate(count);
    }
    all.sort_unstable_by(nearer);
    all
}
