//! The course of pursuits: coefficients and errors after every atom.

use rayon::prelude::*;

use super::atoms::{Contiguous, UnitAtoms};
use crate::Scalar;
use crate::backend::{PursuitRule, Selection};
use crate::codes::SparseCodes;
use crate::cpu::pursuit::double::{DoublePursuit, Task};
use crate::cpu::pursuit::wide;
use crate::error::Error;
use crate::problem::{ProblemShape, Sign};

/// Samples whose paths one task finds.
const BLOCK: usize = 16;

/// The codes of samples with 0, 1, 2, … atoms, which are nested: each has the atoms of the one
/// before it and one more, and the coefficients of least squares on them. Of
/// [`Pursuit::path`](super::Pursuit::path), whose page has an example.
#[derive(Clone, Debug, PartialEq)]
pub struct Path<T> {
    codes: SparseCodes<T>,
    samples: Vec<SamplePath<T>>,
}

/// The path of one sample with L atoms.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SamplePath<T> {
    /// The coefficients of 1, 2, …, L atoms, one after the other.
    pub(super) coefficients: Vec<T>,
    /// ‖y − Dx‖ with 0, 1, …, L atoms; empty if it is not known.
    pub(super) residuals: Vec<f64>,
}

impl<T: Scalar> Path<T> {
    pub(super) fn new(mut codes: SparseCodes<T>, samples: Vec<SamplePath<T>>) -> Self {
        let mut block = codes.as_block_mut();
        for (i, sample) in samples.iter().enumerate() {
            let values = block.values_mut(i);
            let last = sample.coefficients.len() - values.len();
            values.copy_from_slice(&sample.coefficients[last..]);
        }
        Self { codes, samples }
    }

    /// The paths to codes on unit atoms, in the scale of the atoms that were given.
    pub(super) fn on_atoms(
        unit: &SparseCodes<T>,
        atoms: &UnitAtoms<T>,
        samples: &Contiguous<'_, T>,
    ) -> Result<Self, Error> {
        let (count, budget) = (unit.samples(), unit.sparsity());
        let shape = ProblemShape {
            dim: atoms.atoms.nrows(),
            atoms: unit.atoms(),
            sparsity: budget,
            sign: Sign::Signed,
        };
        let blocks: Result<Vec<Vec<SamplePath<T>>>, Error> = (0..count.div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let mut pursuit = DoublePursuit::new(&shape, Selection::default());
                let (mut support, mut values) = (vec![0; budget], vec![T::zero(); budget]);
                let range = block * BLOCK..((block + 1) * BLOCK).min(count);
                let path = |i: usize| {
                    let sample = samples.column(i);
                    let (dictionary, chosen) = (atoms.atoms.as_ref(), unit.support(i));
                    let (mut path, mut residual) = (SamplePath::default(), Vec::new());
                    for length in 0..=chosen.len() {
                        let (support, values) = (&mut support[..], &mut values[..]);
                        let mut task = Task { dictionary, sample, support, values };
                        pursuit.refit(&mut task, &PursuitRule::default(), &chosen[..length]);
                        let values = &task.values[..length];
                        let code = wide::terms(&chosen[..length], values);
                        let left = wide::leave(dictionary, sample, code, &mut residual);
                        path.residuals.push(left.sqrt());
                        for (&atom, value) in chosen.iter().zip(values) {
                            path.coefficients.push(atoms.coefficient(atom, value.widen(), i)?);
                        }
                    }
                    Ok(path)
                };
                range.map(path).collect()
            })
            .collect();
        Ok(Self::new(unit.clone(), blocks?.into_iter().flatten().collect()))
    }

    /// The codes at the end of the path.
    #[must_use]
    pub fn codes(&self) -> &SparseCodes<T> {
        &self.codes
    }

    /// The codes at the end of the path, without it.
    #[must_use]
    pub fn into_codes(self) -> SparseCodes<T> {
        self.codes
    }

    /// The first `length` atoms of sample `i` and the coefficients of least squares on them; all
    /// atoms if there are fewer. Panics if `i` ≥ N.
    #[must_use]
    pub fn prefix(&self, i: usize, length: usize) -> (&[u32], &[T]) {
        let support = self.codes.support(i);
        let length = length.min(support.len());
        let start = length * length.saturating_sub(1) / 2;
        (&support[..length], &self.samples[i].coefficients[start..start + length])
    }

    /// The codes of all samples with at most `sparsity` atoms: those that a pursuit with this
    /// budget finds, bit by bit if it is not [through the Gram
    /// matrix](super::Pursuit::through_gram).
    #[must_use]
    pub fn at(&self, sparsity: usize) -> SparseCodes<T> {
        let mut codes = SparseCodes::new(self.codes.atoms(), self.codes.samples(), sparsity);
        for i in 0..codes.samples() {
            let (support, values) = self.prefix(i, sparsity);
            codes.set(i, support, values);
        }
        codes
    }

    /// ‖y − Dx‖ of sample `i` with 0, 1, 2, … atoms, for the coefficients as they are told. Empty
    /// for a pursuit on products without `squared_norms`. Panics if `i` ≥ N.
    #[must_use]
    pub fn residual_norms(&self, i: usize) -> &[f64] {
        &self.samples[i].residuals
    }
}
