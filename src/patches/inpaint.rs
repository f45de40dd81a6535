//! Filling in missing pixels by a dictionary that is learned from those that are there.

use std::ops::ControlFlow;

use super::denoise::{THEIR_PEAK, usage_of};
use super::{Image, Patches, overcomplete_dct};
use crate::coder::BatchOmp;
use crate::codes::SparseCodes;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::learn::{DbKsvd, Initialisation};
use crate::masked::{MaskedKsvd, MaskedOmp, MaskedPass};
use crate::model::Model;
use crate::problem::Sign;

/// The most atoms of a patch of which pixels are missing.
const FEW: usize = 10;

/// The noise that known pixels may have in the first filling, of a peak of 255.
const NOISE: f64 = 3.0;

/// The least coefficients of the first and the last round of refinement, of a peak of 255.
const LEAST: (f64, f64) = (150.0, 10.0);

/// The image with its missing pixels filled in, by [`Inpainting`] with its defaults: pixels from 0
/// to 255, grey or in colours; `mask` is 1 where a pixel is known and 0 where it is missing.
///
/// ```
/// use dbksvd::patches::{Image, inpaint};
///
/// // Stripes, of which three of five pixels are lost.
/// let stripes = |i: usize| if (i / 40 + i % 40) % 12 < 6 { 60.0 } else { 180.0 };
/// let clean = Image::new(40, 40, 1, (0..1600).map(stripes).collect())?;
/// let known = |i: usize| if (i * i / 7 + i) % 5 < 2 { 1.0 } else { 0.0 };
/// let mask = Image::new(40, 40, 1, (0..1600).map(known).collect())?;
/// let mut holes = clean.clone();
/// for (pixel, known) in holes.pixels_mut().iter_mut().zip(mask.pixels()) {
///     *pixel = if *known > 0.0 { *pixel } else { f32::NAN };
/// }
/// let restored = inpaint(&holes, &mask)?;
/// assert!(restored.psnr(&clean, 255.0)? > 25.0);
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Errors
/// Those of [`Inpainting::run`].
pub fn inpaint(image: &Image, mask: &Image) -> Result<Image, Error> {
    Ok(Inpainting::new().run(image, mask)?.image)
}

/// Inpainting by a dictionary that K-SVD learns from the pixels that are known.
///
/// 1. Cut the image into overlapping patches, and set the means of their known pixels aside, one a
///    channel. Learn a dictionary of them with weights ([`MaskedKsvd`]), starting from
///    [`overcomplete_dct`]; the codes of the known pixels fill in the others, and patches are
///    averaged. If means are all there is, since the image is flat or no patch has two known
///    pixels, they fill it in, and the cosines are kept. (J. Mairal, M. Elad & G. Sapiro, "Sparse
///    representation for color image restoration", IEEE Trans. Image Process. 17, 2008.)
/// 2. Refine what is filled in: code all patches of the filled image by atoms whose coefficients
///    are above a limit, average what that leaves of them, and put the known pixels back; again and
///    again, while the limit falls: by one factor from each round to the next. Patches that need
///    few atoms count for more in the averages. These rounds, or some that are spread evenly over
///    them with the last, learn from the whole patches as well. (M. J. Fadili, J.-L. Starck &
///    F. Murtagh, "Inpainting and zooming using sparse representations", Comput. J. 52, 2009.)
///
/// | parameter | default | meaning | range |
/// |---|---|---|---|
/// | [`peak`](Self::peak) | 255 | the largest value of a pixel; the smallest is 0 | positive, finite |
/// | [`side`](Self::side) | 8 | the side of a patch in pixels | from 2 to that of the image |
/// | [`atoms`](Self::atoms) | 256 | atoms m of the dictionary | as of [`overcomplete_dct`] |
/// | [`passes`](Self::passes) | 3 | passes of learning from what is known | at least 0 |
/// | [`sparsity`](Self::sparsity) | 10, or m or d if less | the most atoms of a patch in these | 1 ..= min(m, d) |
/// | [`noise`](Self::noise) | 3, of 255 | the error of known pixels that is small enough in these | at least 0, finite |
/// | [`rounds`](Self::rounds) | 40 | rounds of refinement; 0 for none | at least 0 |
/// | [`limits`](Self::limits) | 150 to 10, of 255 | the limits of the first and the last round; one round has the last | positive, finite, not rising |
/// | [`epochs`](Self::epochs) | 40 | how many of these rounds learn; all, if there are fewer | at least 0 |
/// | [`seed`](Self::seed) | 0 | random numbers of learning | any |
///
/// A hole must not hold a square of 2 · side − 1 pixels (at the border of the image, of side by 2 ·
/// side − 1 at an edge, and of side by side in a corner): each of its pixels is to be in a patch
/// that has a known one. The image is the same on any number of threads. Time: `passes` + 1 codings
/// by [`MaskedOmp`], of at most `sparsity` atoms, and `rounds` + `epochs` by [`BatchOmp`] (a round
/// that learns codes twice), of at most d/2, of all patches. Memory: some 5 numbers for each of the
/// N d values of patches, at a stride of 1.
///
/// `docs/images/inpaint.png` of the repository, from `examples/inpaint`, shows what to expect;
/// `benches/peers` has its figures beside those of biharmonic inpainting. A dictionary of m d
/// values is not to be learned from few known pixels: of a busy picture of 112 × 112 pixels with
/// 20% of them known, the cosines alone (no `passes`, no `epochs`) filled in the rest better, by
/// more than 1 dB.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Inpainting {
    peak: f64,
    side: usize,
    atoms: usize,
    passes: usize,
    sparsity: Option<usize>,
    noise: Option<f64>,
    rounds: usize,
    limits: Option<(f64, f64)>,
    epochs: usize,
    seed: u64,
}

/// An image that was filled in, and the dictionary that did it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inpainted {
    /// The image, with values from 0 to the peak where they were missing; known pixels are as they
    /// were.
    pub image: Image,
    /// The dictionary of patches.
    pub dictionary: Dictionary<f32>,
    /// How many patches used each atom when they were last coded.
    pub usage: Vec<usize>,
    /// Atoms a patch, on average, when they were last coded.
    pub l0: f64,
}

impl Default for Inpainting {
    fn default() -> Self {
        Self::new()
    }
}

impl Inpainting {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            peak: THEIR_PEAK,
            side: 8,
            atoms: 256,
            passes: 3,
            sparsity: None,
            noise: None,
            rounds: 40,
            limits: None,
            epochs: 40,
            seed: 0,
        }
    }

    /// The largest value of a pixel.
    pub fn peak(self, peak: f64) -> Self {
        Self { peak, ..self }
    }

    /// The side of a patch, in pixels. Wider holes want larger patches.
    pub fn side(self, side: usize) -> Self {
        Self { side, ..self }
    }

    /// The number of atoms.
    pub fn atoms(self, atoms: usize) -> Self {
        Self { atoms, ..self }
    }

    /// Passes of learning from what is known of patches.
    pub fn passes(self, passes: usize) -> Self {
        Self { passes, ..self }
    }

    /// The most atoms of a patch whose known pixels alone are coded.
    pub fn sparsity(self, sparsity: usize) -> Self {
        Self { sparsity: Some(sparsity), ..self }
    }

    /// The root mean square error of the known pixels of a patch, in the unit of pixels, that ends
    /// their coding: see [`MaskedOmp::noise`].
    pub fn noise(self, noise: f64) -> Self {
        Self { noise: Some(noise), ..self }
    }

    /// Rounds of refinement.
    pub fn rounds(self, rounds: usize) -> Self {
        Self { rounds, ..self }
    }

    /// The least coefficients of the first and of the last round of refinement, in the unit of
    /// pixels (atoms have norm 1): the first says what counts as structure at all, the last which
    /// detail is believed.
    pub fn limits(self, first: f64, last: f64) -> Self {
        Self { limits: Some((first, last)), ..self }
    }

    /// How many rounds of refinement learn. The fewer do, the sooner it ends, and as a rule the
    /// worse the picture. With none and no `passes`, the cosines are the dictionary.
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// The seed of learning.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Learns a dictionary from what is known of the image and fills in the rest. `mask` has the
    /// size of the image, and one channel or as many: 1 for what is known, 0 for what is missing,
    /// where the image may hold anything, such as NaN; between, for what is known less well, it
    /// mixes the pixel and what codes say of it.
    ///
    /// # Errors
    /// [`Error::Argument`] for a parameter outside its range, a mask of another size or with values
    /// outside 0 to 1, a known pixel that is not finite, an image of which nothing is known, or a
    /// hole with a pixel that is in no patch with a known one, such as the middle of a square of
    /// 2 · side − 1.
    /// [`Error::Range`] if patches without their means have norms whose squares over- or underflow
    /// (see the [range](crate#range)), and [`Error::NotFinite`] if a pixel less the mean overflows:
    /// choose another unit. [`Error::Backend`] if memory cannot be allocated.
    pub fn run(&self, image: &Image, mask: &Image) -> Result<Inpainted, Error> {
        self.run_observed(image, mask, |_| ControlFlow::Continue(()))
    }

    /// As [`run`](Self::run), where `observe` is told of every pass of the first step, and may end
    /// it; refinement follows. It is told of none where means are all there is.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn run_observed(
        &self,
        image: &Image,
        mask: &Image,
        observe: impl FnMut(&MaskedPass) -> ControlFlow<()>,
    ) -> Result<Inpainted, Error> {
        self.check()?;
        let known = Known::new(image, mask)?;
        let mut filled = self.fill(&known, observe)?;
        for round in 0..self.rounds {
            self.refine(&known, &mut filled, round)?;
        }
        Ok(filled)
    }

    fn check(&self) -> Result<(), Error> {
        if !(self.peak.is_finite() && self.peak > 0.0) {
            return Err(Error::argument("peak", self.peak, "positive and finite"));
        }
        if self.side < 2 {
            return Err(Error::argument("side", self.side, "at least 2"));
        }
        if let Some(noise) = self.noise
            && !(noise.is_finite() && noise >= 0.0)
        {
            return Err(Error::argument("noise", noise, "finite and at least 0"));
        }
        if let Some((first, last)) = self.limits
            && !(first.is_finite() && last > 0.0 && first >= last)
        {
            let found = format!("{first} to {last}");
            return Err(Error::argument("limits", found, "positive, finite, and not rising"));
        }
        Ok(())
    }

    /// The first filling, from codes of what is known alone.
    fn fill(
        &self,
        known: &Known<'_>,
        observe: impl FnMut(&MaskedPass) -> ControlFlow<()>,
    ) -> Result<Inpainted, Error> {
        let weights = Patches::extract(&known.mask, self.side, 1)?;
        let is_seen = |n: usize| weights.samples().col(n).iter().any(|&w| w > 0.0);
        if let Some(at) = weights.first_outside(is_seen) {
            let (found, side) = (known.mask.describe(at), self.side);
            let expected = format!("a known pixel in a patch of {side} × {side} around each pixel");
            return Err(Error::argument("mask", found, expected));
        }
        let mut patches = Patches::extract(known.image, self.side, 1)?;
        patches.remove_known_means(weights.samples())?;
        let initial = overcomplete_dct(self.side, known.image.channels(), self.atoms)?;
        let (dictionary, codes) = self.learn(initial, &patches, &weights, observe)?;
        let (usage, l0) = usage_of(&codes);
        let model = Model::new(dictionary, None, codes.sparsity(), Sign::Signed)?;
        let decoded = model.decode(&codes)?;
        let weight = |n: usize| if is_seen(n) { 1.0 } else { 0.0 };
        let average = patches.average_weighted(decoded.as_ref(), weight);
        let image = known.put_back(average.clamped(0.0, self.peak as f32));
        Ok(Inpainted { image, dictionary: model.dictionary().clone(), usage, l0 })
    }

    /// Codes of what is known, and the dictionary that is learned with them: the initial one and
    /// empty codes, if nothing is left of what is known.
    fn learn(
        &self,
        initial: Dictionary<f32>,
        patches: &Patches,
        weights: &Patches,
        observe: impl FnMut(&MaskedPass) -> ControlFlow<()>,
    ) -> Result<(Dictionary<f32>, SparseCodes<f32>), Error> {
        let (samples, weights) = (patches.samples(), weights.samples());
        let count = samples.ncols();
        let mut known = (0..count).flat_map(|n| samples.col(n).iter().zip(weights.col(n).iter()));
        let is_flat = known.all(|(&value, &weight)| weight == 0.0 || value == 0.0);
        let most = initial.atoms().min(initial.dim());
        let budget = self.sparsity.unwrap_or(FEW.min(most));
        if budget == 0 || budget > most {
            return Err(Error::argument("sparsity", budget, format!("1 to {most}")));
        }
        if is_flat {
            let codes = SparseCodes::new(initial.atoms(), count, budget);
            return Ok((initial, codes));
        }
        let noise = self.noise.unwrap_or(NOISE * self.peak / THEIR_PEAK);
        let coder = MaskedOmp::new(budget).noise(noise);
        let learner = MaskedKsvd::new(coder).passes(self.passes);
        let fit = learner.learn_observed(initial, samples, weights, observe)?;
        Ok((fit.dictionary, fit.codes))
    }

    /// One round of refinement.
    fn refine(&self, known: &Known<'_>, filled: &mut Inpainted, round: usize) -> Result<(), Error> {
        let mut patches = Patches::extract(&filled.image, self.side, 1)?;
        patches.remove_means();
        let dim = patches.samples().nrows();
        let unit = self.peak / THEIR_PEAK;
        let (first, last) = self.limits.unwrap_or((LEAST.0 * unit, LEAST.1 * unit));
        // One round alone is the last.
        let to_come = (self.rounds - 1 - round) as f64 / (self.rounds - 1).max(1) as f64;
        let coder = BatchOmp::new().min_correlation(first.powf(to_come) * last.powf(1.0 - to_come));
        let budget = filled.dictionary.atoms().min(dim / 2);
        let samples = patches.samples();
        let count = samples.ncols();
        let is_flat = (0..count).all(|n| samples.col(n).iter().all(|&value| value == 0.0));
        if self.learns_in(round) && !is_flat {
            let learner = DbKsvd::builder(filled.dictionary.atoms(), budget)
                .coder(coder)
                .initialisation(Initialisation::Given(filled.dictionary.clone()))
                .epochs(1)
                .minibatch(count.div_ceil(4))
                .seed(self.seed.wrapping_add(round as u64))
                .build()?;
            filled.dictionary = learner.fit(&samples)?.0.dictionary().clone();
        }
        let model = Model::new(filled.dictionary.clone(), None, budget, Sign::Signed)?;
        let codes = model.encode(&coder, samples)?;
        let decoded = model.decode(&codes)?;
        let weight = |n: usize| 1.0 / (1.0 + codes.support(n).len() as f64);
        let average = patches.average_weighted(decoded.as_ref(), weight);
        filled.image = known.put_back(average.clamped(0.0, self.peak as f32));
        (filled.usage, filled.l0) = usage_of(&codes);
        Ok(())
    }

    /// Whether a round is one of those that learn: of `rounds`, `epochs` are spread evenly.
    fn learns_in(&self, round: usize) -> bool {
        let epochs = self.epochs.min(self.rounds) as u128;
        let until = |round: usize| round as u128 * epochs / self.rounds as u128;
        until(round + 1) > until(round)
    }
}

/// What is known of an image.
struct Known<'a> {
    image: &'a Image,
    /// Of as many channels.
    mask: Image,
}

impl<'a> Known<'a> {
    fn new(image: &'a Image, mask: &Image) -> Result<Self, Error> {
        let channels = image.channels();
        let weights = if mask.channels() == 1 {
            mask.pixels().iter().flat_map(|&w| std::iter::repeat_n(w, channels)).collect()
        } else {
            mask.pixels().to_vec()
        };
        let channels = if mask.channels() == 1 { channels } else { mask.channels() };
        let mask = Image::new(mask.width(), mask.height(), channels, weights)?;
        image.check_size("mask", &mask)?;
        for (at, (weight, pixel)) in mask.pixels().iter().zip(image.pixels()).enumerate() {
            if !(0.0..=1.0).contains(weight) {
                return Err(Error::argument("mask", mask.describe(at), "0 to 1"));
            }
            if *weight > 0.0 && !pixel.is_finite() {
                let expected = "finite values where the mask is not 0";
                return Err(Error::argument("image", image.describe(at), expected));
            }
        }
        if mask.pixels().iter().all(|&weight| weight == 0.0) {
            let expected = "a pixel that is known";
            return Err(Error::argument("mask", "0 throughout", expected));
        }
        Ok(Self { image, mask })
    }

    /// The image where it is known, and `filled` elsewhere.
    fn put_back(&self, mut filled: Image) -> Image {
        let known = self.image.pixels().iter().zip(self.mask.pixels());
        for (into, (&pixel, &weight)) in filled.pixels_mut().iter_mut().zip(known) {
            if weight == 1.0 {
                *into = pixel;
            } else if weight > 0.0 {
                *into = weight * pixel + (1.0 - weight) * *into;
            }
        }
        filled
    }
}
