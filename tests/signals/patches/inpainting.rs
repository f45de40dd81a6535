//! Inpainting: what it fills in, and what each of its parameters does.

use std::ops::ControlFlow;

use dbksvd::Error;
use dbksvd::patches::{Image, Inpainted, Inpainting, inpaint, overcomplete_dct};

use super::{holes, scene, with_noise};

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

/// The image of a known pixel in each place given, and a mask of them.
fn of_few(width: usize, height: usize, known: &[(usize, usize, f32)]) -> (Image, Image) {
    let mut image = Image::new(width, height, 1, vec![f32::NAN; width * height]).unwrap();
    let mut mask = Image::new(width, height, 1, vec![0.0; width * height]).unwrap();
    for &(row, column, value) in known {
        image.pixels_mut()[row * width + column] = value;
        mask.pixels_mut()[row * width + column] = 1.0;
    }
    (image, mask)
}

#[test]
fn flat_images_are_filled_by_means() {
    let mut mask = Image::new(16, 12, 1, vec![1.0; 192]).unwrap();
    mask.pixels_mut()[50..54].fill(0.0);
    let flat = Image::new(16, 12, 1, vec![90.1; 192]).unwrap();
    let mut holes = flat.clone();
    holes.pixels_mut()[50..54].fill(f32::NAN);
    for inpainting in [Inpainting::new(), Inpainting::new().passes(0), Inpainting::new().rounds(0)]
    {
        let filled = inpainting.atoms(16).run(&holes, &mask).unwrap();
        assert_eq!((&filled.image, filled.l0), (&flat, 0.0), "{inpainting:?}");
        assert!(filled.dictionary == overcomplete_dct(8, 1, 16).unwrap());
        assert_eq!(filled.usage, [0; 16]);
    }
}

#[test]
fn patches_of_one_known_pixel_are_filled_by_means() {
    // Every patch of 8 × 8 has exactly one of these.
    let known = [(4, 4, 20.0), (4, 12, 200.0), (12, 4, 90.0), (12, 12, 140.0)];
    let (image, mask) = of_few(16, 16, &known);
    let means = Inpainting::new().rounds(0).run(&image, &mask).unwrap();
    assert_eq!(means.l0, 0.0);
    assert!((means.image.pixels()[0] - 20.0).abs() < 1e-5);
    assert!((means.image.pixels()[255] - 140.0).abs() < 1e-5);
    let filled = inpaint(&image, &mask).unwrap();
    for &(row, column, value) in &known {
        assert_eq!(filled.pixels()[row * 16 + column], value);
    }
    assert!(filled.pixels().iter().all(|pixel| (0.0..=255.0).contains(pixel)));
}

/// A scene of which half is missing, with holes and whole.
fn half() -> (Image, Image, Image) {
    let whole = scene(28, 24, 1);
    let (holes, mask) = holes(&whole, 2);
    (whole, holes, mask)
}

/// A learner that takes little time.
fn quick() -> Inpainting {
    Inpainting::new().atoms(48).passes(1).rounds(4).epochs(2)
}

fn fill(inpainting: Inpainting) -> Inpainted {
    let (_, holes, mask) = half();
    inpainting.run(&holes, &mask).unwrap()
}

#[test]
fn every_channel_may_have_holes_of_its_own() {
    let whole = scene(28, 24, 3);
    let mut holes = whole.clone();
    let mut mask = Image::new(28, 24, 3, vec![1.0; 28 * 24 * 3]).unwrap();
    for at in (0..mask.pixels().len()).filter(|at| at * at % 7 == 4) {
        mask.pixels_mut()[at] = 0.0;
        holes.pixels_mut()[at] = f32::NAN;
    }
    let filled = quick().run(&holes, &mask).unwrap().image;
    assert!(filled.psnr(&whole, 255.0).unwrap() > 25.0);
    for (known, (y, x)) in mask.pixels().iter().zip(holes.pixels().iter().zip(filled.pixels())) {
        assert!(*known == 0.0 || y == x);
    }
    // A mask of one channel is that of all.
    let one = Image::new(28, 24, 1, mask.pixels().iter().step_by(3).copied().collect()).unwrap();
    let repeated = one.pixels().iter().flat_map(|&w| [w; 3]).collect();
    let three = Image::new(28, 24, 3, repeated).unwrap();
    let of = |mask: &Image| quick().run(&whole, mask).unwrap().image;
    assert_eq!(of(&one), of(&three));
}

#[test]
fn pixels_that_are_known_less_well_are_mixed() {
    let whole = scene(28, 24, 1);
    let noisy = with_noise(&whole, 40.0, 3);
    let is_noisy = |at: usize| at * at % 5 < 2;
    let mut image = whole.clone();
    let mut mask = Image::new(28, 24, 1, vec![1.0; 28 * 24]).unwrap();
    for at in (0..28 * 24).filter(|&at| is_noisy(at)) {
        image.pixels_mut()[at] = noisy.pixels()[at];
        mask.pixels_mut()[at] = 0.125;
    }
    let filled = quick().run(&image, &mask).unwrap().image;
    let (before, after) = (image.psnr(&whole, 255.0), filled.psnr(&whole, 255.0));
    assert!(after.unwrap() > before.unwrap() + 3.0);
    for at in (0..28 * 24).filter(|&at| !is_noisy(at)) {
        assert_eq!(filled.pixels()[at], whole.pixels()[at]);
    }
    // An eighth of what is filled in is the pixel, as it was.
    for at in (0..28 * 24).filter(|&at| is_noisy(at)) {
        let eighth = 0.125 * image.pixels()[at];
        let share = filled.pixels()[at] - eighth;
        assert!((-1e-3..=0.875 * 255.0 + 1e-3).contains(&share));
    }
}

#[test]
fn the_unit_of_pixels_is_the_callers() {
    let (_, holes, mask) = half();
    let scaled = holes.pixels().iter().map(|pixel| pixel / 256.0).collect();
    let scaled = Image::new(28, 24, 1, scaled).unwrap();
    let large = quick().run(&holes, &mask).unwrap().image;
    let small = quick().peak(255.0 / 256.0).run(&scaled, &mask).unwrap().image;
    for (a, b) in large.pixels().iter().zip(small.pixels()) {
        assert!((a - 256.0 * b).abs() < 1e-2, "{a}, not {}", 256.0 * b);
    }
}

#[test]
fn passes_and_epochs_learn() {
    let cosines = overcomplete_dct(8, 1, 48).unwrap();
    let of = |inpainting: Inpainting| fill(inpainting).dictionary;
    let none = quick().passes(0).epochs(0);
    assert!(of(none) == cosines && of(none.rounds(0)) == cosines);
    assert!(of(none.passes(1)) != cosines && of(none.epochs(1)) != cosines);
    assert!(of(none.passes(1)) != of(none.passes(2)) && of(none.epochs(1)) != of(none.epochs(2)));
    // More epochs than rounds are one in each.
    assert!(of(none.epochs(4)) == of(none.epochs(usize::MAX)));
    assert!(of(none.epochs(3)) != of(none.epochs(usize::MAX)));
    // The seed is that of these rounds.
    assert!(of(quick()) == of(quick().seed(0)) && of(quick()) != of(quick().seed(1)));
}

#[test]
fn the_first_filling_has_its_sparsity_and_noise() {
    let atoms = |inpainting: Inpainting| fill(inpainting.passes(0).rounds(0)).l0;
    let by_default = atoms(quick());
    assert_eq!(by_default, atoms(quick().sparsity(10).noise(3.0)));
    assert!(atoms(quick().sparsity(1)) <= 1.0 && by_default > 1.0);
    assert!(atoms(quick().noise(12.0)) < by_default);
    assert!(atoms(quick().noise(0.0)) > by_default);
}

#[test]
fn one_round_has_the_last_limit() {
    let (whole, holes, mask) = half();
    let of = |inpainting: Inpainting| inpainting.run(&holes, &mask).unwrap();
    let one = quick().rounds(1).epochs(0);
    let expected = of(one.limits(10.0, 10.0)).image;
    assert_eq!(of(one).image, expected);
    assert_eq!(of(one.limits(1e3, 10.0)).image, expected);
    assert!(
        of(one.rounds(2).limits(1e308, 0.1)).image.pixels().iter().all(|pixel| pixel.is_finite())
    );
    let psnr = |image: &Image| image.psnr(&whole, 255.0).unwrap();
    let none = psnr(&of(one.rounds(0)).image);
    assert!(psnr(&expected) >= none, "{} dB, {none} without", psnr(&expected));
    // The last limit says which detail is believed.
    let atoms = |last: f64| of(one.limits(last, last)).l0;
    assert!(atoms(5.0) > atoms(20.0) && atoms(20.0) > atoms(80.0));
    // The first says where refinement begins.
    let four = one.rounds(4);
    assert_ne!(of(four.limits(40.0, 10.0)).image, of(four.limits(160.0, 10.0)).image);
}

#[test]
fn an_observer_ends_the_passes() {
    let (_, holes, mask) = half();
    let mut seen = Vec::new();
    let watch = |pass: &dbksvd::masked::MaskedPass| {
        seen.push((pass.pass, pass.passes));
        if pass.pass == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let inpainting = quick().passes(5);
    let ended = inpainting.run_observed(&holes, &mask, watch).unwrap();
    assert_eq!(seen, [(0, 5), (1, 5)]);
    // Refinement follows.
    assert_eq!(ended.image, fill(quick()).image);
}

#[test]
fn holes_that_are_too_wide_are_found_before_learning() {
    let whole = scene(40, 30, 1);
    let mut mask = Image::new(40, 30, 1, vec![1.0; 1200]).unwrap();
    let mut clear = |rows: std::ops::Range<usize>| {
        rows.for_each(|row| mask.pixels_mut()[row * 40 + 10..row * 40 + 25].fill(0.0));
        let observe = |_: &_| -> ControlFlow<()> { panic!("it learns") };
        quick().run_observed(&whole, &mask, observe).map(drop)
    };
    // Of 15 × 15, the pixel in the middle is in no patch of 8 × 8 with a known pixel.
    let error = clear(5..20).unwrap_err();
    let Error::Argument { argument: "mask", found, expected } = error else { panic!("{error}") };
    assert!(found.contains("row 12, column 17") && expected.contains("8 × 8"), "{found}");
    // Of 15 × 14, every pixel is.
    mask.pixels_mut()[5 * 40 + 10..5 * 40 + 25].fill(1.0);
    quick().run(&whole, &mask).unwrap();
}
