//! Ridge-logistic regression of a few features, by Newton's method.
//!
//! ```text
//! minimise f(w, b) = Σ_i log(1 + exp(−s_i z_i)) + λ/2 ‖w‖²,   z = Xw + b,  s_i = ±1
//! repeat:                                                (iteratively reweighted least squares)
//!     p ← 1/(1 + exp(−z)),  W ← diag(p (1 − p))
//!     g ← (Xᵀ(p − y) + λw, Σ(p − y)),  H ← [Xᵀ 1]ᵀ W [Xᵀ 1] + λ on the diagonal of w
//!     step ← H⁻¹ g, halved until f falls enough
//! until gᵀ step is as good as nothing
//! ```
//!
//! If λ > 0 and both classes occur, f is strictly convex and has its least value at a finite point.
//! The intercept is not penalised, as in scikit-learn, whose C is 1/λ.

/// The most steps. About a dozen are usual.
const STEPS: usize = 200;

/// A linear classifier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Logistic {
    pub(super) weights: Vec<f64>,
    pub(super) bias: f64,
}

impl Logistic {
    /// Fits the classifier to `rows` (n × k, row-major) and their labels. Both labels must occur.
    pub(super) fn fit(rows: &[f64], labels: &[bool], ridge: f64) -> Self {
        let (n, positive) = (labels.len() as f64, labels.iter().filter(|&&label| label).count());
        let share = positive as f64 / n;
        let k = rows.len() / labels.len();
        let mut fitted = Self { weights: vec![0.0; k], bias: (share / (1.0 - share)).ln() };
        let mut loss = fitted.loss(rows, labels, ridge);
        for _ in 0..STEPS {
            let (mut gradient, mut hessian) = fitted.derivatives(rows, labels, ridge);
            let slope = gradient.clone();
            solve(&mut hessian, &mut gradient);
            let decrement: f64 = gradient.iter().zip(&slope).map(|(step, g)| step * g).sum();
            // Close to the minimum, a step gains less than the precision of the loss.
            let last = decrement <= 1e-12 * (1.0 + loss);
            let mut length = 1.0;
            loop {
                let next = fitted.moved(&gradient, length);
                let reached = next.loss(rows, labels, ridge);
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
        self.bias + row.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f64>()
    }

    fn moved(&self, step: &[f64], length: f64) -> Self {
        let (bias, weights) = (step[self.weights.len()], step);
        let weights = self.weights.iter().zip(weights).map(|(w, step)| w - length * step);
        Self { weights: weights.collect(), bias: self.bias - length * bias }
    }

    fn loss(&self, rows: &[f64], labels: &[bool], ridge: f64) -> f64 {
        let penalty = 0.5 * ridge * self.weights.iter().map(|w| w * w).sum::<f64>();
        let loss = |(i, &label): (usize, &bool)| {
            let z = self.decision(self.row(rows, i));
            let against = if label { -z } else { z };
            against.max(0.0) + (-against.abs()).exp().ln_1p()
        };
        penalty + labels.iter().enumerate().map(loss).sum::<f64>()
    }

    /// The gradient and the lower triangle of the Hessian, row-major, where the bias is the last
    /// entry.
    fn derivatives(&self, rows: &[f64], labels: &[bool], ridge: f64) -> (Vec<f64>, Vec<f64>) {
        let k = self.weights.len();
        let (mut gradient, mut hessian) = (vec![0.0; k + 1], vec![0.0; (k + 1) * (k + 1)]);
        let mut x = vec![1.0; k + 1];
        for (i, &label) in labels.iter().enumerate() {
            x[..k].copy_from_slice(self.row(rows, i));
            let p = 1.0 / (1.0 + (-self.decision(&x[..k])).exp());
            let (excess, weight) = (p - f64::from(label), p * (1.0 - p));
            for (a, &left) in x.iter().enumerate() {
                gradient[a] += excess * left;
                let hessian = &mut hessian[a * (k + 1)..][..=a];
                for (entry, &right) in hessian.iter_mut().zip(&x) {
                    *entry += weight * left * right;
                }
            }
        }
        for (a, &w) in self.weights.iter().enumerate() {
            gradient[a] += ridge * w;
            hessian[a * (k + 2)] += ridge;
        }
        (gradient, hessian)
    }

    fn row<'a>(&self, rows: &'a [f64], i: usize) -> &'a [f64] {
        let k = self.weights.len();
        &rows[i * k..(i + 1) * k]
    }
}

/// x ← A⁻¹x by Cholesky. A is symmetric and positive definite; its lower triangle is given and is
/// overwritten. Pivots that are only rounding are raised to the size of rounding.
fn solve(a: &mut [f64], x: &mut [f64]) {
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

    #[test]
    fn one_feature_that_says_nothing_leaves_the_share_of_the_classes() {
        let labels = [true, true, true, false];
        let fitted = Logistic::fit(&[0.0; 4], &labels, 1.0);
        assert_eq!(fitted.weights, [0.0]);
        assert!((fitted.bias - 3_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_gradient_vanishes_also_for_separable_and_lopsided_classes() {
        for (ridge, scale) in [(1.0, 1.0), (1e-6, 1.0), (1.0, 1e6), (1e-3, 1e-6)] {
            let rows: Vec<f64> =
                (0..60).map(|i| scale * (f64::from(i % 20) - 3.0 + f64::from(i / 50))).collect();
            let labels: Vec<bool> = (0..30).map(|i| i > 26).collect();
            let fitted = Logistic::fit(&rows, &labels, ridge);
            let (gradient, _) = fitted.derivatives(&rows, &labels, ridge);
            let size = gradient.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
            assert!(size <= 1e-7 * (1.0 + scale), "{size:e} at ridge {ridge}, scale {scale}");
        }
    }
}
