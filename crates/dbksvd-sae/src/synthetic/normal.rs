//! The tail of the normal distribution: its probability, the inverse of this, and draws from the
//! tail.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Q(x) = P(g > x) for g ~ N(0, 1), to about 10⁻¹⁵.
pub(super) fn tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - tail(-x);
    }
    let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    if x < 3.0 {
        // ½ − φ(x) (x + x³/3 + x⁵/(3·5) + …): Marsaglia 2004.
        let (mut term, mut sum, mut odd) = (x, 0.0, 1.0);
        while term > 1e-17 * sum {
            sum += term;
            odd += 2.0;
            term *= x * x / odd;
        }
        return 0.5 - density * sum;
    }
    // φ(x) / (x + 1/(x + 2/(x + 3/(x + …)))): Laplace.
    let fraction = (1..=80).rev().fold(x, |below, n| x + f64::from(n) / below);
    density / fraction
}

/// The x with Q(x) = p. It is infinite for p = 0 and p = 1.
pub(super) fn quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::INFINITY;
    }
    if p >= 1.0 {
        return f64::NEG_INFINITY;
    }
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if tail(middle) > p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// A draw of g ~ N(0, 1), given that g > a, for a > 0 (Marsaglia 1964).
pub(super) fn beyond(a: f64, random: &mut ChaCha8Rng) -> f64 {
    loop {
        // 1 − u lies in (0, 1].
        let x = (a * a - 2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        if random.random::<f64>() * x <= a {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{RandomStream, generator};

    /// Compares with values of SciPy's `scipy.stats.norm.sf`.
    #[test]
    fn tails_are_those_of_scipy() {
        for (x, expected) in [
            (0.0, 0.5),
            (1.0, 0.15865525393145707),
            (2.5, 0.006209665325776132),
            (2.999, 0.0013543365337271057),
            (3.0, 0.0013498980316300933),
            (5.0, 2.866515718791933e-07),
            (-2.0, 0.9772498680518208),
        ] {
            let found = tail(x);
            let bound = 1e-15_f64.max(1e-12 * expected);
            assert!((found - expected).abs() <= bound, "Q({x}) is {found:e}");
        }
    }

    #[test]
    fn quantiles_invert_the_tail() {
        for p in [1e-9, 5e-4, 0.1, 0.5, 0.915, 1.0 - 1e-9] {
            assert!((tail(quantile(p)) / p - 1.0).abs() < 1e-6, "{p}");
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::INFINITY, f64::NEG_INFINITY));
    }

    #[test]
    fn draws_beyond_have_the_tail_s_distribution() {
        let mut random = generator(3, RandomStream::Features);
        let (a, n) = (1.5, 40_000);
        let draws: Vec<f64> = (0..n).map(|_| beyond(a, &mut random)).collect();
        assert!(draws.iter().all(|&x| x > a));
        for b in [1.6, 2.0, 3.0] {
            let (found, expected) =
                (draws.iter().filter(|&&x| x > b).count() as f64, tail(b) / tail(a));
            let deviation = (f64::from(n) * expected * (1.0 - expected)).sqrt();
            let off = (found - f64::from(n) * expected) / deviation;
            assert!(off.abs() < 5.0, "{off} standard deviations beyond {b}");
        }
    }
}
