//! Orthonormalised atoms in double precision, and the residual that they leave.

use faer::MatRef;

use super::Task;
use crate::Scalar;
use crate::backend::Selection;
use crate::cpu::pursuit::argmax::select;
use crate::cpu::pursuit::dependence;
use crate::cpu::pursuit::factor::Factor;
use crate::cpu::pursuit::gram_schmidt::{orthogonalise, project_out};
use crate::cpu::pursuit::greedy::{Basis, Workspace};
use crate::cpu::pursuit::wide::{self, widen};
use crate::cpu::vector::loops::{self, LANES};
use crate::cpu::vector::vectorized;
use crate::matrix::column;
use crate::problem::{ProblemShape, Sign};

/// ‖(I − P) d‖² below which it is not found by subtraction from ‖d‖², which leaves too few digits.
const FEW_DIGITS: f64 = 1e-9;

/// What pursuits of one shape work with.
#[derive(Debug)]
pub(crate) struct DoubleScratch {
    pub(crate) work: Workspace<f64>,
    pub(crate) gamma: Vec<f64>,
    /// y and r, divided by `scale`.
    sample: Vec<f64>,
    residual: Vec<f64>,
    scale: f64,
    /// ‖r‖², divided by `scale`².
    energy: f64,
    alpha: Vec<f64>,
    /// ‖(I − P) d_j‖² for the first `lowered` chosen atoms; empty unless atoms are scored by it.
    heights: Vec<f64>,
    lowered: usize,
    has_heights: bool,
    /// The orthonormal basis q of the chosen atoms, one after the other.
    basis: Vec<f64>,
    row_of_l: Vec<f64>,
    spare: Vec<f64>,
    factor: Factor<f64>,
    /// See [`DoublePursuit`](super::DoublePursuit).
    least_height: Option<f64>,
    /// Whether the last atom did not lower the error as it should: nothing but rounding is left.
    stalled: bool,
}

impl DoubleScratch {
    /// Room for pursuits of this shape: 2m + (k + 3)·d + k² numbers.
    pub(crate) fn new(
        shape: &ProblemShape,
        selection: Selection,
        least_height: Option<f64>,
    ) -> Self {
        let (d, m, k) = (shape.dim, shape.atoms, shape.sparsity);
        let has_heights = selection == Selection::LeastSquares;
        Self {
            work: Workspace::new(k),
            gamma: Vec::with_capacity(k),
            sample: vec![0.0; d],
            residual: vec![0.0; d],
            scale: 1.0,
            energy: 0.0,
            alpha: vec![0.0; m],
            heights: vec![0.0; if has_heights { m } else { 0 }],
            lowered: 0,
            has_heights: false,
            basis: vec![0.0; d * k],
            row_of_l: Vec::with_capacity(k),
            spare: vec![0.0; d],
            factor: Factor::new(k),
            least_height,
            stalled: false,
        }
    }

    /// ‖(I − P) d‖² up to which an atom is taken for a combination of the chosen ones.
    fn least_height<T: Scalar>(&self) -> f64 {
        self.least_height.unwrap_or(dependence::of_vectors::<T>())
    }

    /// Takes a sample, divided by a power of two that is about its largest coordinate.
    fn load<T: Scalar>(&mut self, sample: &[T]) {
        let largest = loops::largest_magnitude(sample).widen();
        self.scale = power_of_two(largest);
        let inverse = self.scale.recip();
        for (y, value) in self.sample.iter_mut().zip(sample) {
            *y = value.widen() * inverse;
        }
    }
}

/// The power of two at or below a positive number; 1 for zero.
pub(crate) fn power_of_two(value: f64) -> f64 {
    if value > 0.0 { 2.0_f64.powi((value.log2().floor() as i32).clamp(-1000, 1000)) } else { 1.0 }
}

/// The orthonormalised chosen atoms and the residual they leave.
pub(crate) struct DoubleBasis<'a, T: Scalar> {
    dictionary: MatRef<'a, T>,
    sign: Sign,
    scratch: &'a mut DoubleScratch,
}

impl<T: Scalar> Basis<f64> for DoubleBasis<'_, T> {
    fn restart(&mut self) {
        let s = &mut *self.scratch;
        s.residual.copy_from_slice(&s.sample);
        s.energy = loops::energy(&s.residual);
        s.factor.clear();
        (s.has_heights, s.lowered, s.stalled) = (false, 0, false);
    }

    fn select(&mut self, selection: Selection) -> Option<(u32, f64)> {
        if self.scratch.stalled || self.is_rounding() {
            return None;
        }
        let s = &mut *self.scratch;
        correlate(self.dictionary, &s.residual, &mut s.alpha);
        s.factor.mask(&mut s.alpha);
        if selection == Selection::LeastSquares {
            self.lower_heights();
        }
        let s = &*self.scratch;
        let least = s.least_height::<T>();
        let best = select(&s.alpha, &s.heights, least, selection, self.sign)?;
        let is_noise = s.alpha[best].abs() <= 32.0 * f64::EPSILON * s.energy.sqrt();
        (!is_noise).then_some((best as u32, s.alpha[best] * s.scale))
    }

    fn residual(&self) -> f64 {
        self.scratch.energy * self.scratch.scale * self.scratch.scale
    }

    fn support(&self) -> &[u32] {
        self.scratch.factor.support()
    }

    fn coefficients(&self, into: &mut Vec<f64>) {
        self.scratch.factor.solve(into);
    }

    fn push(&mut self, atom: u32) -> bool {
        let least = self.scratch.least_height::<T>();
        let DoubleScratch { residual, energy, basis, row_of_l, factor, stalled, .. } =
            &mut *self.scratch;
        let dim = residual.len();
        let (earlier, rest) = basis.split_at_mut(factor.support().len() * dim);
        let q = &mut rest[..dim];
        let atom_values = column(self.dictionary, atom as usize);
        q.iter_mut().zip(atom_values).for_each(|(q, d)| *q = d.widen());
        row_of_l.clear();
        row_of_l.resize(factor.support().len(), 0.0);
        let squared = orthogonalise(q, earlier, row_of_l);
        if squared <= least {
            factor.exclude(atom);
            return false;
        }
        let height = squared.sqrt();
        let coordinate = project_out(q, height, residual);
        factor.push(atom, row_of_l, height, coordinate);
        let left = loops::energy(residual);
        *stalled = left > *energy - 0.5 * coordinate * coordinate;
        *energy = left;
        true
    }
}

impl<'a, T: Scalar> DoubleBasis<'a, T> {
    /// Begins with a sample and atoms that were chosen.
    pub(crate) fn begin(
        task: &Task<'a, T>,
        sign: Sign,
        chosen: &[u32],
        scratch: &'a mut DoubleScratch,
    ) -> Self {
        scratch.load(task.sample);
        let mut basis = Self { dictionary: task.dictionary, sign, scratch };
        basis.restart();
        for &atom in chosen {
            basis.push(atom);
        }
        basis
    }

    /// ‖y‖².
    pub(crate) fn energy(&self) -> f64 {
        loops::energy(&self.scratch.sample) * self.scratch.scale * self.scratch.scale
    }

    /// Writes the chosen atoms with these coefficients, in the units of the sample.
    pub(crate) fn write(&self, gamma: &[f64], task: &mut Task<'_, T>) -> usize {
        let scale = self.scratch.scale;
        task.support[..gamma.len()].copy_from_slice(&self.support()[..gamma.len()]);
        for (value, gamma) in task.values.iter_mut().zip(gamma) {
            *value = T::narrow(gamma * scale);
        }
        gamma.len()
    }

    /// Whether nothing but the rounding of double precision is left.
    fn is_rounding(&mut self) -> bool {
        let DoubleScratch { sample, residual, energy, spare, row_of_l: gamma, factor, .. } =
            &mut *self.scratch;
        if factor.support().is_empty() {
            return false;
        }
        let near = 1e2 * f64::EPSILON;
        if *energy > near * near * loops::energy(sample) {
            return false;
        }
        factor.solve(gamma);
        let unit = 8.0 * f64::EPSILON;
        spare.fill(0.0);
        let code = wide::terms(factor.support(), gamma);
        wide::is_rounding(self.dictionary, code, residual, unit, spare)
    }

    /// Brings the heights up to date with the chosen atoms.
    fn lower_heights(&mut self) {
        let s = &mut *self.scratch;
        if !s.has_heights {
            norms(self.dictionary, &mut s.heights);
            s.has_heights = true;
        }
        let (dim, chosen) = (s.residual.len(), s.factor.support().len());
        if s.lowered == chosen {
            return;
        }
        for q in s.basis[..chosen * dim].chunks_exact(dim).skip(s.lowered) {
            lower(self.dictionary, q, &mut s.heights);
        }
        s.lowered = chosen;
        for &atom in s.factor.support() {
            // NaN compares as false: the atom is neither chosen again nor looked at below.
            s.heights[atom as usize] = f64::NAN;
        }
        let basis = &s.basis[..chosen * dim];
        for (j, height) in s.heights.iter_mut().enumerate() {
            if *height < FEW_DIGITS {
                widen(column(self.dictionary, j), &mut s.spare);
                s.row_of_l.clear();
                s.row_of_l.resize(chosen, 0.0);
                *height = orthogonalise(&mut s.spare, basis, &mut s.row_of_l);
            }
        }
    }

    /// γ ← γ + argmin ‖(y − D_S γ) − D_S δ‖ over δ: takes back what rounding has left in γ.
    pub(crate) fn polish(&mut self, gamma: &mut [f64]) {
        let DoubleScratch { sample, residual, basis, row_of_l, factor, .. } = &mut *self.scratch;
        residual.copy_from_slice(sample);
        for (&atom, &gamma) in factor.support().iter().zip(gamma.iter()) {
            let atom = column(self.dictionary, atom as usize);
            residual.iter_mut().zip(atom).for_each(|(r, d)| *r -= gamma * d.widen());
        }
        let coordinates = basis.chunks_exact(residual.len()).take(gamma.len());
        row_of_l.clear();
        row_of_l.extend(coordinates.map(|q| loops::dot(q, residual)));
        factor.solve_for(row_of_l);
        for (gamma, &delta) in gamma.iter_mut().zip(row_of_l.iter()) {
            // What rounding changes must not turn a coefficient's sign where signs are given.
            if self.sign == Sign::Signed || *gamma + delta > 0.0 {
                *gamma += delta;
            }
        }
    }
}

/// Σ aᵢ bᵢ.
#[inline(always)]
fn dot<T: Scalar>(a: &[T], b: &[f64]) -> f64 {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for l in 0..LANES {
            lanes[l] += a[l].widen() * b[l];
        }
    }
    for (l, (a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[l] += a.widen() * b;
    }
    loops::fold(lanes)
}

vectorized! {
    /// α ← Dᵀr.
    fn correlate<'a, T>(
        dictionary: MatRef<'a, T>,
        residual: &'a [f64],
        alpha: &'a mut [f64],
    ) {
        for (j, alpha) in alpha.iter_mut().enumerate() {
            *alpha = dot(column(dictionary, j), residual);
        }
    }
}

vectorized! {
    /// ‖d_j‖².
    fn norms<'a, T>(simd; dictionary: MatRef<'a, T>, norms: &'a mut [f64]) {
        for (j, norm) in norms.iter_mut().enumerate() {
            *norm = loops::squared_norm(simd, column(dictionary, j));
        }
    }
}

vectorized! {
    /// ‖(I − P) d_j‖² ← ‖(I − P) d_j‖² − (qᵀd_j)².
    fn lower<'a, T>(dictionary: MatRef<'a, T>, q: &'a [f64], heights: &'a mut [f64]) {
        for (j, height) in heights.iter_mut().enumerate() {
            let overlap = dot(column(dictionary, j), q);
            *height -= overlap * overlap;
        }
    }
}
