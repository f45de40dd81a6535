//! Least squares on a given support, for coders that choose atoms by other rules.
//!
//! ```text
//! min ‖y − D_S γ‖² = ‖y‖² − ‖L⁻¹ D_Sᵀ y‖²,   LLᵀ = D_SᵀD_S
//! ```
//! Everything is of order k and done in double precision. Under γ ≥ 0 this is the pursuit of
//! [`pursuit`](super::pursuit) on these atoms alone, run until no positive correlation is left: the
//! active-set method of Lawson & Hanson.

use faer::MatRef;
use num_traits::Float;

use super::argmax::select;
use super::dependence;
use super::factor::Factor;
use super::greedy::{Basis, Workspace, pursue};
use crate::Scalar;
use crate::backend::{Selection, Stop};
use crate::cpu::vector::loops;
use crate::matrix::column;
use crate::problem::Sign;

/// Scratch memory of least squares on at most k atoms.
#[derive(Debug)]
pub(crate) struct LeastSquares {
    basis: GivenAtoms,
    work: Workspace<f64>,
    gamma: Vec<f64>,
}

/// The atoms given, and those of them that are in use: `factor` counts atoms by their place.
#[derive(Debug)]
struct GivenAtoms {
    count: usize,
    /// D_SᵀD_S, in rows of `count`.
    gram: Vec<f64>,
    norms: Vec<f64>,
    /// D_Sᵀy.
    initial: Vec<f64>,
    energy: f64,
    residual: f64,
    /// ‖(I − P) d‖² of atoms that are left out.
    dependence: f64,
    factor: Factor<f64>,
    /// Correlations with the residual, where the sign matters.
    alpha: Vec<f64>,
    row: Vec<f64>,
    sign: Sign,
}

impl LeastSquares {
    pub(crate) fn new(sparsity: usize) -> Self {
        let empty = || Vec::with_capacity(sparsity);
        Self {
            basis: GivenAtoms {
                count: 0,
                gram: Vec::with_capacity(sparsity * sparsity),
                norms: empty(),
                initial: empty(),
                energy: 0.0,
                residual: 0.0,
                dependence: 0.0,
                factor: Factor::new(sparsity),
                alpha: empty(),
                row: empty(),
                sign: Sign::Signed,
            },
            work: Workspace::new(sparsity),
            gamma: empty(),
        }
    }

    /// Solves for `count` atoms, given the lower triangle of D_SᵀD_S, D_Sᵀy and ‖y‖² in the
    /// precision of `T`. Atoms that depend linearly on those before them are left out.
    pub(crate) fn solve<T: Scalar>(
        &mut self,
        sign: Sign,
        count: usize,
        gram: impl Fn(usize, usize) -> f64,
        initial: impl Fn(usize) -> f64,
        energy: f64,
    ) {
        self.load(dependence::of_gram::<T>().widen(), sign, count, gram, initial, energy);
        self.solve_loaded();
    }

    fn solve_loaded(&mut self) {
        let Self { basis, gamma, work } = self;
        let (sign, count) = (basis.sign, basis.count);
        gamma.clear();
        match sign {
            Sign::Signed => {
                for place in 0..count as u32 {
                    basis.push(place);
                }
                basis.coefficients(gamma);
            }
            Sign::NonNegative => {
                let (selection, stop) = (Selection::default(), Stop::at_budget(count));
                gamma.extend_from_slice(pursue(basis, selection, sign, stop, work));
            }
        }
    }

    /// OMP with at most `budget` of `count` atoms.
    pub(crate) fn pursue<T: Scalar>(
        &mut self,
        sign: Sign,
        budget: usize,
        count: usize,
        gram: impl Fn(usize, usize) -> f64,
        initial: impl Fn(usize) -> f64,
        energy: f64,
    ) {
        self.load(dependence::of_gram::<T>().widen(), sign, count, gram, initial, energy);
        let Self { basis, gamma, work } = self;
        let (selection, stop) = (Selection::default(), Stop::at_budget(budget));
        gamma.clear();
        gamma.extend_from_slice(pursue(basis, selection, sign, stop, work));
    }

    fn load(
        &mut self,
        dependence: f64,
        sign: Sign,
        count: usize,
        gram: impl Fn(usize, usize) -> f64,
        initial: impl Fn(usize) -> f64,
        energy: f64,
    ) {
        let basis = &mut self.basis;
        (basis.count, basis.energy, basis.sign) = (count, energy, sign);
        basis.dependence = dependence;
        basis.gram.clear();
        basis.gram.resize(count * count, 0.0);
        for u in 0..count {
            for v in 0..=u {
                let entry = gram(u, v);
                basis.gram[u * count + v] = entry;
                basis.gram[v * count + u] = entry;
            }
        }
        basis.norms.clear();
        basis.norms.extend((0..count).map(|u| basis.gram[u * count + u]));
        basis.initial.clear();
        basis.initial.extend((0..count).map(initial));
        basis.restart();
    }

    /// Solves for the atoms `chosen`, by products of these atoms in double precision: O(k²d).
    pub(crate) fn fit<T: Scalar>(
        &mut self,
        sign: Sign,
        dictionary: MatRef<'_, T>,
        sample: &[T],
        chosen: &[u32],
    ) {
        let atom = |place: usize| column(dictionary, chosen[place] as usize);
        let gram = |u: usize, v: usize| loops::wide_product(atom(u), atom(v));
        let initial = |u| loops::wide_product(atom(u), sample);
        let dependence = dependence::of_wide_gram::<T>();
        self.load(dependence, sign, chosen.len(), gram, initial, loops::energy(sample));
        self.solve_loaded();
    }

    /// Places of the atoms in use, and their coefficients.
    pub(crate) fn solution(&self) -> impl ExactSizeIterator<Item = (usize, f64)> {
        let places = self.basis.factor.support()[..self.gamma.len()].iter();
        places.zip(&self.gamma).map(|(&place, &gamma)| (place as usize, gamma))
    }

    /// ‖y − D_S γ‖², by subtraction from ‖y‖².
    pub(crate) fn error(&self) -> f64 {
        self.basis.residual
    }

    /// Writes the code into a sample's slots; returns its length.
    pub(crate) fn write<T: Scalar>(
        &self,
        chosen: &[u32],
        support: &mut [u32],
        values: &mut [T],
    ) -> usize {
        let solution = self.solution();
        let length = solution.len();
        for ((slot, value), (place, gamma)) in support.iter_mut().zip(values).zip(solution) {
            (*slot, *value) = (chosen[place], T::narrow(gamma));
        }
        length
    }
}

impl GivenAtoms {
    /// α ← D_Sᵀ(y − D_S γ).
    fn correlate(&mut self) {
        let Self { count, gram, initial, factor, alpha, row: gamma, .. } = self;
        factor.solve(gamma);
        alpha.clear();
        alpha.extend_from_slice(initial);
        for (&place, &gamma) in factor.support().iter().zip(gamma.iter()) {
            loops::axpy(alpha, -gamma, &gram[place as usize * *count..][..*count]);
        }
        factor.mask(alpha);
    }
}

impl Basis<f64> for GivenAtoms {
    fn restart(&mut self) {
        self.factor.clear();
        self.residual = self.energy;
    }

    fn select(&mut self, selection: Selection) -> Option<(u32, f64)> {
        self.correlate();
        let best = select(&self.alpha, &self.norms, 0.0, selection, self.sign)?;
        // What is left of the correlations by rounding is not worth an atom.
        let largest = self.initial.iter().fold(0.0, |most, a| f64::max(most, a.abs()));
        (self.alpha[best].abs() > 16.0 * f64::EPSILON * largest)
            .then_some((best as u32, self.alpha[best]))
    }

    fn residual(&self) -> f64 {
        self.residual
    }

    fn support(&self) -> &[u32] {
        self.factor.support()
    }

    fn coefficients(&self, into: &mut Vec<f64>) {
        self.factor.solve(into);
    }

    fn push(&mut self, place: u32) -> bool {
        let Self { count, gram, norms, initial, factor, row, .. } = self;
        let at = place as usize;
        let g = &gram[at * *count..][..*count];
        let (height, alpha) = factor.lower(norms[at], initial[at], |u| g[u as usize], row);
        if height <= self.dependence {
            factor.exclude(place);
            return false;
        }
        let height = Float::sqrt(height);
        let coordinate = alpha / height;
        factor.push(place, row, height, coordinate);
        self.residual = (self.residual - coordinate * coordinate).max(0.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Solves with atoms given as columns.
    fn fit(sign: Sign, atoms: &[[f64; 3]], sample: [f64; 3]) -> (Vec<(usize, f64)>, f64) {
        let dictionary = faer::Mat::from_fn(3, atoms.len(), |i, j| atoms[j][i]);
        let chosen: Vec<u32> = (0..atoms.len() as u32).collect();
        let mut squares = LeastSquares::new(atoms.len());
        squares.fit(sign, dictionary.as_ref(), &sample, &chosen);
        (squares.solution().collect(), squares.error())
    }

    #[test]
    fn signed_coefficients_in_the_order_given() {
        let (solution, error) =
            fit(Sign::Signed, &[[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]], [1.0, -0.8, 2.0]);
        let expected = [(0, 1.6), (1, -1.0)];
        assert_eq!(solution.len(), 2);
        for ((place, value), (expected_place, expected)) in solution.into_iter().zip(expected) {
            assert_eq!(place, expected_place);
            assert!((value - expected).abs() < 16.0 * f64::EPSILON, "{value}");
        }
        assert!((error - 4.0).abs() < 64.0 * f64::EPSILON, "{error}");
    }

    #[test]
    fn a_repeated_atom_is_left_out() {
        let (solution, error) =
            fit(Sign::Signed, &[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [2.0, 0.0, 0.0]);
        assert_eq!((solution, error), (vec![(0, 2.0)], 0.0));
    }

    #[test]
    fn an_atom_that_would_be_negative_is_left_out() {
        let (solution, error) =
            fit(Sign::NonNegative, &[[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]], [1.0, -0.8, 0.0]);
        assert_eq!(solution, [(0, 1.0)]);
        assert!((error - 0.64).abs() < 16.0 * f64::EPSILON, "{error}");
    }
}
