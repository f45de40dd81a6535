//! Pursuits by the book, as naive as they can be: what the coders are compared with.
//!
//! Everything is computed afresh at every step: the residual from the coefficients, the
//! coefficients by an orthogonal factorisation of the chosen atoms, the distance of every atom from
//! their span by taking the span out of the atom itself.

use dbksvd::Sign;
use dbksvd::coder::Selection;
use num_traits::Float;

/// A code, and how each of its atoms was chosen.
#[derive(Debug)]
pub struct Code<T> {
    pub support: Vec<u32>,
    pub values: Vec<T>,
    pub steps: Vec<Step>,
}

/// A choice.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The atom.
    pub atom: u32,
    /// By how much of itself its score leads that of the next best atom.
    pub lead: f64,
    /// ‖r‖ / ‖y‖ before it.
    pub left: f64,
}

/// Atoms as columns, and the precision ε in which they are known.
pub struct Atoms<'a, T>(pub &'a [Vec<T>], pub f64);

fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::zero(), |sum, (&a, &b)| sum + a * b)
}

fn norm<T: Float>(a: &[T]) -> T {
    dot(a, a).sqrt()
}

/// a ← a − c b.
fn subtract<T: Float>(a: &mut [T], c: T, b: &[T]) {
    a.iter_mut().zip(b).for_each(|(a, &b)| *a = *a - c * b);
}

/// Gram–Schmidt, twice: what is left of `a` beyond the span of the orthonormal `basis`, and its
/// coordinates there.
fn beyond<T: Float>(a: &[T], basis: &[Vec<T>]) -> (Vec<T>, Vec<T>) {
    let (mut rest, mut coordinates) = (a.to_vec(), vec![T::zero(); basis.len()]);
    for _ in 0..2 {
        for (coordinate, q) in coordinates.iter_mut().zip(basis) {
            let c = dot(q, &rest);
            *coordinate = *coordinate + c;
            subtract(&mut rest, c, q);
        }
    }
    (rest, coordinates)
}

/// Atoms nearer than this to the span of others count as in it; in ε.
const DEPENDENT: f64 = 64.0;

impl<T: Float> Atoms<'_, T> {
    fn dependent(&self) -> T {
        T::from(DEPENDENT * self.1).unwrap()
    }

    /// argmin ‖y − D_S γ‖ on independent atoms.
    pub fn least_squares(&self, y: &[T], support: &[u32]) -> Vec<T> {
        let (mut basis, mut rows): (Vec<Vec<T>>, Vec<Vec<T>>) = Default::default();
        for &atom in support {
            let (mut q, mut row) = beyond(&self.0[atom as usize], &basis);
            let height = norm(&q);
            q.iter_mut().for_each(|q| *q = *q / height);
            row.push(height);
            basis.push(q);
            rows.push(row);
        }
        let mut gamma = beyond(y, &basis).1;
        for i in (0..gamma.len()).rev() {
            gamma[i] = gamma[i] / rows[i][i];
            for j in 0..i {
                gamma[j] = gamma[j] - rows[i][j] * gamma[i];
            }
        }
        gamma
    }

    /// y − D_S γ.
    pub fn residual(&self, y: &[T], support: &[u32], gamma: &[T]) -> Vec<T> {
        let mut r = y.to_vec();
        for (&atom, &gamma) in support.iter().zip(gamma) {
            subtract(&mut r, gamma, &self.0[atom as usize]);
        }
        r
    }

    /// OMP or OLS with `budget` atoms.
    pub fn pursue(&self, y: &[T], budget: usize, selection: Selection, sign: Sign) -> Code<T> {
        let mut code = Code { support: Vec::new(), values: Vec::new(), steps: Vec::new() };
        let mut excluded: Vec<u32> = Vec::new();
        for _ in 0..4 * budget {
            if code.support.len() == budget {
                break;
            }
            let r = self.residual(y, &code.support, &code.values);
            let Some((atom, lead)) = self.best(&r, &code.support, &excluded, selection, sign)
            else {
                break;
            };
            let basis = self.orthonormal(&code.support);
            if norm(&beyond(&self.0[atom as usize], &basis).0) <= self.dependent() {
                excluded.push(atom);
                continue;
            }
            let left = (norm(&r) / norm(y)).to_f64().unwrap();
            code.steps.push(Step { atom, lead, left });
            code.support.push(atom);
            code.values.push(T::zero());
            match sign {
                Sign::Signed => code.values = self.least_squares(y, &code.support),
                Sign::NonNegative => {
                    if !self.refit_non_negative(y, &mut code, atom) {
                        break;
                    }
                }
            }
        }
        code
    }

    fn orthonormal(&self, support: &[u32]) -> Vec<Vec<T>> {
        let mut basis: Vec<Vec<T>> = Vec::new();
        for &atom in support {
            let mut q = beyond(&self.0[atom as usize], &basis).0;
            let height = norm(&q);
            q.iter_mut().for_each(|q| *q = *q / height);
            basis.push(q);
        }
        basis
    }

    /// The best atom and its lead.
    fn best(
        &self,
        r: &[T],
        support: &[u32],
        excluded: &[u32],
        selection: Selection,
        sign: Sign,
    ) -> Option<(u32, f64)> {
        let basis = self.orthonormal(support);
        let (mut best, mut second, mut place) = (T::zero(), T::zero(), None);
        for (j, atom) in self.0.iter().enumerate() {
            let j = j as u32;
            if support.contains(&j) || excluded.contains(&j) {
                continue;
            }
            let mut score = match selection {
                Selection::Correlation => dot(atom, r),
                Selection::LeastSquares => {
                    let q = beyond(atom, &basis).0;
                    let height = norm(&q);
                    if height <= self.dependent() { T::zero() } else { dot(&q, r) / height }
                }
            };
            if sign == Sign::Signed {
                score = score.abs();
            }
            if score > best {
                (second, best, place) = (best, score, Some(j));
            } else if score > second {
                second = score;
            }
        }
        place.map(|j| (j, ((best - second) / best).to_f64().unwrap()))
    }

    /// The least squares under γ ≥ 0 from feasible coefficients (Lawson & Hanson); `false` if the
    /// newest atom does not stay.
    fn refit_non_negative(&self, y: &[T], code: &mut Code<T>, newest: u32) -> bool {
        loop {
            let gamma = self.least_squares(y, &code.support);
            if gamma.iter().all(|&g| g > T::zero()) {
                code.values = gamma;
                return code.support.last() == Some(&newest);
            }
            let mut step = T::one();
            for (&from, &to) in code.values.iter().zip(&gamma) {
                if to <= T::zero() {
                    step = step.min(if from > to { from / (from - to) } else { T::zero() });
                }
            }
            let (support, values) = (code.support.clone(), code.values.clone());
            code.support.clear();
            code.values.clear();
            for ((&atom, &from), &to) in support.iter().zip(&values).zip(&gamma) {
                let bound = to <= T::zero() && (from <= to || from / (from - to) <= step);
                let value = from + step * (to - from);
                if !bound && (value > T::zero() || atom == newest) {
                    code.support.push(atom);
                    code.values.push(value.max(T::zero()));
                }
            }
        }
    }

    /// Matching pursuit: one coefficient a step, at most four for each of `budget` atoms.
    pub fn match_one_by_one(&self, y: &[T], budget: usize, sign: Sign) -> Code<T> {
        let mut code = Code { support: Vec::new(), values: Vec::new(), steps: Vec::new() };
        for _ in 0..4 * budget {
            let r = self.residual(y, &code.support, &code.values);
            let best = self.best(&r, &[], &[], Selection::Correlation, sign);
            let Some((atom, lead)) = best else { break };
            let left = (norm(&r) / norm(y)).to_f64().unwrap();
            code.steps.push(Step { atom, lead, left });
            let d = &self.0[atom as usize];
            let value = dot(d, &r) / dot(d, d);
            match code.support.iter().position(|&chosen| chosen == atom) {
                Some(place) => code.values[place] = code.values[place] + value,
                None => {
                    code.support.push(atom);
                    code.values.push(value);
                }
            }
            if code.support.len() > budget {
                self.drop_one(y, &mut code);
                break;
            }
        }
        code
    }

    /// Drops the smallest coefficient, or the newest if that would leave more than the sample.
    fn drop_one(&self, y: &[T], code: &mut Code<T>) {
        let newest = code.support.len() - 1;
        let mut smallest = 0;
        for (place, value) in code.values.iter().enumerate() {
            if value.abs() < code.values[smallest].abs() {
                smallest = place;
            }
        }
        let (mut support, mut values) = (code.support.clone(), code.values.clone());
        support.remove(smallest);
        values.remove(smallest);
        if norm(&self.residual(y, &support, &values)) > norm(y) {
            smallest = newest;
        }
        code.support.remove(smallest);
        code.values.remove(smallest);
    }

    /// Pursuits by groups of atoms in turn, each on what those before left.
    pub fn pursue_by_groups(&self, y: &[T], groups: &[(usize, usize)], sign: Sign) -> Code<T> {
        let mut code = Code { support: Vec::new(), values: Vec::new(), steps: Vec::new() };
        let mut first = 0;
        for &(size, budget) in groups {
            let target = self.residual(y, &code.support, &code.values);
            let group = Atoms(&self.0[first..first + size], self.1);
            let part = group.pursue(&target, budget, Selection::Correlation, sign);
            let share = norm(&target) / norm(y);
            code.support.extend(part.support.iter().map(|atom| atom + first as u32));
            code.values.extend(part.values);
            code.steps.extend(part.steps.iter().map(|step| Step {
                atom: step.atom + first as u32,
                left: step.left * share.to_f64().unwrap(),
                ..*step
            }));
            first += size;
        }
        code
    }

    /// Non-negative pursuit to a threshold: the best atom of each round, and all that come near.
    pub fn pursue_to_threshold(&self, y: &[T], budget: usize, threshold: T, share: T) -> Code<T> {
        let mut code = Code { support: Vec::new(), values: Vec::new(), steps: Vec::new() };
        let mut dropped: Vec<u32> = Vec::new();
        loop {
            let r = self.residual(y, &code.support, &code.values);
            let correlations: Vec<T> = self.0.iter().map(|atom| dot(atom, &r)).collect();
            let free = |j: &u32| !code.support.contains(j) && !dropped.contains(j);
            let mut free: Vec<u32> = (0..self.0.len() as u32).filter(free).collect();
            let alpha = |j: u32| correlations[j as usize];
            let most = free.iter().fold(T::zero(), |most, &j| most.max(alpha(j)));
            if code.support.len() == budget || most < threshold {
                return code;
            }
            let bar = threshold.max(share * most);
            let left = (norm(&r) / norm(y)).to_f64().unwrap();
            // How near the decisions are, in parts of the best correlation.
            for &j in &free {
                let near = ((alpha(j) - bar).abs() / most).to_f64().unwrap();
                code.steps.push(Step { atom: j, lead: near, left });
            }
            free.retain(|&j| alpha(j) >= bar);
            free.sort_by(|&a, &b| alpha(b).partial_cmp(&alpha(a)).unwrap().then(a.cmp(&b)));
            free.truncate(budget - code.support.len());
            for j in free {
                let basis = self.orthonormal(&code.support);
                if norm(&beyond(&self.0[j as usize], &basis).0) <= self.dependent() {
                    dropped.push(j);
                } else {
                    code.support.push(j);
                }
            }
            loop {
                code.values = self.least_squares(y, &code.support);
                if code.values.iter().all(|&value| value > T::zero()) {
                    break;
                }
                let (support, values) = (code.support.clone(), code.values.clone());
                code.support.clear();
                for (&atom, &value) in support.iter().zip(&values) {
                    let into = if value > T::zero() { &mut code.support } else { &mut dropped };
                    into.push(atom);
                }
            }
        }
    }
}
