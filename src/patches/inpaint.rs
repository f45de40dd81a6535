//! Filling in missing pixels by a dictionary that is learned from those that are there.

use std::ops::ControlFlow;

use super::denoise::{THEIR_PEAK, usage_of};
use super::{Image, Patches, overcomplete_dct};
use crate::coder::BatchOmp;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::learn::{DbKsvd, Initialisation};
use crate::masked::{MaskedKsvd, MaskedOmp, MaskedPass};
use crate::model::Model;
use crate::problem::Sign;

/// The most atoms of a patch of which pixels are missing.
const FEW: usize = 10;

/// How well known pixels are told in the first filling, of a peak of 255.
const ACCURACY: f64 = 3.0;

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
///    averaged (J. Mairal, M. Elad & G. Sapiro, "Sparse representation for color image
///    restoration", IEEE Trans. Image Process. 17, 2008).
/// 2. Refine what is filled in: code all patches of the filled image by atoms whose coefficients
///    are above a limit, average what that leaves of them, and put the known pixels back; again and
///    again, while the limit falls. Patches that need few atoms count for more in the averages.
///    Some of these rounds may learn from the whole patches as well. (M. J. Fadili, J.-L. Starck &
///    F. Murtagh, "Inpainting and zooming using sparse representations", Comput. J. 52, 2009.)
///
/// | parameter | default | meaning | range |
/// |---|---|---|---|
/// | [`peak`](Self::peak) | 255 | the largest value of a pixel; the smallest is 0 | positive, finite |
/// | [`side`](Self::side) | 8 | the side of a patch in pixels | from 2 to that of the image |
/// | [`atoms`](Self::atoms) | 256 | atoms m of the dictionary | at least the number of channels |
/// | [`passes`](Self::passes) | 3 | passes of learning from what is known | at least 0 |
/// | [`rounds`](Self::rounds) | 40 | rounds of refinement; 0 for none | at least 0 |
/// | [`limits`](Self::limits) | 150 to 10, of 255 | the limits of the first and the last round | positive, finite, falling |
/// | [`epochs`](Self::epochs) | 8 | how many of these rounds learn | at least 0 |
/// | [`seed`](Self::seed) | 0 | random numbers of learning | any |
///
/// A hole must be narrower than a patch: every pixel is to be in one that has a known pixel. The
/// image is the same on any number of threads. Time: `passes` + 1 codings by [`MaskedOmp`] and
/// `rounds` by [`BatchOmp`], of all patches. Memory: some 5 numbers for each of the N d values of
/// patches, at a stride of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Inpainting {
    peak: f64,
    side: usize,
    atoms: usize,
    passes: usize,
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
            rounds: 40,
            limits: None,
            epochs: 8,
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

    /// How many rounds of refinement learn. With none and no `passes`, the cosines are the
    /// dictionary.
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
    /// outside 0 to 1, a known pixel that is not finite, a pixel with none that is known around it,
    /// or an image of which nothing is known; [`Error::NothingLearned`] if all that is known is
    /// flat; [`Error::Backend`] if memory cannot be allocated.
    pub fn run(&self, image: &Image, mask: &Image) -> Result<Inpainted, Error> {
        self.run_observed(image, mask, |_| ControlFlow::Continue(()))
    }

    /// As [`run`](Self::run), where `observe` is told of every pass of the first step, and may end
    /// it.
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
        if let Some((first, last)) = self.limits
            && !(first.is_finite() && last > 0.0 && first >= last)
        {
            let found = format!("{first} to {last}");
            return Err(Error::argument("limits", found, "positive, finite and falling"));
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
        let mut patches = Patches::extract(known.image, self.side, 1)?;
        patches.remove_known_means(weights.samples())?;
        let initial = overcomplete_dct(self.side, known.image.channels(), self.atoms)?;
        let budget = FEW.min(initial.atoms()).min(initial.dim());
        let coder = MaskedOmp::new(budget).noise(self.peak / THEIR_PEAK * ACCURACY);
        let learner = MaskedKsvd::new(coder).passes(self.passes);
        let fit = learner.learn_observed(initial, patches.samples(), weights.samples(), observe)?;
        let model = Model::new(fit.dictionary, None, budget, Sign::Signed)?;
        let decoded = model.decode(&fit.codes)?;
        let is_seen = |n: usize| weights.samples().col(n).iter().any(|&w| w > 0.0);
        let weight = |n: usize| if is_seen(n) { 1.0 } else { 0.0 };
        let average = patches.average_weighted(decoded.as_ref(), weight);
        if let Some(at) = average.pixels().iter().position(|pixel| !pixel.is_finite()) {
            let (found, side) = (known.mask.describe(at), self.side);
            let expected = format!("a known pixel in a patch of {side} × {side} around each pixel");
            return Err(Error::argument("mask", found, expected));
        }
        let (usage, l0) = usage_of(&fit.codes);
        let image = known.put_back(average.clamped(0.0, self.peak as f32));
        Ok(Inpainted { image, dictionary: model.dictionary().clone(), usage, l0 })
    }

    /// One round of refinement.
    fn refine(&self, known: &Known<'_>, filled: &mut Inpainted, round: usize) -> Result<(), Error> {
        let mut patches = Patches::extract(&filled.image, self.side, 1)?;
        patches.remove_means();
        let dim = patches.samples().nrows();
        let done = round as f64 / self.rounds.saturating_sub(1).max(1) as f64;
        let unit = self.peak / THEIR_PEAK;
        let (first, last) = self.limits.unwrap_or((LEAST.0 * unit, LEAST.1 * unit));
        let coder = BatchOmp::new().min_correlation(first * (last / first).powf(done));
        let budget = filled.dictionary.atoms().min(dim / 2);
        let learns = (round + 1) * self.epochs / self.rounds > round * self.epochs / self.rounds;
        if learns {
            let count = patches.samples().ncols();
            let learner = DbKsvd::builder(filled.dictionary.atoms(), budget)
                .coder(coder)
                .initialisation(Initialisation::Given(filled.dictionary.clone()))
                .epochs(1)
                .minibatch(count.div_ceil(4))
                .seed(self.seed.wrapping_add(round as u64))
                .build()?;
            filled.dictionary = learner.fit(&patches.samples())?.0.dictionary().clone();
        }
        let model = Model::new(filled.dictionary.clone(), None, budget, Sign::Signed)?;
        let codes = model.encode(&coder, patches.samples())?;
        let decoded = model.decode(&codes)?;
        let weight = |n: usize| 1.0 / (1.0 + codes.support(n).len() as f32);
        let average = patches.average_weighted(decoded.as_ref(), weight);
        filled.image = known.put_back(average.clamped(0.0, self.peak as f32));
        (filled.usage, filled.l0) = usage_of(&codes);
        Ok(())
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
