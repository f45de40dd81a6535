//! The path of lasso solutions of one sample, from λ = ∞ down.
//!
//! ```text
//! S ← ∅
//! repeat:
//!     p ← G_SS⁻¹ α_S,  q ← G_SS⁻¹ s_S               x_S(λ) = p − λ q,  with s the signs of x
//!     u ← α − G_·S p,  v ← G_·S q                    dᵀ(y − Dx(λ)) = u + λ v
//!     λ' ← the largest λ at which something changes:
//!         j ∉ S joins with sign s:   s (u_j + λ v_j) = λ     λ = s u_j / (1 − s v_j), if s v_j < 1
//!         i ∈ S leaves:             p_i − λ q_i = 0         λ = p_i / q_i,         if s_i q_i < 0
//!     end at the wanted λ, if λ' is below it;  end at λ', if a (k + 1)-th atom would join
//!     S ← S with j, or without i
//! ```
//! The conditions after "if" say that what holds with equality would be violated below λ'. So an
//! atom that has just left, and one that has just joined, cause no event, and no atom needs to be
//! excepted by name.
//!
//! 1. Everything is computed from S and α⁰ = Dᵀy, so rounding does not add up along the path.
//! 2. If several events fall on one λ', the lowest atom comes first. Solving for S at this λ' is
//!    then the least-index method of Murty (1974) for a linear complementarity problem, which ends
//!    if G_SS is positive definite.
//! 3. An atom within rounding of the span of those in S is passed over until an atom leaves S. Such
//!    an atom stays at the bound: s v_j = 1 and u_j = 0.

use faer::MatRef;

use crate::Sign;
use crate::cpu::pursuit::full_gram::GramRows;
use crate::cpu::vector::loops;

/// Changes of the support after which a path ends: so many, and as many for each atom of the limit.
const CHANGES: usize = 64;

/// 1 − s v_j up to this is rounding: the atom stays at the bound.
const FLAT: f64 = 1e-12;

/// Events whose λ differ by less than this share are one event.
const SAME: f64 = 64.0 * f64::EPSILON;

/// Where a path ends.
pub(super) struct Limits {
    /// λ.
    pub(super) penalty: f64,
    /// Correlations up to this are no reason for an atom.
    pub(super) rounding: f64,
    /// k.
    pub(super) sparsity: usize,
    pub(super) sign: Sign,
    /// The square of the distance from the span of others, as a share of ‖d‖², up to which an atom
    /// counts as a combination of them.
    pub(super) dependence: f64,
}

/// A solution, and scratch memory.
#[derive(Debug)]
pub(super) struct Path {
    /// S, and the signs of its coefficients.
    active: Vec<u32>,
    signs: Vec<f64>,
    /// L, with LLᵀ = G_SS, row by row.
    factor: Vec<f64>,
    p: Vec<f64>,
    q: Vec<f64>,
    /// u and v, padded as rows of G are.
    constant: Vec<f64>,
    slope: Vec<f64>,
    row: Vec<f64>,
    is_active: Vec<bool>,
    is_passed: Vec<bool>,
    /// The atoms of the solution, and their coefficients.
    support: Vec<u32>,
    values: Vec<f64>,
}

/// A change of the support.
#[derive(Clone, Copy)]
enum Event {
    Joins { atom: u32, sign: f64 },
    Leaves { place: usize },
}

impl Path {
    /// For `atoms` atoms, rows of G of this width, and k.
    pub(super) fn new(atoms: usize, width: usize, sparsity: usize) -> Self {
        let vector = || Vec::with_capacity(sparsity);
        Self {
            active: Vec::with_capacity(sparsity),
            signs: vector(),
            factor: Vec::with_capacity(sparsity * (sparsity + 1) / 2),
            p: vector(),
            q: vector(),
            constant: vec![0.0; width],
            slope: vec![0.0; width],
            row: vec![0.0; width],
            is_active: vec![false; atoms],
            is_passed: vec![false; atoms],
            support: Vec::with_capacity(sparsity),
            values: vector(),
        }
    }

    /// The atoms of the solution, in the order in which they joined.
    pub(super) fn support(&self) -> &[u32] {
        &self.support
    }

    /// Their coefficients.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Finds the solution for a sample with the correlations α⁰.
    pub(super) fn follow(
        &mut self,
        gram: &GramRows<f64>,
        dictionary: MatRef<'_, f64>,
        initial: &[f64],
        limits: &Limits,
    ) {
        self.active.clear();
        self.signs.clear();
        self.factor.clear();
        self.is_active.fill(false);
        self.is_passed.fill(false);
        let last = f64::max(limits.penalty, limits.rounding);
        let mut lambda = f64::INFINITY;
        for _ in 0..CHANGES * (limits.sparsity + 1) {
            self.solve(gram, dictionary, initial);
            let next = self.next_event(limits.sign, lambda);
            let Some((at, event)) = next.filter(|&(at, _)| at > last) else {
                self.take_solution(limits.penalty);
                return;
            };
            lambda = at;
            match event {
                Event::Leaves { place } => self.remove(gram, dictionary, place),
                Event::Joins { atom, sign } => {
                    if !self.extend_factor(gram, dictionary, atom, limits.dependence) {
                        self.is_passed[atom as usize] = true;
                    } else if self.active.len() == limits.sparsity {
                        self.take_solution(lambda);
                        return;
                    } else {
                        self.active.push(atom);
                        self.signs.push(sign);
                        self.is_active[atom as usize] = true;
                    }
                }
            }
        }
        self.solve(gram, dictionary, initial);
        self.take_solution(lambda);
    }

    /// p, q, u and v of the support at hand.
    fn solve(&mut self, gram: &GramRows<f64>, dictionary: MatRef<'_, f64>, initial: &[f64]) {
        let Self { active, signs, factor, p, q, constant, slope, row, .. } = self;
        p.clear();
        p.extend(active.iter().map(|&atom| initial[atom as usize]));
        q.clear();
        q.extend_from_slice(signs);
        solve_in_place(factor, p);
        solve_in_place(factor, q);
        let (u, padding) = constant.split_at_mut(initial.len());
        u.copy_from_slice(initial);
        padding.fill(0.0);
        slope.fill(0.0);
        for ((&atom, &p), &q) in active.iter().zip(&*p).zip(&*q) {
            let row = gram.row(dictionary, atom as usize, row);
            loops::add(constant, -p, row);
            loops::add(slope, q, row);
        }
    }

    /// The next event at or below `lambda`: that at the largest λ and, of equal ones, of the lowest
    /// atom.
    fn next_event(&self, sign: Sign, lambda: f64) -> Option<(f64, Event)> {
        let mut largest = f64::NEG_INFINITY;
        self.for_each_event(sign, |at, _, _| largest = largest.max(at));
        let largest = largest.min(lambda);
        let mut first: Option<(u32, Event)> = None;
        self.for_each_event(sign, |at, atom, event| {
            let is_lower = first.is_none_or(|(lowest, _)| atom < lowest);
            if at >= largest * (1.0 - SAME) && is_lower {
                first = Some((atom, event));
            }
        });
        first.map(|(_, event)| (largest, event))
    }

    /// Calls `tell` with each event at a positive λ, and its atom.
    fn for_each_event(&self, sign: Sign, mut tell: impl FnMut(f64, u32, Event)) {
        let signs: &[f64] = if sign == Sign::Signed { &[1.0, -1.0] } else { &[1.0] };
        for (j, (&u, &v)) in self.constant.iter().zip(&self.slope).enumerate() {
            if self.is_active.get(j).is_none_or(|&is_active| is_active) || self.is_passed[j] {
                continue;
            }
            for &sign in signs {
                let (numerator, denominator) = (sign * u, 1.0 - sign * v);
                if numerator > 0.0 && denominator > FLAT {
                    let atom = j as u32;
                    tell(numerator / denominator, atom, Event::Joins { atom, sign });
                }
            }
        }
        let of_active = self.p.iter().zip(&self.q).zip(&self.signs).zip(&self.active);
        for (place, (((&p, &q), &sign), &atom)) in of_active.enumerate() {
            if sign * q < 0.0 && p / q > 0.0 {
                tell(p / q, atom, Event::Leaves { place });
            }
        }
    }

    /// Takes an atom out of the support, and no longer passes over any.
    fn remove(&mut self, gram: &GramRows<f64>, dictionary: MatRef<'_, f64>, place: usize) {
        let atom = self.active.remove(place);
        self.signs.remove(place);
        self.is_active[atom as usize] = false;
        self.is_passed.fill(false);
        let (active, signs) = (std::mem::take(&mut self.active), std::mem::take(&mut self.signs));
        self.factor.clear();
        for (&atom, &sign) in active.iter().zip(&signs) {
            // A part of an independent set is independent, but for rounding.
            if self.extend_factor(gram, dictionary, atom, 0.0) {
                self.active.push(atom);
                self.signs.push(sign);
            } else {
                self.is_active[atom as usize] = false;
                self.is_passed[atom as usize] = true;
            }
        }
    }

    /// Appends the row of an atom to L; `false`, and L as it was, if the atom depends on those in
    /// S.
    fn extend_factor(
        &mut self,
        gram: &GramRows<f64>,
        dictionary: MatRef<'_, f64>,
        atom: u32,
        dependence: f64,
    ) -> bool {
        let Self { active, factor, .. } = self;
        let size = active.len();
        // A (k + 1)-th atom is asked for, too, and then forgotten.
        let start = size * (size + 1) / 2;
        factor.truncate(start);
        factor.extend(active.iter().map(|&other| gram.entry(dictionary, other, atom)));
        let (rows, new) = factor.split_at_mut(start);
        forward(rows, new);
        let norm = gram.norms()[atom as usize];
        let height = norm - new.iter().map(|l| l * l).sum::<f64>();
        if height > dependence * norm {
            factor.push(height.sqrt());
            return true;
        }
        factor.truncate(start);
        false
    }

    /// x_S(λ), without the atoms that are at 0 there.
    fn take_solution(&mut self, lambda: f64) {
        let Self { active, signs, p, q, support, values, .. } = self;
        support.clear();
        values.clear();
        for (((&atom, &sign), p), q) in active.iter().zip(&*signs).zip(p).zip(q) {
            let x = *p - lambda * *q;
            if sign * x > 0.0 {
                support.push(atom);
                values.push(x);
            }
        }
    }
}

/// b ← L⁻¹ b.
fn forward(factor: &[f64], b: &mut [f64]) {
    for i in 0..b.len() {
        let (row, diagonal) = factor[i * (i + 1) / 2..][..=i].split_at(i);
        let (before, rest) = b.split_at_mut(i);
        let sum: f64 = row.iter().zip(&*before).map(|(l, b)| l * b).sum();
        rest[0] = (rest[0] - sum) / diagonal[0];
    }
}

/// b ← (LLᵀ)⁻¹ b.
fn solve_in_place(factor: &[f64], b: &mut [f64]) {
    forward(factor, b);
    for i in (0..b.len()).rev() {
        let (row, diagonal) = factor[i * (i + 1) / 2..][..=i].split_at(i);
        let (before, rest) = b.split_at_mut(i);
        rest[0] /= diagonal[0];
        for (b, l) in before.iter_mut().zip(row) {
            *b -= l * rest[0];
        }
    }
}
