//! Draws which features of a sample fire, and how strongly.

use dbksvd::codes::CsrParts;
use dbksvd::faer::Mat;
use dbksvd::{Faer, HostBackend, Scalar};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Exp1, StandardNormal};

use super::forest::Forest;
use super::normal::{beyond, quantile, tail};
use crate::random::{RandomStream, gaussian, generator};
use crate::vector::dot;

/// Samples that are drawn from one stream of random numbers.
pub(super) const BLOCK: usize = 64;

/// Features that share a least threshold.
const CHUNK: usize = 32;

/// If the least threshold is below this, each feature of the chunk is compared with a draw;
/// otherwise features are skipped.
const LOW: f64 = 1.0;

/// Least thresholds are rounded down to a multiple of 1/64, for which the probability is in a
/// table.
const GRID: f64 = 64.0;

/// The largest threshold in the table.
const HIGH: f64 = 8.0;

/// The parameters that decide how features fire, one entry per feature.
pub(super) struct Laws {
    /// s_i.
    pub(super) sampled: Vec<f64>,
    /// μ_i.
    pub(super) means: Vec<f64>,
    /// σ_i.
    pub(super) deviations: Vec<f64>,
    /// F_i.
    pub(super) loadings: Vec<Vec<f64>>,
}

/// Feature i fires if η_i > t_i − f_i·ε, with t_i = Φ⁻¹(1 − s_i) / √δ_i and f_i = F_i / √δ_i.
#[derive(Debug)]
pub(super) struct Sampler {
    /// The number of roots. All other features of trees have parents.
    roots: usize,
    branches: Vec<Branches>,
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// t_i.
    thresholds: Vec<f32>,
    /// f_i, one column per feature.
    loadings: Mat<f32>,
    /// The features without a parent, with their t and f, padded to whole chunks.
    alone: Vec<u32>,
    alone_thresholds: Vec<f32>,
    alone_loadings: Mat<f32>,
    /// −ln(1 − Q(x)) for the multiples x of 1/64.
    rates: Vec<f64>,
}

/// The children of a feature.
#[derive(Clone, Copy, Debug)]
struct Branches {
    first: u32,
    end: u32,
}

impl Sampler {
    pub(super) fn new(forest: &Forest, laws: Laws) -> Self {
        let Laws { sampled, means, deviations, loadings } = laws;
        let (features, rank) = (sampled.len(), loadings[0].len());
        let own = |i: usize| (1.0 - loadings[i].iter().map(|f| f * f).sum::<f64>()).sqrt();
        let thresholds: Vec<f32> =
            (0..features).map(|i| (quantile(sampled[i]) / own(i)) as f32).collect();
        let loadings = Mat::from_fn(rank, features, |r, i| (loadings[i][r] / own(i)) as f32);

        let alone: Vec<u32> =
            (0..forest.roots()).chain(forest.len()..features).map(|i| i as u32).collect();
        let padded = alone.len().next_multiple_of(CHUNK);
        let mut alone_thresholds = vec![f32::INFINITY; padded];
        for (threshold, &i) in alone_thresholds.iter_mut().zip(&alone) {
            *threshold = thresholds[i as usize];
        }
        let alone_loadings = Mat::from_fn(rank, padded, |r, at| match alone.get(at) {
            Some(&i) => loadings[(r, i as usize)],
            None => 0.0,
        });
        let branches = (0..forest.len())
            .map(|i| forest.children(i))
            .map(|children| Branches { first: children.start as u32, end: children.end as u32 });
        Self {
            roots: forest.roots(),
            branches: branches.collect(),
            means,
            deviations,
            thresholds,
            loadings,
            alone,
            alone_thresholds,
            alone_loadings,
            rates: (0..=(HIGH * GRID) as usize)
                .map(|step| -(-tail(step as f64 / GRID)).ln_1p())
                .collect(),
        }
    }

    /// The codes of the first `samples` samples of a block.
    pub(super) fn block<T: Scalar>(&self, seed: u64, block: usize, samples: usize) -> CsrParts<T> {
        let mut random = generator(seed, RandomStream::Draw(block as u64));
        let rank = self.loadings.nrows();
        let shared = Mat::from_fn(rank, BLOCK, |_, _| gaussian(&mut random) as f32);
        let mut pushes = Mat::<f32>::zeros(self.alone_thresholds.len(), BLOCK);
        let (f, shared) = (self.alone_loadings.as_ref(), shared.as_ref());
        Faer::<f32>::default().product_tn(pushes.as_mut(), f, shared);

        let mut codes = CsrParts { indices: Vec::new(), values: Vec::new(), offsets: vec![0] };
        let mut row: Vec<(u32, f64)> = Vec::new();
        for i in 0..samples {
            row.clear();
            let shared = shared.col(i).try_as_col_major().expect("contiguous").as_slice();
            let mut draw = Draw { sampler: self, shared, random: &mut random, row: &mut row };
            draw.alone(pushes.col_as_slice_mut(i));
            row.sort_unstable_by_key(|&(feature, _)| feature);
            codes.indices.extend(row.iter().map(|&(feature, _)| feature));
            codes.values.extend(row.iter().map(|&(_, value)| T::narrow(value)));
            codes.offsets.push(codes.indices.len());
        }
        codes
    }
}

/// The data for drawing one sample.
struct Draw<'a> {
    sampler: &'a Sampler,
    /// ε.
    shared: &'a [f32],
    random: &'a mut ChaCha8Rng,
    row: &'a mut Vec<(u32, f64)>,
}

impl Draw<'_> {
    /// Draws the features without a parent, given f_i·ε, and the features below them.
    fn alone(&mut self, pushes: &mut [f32]) {
        let sampler = self.sampler;
        // The distance to the next feature: an exponential clock runs down at the rate of each
        // chunk.
        let mut clock: f64 = self.random.sample(Exp1);
        let (pushes, _) = pushes.as_chunks_mut::<CHUNK>();
        let (thresholds, _) = sampler.alone_thresholds.as_chunks::<CHUNK>();
        for (chunk, (pushes, thresholds)) in pushes.iter_mut().zip(thresholds).enumerate() {
            let least = f64::from(least_of_differences(thresholds, pushes));
            // From here on `pushes` are the thresholds t_i − f_i·ε of η_i.
            if least < LOW {
                for (at, &threshold) in pushes.iter().enumerate() {
                    if self.random.sample::<f64, _>(StandardNormal) > f64::from(threshold) {
                        self.fire(chunk * CHUNK + at);
                    }
                }
                continue;
            }
            let step = ((least * GRID) as usize).min(sampler.rates.len() - 1);
            let (floor, rate) = (step as f64 / GRID, sampler.rates[step]);
            let mut at = 0;
            while at < CHUNK {
                let left = (CHUNK - at) as f64;
                if clock >= rate * left {
                    clock -= rate * left;
                    break;
                }
                at += ((clock / rate) as usize).min(CHUNK - at - 1);
                if beyond(floor, self.random) > f64::from(pushes[at]) {
                    self.fire(chunk * CHUNK + at);
                }
                at += 1;
                clock = self.random.sample(Exp1);
            }
        }
    }

    /// Lets the feature without a parent at index `at` fire.
    fn fire(&mut self, at: usize) {
        // Padding has an infinite threshold, so `at` is never padding.
        let feature = self.sampler.alone[at] as usize;
        if let Some(value) = self.magnitude(feature) {
            self.row.push((feature as u32, value));
            if feature < self.sampler.roots {
                self.descend(feature, value);
            }
        }
    }

    /// a ← μ + σ g, if this is positive.
    fn magnitude(&mut self, feature: usize) -> Option<f64> {
        let Sampler { means, deviations, .. } = self.sampler;
        let value = means[feature] + deviations[feature] * gaussian(self.random);
        (value > 0.0).then_some(value)
    }

    /// Draws the children of a parent that fires with `value`: at most one fires, and its children
    /// are drawn in turn.
    fn descend(&mut self, parent: usize, value: f64) {
        let sampler = self.sampler;
        let (mut parent, mut value) = (parent, value);
        loop {
            let Branches { first, end } = sampler.branches[parent];
            let (mut chosen, mut firing) = (None, 0);
            for child in first as usize..end as usize {
                let push = dot(sampler.loadings.col_as_slice(child), self.shared);
                let threshold = f64::from(sampler.thresholds[child] - push);
                if self.random.sample::<f64, _>(StandardNormal) <= threshold {
                    continue;
                }
                if let Some(magnitude) = self.magnitude(child) {
                    // Of n firing children, each is chosen with probability 1/n: the n-th replaces
                    // the choice so far with this probability.
                    firing += 1;
                    if firing == 1 || self.random.random_range(0..firing) == 0 {
                        chosen = Some((child, magnitude));
                    }
                }
            }
            let Some((child, magnitude)) = chosen else { break };
            value *= magnitude / sampler.means[parent];
            self.row.push((child as u32, value));
            parent = child;
        }
    }
}

/// p ← t − p; returns the least value.
fn least_of_differences(thresholds: &[f32; CHUNK], pushes: &mut [f32; CHUNK]) -> f32 {
    const LANES: usize = 8;
    let mut least = [f32::INFINITY; LANES];
    let (pushes, _) = pushes.as_chunks_mut::<LANES>();
    let (thresholds, _) = thresholds.as_chunks::<LANES>();
    for (pushes, thresholds) in pushes.iter_mut().zip(thresholds) {
        for l in 0..LANES {
            pushes[l] = thresholds[l] - pushes[l];
            least[l] = if pushes[l] < least[l] { pushes[l] } else { least[l] };
        }
    }
    least.into_iter().fold(f32::INFINITY, f32::min)
}
