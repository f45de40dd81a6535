//! Denoising: what it restores, and what each of its parameters does.

use std::ops::ControlFlow;

use dbksvd::learn::Progress;
use dbksvd::patches::{Denoised, Denoising, Image, denoise, overcomplete_dct};

use super::{scene, with_noise};

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
fn flat_images_come_back_to_the_bit() {
    // 0.1 is no binary fraction: rounding is not to be taken for structure.
    let flat = Image::new(16, 12, 1, vec![0.1; 192]).unwrap();
    let restored = Denoising::new(1e-6).peak(1.0).atoms(16).run(&flat).unwrap();
    assert_eq!((&restored.image, restored.l0), (&flat, 0.0));
    assert!(restored.dictionary == overcomplete_dct(8, 1, 16).unwrap());
}

/// A noisy image with cosines, of which it takes little time.
fn by_cosines(channels: usize, denoising: Denoising) -> (Image, Denoised) {
    let noisy = with_noise(&scene(24, 20, channels), 20.0, 8);
    let cosines = overcomplete_dct(8, channels, 90).unwrap();
    let denoised = denoising.with_dictionary(&noisy, &cosines).unwrap();
    (noisy, denoised)
}

#[test]
fn the_least_and_the_largest_noise() {
    for sigma in [f64::from_bits(1), f64::MIN_POSITIVE, 1e-38, 1e-36] {
        let (noisy, denoised) = by_cosines(1, Denoising::new(sigma));
        assert_eq!(denoised.image, noisy.clamped(0.0, 255.0), "{sigma}");
    }
    let (_, denoised) = by_cosines(1, Denoising::new(f64::MAX));
    assert_eq!(denoised.l0, 0.0, "all of it is noise");
}

#[test]
fn the_weight_draws_towards_the_noisy_image() {
    let far = |denoising: Denoising| {
        let (noisy, denoised) = by_cosines(1, denoising);
        let pairs = noisy.pixels().iter().zip(denoised.image.pixels());
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
    };
    let of = |weight: f64| far(Denoising::new(20.0).weight(weight));
    assert!(of(0.0) > 1.02 * of(1.5), "{} {}", of(0.0), of(1.5));
    assert!(of(1.5) > 2.0 * of(60.0));
    assert_eq!(of(1.5), far(Denoising::new(20.0)), "30/σ");
}

#[test]
fn the_stride_leaves_patches_out() {
    for (stride, patches) in [(1, 17.0 * 13.0), (3, 7.0 * 5.0), (8, 3.0 * 3.0)] {
        let (_, denoised) = by_cosines(1, Denoising::new(20.0).stride(stride));
        let uses = denoised.usage.iter().sum::<usize>() as f64;
        assert!(uses > 0.0 && (uses - patches * denoised.l0).abs() < 1e-9, "{stride}");
    }
}

#[test]
fn the_gain_says_what_is_noise() {
    let atoms = |channels: usize, denoising: Denoising| by_cosines(channels, denoising).1.l0;
    for channels in [1, 3] {
        let of = |gain: f64| atoms(channels, Denoising::new(20.0).gain(gain));
        assert!(of(0.9) > of(1.05) && of(1.05) > of(1.3), "{channels} channels");
    }
    let by_default = |channels: usize| atoms(channels, Denoising::new(20.0));
    assert_eq!(by_default(1), atoms(1, Denoising::new(20.0).gain(1.15)));
    // With 192 values, the norm of the noise spreads less, so less passes for noise.
    assert!(by_default(3) > atoms(3, Denoising::new(20.0).gain(1.15)));
    assert!(by_default(3) < atoms(3, Denoising::new(20.0).gain(1.02)));
}

#[test]
fn the_seed_and_minibatches_make_the_dictionary() {
    let noisy = with_noise(&scene(24, 20, 1), 20.0, 9);
    let of = |denoising: Denoising| denoising.run(&noisy).unwrap().dictionary;
    let learner = Denoising::new(20.0).atoms(36).epochs(1);
    assert!(of(learner) == of(learner.seed(0)));
    assert!(of(learner) != of(learner.seed(1)));
    assert!(of(learner) != of(learner.steps(1)));
    assert!(of(learner.epochs(0)) == overcomplete_dct(8, 1, 36).unwrap());
}
