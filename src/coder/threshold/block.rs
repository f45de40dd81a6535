//! The codes of a block of samples, in the scalar of the samples wherever that is precise enough.

use faer::MatRef;

use super::Nesting;
use super::gram::SymmetricGram;
use super::pursuit::{Limits, Pursuit};
use crate::Scalar;
use crate::backend::{Selection, Stop};
use crate::codes::CodesBlock;
use crate::cpu::pursuit::double::{DoublePursuit, Doubt, Task};
use crate::cpu::pursuit::greedy::write;
use crate::cpu::pursuit::wide::{Widened, leave, terms, widen};
use crate::cpu::vector::loops;
use crate::matrix::column;
use crate::problem::ProblemShape;
use crate::scalar::compiled;

/// Scratch for a sample that is coded in double precision.
#[derive(Debug)]
pub(super) struct DoubleScratch {
    sample: Vec<f64>,
    correlations: Vec<f64>,
    pursuit: Pursuit<f64>,
    fit: DoublePursuit,
}

/// The pursuits of a block of samples, whose correlations are known.
pub(super) struct ThresholdPursuits<'a, T: Scalar> {
    pub(super) shape: &'a ProblemShape,
    pub(super) gram: &'a SymmetricGram<T>,
    pub(super) wide: &'a Widened,
    pub(super) limits: &'a Limits<T>,
    pub(super) dictionary: MatRef<'a, T>,
    pub(super) samples: MatRef<'a, T>,
    pub(super) correlations: MatRef<'a, T>,
    pub(super) block: CodesBlock<'a, T>,
    pub(super) pursuit: &'a mut Pursuit<T>,
    pub(super) double: &'a mut Option<Box<DoubleScratch>>,
}

compiled! {
    /// Writes the codes of a block.
    pub(super) fn pursue<T>(pursuits: ThresholdPursuits<'_, T>) {
        pursuits.run();
    }
}

impl<T: Scalar> ThresholdPursuits<'_, T> {
    /// Writes the codes of the block. A sample is coded in double precision if the threshold is
    /// close to the rounding of its correlations, which grows with ‖y‖, or if its error is close to
    /// the rounding of its coefficients.
    fn run(self) {
        let Self { gram, limits, samples, correlations, mut block, pursuit, .. } = self;
        let limits_of_double = limits.widen();
        let mut residual = Vec::new();
        for i in 0..block.len() {
            let sample = column(samples, i);
            let energy = loops::energy(sample);
            let doubt = Doubt::new(&Stop::<T>::at_budget(limits.budget), energy);
            let mut certain = limits.threshold.widen() >= doubt.correlation;
            if certain {
                let initial = column(correlations, i);
                let (chosen, gamma) = pursuit.run(gram, limits, initial);
                let left = match limits.nesting {
                    Nesting::Refitted => {
                        let terms = chosen.iter().zip(gamma);
                        let explained =
                            terms.map(|(&atom, c)| initial[atom as usize].widen() * c.widen());
                        // ‖r‖² = ‖y‖² − γᵀα⁰, since one least-squares fit gives all γ.
                        energy - explained.sum::<f64>()
                    }
                    Nesting::Kept => {
                        leave(self.dictionary, sample, terms(chosen, gamma), &mut residual)
                    }
                };
                certain = !doubt.is_of(gamma, left);
                block.write(i, |support, values| write(chosen, gamma, support, values));
                certain &= !pursuit.is_doubtful;
            }
            if !certain {
                let double = self.double.get_or_insert_with(|| DoubleScratch::new(self.shape));
                double.code(self.wide, &limits_of_double, self.dictionary, sample, &mut block, i);
            }
        }
    }
}

impl DoubleScratch {
    fn new(shape: &ProblemShape) -> Box<Self> {
        Box::new(Self {
            sample: Vec::with_capacity(shape.dim),
            correlations: vec![0.0; shape.atoms],
            pursuit: Pursuit::new(shape),
            fit: DoublePursuit::new(shape, Selection::Correlation),
        })
    }

    /// Writes the code of the sample at index `i` of the block.
    fn code<T: Scalar>(
        &mut self,
        wide: &Widened,
        limits: &Limits<f64>,
        dictionary: MatRef<'_, T>,
        sample: &[T],
        block: &mut CodesBlock<'_, T>,
        i: usize,
    ) {
        let wide = wide.get(dictionary);
        widen(sample, &mut self.sample);
        wide.correlate(&self.sample, &mut self.correlations);
        let (chosen, gamma) = self.pursuit.run(wide, limits, &self.correlations);
        block.write(i, |support, values| {
            if limits.nesting == Nesting::Refitted
                && let Some(length) =
                    self.fit.fit(&mut Task { dictionary, sample, support, values }, chosen)
            {
                // This gives the same coefficients, without the rounding errors of the normal
                // equations.
                return length;
            }
            support[..chosen.len()].copy_from_slice(chosen);
            for (value, &gamma) in values.iter_mut().zip(gamma) {
                *value = T::narrow(gamma);
            }
            chosen.len()
        });
    }
}
