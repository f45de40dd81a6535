//! Patches of images and back, cosines, mosaics, and what is made of them.

mod denoising;
mod inpainting;

use dbksvd::Dictionary;
use dbksvd::faer::Mat;
use dbksvd::patches::{Denoising, Image, Inpainting, Patches, mosaic, overcomplete_dct};
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
fn any_weight_draws_towards_the_image() {
    let image = random_image(8, 8, 1, 2);
    let patches = Patches::extract(&image, 4, 2).unwrap();
    let black = Mat::<f32>::zeros(16, 9);
    for weight in [1e36, 1e300, f64::MAX] {
        assert_eq!(patches.average_with(black.as_ref(), &image, weight).unwrap(), image);
    }
    // An image that does not count may hold anything.
    let mut broken = image.clone();
    broken.pixels_mut()[9] = f32::NAN;
    let mixed = patches.average_with(patches.samples(), &broken, 0.0).unwrap();
    assert_eq!(mixed, image);
}

#[test]
fn nothing_is_left_of_constant_patches() {
    // 0.1 is no binary fraction: sums of it round in single precision.
    for (side, channels) in [(8, 1), (7, 3)] {
        let values = [0.1, -0.7, 1e-3].into_iter().take(channels).cycle();
        let image = Image::new(9, 8, channels, values.take(72 * channels).collect()).unwrap();
        let mut patches = Patches::extract(&image, side, 1).unwrap();
        patches.remove_means();
        assert!(patches.samples().norm_max() == 0.0, "{channels} channels");
        assert_eq!(patches.average(patches.samples()).unwrap(), image);

        let mut known = Patches::extract(&image, side, 1).unwrap();
        let (dim, count) = known.samples().shape();
        let weights = Mat::from_fn(dim, count, |i, j| ((i * 7 + j) % 11) as f32 / 11.0);
        known.remove_known_means(weights.as_ref()).unwrap();
        assert!(known.samples().norm_max() == 0.0, "{channels} channels");
    }
}

#[test]
fn known_means_are_weighted() {
    // Two channels: of the first, 2 counts three times as much as 6; of the second, none is known.
    let image = Image::new(2, 1, 2, vec![2.0, f32::NAN, 6.0, f32::NAN]).unwrap();
    let mut patches = Patches::extract(&image, 1, 1).unwrap();
    let weights = dbksvd::faer::mat![[0.75_f32, 0.25], [0.0, 0.0]];
    patches.remove_known_means(weights.as_ref()).unwrap();
    // A patch of one pixel is its own mean.
    assert_eq!((patches.means()[(0, 0)], patches.means()[(1, 1)]), (2.0, 6.0));

    let image = Image::new(2, 2, 1, vec![2.0, 6.0, f32::NAN, f32::NAN]).unwrap();
    let mut patches = Patches::extract(&image, 2, 1).unwrap();
    let weights = dbksvd::faer::mat![[0.75_f32], [0.25], [0.0], [0.0]];
    patches.remove_known_means(weights.as_ref()).unwrap();
    assert_eq!(patches.means()[(0, 0)], 3.0);
    assert_eq!((patches.samples()[(0, 0)], patches.samples()[(1, 0)]), (-1.0, 3.0));
}

#[test]
fn cosines_differ_from_a_side_of_three_on() {
    let different = |side: usize| {
        let dictionary = overcomplete_dct(side, 1, 64).unwrap();
        let is_new = |&j: &usize| {
            let product = |i: usize| {
                let pairs = dictionary.atom(i).iter().zip(dictionary.atom(j));
                pairs.map(|(a, b)| f64::from(a * b)).sum::<f64>()
            };
            (0..j).all(|i| product(i).abs() < 1.0 - 1e-6)
        };
        (0..64).filter(is_new).count()
    };
    assert_eq!([2, 3, 4].map(different), [4, 64, 64]);
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

/// From −1, black, to 4, white: 0.25 lies a quarter of the way.
#[test]
fn the_strongest_value_of_a_tile_is_white_in_either_sign() {
    for sign in [1.0, -1.0] {
        let atom = Mat::from_fn(4, 1, |i, _| sign * [4.0_f64, -1.0, 0.25, 0.25][i]);
        let dictionary = Dictionary::normalized(atom).unwrap();
        let pixels = mosaic(&dictionary, &[0], 1, 1).unwrap().into_pixels();
        assert_eq!(pixels.len(), 6 * 6);
        for (at, expected) in [(14, 255.0), (15, 0.0), (20, 63.75), (21, 63.75)] {
            assert!((pixels[at] - expected).abs() < 1e-3, "{pixels:?}");
        }
    }
}

#[test]
fn the_default_way_to_inpaint_is_the_documented_one() {
    assert_eq!(format!("{:?}", Inpainting::default()), format!("{:?}", Inpainting::new()));
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
