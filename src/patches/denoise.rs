//! Denoising by a dictionary that is learned from the noisy image.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use super::{Image, Patches, overcomplete_dct};
use crate::coder::{BatchOmp, Tolerance};
use crate::codes::SparseCodes;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::learn::{DbKsvd, Initialisation, Observer, Progress};
use crate::model::Model;
use crate::problem::Sign;

/// The gain of Elad & Aharon, and the dimension of the patches that it is for.
const THEIR_GAIN: f64 = 1.15;
const THEIR_DIM: f64 = 64.0;

/// The peak of pixels for which Elad & Aharon state their weight.
pub(super) const THEIR_PEAK: f64 = 255.0;

/// The image without Gaussian noise of standard deviation `sigma`, by [`Denoising`] with its
/// defaults: pixels from 0 to 255, grey or in colours.
///
/// ```
/// use dbksvd::patches::{Image, denoise};
/// use rand::SeedableRng;
/// use rand_distr::{Distribution, Normal};
///
/// // Stripes, and the same with noise.
/// let stripes = |i: usize| if (i / 48 + i % 48) % 12 < 6 { 60.0 } else { 180.0 };
/// let clean = Image::new(48, 48, 1, (0..48 * 48).map(stripes).collect())?;
/// let (mut random, noise) =
///     (rand_chacha::ChaCha8Rng::seed_from_u64(1), Normal::new(0.0, 20.0).unwrap());
/// let mut noisy = clean.clone();
/// noisy.pixels_mut().iter_mut().for_each(|pixel| *pixel += noise.sample(&mut random));
///
/// let restored = denoise(&noisy, 20.0)?;
/// assert!(restored.psnr(&clean, 255.0)? > noisy.psnr(&clean, 255.0)? + 8.0);
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Errors
/// Those of [`Denoising::run`].
pub fn denoise(image: &Image, sigma: f64) -> Result<Image, Error> {
    Ok(Denoising::new(sigma).run(image)?.image)
}

/// Denoising by a dictionary that K-SVD learns from the noisy patches (M. Elad & M. Aharon, "Image
/// denoising via sparse and redundant representations over learned dictionaries", IEEE Trans. Image
/// Process. 15, 2006).
///
/// 1. Cut the image into all its overlapping patches, and set their means aside, one a channel.
/// 2. Learn a dictionary of the patches, starting from [`overcomplete_dct`]. A patch takes atoms
///    only until ‖r‖ ≤ gain · σ · √d: what is left then is noise. It takes d/2 at most, which ends
///    the pursuit where σ is small.
/// 3. Code the patches with it under the same rule, decode, give the means back.
/// 4. Average, in each pixel, all patches that cover it and λ times the noisy pixel.
///
/// Colours are coded together (J. Mairal, M. Elad & G. Sapiro, "Sparse representation for color
/// image restoration", IEEE Trans. Image Process. 17, 2008); since each channel keeps its means,
/// they do not fade.
///
/// The default gain is 1.15 for d = 64, as in the paper: in 96% of patches, the norm of the noise
/// is below 1.15 · σ · √d. The norm spreads less in larger patches and in colours, so for another d
/// the gain is the one below which it is equally often: 1.23 for d = 27, 1.09 for d = 192. (E. B.
/// Wilson & M. M. Hilferty, "The distribution of chi-square", Proc. Natl. Acad. Sci. 17, 1931.)
///
/// | parameter | default | meaning | range |
/// |---|---|---|---|
/// | `sigma` | given | σ, the standard deviation of the noise | positive, finite |
/// | [`peak`](Self::peak) | 255 | the largest value of a clean pixel; the smallest is 0 | positive, finite |
/// | [`side`](Self::side) | 8 | the side of a patch in pixels | from 2 to that of the image |
/// | [`stride`](Self::stride) | 1 | pixels from one patch to the next | 1 ..= side |
/// | [`atoms`](Self::atoms) | 256 | atoms m of the dictionary | as of [`overcomplete_dct`] |
/// | [`gain`](Self::gain) | 1.15 for d = 64 | see above | positive, finite |
/// | [`weight`](Self::weight) | 30/σ · peak/255 | λ above | at least 0, finite |
/// | [`epochs`](Self::epochs) | 10 | passes over the patches | at least 0 |
/// | [`steps`](Self::steps) | 4 | minibatches in a pass | at least 1 |
/// | [`seed`](Self::seed) | 0 | random numbers of learning | any |
///
/// `docs/images/denoise.png` of the repository, from `examples/denoise`, shows what to expect. The
/// image is the same on any number of threads. Memory: that of learning with N/4 samples, and 12 N
/// d bytes more for patches.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Denoising {
    sigma: f64,
    peak: f64,
    side: usize,
    stride: usize,
    atoms: usize,
    gain: Option<f64>,
    weight: Option<f64>,
    epochs: usize,
    steps: usize,
    seed: u64,
}

/// A denoised image, and the dictionary that did it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Denoised {
    /// The image, with values from 0 to the peak.
    pub image: Image,
    /// The dictionary of patches without their means.
    pub dictionary: Dictionary<f32>,
    /// How many patches use each atom.
    pub usage: Vec<usize>,
    /// Atoms a patch, on average.
    pub l0: f64,
}

impl Denoised {
    /// The atoms, the most used first: an order for [`mosaic`](super::mosaic).
    #[must_use]
    pub fn by_usage(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.usage.len()).collect();
        order.sort_by_key(|&atom| Reverse(self.usage[atom]));
        order
    }
}

impl Denoising {
    /// For noise of the standard deviation `sigma`, in the unit of pixels.
    pub fn new(sigma: f64) -> Self {
        Self {
            sigma,
            peak: THEIR_PEAK,
            side: 8,
            stride: 1,
            atoms: 256,
            gain: None,
            weight: None,
            epochs: 10,
            steps: 4,
            seed: 0,
        }
    }

    /// The largest value of a clean pixel.
    pub fn peak(self, peak: f64) -> Self {
        Self { peak, ..self }
    }

    /// The side of a patch, in pixels.
    pub fn side(self, side: usize) -> Self {
        Self { side, ..self }
    }

    /// Pixels from one patch to the next. A stride of 2 takes a quarter of the time.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// The number of atoms.
    pub fn atoms(self, atoms: usize) -> Self {
        Self { atoms, ..self }
    }

    /// How much more than its expected norm the noise of a patch may have.
    pub fn gain(self, gain: f64) -> Self {
        Self { gain: Some(gain), ..self }
    }

    /// λ: how many patches the noisy pixel counts for in the mean.
    pub fn weight(self, weight: f64) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// Passes over the patches; with none, the cosines are the dictionary.
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// Minibatches in a pass.
    pub fn steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// The seed of learning.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Learns a dictionary from the image and denoises it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a parameter outside its range, and for pixels that are not finite.
    /// [`Error::Range`] if patches without their means have norms whose squares over- or underflow
    /// (see the [range](crate#range)), and [`Error::NotFinite`] if a pixel less the mean overflows:
    /// choose another unit. [`Error::Backend`] if memory cannot be allocated.
    pub fn run(&self, image: &Image) -> Result<Denoised, Error> {
        self.run_observed(image, &mut |_: &Progress| ControlFlow::Continue(()))
    }

    /// As [`run`](Self::run), observed, and ended early if the observer asks for it: the dictionary
    /// is then the one learned so far. Where nothing is learned, with no epochs or from a flat
    /// image, the observer is not called.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn run_observed(
        &self,
        image: &Image,
        observer: &mut impl Observer<f32>,
    ) -> Result<Denoised, Error> {
        let patches = self.patches(image)?;
        let dictionary = self.learn(image.channels(), &patches, observer)?;
        self.restore(image, &patches, &dictionary)
    }

    /// Denoises with a given dictionary: of atoms for patches of this side without their means,
    /// such as [`overcomplete_dct`], or one that was learned from other images.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), and [`Error::Dimension`] for atoms of another size.
    pub fn with_dictionary(
        &self,
        image: &Image,
        dictionary: &Dictionary<f32>,
    ) -> Result<Denoised, Error> {
        let patches = self.patches(image)?;
        let (found, expected) = (dictionary.dim(), patches.samples().nrows());
        if found != expected {
            return Err(Error::Dimension { argument: "dictionary", found, expected });
        }
        self.restore(image, &patches, dictionary)
    }

    fn check(&self) -> Result<(), Error> {
        let gain = self.gain.unwrap_or(THEIR_GAIN);
        for (argument, value) in [("sigma", self.sigma), ("peak", self.peak), ("gain", gain)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::argument(argument, value, "positive and finite"));
            }
        }
        if let Some(weight) = self.weight
            && !(weight.is_finite() && weight >= 0.0)
        {
            return Err(Error::argument("weight", weight, "finite and at least 0"));
        }
        if self.side < 2 {
            return Err(Error::argument("side", self.side, "at least 2"));
        }
        if self.steps == 0 {
            return Err(Error::argument("steps", self.steps, "at least 1"));
        }
        Ok(())
    }

    fn patches(&self, image: &Image) -> Result<Patches, Error> {
        self.check()?;
        image.check_finite()?;
        let mut patches = Patches::extract(image, self.side, self.stride)?;
        patches.remove_means();
        Ok(patches)
    }

    /// What an atom may not explain: the norm of the noise in a patch, with a margin.
    fn coder(&self, dim: usize) -> BatchOmp {
        let gain = self.gain.unwrap_or_else(|| default_gain(dim));
        let noise = (dim as f64).sqrt() * gain * self.sigma;
        BatchOmp::new().tolerance(Tolerance::Absolute(noise.min(f64::MAX)))
    }

    /// The most atoms a patch can have.
    fn budget(dictionary: &Dictionary<f32>) -> usize {
        dictionary.atoms().min(dictionary.dim() / 2)
    }

    fn learn(
        &self,
        channels: usize,
        patches: &Patches,
        observer: &mut impl Observer<f32>,
    ) -> Result<Dictionary<f32>, Error> {
        let initial = overcomplete_dct(self.side, channels, self.atoms)?;
        let samples = patches.samples();
        let is_flat = (0..samples.ncols()).all(|n| samples.col(n).iter().all(|&x| x == 0.0));
        if self.epochs == 0 || is_flat {
            return Ok(initial);
        }
        let learner = DbKsvd::builder(initial.atoms(), Self::budget(&initial))
            .coder(self.coder(initial.dim()))
            .initialisation(Initialisation::Given(initial))
            .epochs(self.epochs)
            .minibatch(samples.ncols().div_ceil(self.steps))
            .seed(self.seed)
            .build()?;
        let (model, _) = learner.fit_with(&samples, observer)?;
        Ok(model.dictionary().clone())
    }

    /// Codes the patches, decodes and averages them.
    fn restore(
        &self,
        image: &Image,
        patches: &Patches,
        dictionary: &Dictionary<f32>,
    ) -> Result<Denoised, Error> {
        let budget = Self::budget(dictionary);
        let model = Model::new(dictionary.clone(), None, budget, Sign::Signed)?;
        let codes = model.encode(&self.coder(dictionary.dim()), patches.samples())?;
        let (usage, l0) = usage_of(&codes);
        let decoded = model.decode(&codes)?;
        // Of the least σ, the quotient overflows; the noisy pixel is all that counts long before.
        let weight = self.weight.unwrap_or(30.0 / self.sigma * self.peak / THEIR_PEAK);
        let restored = patches.average_with(decoded.as_ref(), image, weight.min(f64::MAX))?;
        let image = restored.clamped(0.0, self.peak as f32);
        Ok(Denoised { image, dictionary: dictionary.clone(), usage, l0 })
    }
}

/// The gain g for patches of d values that is exceeded by ‖noise‖ / (σ √d) as often as
/// [`THEIR_GAIN`] is for [`THEIR_DIM`] values. Wilson & Hilferty: (χ²_d / d)^{1/3} is about normal,
/// of mean 1 − v_d and variance v_d = 2 / 9d. So with t = √(v_d / v_64),
///
/// ```text
/// (g^{2/3} − 1 + v_d) / √v_d = (1.15^{2/3} − 1 + v_64) / √v_64
/// g^{2/3} = 1 + t (1.15^{2/3} − 1) + (t − t²) v_64
/// ```
fn default_gain(dim: usize) -> f64 {
    let t = (THEIR_DIM / dim as f64).sqrt();
    let theirs = THEIR_GAIN.powf(2.0 / 3.0);
    let root = 1.0 + t * (theirs - 1.0) + (t - t * t) * 2.0 / (9.0 * THEIR_DIM);
    // Divided by theirs, so that d = 64 has 1.15 to the last bit.
    THEIR_GAIN * (root / theirs).powf(1.5)
}

/// How many samples use each atom, and atoms a sample, on average.
pub(super) fn usage_of(codes: &SparseCodes<f32>) -> (Vec<usize>, f64) {
    let mut usage = vec![0; codes.atoms()];
    for (support, _) in codes.iter() {
        support.iter().for_each(|&atom| usage[atom as usize] += 1);
    }
    (usage, codes.nnz() as f64 / codes.samples() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_is_a_quantile_of_the_norm_of_noise() {
        assert_eq!(default_gain(64), 1.15);
        // √(χ²_p(d) / d), with p = 0.95692 as for 1.15 and d = 64, by SciPy's `chi2.ppf`.
        for (dim, gain) in [(4, 1.56901), (12, 1.33960), (27, 1.22921), (192, 1.08705)] {
            assert!((default_gain(dim) - gain).abs() < 3e-3, "{dim}: {}", default_gain(dim));
        }
    }
}
