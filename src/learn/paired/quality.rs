//! How well a second dictionary predicts targets.

use rayon::prelude::*;

use super::{PairedDictionary, agree, check_codes, check_targets};
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::error::Error;
use crate::samples::moments::{Moments, PairOfSums};
use crate::source::AsSamples;

/// Pairs that one task measures. Fixed, so that results do not depend on the number of threads.
const BLOCK: usize = 256;

/// Errors of predicted targets and their variance, over any number of minibatches.
///
/// Sums are in f64, the variance around a moving mean. The same minibatches give the same bits on
/// any number of threads. Memory: d₂ numbers.
///
/// ```
/// use dbksvd::SparseCodes;
/// use dbksvd::faer::mat;
/// use dbksvd::learn::{Paired, PairedQuality, PairedSums};
///
/// let mut codes = SparseCodes::new(1, 2, 1);
/// codes.set(0, &[0], &[1.0]);
/// codes.set(1, &[0], &[3.0]);
/// let mut sums = PairedSums::new(1, 1)?;
/// sums.add(&codes, mat![[2.0, 6.0]].as_ref())?;
/// let paired = Paired::new().ridge(0.0).solve(&sums)?;
/// let mut quality = PairedQuality::new(1);
/// quality.add(&paired, &codes, mat![[3.0, 5.0]].as_ref())?;
/// // Two errors of 1, and two deviations of 1 from the mean.
/// assert!((quality.fvu() - 1.0).abs() < 1e-12);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PairedQuality {
    moments: Moments,
}

impl PairedQuality {
    /// Measures of nothing yet, for targets of dimension `dim`.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { moments: Moments::new(dim) }
    }

    /// Adds what `paired` predicts from `codes`, and the targets (d₂ × n, a column for each code).
    ///
    /// # Errors
    /// [`Error::Dimension`] if dictionary, codes, targets and these measures do not agree in m, d₂
    /// and n, and [`Error::Source`] for a slice that ends within a target; [`Error::NotFinite`] for
    /// a target, whose index is counted from the first pair that was added; [`Error::Argument`] for
    /// a coefficient that is not finite. After an error, nothing has been added.
    pub fn add<T: Scalar>(
        &mut self,
        paired: &PairedDictionary<T>,
        codes: &SparseCodes<T>,
        targets: impl AsSamples<T>,
    ) -> Result<(), Error> {
        let dim = self.moments.mean.len();
        let targets = targets.as_samples(dim)?;
        agree("paired", paired.dim(), dim)?;
        agree("codes", codes.atoms(), paired.atoms())?;
        agree("targets", targets.nrows(), dim)?;
        agree("targets of the codes", targets.ncols(), codes.samples())?;
        check_codes(codes)?;
        check_targets(targets, self.samples())?;
        let blocks: Vec<Moments> = (0..targets.ncols().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let (mut sums, mut error) = (PairOfSums::new(dim), 0.0);
                let (mut target, mut predicted) = (vec![T::zero(); dim], vec![0.0; dim]);
                for i in block * BLOCK..((block + 1) * BLOCK).min(targets.ncols()) {
                    target.iter_mut().zip(targets.col(i).iter()).for_each(|(into, &z)| *into = z);
                    sums.add(&target, false);
                    paired.predict_one(codes.support(i), codes.values(i), &mut predicted);
                    let differences = target.iter().zip(&predicted).map(|(z, p)| z.widen() - p);
                    error += differences.map(|difference| difference * difference).sum::<f64>();
                }
                sums.finish(error, error).all
            })
            .collect();
        blocks.iter().for_each(|block| self.moments.merge(block));
        Ok(())
    }

    /// The number of pairs added.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.moments.samples
    }

    /// Σ‖z − ẑ‖².
    #[must_use]
    pub fn squared_error(&self) -> f64 {
        self.moments.error
    }

    /// Fraction of variance unexplained, Σ‖z − ẑ‖² / Σ‖z − z̄‖², with the mean z̄ of the targets
    /// that were added: 0 is perfect, 1 is reached by the mean alone. NaN for targets without
    /// variance that are predicted exactly, and without targets; infinite for others without
    /// variance.
    #[must_use]
    pub fn fvu(&self) -> f64 {
        self.moments.fvu()
    }
}
