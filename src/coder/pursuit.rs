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
//! How α, the projections and the factor D_SᵀD_S = LLᵀ are kept up to date is the [`Basis`]'s
//! matter: with the Gram matrix or without.
//!
//! Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, "Orthogonal matching pursuit", Asilomar 1993.
//! S. Chen, S. A. Billings, W. Luo, "Orthogonal least squares methods", Int. J. Control 1989.

use num_traits::{Float, One};

use crate::Scalar;
use crate::error::Error;
use crate::kernel::{self, LANES};
use crate::problem::Sign;

/// How the next atom is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Selection {
    /// The largest correlation |d_jᵀ r| with the residual: orthogonal matching pursuit (OMP).
    #[default]
    Correlation,
    /// The largest drop of the error, |d_jᵀ r| / ‖(I − P) d_j‖: orthogonal least squares (OLS,
    /// also called ORMP). Costs little more and has a lower error on coherent dictionaries.
    /// Squares of correlations are compared: they must neither over- nor underflow (in `f32`,
    /// 10⁻¹⁸ < |dᵀr| < 10¹⁸).
    LeastSquares,
}

/// When a sample is coded well enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Stop once ‖r‖₂ is at most this.
    Absolute(f64),
    /// Stop once ‖r‖₂ / ‖y‖₂ is at most this.
    Relative(f64),
}

/// What decides which atoms a pursuit takes and when it ends, besides the budget k.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PursuitRule {
    /// How the next atom is chosen.
    pub selection: Selection,
    /// Ends the pursuit once the residual is this small.
    pub tolerance: Option<Tolerance>,
    /// Ends the pursuit once the next atom's correlation |dᵀr| is below this: such an atom
    /// explains noise.
    pub min_correlation: Option<f64>,
}

impl PursuitRule {
    /// Checks that thresholds are finite and not negative.
    ///
    /// # Errors
    /// [`Error::Argument`], naming `tolerance` or `min_correlation`.
    pub fn check(&self) -> Result<(), Error> {
        let tolerance = self.tolerance.map(|t| match t {
            Tolerance::Absolute(value) | Tolerance::Relative(value) => value,
        });
        for (argument, value) in
            [("tolerance", tolerance), ("min_correlation", self.min_correlation)]
        {
            match value {
                Some(value) if !(value.is_finite() && value >= 0.0) => {
                    return Err(Error::argument(argument, value, "a finite number, at least 0"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The residual's squared norm at which a sample of squared norm `energy` is done.
    fn squared_tolerance(&self, energy: f64) -> f64 {
        match self.tolerance {
            None => -1.0,
            Some(Tolerance::Absolute(norm)) => norm * norm,
            Some(Tolerance::Relative(ratio)) => ratio * ratio * energy,
        }
    }
}

/// The chosen atoms S of one sample, orthogonalised, and the correlations they leave.
pub(super) trait Basis<T: Scalar> {
    /// Forgets the chosen atoms: r = y again.
    fn restart(&mut self);

    /// α = Dᵀr, with zeros for the chosen and the excluded atoms.
    fn correlations(&self) -> &[T];

    /// ‖(I − P_S) d_j‖² for every atom. Kept for [`Selection::LeastSquares`] only.
    fn heights(&self) -> &[T];

    /// ‖r‖².
    fn residual(&self) -> f64;

    /// The factorisation of the chosen atoms.
    fn factor(&self) -> &Factor<T>;

    /// ‖(I − P_S) d‖² up to which this basis takes an atom for linearly dependent on the chosen.
    fn dependence(&self) -> T;

    /// Chooses an atom. `false` if it depends linearly on those chosen, to the precision of this
    /// basis: it is then excluded, and the chosen atoms stay as they are.
    fn push(&mut self, atom: u32) -> bool;
}

/// The chosen atoms S and the triangular factor of their Gram matrix, D_SᵀD_S = LLᵀ.
#[derive(Debug)]
pub(super) struct Factor<T> {
    support: Vec<u32>,
    excluded: Vec<u32>,
    /// The rows of L, one after the other; row i has i + 1 entries.
    rows: Vec<T>,
    /// The sample's coordinates in the orthonormal basis: L⁻¹ D_Sᵀ y.
    coordinates: Vec<T>,
}

impl<T: Scalar> Factor<T> {
    pub(super) fn new(sparsity: usize) -> Self {
        Self {
            support: Vec::with_capacity(sparsity),
            excluded: Vec::new(),
            rows: Vec::with_capacity(sparsity * (sparsity + 1) / 2),
            coordinates: Vec::with_capacity(sparsity),
        }
    }

    pub(super) fn clear(&mut self) {
        self.support.clear();
        self.excluded.clear();
        self.rows.clear();
        self.coordinates.clear();
    }

    pub(super) fn support(&self) -> &[u32] {
        &self.support
    }

    /// Appends an atom: `row` is the new row of L without its diagonal entry.
    pub(super) fn push(&mut self, atom: u32, row: &[T], diagonal: T, coordinate: T) {
        self.support.push(atom);
        self.rows.extend_from_slice(row);
        self.rows.push(diagonal);
        self.coordinates.push(coordinate);
    }

    /// Marks an atom as linearly dependent on the chosen ones.
    pub(super) fn exclude(&mut self, atom: u32) {
        self.excluded.push(atom);
    }

    /// Zeroes the correlations of atoms that must not be chosen (again).
    pub(super) fn mask(&self, alpha: &mut [T]) {
        for &atom in self.support.iter().chain(&self.excluded) {
            alpha[atom as usize] = T::zero();
        }
    }

    /// γ ← L⁻ᵀ c, the least-squares coefficients of the chosen atoms.
    fn solve(&self, gamma: &mut Vec<T>) {
        gamma.clear();
        gamma.extend_from_slice(&self.coordinates);
        for i in (0..gamma.len()).rev() {
            let row = &self.rows[i * (i + 1) / 2..][..i + 1];
            let value = gamma[i] / row[i];
            gamma[i] = value;
            for (gamma, &l) in gamma[..i].iter_mut().zip(row) {
                *gamma -= l * value;
            }
        }
    }
}

/// Coefficients and the sets a pursuit works with; reused from sample to sample.
#[derive(Debug)]
pub(super) struct Workspace<T> {
    gamma: Vec<T>,
    feasible: Vec<T>,
    kept: Vec<u32>,
}

impl<T: Scalar> Workspace<T> {
    pub(super) fn new(sparsity: usize) -> Self {
        Self {
            gamma: Vec::with_capacity(sparsity),
            feasible: Vec::with_capacity(sparsity),
            kept: Vec::with_capacity(sparsity),
        }
    }
}

/// Codes the sample that `basis` was started with: fills `support` and `values`, whose length is
/// the budget k, and returns how many entries are in use.
pub(super) fn pursue<T: Scalar>(
    basis: &mut impl Basis<T>,
    rule: &PursuitRule,
    sign: Sign,
    work: &mut Workspace<T>,
    support: &mut [u32],
    values: &mut [T],
) -> usize {
    let budget = support.len();
    let done = rule.squared_tolerance(basis.residual());
    let mut least = T::narrow(rule.min_correlation.unwrap_or(0.0));
    work.feasible.clear();
    // Atoms may turn out dependent, or leave a non-negative code and come back. The error falls
    // each time, but by rounding alone this might go on for long.
    for round in 0..4 * budget {
        if basis.factor().support().len() == budget || basis.residual() <= done {
            break;
        }
        let Some(atom) = select(basis, rule.selection, sign) else { break };
        let correlation = Float::abs(basis.correlations()[atom]);
        if round == 0 {
            // What is left of the correlations by rounding is not worth an atom.
            least = Float::max(least, correlation * T::narrow(100.0 * T::EPSILON));
        }
        if correlation < least {
            break;
        }
        if !basis.push(atom as u32) {
            continue;
        }
        if sign == Sign::NonNegative && !refit_non_negative(basis, work) {
            break;
        }
    }
    if sign == Sign::Signed {
        basis.factor().solve(&mut work.gamma);
    }
    let gamma = if sign == Sign::Signed { &work.gamma } else { &work.feasible };
    let chosen = &basis.factor().support()[..gamma.len()];
    support[..chosen.len()].copy_from_slice(chosen);
    values[..chosen.len()].copy_from_slice(gamma);
    chosen.len()
}

/// Solves for γ ≥ 0 on the chosen atoms, the last of which is new; atoms at the bound leave.
/// `false` if the new atom itself cannot stay: the pursuit has come to its end.
fn refit_non_negative<T: Scalar>(basis: &mut impl Basis<T>, work: &mut Workspace<T>) -> bool {
    let Workspace { gamma, feasible, kept } = work;
    let newest = basis.factor().support().last().copied();
    feasible.push(T::zero());
    loop {
        basis.factor().solve(gamma);
        if gamma.iter().all(|&g| g > T::zero()) {
            std::mem::swap(gamma, feasible);
            return basis.factor().support().last().copied() == newest;
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
        for (i, &atom) in basis.factor().support().iter().enumerate() {
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
                feasible.truncate(basis.factor().support().len());
                return false;
            }
        }
    }
}

/// The next atom, or `None` if no correlation is left. Ties go to the lowest index.
fn select<T: Scalar>(basis: &impl Basis<T>, selection: Selection, sign: Sign) -> Option<usize> {
    let (alpha, heights, least) = (basis.correlations(), basis.heights(), basis.dependence());
    match (selection, sign) {
        (Selection::Correlation, Sign::Signed) => largest(alpha),
        (Selection::Correlation, Sign::NonNegative) => largest_positive(alpha),
        (Selection::LeastSquares, Sign::Signed) => largest_drop(alpha, heights, least),
        (Selection::LeastSquares, Sign::NonNegative) => {
            largest_positive_drop(alpha, heights, least)
        }
    }
}

kernel::vectorized! {
    fn largest<'a, T>(alpha: &'a [T]) -> Option<usize> {
        argmax(alpha, alpha, |a, _| Float::abs(a))
    }
}

kernel::vectorized! {
    fn largest_positive<'a, T>(alpha: &'a [T]) -> Option<usize> {
        argmax(alpha, alpha, |a, _| a)
    }
}

kernel::vectorized! {
    fn largest_drop<'a, T>(alpha: &'a [T], heights: &'a [T], least: T) -> Option<usize> {
        argmax(alpha, heights, |a, h| drop_of_error(a, h, least))
    }
}

kernel::vectorized! {
    fn largest_positive_drop<'a, T>(alpha: &'a [T], heights: &'a [T], least: T) -> Option<usize> {
        let positive = |a| Float::max(a, T::zero());
        argmax(alpha, heights, |a, h| drop_of_error(positive(a), h, least))
    }
}

/// α² / ‖(I − P) d‖², and zero for atoms in the span of the chosen ones.
#[inline(always)]
fn drop_of_error<T: Scalar>(correlation: T, height: T, least: T) -> T {
    let drop = correlation * correlation / height;
    if height > least { drop } else { T::zero() }
}

/// Index of the largest positive score, the lowest of equals; `None` if no score is positive.
///
/// Two passes, the maximum and then its place, since a pass that carries indices along is a chain
/// of dependent selects.
#[inline(always)]
fn argmax<T: Scalar>(a: &[T], b: &[T], score: impl Fn(T, T) -> T) -> Option<usize> {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for l in 0..LANES {
            let s = score(a[l], b[l]);
            lanes[l] = if s > lanes[l] { s } else { lanes[l] };
        }
    }
    let mut best = T::zero();
    for s in lanes.into_iter().chain(a_rest.iter().zip(b_rest).map(|(&a, &b)| score(a, b))) {
        best = if s > best { s } else { best };
    }
    if best.is_zero() {
        return None;
    }
    for (c, (a, b)) in a_chunks.iter().zip(b_chunks).enumerate() {
        let mut found = false;
        for l in 0..LANES {
            found |= score(a[l], b[l]) == best;
        }
        if found {
            let within = (0..LANES).find(|&l| score(a[l], b[l]) == best)?;
            return Some(c * LANES + within);
        }
    }
    let within = a_rest.iter().zip(b_rest).position(|(&a, &b)| score(a, b) == best)?;
    Some(a_chunks.len() * LANES + within)
}
