//! Grey pictures: PNG in and out, arithmetic, mosaics.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use dbksvd::Dictionary;
use dbksvd::source::{NpySource, SampleSource};
use png::{BitDepth, ColorType, Decoder, Encoder, Transformations};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::patches::SIDE;

/// A grey picture: rows from the top, 0 black to 255 white, values in between and beyond allowed.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<f32>,
}

impl Image {
    /// Reads a PNG. Colours become their luma (ITU-R BT.601), transparency is ignored, and 16 bits
    /// are cut to 8.
    pub(crate) fn read(path: &Path) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let named = |error: &dyn Error| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| named(&error))?;
        let mut decoder = Decoder::new(BufReader::new(file));
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let mut reader = decoder.read_info().map_err(|error| named(&error))?;
        let size = reader.output_buffer_size();
        let mut bytes = vec![0; size.ok_or_else(|| format!("{}: too large", path.display()))?];
        let info = reader.next_frame(&mut bytes).map_err(|error| named(&error))?;
        let luma = |rgb: &[u8]| {
            0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2])
        };
        let channels = bytes[..info.buffer_size()].chunks_exact(info.color_type.samples());
        let pixels = match info.color_type {
            ColorType::Rgb | ColorType::Rgba => channels.map(luma).collect(),
            _ => channels.map(|grey| f32::from(grey[0])).collect(),
        };
        Ok(Self { width: info.width as usize, height: info.height as usize, pixels })
    }

    /// Reads a (height, width) array of pixels from a `.npy` file.
    pub(crate) fn read_npy(path: &Path) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let source = NpySource::open(path)?;
        if source.shape().len() != 2 {
            let (path, shape) = (path.display(), source.shape());
            return Err(format!("{path}: shape {shape:?}, expected (height, width)").into());
        }
        let (height, width) =
            (SampleSource::<f32>::len(&source), SampleSource::<f32>::dim(&source));
        let mut pixels = vec![0.0; height * width];
        source.read(0..height, &mut pixels)?;
        if pixels.iter().any(|pixel: &f32| !pixel.is_finite()) {
            return Err(format!("{}: a pixel is not finite", path.display()).into());
        }
        Ok(Self { width, height, pixels })
    }

    /// Writes an 8-bit PNG, rounding and clipping.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
        let named = |error: &dyn Error| format!("{}: {error}", path.display());
        let file = File::create(path).map_err(|error| named(&error))?;
        let (width, height) = (u32::try_from(self.width)?, u32::try_from(self.height)?);
        let mut encoder = Encoder::new(BufWriter::new(file), width, height);
        encoder.set_color(ColorType::Grayscale);
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(|error| named(&error))?;
        // A cast of a float saturates.
        let bytes: Vec<u8> = self.pixels.iter().map(|pixel| pixel.round() as u8).collect();
        writer.write_image_data(&bytes).map_err(|error| named(&error))?;
        Ok(writer.finish().map_err(|error| named(&error))?)
    }

    /// This picture with Gaussian noise of the given standard deviation, the same on all machines.
    pub(crate) fn with_noise(&self, deviation: f64, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut noise = || {
            let gaussian: f64 = StandardNormal.sample(&mut random);
            (deviation * gaussian) as f32
        };
        let pixels = self.pixels.iter().map(|pixel| pixel + noise()).collect();
        Self { pixels, ..*self }
    }

    /// The peak signal-to-noise ratio towards `clean`, 10 log₁₀(255² / mean squared error), in dB.
    pub(crate) fn psnr(&self, clean: &Self) -> f64 {
        let pairs = self.pixels.iter().zip(&clean.pixels);
        let error: f64 = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        10.0 * (255.0_f64.powi(2) * self.pixels.len() as f64 / error).log10()
    }

    /// A picture of one grey.
    fn blank(width: usize, height: usize, grey: f32) -> Self {
        Self { width, height, pixels: vec![grey; width * height] }
    }

    /// Copies `tile`, every pixel enlarged to `scale` × `scale`, to where its corner is (`row`,
    /// `column`).
    fn paste(&mut self, tile: &Self, row: usize, column: usize, scale: usize) {
        for r in 0..tile.height * scale {
            for c in 0..tile.width * scale {
                self.pixels[(row + r) * self.width + column + c] =
                    tile.pixels[r / scale * tile.width + c / scale];
            }
        }
    }
}

/// Pictures of one size, side by side.
pub(crate) fn side_by_side(pictures: &[&Image]) -> Image {
    const GAP: usize = 8;
    let (width, height) = (pictures[0].width, pictures[0].height);
    let mut all = Image::blank(pictures.len() * (width + GAP) - GAP, height, 255.0);
    for (n, picture) in pictures.iter().enumerate() {
        all.paste(picture, 0, n * (width + GAP), 1);
    }
    all
}

/// The atoms as tiles of patches, in the given order, each stretched to the full range of greys.
pub(crate) fn mosaic(dictionary: &Dictionary<f32>, order: &[usize]) -> Image {
    const SCALE: usize = 4;
    const GAP: usize = 2;
    const PITCH: usize = SIDE * SCALE + GAP;
    let across = (1..).find(|side| side * side >= order.len()).unwrap_or(1);
    let down = order.len().div_ceil(across);
    let mut mosaic = Image::blank(across * PITCH + GAP, down * PITCH + GAP, 255.0);
    for (n, &atom) in order.iter().enumerate() {
        let tile = stretched(dictionary.atom(atom));
        mosaic.paste(&tile, n / across * PITCH + GAP, n % across * PITCH + GAP, SCALE);
    }
    mosaic
}

/// An atom from black to white, in the sign that has its strongest pixel white; grey if constant.
fn stretched(atom: &[f32]) -> Image {
    let low = atom.iter().copied().fold(f32::INFINITY, f32::min);
    let high = atom.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = high - low;
    let grey = |&value: &f32| match range > 1e-4 {
        false => 127.0,
        true if high >= -low => 255.0 * (value - low) / range,
        true => 255.0 * (high - value) / range,
    };
    Image { width: SIDE, height: SIDE, pixels: atom.iter().map(grey).collect() }
}
