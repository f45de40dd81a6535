//! How similar the atoms of a dictionary are to each other, and what that guarantees for pursuit.

use rayon::prelude::*;

use super::cosine::{BLOCK, Directions};
use crate::Scalar;
use crate::dictionary::Dictionary;

/// The coherence μ of a dictionary, its Babel function μ₁, and the largest number of nonzeros for
/// which each of them guarantees that pursuit finds the codes.
///
/// The guarantees hold for every sample y = D x that has at most k nonzeros in x: x is then the
/// sparsest code of y, and orthogonal matching pursuit finds it in k steps.
///
/// References: D. L. Donoho & M. Elad, *Optimally sparse representation in general (nonorthogonal)
/// dictionaries via ℓ¹ minimization*, PNAS 100, 2003 (k < (1 + 1/μ)/2); J. A. Tropp, *Greed is
/// good: algorithmic results for sparse approximation*, IEEE Trans. Information Theory 50, 2004
/// (μ₁, and both bounds for orthogonal matching pursuit).
///
/// ```
/// use dbksvd::Dictionary;
/// use dbksvd::faer::mat;
/// use dbksvd::metrics::Coherence;
///
/// let dictionary = Dictionary::new(mat![[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]])?;
/// let coherence = Coherence::new(&dictionary);
/// assert!((coherence.coherence() - 0.8).abs() < 1e-12);
/// assert!((coherence.babel(2) - 1.4).abs() < 1e-12);
/// assert_eq!(coherence.sparsity_bound(), 1);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Coherence {
    nearest: Vec<f64>,
    babel: Vec<f64>,
}

impl Coherence {
    /// Measures a dictionary of m atoms.
    ///
    /// O(m² (d + log m)), in parallel over atoms. Memory: 128 m scalars per thread; the m² cosines
    /// are never all stored. The result does not depend on the number of threads.
    #[must_use]
    pub fn new<T: Scalar>(dictionary: &Dictionary<T>) -> Self {
        let atoms = dictionary.atoms();
        let directions = Directions::new(dictionary);
        let mut nearest = vec![0.0; atoms];
        // The maximum is exact in any order, so the blocks may be combined in the order in which
        // they end.
        let babel = nearest
            .par_chunks_mut(BLOCK)
            .enumerate()
            .fold(
                || vec![0.0; atoms - 1],
                |mut babel, (block, nearest)| {
                    measure(&directions, block * BLOCK, nearest, &mut babel);
                    babel
                },
            )
            .reduce(
                || vec![0.0; atoms - 1],
                |mut a, b| {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a = a.max(b));
                    a
                },
            );
        Self { nearest, babel }
    }

    /// μ = max |cos| over pairs of distinct atoms, from 0 (orthogonal atoms) to 1 (an atom occurs
    /// twice). It is 0 for a single atom.
    #[must_use]
    pub fn coherence(&self) -> f64 {
        self.nearest.iter().copied().fold(0.0, f64::max)
    }

    /// For each atom, its largest |cos| with another atom, 0 to 1.
    #[must_use]
    pub fn nearest(&self) -> &[f64] {
        &self.nearest
    }

    /// The mean of [`nearest`](Self::nearest).
    #[must_use]
    pub fn mean_nearest(&self) -> f64 {
        self.nearest.iter().sum::<f64>() / self.nearest.len() as f64
    }

    /// The Babel function μ₁(k): the largest sum of the |cos| of one atom with k others. It never
    /// decreases in k; μ₁(0) = 0, μ₁(1) = μ, μ₁(k) ≤ k μ, and it is constant from k = m − 1 on.
    #[must_use]
    pub fn babel(&self, k: usize) -> f64 {
        match k.min(self.babel.len()) {
            0 => 0.0,
            k => self.babel[k - 1],
        }
    }

    /// The largest k ≤ m with k < (1 + 1/μ)/2: by the coherence, codes with up to k nonzeros are
    /// recovered.
    #[must_use]
    pub fn sparsity_bound(&self) -> usize {
        let mu = self.coherence();
        (1..=self.nearest.len()).take_while(|&k| (2 * k - 1) as f64 * mu < 1.0).count()
    }

    /// The largest k ≤ m with μ₁(k − 1) + μ₁(k) < 1: by the Babel function, codes with up to k
    /// nonzeros are recovered. It is never below [`sparsity_bound`](Self::sparsity_bound).
    #[must_use]
    pub fn babel_sparsity_bound(&self) -> usize {
        let recovered = |&k: &usize| self.babel(k - 1) + self.babel(k) < 1.0;
        (1..=self.nearest.len()).take_while(recovered).count()
    }
}

/// Raises `babel` to at least the sums of the atoms from `first` on, one atom for each entry of
/// `nearest`.
fn measure<T: Scalar>(
    directions: &Directions<'_, T>,
    first: usize,
    nearest: &mut [f64],
    babel: &mut [f64],
) {
    let atoms = directions.atoms();
    let mut cosines = vec![T::zero(); atoms * nearest.len()];
    directions.cosines(directions, first, &mut cosines);
    for (i, row) in cosines.chunks_exact_mut(atoms).enumerate() {
        // The atom itself goes to the end of the row, so that the others are contiguous.
        row.swap(first + i, atoms - 1);
        let others = &mut row[..atoms - 1];
        others.sort_unstable_by(|a, b| b.widen().total_cmp(&a.widen()));
        nearest[i] = others.first().map_or(0.0, |cosine| cosine.widen());
        let mut sum = 0.0;
        for (babel, cosine) in babel.iter_mut().zip(others) {
            sum += cosine.widen();
            *babel = sum.max(*babel);
        }
    }
}
