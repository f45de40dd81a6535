//! How often atoms are used: shares, and the histogram of log densities that SAE tools draw.

use dbksvd::Error;
use dbksvd::metrics::Reconstruction;

/// For each atom, how many samples use it, and the number of all samples.
///
/// ```
/// use dbksvd_sae::metrics::Usage;
///
/// let usage = Usage::new(vec![0, 1, 10, 500], 1000)?;
/// assert_eq!(usage.dead_share(), 0.25);
/// assert_eq!(usage.share_above(0.01), 0.25); // more than 1% of the samples use one atom of four
/// let histogram = usage.histogram(1)?;
/// assert_eq!(histogram.decades(), (-3, 0)); // 0.001 and more, below 1
/// assert_eq!(histogram.counts(), [1, 1, 1]); // 1 in 1000, 10 in 1000, 500 in 1000
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    counts: Vec<u64>,
    samples: u64,
}

impl Usage {
    /// The uses of atoms, where atom j is used by `counts[j]` of `samples` samples.
    ///
    /// # Errors
    /// [`Error::NoSamples`]; [`Error::Argument`] if there are no atoms, or for an atom that is used
    /// by more than `samples` samples.
    pub fn new(counts: Vec<u64>, samples: u64) -> Result<Self, Error> {
        if samples == 0 {
            return Err(Error::NoSamples { argument: "samples" });
        }
        match counts.iter().max() {
            None => Err(Error::argument("counts", "of no atoms", "at least one atom")),
            Some(&most) if most > samples => {
                Err(Error::argument("counts", most, format!("at most {samples}, the samples")))
            }
            Some(_) => Ok(Self { counts, samples }),
        }
    }

    /// The uses that `measured` has counted: coefficients ≠ 0. (SAEBench counts coefficients above
    /// 0, which makes a difference only for signed codes.)
    ///
    /// # Errors
    /// The errors of [`new`](Self::new).
    pub fn of(measured: &Reconstruction) -> Result<Self, Error> {
        Self::new(measured.usage().to_vec(), measured.samples() as u64)
    }

    /// Share of the atoms that no sample uses, 0 to 1. SAEBench's `frac_alive` is 1 minus this.
    #[must_use]
    pub fn dead_share(&self) -> f64 {
        let dead = self.counts.iter().filter(|&&count| count == 0).count();
        dead as f64 / self.counts.len() as f64
    }

    /// Share of the atoms with a density above `density` (SAEBench's `freq_over_1_percent` for
    /// 0.01, `freq_over_10_percent` for 0.1).
    #[must_use]
    pub fn share_above(&self, density: f64) -> f64 {
        let above = self.counts.iter().filter(|&&count| self.density(count) > density).count();
        above as f64 / self.counts.len() as f64
    }

    /// Share of all uses that belong to atoms with a density above `density` (SAEBench's
    /// `normalized_freq_over_1_percent`, `normalized_freq_over_10_percent`); 0 if there are no
    /// uses.
    #[must_use]
    pub fn use_share_above(&self, density: f64) -> f64 {
        let above = self.counts.iter().filter(|&&count| self.density(count) > density);
        match self.counts.iter().sum::<u64>() {
            0 => 0.0,
            all => above.sum::<u64>() as f64 / all as f64,
        }
    }

    /// A histogram of log₁₀ of the densities of atoms that are not dead, with `bins` bins per
    /// decade. It begins with the decade of 1/N, the least density that these samples can show, and
    /// ends at 1.
    ///
    /// # Errors
    /// [`Error::Argument`] for 0 bins, or more than 1,000.
    pub fn histogram(&self, bins: usize) -> Result<DensityHistogram, Error> {
        if !(1..=1000).contains(&bins) {
            return Err(Error::argument("bins", bins, "1 to 1000"));
        }
        // The decades with 10^decades ≥ N, found with integers, since logarithms are rounded.
        let mut decades = 0;
        let mut power = 1_u128;
        while power < u128::from(self.samples) {
            power *= 10;
            decades += 1;
        }
        let decades = decades.max(1);
        let mut counts = vec![0; decades * bins];
        let last = counts.len() - 1;
        for &count in self.counts.iter().filter(|&&count| count > 0) {
            let place = (self.density(count).log10() + decades as f64) * bins as f64;
            // A density on the edge of a bin belongs to the bin above, even if its logarithm is
            // rounded down.
            let nearest = place.round();
            let place = if (place - nearest).abs() < 1e-9 { nearest } else { place.floor() };
            counts[(place.max(0.0) as usize).min(last)] += 1;
        }
        Ok(DensityHistogram { lowest: -(decades as i32), bins, counts })
    }

    fn density(&self, count: u64) -> f64 {
        count as f64 / self.samples as f64
    }
}

/// Atoms counted by log₁₀ of their densities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DensityHistogram {
    lowest: i32,
    bins: usize,
    counts: Vec<usize>,
}

impl DensityHistogram {
    /// log₁₀ of the lowest edge and of the highest edge, which is 0.
    #[must_use]
    pub fn decades(&self) -> (i32, i32) {
        (self.lowest, 0)
    }

    /// For each bin, the number of atoms whose density is at least its lower edge and below its
    /// upper edge; the last bin includes 1. Atoms that are never used are in no bin.
    #[must_use]
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// log₁₀ of the lower edge of bin `i`. For `i` = `counts().len()`, it is 0.
    #[must_use]
    pub fn edge(&self, i: usize) -> f64 {
        f64::from(self.lowest) + i as f64 / self.bins as f64
    }
}
