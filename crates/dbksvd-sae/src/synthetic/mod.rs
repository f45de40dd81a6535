//! Samples made of known features, as in SynthSAEBench: a benchmark that measures whether a
//! dictionary holds the features that data were made of.
//!
//! A sample is x = Σ a_i d_i + b: a sum of a few of N unit features d_i (d × N, N > d), with
//! positive coefficients a_i, and a bias b. No noise is added, but a dictionary with fewer atoms
//! than features cannot hold all features, and the rest acts as noise. The frequencies with which
//! features fire follow Zipf's law, the features are correlated, and most belong to a hierarchy: a
//! child fires only if its parent fires, and excludes its siblings.
//!
//! ```text
//! once:        q_i ← i^−e,  p_i ← p_min + (p_max − p_min) (q_i − q_N) / (q_1 − q_N)      i = 1 … N
//!              d_i ← unit Gaussians, made less coherent by Adam on
//!                    Σ_{i≠j} (d_i·d_j)² + N Σ (‖d_i‖² − 1)²
//!              s_i ← p_i;  for a child c of P:  s_c ← p_c / p_P · (1 + Σ_{siblings j} p_j / p_P)
//!              F ← Gaussian loadings (N × rank),  δ_i ← 1 − ‖F_i‖²
//! each sample: ε ~ N(0, I),  z_i ← F_i·ε + √δ_i η_i;  i fires where z_i > Φ⁻¹(1 − s_i)
//!              a_i ← max(0, μ_i + σ_i g)
//!              from the roots down: children of a silent parent are silent; of several siblings
//!              one, uniformly chosen, stays;  a_c ← a_c · a_P / μ_P
//! ```
//! Departures from the reference implementation (sae-lens 6.54.12). They do not change the
//! distribution of the samples:
//! 1. Random numbers come from a portable generator, so a seed gives other samples than in the
//!    reference.
//! 2. η_i is drawn for a child only if its parent fires, because all η are independent given ε.
//!    Features without a parent are drawn by skipping. A run of such features has a least
//!    threshold, and the number of features that stay below it has a geometric distribution. The
//!    first feature that does not stay below it fires if it is also above its own threshold.
//!
//! D. Chanin, A. Garriga-Alonso, *SynthSAEBench*, 2026, arXiv:2602.14687.

mod forest;
mod normal;
mod orthogonal;
mod recipe;
mod sampler;
mod source;

pub use recipe::Recipe;
pub use source::FeatureSource;

use std::ops::Range;

use dbksvd::backend::Backend;
use dbksvd::codes::CsrParts;
use dbksvd::faer::Mat;
use dbksvd::{Dictionary, Error, Faer, Scalar};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::random::{RandomStream, gaussian, generator};
use crate::vector::{axpy, column_mut, normalize};
use forest::Forest;
use sampler::{BLOCK, Laws, Sampler};

/// Features, and the distribution of samples that are made of them. [`Recipe::build`] makes one.
///
/// Sample i of a seed is the same however many samples are drawn, and on any number of threads.
#[derive(Debug)]
pub struct FeatureModel<T: Scalar> {
    features: Dictionary<T>,
    bias: Vec<T>,
    probabilities: Vec<f64>,
    forest: Forest,
    sampler: Sampler,
}

/// Samples, together with the codes that they were made of.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureData<T: Scalar> {
    /// The samples (d × n).
    pub samples: Mat<T>,
    /// The coefficients of the features, one row per sample: positive, with increasing indices.
    pub codes: CsrParts<T>,
}

impl<T: Scalar> FeatureModel<T> {
    fn new(recipe: &Recipe) -> Result<Self, Error> {
        let (dim, features) = (recipe.dim, recipe.features);
        let forest = Forest::new(recipe.roots, recipe.branching, recipe.depth);
        // Each part has its own random numbers, so that none depends on the size of another.
        let mut seeds = generator(recipe.seed, RandomStream::Features);
        let [of_features, of_bias, of_deviations, of_loadings]: [u64; 4] =
            std::array::from_fn(|_| seeds.random());

        let mut random = generator(of_features, RandomStream::Features);
        let mut directions = Faer::<T>::default().zeros(dim, features)?;
        for j in 0..features {
            let column = directions.col_as_slice_mut(j);
            column.iter_mut().for_each(|x| *x = T::narrow(gaussian(&mut random)));
            normalize(column);
        }
        orthogonal::spread(&mut directions, recipe.orthogonal_steps);
        let features = Dictionary::normalized(directions)?;

        let mut random = generator(of_bias, RandomStream::Features);
        let bias = direction(dim, recipe.bias, &mut random).into_iter().map(T::narrow).collect();
        let probabilities = recipe.probabilities();
        let laws = Laws {
            sampled: forest.sampled(&probabilities),
            means: recipe.means(),
            deviations: recipe.deviations(&mut generator(of_deviations, RandomStream::Features)),
            loadings: recipe.loadings(&mut generator(of_loadings, RandomStream::Features)),
        };
        let sampler = Sampler::new(&forest, laws);
        Ok(Self { features, bias, probabilities, forest, sampler })
    }

    /// The features d_i (d × N), from the most to the least frequent, apart from the effects of the
    /// hierarchy.
    #[must_use]
    pub fn features(&self) -> &Dictionary<T> {
        &self.features
    }

    /// The bias b that is part of every sample.
    #[must_use]
    pub fn bias(&self) -> &[T] {
        &self.bias
    }

    /// p_i, how often each feature is meant to fire. With a hierarchy, the actual frequencies are
    /// approximately these.
    #[must_use]
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// The parent of a feature; `None` for roots and for features that belong to no tree.
    #[must_use]
    pub fn parent(&self, feature: usize) -> Option<usize> {
        self.forest.parent(feature)
    }

    /// The features of each depth of the hierarchy, roots first. Features beyond the last range
    /// belong to no tree.
    #[must_use]
    pub fn levels(&self) -> &[Range<usize>] {
        self.forest.levels()
    }

    /// The first `count` samples of a seed, with their codes.
    ///
    /// Parallel over blocks of samples. A sample costs O(rank · features without a parent + d ·
    /// L0).
    ///
    /// # Errors
    /// [`Error::Argument`] if `count` is 0, [`Error::Backend`] if the memory cannot be allocated.
    pub fn draw(&self, count: usize, seed: u64) -> Result<FeatureData<T>, Error> {
        if count == 0 {
            return Err(Error::argument("count", count, "at least 1"));
        }
        let mut samples = Faer::<T>::default().zeros(self.features.dim(), count)?;
        let blocks: Vec<CsrParts<T>> = samples
            .par_col_chunks_mut(BLOCK)
            .enumerate()
            .map(|(block, mut samples)| {
                let codes = self.sampler.block(seed, block, samples.ncols());
                for i in 0..samples.ncols() {
                    self.write(&codes, i, column_mut(samples.as_mut(), i));
                }
                codes
            })
            .collect();
        Ok(FeatureData { samples, codes: join(blocks) })
    }

    /// Samples 0 … `len` − 1 of a seed as a source that makes them when they are read. It takes no
    /// memory for samples, so there can be as many as you want.
    #[must_use]
    pub fn source(&self, len: usize, seed: u64) -> FeatureSource<'_, T> {
        FeatureSource::new(self, len, seed)
    }

    /// x ← Σ a_i d_i + b for sample `i` of `codes`.
    fn write(&self, codes: &CsrParts<T>, i: usize, into: &mut [T]) {
        let row = codes.offsets[i]..codes.offsets[i + 1];
        into.copy_from_slice(&self.bias);
        for (&feature, &value) in codes.indices[row.clone()].iter().zip(&codes.values[row]) {
            axpy(into, value, self.features.atom(feature as usize));
        }
    }
}

/// A vector of the given length in a uniformly random direction.
fn direction(dim: usize, length: f64, random: &mut ChaCha8Rng) -> Vec<f64> {
    let mut direction: Vec<f64> = (0..dim).map(|_| gaussian(random)).collect();
    normalize(&mut direction);
    direction.iter_mut().for_each(|x| *x *= length);
    direction
}

/// The rows of all blocks, in order.
fn join<T: Scalar>(blocks: Vec<CsrParts<T>>) -> CsrParts<T> {
    let mut all = CsrParts { indices: Vec::new(), values: Vec::new(), offsets: vec![0] };
    for block in blocks {
        let start = all.indices.len();
        all.indices.extend_from_slice(&block.indices);
        all.values.extend_from_slice(&block.values);
        all.offsets.extend(block.offsets[1..].iter().map(|offset| start + offset));
    }
    all
}
