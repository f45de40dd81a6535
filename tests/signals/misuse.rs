//! One good call, then one thing broken a test: every misuse is a typed error that names it.

use dbksvd::coder::Tolerance;
use dbksvd::error::SourceError;
use dbksvd::faer::Mat;
use dbksvd::masked::{MaskedKsvd, MaskedOmp, complete, draw_atoms};
use dbksvd::patches::{Denoising, Image, Inpainting, Patches, mosaic, overcomplete_dct};
use dbksvd::pursuit::{Pursuit, Stop, omp, omp_gram};
use dbksvd::{Dictionary, Error, Model, Sign, SparseCodes};

use crate::support::argument;

/// Fails unless `result` is an error of this argument, whose text has this part.
#[track_caller]
fn refused<R>(result: Result<R, Error>, name: &str, part: &str) {
    let Err(error) = result else { panic!("`{name}` is accepted") };
    let text = error.to_string();
    assert!(text.contains(part), "{text} does not have {part}");
    assert_eq!(argument(error), name, "{text}");
}

/// Fails unless `result` names the sample and the coordinate that is not finite.
#[track_caller]
fn not_finite<R>(result: Result<R, Error>, at: (usize, usize)) {
    let Err(error) = result else { panic!("NaN is accepted") };
    let Error::NotFinite { sample, coordinate, .. } = error else { panic!("{error:?}") };
    assert_eq!((sample, coordinate), at);
}

fn wave(rows: usize, columns: usize, phase: f64) -> Mat<f64> {
    Mat::from_fn(rows, columns, |i, j| ((i * 7 + j * 3) as f64 + phase).sin() + 0.1)
}

fn dictionary() -> Mat<f64> {
    wave(6, 9, 0.3)
}

fn samples() -> Mat<f64> {
    wave(6, 4, 1.7)
}

/// The matrix with one value replaced.
fn with(mut matrix: Mat<f64>, at: (usize, usize), value: f64) -> Mat<f64> {
    matrix[at] = value;
    matrix
}

mod pursuits {
    use super::*;

    fn call(dictionary: &Mat<f64>, samples: &Mat<f64>, stop: impl Into<Stop>) -> Result<(), Error> {
        let stop = stop.into();
        let codes = omp(dictionary, samples, stop).map(drop);
        // All forms refuse the same.
        let same = |other: Result<(), Error>| {
            assert_eq!(
                codes.as_ref().err().map(ToString::to_string),
                other.err().map(|error| error.to_string())
            );
        };
        same(Pursuit::new(stop).through_gram(true).codes(dictionary, samples).map(drop));
        same(Pursuit::new(stop).path(dictionary, samples).map(drop));
        same(MaskedOmp::new(stop).encode(dictionary, samples, ones(samples)).map(drop));
        codes
    }

    fn ones(samples: &Mat<f64>) -> Mat<f64> {
        Mat::from_fn(samples.nrows(), samples.ncols(), |_, _| 1.0)
    }

    #[test]
    fn a_good_call() {
        call(&dictionary(), &samples(), 3).unwrap();
    }

    #[test]
    fn budgets() {
        for (budget, text) in [(0, "0"), (7, "7"), (10, "10")] {
            refused(call(&dictionary(), &samples(), budget), "sparsity", text);
        }
    }

    #[test]
    fn tolerances() {
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            let text = value.to_string();
            let stop = (2, Tolerance::Absolute(value));
            refused(call(&dictionary(), &samples(), stop), "tolerance", &text);
            let stop = Tolerance::Relative(value);
            refused(call(&dictionary(), &samples(), stop), "tolerance", &text);
        }
    }

    #[test]
    fn atoms() {
        let found = call(&with(dictionary(), (2, 5), f64::NAN), &samples(), 2);
        assert!(matches!(found, Err(Error::NotFiniteAtom { atom: 5, coordinate: 2, .. })));
        let mut zero = dictionary();
        zero.col_mut(4).fill(0.0);
        assert!(matches!(call(&zero, &samples(), 2), Err(Error::ZeroAtom { atom: 4 })));
        refused(call(&Mat::zeros(6, 0), &samples(), 2), "dictionary", "6 × 0");
        refused(call(&Mat::zeros(0, 3), &Mat::zeros(0, 2), 2), "dictionary", "0 × 3");
        let mut huge = dictionary();
        huge.col_mut(1).fill(f64::MAX);
        refused(call(&huge, &samples(), 2), "dictionary", "column 1");
    }

    #[test]
    fn samples_of_other_shapes_and_values() {
        refused(call(&dictionary(), &wave(5, 4, 0.0), 2), "samples", "dimension 5, expected 6");
        let ragged = omp(dictionary(), [1.0; 13], 2);
        let ragged = [ragged, MaskedOmp::new(2).encode(dictionary(), [1.0; 12], [1.0; 13])];
        for result in ragged {
            let error = result.map(drop).expect_err("13 values are not two samples");
            assert!(matches!(error, Error::Source(SourceError::Ragged { len: 13, dim: 6 })));
        }
        for value in [f64::NAN, f64::NEG_INFINITY] {
            not_finite(call(&dictionary(), &with(samples(), (4, 3), value), 2), (3, 4));
        }
    }

    #[test]
    fn paths_of_non_negative_codes() {
        let pursuit = Pursuit::new(2).sign(Sign::NonNegative);
        refused(pursuit.path(dictionary(), samples()), "sign", "non-negative");
        let gram = dictionary().transpose() * dictionary();
        let products = dictionary().transpose() * samples();
        let path = pursuit.path_from_products(&gram, &products, None);
        refused(path, "sign", "non-negative");
    }

    #[test]
    fn products() {
        let gram = dictionary().transpose() * dictionary();
        let products = dictionary().transpose() * samples();
        let squares: Vec<f64> = samples().col_iter().map(|y| y.squared_norm_l2()).collect();
        let call = |gram: &Mat<f64>, products: &Mat<f64>, squares: Option<&[f64]>, stop: Stop| {
            omp_gram(gram, products, squares, stop).map(drop)
        };
        let two = Stop::from(2);
        let good = Stop::from((2, Tolerance::Absolute(0.1)));
        call(&gram, &products, Some(&squares), good).unwrap();

        refused(call(&gram, &products, None, good), "squared_norms", "missing");
        refused(call(&gram, &products, Some(&squares[1..]), two), "squared_norms", "3");
        for value in [-1.0, f64::NAN, 0.5 * squares[1]] {
            let squares = [squares[0], value, squares[2], squares[3]];
            refused(call(&gram, &products, Some(&squares), two), "squared_norms", "sample 1");
        }
        refused(call(&wave(9, 8, 0.0), &products, None, two), "gram", "9 × 8");
        refused(call(&Mat::zeros(0, 0), &Mat::zeros(0, 4), None, two), "gram", "0 × 0");
        let mut broken = gram.clone();
        broken[(3, 2)] += 1.0;
        refused(call(&broken, &products, None, two), "gram", "symmetric");
        let large = with(with(gram.clone(), (0, 1), 1e3), (1, 0), 1e3);
        refused(call(&large, &products, None, two), "gram", "norms of the two atoms");
        refused(call(&with(gram.clone(), (3, 3), -1.0), &products, None, two), "gram", "(3, 3)");
        refused(call(&with(gram.clone(), (3, 2), f64::NAN), &products, None, two), "gram", "NaN");
        let zero = call(&with(gram.clone(), (3, 3), 0.0), &products, None, two);
        assert!(matches!(zero, Err(Error::ZeroAtom { atom: 3 })));
        let short = call(&gram, &wave(8, 4, 0.0), None, two);
        refused(short, "correlations", "dimension 8, expected 9");
        not_finite(call(&gram, &with(products.clone(), (5, 2), f64::NAN), None, two), (2, 5));
        refused(call(&gram, &products, None, Stop::from(10)), "sparsity", "10");
        let one = |value: f64| Mat::from_fn(1, 1, |_, _| value);
        for norm in [1e-200, 1e-300] {
            refused(call(&one(norm), &one(1e220), None, Stop::from(1)), "correlations", "sample 0");
        }
        // The unit atom has a coefficient that single precision holds, the short one has not.
        let one = |value: f32| Mat::from_fn(1, 1, |_, _| value);
        omp_gram(one(1e-30), one(1e5), None, Stop::from(1)).unwrap();
        let overflow = omp_gram(one(1e-30), one(1e15), None, Stop::from(1));
        refused(overflow, "correlations", "a coefficient of inf of sample 0");
    }
}

mod masks {
    use super::*;

    fn weights() -> Mat<f64> {
        Mat::from_fn(6, 4, |i, j| if (i + j) % 3 == 0 { 0.0 } else { 0.5 })
    }

    fn initial() -> Dictionary<f64> {
        Dictionary::normalized(dictionary()).unwrap()
    }

    /// All that take samples with weights refuse these.
    #[track_caller]
    fn all_refuse(samples: &Mat<f64>, weights: &Mat<f64>, check: impl Fn(Result<(), Error>)) {
        let coder = MaskedOmp::new(2);
        check(coder.encode(dictionary(), samples, weights).map(drop));
        check(MaskedKsvd::new(coder).learn(initial(), samples, weights).map(drop));
        let codes = SparseCodes::new(9, samples.ncols(), 2);
        check(complete(dictionary(), &codes, samples, weights).map(drop));
        let model = Model::new(initial(), None, 2, Sign::Signed).unwrap();
        check(model.encode_masked(samples.as_ref(), weights.as_ref()).map(drop));
    }

    #[test]
    fn good_calls() {
        let samples = with(samples(), (0, 0), f64::NAN);
        MaskedOmp::new(2).encode(dictionary(), &samples, weights()).unwrap();
        MaskedKsvd::new(MaskedOmp::new(2)).learn(initial(), &samples, weights()).unwrap();
        draw_atoms(&samples, weights(), 3, 1).unwrap();
    }

    #[test]
    fn weights_of_other_shapes() {
        all_refuse(&samples(), &wave(5, 4, 0.0), |result| {
            refused(result, "weights", "dimension 5, expected 6");
        });
        all_refuse(&samples(), &wave(6, 3, 0.0), |result| refused(result, "weights", "3 columns"));
        all_refuse(&wave(5, 4, 0.0), &weights(), |result| {
            refused(result, "samples", "dimension 5, expected 6");
        });
    }

    #[test]
    fn weights_that_are_none() {
        for value in [-0.1, 1.5, f64::NAN] {
            all_refuse(&samples(), &with(weights(), (2, 3), value), |result| {
                refused(result, "weights", "coordinate 2 of sample 3");
            });
            let drawn = draw_atoms(samples(), with(weights(), (2, 3), value), 2, 1);
            refused(drawn, "weights", "coordinate 2 of sample 3");
        }
    }

    #[test]
    fn values_that_are_not_finite_where_there_is_a_weight() {
        for value in [f64::NAN, f64::INFINITY] {
            all_refuse(&with(samples(), (2, 0), value), &weights(), |result| {
                not_finite(result, (0, 2));
            });
        }
    }

    #[test]
    fn nothing_to_learn_from() {
        let learner = MaskedKsvd::new(MaskedOmp::new(2));
        let none = Mat::zeros(6, 0);
        let learned = learner.learn(initial(), &none, &none).map(drop);
        refused(learned, "samples", "no samples");
        for size in [1e160, 1e-170] {
            let extreme = Mat::from_fn(6, 4, |i, j| size * samples()[(i, j)]);
            let learned = learner.learn(initial(), &extreme, weights()).map(drop);
            assert!(matches!(learned, Err(Error::Range { argument: "samples", .. })));
            let drawn = draw_atoms(&extreme, weights(), 2, 1);
            assert!(matches!(drawn, Err(Error::Range { argument: "samples", .. })));
            MaskedOmp::new(2).encode(dictionary(), &extreme, weights()).unwrap();
        }
        let missing = learner.learn(initial(), samples(), Mat::zeros(6, 4)).map(drop);
        refused(missing, "weights", "0 throughout");
        refused(draw_atoms(samples(), Mat::zeros(6, 4), 2, 0).map(drop), "weights", "throughout");
        let zero = learner.learn(initial(), Mat::zeros(6, 4), weights()).map(drop);
        assert!(matches!(zero, Err(Error::NothingLearned { samples: 4, zeros: 4, .. })));
    }

    #[test]
    fn parameters() {
        let encode = |coder: MaskedOmp| coder.encode(dictionary(), samples(), weights());
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            let text = value.to_string();
            refused(encode(MaskedOmp::new(2).noise(value)), "noise", &text);
            refused(encode(MaskedOmp::new(2).least_seen(value)), "least_seen", &text);
        }
        refused(encode(MaskedOmp::new(0)), "sparsity", "0");
        refused(encode(MaskedOmp::new(2).least_seen(1.1)), "least_seen", "1.1");
        refused(draw_atoms(samples(), weights(), 0, 0).map(drop), "atoms", "0");
        refused(draw_atoms(samples(), weights(), 5, 0).map(drop), "atoms", "1 to 4");
        // Samples that are alike are one atom, and zero is none.
        let columns = [1.0, 0.0, 1.0, -1.0];
        let alike = Mat::from_fn(6, 4, |i, j| columns[j] * samples()[(i, 0)]);
        let drawn = draw_atoms(&alike, Mat::from_fn(6, 4, |_, _| 1.0), 3, 0).map(drop);
        refused(drawn, "atoms", "1 to 2, the samples that can be atoms");
    }

    #[test]
    fn codes_that_are_of_others() {
        let call = |codes: SparseCodes<f64>| complete(dictionary(), &codes, samples(), weights());
        refused(call(SparseCodes::new(8, 4, 2)), "codes", "dimension 8, expected 9");
        refused(call(SparseCodes::new(9, 5, 2)), "codes", "5");
    }
}

mod images {
    use super::*;

    fn image(width: usize, height: usize, channels: usize) -> Image {
        let pixels = (0..width * height * channels).map(|i| (i * i % 251) as f32).collect();
        Image::new(width, height, channels, pixels).unwrap()
    }

    #[test]
    fn sizes() {
        for (size, name) in [((0, 2, 1), "width"), ((2, 0, 1), "height"), ((2, 2, 0), "channels")] {
            refused(Image::new(size.0, size.1, size.2, vec![]), name, "0");
        }
        refused(Image::new(2, 2, 1, vec![0.0; 3]), "pixels", "2 × 2 × 1");
        refused(Image::new(usize::MAX, 2, 1, vec![0.0; 3]), "pixels", "3 values");
        refused(image(2, 3, 1).psnr(&image(3, 2, 1), 255.0), "clean", "3 × 2 × 1");
        refused(image(2, 3, 1).psnr(&image(2, 3, 1), 0.0), "peak", "0");
    }

    #[test]
    fn patches() {
        for side in [0, 6] {
            refused(Patches::extract(&image(5, 8, 1), side, 1), "side", "1 to 5");
        }
        for stride in [0, 5] {
            refused(Patches::extract(&image(5, 8, 1), 4, stride), "stride", "1 to 4");
        }
        let mut patches = Patches::extract(&image(5, 8, 1), 4, 2).unwrap();
        let (count, dim) = (patches.samples().ncols(), 16);
        let of = |rows, columns| Mat::<f32>::zeros(rows, columns);
        let short = patches.average(of(dim - 1, count).as_ref());
        refused(short, "patches", "dimension 15, expected 16");
        refused(patches.average(of(dim, count + 1).as_ref()), "patches", "as were extracted");
        let given = of(dim, count);
        let average = |image: &Image, weight| patches.average_with(given.as_ref(), image, weight);
        refused(average(&image(8, 5, 1), 1.0), "image", "8 × 5 × 1");
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            refused(average(&image(5, 8, 1), weight), "weight", &weight.to_string());
        }
        refused(patches.remove_known_means(of(dim, 1).as_ref()), "weights", "16 × 1");
        let before = patches.clone();
        for weight in [-0.5, 1.5, f32::NAN] {
            let mut weights = of(dim, count);
            weights[(3, 1)] = weight;
            let found = patches.remove_known_means(weights.as_ref());
            refused(found, "weights", "coordinate 3 of patch 1");
            assert_eq!(patches.samples(), before.samples());
        }
    }

    #[test]
    fn dictionaries() {
        refused(overcomplete_dct(1, 1, 4), "side", "1");
        refused(overcomplete_dct(4, 0, 4), "channels", "0");
        refused(overcomplete_dct(4, 3, 2), "atoms", "2");
        refused(overcomplete_dct(4, 1, 0), "atoms", "0");
        refused(overcomplete_dct(4, 3, 5), "atoms", "at least 6, two for each of 3 channels");
        refused(overcomplete_dct(4, usize::MAX, 5), "atoms", "at least");
        overcomplete_dct(4, 3, 6).unwrap();
        let cosines = overcomplete_dct(4, 1, 9).unwrap();
        refused(mosaic(&cosines, &[0], 3, 1), "channels", "3");
        refused(mosaic(&cosines, &[0], 0, 1), "channels", "0");
        refused(mosaic(&cosines, &[], 1, 1), "order", "empty");
        refused(mosaic(&cosines, &[9], 1, 1), "order", "9");
        refused(mosaic(&cosines, &[0], 1, 0), "scale", "0");
        refused(mosaic(&cosines, &[0], usize::MAX, 1), "channels", "expected");
    }

    #[test]
    fn more_than_fits_into_memory() {
        /// Fails unless memory is what there is too little of.
        #[track_caller]
        fn too_large<R>(result: Result<R, Error>) {
            let Err(error) = result else { panic!("it fits") };
            assert!(matches!(error, Error::Backend(_)), "{error}");
        }
        for atoms in [usize::MAX, usize::MAX / 4, 1 << 50] {
            too_large(overcomplete_dct(8, 1, atoms));
            too_large(overcomplete_dct(8, 3, atoms));
            too_large(Denoising::new(20.0).atoms(atoms).run(&image(12, 10, 1)));
            let ones = Image::new(12, 10, 1, vec![1.0; 120]).unwrap();
            too_large(Inpainting::new().atoms(atoms).run(&image(12, 10, 1), &ones));
        }
        too_large(overcomplete_dct(usize::MAX, 1, 4));
        let cosines = overcomplete_dct(4, 1, 9).unwrap();
        for scale in [usize::MAX, usize::MAX / 16, 1 << 40] {
            too_large(mosaic(&cosines, &[0, 3], 1, scale));
        }
    }

    #[test]
    fn denoising() {
        let image = image(12, 10, 1);
        let of = |denoising: Denoising| denoising.run(&image).map(drop);
        let good = Denoising::new(20.0).atoms(16).epochs(1);
        of(good).unwrap();
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let text = value.to_string();
            refused(of(Denoising::new(value)), "sigma", &text);
            refused(of(good.gain(value)), "gain", &text);
            refused(of(good.peak(value)), "peak", &text);
        }
        refused(of(good.weight(-1.0)), "weight", "-1");
        refused(of(good.side(1)), "side", "1");
        refused(of(good.side(11)), "side", "1 to 10");
        refused(of(good.stride(0)), "stride", "0");
        refused(of(good.steps(0)), "steps", "0");
        refused(of(good.atoms(0)), "atoms", "0");
        let mut broken = image.clone();
        broken.pixels_mut()[25] = f32::NAN;
        refused(good.run(&broken).map(drop), "image", "row 2, column 1, channel 0");
        let scaled = |factor: f32| {
            let pixels = image.pixels().iter().map(|pixel| pixel / 250.0 * factor).collect();
            Image::new(12, 10, 1, pixels).unwrap()
        };
        for factor in [1e20, 1e38, 1e-20] {
            let found = good.run(&scaled(factor));
            assert!(matches!(found, Err(Error::Range { .. })), "{factor}: {found:?}");
        }
        let mut wide = scaled(3e38);
        wide.pixels_mut()[..60].fill(-3e38);
        let found = good.run(&wide).map(drop);
        assert!(matches!(found, Err(Error::NotFinite { .. })), "{found:?}");
        let other = overcomplete_dct(7, 1, 16).unwrap();
        let denoised = good.with_dictionary(&image, &other).map(drop);
        refused(denoised, "dictionary", "dimension 49, expected 64");
    }

    #[test]
    fn inpainting() {
        let image = image(12, 10, 1);
        let ones = Image::new(12, 10, 1, vec![1.0; 120]).unwrap();
        let good = Inpainting::new().atoms(16).passes(1).rounds(2);
        let of = |inpainting: Inpainting| inpainting.run(&image, &ones).map(drop);
        of(good).unwrap();
        refused(of(good.peak(f64::NAN)), "peak", "NaN");
        refused(of(good.side(1)), "side", "1");
        refused(of(good.side(11)), "side", "1 to 10");
        refused(of(good.atoms(0)), "atoms", "0");
        for (first, last) in [(1.0, 2.0), (1.0, 0.0), (f64::NAN, 1.0), (f64::INFINITY, 1.0)] {
            refused(of(good.limits(first, last)), "limits", &first.to_string());
        }
        let with_mask = |mask: &Image| good.run(&image, mask).map(drop);
        refused(with_mask(&super::images::image(10, 12, 1)), "mask", "10 × 12 × 1");
        let three = Image::new(12, 10, 3, vec![1.0; 360]).unwrap();
        refused(with_mask(&three), "mask", "12 × 10 × 3");
        for value in [-0.5, 1.5, f32::NAN] {
            let mut mask = ones.clone();
            mask.pixels_mut()[14] = value;
            refused(with_mask(&mask), "mask", "row 1, column 2, channel 0");
        }
        let mut broken = image.clone();
        broken.pixels_mut()[14] = f32::INFINITY;
        refused(good.run(&broken, &ones).map(drop), "image", "row 1, column 2");
        let nothing = Image::new(12, 10, 1, vec![0.0; 120]).unwrap();
        refused(with_mask(&nothing), "mask", "0 throughout");
        // One known pixel in a corner: the other corner is in no patch that has it.
        let mut corner = nothing;
        corner.pixels_mut()[0] = 1.0;
        refused(with_mask(&corner), "mask", "a known pixel in a patch of 8 × 8");
        // Ranges are checked where there is nothing to learn, too.
        let flat = Image::new(12, 10, 1, vec![5.0; 120]).unwrap();
        for image in [&image, &flat] {
            let of = |inpainting: Inpainting| inpainting.run(image, &ones).map(drop);
            refused(of(good.sparsity(0)), "sparsity", "0");
            refused(of(good.sparsity(17)), "sparsity", "1 to 16");
            refused(of(good.noise(-1.0)), "noise", "-1");
            refused(of(good.noise(f64::NAN)), "noise", "NaN");
        }
        for factor in [1e20, 1e36, 1e-20] {
            let pixels = image.pixels().iter().map(|pixel| pixel / 250.0 * factor).collect();
            let image = Image::new(12, 10, 1, pixels).unwrap();
            let found = good.run(&image, &ones).map(drop);
            assert!(matches!(found, Err(Error::Range { .. })), "{factor}: {found:?}");
        }
    }
}
