//! Patches of images and back, cosines, mosaics, and what is made of them.

use std::ops::ControlFlow;

use dbksvd::faer::Mat;
use dbksvd::learn::Progress;
use dbksvd::patches::{
    Denoising, Image, Inpainting, Patches, denoise, inpaint, mosaic, overcomplete_dct,
};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::support::on_threads;

/// Values without a pattern.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| StandardNormal.sample(&mut random)).collect()
}

fn random_image(width: usize, height: usize, channels: usize, seed: u64) -> Image {
    let pixels = noise(width * height * channels, seed);
    let pixels = pixels.into_iter().map(|x| 128.0 + 40.0 * x).collect();
    Image::new(width, height, channels, pixels).unwrap()
}

/// Edges, a ramp, and colours that differ between the channels.
fn scene(width: usize, height: usize, channels: usize) -> Image {
    let mut pixels = Vec::new();
    for row in 0..height {
        for column in 0..width {
            for channel in 0..channels {
                let edge = if row > column { 190.0 } else { 40.0 + 2.0 * column as f32 };
                let stripes = if (row + 2 * column) / 6 % 2 == channel % 2 { 30.0 } else { 0.0 };
                pixels.push(edge + stripes - 12.0 * channel as f32);
            }
        }
    }
    Image::new(width, height, channels, pixels).unwrap()
}

fn with_noise(image: &Image, sigma: f32, seed: u64) -> Image {
    let mut noisy = image.clone();
    let noise = noise(image.pixels().len(), seed);
    noisy.pixels_mut().iter_mut().zip(noise).for_each(|(pixel, x)| *pixel += sigma * x);
    noisy
}

/// The image with all but every `nth` pixel missing, and which are there.
fn holes(image: &Image, nth: usize) -> (Image, Image) {
    let (width, height, channels) = (image.width(), image.height(), image.channels());
    let order = noise(width * height, 77);
    let mask: Vec<f32> = order
        .iter()
        .map(|x| f32::from(u8::from((x.to_bits() as usize).is_multiple_of(nth))))
        .collect();
    let mut holes = image.clone();
    for (pixel, known) in holes.pixels_mut().chunks_exact_mut(channels).zip(&mask) {
        if *known == 0.0 {
            pixel.fill(f32::NAN);
        }
    }
    (holes, Image::new(width, height, 1, mask).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn patches_average_to_their_image(
        (width, height) in (3..20_usize, 3..20_usize),
        channels in 1..4_usize,
        (side, stride) in (1..8_usize, 1..8_usize),
        has_means: bool,
    ) {
        let side = side.min(width).min(height);
        let image = random_image(width, height, channels, 5);
        let mut patches = Patches::extract(&image, side, stride.min(side)).unwrap();
        if has_means {
            patches.remove_means();
            let count = (side * side) as f32;
            for n in 0..patches.samples().ncols() {
                for c in 0..channels {
                    let patch = patches.samples().col(n);
                    let sum: f32 = (0..side * side).map(|i| patch[i * channels + c]).sum();
                    prop_assert!(sum.abs() < 1e-3 * count);
                }
            }
        }
        let again = patches.average(patches.samples()).unwrap();
        for (a, b) in again.pixels().iter().zip(image.pixels()) {
            prop_assert!((a - b).abs() < 1e-3, "{a}, not {b}");
        }
    }

    #[test]
    fn known_means_are_those_of_known_pixels(seed in 0..50_u64, channels in 1..4_usize) {
        let image = random_image(9, 7, channels, seed);
        let (holes, mask) = holes(&image, 3);
        let full: Vec<f32> =
            mask.pixels().iter().flat_map(|&w| vec![w; channels]).collect();
        let mask = Image::new(9, 7, channels, full).unwrap();
        let weights = Patches::extract(&mask, 4, 2).unwrap();
        let mut patches = Patches::extract(&holes, 4, 2).unwrap();
        patches.remove_known_means(weights.samples()).unwrap();
        for n in 0..patches.samples().ncols() {
            for c in 0..channels {
                let places = (0..16).map(|i| i * channels + c);
                let known: Vec<f32> = places
                    .filter(|&i| weights.samples()[(i, n)] > 0.0)
                    .map(|i| patches.samples()[(i, n)])
                    .collect();
                prop_assert!(known.iter().sum::<f32>().abs() < 1e-2, "{known:?}");
            }
        }
    }
}

#[test]
fn patches_lie_where_they_are_said_to() {
    let image = random_image(7, 6, 3, 1);
    let patches = Patches::extract(&image, 3, 2).unwrap();
    // Corners at 0, 2, 4 across, and 0, 2, 3 down.
    assert_eq!(patches.samples().shape(), (27, 9));
    let patch = patches.samples().col(7);
    for (r, c, channel) in [(0, 0, 0), (1, 2, 1), (2, 1, 2)] {
        let pixel = image.pixels()[((3 + r) * 7 + 2 + c) * 3 + channel];
        assert_eq!(patch[(r * 3 + c) * 3 + channel], pixel);
    }
}

#[test]
fn the_weight_draws_towards_the_image() {
    let image = random_image(8, 8, 1, 2);
    let patches = Patches::extract(&image, 4, 4).unwrap();
    let black = Mat::<f32>::zeros(16, 4);
    let mixed = patches.average_with(black.as_ref(), &image, 3.0).unwrap();
    for (a, b) in mixed.pixels().iter().zip(image.pixels()) {
        assert!((a - 0.75 * b).abs() < 1e-3, "{a}, not three quarters of {b}");
    }
}

#[test]
fn cosines_are_those_of_the_paper() {
    let dictionary = overcomplete_dct(8, 1, 256).unwrap();
    // Atom (0, 1): constant down, cos(π i / 16) across, less its mean.
    let across: Vec<f64> =
        (0..8).map(|i| (std::f64::consts::PI * f64::from(i) / 16.0).cos()).collect();
    let mean = across.iter().sum::<f64>() / 8.0;
    let norm = (8.0 * across.iter().map(|x| (x - mean).powi(2)).sum::<f64>()).sqrt();
    for (i, value) in dictionary.atom(1).iter().enumerate() {
        let expected = (across[i % 8] - mean) / norm;
        assert!((f64::from(*value) - expected).abs() < 1e-6);
    }
    // All atoms but the constant ones have no mean, whatever the channels.
    for channels in [1, 2, 3] {
        let dictionary = overcomplete_dct(6, channels, 90).unwrap();
        assert_eq!((dictionary.dim(), dictionary.atoms()), (36 * channels, 90));
        let constant = (0..90)
            .filter(|&j| {
                let sums = (0..channels)
                    .map(|c| dictionary.atom(j).iter().skip(c).step_by(channels).sum::<f32>());
                sums.map(f32::abs).sum::<f32>() > 1e-4
            })
            .count();
        assert_eq!(constant, channels);
    }
}

#[test]
fn a_mosaic_has_a_tile_for_each_atom() {
    let dictionary = overcomplete_dct(4, 3, 24).unwrap();
    let picture = mosaic(&dictionary, &[5, 0, 7], 3, 2).unwrap();
    assert_eq!((picture.width(), picture.height(), picture.channels()), (22, 22, 3));
    let tile = |row: usize, column: usize| {
        let inside = (0..8).flat_map(move |r| (0..24).map(move |c| (r, c)));
        let at = move |(r, c): (usize, usize)| ((2 + 10 * row + r) * 22 + 2 + 10 * column) * 3 + c;
        inside.map(at).map(|at| picture.pixels()[at]).collect::<Vec<_>>()
    };
    let range = |values: &[f32]| {
        values.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)))
    };
    for filled in [tile(0, 0), tile(1, 0)] {
        let (low, high) = range(&filled);
        assert!(low.abs() < 1e-3 && (high - 255.0).abs() < 1e-3, "from black to white");
    }
    assert!(tile(0, 1).iter().all(|&x| x == 127.0), "a constant atom is grey");
    assert!(tile(1, 1).iter().all(|&x| x == 255.0), "no fourth atom");
}

#[test]
fn noise_is_taken_off_grey_and_colours() {
    for channels in [1, 3] {
        let clean = scene(40, 36, channels);
        let noisy = with_noise(&clean, 20.0, 3);
        let (before, restored) =
            (noisy.psnr(&clean, 255.0).unwrap(), denoise(&noisy, 20.0).unwrap());
        let after = restored.psnr(&clean, 255.0).unwrap();
        assert!(after > before + 6.0, "{channels} channels: {after:.2} dB, from {before:.2}");
        // Colours do not fade: each channel keeps its mean.
        for c in 0..channels {
            let mean = |image: &Image| {
                image.pixels().iter().skip(c).step_by(channels).sum::<f32>() / (40.0 * 36.0)
            };
            assert!((mean(&restored) - mean(&noisy)).abs() < 1.0);
        }
    }
}

#[test]
fn the_unit_of_pixels_is_the_callers() {
    let clean = scene(24, 24, 1);
    let noisy = with_noise(&clean, 20.0, 4);
    let small: Vec<f32> = noisy.pixels().iter().map(|pixel| pixel / 256.0).collect();
    let small = Image::new(24, 24, 1, small).unwrap();
    let of = |sigma: f64, peak: f64, image: &Image| {
        Denoising::new(sigma).peak(peak).atoms(64).epochs(2).run(image).unwrap().image
    };
    let (large, small) = (of(20.0, 255.0, &noisy), of(20.0 / 256.0, 255.0 / 256.0, &small));
    for (a, b) in large.pixels().iter().zip(small.pixels()) {
        assert!((a - 256.0 * b).abs() < 1e-2, "{a}, not {}", 256.0 * b);
    }
}

#[test]
fn images_without_structure_come_back() {
    for value in [0.0, 90.0] {
        let flat = Image::new(16, 12, 1, vec![value; 192]).unwrap();
        let restored = denoise(&flat, 10.0).unwrap();
        assert!(restored.pixels().iter().all(|pixel| (pixel - value).abs() < 1e-3));
    }
}

#[test]
fn an_observer_ends_learning() {
    let noisy = with_noise(&scene(24, 24, 1), 20.0, 5);
    let mut steps = 0;
    let mut observer = |_: &Progress| {
        steps += 1;
        ControlFlow::Break(())
    };
    let denoising = Denoising::new(20.0).atoms(64);
    let restored = denoising.run_observed(&noisy, &mut observer).unwrap();
    assert_eq!(restored.usage.iter().sum::<usize>() as f64 / (17.0 * 17.0), restored.l0);
    assert_eq!(restored.by_usage().len(), 64);
    assert_eq!(steps, 1);
}

#[test]
fn holes_are_filled_in_grey_and_colours() {
    for channels in [1, 3] {
        let whole = scene(36, 32, channels);
        let (holes, mask) = holes(&whole, 2);
        let restored = inpaint(&holes, &mask).unwrap();
        let psnr = restored.psnr(&whole, 255.0).unwrap();
        assert!(psnr > 25.0, "{channels} channels: {psnr:.2} dB");
        let kept = holes.pixels().iter().zip(restored.pixels()).filter(|(y, _)| !y.is_nan());
        assert!(kept.clone().count() > 100 && kept.clone().all(|(y, x)| y == x));
        assert!(restored.pixels().iter().all(|pixel| pixel.is_finite()));
    }
}

#[test]
fn restored_images_have_the_same_bits_on_any_number_of_threads() {
    let whole = scene(24, 20, 3);
    let noisy = with_noise(&whole, 20.0, 6);
    let (holes, mask) = holes(&whole, 2);
    let both = || {
        let denoised = Denoising::new(20.0).atoms(60).epochs(2).run(&noisy).unwrap();
        let filled = Inpainting::new().atoms(60).passes(2).run(&holes, &mask).unwrap();
        (denoised.image, denoised.dictionary, filled.image, filled.dictionary)
    };
    let expected = on_threads(1, both);
    for threads in [2, 3] {
        assert!(on_threads(threads, both) == expected, "{threads} threads");
    }
}
