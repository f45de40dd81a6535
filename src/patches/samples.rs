//! An image as overlapping patches, and back.

use faer::{Mat, MatRef};

use super::Image;
use crate::error::Error;
use crate::matrix::{column, zeros};
use crate::source::AsSamples;

/// Patches of an image, a sample each, and where they lie in it.
///
/// A patch of side s has d = s² · channels values, in the order of an image of s × s pixels.
/// Corners lie a stride apart; the last patch of a row, and the last row of patches, end with the
/// image, so every pixel is in some patch.
///
/// ```
/// use dbksvd::patches::{Image, Patches};
///
/// let image = Image::new(9, 8, 1, (0..72).map(|i| (i % 7) as f32).collect())?;
/// let mut patches = Patches::extract(&image, 4, 2)?;
/// assert_eq!(patches.samples().shape(), (16, 4 * 3)); // corners at 0, 2, 4, 5 and 0, 2, 4
/// patches.remove_means();
/// assert!(patches.samples().col(0).iter().sum::<f32>().abs() < 1e-5);
/// // Whatever is made of the patches, means are given back. Here: nothing.
/// let again = patches.average(patches.samples())?;
/// assert!(again.psnr(&image, 7.0)? > 120.0);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Patches {
    samples: Mat<f32>,
    /// What was taken out of patches, a column each with a value for each channel.
    means: Mat<f32>,
    layout: Layout,
}

/// Where patches lie.
#[derive(Clone, Debug)]
struct Layout {
    width: usize,
    height: usize,
    channels: usize,
    side: usize,
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Layout {
    /// Where the values of patch `n` lie in the buffer of the image, in order.
    fn places(&self, n: usize) -> impl Iterator<Item = usize> + use<> {
        let (row, column) =
            (self.rows[n / self.columns.len()], self.columns[n % self.columns.len()]);
        let (width, channels, side) = (self.width, self.channels, self.side);
        (0..side).flat_map(move |r| {
            let start = ((row + r) * width + column) * channels;
            start..start + side * channels
        })
    }

    fn patches(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// 0, stride, 2 · stride, …, and the last that is possible.
fn corners(length: usize, side: usize, stride: usize) -> Vec<usize> {
    let last = length - side;
    let before_last = (0..last).step_by(stride);
    before_last.chain(std::iter::once(last)).collect()
}

impl Patches {
    /// The patches of `side` × `side` pixels whose corners lie `stride` pixels apart, as they are.
    /// A stride of 1 gives all patches there are. Values need not be finite.
    ///
    /// # Errors
    /// [`Error::Argument`] for a side of 0 or beyond that of the image, and for a stride of 0 or
    /// beyond `side`, which would leave pixels out; [`Error::Backend`] if memory cannot be
    /// allocated.
    pub fn extract(image: &Image, side: usize, stride: usize) -> Result<Self, Error> {
        let most = image.width().min(image.height());
        if side == 0 || side > most {
            let (width, height) = (image.width(), image.height());
            let expected = format!("1 to {most}, for an image of {width} × {height} pixels");
            return Err(Error::argument("side", side, expected));
        }
        if stride == 0 || stride > side {
            let expected = format!("1 to {side}, the side of a patch");
            return Err(Error::argument("stride", stride, expected));
        }
        let layout = Layout {
            width: image.width(),
            height: image.height(),
            channels: image.channels(),
            side,
            rows: corners(image.height(), side, stride),
            columns: corners(image.width(), side, stride),
        };
        let count = layout.patches();
        let mut samples = zeros(side * side * image.channels(), count)?;
        for n in 0..count {
            let patch = samples.col_as_slice_mut(n);
            for (value, at) in patch.iter_mut().zip(layout.places(n)) {
                *value = image.pixels()[at];
            }
        }
        let means = zeros(image.channels(), count)?;
        Ok(Self { samples, means, layout })
    }

    /// Takes its mean out of every channel of every patch, and remembers it. Of a channel that is
    /// constant in a patch, zeros are left.
    pub fn remove_means(&mut self) {
        let channels = self.layout.channels;
        for n in 0..self.samples.ncols() {
            let patch = self.samples.col_as_slice_mut(n);
            for c in 0..channels {
                // In double precision, the sum of equal values is exact, and so is their mean.
                let values = patch.iter().skip(c).step_by(channels).map(|&value| f64::from(value));
                let mean = (values.sum::<f64>() / (patch.len() / channels) as f64) as f32;
                patch.iter_mut().skip(c).step_by(channels).for_each(|value| *value -= mean);
                self.means[(c, n)] += mean;
            }
        }
    }

    /// As [`remove_means`](Self::remove_means) for patches of which pixels are missing: takes Σ w y
    /// / Σ w over the values y of a channel out of all of them, or that of all channels where all
    /// weights of this one are 0, or nothing where all of them are. `weights` are d × N, from 0,
    /// for a value that is missing and may be anything, to 1.
    ///
    /// # Errors
    /// [`Error::Argument`] for weights of another shape than the patches ([`Error::Source`] for a
    /// slice), and for one outside 0 to 1; the patches are then as they were.
    pub fn remove_known_means(&mut self, weights: impl AsSamples<f32>) -> Result<(), Error> {
        let weights = weights.as_samples(self.samples.nrows())?;
        if weights.shape() != self.samples.shape() {
            let text = |(rows, columns): (usize, usize)| format!("{rows} × {columns}");
            let (found, expected) = (text(weights.shape()), text(self.samples.shape()));
            return Err(Error::argument("weights", found, expected));
        }
        for n in 0..weights.ncols() {
            let mut weights = weights.col(n).iter().enumerate();
            if let Some((at, weight)) = weights.find(|(_, weight)| !(0.0..=1.0).contains(*weight)) {
                let found = format!("{weight} for coordinate {at} of patch {n}");
                return Err(Error::argument("weights", found, "0 to 1"));
            }
        }
        let channels = self.layout.channels;
        for n in 0..self.samples.ncols() {
            let weights = weights.col(n);
            let patch = self.samples.col_as_slice_mut(n);
            // Of the channels from `first` on, `step` apart.
            let mean = |patch: &[f32], first: usize, step: usize| {
                let known = (first..patch.len()).step_by(step).filter(|&i| weights[i] > 0.0);
                let (sum, total) = known.fold((0.0_f64, 0.0_f64), |(sum, total), i| {
                    let weight = f64::from(weights[i]);
                    (sum + weight * f64::from(patch[i]), total + weight)
                });
                (total > 0.0).then(|| (sum / total) as f32)
            };
            let of_all = mean(patch, 0, 1).unwrap_or(0.0);
            let means: Vec<f32> =
                (0..channels).map(|c| mean(patch, c, channels).unwrap_or(of_all)).collect();
            for (value, mean) in patch.iter_mut().zip(means.iter().cycle()) {
                *value -= mean;
            }
            for (into, mean) in self.means.col_as_slice_mut(n).iter_mut().zip(&means) {
                *into += mean;
            }
        }
        Ok(())
    }

    /// The patches (d × N, a column each), without what was taken out of them.
    #[must_use]
    pub fn samples(&self) -> MatRef<'_, f32> {
        self.samples.as_ref()
    }

    /// The means that were taken out (channels × N).
    #[must_use]
    pub fn means(&self) -> MatRef<'_, f32> {
        self.means.as_ref()
    }

    /// The image whose pixels are the means of all patches that cover them. `patches` are d × N, in
    /// the order of [`samples`](Self::samples), and what was taken out is added to them.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of patches, [`Error::Dimension`] for patches of
    /// another size, [`Error::Source`] for a slice that does not hold a whole number of them.
    pub fn average(&self, patches: impl AsSamples<f32>) -> Result<Image, Error> {
        let Layout { width, height, channels, .. } = self.layout;
        let nothing = Image::filled(width, height, channels, 0.0);
        self.average_with(patches, &nothing, 0.0)
    }

    /// As [`average`](Self::average), where the pixel of `image` counts for `weight` more patches:
    /// the image x that minimises weight · ‖x − image‖² + Σ ‖(patch of x) − patch‖². With a weight
    /// of 0, `image` may hold anything, such as NaN.
    ///
    /// # Errors
    /// Those of [`average`](Self::average), and [`Error::Argument`] for an image of another size,
    /// or a weight that is negative or not finite.
    pub fn average_with(
        &self,
        patches: impl AsSamples<f32>,
        image: &Image,
        weight: f64,
    ) -> Result<Image, Error> {
        let patches = patches.as_samples(self.samples.nrows())?;
        let Layout { width, height, channels, .. } = self.layout;
        let (dim, count) = self.samples.shape();
        if patches.nrows() != dim {
            let found = patches.nrows();
            return Err(Error::Dimension { argument: "patches", found, expected: dim });
        }
        if patches.ncols() != count {
            let found = format!("{} patches", patches.ncols());
            return Err(Error::argument("patches", found, format!("{count}, as were extracted")));
        }
        Image::filled(width, height, channels, 0.0).check_size("image", image)?;
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(Error::argument("weight", weight, "finite and at least 0"));
        }
        let (sums, counts) = self.gather(patches, |_| 1.0);
        let mut average = Image::filled(width, height, channels, 0.0);
        let places = average.pixels_mut().iter_mut().zip(image.pixels());
        for ((into, &pixel), (sum, count)) in places.zip(sums.into_iter().zip(counts)) {
            // (w y + Σ) / (w + n), so that no product overflows, whatever the weight.
            *into = if weight > 0.0 {
                let pixel = f64::from(pixel);
                (pixel + (sum - count * pixel) / (weight + count)) as f32
            } else {
                (sum / count) as f32
            };
        }
        Ok(average)
    }

    /// The image whose pixels are the weighted means of the patches that cover them; NaN where all
    /// of them weigh nothing. Of patches as many and as large as these.
    pub(super) fn average_weighted(
        &self,
        patches: MatRef<'_, f32>,
        weight: impl Fn(usize) -> f64,
    ) -> Image {
        let Layout { width, height, channels, .. } = self.layout;
        let (sums, weights) = self.gather(patches, weight);
        let mut average = Image::filled(width, height, channels, 0.0);
        let places = average.pixels_mut().iter_mut();
        for ((into, sum), weight) in places.zip(sums).zip(weights) {
            *into = (sum / weight) as f32;
        }
        average
    }

    /// The first value of the image's buffer that is in none of the patches chosen.
    pub(super) fn first_outside(&self, is_chosen: impl Fn(usize) -> bool) -> Option<usize> {
        let Layout { width, height, channels, .. } = self.layout;
        let mut is_inside = vec![false; width * height * channels];
        for n in (0..self.layout.patches()).filter(|&n| is_chosen(n)) {
            self.layout.places(n).for_each(|at| is_inside[at] = true);
        }
        is_inside.iter().position(|is_inside| !is_inside)
    }

    /// In each place of the image, Σ w (patch + mean) over the patches that cover it, and Σ w.
    fn gather(
        &self,
        patches: MatRef<'_, f32>,
        weight: impl Fn(usize) -> f64,
    ) -> (Vec<f64>, Vec<f64>) {
        let Layout { width, height, channels, .. } = self.layout;
        let size = width * height * channels;
        let (mut sums, mut weights) = (vec![0.0; size], vec![0.0; size]);
        for n in 0..patches.ncols() {
            let weight = weight(n);
            let means = column(self.means.as_ref(), n).iter().cycle();
            let values = patches.col(n).iter().zip(means);
            for ((&value, &mean), at) in values.zip(self.layout.places(n)) {
                sums[at] += weight * (f64::from(value) + f64::from(mean));
                weights[at] += weight;
            }
        }
        (sums, weights)
    }
}
