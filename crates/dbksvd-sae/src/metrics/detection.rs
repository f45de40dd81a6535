//! Atoms as detectors of true atoms: does a learned atom fire when its true atom fires?

use dbksvd::metrics::Recovery;
use dbksvd::{Error, Scalar, SparseCodes};

/// For each learned atom i, how well its firing (a code ≠ 0) tells whether the most similar true
/// atom, argmax_j |cos|, fires. These are the classification metrics of SynthSAEBench.
///
/// The true atom is that of [`Recovery::best_for_learned`], not the partner of the matching, so
/// several learned atoms may share a true atom. Ratios that are 0/0 count as 0, so an atom that
/// never fires has an F1 of 0. Means are over all learned atoms.
///
/// Reference: D. Chanin & A. Garriga-Alonso, *SynthSAEBench*, 2026, arXiv:2602.14687; sae-lens
/// 6.54.12, `synthetic/evals.py`.
///
/// ```
/// use dbksvd::faer::mat;
/// use dbksvd::metrics::Recovery;
/// use dbksvd::{Dictionary, SparseCodes};
/// use dbksvd_sae::metrics::Detection;
///
/// let truth = Dictionary::new(mat![[1.0, 0.0], [0.0, 1.0]])?;
/// let recovery = Recovery::new(&truth, &truth)?;
/// let (mut codes, mut true_codes) = (SparseCodes::new(2, 3, 2), SparseCodes::new(2, 3, 2));
/// codes.set(0, &[0], &[1.0]);
/// codes.set(1, &[0, 1], &[1.0, 1.0]);
/// true_codes.set(0, &[0], &[1.0]);
/// true_codes.set(1, &[1], &[1.0]);
/// let mut detection = Detection::new(&recovery);
/// detection.add(&codes, &true_codes)?;
/// assert_eq!((detection.precision(0), detection.recall(0)), (0.5, 1.0));
/// assert_eq!(detection.mean_f1(), (2.0 / 3.0 + 1.0) / 2.0);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// The true atom of each learned atom.
    best: Vec<usize>,
    samples: u64,
    /// For each learned atom, the number of samples in which it and its true atom fire.
    both: Vec<u64>,
    /// For each learned atom, the number of samples in which it fires.
    fired: Vec<u64>,
    /// For each true atom, the number of samples in which it fires.
    truth: Vec<u64>,
}

impl Detection {
    /// Starts without samples, for the two dictionaries that `recovery` has compared.
    #[must_use]
    pub fn new(recovery: &Recovery) -> Self {
        let best: Vec<usize> = recovery.best_for_learned().iter().map(|best| best.atom).collect();
        let (learned, truth) = (best.len(), recovery.best_for_truth().len());
        Self {
            best,
            samples: 0,
            both: vec![0; learned],
            fired: vec![0; learned],
            truth: vec![0; truth],
        }
    }

    /// Adds samples, by their codes with the learned dictionary (m × N) and with the true one (M ×
    /// N).
    ///
    /// O(nonzeros of both).
    ///
    /// # Errors
    /// [`Error::Dimension`] if the codes are for other numbers of atoms, or differ in the number of
    /// samples.
    pub fn add<T: Scalar>(
        &mut self,
        codes: &SparseCodes<T>,
        true_codes: &SparseCodes<T>,
    ) -> Result<(), Error> {
        let sizes = [
            ("codes", codes.atoms(), self.best.len()),
            ("true_codes", true_codes.atoms(), self.truth.len()),
            ("samples of the true codes", true_codes.samples(), codes.samples()),
        ];
        for (argument, found, expected) in sizes {
            if found != expected {
                return Err(Error::Dimension { argument, found, expected });
            }
        }
        // The last sample in which each true atom fired, counted from 1; 0 for none.
        let mut last = vec![0; self.truth.len()];
        for i in 0..codes.samples() {
            for (&atom, &value) in true_codes.support(i).iter().zip(true_codes.values(i)) {
                if value != T::zero() {
                    last[atom as usize] = i + 1;
                    self.truth[atom as usize] += 1;
                }
            }
            for (&atom, &value) in codes.support(i).iter().zip(codes.values(i)) {
                if value != T::zero() {
                    let atom = atom as usize;
                    self.fired[atom] += 1;
                    self.both[atom] += u64::from(last[self.best[atom]] == i + 1);
                }
            }
        }
        self.samples += codes.samples() as u64;
        Ok(())
    }

    /// Number m of learned atoms.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.best.len()
    }

    /// Precision: of the samples in which atom `i` fires, the share in which its true atom fires,
    /// too. Panics if `i` ≥ m.
    #[must_use]
    pub fn precision(&self, i: usize) -> f64 {
        ratio(self.both[i], self.fired[i])
    }

    /// Recall: of the samples in which the true atom of `i` fires, the share in which `i` fires,
    /// too. Panics if `i` ≥ m.
    #[must_use]
    pub fn recall(&self, i: usize) -> f64 {
        ratio(self.both[i], self.truth[self.best[i]])
    }

    /// The harmonic mean of precision and recall. Panics if `i` ≥ m.
    #[must_use]
    pub fn f1(&self, i: usize) -> f64 {
        ratio(2 * self.both[i], self.fired[i] + self.truth[self.best[i]])
    }

    /// The share of samples in which both atoms fire or neither does. Panics if `i` ≥ m.
    #[must_use]
    pub fn accuracy(&self, i: usize) -> f64 {
        let either = self.fired[i] + self.truth[self.best[i]] - 2 * self.both[i];
        ratio(self.samples - either, self.samples)
    }

    /// Mean [`precision`](Self::precision) of all learned atoms.
    #[must_use]
    pub fn mean_precision(&self) -> f64 {
        self.mean(Self::precision)
    }

    /// Mean [`recall`](Self::recall) of all learned atoms.
    #[must_use]
    pub fn mean_recall(&self) -> f64 {
        self.mean(Self::recall)
    }

    /// Mean [`f1`](Self::f1) of all learned atoms: the benchmark's F1.
    #[must_use]
    pub fn mean_f1(&self) -> f64 {
        self.mean(Self::f1)
    }

    /// Mean [`accuracy`](Self::accuracy) of all learned atoms.
    #[must_use]
    pub fn mean_accuracy(&self) -> f64 {
        self.mean(Self::accuracy)
    }

    fn mean(&self, measure: impl Fn(&Self, usize) -> f64) -> f64 {
        (0..self.atoms()).map(|i| measure(self, i)).sum::<f64>() / self.atoms() as f64
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
