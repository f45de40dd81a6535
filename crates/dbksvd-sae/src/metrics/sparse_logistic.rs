//! L1-regularised logistic regression of sparse features, by proximal Newton steps.
//!
//! ```text
//! minimise f(w, b) = Σ_i c_i log(1 + exp(−s_i z_i)) + λ‖w‖₁,   z = Xw + b,  s_i = ±1
//! repeat:
//!     p ← 1/(1 + exp(−z)),  W ← diag(c p (1 − p)),  g ← (Xᵀc(p − y), Σ c(p − y))
//!     free ← weights that are not 0, or whose |g_j| is close to λ or beyond it
//!     d ← argmin gᵀd + ½ dᵀ[X 1]ᵀW[X 1]d + λ‖w + d‖₁ over the free ones and b
//!                                                     (cyclic coordinate descent; u = [X 1]d)
//!     (w, b) ← (w, b) + t d, where t is halved until f falls enough
//! until 0 is a subgradient: |g_j + λ sign(w_j)| ≤ ε where w_j ≠ 0, |g_j| ≤ λ + ε where w_j = 0
//! ```
//!
//! The intercept is not penalised, and is eliminated from the descent. If λ > 0 and both labels
//! occur, there is a least value. The weights that have it need not be unique: of features that are
//! equal, cyclic descent takes the first.
//!
//! Reference: G.-X. Yuan, C.-H. Ho, C.-J. Lin, *An improved GLMNET for L1-regularized logistic
//! regression*, JMLR 13, 2012.

use dbksvd::{Scalar, SparseCodes};

use super::logistic::{Costs, loss_of};

/// The most proximal Newton steps. About a dozen are usual.
const STEPS: usize = 200;

/// The most passes of coordinate descent in a step.
const PASSES: usize = 200;

/// A subgradient of this size, relative to λ, counts as zero.
const TOLERANCE: f64 = 1e-6;

/// Features of some samples by columns.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    samples: usize,
    offsets: Vec<usize>,
    rows: Vec<u32>,
    values: Vec<f64>,
}

impl Columns {
    /// The codes of `samples`, times `factor`. Row r is the r-th of the samples.
    pub(super) fn of_codes<T: Scalar>(
        codes: &SparseCodes<T>,
        samples: &[usize],
        factor: f64,
    ) -> Self {
        let mut offsets = vec![0; codes.atoms() + 1];
        for &i in samples {
            codes.support(i).iter().for_each(|&atom| offsets[atom as usize + 1] += 1);
        }
        (0..codes.atoms()).for_each(|j| offsets[j + 1] += offsets[j]);
        let (mut rows, mut values) =
            (vec![0; offsets[codes.atoms()]], vec![0.0; offsets[codes.atoms()]]);
        let mut ends = offsets.clone();
        for (row, &i) in samples.iter().enumerate() {
            for (&atom, value) in codes.support(i).iter().zip(codes.values(i)) {
                let end = &mut ends[atom as usize];
                (rows[*end], values[*end]) = (row as u32, factor * value.widen());
                *end += 1;
            }
        }
        Self { samples: samples.len(), offsets, rows, values }
    }

    fn features(&self) -> usize {
        self.offsets.len() - 1
    }

    fn column(&self, j: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = self.offsets[j]..self.offsets[j + 1];
        let rows = self.rows[range.clone()].iter().map(|&row| row as usize);
        rows.zip(self.values[range].iter().copied())
    }
}

/// The weights and the intercept of least f. Both labels must occur.
pub(super) fn fit(x: &Columns, labels: &[bool], costs: Costs, lambda: f64) -> (Vec<f64>, f64) {
    let mut fit = Fit::new(x, labels, costs, lambda);
    for _ in 0..STEPS {
        fit.differentiate();
        let distance = fit.distance();
        if distance <= TOLERANCE * lambda {
            break;
        }
        let free = fit.free();
        let step = fit.step(&free, 0.1 * distance);
        if !fit.take(&free, &step) {
            break;
        }
    }
    (fit.weights, fit.bias)
}

struct Fit<'a> {
    x: &'a Columns,
    labels: &'a [bool],
    costs: Costs,
    lambda: f64,
    weights: Vec<f64>,
    bias: f64,
    /// z of each sample.
    decisions: Vec<f64>,
    loss: f64,
    /// The diagonal of W.
    curvature: Vec<f64>,
    /// g, without λ‖w‖₁, and its entry for the intercept.
    gradient: Vec<f64>,
    bias_gradient: f64,
}

/// A step of the free weights and of the intercept, with what it adds to z.
struct Step {
    weights: Vec<f64>,
    bias: f64,
    decisions: Vec<f64>,
}

impl<'a> Fit<'a> {
    fn new(x: &'a Columns, labels: &'a [bool], costs: Costs, lambda: f64) -> Self {
        let bias = costs.constant(labels);
        let decisions = vec![bias; x.samples];
        let mut fit = Self {
            x,
            labels,
            costs,
            lambda,
            weights: vec![0.0; x.features()],
            bias,
            decisions,
            loss: 0.0,
            curvature: vec![0.0; x.samples],
            gradient: vec![0.0; x.features()],
            bias_gradient: 0.0,
        };
        fit.loss = fit.loss_at(&fit.decisions);
        fit
    }

    /// f without λ‖w‖₁.
    fn loss_at(&self, decisions: &[f64]) -> f64 {
        let of = |(&z, &label): (&f64, &bool)| self.costs.of(label) * loss_of(z, label);
        decisions.iter().zip(self.labels).map(of).sum()
    }

    /// W and g.
    fn differentiate(&mut self) {
        let mut excess = vec![0.0; self.labels.len()];
        for (i, &label) in self.labels.iter().enumerate() {
            let (p, cost) = (1.0 / (1.0 + (-self.decisions[i]).exp()), self.costs.of(label));
            excess[i] = cost * (p - f64::from(label));
            self.curvature[i] = cost * p * (1.0 - p);
        }
        self.bias_gradient = excess.iter().sum();
        for (j, gradient) in self.gradient.iter_mut().enumerate() {
            *gradient = self.x.column(j).map(|(i, x)| x * excess[i]).sum();
        }
    }

    /// The largest entry of the smallest subgradient of f.
    fn distance(&self) -> f64 {
        let of_weights = self.weights.iter().zip(&self.gradient);
        let distance = |(&w, &g): (&f64, &f64)| subgradient(w, g, self.lambda).abs();
        of_weights.map(distance).fold(self.bias_gradient.abs(), f64::max)
    }

    /// The weights that the next step may change.
    fn free(&self) -> Vec<usize> {
        let close =
            |&j: &usize| self.weights[j] != 0.0 || self.gradient[j].abs() > 0.9 * self.lambda;
        (0..self.weights.len()).filter(close).collect()
    }

    /// The step to the least value of the quadratic model, but for subgradients up to `tolerance`.
    fn step(&self, free: &[usize], tolerance: f64) -> Step {
        let mut model = Model::new(self, free);
        let all: Vec<usize> = (0..free.len()).collect();
        for _ in 0..PASSES {
            if model.pass(self, free, &all) <= tolerance {
                break;
            }
            // Most weights stay 0; the others are brought to rest first.
            let moving = |&at: &usize| self.weights[free[at]] + model.weights[at] != 0.0;
            let moving: Vec<usize> = all.iter().copied().filter(moving).collect();
            for _ in 0..PASSES {
                if model.pass(self, free, &moving) <= 0.5 * tolerance {
                    break;
                }
            }
        }
        let bias = model.bias(self);
        let mut decisions = vec![bias; self.labels.len()];
        for (&j, &change) in free.iter().zip(&model.weights) {
            if change != 0.0 {
                self.x.column(j).for_each(|(i, x)| decisions[i] += change * x);
            }
        }
        Step { weights: model.weights, bias, decisions }
    }

    /// Takes the step, or as much of it as lowers f enough. Says whether f fell by more than
    /// rounding.
    fn take(&mut self, free: &[usize], step: &Step) -> bool {
        let at = |j: usize, change: f64, length: f64| self.weights[j] + length * change;
        let moves = || free.iter().zip(&step.weights);
        let norms = |length: f64| -> f64 {
            moves().map(|(&j, &change)| at(j, change, length).abs() - self.weights[j].abs()).sum()
        };
        let slope = self.bias_gradient * step.bias
            + moves().map(|(&j, &change)| self.gradient[j] * change).sum::<f64>();
        let promised = slope + self.lambda * norms(1.0);
        // Close to the minimum, a step gains less than the precision of the loss.
        let last = promised >= -1e-14 * (1.0 + self.loss);
        let mut length = 1.0;
        while length >= 1e-12 {
            let decisions: Vec<f64> =
                self.decisions.iter().zip(&step.decisions).map(|(z, u)| z + length * u).collect();
            let loss = self.loss_at(&decisions);
            let gained = loss - self.loss + self.lambda * norms(length);
            if last || gained <= 0.01 * length * promised {
                for (&j, &change) in free.iter().zip(&step.weights) {
                    self.weights[j] += length * change;
                }
                self.bias += length * step.bias;
                (self.decisions, self.loss) = (decisions, loss);
                return !last;
            }
            length *= 0.5;
        }
        false
    }
}

/// The quadratic model of a step, where coordinate descent has come to. The intercept is always at
/// its best, e = −(g_b + Σ W X d)/ΣW, so that descent is that of columns less their weighted means.
/// Codes are never negative, so with an intercept of its own, descent would zigzag.
struct Model {
    weights: Vec<f64>,
    /// W X d, and its sum.
    pull: Vec<f64>,
    pull_sum: f64,
    /// Σ_i W_i.
    total: f64,
    /// Σ_i W_i x_i / ΣW of each free column.
    means: Vec<f64>,
    /// Σ_i W_i (x_i − mean)² of each free column; 0 if that is rounding alone.
    diagonal: Vec<f64>,
}

impl Model {
    fn new(fit: &Fit<'_>, free: &[usize]) -> Self {
        let total: f64 = fit.curvature.iter().sum();
        let moments = |&j: &usize| {
            fit.x.column(j).fold((0.0, 0.0), |(sum, square), (i, x)| {
                let weighted = fit.curvature[i] * x;
                (sum + weighted, square + weighted * x)
            })
        };
        let moments = free.iter().map(moments).map(|(sum, square)| {
            let mean = if total > 0.0 { sum / total } else { 0.0 };
            let centred = square - mean * sum;
            (mean, if centred > 1e-12 * square { centred } else { 0.0 })
        });
        let (means, diagonal) = moments.unzip();
        let (weights, pull) = (vec![0.0; free.len()], vec![0.0; fit.labels.len()]);
        Self { weights, pull, pull_sum: 0.0, total, means, diagonal }
    }

    /// Minimises over one of these free weights after the other. Returns the largest entry of the
    /// smallest subgradient that was met.
    fn pass(&mut self, fit: &Fit<'_>, free: &[usize], these: &[usize]) -> f64 {
        let mut left: f64 = 0.0;
        for &at in these {
            let (j, diagonal, mean) = (free[at], self.diagonal[at], self.means[at]);
            if diagonal <= 0.0 {
                continue;
            }
            let pull = fit.x.column(j).map(|(i, x)| x * self.pull[i]).sum::<f64>();
            let slope = fit.gradient[j] + pull - mean * (fit.bias_gradient + self.pull_sum);
            let w = fit.weights[j] + self.weights[at];
            left = left.max(subgradient(w, slope, fit.lambda).abs());
            let change = shrunk(w - slope / diagonal, fit.lambda / diagonal) - w;
            if change != 0.0 {
                // The sum is exactly 0 where the weight becomes 0.
                self.weights[at] = (w + change) - fit.weights[j];
                let pulls = fit.x.column(j).map(|(i, x)| (i, change * x * fit.curvature[i]));
                pulls.for_each(|(i, pull)| self.pull[i] += pull);
                self.pull_sum += change * mean * self.total;
            }
        }
        left
    }

    /// The step of the intercept.
    fn bias(&self, fit: &Fit<'_>) -> f64 {
        if self.total > 0.0 { -(fit.bias_gradient + self.pull_sum) / self.total } else { 0.0 }
    }
}

/// The smallest subgradient of f in one weight `w`, where the loss has the slope `g`.
fn subgradient(w: f64, g: f64, lambda: f64) -> f64 {
    if w == 0.0 { shrunk(g, lambda) } else { g + lambda * w.signum() }
}

/// `x`, moved towards 0 by `by`, but not beyond 0.
fn shrunk(x: f64, by: f64) -> f64 {
    x.signum() * (x.abs() - by).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of 300 samples, of which a fifth fires, and labels that depend on three of them.
    fn problem(features: usize) -> (SparseCodes<f64>, Vec<bool>) {
        let value = |i: usize, j: usize| ((i * i + 31 * i * j + 7 * j * j) as f64 * 0.37).sin();
        let mut codes = SparseCodes::new(features, 300, features);
        for i in 0..300 {
            let fires = |&j: &u32| value(i, j as usize) > 0.8;
            let support: Vec<u32> = (0..features as u32).filter(fires).collect();
            let values: Vec<f64> =
                support.iter().map(|&j| value(i, j as usize + 1000).abs()).collect();
            codes.set(i, &support, &values);
        }
        let of = |i: usize, j: u32| {
            let at = codes.support(i).iter().position(|&atom| atom == j);
            at.map_or(0.0, |at| codes.values(i)[at])
        };
        let label = |i: usize| of(i, 3) + of(i, 8) - of(i, 5) + 0.2 * value(i, 77) > 0.25;
        let labels = (0..300).map(label).collect();
        (codes, labels)
    }

    #[test]
    fn zero_is_a_subgradient() {
        let (codes, labels) = problem(60);
        let samples: Vec<usize> = (0..300).collect();
        for (factor, lambda) in [(1.0, 1.0), (1.0, 0.01), (1.0, 30.0), (100.0, 1.0), (0.01, 0.01)] {
            let x = Columns::of_codes(&codes, &samples, factor);
            for costs in [Costs::EQUAL, Costs::balanced(&labels)] {
                let (weights, bias) = fit(&x, &labels, costs, lambda);
                // The definition, by loops of its own.
                let product = |(support, values): (&[u32], &[f64])| {
                    let products = support.iter().zip(values);
                    products
                        .map(|(&atom, value)| factor * value * weights[atom as usize])
                        .sum::<f64>()
                };
                let decisions: Vec<f64> = codes.iter().map(|code| bias + product(code)).collect();
                let excess = |i: usize| {
                    let p = 1.0 / (1.0 + (-decisions[i]).exp());
                    costs.of(labels[i]) * (p - f64::from(labels[i]))
                };
                let mut slopes = vec![0.0; 60];
                for i in 0..300 {
                    for (&atom, value) in codes.support(i).iter().zip(codes.values(i)) {
                        slopes[atom as usize] += factor * value * excess(i);
                    }
                }
                let bias_slope: f64 = (0..300).map(excess).sum();
                // Sums are rounded differently here.
                let tolerance = 2.0 * TOLERANCE;
                assert!(bias_slope.abs() <= tolerance * lambda, "{bias_slope:e}");
                for (j, (&w, slope)) in weights.iter().zip(slopes).enumerate() {
                    let (found, least) = if w == 0.0 {
                        (slope.abs(), -lambda)
                    } else {
                        (-slope * w.signum(), lambda)
                    };
                    let case = format!("feature {j} of weight {w}, slope {slope}, λ {lambda}");
                    assert!(
                        found <= lambda * (1.0 + tolerance) && found >= least * (1.0 - tolerance),
                        "{case}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_large_penalty_leaves_the_intercept_alone_and_a_small_one_finds_the_features() {
        let (codes, labels) = problem(60);
        let samples: Vec<usize> = (0..300).collect();
        let x = Columns::of_codes(&codes, &samples, 1.0);
        let (weights, bias) = fit(&x, &labels, Costs::EQUAL, 1e3);
        let own = labels.iter().filter(|&&label| label).count() as f64;
        assert!(weights.iter().all(|&w| w == 0.0));
        assert!((bias - (own / (300.0 - own)).ln()).abs() < 1e-6);
        let (weights, _) = fit(&x, &labels, Costs::balanced(&labels), 2.0);
        let mut order: Vec<usize> = (0..60).collect();
        order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
        order[..2].sort_unstable();
        assert_eq!(order[..2], [3, 8]);
    }

    #[test]
    fn one_feature_has_a_closed_form() {
        // Of 40 samples with the feature, 30 have the label; of 60 without, 12. With λ = 2, the
        // shares that the probe tells are (30 − 2)/40 and (12 + 2)/60.
        let mut codes = SparseCodes::<f64>::new(1, 100, 1);
        (0..40).for_each(|i| codes.set(i, &[0], &[1.0]));
        let labels: Vec<bool> = (0..100).map(|i| if i < 40 { i < 30 } else { i < 52 }).collect();
        let samples: Vec<usize> = (0..100).collect();
        let x = Columns::of_codes(&codes, &samples, 1.0);
        let (weights, bias) = fit(&x, &labels, Costs::EQUAL, 2.0);
        let logit = |share: f64| (share / (1.0 - share)).ln();
        assert!((bias - logit(14.0 / 60.0)).abs() < 1e-6, "{bias}");
        assert!((weights[0] + bias - logit(28.0 / 40.0)).abs() < 1e-6, "{weights:?}");
    }
}
