//! Ridge-logistic regression, by Newton's method: of a few features, or of all coordinates of
//! activations, where Hessians are matrix products.
//!
//! ```text
//! minimise f(w, b) = Σ_i c_i log(1 + exp(−s_i z_i)) + λ/2 ‖w‖²,   z = Xw + b,  s_i = ±1
//! repeat:                                                (iteratively reweighted least squares)
//!     p ← 1/(1 + exp(−z)),  W ← diag(c p (1 − p))
//!     g ← (Xᵀc(p − y) + λw, Σ c(p − y)),  H ← [X 1]ᵀ W [X 1] + λ on the diagonal of w
//!     step ← H⁻¹ g, halved until f falls enough
//! until gᵀ step is as good as nothing
//! ```
//!
//! If λ > 0 and both classes occur, f is strictly convex and has its least value at a finite point.
//! The intercept is not penalised, as in scikit-learn, whose C is 1/λ. The cost c_i depends on the
//! label alone.

use dbksvd::faer::dyn_stack::{MemBuffer, MemStack};
use dbksvd::faer::linalg::cholesky::llt;
use dbksvd::faer::linalg::matmul::triangular::{BlockStructure, matmul};
use dbksvd::faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::vector::{axpy, dot};

/// The most steps. About a dozen are usual.
const STEPS: usize = 200;

/// With more features than this, sums are those of vectors and matrices.
const FEW: usize = 32;

/// Rows of which one product makes a part of the Hessian.
const ROWS: usize = 1024;

/// What an error costs in a sample with label `true`, and in one with label `false`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Costs {
    pub(super) own: f64,
    pub(super) rest: f64,
}

impl Costs {
    /// Every sample counts the same.
    pub(super) const EQUAL: Self = Self { own: 1.0, rest: 1.0 };

    /// Both labels count the same, and the mean cost is 1: scikit-learn's `balanced`. Both must
    /// occur.
    pub(super) fn balanced(labels: &[bool]) -> Self {
        let own = labels.iter().filter(|&&label| label).count() as f64;
        let all = labels.len() as f64;
        Self { own: all / (2.0 * own), rest: all / (2.0 * (all - own)) }
    }

    pub(super) fn of(self, label: bool) -> f64 {
        if label { self.own } else { self.rest }
    }

    /// The intercept of the best constant: both sides cost the same.
    pub(super) fn constant(self, labels: &[bool]) -> f64 {
        let own = labels.iter().filter(|&&label| label).count() as f64;
        (self.own * own / (self.rest * (labels.len() as f64 - own))).ln()
    }
}

/// log(1 + exp(−z)) of a sample with label `true`, log(1 + exp(z)) of another.
pub(super) fn loss_of(decision: f64, label: bool) -> f64 {
    let against = if label { -decision } else { decision };
    against.max(0.0) + (-against.abs()).exp().ln_1p()
}

/// A linear classifier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Logistic {
    pub(super) weights: Vec<f64>,
    pub(super) bias: f64,
}

impl Logistic {
    /// Fits the classifier to `rows` (n × k, row-major) and their labels. Both labels must occur.
    pub(super) fn fit(rows: &[f64], labels: &[bool], costs: Costs, ridge: f64) -> Self {
        let problem = Problem { rows, labels, costs, ridge };
        let k = rows.len() / labels.len();
        let mut fitted = Self { weights: vec![0.0; k], bias: costs.constant(labels) };
        let mut loss = problem.loss(&fitted);
        for _ in 0..STEPS {
            let (mut gradient, mut hessian) = problem.derivatives(&fitted);
            let slope = gradient.clone();
            solve(&mut hessian, &mut gradient);
            let decrement: f64 = gradient.iter().zip(&slope).map(|(step, g)| step * g).sum();
            // Close to the minimum, a step gains less than the precision of the loss.
            let last = decrement <= 1e-12 * (1.0 + loss);
            let mut length = 1.0;
            loop {
                let next = fitted.moved(&gradient, length);
                let reached = problem.loss(&next);
                if last || reached <= loss - 1e-4 * length * decrement {
                    (fitted, loss) = (next, reached);
                    break;
                }
                length *= 0.5;
                if length < 1e-12 {
                    return fitted;
                }
            }
            if last {
                break;
            }
        }
        fitted
    }

    /// z of one row. It is positive for the label `true`.
    pub(super) fn decision(&self, row: &[f64]) -> f64 {
        if row.len() > FEW {
            return self.bias + dot(row, &self.weights);
        }
        self.bias + row.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f64>()
    }

    fn moved(&self, step: &[f64], length: f64) -> Self {
        let (bias, weights) = (step[self.weights.len()], step);
        let weights = self.weights.iter().zip(weights).map(|(w, step)| w - length * step);
        Self { weights: weights.collect(), bias: self.bias - length * bias }
    }
}

/// What is minimised.
struct Problem<'a> {
    rows: &'a [f64],
    labels: &'a [bool],
    costs: Costs,
    ridge: f64,
}

impl Problem<'_> {
    fn loss(&self, at: &Logistic) -> f64 {
        let penalty = 0.5 * self.ridge * at.weights.iter().map(|w| w * w).sum::<f64>();
        let loss = |(i, &label): (usize, &bool)| {
            self.costs.of(label) * loss_of(at.decision(self.row(i)), label)
        };
        penalty + self.labels.iter().enumerate().map(loss).sum::<f64>()
    }

    /// The gradient and the lower triangle of the Hessian, row-major, where the bias is the last
    /// entry.
    fn derivatives(&self, at: &Logistic) -> (Vec<f64>, Vec<f64>) {
        let k = at.weights.len();
        let n = k + 1;
        let (mut gradient, mut hessian) = (vec![0.0; n], vec![0.0; n * n]);
        // Rows [x 1] times √W, of which products are taken.
        let mut scaled = vec![0.0; if k > FEW { ROWS.min(self.labels.len()) * n } else { 0 }];
        let mut x = vec![1.0; n];
        for (i, &label) in self.labels.iter().enumerate() {
            x[..k].copy_from_slice(self.row(i));
            let (p, cost) = (1.0 / (1.0 + (-at.decision(&x[..k])).exp()), self.costs.of(label));
            let (excess, weight) = (cost * (p - f64::from(label)), cost * p * (1.0 - p));
            axpy(&mut gradient, excess, &x);
            if k > FEW {
                let place = i % ROWS;
                let (into, root) = (&mut scaled[place * n..][..n], weight.sqrt());
                into.iter_mut().zip(&x).for_each(|(into, x)| *into = root * x);
                if place + 1 == ROWS || i + 1 == self.labels.len() {
                    add_product(&mut hessian, &scaled[..(place + 1) * n], n);
                }
                continue;
            }
            for (a, &left) in x.iter().enumerate() {
                let hessian = &mut hessian[a * n..][..=a];
                for (entry, &right) in hessian.iter_mut().zip(&x) {
                    *entry += weight * left * right;
                }
            }
        }
        for (a, &w) in at.weights.iter().enumerate() {
            gradient[a] += self.ridge * w;
            hessian[a * (n + 1)] += self.ridge;
        }
        (gradient, hessian)
    }

    fn row(&self, i: usize) -> &[f64] {
        let k = self.rows.len() / self.labels.len();
        &self.rows[i * k..(i + 1) * k]
    }
}

/// The lower triangle of A ← A + SᵀS, for rows S of length `n`.
fn add_product(a: &mut [f64], rows: &[f64], n: usize) {
    let s = MatRef::from_row_major_slice(rows, rows.len() / n, n);
    let (lower, all) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    let a = MatMut::from_row_major_slice_mut(a, n, n);
    matmul(a, lower, Accum::Add, s.transpose(), all, s, all, 1.0, Par::Seq);
}

/// x ← A⁻¹x, where the lower triangle of A is given, and may be overwritten.
fn solve(a: &mut [f64], x: &mut [f64]) {
    let n = x.len();
    if n > FEW {
        let mut factor = Mat::from_fn(n, n, |i, j| if i >= j { a[i * n + j] } else { 0.0 });
        let scratch =
            llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default());
        let mut workspace = MemBuffer::new(scratch);
        let factored = llt::factor::cholesky_in_place(
            factor.as_mut(),
            llt::factor::LltRegularization::default(),
            Par::Seq,
            MemStack::new(&mut workspace),
            Default::default(),
        );
        if factored.is_ok() {
            let solution = MatMut::from_column_major_slice_mut(x, n, 1);
            let stack = MemStack::new(&mut workspace);
            llt::solve::solve_in_place(factor.as_ref(), solution, Par::Seq, stack);
            return;
        }
    }
    solve_by_the_book(a, x);
}

/// x ← A⁻¹x by Cholesky. A is symmetric and positive definite; its lower triangle is given and is
/// overwritten. Pivots that are only rounding are raised to the size of rounding.
fn solve_by_the_book(a: &mut [f64], x: &mut [f64]) {
    let n = x.len();
    for j in 0..n {
        let diagonal = a[j * n + j];
        let pivot = diagonal - (0..j).map(|l| a[j * n + l] * a[j * n + l]).sum::<f64>();
        let pivot = pivot.max(1e-15 * diagonal).max(f64::MIN_POSITIVE).sqrt();
        a[j * n + j] = pivot;
        for i in j + 1..n {
            let overlap: f64 = (0..j).map(|l| a[i * n + l] * a[j * n + l]).sum();
            a[i * n + j] = (a[i * n + j] - overlap) / pivot;
        }
    }
    for i in 0..n {
        let known: f64 = (0..i).map(|l| a[i * n + l] * x[l]).sum();
        x[i] = (x[i] - known) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|l| a[l * n + i] * x[l]).sum();
        x[i] = (x[i] - known) / a[i * n + i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest_slope(problem: &Problem<'_>, at: &Logistic) -> f64 {
        problem.derivatives(at).0.iter().fold(0.0, |most: f64, g| most.max(g.abs()))
    }

    #[test]
    fn one_feature_that_says_nothing_leaves_the_share_of_the_classes() {
        let labels = [true, true, true, false];
        let fitted = Logistic::fit(&[0.0; 4], &labels, Costs::EQUAL, 1.0);
        assert_eq!(fitted.weights, [0.0]);
        assert!((fitted.bias - 3_f64.ln()).abs() < 1e-12);
        let fitted = Logistic::fit(&[0.0; 4], &labels, Costs::balanced(&labels), 1.0);
        assert!(fitted.bias.abs() < 1e-12);
    }

    #[test]
    fn the_gradient_vanishes_also_for_separable_and_lopsided_classes() {
        for (ridge, scale) in [(1.0, 1.0), (1e-6, 1.0), (1.0, 1e6), (1e-3, 1e-6)] {
            let rows: Vec<f64> =
                (0..60).map(|i| scale * (f64::from(i % 20) - 3.0 + f64::from(i / 50))).collect();
            let labels: Vec<bool> = (0..30).map(|i| i > 26).collect();
            for costs in [Costs::EQUAL, Costs::balanced(&labels)] {
                let problem = Problem { rows: &rows, labels: &labels, costs, ridge };
                let fitted = Logistic::fit(&rows, &labels, costs, ridge);
                let slope = largest_slope(&problem, &fitted);
                assert!(slope <= 1e-7 * (1.0 + scale), "{slope:e} at ridge {ridge}, scale {scale}");
            }
        }
    }

    #[test]
    fn many_features_are_fitted_as_few_are() {
        // More rows than one product takes, and the same features with as many zeros as make the
        // products those of matrices.
        let (n, few, many) = (ROWS + 44, 5, FEW + 9);
        let value = |i: usize, r: usize| ((i * 7 + r * 13 + i * i * r) as f64 * 0.61).sin();
        let labels: Vec<bool> = (0..n).map(|i| value(i, 0) + value(i, 9) > 0.5).collect();
        let rows = |k: usize| -> Vec<f64> {
            let features = (0..n).flat_map(|i| (0..k).map(move |r| (i, r)));
            features.map(|(i, r)| if r < few { value(i, r) } else { 0.0 }).collect()
        };
        let costs = Costs::balanced(&labels);
        let of_few = Logistic::fit(&rows(few), &labels, costs, 0.3);
        let of_many = Logistic::fit(&rows(many), &labels, costs, 0.3);
        assert!((of_few.bias - of_many.bias).abs() < 1e-9);
        for (a, b) in of_few.weights.iter().zip(&of_many.weights) {
            assert!((a - b).abs() < 1e-9, "{a} and {b}");
        }
        assert!(of_many.weights[few..].iter().all(|&w| w == 0.0));
    }
}
