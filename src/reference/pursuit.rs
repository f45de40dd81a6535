//! Greedy pursuits as their definition states them: every step from nothing, in f64.

use crate::Scalar;
use crate::backend::{PursuitRule, Selection};
use crate::problem::{ProblemShape, Sign};

/// The rule and the problem: [`Reference`](super::Reference) derives nothing of the dictionary.
#[derive(Clone, Copy, Debug)]
pub struct ReferencePursuits {
    pub(super) rule: PursuitRule,
    pub(super) shape: ProblemShape,
}

impl ReferencePursuits {
    /// The atoms and coefficients of sample y on the columns of D.
    pub(super) fn code<T: Scalar>(&self, d: &[Vec<f64>], y: &[f64]) -> (Vec<u32>, Vec<T>) {
        let Self { rule, shape } = *self;
        let independent = 64.0 * T::EPSILON;
        let (mut support, mut gamma): (Vec<usize>, Vec<f64>) = (Vec::new(), Vec::new());
        let mut passed_over = vec![false; d.len()];
        let stop = rule.stop::<f64>(shape.sparsity, dot(y, y));
        for steps in 0.. {
            let r = left_of(y, d, &support, &gamma);
            let has_ended = stop.is_full(support.len()) || stop.is_done(dot(&r, &r));
            if has_ended || stop.is_out_of_steps(steps) {
                break;
            }
            let q = orthonormal(d, &support);
            let mut best: Option<(usize, f64, f64)> = None;
            for j in (0..d.len()).filter(|j| !support.contains(j) && !passed_over[*j]) {
                let correlation = dot(&d[j], &r);
                let size = match shape.sign {
                    Sign::Signed => correlation.abs(),
                    Sign::NonNegative => correlation,
                };
                let score = match rule.selection {
                    Selection::Correlation => size,
                    Selection::LeastSquares => {
                        let own = outside(&q, &d[j]);
                        size / dot(&own, &own).sqrt().max(f64::MIN_POSITIVE)
                    }
                };
                if score > 0.0 && best.is_none_or(|(_, _, most)| score > most) {
                    best = Some((j, size, score));
                }
            }
            let Some((j, size, _)) = best else { break };
            if stop.is_too_little(size) {
                break;
            }
            let own = outside(&q, &d[j]);
            if dot(&own, &own).sqrt() <= independent {
                passed_over[j] = true;
                continue;
            }
            support.push(j);
            match shape.sign {
                Sign::Signed => gamma = least_squares(d, &support, y),
                Sign::NonNegative => {
                    gamma.push(0.0);
                    if !refit_non_negative(d, &mut support, &mut gamma, y, j) {
                        break;
                    }
                }
            }
        }
        let atoms = support.iter().map(|&j| j as u32).collect();
        (atoms, gamma.into_iter().map(T::narrow).collect())
    }
}

/// Moves γ ≥ 0 to the least squares under γ ≥ 0 (Lawson & Hanson 1974, chapter 23). `false` if the
/// newest atom had to leave.
fn refit_non_negative(
    d: &[Vec<f64>],
    support: &mut Vec<usize>,
    gamma: &mut Vec<f64>,
    y: &[f64],
    newest: usize,
) -> bool {
    loop {
        let target = least_squares(d, support, y);
        if target.iter().all(|&t| t > 0.0) {
            *gamma = target;
            return support.contains(&newest);
        }
        let reach = |(&from, &to): (&f64, &f64)| if to <= 0.0 { from / (from - to) } else { 1.0 };
        let reaches: Vec<f64> = gamma.iter().zip(&target).map(reach).collect();
        let step = reaches.iter().copied().fold(1.0, f64::min);
        for (from, to) in gamma.iter_mut().zip(&target) {
            *from += step * (to - *from);
        }
        let stays: Vec<bool> = reaches.iter().map(|&reach| reach > step).collect();
        let mut stay = stays.iter();
        support.retain(|_| *stay.next().expect("one an atom"));
        let mut stay = stays.iter();
        gamma.retain(|_| *stay.next().expect("one an atom"));
        if support.is_empty() {
            return false;
        }
    }
}

/// argmin ‖y − D_S γ‖, for independent atoms: R γ = Qᵀy.
fn least_squares(d: &[Vec<f64>], support: &[usize], y: &[f64]) -> Vec<f64> {
    let q = orthonormal(d, support);
    let mut gamma = vec![0.0; support.len()];
    for i in (0..support.len()).rev() {
        let later: f64 =
            (i + 1..support.len()).map(|l| dot(&q[i], &d[support[l]]) * gamma[l]).sum();
        gamma[i] = (dot(&q[i], y) - later) / dot(&q[i], &d[support[i]]);
    }
    gamma
}

/// An orthonormal basis of the chosen atoms, in their order.
fn orthonormal(d: &[Vec<f64>], support: &[usize]) -> Vec<Vec<f64>> {
    let mut q: Vec<Vec<f64>> = Vec::new();
    for &j in support {
        let mut own = outside(&q, &d[j]);
        let norm = dot(&own, &own).sqrt();
        own.iter_mut().for_each(|x| *x /= norm);
        q.push(own);
    }
    q
}

/// What of v is orthogonal to all of q, by Gram–Schmidt twice.
fn outside(q: &[Vec<f64>], v: &[f64]) -> Vec<f64> {
    let mut own = v.to_vec();
    for q in q.iter().chain(q) {
        let along = dot(q, &own);
        own.iter_mut().zip(q).for_each(|(own, q)| *own -= along * q);
    }
    own
}

/// y − D_S γ.
fn left_of(y: &[f64], d: &[Vec<f64>], support: &[usize], gamma: &[f64]) -> Vec<f64> {
    let mut r = y.to_vec();
    for (&j, g) in support.iter().zip(gamma) {
        r.iter_mut().zip(&d[j]).for_each(|(r, d)| *r -= g * d);
    }
    r
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
