//! The chosen atoms of one sample in terms of the Gram matrix.

use num_traits::Float;

use super::double::Doubt;
use super::gram::{QuantisedGram, products};
use super::greedy::Basis;
use super::inverse::Inverse;
use super::pass::{OUT, Scoring};
use super::sample::Sample;
use super::scratch::{Candidate, PursuitScratch};
use crate::Scalar;
use crate::backend::{Selection, Stop};
use crate::cpu::vector::dots16::Dots16;
use crate::cpu::vector::padded::{add_multiple, copy, dot_difference, subtract, sum_of_squares};
use crate::cpu::vector::{loops, prefetch, rows};
use crate::matrix::column;
use crate::problem::Sign;

/// From this row of W on, the weights of rows of G are rounded to 32 bits instead of 16, if the
/// budget is more than twice that: selection by least squares adds up the errors of all rows.
/// Measured on anisotropic data with k = 128: 5 ms instead of 78 ms a sample.
const LONG: usize = 16;

/// The least norm of a sample that is coded here, in units of the least positive normal number.
const TINY: f64 = 1e10;

/// Candidates whose atoms are fetched ahead of their examination; mostly there are one or two.
const FORESEEN: usize = 4;

/// The orthogonalised chosen atoms.
pub(crate) struct GramBasis<'a, T: Scalar, P> {
    pub(crate) pairs: P,
    pub(crate) gram: &'a QuantisedGram<T>,
    pub(crate) sample: Sample<'a, T>,
    /// ‖y‖².
    pub(crate) energy: f64,
    pub(crate) sign: Sign,
    pub(crate) scratch: &'a mut PursuitScratch<T>,
    /// ‖r‖².
    residual: f64,
    /// The largest |α⁰|.
    largest: T,
    /// Bound on the error of α̃ from passes so far.
    drift: f64,
    /// Σ δ², for errors δ of the entries of W: the heights are off by at most 2 √Σδ² + Σδ².
    height_drift: f64,
    /// Passes made, where heights are kept.
    passes: usize,
    /// Whether correlations were computed anew.
    renewed: bool,
    /// Whether the field's bounds are up to date.
    noted: bool,
    /// Whether the candidates are listed.
    listed: bool,
    /// Whether γ has changed since the last pass.
    behind: bool,
    scoring: Scoring<T>,
    doubt: Doubt,
    /// Whether the pursuit has to go on in double precision.
    in_doubt: bool,
}

impl<'a, T: Scalar, P: Dots16> GramBasis<'a, T, P> {
    #[inline(always)]
    pub(crate) fn new(
        pairs: P,
        gram: &'a QuantisedGram<T>,
        sample: Sample<'a, T>,
        sign: Sign,
        stop: &Stop<T>,
        energy: f64,
        scratch: &'a mut PursuitScratch<T>,
    ) -> Self {
        let positive = sign == Sign::NonNegative;
        let scoring = Scoring { positive, slack: T::zero(), height_slack: T::zero() };
        let mut basis = Self {
            pairs,
            gram,
            sample,
            energy,
            sign,
            scratch,
            residual: energy,
            largest: T::zero(),
            drift: 0.0,
            height_drift: 0.0,
            passes: 0,
            renewed: false,
            noted: false,
            listed: false,
            behind: false,
            scoring,
            doubt: Doubt::new(stop, energy),
            in_doubt: false,
        };
        basis.restart();
        basis
    }

    /// Whether the rounding of coefficients may be as large as what they leave.
    pub(crate) fn has_lost_digits(&self, gamma: &[T]) -> bool {
        self.doubt.is_of(gamma, self.residual)
    }

    /// Brings α̃, the heights and the bounds on scores up to date.
    #[inline(always)]
    fn propagate(&mut self) {
        let rounding = 4.0 * T::EPSILON * self.largest.widen();
        let count = self.scratch.support.len();
        if self.scratch.field.heights.is_empty() {
            self.propagate_coefficients(count, rounding);
        } else {
            for row in self.passes..count {
                self.propagate_row(row, rounding);
            }
            self.passes = count;
        }
        if !self.noted {
            self.scratch.field.note_all(self.pairs, self.scoring);
            self.noted = true;
        }
    }

    /// α̃ ← α⁰ − G_S γ for what γ has gained. Weights are rounded; the rest is carried to the next
    /// pass, so that only the rounding of G adds up.
    #[inline(always)]
    fn propagate_coefficients(&mut self, count: usize, rounding: f64) {
        let s = &mut *self.scratch;
        if count == 0 || !self.behind {
            return;
        }
        self.behind = false;
        subtract(self.pairs, &s.gamma, &s.propagated, &mut s.change);
        s.weights.round(self.pairs, count, &s.change, &s.scales, &s.starts);
        s.weights.add_to(self.pairs, count, &s.inverse_scales, &mut s.propagated);
        // The rows have no diagonal.
        for (u, &atom) in s.support.iter().enumerate() {
            let atom = atom as usize;
            s.field.alpha[atom] -= (s.gamma[u] - s.settled[u]) * self.gram.norms[atom];
        }
        copy::<T, P>(&mut s.settled, &s.gamma);
        self.drift += s.weights.coarseness + rounding;
        self.scoring.slack = T::narrow(1.1 * (self.drift + s.weights.rest));
        let one = <T as num_traits::One>::one();
        s.field.subtract(self.pairs, self.gram.rows(), &s.weights, None, one, self.scoring);
        self.noted = true;
    }

    /// α̃ ← α̃ − c_t W_t and the heights for W_t = Σ_u M_tu G_u.
    #[inline(always)]
    fn propagate_row(&mut self, t: usize, rounding: f64) {
        let s = &mut *self.scratch;
        let (row, c) = (s.inverse.row(t), s.coordinates[t]);
        s.weights.round(self.pairs, t + 1, row, &s.scales, &s.starts);
        let mut error = s.weights.coarseness + s.weights.rest + 4.0 * T::EPSILON;
        // The bound on what rounding leaves grows with t, and the errors of all passes add up.
        let fine = t >= LONG && s.starts.capacity() > 2 * LONG;
        if fine {
            let (rounded, rest) = (&mut s.propagated, &mut s.change);
            T::registers_mut::<P>(rounded).fill(T::splat(self.pairs, T::zero()));
            s.weights.add_to(self.pairs, t + 1, &s.inverse_scales, rounded);
            subtract(self.pairs, row, rounded, rest);
            s.fine.round(self.pairs, t + 1, rest, &s.scales, &s.starts);
            error = s.weights.coarseness + s.fine.coarseness + s.fine.rest + 4.0 * T::EPSILON;
        }
        self.drift += c.widen().abs() * error + rounding;
        self.height_drift += error * error;
        self.scoring.slack = T::narrow(1.1 * self.drift);
        let height_slack = 2.0 * self.height_drift.sqrt() + self.height_drift;
        self.scoring.height_slack = T::narrow(1.1 * height_slack);
        let fine = fine.then_some(&s.fine);
        s.field.subtract(self.pairs, self.gram.rows(), &s.weights, fine, c, self.scoring);
        self.noted = true;
    }

    /// Fills in the exact correlation of `atom`, its products with the chosen ones, and its height
    /// where that is asked for.
    #[inline(always)]
    fn examine(&mut self, atom: u32) {
        let s = &mut *self.scratch;
        let (j, count) = (atom as usize, s.support.len());
        let Candidate { atom: of, alpha, height, products: g, overlaps } = &mut s.candidate;
        products(self.pairs, self.sample.dictionary, atom, &s.support, g);
        let before = if self.renewed { s.fresh[j] } else { self.sample.correlation(self.pairs, j) };
        *alpha = before - dot_difference(self.pairs, count, &s.gamma, &s.fresh_gamma, g);
        *height = self.gram.norms[j];
        if !s.field.heights.is_empty() {
            *height = lower(self.pairs, *height, &s.inverse, g, overlaps, count);
        }
        *of = Some(atom);
    }

    /// r ← y − D_S γ and α ← Dᵀr from scratch.
    #[inline(always)]
    fn renew(&mut self) {
        let s = &mut *self.scratch;
        s.sample_residual.copy_from_slice(self.sample.values);
        for (&atom, &gamma) in s.support.iter().zip(&s.gamma) {
            loops::axpy(
                &mut s.sample_residual,
                -gamma,
                column(self.sample.dictionary, atom as usize),
            );
        }
        let norm = loops::squared_norm(self.pairs, &s.sample_residual).sqrt();
        let m = s.fresh.len();
        for first in (0..m).step_by(4) {
            let last = (first + 4).min(m);
            let atom = |i: usize| column(self.sample.dictionary, (first + i).min(m - 1));
            let atoms = [atom(0), atom(1), atom(2), atom(3)];
            let values = rows::dot4(self.pairs, &s.sample_residual, atoms);
            s.fresh[first..last].copy_from_slice(&values[..last - first]);
        }
        s.field.alpha[..m].copy_from_slice(&s.fresh);
        for &atom in &s.support {
            s.field.alpha[atom as usize] = T::zero();
        }
        for of in [&mut s.fresh_gamma, &mut s.propagated, &mut s.settled] {
            of.copy_from_slice(&s.gamma);
        }
        (self.renewed, self.noted, self.behind) = (true, false, false);
        self.drift = 4.0 * T::EPSILON * norm;
        self.scoring.slack = T::narrow(self.drift);
    }

    /// Lists the atoms that might be the best and may be chosen.
    #[inline(always)]
    fn candidates(&mut self) {
        if self.listed {
            return;
        }
        self.listed = true;
        self.propagate();
        let s = &mut *self.scratch;
        s.field.candidates(self.pairs, self.scoring, &mut s.found);
        let taken = &s.taken;
        s.found.retain(|&atom| !taken[atom as usize]);
        for &atom in s.found.iter().take(FORESEEN) {
            prefetch::fetch(column(self.sample.dictionary, atom as usize));
        }
    }
}

/// Ends with w = L⁻¹ g. Returns ‖d‖² − ‖w‖².
#[inline(always)]
fn lower<T: Scalar, S: pulp::Simd>(
    simd: S,
    norm: T,
    inverse: &Inverse<T>,
    g: &[T],
    w: &mut [T],
    count: usize,
) -> T {
    inverse.apply(simd, g, w);
    norm - sum_of_squares(simd, count, w)
}

impl<T: Scalar, P: Dots16> Basis<T> for GramBasis<'_, T, P> {
    #[inline(always)]
    fn restart(&mut self) {
        let s = &mut *self.scratch;
        let m = self.sample.initial.len();
        s.field.alpha[..m].copy_from_slice(self.sample.initial);
        if !s.field.heights.is_empty() {
            s.field.heights[..m].copy_from_slice(&self.gram.norms);
        }
        for &atom in &s.support {
            s.taken[atom as usize] = false;
        }
        s.support.clear();
        s.starts.clear();
        s.inverse.clear();
        s.coordinates.clear();
        for of in [&mut s.gamma, &mut s.propagated, &mut s.settled, &mut s.fresh_gamma] {
            T::registers_mut::<P>(of).fill(T::splat(self.pairs, T::zero()));
        }
        s.winner.atom = None;
        self.residual = self.energy;
        (self.drift, self.height_drift, self.passes) = (self.sample.bound, 0.0, 0);
        (self.renewed, self.noted, self.behind) = (false, false, false);
        (self.listed, self.in_doubt) = (false, false);
        self.scoring.slack = T::narrow(1.1 * self.drift);
        self.scoring.height_slack = T::zero();
    }

    #[inline(always)]
    fn prefetch(&mut self) {
        self.candidates();
    }

    #[inline(always)]
    fn select(&mut self, selection: Selection) -> Option<(u32, T)> {
        // The steps of 16-bit weights, which are a 2¹⁵th of the largest, and what rounding adds to
        // them must be normal numbers, or the bounds do not hold. In double precision the sample
        // is scaled first.
        let least = (TINY * T::min_positive_value().widen()).powi(2);
        if self.residual < self.doubt.residual || (self.energy > 0.0 && self.energy < least) {
            self.in_doubt = true;
            return None;
        }
        let mut renewed = false;
        loop {
            self.candidates();
            self.listed = false;
            let (count, m) = (self.scratch.support.len(), self.sample.initial.len());
            let many = self.scratch.found.len() * (count + 1) > m / 4 + 16;
            if !renewed && count > 0 && (many || self.scratch.found.is_empty()) {
                // The bounds have become too wide to tell atoms apart.
                self.renew();
                renewed = true;
                continue;
            }
            let mut best = T::zero();
            for i in 0..self.scratch.found.len() {
                self.examine(self.scratch.found[i]);
                let Candidate { alpha, height, .. } = self.scratch.candidate;
                let size = match self.sign {
                    Sign::Signed => Float::abs(alpha),
                    Sign::NonNegative => alpha,
                };
                let score = match selection {
                    Selection::Correlation => size,
                    Selection::LeastSquares if height < Doubt::height() => {
                        self.in_doubt = true;
                        return None;
                    }
                    Selection::LeastSquares => size * Float::abs(size) / height,
                };
                if score > best {
                    best = score;
                    let s = &mut *self.scratch;
                    std::mem::swap(&mut s.candidate, &mut s.winner);
                }
            }
            if best <= T::zero() {
                // Of a signed code, something is always left of the correlations, if only rounding.
                // A positive correlation that rounding hides matters if it is large beside the
                // residual.
                let little = self.residual < 1e2 * T::EPSILON * self.energy;
                self.in_doubt = count > 0 && (self.sign == Sign::Signed || little);
                return None;
            }
            let correlation = self.scratch.winner.alpha;
            if Float::abs(correlation).widen() < self.doubt.correlation {
                self.in_doubt = true;
                return None;
            }
            if count == 0 {
                self.largest = Float::abs(correlation);
            }
            return self.scratch.winner.atom.map(|atom| (atom, correlation));
        }
    }

    fn is_done(&self, stop: &Stop<T>) -> bool {
        stop.is_done(self.residual) && self.residual >= self.doubt.residual
    }

    fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    fn residual(&self) -> f64 {
        self.residual
    }

    fn support(&self) -> &[u32] {
        &self.scratch.support
    }

    #[inline(always)]
    fn coefficients(&self, into: &mut Vec<T>) {
        into.clear();
        into.extend_from_slice(&self.scratch.gamma[..self.scratch.support.len()]);
    }

    #[inline(always)]
    fn push(&mut self, atom: u32) -> bool {
        if self.scratch.winner.atom == Some(atom) {
            let s = &mut *self.scratch;
            std::mem::swap(&mut s.candidate, &mut s.winner);
        } else {
            self.examine(atom);
        }
        self.scratch.winner.atom = None;
        let s = &mut *self.scratch;
        let count = s.support.len();
        let Candidate { alpha, height, products: g, overlaps, .. } = &mut s.candidate;
        if s.field.heights.is_empty() {
            *height = lower(self.pairs, *height, &s.inverse, g, overlaps, count);
        }
        let (alpha, height) = (*alpha, *height);
        if height < Doubt::height() {
            s.support.push(atom);
            self.in_doubt = true;
            return false;
        }
        let height = Float::sqrt(height);
        let coordinate = alpha / height;
        let s = &mut *self.scratch;
        s.inverse.push(self.pairs, &s.candidate.overlaps, height);
        add_multiple(self.pairs, &mut s.gamma, coordinate, s.inverse.row(count));
        s.coordinates.push(coordinate);
        s.support.push(atom);
        s.taken[atom as usize] = true;
        let start = self.gram.start(atom);
        s.starts.push(start);
        prefetch::fetch(&self.gram.rows()[start..][..s.field.alpha.len()]);
        let scale = self.gram.scales[atom as usize];
        s.scales[count] = scale;
        s.inverse_scales[count] =
            if scale > T::narrow(1e-30) { Float::recip(scale) } else { T::zero() };
        self.behind = true;
        if !s.field.heights.is_empty() {
            s.field.heights[atom as usize] = T::narrow(OUT);
        }
        self.residual = (self.residual - coordinate.widen() * coordinate.widen()).max(0.0);
        true
    }
}
