//! Whether two runs find the same atoms.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use dbksvd::error::BackendError;
use dbksvd::metrics::{Directions, Pair, Recovery};
use dbksvd::{Dictionary, Error, Scalar};
use rayon::prelude::*;

use super::BLOCK;

/// A comparison of two dictionaries of equal standing, for example of runs with different seeds.
///
/// | measure | each atom is compared with | |
/// |---|---|---|
/// | [`mean_max`](Self::mean_max) | the most similar atom of the other dictionary, which several atoms may share | mean max cosine |
/// | [`hungarian`](Self::hungarian) | its partner in the matching of largest total \|cos\| | MCC; Paulo & Belrose 2025 |
/// | [`greedy`](Self::greedy) | its partner if the best pair left is matched again and again | |
///
/// All measures use |cos|, so signs do not matter. The greedy mean is never above the Hungarian
/// mean. If both dictionaries have the same size, the mean of maxima is never below these two.
///
/// References: G. Paulo & N. Belrose, *Sparse autoencoders trained on the same data learn different
/// features*, 2025, arXiv:2501.16615; X. Song et al., *Mechanistic interpretability should
/// prioritize feature consistency in SAEs*, 2025, arXiv:2505.20254.
///
/// ```
/// use dbksvd::Dictionary;
/// use dbksvd::faer::mat;
/// use dbksvd_sae::metrics::Stability;
///
/// let one = Dictionary::new(mat![[1.0, 0.0], [0.0, 1.0]])?;
/// let other = Dictionary::new(mat![[0.6, -1.0], [0.8, 0.0]])?;
/// let stability = Stability::new(&one, &other)?;
/// assert!((stability.hungarian_mean() - 0.9).abs() < 1e-12);
/// assert_eq!(stability.share_above(0.99), 0.5);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Stability {
    recovery: Recovery,
    greedy: Vec<Pair>,
}

impl Stability {
    /// Compares two dictionaries of dimension d, with m and M atoms. In the pairs, `learned` is an
    /// atom of `one` and `truth` an atom of `other`.
    ///
    /// The cost is that of [`Recovery::new`] with twice the products, and O(m M) on average for the
    /// greedy matching.
    ///
    /// # Errors
    /// The errors of [`Recovery::new`].
    pub fn new<T: Scalar>(one: &Dictionary<T>, other: &Dictionary<T>) -> Result<Self, Error> {
        let recovery = Recovery::new(one, other)?;
        let greedy = greedy(&cosines(one, other)?, other.atoms());
        Ok(Self { recovery, greedy })
    }

    /// Mean |cos| of each atom with the most similar atom of the other dictionary, over the atoms
    /// of both.
    #[must_use]
    pub fn mean_max(&self) -> f64 {
        let (one, other) = (self.recovery.best_for_learned(), self.recovery.best_for_truth());
        let sum: f64 = one.iter().chain(other).map(|best| best.cosine).sum();
        sum / (one.len() + other.len()) as f64
    }

    /// The min(m, M) pairs of the matching that maximises Σ|cos|.
    #[must_use]
    pub fn hungarian(&self) -> &[Pair] {
        self.recovery.pairs()
    }

    /// The min(m, M) pairs that result if the pair of largest |cos| is matched and removed, until
    /// none is left, in this order. Of equal pairs, the one with the lowest atoms is matched first.
    #[must_use]
    pub fn greedy(&self) -> &[Pair] {
        &self.greedy
    }

    /// Mean |cos| of the [Hungarian](Self::hungarian) pairs.
    #[must_use]
    pub fn hungarian_mean(&self) -> f64 {
        self.recovery.mcc()
    }

    /// Mean |cos| of the [greedy](Self::greedy) pairs.
    #[must_use]
    pub fn greedy_mean(&self) -> f64 {
        self.greedy.iter().map(|pair| pair.cosine).sum::<f64>() / self.greedy.len() as f64
    }

    /// Share of the [Hungarian](Self::hungarian) pairs whose |cos| is above `threshold`, which
    /// counts the atoms that both runs have found. Paulo & Belrose use 0.7.
    #[must_use]
    pub fn share_above(&self, threshold: f64) -> f64 {
        let pairs = self.hungarian();
        let above = pairs.iter().filter(|pair| pair.cosine > threshold).count();
        above as f64 / pairs.len() as f64
    }
}

/// |cos| of every pair: one row for each atom of `one`, one column for each atom of `other`.
fn cosines<T: Scalar>(one: &Dictionary<T>, other: &Dictionary<T>) -> Result<Vec<T>, Error> {
    let (rows, cols) = (one.atoms(), other.atoms());
    let mut cosines = Vec::new();
    // This is no more memory than `Recovery` has used and freed.
    cosines.try_reserve_exact(rows * cols).map_err(|error| {
        let reason = error.to_string();
        BackendError::Allocation { rows, cols, reason }
    })?;
    cosines.resize(rows * cols, T::zero());
    let (one, other) = (Directions::new(one), Directions::new(other));
    cosines
        .par_chunks_mut(BLOCK * cols)
        .enumerate()
        .for_each(|(block, out)| other.cosines(&one, block * BLOCK, out));
    Ok(cosines)
}

/// A pair that is the best of its row among the columns that were free when it was found.
struct Candidate(Pair);

impl Ord for Candidate {
    /// The better candidate is the greater one: larger |cos|, then lower atoms.
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.0, &other.0);
        let by_cosine = a.cosine.total_cmp(&b.cosine);
        by_cosine.then(b.learned.cmp(&a.learned)).then(b.truth.cmp(&a.truth))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// Matches the row with the largest entry to the column of this entry, again and again. If the
/// column is taken, the row is searched again when its turn comes. `cosines` has one row for each
/// atom of the first dictionary, and `columns` columns.
fn greedy<T: Scalar>(cosines: &[T], columns: usize) -> Vec<Pair> {
    let rows = cosines.len() / columns;
    let mut taken = vec![false; columns];
    let best = |row: usize, taken: &[bool]| {
        let entries = cosines[row * columns..][..columns].iter().enumerate();
        let free = entries.filter(|&(column, _)| !taken[column]);
        let pair = |(truth, cosine): (usize, &T)| {
            Candidate(Pair { learned: row, truth, cosine: cosine.widen() })
        };
        free.map(pair).max()
    };
    let mut queue: BinaryHeap<Candidate> = (0..rows).filter_map(|row| best(row, &taken)).collect();
    let mut pairs = Vec::with_capacity(rows.min(columns));
    while let Some(Candidate(pair)) = queue.pop() {
        if taken[pair.truth] {
            queue.extend(best(pair.learned, &taken));
        } else {
            taken[pair.truth] = true;
            pairs.push(pair);
        }
    }
    pairs
}
