//! K-SVD of samples with weights.

use std::ops::ControlFlow;

use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::MaskedOmp;
use super::checks::Masked;
use super::update::{renew, update};
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::matrix::{column, column_mut, zeros};
use crate::pursuit::UnitAtoms;
use crate::source::AsSamples;

/// Learns a dictionary from samples of which coordinates are missing, or count for less than others
/// (Mairal, Elad & Sapiro 2008).
///
/// ```text
/// repeat for every pass:
///     X ← codes of all samples, by the coder                    in parallel over samples
///     for each atom j, with e_i = y_i − Σ_{l≠j} d_l x_li for the samples Ω that use it:
///         d_j ← argmin_d  Σ_{i∈Ω} ‖W_i^{1/2} (e_i − d x_ji)‖²   and scaled to norm 1
///         x_ji ← argmin_x  ‖W_i^{1/2} (e_i − d_j x)‖²           for each i ∈ Ω
///     atoms that no sample uses ← the worst represented samples, filled in
/// ```
/// The two lines about d_j and x_j are one round of the weighted approximation of rank one; a
/// coordinate of d_j is drawn to its old value as by one sample more, of the typical coefficient
/// and weight, since few samples may show it. No update of an atom raises the weighted error of the
/// samples at hand.
///
/// This is a plain learner: all samples in memory, and in every pass. A pass takes O((k + 1) s m) a
/// sample of which s coordinates have weights, for coding, which is in parallel, and O(k d) a
/// sample for the updates, which are not. Memory besides samples and weights: d·N scalars, codes,
/// and that of [`MaskedOmp`]. Results are the same on any number of threads. The page of
/// [`masked`](super) has an example.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct MaskedKsvd {
    coder: MaskedOmp,
    passes: usize,
}

/// What a pass of [`MaskedKsvd`] found, before it changed the dictionary.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MaskedPass {
    /// How many times the dictionary has been updated.
    pub pass: usize,
    /// How many times it is to be.
    pub passes: usize,
    /// Σ w r² / Σ w y² over all coordinates of all samples.
    pub relative_error: f64,
    /// Atoms a sample, on average.
    pub l0: f64,
    /// Atoms that no sample had used in the pass before, and that were replaced.
    pub replaced: usize,
}

/// What [`MaskedKsvd`] has learned.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MaskedFit<T: Scalar> {
    /// The dictionary.
    pub dictionary: Dictionary<T>,
    /// The codes of the samples on it.
    pub codes: SparseCodes<T>,
    /// The course: of the initial dictionary, and after each update.
    pub passes: Vec<MaskedPass>,
}

impl MaskedKsvd {
    /// A learner that codes so, with 10 passes.
    pub fn new(coder: MaskedOmp) -> Self {
        Self { coder, passes: 10 }
    }

    /// How many times the dictionary is updated. Default: 10.
    pub fn passes(self, passes: usize) -> Self {
        Self { passes, ..self }
    }

    /// Learns from `samples` (d × N) with `weights` (d × N), beginning with the dictionary
    /// `initial`.
    ///
    /// # Errors
    /// [`Error::NoSamples`] for none, [`Error::Argument`] if all is missing and for 2³² samples or
    /// more, [`Error::NothingLearned`] if all that is there is zero, [`Error::Range`] if samples
    /// are so large or so small that their squares overflow or vanish; and the errors of
    /// [`MaskedOmp::encode`].
    pub fn learn<T: Scalar>(
        &self,
        initial: Dictionary<T>,
        samples: impl AsSamples<T>,
        weights: impl AsSamples<T>,
    ) -> Result<MaskedFit<T>, Error> {
        self.learn_observed(initial, samples, weights, |_| ControlFlow::Continue(()))
    }

    /// As [`learn`](Self::learn), where `observe` is told of every pass and may end learning.
    ///
    /// # Errors
    /// Those of [`learn`](Self::learn).
    pub fn learn_observed<T: Scalar>(
        &self,
        initial: Dictionary<T>,
        samples: impl AsSamples<T>,
        weights: impl AsSamples<T>,
        mut observe: impl FnMut(&MaskedPass) -> ControlFlow<()>,
    ) -> Result<MaskedFit<T>, Error> {
        let masked = Masked::new(&samples, &weights, initial.dim())?;
        masked.check_content()?;
        if u32::try_from(masked.len()).is_err() {
            return Err(Error::argument("samples", masked.len(), "below 2³²"));
        }
        let mut atoms = initial.into_mat();
        let mut residual = zeros(masked.dim(), masked.len())?;
        let (mut course, mut replaced) = (Vec::new(), 0);
        loop {
            let mut codes = self.coder.codes_on(&UnitAtoms::new(atoms.as_ref())?, &masked)?;
            leave(&mut residual, &masked, atoms.as_ref(), &codes);
            let pass = MaskedPass {
                pass: course.len(),
                passes: self.passes,
                relative_error: relative_error(&residual, &masked),
                l0: codes.nnz() as f64 / codes.samples() as f64,
                replaced,
            };
            course.push(pass);
            if observe(&pass).is_break() || pass.pass == self.passes {
                let dictionary = Dictionary::trusted(atoms);
                return Ok(MaskedFit { dictionary, codes, passes: course });
            }
            update(&mut atoms, &mut codes, &mut residual, &masked, self.coder.sign);
            replaced = renew(&mut atoms, &codes, &residual, &masked);
        }
    }
}

/// R ← Y − DX where there are weights, and zero elsewhere.
pub(super) fn leave<T: Scalar>(
    residual: &mut Mat<T>,
    masked: &Masked<'_, T>,
    atoms: MatRef<'_, T>,
    codes: &SparseCodes<T>,
) {
    residual.as_mut().par_col_chunks_mut(1).enumerate().for_each(|(i, residual)| {
        let residual = column_mut(residual, 0);
        let known = masked.sample(i).iter().zip(masked.weights(i));
        for (r, (&y, &w)) in residual.iter_mut().zip(known) {
            *r = if w > T::zero() { y } else { T::zero() };
        }
        for (&atom, &value) in codes.support(i).iter().zip(codes.values(i)) {
            let atom = column(atoms, atom as usize).iter().zip(masked.weights(i));
            for (r, (&d, &w)) in residual.iter_mut().zip(atom) {
                if w > T::zero() {
                    *r -= value * d;
                }
            }
        }
    });
}

/// Σ w r² / Σ w y².
pub(super) fn relative_error<T: Scalar>(residual: &Mat<T>, masked: &Masked<'_, T>) -> f64 {
    let (mut left, mut energy) = (0.0, 0.0);
    for i in 0..masked.len() {
        let known = masked.sample(i).iter().zip(masked.weights(i));
        for (r, (y, w)) in residual.col_as_slice(i).iter().zip(known) {
            if *w > T::zero() {
                left += w.widen() * r.widen() * r.widen();
                energy += w.widen() * y.widen() * y.widen();
            }
        }
    }
    left / energy
}
