//! Branch and bound over the supports of one sample.
//!
//! A node is a set S of chosen atoms and a list C of candidates, of which at most r may still be
//! added. All quantities are relative to S: their components in the span of S are removed.
//!
//! ```text
//! α_j = d_jᵀ(I − P_S) y,   g_ij = d_iᵀ(I − P_S) d_j,   h_j = g_jj        for i, j ∈ C
//! ‖(I − P_{S∪T}) y‖² = ‖(I − P_S) y‖² − α_Tᵀ g_TT⁻¹ α_T                  for T ⊆ C
//! ```
//! The drop of the error, α_Tᵀ g_TT⁻¹ α_T, is bounded by diagonal dominance. With the cosines c_ij
//! = g_ij/√(h_i h_j), let
//!
//! ```text
//! δ_j = 1 − the sum of the r − 1 largest |c_ij|,   w_j = (α_j²/h_j)/δ_j, or ∞ if δ_j ≤ 0
//! ```
//! Then the matrix c_TT − diag(δ_T) is positive semidefinite for every T of at most r atoms, so the
//! drop is at most Σ_T w_j. For r = 1 this bound is exact. The drop is also at most the whole
//! remaining error, and at most the drop by the projection on all of C.
//!
//! Children are tried in falling order of w. The i-th child may not use the atoms of the children
//! before it. The search at a node ends when the bounds show that no better support is left. The
//! bounds for the i-th child are the sum of the r weights from w_i on, and the projection on the
//! atoms of C from the i-th on. One triangular factor, which takes the atoms in reverse order,
//! gives these projections for all i. If r = 2, all pairs are tried: the best second atom after i
//! is a maximum of α²/h over one row of g.
//!
//! Non-negative codes: an optimal code with positive coefficients on T solves the unconstrained
//! least squares on T. So it is among the supports of at most k atoms whose least-squares solution
//! is positive, and the bounds hold unchanged.
//!
//! G. M. Furnival, R. W. Wilson, "Regressions by leaps and bounds", Technometrics 16(4), 1974 (the
//! bound by the projection on the remaining candidates).

use crate::cpu::pursuit::dependence;
use crate::cpu::pursuit::least_squares::LeastSquares;
use crate::problem::Sign;

/// The candidates of a level are padded to this number, the most atoms that a dictionary may have.
pub(super) const WIDTH: usize = 64;

/// Pairs that are compared at a time.
const LANES: usize = 16;

/// The sample, and the best support found so far.
#[derive(Debug)]
pub(super) struct Search {
    levels: Vec<Level>,
    /// S.
    support: Vec<u32>,
    sign: Sign,
    energy: f64,
    initial: Vec<f64>,
    /// The Gram matrix of all atoms, in rows of [`WIDTH`].
    gram: Vec<f64>,
    /// A support whose error is lower by no more than this is not looked for.
    rounding: f64,
    pub(super) best: Vec<u32>,
    pub(super) best_error: f64,
    pub(super) nodes: u64,
    pub(super) squares: LeastSquares,
    trial: Vec<u32>,
    /// Scratch for a triangular factor, row by row.
    factor: Vec<f64>,
}

/// The candidates of a node, relative to S.
#[derive(Debug)]
struct Level {
    atoms: Vec<u32>,
    alpha: [f64; WIDTH],
    /// The heights h; zero for padding.
    heights: [f64; WIDTH],
    /// g, in rows of [`WIDTH`].
    gram: Vec<f64>,
    /// w of every candidate, and the order in which candidates are tried.
    weights: [f64; WIDTH],
    order: Vec<usize>,
    /// How much the candidates from the i-th of the order on lower the error together, for every i.
    projections: [f64; WIDTH],
}

impl Level {
    fn new() -> Self {
        Self {
            atoms: Vec::with_capacity(WIDTH),
            alpha: [0.0; WIDTH],
            heights: [0.0; WIDTH],
            gram: vec![0.0; WIDTH * WIDTH],
            weights: [0.0; WIDTH],
            order: Vec::with_capacity(WIDTH),
            projections: [0.0; WIDTH],
        }
    }

    fn clear(&mut self) {
        self.atoms.clear();
        self.heights.fill(0.0);
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.gram[i * WIDTH..][..WIDTH]
    }

    /// α_i²/h_i: how much candidate i alone lowers the error.
    fn drop(&self, i: usize) -> f64 {
        self.alpha[i] * self.alpha[i] / self.heights[i]
    }

    /// Computes the weights, the order of trials, and the projections.
    fn order(&mut self, remaining: usize, factor: &mut Vec<f64>) {
        let count = self.atoms.len();
        for i in 0..count {
            // The r − 1 largest cosines, in falling order.
            let mut largest = [0.0_f64; WIDTH];
            let kept = &mut largest[..remaining - 1];
            for j in (0..count).filter(|&j| j != i) {
                let g = self.gram[i * WIDTH + j];
                let mut square = g * g / (self.heights[i] * self.heights[j]);
                for slot in kept.iter_mut() {
                    if square > *slot {
                        std::mem::swap(&mut square, slot);
                    }
                }
            }
            let dominance = 1.0 - kept.iter().map(|square| square.sqrt()).sum::<f64>();
            let drop = self.drop(i);
            // If δ is positive only by rounding, it proves nothing.
            self.weights[i] = if dominance > 1e-6 { drop / dominance } else { f64::INFINITY };
        }
        self.order.clear();
        self.order.extend(0..count);
        let (weights, alpha, heights) = (&self.weights, &self.alpha, &self.heights);
        let drop = |i: usize| alpha[i] * alpha[i] / heights[i];
        self.order.sort_unstable_by(|&i, &j| {
            weights[j].total_cmp(&weights[i]).then(drop(j).total_cmp(&drop(i))).then(i.cmp(&j))
        });
        self.project(factor);
    }

    /// ‖P r‖² for all i, where P projects on the candidates from the i-th of the order on.
    fn project(&mut self, factor: &mut Vec<f64>) {
        factor.clear();
        let (mut taken, mut coordinates) = ([0; WIDTH], [0.0; WIDTH]);
        let (mut count, mut total) = (0, 0.0);
        for (place, &i) in self.order.iter().enumerate().rev() {
            let start = factor.len();
            let (mut height, mut alpha) = (self.heights[i], self.alpha[i]);
            let mut at = 0;
            for (t, &other) in taken[..count].iter().enumerate() {
                let mut value: f64 = self.gram[i * WIDTH + other];
                for s in 0..t {
                    value -= factor[start + s] * factor[at + s];
                }
                value /= factor[at + t];
                factor.push(value);
                height -= value * value;
                alpha -= value * coordinates[t];
                at += t + 1;
            }
            if height > 1e-10 {
                factor.push(height.sqrt());
                (taken[count], coordinates[count]) = (i, alpha / height.sqrt());
                count += 1;
                total += alpha * alpha / height;
            } else {
                // The part of this atom that is orthogonal to the others is not known well enough,
                // so there is no bound for this place and those before it.
                factor.truncate(start);
                self.projections[..=place].fill(f64::INFINITY);
                return;
            }
            self.projections[place] = total;
        }
    }
}

impl Search {
    pub(super) fn new(sparsity: usize) -> Self {
        Self {
            levels: (0..sparsity).map(|_| Level::new()).collect(),
            support: Vec::with_capacity(sparsity),
            sign: Sign::Signed,
            energy: 0.0,
            initial: Vec::with_capacity(WIDTH),
            gram: vec![0.0; WIDTH * WIDTH],
            rounding: 0.0,
            best: Vec::with_capacity(sparsity),
            best_error: 0.0,
            nodes: 0,
            squares: LeastSquares::new(sparsity),
            trial: Vec::with_capacity(sparsity),
            factor: Vec::with_capacity(WIDTH * (WIDTH + 1) / 2),
        }
    }

    /// Proves that `best` is optimal among the supports of at most k atoms, or finds a better one.
    /// `gram` gives d_iᵀd_j, `initial` holds Dᵀy, and `best_error` is the error of `best`.
    pub(super) fn run(
        &mut self,
        sign: Sign,
        gram: impl Fn(usize, usize) -> f64,
        initial: &[f64],
        energy: f64,
        rounding: f64,
    ) {
        (self.sign, self.energy, self.rounding, self.nodes) = (sign, energy, rounding, 0);
        self.support.clear();
        self.initial.clear();
        self.initial.extend_from_slice(initial);
        let atoms = initial.len();
        for i in 0..atoms {
            for j in 0..atoms {
                self.gram[i * WIDTH + j] = gram(i, j);
            }
        }
        let root = &mut self.levels[0];
        root.clear();
        root.atoms.extend(0..atoms as u32);
        root.alpha[..atoms].copy_from_slice(initial);
        root.gram.copy_from_slice(&self.gram);
        for i in 0..atoms {
            root.heights[i] = root.gram[i * WIDTH + i];
        }
        self.expand(0, energy);
    }

    /// Tries all extensions of S, which has `depth` atoms and the error `error`.
    fn expand(&mut self, depth: usize, error: f64) {
        self.nodes += 1;
        let count = self.levels[depth].atoms.len();
        for i in 0..count {
            if error - self.levels[depth].drop(i) < self.best_error - self.rounding {
                self.offer(&[self.levels[depth].atoms[i]]);
            }
        }
        let remaining = self.levels.len() - depth;
        match remaining {
            1 => {}
            2 => self.pairs(depth, error),
            _ => {
                self.levels[depth].order(remaining, &mut self.factor);
                for first in 0..count {
                    let level = &self.levels[depth];
                    let rest = &level.order[first..];
                    let sum = rest.iter().take(remaining).map(|&i| level.weights[i]).sum::<f64>();
                    let bound = sum.min(level.projections[first]);
                    if error - bound >= self.best_error - self.rounding {
                        // The bounds of the children that follow are no larger.
                        break;
                    }
                    let chosen = rest[0];
                    let (atom, left) = (level.atoms[chosen], error - level.drop(chosen));
                    self.descend(depth, first);
                    self.support.push(atom);
                    self.expand(depth + 1, left);
                    self.support.pop();
                }
            }
        }
    }

    /// Makes the next level: candidate `first` of the order is chosen, and the ones before it are
    /// excluded.
    fn descend(&mut self, depth: usize, first: usize) {
        let (above, below) = self.levels.split_at_mut(depth + 1);
        let (parent, child) = (&above[depth], &mut below[0]);
        let chosen = parent.order[first];
        let (row, height) = (parent.row(chosen), parent.heights[chosen]);
        let alpha = parent.alpha[chosen] / height;
        child.clear();
        child.order.clear();
        for &j in &parent.order[first + 1..] {
            let h = parent.heights[j] - row[j] * row[j] / height;
            if h > dependence::of_gram() {
                let at = child.atoms.len();
                child.atoms.push(parent.atoms[j]);
                child.alpha[at] = parent.alpha[j] - row[j] * alpha;
                child.heights[at] = h;
                child.order.push(j);
            }
        }
        for (at, &i) in child.order.iter().enumerate() {
            let (from, share) = (parent.row(i), row[i] / height);
            let into = &mut child.gram[at * WIDTH..][..child.order.len()];
            for (into, &j) in into.iter_mut().zip(&child.order) {
                *into = from[j] - share * row[j];
            }
        }
    }

    /// Tries all pairs for the last two atoms.
    fn pairs(&mut self, depth: usize, error: f64) {
        let level = &self.levels[depth];
        let mut best = [0.0; WIDTH];
        best_partners(&level.alpha, &level.heights, &level.gram, level.atoms.len(), &mut best);
        for (i, &partner) in best.iter().enumerate().take(self.levels[depth].atoms.len()) {
            let left = error - self.levels[depth].drop(i);
            if left - partner >= self.best_error - self.rounding {
                continue;
            }
            for j in i + 1..self.levels[depth].atoms.len() {
                let level = &self.levels[depth];
                let drop = second_drop(
                    level.alpha[j],
                    level.heights[j],
                    level.row(i)[j],
                    level.alpha[i],
                    level.heights[i].recip(),
                );
                if left - drop < self.best_error - self.rounding {
                    let pair = [level.atoms[i], level.atoms[j]];
                    self.offer(&pair);
                }
            }
        }
    }

    /// Takes S with `more` atoms as the best support, if its least-squares error is lower and the
    /// signs of its coefficients are allowed.
    fn offer(&mut self, more: &[u32]) {
        let Self { trial, support, squares, gram, initial, energy, .. } = self;
        trial.clear();
        trial.extend_from_slice(support);
        trial.extend_from_slice(more);
        squares.solve::<f64>(
            Sign::Signed,
            trial.len(),
            |u, v| gram[trial[u] as usize * WIDTH + trial[v] as usize],
            |u| initial[trial[u] as usize],
            *energy,
        );
        let allowed = match self.sign {
            Sign::Signed => true,
            Sign::NonNegative => self.squares.solution().all(|(_, gamma)| gamma > 0.0),
        };
        if allowed && self.squares.error() < self.best_error - self.rounding {
            self.best_error = self.squares.error();
            std::mem::swap(&mut self.best, &mut self.trial);
        }
    }
}

/// How much an atom lowers the error after another atom with 1/h = `inverse` was chosen.
#[inline(always)]
fn second_drop(alpha: f64, height: f64, product: f64, other: f64, inverse: f64) -> f64 {
    let share = product * inverse;
    let (alpha, height) = (alpha - share * other, height - share * product);
    let drop = alpha * alpha / height;
    if height > dependence::of_gram() { drop } else { 0.0 }
}

/// For every candidate i, the largest drop of the error by a later candidate once i is chosen.
fn best_partners(
    alpha: &[f64; WIDTH],
    heights: &[f64; WIDTH],
    gram: &[f64],
    count: usize,
    best: &mut [f64; WIDTH],
) {
    pulp::Arch::new().dispatch(BestPartners { alpha, heights, gram, count, best });
}

struct BestPartners<'a> {
    alpha: &'a [f64; WIDTH],
    heights: &'a [f64; WIDTH],
    gram: &'a [f64],
    count: usize,
    best: &'a mut [f64; WIDTH],
}

impl pulp::WithSimd for BestPartners<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { alpha, heights, gram, count, best } = self;
        let (rows, _) = gram.as_chunks::<WIDTH>();
        let (alphas, _) = alpha.as_chunks::<LANES>();
        let (heights_of, _) = heights.as_chunks::<LANES>();
        for i in 0..count {
            let (row, _) = rows[i].as_chunks::<LANES>();
            let (other, inverse) = (alpha[i], heights[i].recip());
            let mut lanes = [0.0; LANES];
            // Pairs with atoms before i in its chunk are computed twice, which is harmless. Padding
            // has height 0 and never wins.
            for c in i / LANES..count.div_ceil(LANES) {
                for l in 0..LANES {
                    let drop =
                        second_drop(alphas[c][l], heights_of[c][l], row[c][l], other, inverse);
                    lanes[l] = if drop > lanes[l] { drop } else { lanes[l] };
                }
            }
            best[i] = lanes.into_iter().fold(0.0, f64::max);
        }
    }
}
