//! A picture as all its overlapping patches, and back.

use dbksvd::faer::{Mat, MatRef};

use crate::image::Image;

/// The side of a patch, in pixels.
pub(crate) const SIDE: usize = 8;

/// All patches of a picture, a column each, without their means.
pub(crate) struct Patches {
    /// (SIDE²) × N, the patch whose corner is (row, column) at row · (width − SIDE + 1) + column.
    pub(crate) samples: Mat<f32>,
    means: Vec<f32>,
    /// Positions of patches in a row of the picture.
    across: usize,
}

impl Patches {
    /// The patches of a picture at least [`SIDE`] wide and high.
    pub(crate) fn extract(image: &Image) -> Self {
        let (across, down) = (image.width - SIDE + 1, image.height - SIDE + 1);
        let mut samples = Mat::zeros(SIDE * SIDE, across * down);
        let mut means = Vec::with_capacity(across * down);
        for n in 0..across * down {
            let patch = samples.col_as_slice_mut(n);
            for (pixel, at) in patch.iter_mut().zip(pixels(n, across, image.width)) {
                *pixel = image.pixels[at];
            }
            let mean = patch.iter().sum::<f32>() / patch.len() as f32;
            patch.iter_mut().for_each(|pixel| *pixel -= mean);
            means.push(mean);
        }
        Self { samples, means, across }
    }

    /// The picture that minimises λ ‖x − noisy‖² + Σ ‖patch of x − decoded patch‖²: every pixel is
    /// the mean of the patches that cover it, and of `weight` = λ times the noisy pixel.
    pub(crate) fn average(&self, decoded: MatRef<'_, f32>, noisy: &Image, weight: f32) -> Image {
        let mut sums: Vec<f32> = noisy.pixels.iter().map(|pixel| weight * pixel).collect();
        let mut weights = vec![weight; sums.len()];
        for (n, &mean) in self.means.iter().enumerate() {
            let patch = decoded.col(n).iter();
            for (value, at) in patch.zip(pixels(n, self.across, noisy.width)) {
                sums[at] += value + mean;
                weights[at] += 1.0;
            }
        }
        let pixels = sums.iter().zip(weights).map(|(sum, n)| (sum / n).clamp(0.0, 255.0)).collect();
        Image { pixels, ..*noisy }
    }
}

/// Where the pixels of patch `n` lie in a picture of the given width, row by row.
fn pixels(n: usize, across: usize, width: usize) -> impl Iterator<Item = usize> {
    let corner = n / across * width + n % across;
    (0..SIDE * SIDE).map(move |i| corner + i / SIDE * width + i % SIDE)
}
