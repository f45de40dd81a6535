//! The greedy pursuit that [`Omp`](super::Omp) and [`BatchOmp`](super::BatchOmp) share.
//!
//! ```text
//! S ← ∅, r ← y
//! repeat until |S| = k, ‖r‖ ≤ tolerance, or no correlation is left:
//!     α ← Dᵀr
//!     s ← argmax_j |α_j|                        orthogonal matching pursuit (OMP), or
//!         argmax_j α_j² / ‖(I − P_S) d_j‖²      orthogonal least squares (OLS)
//!     S ← S ∪ {s},  γ ← argmin ‖y − D_S γ‖,  r ← y − D_S γ
//! ```
//! P_S projects onto the span of the chosen atoms. Non-negative codes select by α_j > 0 and solve
//! the least squares under γ ≥ 0: when an atom's coefficient would turn negative, γ moves towards
//! the unconstrained solution until the first coefficient reaches zero, that atom leaves S, and
//! the rest is solved again (Lawson & Hanson 1974, ch. 23; Bruckstein, Elad & Zibulevsky 2008).
//! Each round lowers the error, so this ends.
//!
//! How α and the projections are kept up to date is the [`Basis`]'s matter: with the Gram matrix or
//! without.
//!
//! Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, "Orthogonal matching pursuit", Asilomar 1993.
//! S. Chen, S. A. Billings, W. Luo, "Orthogonal least squares methods", Int. J. Control 1989.

use num_traits::{Float, One};

use crate::Scalar;
use crate::backend::{Selection, Stop};
use crate::problem::Sign;

/// The chosen atoms S of one sample, orthogonalised, and the correlations they leave.
pub(crate) trait Basis<T: Scalar> {
    /// Forgets the chosen atoms: r = y again.
    fn restart(&mut self);

    /// Prefetches what the next [`select`](Self::select) will read, so that pursuits in step do not
    /// wait for it.
    #[inline(always)]
    fn prefetch(&mut self) {}

    /// The atom with the best score, and its correlation dᵀr; `None` if no correlation is left, or
    /// if this basis cannot tell which atom it is. Ties go to the lowest index.
    fn select(&mut self, selection: Selection) -> Option<(u32, T)>;

    /// ‖r‖².
    fn residual(&self) -> f64;

    /// Whether r is within the tolerance. `false` where that cannot be told: the next
    /// [`select`](Self::select) then raises the doubt.
    #[inline(always)]
    fn is_done(&self, stop: &Stop<T>) -> bool {
        stop.is_done(self.residual())
    }

    /// Whether the pursuit cannot go on with this basis: its digits do not say which atom is the
    /// best, or too little about the last one.
    #[inline(always)]
    fn in_doubt(&self) -> bool {
        false
    }

    /// The chosen atoms, in order.
    fn support(&self) -> &[u32];

    /// γ, the least-squares coefficients of the chosen atoms.
    fn coefficients(&self, into: &mut Vec<T>);

    /// Chooses an atom. `false` if it depends linearly on those chosen, and is then excluded, or if
    /// this basis cannot tell.
    fn push(&mut self, atom: u32) -> bool;
}

/// Coefficients and the sets a pursuit works with; reused from sample to sample.
#[derive(Debug, Default)]
pub(crate) struct Workspace<T> {
    gamma: Vec<T>,
    feasible: Vec<T>,
    kept: Vec<u32>,
}

impl<T: Scalar> Workspace<T> {
    pub(crate) fn new(sparsity: usize) -> Self {
        Self {
            gamma: Vec::with_capacity(sparsity),
            feasible: Vec::with_capacity(sparsity),
            kept: Vec::with_capacity(sparsity),
        }
    }
}

/// Codes the sample that `basis` was started with. Returns the coefficients of the first of
/// [`Basis::support`].
#[inline(always)]
pub(crate) fn pursue<'w, T: Scalar>(
    basis: &mut impl Basis<T>,
    selection: Selection,
    sign: Sign,
    stop: Stop<T>,
    work: &'w mut Workspace<T>,
) -> &'w [T] {
    let mut course = PursuitState::start(selection, sign, stop, work);
    while course.goes_on(basis) {
        course.step(basis, work);
    }
    course.finish(basis, work)
}

/// How far a pursuit has come: for pursuits in step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PursuitState<T> {
    selection: Selection,
    sign: Sign,
    stop: Stop<T>,
    steps: usize,
    ended: bool,
}

impl<T: Scalar> PursuitState<T> {
    /// The beginning of a pursuit.
    #[inline(always)]
    pub(crate) fn start(
        selection: Selection,
        sign: Sign,
        stop: Stop<T>,
        work: &mut Workspace<T>,
    ) -> Self {
        work.feasible.clear();
        Self { selection, sign, stop, steps: 0, ended: false }
    }

    /// Whether there is a next step.
    #[inline(always)]
    pub(crate) fn goes_on(&self, basis: &impl Basis<T>) -> bool {
        !self.ended
            && !basis.in_doubt()
            && !self.stop.is_out_of_steps(self.steps)
            && !self.stop.is_full(basis.support().len())
            && !basis.is_done(&self.stop)
    }

    /// Chooses an atom, or ends the pursuit.
    #[inline(always)]
    pub(crate) fn step(&mut self, basis: &mut impl Basis<T>, work: &mut Workspace<T>) {
        self.steps += 1;
        let Some((atom, correlation)) = basis.select(self.selection) else {
            self.ended = true;
            return;
        };
        self.ended = self.stop.is_too_little(correlation)
            || (basis.push(atom)
                && self.sign == Sign::NonNegative
                && !refit_non_negative(basis, work));
    }

    /// The coefficients of the first of [`Basis::support`].
    #[inline(always)]
    pub(crate) fn finish<'w>(&self, basis: &impl Basis<T>, work: &'w mut Workspace<T>) -> &'w [T] {
        match self.sign {
            Sign::Signed => {
                basis.coefficients(&mut work.gamma);
                &work.gamma
            }
            Sign::NonNegative => &work.feasible,
        }
    }
}

/// Writes the code of one sample into its slots, and returns how many are in use.
pub(crate) fn write<T: Scalar>(
    chosen: &[u32],
    gamma: &[T],
    support: &mut [u32],
    values: &mut [T],
) -> usize {
    support[..gamma.len()].copy_from_slice(&chosen[..gamma.len()]);
    values[..gamma.len()].copy_from_slice(gamma);
    gamma.len()
}

/// Solves for γ ≥ 0 on the chosen atoms, the last of which is new; atoms at the bound leave.
/// `false` if the new atom itself cannot stay: the pursuit has come to its end.
#[inline(always)]
fn refit_non_negative<T: Scalar>(basis: &mut impl Basis<T>, work: &mut Workspace<T>) -> bool {
    let Workspace { gamma, feasible, kept } = work;
    let newest = basis.support().last().copied();
    feasible.push(T::zero());
    loop {
        basis.coefficients(gamma);
        if gamma.iter().all(|&g| g > T::zero()) {
            std::mem::swap(gamma, feasible);
            return basis.support().last().copied() == newest;
        }
        // The furthest step towards γ that keeps every coefficient non-negative.
        let mut step = <T as One>::one();
        for (&from, &to) in feasible.iter().zip(gamma.iter()) {
            if to <= T::zero() {
                let reach = if from > to { from / (from - to) } else { T::zero() };
                step = Float::min(step, reach);
            }
        }
        kept.clear();
        let mut left = 0;
        for (i, &atom) in basis.support().iter().enumerate() {
            let value = feasible[i] + step * (gamma[i] - feasible[i]);
            let bound = gamma[i] <= T::zero()
                && (feasible[i] <= gamma[i] || feasible[i] / (feasible[i] - gamma[i]) <= step);
            if !bound && (value > T::zero() || Some(atom) == newest) {
                kept.push(atom);
                feasible[left] = Float::max(value, T::zero());
                left += 1;
            }
        }
        feasible.truncate(left);
        basis.restart();
        for &atom in kept.iter() {
            // A subset of independent atoms is independent; rounding might still disagree.
            if !basis.push(atom) {
                feasible.truncate(basis.support().len());
                return false;
            }
        }
    }
}
