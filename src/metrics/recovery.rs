//! How much of a true dictionary a learned dictionary has found.

use rayon::prelude::*;

use super::assignment::assign;
use super::cosine::{BLOCK, Directions};
use crate::Scalar;
use crate::dictionary::Dictionary;
use crate::error::{BackendError, Error};

/// The usual threshold of |cos| above which a true atom counts as [recovered](Recovery::recovered).
pub const RECOVERED: f64 = 0.99;

/// An atom of the other dictionary, and how similar it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alike {
    /// Index of the atom.
    pub atom: usize,
    /// |cos|, 0 to 1: the sign of an atom has no meaning.
    pub cosine: f64,
}

/// A learned atom and a true atom that are a pair of the matching.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Index of the learned atom.
    pub learned: usize,
    /// Index of the true atom.
    pub truth: usize,
    /// The |cos| of the two, 0 to 1.
    pub cosine: f64,
}

/// A learned dictionary (m atoms) compared with the true one (M atoms), both of dimension d.
///
/// The measures depend on the directions of atoms only, not on codes. Dead atoms count like any
/// others.
///
/// ```
/// use dbksvd::Dictionary;
/// use dbksvd::faer::mat;
/// use dbksvd::metrics::{RECOVERED, Recovery};
///
/// let truth = Dictionary::new(mat![[1.0, 0.0], [0.0, 1.0]])?;
/// let learned = Dictionary::new(mat![[0.0, -1.0], [1.0, 0.0]])?;
/// let recovery = Recovery::new(&learned, &truth)?;
/// assert_eq!(recovery.mcc(), 1.0);
/// assert_eq!(recovery.recovered(RECOVERED), 1.0);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    best_for_learned: Vec<Alike>,
    best_for_truth: Vec<Alike>,
    pairs: Vec<Pair>,
}

impl Recovery {
    /// Compares `learned` with `truth`.
    ///
    /// O(m M d) for the cosines, in parallel. The matching takes at worst O(n² max(m, M)) with n =
    /// min(m, M), on one thread. Memory: m M scalars. The result does not depend on the number of
    /// threads; ties go to the lowest index.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the dictionaries differ in dimension, [`Error::Backend`] if the
    /// memory for the cosines cannot be allocated.
    pub fn new<T: Scalar>(learned: &Dictionary<T>, truth: &Dictionary<T>) -> Result<Self, Error> {
        let (found, expected) = (learned.dim(), truth.dim());
        if found != expected {
            return Err(Error::Dimension { argument: "learned", found, expected });
        }
        // The assignment needs one row for each atom of the smaller dictionary.
        if learned.atoms() <= truth.atoms() {
            let Comparison { best_of_many, best_of_few, partners } = compare(learned, truth)?;
            let pair =
                |(learned, to): (usize, Alike)| Pair { learned, truth: to.atom, cosine: to.cosine };
            let pairs = partners.into_iter().enumerate().map(pair).collect();
            Ok(Self { best_for_learned: best_of_many, best_for_truth: best_of_few, pairs })
        } else {
            let Comparison { best_of_many, best_of_few, partners } = compare(truth, learned)?;
            let pair =
                |(truth, to): (usize, Alike)| Pair { learned: to.atom, truth, cosine: to.cosine };
            let mut pairs: Vec<Pair> = partners.into_iter().enumerate().map(pair).collect();
            pairs.sort_unstable_by_key(|pair| pair.learned);
            Ok(Self { best_for_learned: best_of_few, best_for_truth: best_of_many, pairs })
        }
    }

    /// The largest |cos| of each true atom with a learned atom, averaged over the true atoms
    /// (MMCS), 0 to 1.
    #[must_use]
    pub fn mmcs(&self) -> f64 {
        mean(self.best_for_truth.iter().map(|best| best.cosine))
    }

    /// Mean |cos| over the [matching](Self::pairs) (MCC), 0 to 1. In contrast to
    /// [`mmcs`](Self::mmcs), no learned atom counts twice. Atoms of the larger dictionary that have
    /// no partner do not count.
    #[must_use]
    pub fn mcc(&self) -> f64 {
        mean(self.pairs.iter().map(|pair| pair.cosine))
    }

    /// Share of the true atoms whose partner in the [matching](Self::pairs) has a |cos| above
    /// `threshold`, 0 to min(m, M) / M.
    #[must_use]
    pub fn recovered(&self, threshold: f64) -> f64 {
        let recovered = self.pairs.iter().filter(|pair| pair.cosine > threshold).count();
        recovered as f64 / self.best_for_truth.len() as f64
    }

    /// The number of distinct true atoms that are most similar to some learned atom, divided by m.
    /// It is 1/m if all learned atoms resemble one true atom, and 1 if each resembles a different
    /// one.
    #[must_use]
    pub fn uniqueness(&self) -> f64 {
        let mut best: Vec<usize> = self.best_for_learned.iter().map(|best| best.atom).collect();
        best.sort_unstable();
        best.dedup();
        best.len() as f64 / self.best_for_learned.len() as f64
    }

    /// The min(m, M) pairs of the matching that minimises Σ (1 − |cos|), sorted by learned atom.
    #[must_use]
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// For each learned atom, the true atom that is most similar.
    #[must_use]
    pub fn best_for_learned(&self) -> &[Alike] {
        &self.best_for_learned
    }

    /// For each true atom, the learned atom that is most similar.
    #[must_use]
    pub fn best_for_truth(&self) -> &[Alike] {
        &self.best_for_truth
    }
}

/// Two dictionaries compared, of which the first is no larger than the second.
struct Comparison {
    /// For each atom of the smaller dictionary, the most similar atom of the larger.
    best_of_many: Vec<Alike>,
    /// For each atom of the larger dictionary, the most similar atom of the smaller.
    best_of_few: Vec<Alike>,
    /// For each atom of the smaller dictionary, its partner in the matching.
    partners: Vec<Alike>,
}

fn compare<T: Scalar>(few: &Dictionary<T>, many: &Dictionary<T>) -> Result<Comparison, Error> {
    let (rows, columns) = (few.atoms(), many.atoms());
    let cosines = cosines(few, many)?;
    let best_of_many = cosines.par_chunks_exact(columns).map(largest).collect();
    let mut best_of_few = vec![Alike { atom: 0, cosine: -1.0 }; columns];
    for (atom, row) in cosines.chunks_exact(columns).enumerate() {
        for (best, cosine) in best_of_few.iter_mut().zip(row) {
            if cosine.widen() > best.cosine {
                *best = Alike { atom, cosine: cosine.widen() };
            }
        }
    }
    let chosen = assign(&cosines, columns, |cosine| 1.0 - cosine.widen());
    let partner = |row: usize| {
        let atom = chosen[row] as usize;
        Alike { atom, cosine: cosines[row * columns + atom].widen() }
    };
    let partners = (0..rows).map(partner).collect();
    Ok(Comparison { best_of_many, best_of_few, partners })
}

/// |cos| of every pair: one row for each atom of `few`, one column for each atom of `many`.
fn cosines<T: Scalar>(few: &Dictionary<T>, many: &Dictionary<T>) -> Result<Vec<T>, Error> {
    let (rows, cols) = (few.atoms(), many.atoms());
    let refuse = |reason: String| BackendError::Allocation { rows, cols, reason };
    let length = rows.checked_mul(cols).ok_or_else(|| refuse("its size overflows".into()))?;
    let mut cosines = Vec::new();
    cosines.try_reserve_exact(length).map_err(|error| refuse(error.to_string()))?;
    cosines.resize(length, T::zero());
    let (few, many) = (Directions::new(few), Directions::new(many));
    cosines
        .par_chunks_mut(BLOCK * cols)
        .enumerate()
        .for_each(|(block, out)| many.cosines(&few, block * BLOCK, out));
    Ok(cosines)
}

/// The largest entry of a row; the first one, if several are equal.
fn largest<T: Scalar>(row: &[T]) -> Alike {
    let mut best = Alike { atom: 0, cosine: -1.0 };
    for (atom, cosine) in row.iter().enumerate() {
        if cosine.widen() > best.cosine {
            best = Alike { atom, cosine: cosine.widen() };
        }
    }
    best
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}
