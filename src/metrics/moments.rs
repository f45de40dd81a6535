//! Sums over samples and their errors.

/// Sums over samples that can be merged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moments {
    pub(super) samples: usize,
    /// ȳ; zero without samples.
    pub(super) mean: Vec<f64>,
    /// Σ‖y − ȳ‖².
    pub(super) scatter: f64,
    /// Σ‖y‖².
    pub(super) energy: f64,
    /// Σ‖y − ŷ‖².
    pub(super) error: f64,
}

impl Moments {
    pub(super) fn new(dim: usize) -> Self {
        Self { samples: 0, mean: vec![0.0; dim], scatter: 0.0, energy: 0.0, error: 0.0 }
    }

    /// Chan, Golub & LeVeque: with δ the difference of the means,
    /// scatter ← scatter_a + scatter_b + ‖δ‖² n_a n_b / n and mean ← mean_a + δ n_b / n.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.samples == 0 {
            return;
        }
        let (ours, theirs) = (self.samples as f64, other.samples as f64);
        let weight = theirs / (ours + theirs);
        let mut distance = 0.0;
        for (mean, &other) in self.mean.iter_mut().zip(&other.mean) {
            let delta = other - *mean;
            distance += delta * delta;
            *mean += delta * weight;
        }
        self.scatter += other.scatter + distance * ours * weight;
        self.samples += other.samples;
        self.energy += other.energy;
        self.error += other.error;
    }
}
