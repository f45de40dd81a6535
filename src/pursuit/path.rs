//! The course of pursuits: coefficients and errors after every atom.

use rayon::prelude::*;

use super::atoms::{Contiguous, UnitAtoms};
use super::scaled::ScaledPursuit;
use crate::Scalar;
use crate::backend::PursuitRule;
use crate::codes::SparseCodes;
use crate::cpu::pursuit::wide;
use crate::error::Error;
use crate::problem::{ProblemShape, Sign};

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
    /// L.
    pub(super) length: usize,
}

impl<T: Scalar> Path<T> {
    pub(super) fn new(mut codes: SparseCodes<T>, samples: Vec<SamplePath<T>>) -> Self {
        for (i, sample) in samples.iter().enumerate() {
            let support = codes.support(i)[..sample.length].to_vec();
            let last = sample.coefficients.len() - sample.length;
            codes.set(i, &support, &sample.coefficients[last..]);
        }
        Self { codes, samples }
    }

    /// The paths to these codes, whose coefficients need not be those of least squares.
    pub(super) fn on_atoms(
        codes: SparseCodes<T>,
        atoms: &UnitAtoms,
        samples: &Contiguous<'_, T>,
    ) -> Result<Self, Error> {
        let (dim, count) = atoms.atoms.shape();
        let sparsity = codes.sparsity();
        let shape = ProblemShape { dim, atoms: count, sparsity, sign: Sign::Signed };
        let paths: Vec<Result<SamplePath<T>, Error>> = (0..codes.samples())
            .into_par_iter()
            .map_init(
                || (ScaledPursuit::new::<T>(&shape, &PursuitRule::default()), Vec::new()),
                |(pursuit, residual), i| {
                    pursuit.load(samples.column(i).iter().map(|y| y.widen()));
                    of_sample(pursuit, atoms, (i, codes.support(i)), residual)
                },
            )
            .collect();
        // In order, so that an error does not depend on the number of threads.
        let paths: Result<Vec<SamplePath<T>>, Error> = paths.into_iter().collect();
        Ok(Self::new(codes, paths?))
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

    /// The codes of all samples with at most `sparsity` atoms: those that the same pursuit finds
    /// with this budget, bit by bit if it is not [through the Gram
    /// matrix](super::Pursuit::through_gram). A budget beyond that of the path gives the codes at
    /// its end.
    #[must_use]
    pub fn at(&self, sparsity: usize) -> SparseCodes<T> {
        let sparsity = sparsity.min(self.codes.sparsity());
        let mut codes = SparseCodes::new(self.codes.atoms(), self.codes.samples(), sparsity);
        for i in 0..codes.samples() {
            let (support, values) = self.prefix(i, sparsity);
            codes.set(i, support, values);
        }
        codes
    }

    /// ‖y − Dx‖ of sample `i` with 0, 1, 2, … atoms, for the coefficients as they are told. Of a
    /// pursuit on products, these are the errors of least squares as far as
    /// [`omp_gram`](super::omp_gram) knows them; without `squared_norms` there are none. Panics if
    /// `i` ≥ N.
    #[must_use]
    pub fn residual_norms(&self, i: usize) -> &[f64] {
        &self.samples[i].residuals
    }
}

/// The path of the sample that `pursuit` has loaded, sample `i`, along the chosen atoms.
fn of_sample<T: Scalar>(
    pursuit: &mut ScaledPursuit,
    atoms: &UnitAtoms,
    (i, chosen): (usize, &[u32]),
    residual: &mut Vec<f64>,
) -> Result<SamplePath<T>, Error> {
    let (dictionary, scale) = (atoms.atoms.as_ref(), pursuit.scale());
    let mut path = SamplePath::default();
    for length in 0..=chosen.len() {
        let (support, unit) = pursuit.refit(dictionary, &chosen[..length]);
        if support.len() < length {
            // In the scalar of the samples, the atom was not quite a combination of the others.
            break;
        }
        let told = support.iter().zip(unit);
        let told: Result<Vec<T>, Error> =
            told.map(|(&atom, &unit)| atoms.coefficient(atom, (unit, scale), i)).collect();
        let told = told?;
        let terms = chosen.iter().zip(&told);
        let terms = terms.map(|(&j, x)| (j, x.widen() / scale * atoms.norms[j as usize]));
        let left = wide::leave(dictionary, pursuit.sample(), terms, residual);
        path.residuals.push(left.sqrt() * scale);
        path.coefficients.extend(told);
        path.length = length;
    }
    Ok(path)
}
