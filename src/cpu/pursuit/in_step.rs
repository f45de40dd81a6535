//! Two pursuits in step.
//!
//! The rows of G and the atoms that a step needs lie in memory far from the processor, and are
//! known only when the step before is done. While they are on their way to one pursuit, the other
//! works.

use faer::MatRef;

use super::basis::GramBasis;
use super::double::{DoublePursuit, Task};
use super::gram::QuantisedGram;
use super::greedy::{Basis, PursuitState, Workspace, write};
use super::sample::Sample;
use super::scratch::PursuitScratch;
use crate::Scalar;
use crate::backend::{PursuitRule, Selection};
use crate::codes::CodesBlock;
use crate::cpu::vector::dots16::Dots16;
use crate::cpu::vector::loops;
use crate::matrix::column;
use crate::problem::ProblemShape;

/// Samples whose pursuits go in step.
const SAMPLES: usize = 2;

/// A block of samples with what its pursuits begin with.
pub(crate) struct Problem<'a, T> {
    pub(crate) gram: &'a QuantisedGram<T>,
    pub(crate) dictionary: MatRef<'a, T>,
    pub(crate) samples: MatRef<'a, T>,
    /// α⁰, each column to within its bound.
    pub(crate) correlations: MatRef<'a, T>,
    pub(crate) bounds: &'a [f64],
}

impl<'a, T: Scalar> Problem<'a, T> {
    #[inline(always)]
    fn sample(&self, i: usize) -> Sample<'a, T> {
        Sample {
            dictionary: self.dictionary,
            values: column(self.samples, i),
            initial: column(self.correlations, i),
            bound: self.bounds[i],
        }
    }
}

/// Scratch memory of [`SAMPLES`] pursuits on the 16-bit Gram matrix.
#[derive(Debug)]
pub(crate) struct PursuitsInStep<T> {
    scratch: [(PursuitScratch<T>, Workspace<T>); SAMPLES],
    double: DoublePursuit,
}

/// A pursuit on its way.
struct Running<'a, T: Scalar, P> {
    basis: GramBasis<'a, T, P>,
    work: &'a mut Workspace<T>,
    course: PursuitState<T>,
    goes_on: bool,
}

impl<'a, T: Scalar, P: Dots16> Running<'a, T, P> {
    #[inline(always)]
    fn start(
        pairs: P,
        rule: &PursuitRule,
        shape: &ProblemShape,
        problem: &Problem<'a, T>,
        i: usize,
        (scratch, work): &'a mut (PursuitScratch<T>, Workspace<T>),
    ) -> Self {
        let sample = problem.sample(i);
        let (sign, energy) = (shape.sign, loops::squared_norm(pairs, sample.values));
        let stop = rule.stop(shape.sparsity, energy);
        let basis = GramBasis::new(pairs, problem.gram, sample, sign, &stop, energy, scratch);
        let course = PursuitState::start(rule.selection, sign, stop, work);
        Self { basis, work, course, goes_on: true }
    }
}

impl<T: Scalar> PursuitsInStep<T> {
    pub(crate) fn new(shape: &ProblemShape, selection: Selection) -> Self {
        let new = || (PursuitScratch::new(shape, selection), Workspace::new(shape.sparsity));
        Self {
            scratch: std::array::from_fn(|_| new()),
            double: DoublePursuit::new(shape, selection),
        }
    }

    /// Codes the samples of `block`.
    #[inline(always)]
    pub(crate) fn encode<P: Dots16>(
        &mut self,
        pairs: P,
        rule: &PursuitRule,
        shape: &ProblemShape,
        problem: &Problem<'_, T>,
        block: &mut CodesBlock<'_, T>,
    ) {
        for first in (0..block.len()).step_by(SAMPLES) {
            let second = (first + 1).min(block.len() - 1);
            let [a, b] = &mut self.scratch;
            let mut group = [
                Running::start(pairs, rule, shape, problem, first, a),
                Running::start(pairs, rule, shape, problem, second, b),
            ];
            // The last sample may be alone.
            let group = &mut group[..=second - first];
            loop {
                for pursuit in group.iter_mut() {
                    pursuit.goes_on = pursuit.course.goes_on(&pursuit.basis);
                    if pursuit.goes_on {
                        pursuit.basis.prefetch();
                    }
                }
                if !group.iter().any(|pursuit| pursuit.goes_on) {
                    break;
                }
                for pursuit in group.iter_mut() {
                    if pursuit.goes_on {
                        pursuit.course.step(&mut pursuit.basis, pursuit.work);
                    }
                }
            }
            for (place, pursuit) in group.iter_mut().enumerate() {
                let Sample { dictionary, values: sample, .. } = pursuit.basis.sample;
                let chosen = pursuit.basis.support();
                let double = &mut self.double;
                block.write(first + place, |support, values| {
                    if pursuit.basis.in_doubt() {
                        return double.code(
                            &mut Task { dictionary, sample, support, values },
                            rule,
                            chosen,
                        );
                    }
                    let gamma = pursuit.course.finish(&pursuit.basis, pursuit.work);
                    if pursuit.basis.has_lost_digits(gamma) {
                        let chosen = &chosen[..gamma.len()];
                        return double.refit(
                            &mut Task { dictionary, sample, support, values },
                            rule,
                            chosen,
                        );
                    }
                    write(chosen, gamma, support, values)
                });
            }
        }
    }
}
