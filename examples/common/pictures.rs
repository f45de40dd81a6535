//! Pictures in files: PNG in and out, `.npy` arrays, noise, pictures side by side.

#![allow(dead_code, reason = "no example needs all of it")]

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use dbksvd::files::write_atomically;
use dbksvd::patches::Image;
use dbksvd::source::{NpySource, SampleSource};
use png::{BitDepth, ColorType, Decoder, Encoder, Transformations};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::program::Outcome;

/// Pixels between pictures that lie side by side.
const GAP: usize = 8;

/// Reads a PNG, 0 black to 255 white: of one channel if it is grey, of three if it is in colours.
/// Transparency is ignored, and 16 bits are cut to 8.
pub fn read_png(path: &Path) -> Outcome<Image> {
    let named = |error: &dyn Display| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(|error| named(&error))?;
    let mut decoder = Decoder::new(BufReader::new(file));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|error| named(&error))?;
    let size = reader.output_buffer_size();
    let mut bytes = vec![0; size.ok_or_else(|| format!("{}: too large", path.display()))?];
    let info = reader.next_frame(&mut bytes).map_err(|error| named(&error))?;
    let channels = match info.color_type {
        ColorType::Rgb | ColorType::Rgba => 3,
        _ => 1,
    };
    let pixels = bytes[..info.buffer_size()].chunks_exact(info.color_type.samples());
    let pixels = pixels.flat_map(|pixel| pixel[..channels].iter().map(|&byte| f32::from(byte)));
    let (width, height) = (info.width as usize, info.height as usize);
    Ok(Image::new(width, height, channels, pixels.collect())?)
}

/// Reads a picture from an array (height, width), or (height, width, channels), of pixels.
pub fn read_npy(path: &Path) -> Outcome<Image> {
    let source = NpySource::open(path)?;
    let (height, width, channels) = match source.shape()[..] {
        [height, width] => (height, width, 1),
        [height, width, channels] => (height, width, channels),
        _ => {
            let (path, shape) = (path.display(), source.shape());
            return Err(format!("{path}: shape {shape:?}, expected (height, width)").into());
        }
    };
    let mut pixels = vec![0.0; height * width * channels];
    // Rows of grey pixels, or pixels in colours, as samples.
    source.read(0..SampleSource::<f32>::len(&source), &mut pixels)?;
    if pixels.iter().any(|pixel: &f32| !pixel.is_finite()) {
        return Err(format!("{}: a pixel is not finite", path.display()).into());
    }
    Ok(Image::new(width, height, channels, pixels)?)
}

/// Writes an 8-bit PNG of a grey picture or one in colours, rounding and clipping.
pub fn write_png(picture: &Image, path: &Path) -> Outcome<()> {
    let named = |error: &dyn Display| format!("{}: {error}", path.display());
    let mut png = Vec::new();
    let (width, height) = (u32::try_from(picture.width())?, u32::try_from(picture.height())?);
    let mut encoder = Encoder::new(&mut png, width, height);
    encoder.set_color(if picture.channels() == 3 { ColorType::Rgb } else { ColorType::Grayscale });
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| named(&error))?;
    // A cast of a float saturates.
    let bytes: Vec<u8> = picture.pixels().iter().map(|pixel| pixel.round() as u8).collect();
    writer.write_image_data(&bytes).map_err(|error| named(&error))?;
    writer.finish().map_err(|error| named(&error))?;
    Ok(write_atomically(path, |file| file.write_all(&png))?)
}

/// The picture with Gaussian noise of the given standard deviation, the same on all machines.
pub fn with_noise(picture: &Image, deviation: f64, seed: u64) -> Image {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut noisy = picture.clone();
    for pixel in noisy.pixels_mut() {
        let gaussian: f64 = StandardNormal.sample(&mut random);
        *pixel += (deviation * gaussian) as f32;
    }
    noisy
}

/// Pictures of one size, side by side.
pub fn side_by_side(pictures: &[&Image]) -> Outcome<Image> {
    let (height, channels) = (pictures[0].height(), pictures[0].channels());
    let width = pictures.len() * (pictures[0].width() + GAP) - GAP;
    let mut pixels = Vec::with_capacity(width * height * channels);
    for row in 0..height {
        for (n, picture) in pictures.iter().enumerate() {
            let gap = if n > 0 { GAP * channels } else { 0 };
            pixels.extend(std::iter::repeat_n(255.0, gap));
            let across = picture.width() * channels;
            pixels.extend_from_slice(&picture.pixels()[row * across..(row + 1) * across]);
        }
    }
    Ok(Image::new(width, height, channels, pixels)?)
}
