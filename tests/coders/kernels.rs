//! `BatchOmp` picks its kernel by the size of the problem and the memory it may use. Each of them
//! finds the codes of the textbook in double precision.

use dbksvd::coder::{BatchOmp, Omp, Selection, SparseCoder, Tolerance};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Faer, ProblemShape, Scalar, Sign, conformance};

/// Limits of the Gram matrix's memory for m atoms, in `f32`: all of it, 16-bit numbers only, none.
fn limits(atoms: usize) -> [usize; 3] {
    let quantised = 2 * atoms * (atoms.next_multiple_of(128) + 32);
    assert!(quantised < 4 * atoms * atoms, "{atoms} atoms are too few to tell the kernels apart");
    [usize::MAX, quantised, 0]
}

fn encode<T: Scalar>(
    coder: impl SparseCoder<Faer<T>>,
    shape: &ProblemShape,
    dictionary: &Mat<T>,
    samples: &Mat<T>,
) -> SparseCodes<T> {
    let backend = Faer::<T>::default();
    let mut state = coder.prepare(&backend, shape).expect("memory");
    coder.set_dictionary(&backend, &mut state, dictionary).unwrap();
    let mut codes = SparseCodes::new(shape.atoms, 0, shape.sparsity);
    coder.encode(&backend, &state, dictionary, samples, &mut codes).unwrap();
    codes
}

fn widen(matrix: &Mat<f32>) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| f64::from(matrix[(i, j)]))
}

/// ‖Y − DX‖² / ‖Y‖² in double precision.
fn left(dictionary: &Mat<f64>, samples: &Mat<f64>, codes: &SparseCodes<f32>) -> f64 {
    let mut error = 0.0;
    for i in 0..samples.ncols() {
        let mut residual: Vec<f64> = samples.col(i).iter().copied().collect();
        for (&atom, &value) in codes.support(i).iter().zip(codes.values(i)) {
            for (r, d) in residual.iter_mut().zip(dictionary.col(atom as usize).iter()) {
                *r -= f64::from(value) * d;
            }
        }
        error += residual.iter().map(|r| r * r).sum::<f64>();
    }
    error / samples.squared_norm_l2()
}

/// Every kernel against the textbook in double precision, by the same rule.
fn agrees(dim: usize, atoms: usize, sparsity: usize, kind: Kind, noise: f64, sign: Sign) {
    const SAMPLES: usize = 300;
    let planted = Planted::new(dim, atoms, sparsity.min(8), SAMPLES).kind(kind).noise(noise);
    let data = planted.sign(sign).seed(7).generate::<f32>().expect("a legal problem");
    agrees_on(&data.dictionary.into_mat(), &data.samples, sparsity, (sign, &format!("{kind:?}")));
}

fn agrees_on(
    dictionary: &Mat<f32>,
    samples: &Mat<f32>,
    sparsity: usize,
    (sign, kind): (Sign, &str),
) {
    const SAMPLES: usize = 300;
    let (dim, atoms) = dictionary.shape();
    let (exact_dictionary, exact_samples) = (widen(dictionary), widen(samples));
    let shape = ProblemShape { dim, atoms, sparsity, sign };
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        for tolerance in [None, Some(Tolerance::Relative(0.3))] {
            let (mut oracle, mut coder) = (Omp::new(), BatchOmp::new());
            oracle = oracle.selection(selection);
            coder = coder.selection(selection);
            if let Some(tolerance) = tolerance {
                oracle = oracle.tolerance(tolerance);
                coder = coder.tolerance(tolerance);
            }
            let truth = encode(oracle, &shape, &exact_dictionary, &exact_samples);
            for limit in limits(atoms) {
                let codes = encode(coder.gram_limit(limit), &shape, dictionary, samples);
                let case = format!("{kind} {selection:?} {tolerance:?} {sign:?} {limit}");
                let same = (0..SAMPLES).filter(|&i| codes.support(i) == truth.support(i)).count();
                // Two samples may lie at ties that single precision does not see.
                assert!(same + 2 >= SAMPLES, "{case}: {same} of {SAMPLES} supports agree");
                let (exact, found) = (
                    left(&exact_dictionary, &exact_samples, &narrow(&truth)),
                    left(&exact_dictionary, &exact_samples, &codes),
                );
                assert!((found - exact).abs() <= 1e-3 * exact + 1e-9, "{case}: {found}, {exact}");
            }
        }
    }
}

/// The same codes in single precision.
fn narrow(codes: &SparseCodes<f64>) -> SparseCodes<f32> {
    let mut single = SparseCodes::new(codes.atoms(), codes.samples(), codes.sparsity());
    for (i, (support, values)) in codes.iter().enumerate() {
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        single.set(i, support, &values);
    }
    single
}

/// Dictionaries may have atoms whose norms are off by what rounding to 16 bits makes of them.
#[test]
fn atoms_of_nearly_norm_1() {
    for sign in [Sign::Signed, Sign::NonNegative] {
        let planted = Planted::new(48, 200, 8, 300).noise(0.05).sign(sign).seed(7);
        let data = planted.generate::<f32>().expect("a legal problem");
        let mut dictionary = data.dictionary.into_mat();
        for j in 0..200 {
            let factor = 1.0 + 0.0025 * ((j * 37 % 200) as f32 / 100.0 - 1.0);
            dictionary.col_mut(j).iter_mut().for_each(|x| *x *= factor);
        }
        dbksvd::Dictionary::new(dictionary.clone()).expect("norms of 1, nearly");
        agrees_on(&dictionary, &data.samples, 8, (sign, "nearly norm 1"));
    }
}

/// Samples that are tiny beside others in one block have the supports of the textbook, which scales
/// each of them.
#[test]
fn tiny_samples_beside_usual_ones() {
    let sizes = [1.0, 1e-10, 1e-25, 1e-29, 1e-31, 1e-33];
    for (dim, atoms, sparsity) in [(48, 200, 8), (48, 1200, 8), (200, 1200, 8)] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            let planted = Planted::new(dim, atoms, 4, 300).noise(0.05).sign(sign).seed(3);
            let data = planted.generate::<f32>().expect("a legal problem");
            let (dictionary, mut samples) = (data.dictionary.into_mat(), data.samples);
            for i in 0..300 {
                samples.col_mut(i).iter_mut().for_each(|y| *y *= sizes[i % sizes.len()]);
            }
            let shape = ProblemShape { dim, atoms, sparsity, sign };
            let truth = encode(Omp::new(), &shape, &widen(&dictionary), &widen(&samples));
            for limit in limits(atoms) {
                let coder = BatchOmp::new().gram_limit(limit);
                let codes = encode(coder, &shape, &dictionary, &samples);
                let others: Vec<usize> =
                    (0..300).filter(|&i| codes.support(i) != truth.support(i)).collect();
                // Ties that single precision does not see.
                assert!(others.len() <= 2, "{dim} {atoms} {sign:?} {limit}: {others:?}");
            }
        }
    }
}

#[test]
fn incoherent_dictionaries() {
    agrees(48, 200, 8, Kind::Planted, 0.05, Sign::Signed);
    agrees(48, 200, 8, Kind::Planted, 0.05, Sign::NonNegative);
}

#[test]
fn coherent_dictionaries() {
    agrees(48, 200, 8, Kind::Correlated, 0.05, Sign::Signed);
    agrees(48, 200, 8, Kind::Correlated, 0.05, Sign::NonNegative);
}

#[test]
fn anisotropic_data() {
    agrees(61, 333, 12, Kind::Anisotropic, 0.05, Sign::Signed);
    agrees(61, 333, 12, Kind::Anisotropic, 0.05, Sign::NonNegative);
}

/// Dimensions at which correlations begin with a product of 16-bit numbers.
#[test]
fn wide_samples() {
    agrees(201, 400, 10, Kind::Planted, 0.05, Sign::Signed);
    agrees(384, 333, 12, Kind::Correlated, 0.05, Sign::Signed);
    agrees(384, 333, 12, Kind::Anisotropic, 0.05, Sign::Signed);
    agrees(201, 333, 12, Kind::Anisotropic, 0.05, Sign::NonNegative);
}

/// Samples of all sizes, with most of their energy in one entry: little of their 16 bits is left
/// for the rest.
#[test]
fn wide_samples_with_an_outlying_entry() {
    const SAMPLES: usize = 200;
    let (dim, atoms, sparsity) = (256, 400, 8);
    let data = Planted::new(dim, atoms, sparsity, SAMPLES).noise(0.05).seed(9).generate::<f32>();
    let data = data.expect("a legal problem");
    let (dictionary, mut samples) = (data.dictionary.into_mat(), data.samples);
    for (i, mut sample) in samples.as_mut().col_iter_mut().enumerate() {
        sample[5] *= 300.0;
        let size = 10.0_f32.powi(i as i32 % 21 - 10);
        sample.as_mut().iter_mut().for_each(|y| *y *= size);
    }
    samples.as_mut().col_mut(17).fill(0.0);
    let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::Signed };
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        let oracle = Omp::new().selection(selection);
        let truth = encode(oracle, &shape, &widen(&dictionary), &widen(&samples));
        for limit in limits(atoms) {
            let coder = BatchOmp::new().selection(selection).gram_limit(limit);
            let codes = encode(coder, &shape, &dictionary, &samples);
            let same = (0..SAMPLES).filter(|&i| codes.support(i) == truth.support(i)).count();
            assert!(same + 2 >= SAMPLES, "{selection:?} {limit}: {same} supports agree");
            assert!(codes.support(17).is_empty());
        }
    }
}

/// More atoms than rows are rounded to 16 bits for.
#[test]
fn long_codes() {
    agrees(128, 400, 48, Kind::Anisotropic, 0.05, Sign::Signed);
}

/// Once the planted atoms are found, next to nothing is left: bounds on errors are then wider than
/// the correlations, and these are computed anew.
#[test]
fn samples_without_noise() {
    for dim in [48, 200] {
        without_noise(dim);
    }
}

fn without_noise(dim: usize) {
    const SAMPLES: usize = 200;
    let (atoms, planted) = (200, 3);
    let data = Planted::new(dim, atoms, planted, SAMPLES).seed(3).generate::<f32>().expect("legal");
    let (dictionary, samples) = (data.dictionary.into_mat(), data.samples);
    let shape = ProblemShape { dim, atoms, sparsity: 10, sign: Sign::Signed };
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        for limit in limits(atoms) {
            let coder = BatchOmp::new().selection(selection).gram_limit(limit);
            let codes = encode(coder, &shape, &dictionary, &samples);
            let error = left(&widen(&dictionary), &widen(&samples), &codes);
            assert!(error < 1e-12, "{selection:?} {limit}: {error} of the energy is left");
        }
    }
}

/// Each kernel keeps the contract of coders, in problems just large enough for the 16-bit one.
#[test]
fn the_suite_passes_without_a_gram_matrix() {
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        let coder = BatchOmp::new().selection(selection).gram_limit(0);
        conformance::coder(&Faer::<f32>::default(), &coder);
        conformance::coder(&Faer::<f64>::default(), &coder);
    }
}

/// A sample's code does not depend on its neighbours, whatever the kernel.
#[test]
fn a_sample_alone_has_the_same_code() {
    for dim in [48, 201] {
        alone_and_together(dim);
    }
}

fn alone_and_together(dim: usize) {
    let (atoms, sparsity) = (200, 8);
    let data = Planted::new(dim, atoms, sparsity, 131).noise(0.1).seed(5).generate::<f32>();
    let data = data.expect("a legal problem");
    let (dictionary, samples) = (data.dictionary.into_mat(), data.samples);
    let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::Signed };
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        for limit in limits(atoms) {
            let coder = BatchOmp::new().selection(selection).gram_limit(limit);
            let together = encode(coder, &shape, &dictionary, &samples);
            for i in [0, 1, 64, 127, 128, 130] {
                let alone = samples.subcols(i, 1).to_owned();
                let alone = encode(coder, &shape, &dictionary, &alone);
                assert_eq!(alone.support(0), together.support(i), "{selection:?} {limit} {i}");
                assert_eq!(alone.values(0), together.values(i), "{selection:?} {limit} {i}");
            }
        }
    }
}
