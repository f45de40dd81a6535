//! The parameters from which a [`FeatureModel`] is made.

use dbksvd::{Error, Scalar};
use rand_chacha::ChaCha8Rng;

use super::FeatureModel;
use crate::random::gaussian;

/// The parameters of a [`FeatureModel`]; [`build`](Self::build) makes it.
///
/// | parameter | default: [`sixteen_k`](Self::sixteen_k) | [`two_k`](Self::two_k) | range |
/// |---|---|---|---|
/// | `features`, `dim`: N, d | 16,384, 768 | 2,048, 256 | ≥ 1 |
/// | [`frequencies`](Self::frequencies): p_max, p_min, exponent | 0.4, 5·10⁻⁴, 0.5 | 0.4, 2·10⁻³, 0.5 | 0 < p_min ≤ p_max < 1, exponent > 0 |
/// | [`hierarchy`](Self::hierarchy): roots, branching, depth | 128, 4, 3 | 16, 4, 3 | trees have at most N features |
/// | [`orthogonal_steps`](Self::orthogonal_steps) of Adam, rate 3·10⁻⁴ | 100 | 100 | any |
/// | [`correlation`](Self::correlation): rank, scale | 25, 0.1 | 25, 0.1 | scale ≥ 0 |
/// | [`magnitudes`](Self::magnitudes): μ of the first and the last feature | 5, 4 | 5, 4 | > 0 |
/// | [`deviation`](Self::deviation): σ_i = \|a + b g_i\| | 0.5, 0.5 | 0.5, 0.5 | ≥ 0 |
/// | [`bias`](Self::bias): its norm | 0.5 | 0.5 | ≥ 0 |
/// | [`seed`](Self::seed) of the construction | 0 | 0 | any |
///
/// ```
/// use dbksvd_sae::synthetic::Recipe;
///
/// let model = Recipe::new(200, 32).hierarchy(4, 3, 2).seed(7).build::<f32>()?;
/// let data = model.draw(100, 1)?; // sampling has a seed of its own
/// assert_eq!(data.samples.shape(), (32, 100));
/// assert_eq!(data.codes.offsets.len(), 101);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Recipe {
    pub(super) features: usize,
    pub(super) dim: usize,
    most: f64,
    least: f64,
    exponent: f64,
    pub(super) roots: usize,
    pub(super) branching: usize,
    pub(super) depth: usize,
    pub(super) orthogonal_steps: usize,
    rank: usize,
    scale: f64,
    first_mean: f64,
    last_mean: f64,
    deviation: (f64, f64),
    pub(super) bias: f64,
    pub(super) seed: u64,
}

impl Recipe {
    /// A recipe with `features` features of dimension `dim` and without a hierarchy. The other
    /// parameters are those of [`sixteen_k`](Self::sixteen_k).
    pub fn new(features: usize, dim: usize) -> Self {
        Self {
            features,
            dim,
            most: 0.4,
            least: 5e-4,
            exponent: 0.5,
            roots: 0,
            branching: 1,
            depth: 0,
            orthogonal_steps: 100,
            rank: 25,
            scale: 0.1,
            first_mean: 5.0,
            last_mean: 4.0,
            deviation: (0.5, 0.5),
            bias: 0.5,
            seed: 0,
        }
    }

    /// SynthSAEBench-16k as published (the second version, which scales children by their parents).
    pub fn sixteen_k() -> Self {
        Self::new(16_384, 768).hierarchy(128, 4, 3)
    }

    /// A smaller recipe of the same kind, for quick experiments. It is not a published
    /// configuration.
    pub fn two_k() -> Self {
        Self::new(2_048, 256).hierarchy(16, 4, 3).frequencies(0.4, 2e-3, 0.5)
    }

    /// How often features fire: from `most` to `least`, by Zipf's law with this exponent.
    pub fn frequencies(self, most: f64, least: f64, exponent: f64) -> Self {
        Self { most, least, exponent, ..self }
    }

    /// `roots` trees, in which every feature above depth `depth` has `branching` children. With
    /// depth 0 there are only roots.
    pub fn hierarchy(self, roots: usize, branching: usize, depth: usize) -> Self {
        Self { roots, branching, depth, ..self }
    }

    /// The number of steps that make the features less coherent.
    pub fn orthogonal_steps(self, steps: usize) -> Self {
        Self { orthogonal_steps: steps, ..self }
    }

    /// The rank of the correlations, and the standard deviation of the loadings. If the loadings of
    /// a feature leave it less than 1% of its own variance, they are scaled down so that 1% is
    /// left.
    pub fn correlation(self, rank: usize, scale: f64) -> Self {
        Self { rank, scale, ..self }
    }

    /// The mean coefficients of the first feature and of the last; in between, they change
    /// linearly.
    pub fn magnitudes(self, first: f64, last: f64) -> Self {
        Self { first_mean: first, last_mean: last, ..self }
    }

    /// Standard deviations σ_i = |`mean` + `spread` · g_i| of the coefficients, with g_i ~ N(0, 1).
    pub fn deviation(self, mean: f64, spread: f64) -> Self {
        Self { deviation: (mean, spread), ..self }
    }

    /// The norm of the bias.
    pub fn bias(self, norm: f64) -> Self {
        Self { bias: norm, ..self }
    }

    /// The seed of the construction. Drawing samples takes a seed of its own.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Makes the features and their distributions: O(steps · N d²), in parallel.
    ///
    /// # Errors
    /// [`Error::Argument`] for a parameter outside the range in the [table](Self),
    /// [`Error::Backend`] if the memory for the features cannot be allocated.
    pub fn build<T: Scalar>(&self) -> Result<FeatureModel<T>, Error> {
        self.check()?;
        FeatureModel::new(self)
    }

    fn check(&self) -> Result<(), Error> {
        for (argument, value) in [("dim", self.dim), ("features", self.features)] {
            if value == 0 || u32::try_from(value).is_err() {
                return Err(Error::argument(argument, value, "at least 1 and below 2³²"));
            }
        }
        let Self { most, least, exponent, roots, branching, depth, .. } = *self;
        if !(least > 0.0 && least <= most && most < 1.0) {
            let found = format!("{least} to {most}");
            return Err(Error::argument("frequencies", found, "0 < least ≤ most < 1"));
        }
        if !(exponent > 0.0 && exponent.is_finite()) {
            return Err(Error::argument("exponent", exponent, "positive and finite"));
        }
        if branching == 0 {
            return Err(Error::argument("branching", branching, "at least 1"));
        }
        if self.size_of_trees().is_none_or(|size| size > self.features) {
            let found = format!("{roots} roots, branching {branching}, depth {depth}");
            let expected = format!("trees of at most {} features in all", self.features);
            return Err(Error::argument("hierarchy", found, expected));
        }
        let positive = [("magnitudes", self.first_mean), ("magnitudes", self.last_mean)];
        for (argument, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::argument(argument, value, "positive and finite"));
            }
        }
        let (mean, spread) = self.deviation;
        for (argument, value) in [
            ("correlation", self.scale),
            ("deviation", mean),
            ("deviation", spread),
            ("bias", self.bias),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::argument(argument, value, "finite and at least 0"));
            }
        }
        Ok(())
    }

    /// The number of features in the hierarchy, or `None` if it is above `features` or overflows.
    fn size_of_trees(&self) -> Option<usize> {
        let (mut level, mut size) = (self.roots, self.roots);
        for _ in 0..self.depth {
            if level == 0 {
                break;
            }
            level = level.checked_mul(self.branching)?;
            size = size.checked_add(level)?;
            if size > self.features {
                return None;
            }
        }
        Some(size)
    }

    /// p_i.
    pub(super) fn probabilities(&self) -> Vec<f64> {
        let zipf = |rank: usize| (rank as f64).powf(-self.exponent);
        let (first, last) = (zipf(1), zipf(self.features));
        let width = if first > last { (self.most - self.least) / (first - last) } else { 0.0 };
        (1..=self.features).map(|rank| self.least + width * (zipf(rank) - last)).collect()
    }

    /// μ_i.
    pub(super) fn means(&self) -> Vec<f64> {
        let steps = (self.features - 1).max(1) as f64;
        let slope = (self.last_mean - self.first_mean) / steps;
        (0..self.features).map(|i| self.first_mean + slope * i as f64).collect()
    }

    /// σ_i.
    pub(super) fn deviations(&self, random: &mut ChaCha8Rng) -> Vec<f64> {
        let (mean, spread) = self.deviation;
        (0..self.features).map(|_| (mean + spread * gaussian(random)).abs()).collect()
    }

    /// F, with one row of `rank` loadings for each feature. If the rank is 0, a row is a single
    /// zero.
    pub(super) fn loadings(&self, random: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
        let draw = |_| {
            let mut row: Vec<f64> = (0..self.rank).map(|_| self.scale * gaussian(random)).collect();
            let squares: f64 = row.iter().map(|f| f * f).sum();
            if squares > 0.99 {
                row.iter_mut().for_each(|f| *f *= (0.99 / squares).sqrt());
            }
            if row.is_empty() { vec![0.0] } else { row }
        };
        (0..self.features).map(draw).collect()
    }
}
