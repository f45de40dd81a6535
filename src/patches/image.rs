//! Pixels in a buffer.

use crate::error::Error;

/// An image: rows from the top, pixels from the left, the channels of a pixel side by side. One
/// channel is grey, three are colours.
///
/// Values have any unit. Where one matters (a peak, the noise), the functions here take 0 to 255
/// unless they are told otherwise; values between and beyond are allowed.
///
/// ```
/// use dbksvd::patches::Image;
///
/// let grey = Image::new(4, 2, 1, (0..8).map(|i| 30.0 * i as f32).collect())?;
/// assert_eq!((grey.width(), grey.height(), grey.channels()), (4, 2, 1));
/// assert_eq!(grey.pixels()[4], 120.0); // the first pixel of the second row
/// let darker = Image::new(4, 2, 1, grey.pixels().iter().map(|grey| grey - 2.55).collect())?;
/// assert!((darker.psnr(&grey, 255.0)? - 40.0).abs() < 1e-4); // in dB
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<f32>,
}

impl Image {
    /// An image of these pixels.
    ///
    /// # Errors
    /// [`Error::Argument`] if a size is 0, or if there are not width × height × channels values.
    pub fn new(
        width: usize,
        height: usize,
        channels: usize,
        pixels: Vec<f32>,
    ) -> Result<Self, Error> {
        for (argument, size) in [("width", width), ("height", height), ("channels", channels)] {
            if size == 0 {
                return Err(Error::argument(argument, size, "at least 1"));
            }
        }
        let expected = width.checked_mul(height).and_then(|count| count.checked_mul(channels));
        if expected != Some(pixels.len()) {
            let expected = format!("{width} × {height} × {channels}");
            let found = format!("{} values", pixels.len());
            return Err(Error::argument("pixels", found, expected));
        }
        Ok(Self { width, height, channels, pixels })
    }

    /// An image of one value.
    pub(super) fn filled(width: usize, height: usize, channels: usize, value: f32) -> Self {
        Self { width, height, channels, pixels: vec![value; width * height * channels] }
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Values of a pixel.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All values: channel c of the pixel in `row` and `column` at (row · width + column) ·
    /// channels + c.
    #[must_use]
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// The values, to be changed.
    pub fn pixels_mut(&mut self) -> &mut [f32] {
        &mut self.pixels
    }

    /// Takes the buffer out of the image.
    #[must_use]
    pub fn into_pixels(self) -> Vec<f32> {
        self.pixels
    }

    /// The same image with values below `low` and above `high` brought there; NaN becomes `low`.
    #[must_use]
    pub fn clamped(mut self, low: f32, high: f32) -> Self {
        self.pixels.iter_mut().for_each(|pixel| *pixel = pixel.max(low).min(high));
        self
    }

    /// The peak signal-to-noise ratio towards `clean`, 10 log₁₀(peak² / mean squared error), in dB;
    /// infinite for equal images.
    ///
    /// # Errors
    /// [`Error::Argument`] for an image of another size, or a peak that is not positive and finite.
    pub fn psnr(&self, clean: &Self, peak: f64) -> Result<f64, Error> {
        self.check_size("clean", clean)?;
        if !(peak.is_finite() && peak > 0.0) {
            return Err(Error::argument("peak", peak, "positive and finite"));
        }
        let pairs = self.pixels.iter().zip(&clean.pixels);
        let error: f64 = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        Ok(10.0 * (peak.powi(2) * self.pixels.len() as f64 / error).log10())
    }

    /// Refuses another image of another size.
    pub(super) fn check_size(&self, argument: &'static str, other: &Self) -> Result<(), Error> {
        let size = |image: &Self| (image.width, image.height, image.channels);
        if size(self) == size(other) {
            return Ok(());
        }
        let text =
            |image: &Self| format!("{} × {} × {}", image.width, image.height, image.channels);
        Err(Error::argument(argument, text(other), text(self)))
    }

    /// Refuses values that are not finite.
    pub(super) fn check_finite(&self) -> Result<(), Error> {
        match self.pixels.iter().position(|pixel| !pixel.is_finite()) {
            None => Ok(()),
            Some(at) => Err(Error::argument("image", self.describe(at), "finite values")),
        }
    }

    /// The value at a place of the buffer, and where that is.
    pub(super) fn describe(&self, at: usize) -> String {
        let (pixel, channel) = (at / self.channels, at % self.channels);
        let (row, column) = (pixel / self.width, pixel % self.width);
        format!("{} in row {row}, column {column}, channel {channel}", self.pixels[at])
    }

    /// Copies `tile`, every pixel enlarged to `scale` × `scale`, to where its corner is (`row`,
    /// `column`).
    pub(super) fn paste(&mut self, tile: &Self, row: usize, column: usize, scale: usize) {
        let channels = self.channels;
        for r in 0..tile.height * scale {
            for c in 0..tile.width * scale {
                let from = (r / scale * tile.width + c / scale) * channels;
                let to = ((row + r) * self.width + column + c) * channels;
                self.pixels[to..to + channels].copy_from_slice(&tile.pixels[from..from + channels]);
            }
        }
    }
}
