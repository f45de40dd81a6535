//! Pursuits in double precision on samples of any size.

use faer::MatRef;

use crate::Scalar;
use crate::backend::{PursuitRule, Tolerance};
use crate::cpu::pursuit::double::{DoublePursuit, Task, power_of_two};
use crate::cpu::vector::loops;
use crate::problem::ProblemShape;

/// The pursuit of one sample after the other. A sample is divided by a power of two, its scale, so
/// that its squares neither over- nor underflow; no digit changes by that.
#[derive(Debug)]
pub(crate) struct ScaledPursuit {
    pursuit: DoublePursuit,
    rule: PursuitRule,
    sample: Vec<f64>,
    scale: f64,
    /// Room for a code.
    support: Vec<u32>,
    values: Vec<f64>,
}

impl ScaledPursuit {
    /// For codes that will be narrowed to `T`.
    pub(crate) fn new<T: Scalar>(shape: &ProblemShape, rule: &PursuitRule) -> Self {
        Self {
            pursuit: DoublePursuit::new(shape, rule.selection).narrowed_to::<T>(),
            rule: *rule,
            sample: Vec::with_capacity(shape.dim),
            scale: 1.0,
            support: vec![0; shape.sparsity],
            values: vec![0.0; shape.sparsity],
        }
    }

    /// Takes the next sample.
    pub(crate) fn load(&mut self, sample: impl Iterator<Item = f64>) {
        self.sample.clear();
        self.sample.extend(sample);
        self.scale = power_of_two(loops::largest_magnitude(&self.sample));
        let inverse = self.scale.recip();
        self.sample.iter_mut().for_each(|value| *value *= inverse);
    }

    /// What the sample has been divided by.
    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

    /// The sample, divided by its scale.
    pub(crate) fn sample(&self) -> &[f64] {
        &self.sample
    }

    /// The sample's code on unit atoms (d × m), divided by the scale. `noise`, a norm in the units
    /// of the sample, ends the pursuit too.
    pub(crate) fn code(&mut self, atoms: MatRef<'_, f64>, noise: f64) -> (&[u32], &[f64]) {
        let scaled = |norm: f64| norm / self.scale;
        let given = self.rule.tolerance.map(|tolerance| match tolerance {
            Tolerance::Absolute(norm) => Tolerance::Absolute(scaled(norm)),
            Tolerance::Relative(share) => Tolerance::Relative(share),
        });
        // The first of two limits that is met ends the pursuit: the larger one.
        let tolerance = match given {
            given if noise == 0.0 => given,
            None => Some(Tolerance::Absolute(scaled(noise))),
            Some(Tolerance::Absolute(norm)) => Some(Tolerance::Absolute(norm.max(scaled(noise)))),
            Some(Tolerance::Relative(share)) => {
                let of_share = share * loops::energy(&self.sample).sqrt();
                Some(Tolerance::Absolute(of_share.max(scaled(noise))))
            }
        };
        let rule = PursuitRule { tolerance, ..self.rule };
        self.run(atoms, |pursuit, task| pursuit.code(task, &rule, &[]))
    }

    /// The code with the best coefficients for these atoms, divided by the scale.
    pub(crate) fn refit(&mut self, atoms: MatRef<'_, f64>, chosen: &[u32]) -> (&[u32], &[f64]) {
        let rule = PursuitRule::default();
        self.run(atoms, |pursuit, task| pursuit.refit(task, &rule, chosen))
    }

    fn run(
        &mut self,
        dictionary: MatRef<'_, f64>,
        code: impl FnOnce(&mut DoublePursuit, &mut Task<'_, f64>) -> usize,
    ) -> (&[u32], &[f64]) {
        let Self { pursuit, sample, support, values, .. } = self;
        let length = code(pursuit, &mut Task { dictionary, sample, support, values });
        (&self.support[..length], &self.values[..length])
    }
}
