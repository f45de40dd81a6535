//! A second dictionary for paired targets: against the formula, on planted pairs, and for codes
//! that leave the system singular.

use dbksvd::coder::{BatchOmp, Omp};
use dbksvd::faer::linalg::solvers::{Qr, SolveLstsq};
use dbksvd::faer::{Mat, MatRef, mat};
use dbksvd::learn::{Paired, PairedDictionary, PairedQuality, PairedSums};
use dbksvd::source::Subset;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Error, Model, Scalar, Sign, SparseCodes};

use crate::support::{argument, dense, on_threads};

const ATOMS: usize = 40;
const DIM: usize = 7;

/// Samples of a planted dictionary, its model, and targets D₂x + c with noise.
struct Pairs<T: Scalar> {
    model: Model<T>,
    codes: SparseCodes<T>,
    samples: Mat<T>,
    targets: Mat<T>,
    truth: Mat<f64>,
}

fn offset(i: usize) -> f64 {
    5.0 * (1.0 + i as f64).cos()
}

fn pairs<T: Scalar>(noise: f64) -> Pairs<T> {
    let planted = Planted::new(24, ATOMS, 3, 6000).kind(Kind::Planted).seed(8);
    let data = planted.generate::<T>().unwrap();
    let truth = Mat::from_fn(DIM, ATOMS, |i, j| ((i * ATOMS + j) as f64 * 1.3).sin());
    let exact = &truth * dense(&data.codes);
    let targets = Mat::from_fn(DIM, 6000, |i, n| {
        let noise = noise * ((i * 6000 + n) as f64 * 7.7).sin();
        T::narrow(exact[(i, n)] + offset(i) + noise)
    });
    let model = Model::new(data.dictionary, None, 3, Sign::Signed).unwrap();
    Pairs { model, codes: data.codes, samples: data.samples, targets, truth }
}

fn sums_of<T: Scalar>(codes: &SparseCodes<T>, targets: &Mat<T>) -> PairedSums<T> {
    let mut sums = PairedSums::new(codes.atoms(), targets.nrows()).unwrap();
    sums.add(codes, targets.as_ref()).unwrap();
    sums
}

fn wide<T: Scalar>(a: MatRef<'_, T>) -> Mat<f64> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)].widen())
}

/// D₂ᵀ and cᵀ of least squares by QR of Xᵀ, with a column of ones for the offset.
fn by_qr(codes: &SparseCodes<f64>, targets: &Mat<f64>, with_offset: bool) -> Mat<f64> {
    let x = dense(codes);
    let columns = x.nrows() + usize::from(with_offset);
    let entry = |n: usize, j: usize| if j < x.nrows() { x[(j, n)] } else { 1.0 };
    let system = Mat::from_fn(x.ncols(), columns, entry);
    Qr::new(system.as_ref()).solve_lstsq(targets.transpose()).subrows(0, columns).to_owned()
}

#[test]
fn it_is_least_squares() {
    let Pairs { codes, targets, .. } = pairs::<f64>(0.5);
    let sums = sums_of(&codes, &targets);
    for with_offset in [false, true] {
        let paired = Paired::new().ridge(0.0).offset(with_offset).solve(&sums).unwrap();
        assert_eq!(paired.ridge(), 0.0);
        let expected = by_qr(&codes, &targets, with_offset);
        let worst = (paired.as_mat().transpose() - expected.subrows(0, ATOMS)).norm_max();
        assert!(worst < 1e-10, "{worst:e}");
        for (i, &c) in paired.offset().iter().enumerate() {
            let expected = if with_offset { expected[(ATOMS, i)] } else { 0.0 };
            assert!((c - expected).abs() < 1e-10, "{c}, expected {expected}");
        }
    }
}

fn recovers<T: Scalar>() {
    let Pairs { model, samples, targets, truth, .. } = pairs::<T>(0.0);
    let part = |of, range| Subset::new::<T>(of, vec![range]).unwrap();
    let [y, z] = [&samples, &targets].map(|of| part(of, 0..5000));
    let paired = Paired::new().fit(&model, &BatchOmp::new(), &y, &z).unwrap();
    // A few samples are coded by other atoms than they were made of.
    let difference = wide(paired.as_mat()) - &truth;
    assert!(difference.norm_l2() < 0.1 * truth.norm_l2(), "{}", difference.norm_l2());
    for (i, &c) in paired.offset().iter().enumerate() {
        assert!((c.widen() - offset(i)).abs() < 0.05, "{c}, expected {}", offset(i));
    }
    let [y, z] = [&samples, &targets].map(|of| part(of, 5000..6000));
    let quality = paired.evaluate(&model, &BatchOmp::new(), &y, &z).unwrap();
    assert_eq!(quality.samples(), 1000);
    assert!(quality.fvu() < 0.05, "{}", quality.fvu());

    // The same by hand, in parts.
    let codes = model.encode(&BatchOmp::new(), samples.subcols(5000, 1000)).unwrap();
    let predicted = paired.predict(&codes).unwrap();
    let held_out = wide(targets.subcols(5000, 1000));
    let error = (wide(predicted.as_ref()) - &held_out).squared_norm_l2();
    let scatter: f64 = (0..DIM)
        .map(|i| {
            let row = held_out.row(i);
            let mean = row.iter().sum::<f64>() / 1000.0;
            row.iter().map(|z| (z - mean).powi(2)).sum::<f64>()
        })
        .sum();
    let fvu = error / scatter;
    assert!((quality.fvu() - fvu).abs() < 1e-4 * fvu, "{} for {fvu}", quality.fvu());
    assert!((quality.squared_error() - error).abs() < 1e-4 * error);
}

#[test]
fn planted_targets_are_recovered_and_predicted() {
    recovers::<f32>();
    recovers::<f64>();
}

#[test]
fn sums_do_not_depend_on_threads_or_on_how_pairs_are_cut() {
    let Pairs { model, samples, targets, codes, .. } = pairs::<f32>(0.3);
    let fit = || Paired::new().fit(&model, &Omp::new(), &samples, &targets).unwrap();
    let expected: PairedDictionary<f32> = on_threads(1, fit);
    for threads in [2, 3, 8] {
        assert!(on_threads(threads, fit) == expected, "{threads} threads");
    }
    let whole = Paired::new().solve(&sums_of(&codes, &targets)).unwrap();
    for cut in [1, 999, 4096] {
        let mut sums = PairedSums::new(ATOMS, DIM).unwrap();
        for first in (0..6000).step_by(cut) {
            let count = cut.min(6000 - first);
            let mut part = SparseCodes::new(ATOMS, count, 3);
            (0..count).for_each(|i| part.set(i, codes.support(first + i), codes.values(first + i)));
            sums.add(&part, targets.subcols(first, count)).unwrap();
        }
        assert_eq!(sums.samples(), 6000);
        assert!(Paired::new().solve(&sums).unwrap() == whole, "in parts of {cut}");
    }
    // Sums of two halves are those of all, to rounding.
    let half = |first: usize| {
        let mut part = SparseCodes::new(ATOMS, 3000, 3);
        (0..3000).for_each(|i| part.set(i, codes.support(first + i), codes.values(first + i)));
        sums_of(&part, &targets.subcols(first, 3000).to_owned())
    };
    let mut sums = half(0);
    sums.merge(&half(3000)).unwrap();
    let merged = Paired::new().solve(&sums).unwrap();
    assert!((wide(merged.as_mat()) - wide(whole.as_mat())).norm_max() < 1e-5);
}

/// An atom that nobody uses, two in a fixed proportion, and one that all use alike: the last has no
/// effect beside the offset.
#[test]
fn a_singular_system_has_an_answer() {
    let mut codes = SparseCodes::new(5, 60, 4);
    for n in 0..60 {
        let x = 1.0 + (n % 7) as f64;
        match n % 2 {
            0 => codes.set(n, &[4, 0, 1], &[2.0, x, 2.0 * x]),
            _ => codes.set(n, &[4, 2], &[2.0, x - 3.0]),
        }
    }
    let dense = dense(&codes);
    let truth = Mat::from_fn(2, 5, |i, j| (1 + i + 2 * j) as f64);
    let targets = &truth * &dense;
    for ridge in [0.0, 1e-9] {
        for offset in [false, true] {
            let rule = Paired::new().ridge(ridge).offset(offset);
            let paired = rule.solve(&sums_of(&codes, &targets)).unwrap();
            assert!(paired.ridge() > 0.0 && paired.ridge() < 1e-5, "{}", paired.ridge());
            let d = paired.as_mat();
            assert!(d.col(3).iter().all(|&x| x == 0.0), "an atom that nobody uses");
            assert_eq!(d.col(4).iter().all(|&x| x == 0.0), offset, "an atom that all use alike");
            // Atoms 0 and 1 share what they explain as they are used.
            let worst = (0..2).map(|i| (d[(i, 1)] - 2.0 * d[(i, 0)]).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-3, "{worst}");
            let predicted = paired.predict(&codes).unwrap();
            let worst = (predicted - &targets).norm_max();
            assert!(worst < 1e-3, "{worst:e}, ridge {}", paired.ridge());
        }
    }
    // Without a nonzero, what is left is the mean.
    let none = SparseCodes::new(5, 60, 4);
    let paired = Paired::new().solve(&sums_of(&none, &targets)).unwrap();
    assert_eq!(paired.as_mat().norm_max(), 0.0);
    let mut quality = PairedQuality::new(2);
    quality.add(&paired, &none, targets.as_ref()).unwrap();
    assert!((quality.fvu() - 1.0).abs() < 1e-12, "{}", quality.fvu());
}

#[test]
fn bad_arguments_are_refused() {
    let Pairs { model, samples, targets, codes, .. } = pairs::<f32>(0.0);
    let coder = BatchOmp::new();
    for ridge in [-1.0, f64::NAN, f64::INFINITY] {
        let error = Paired::new().ridge(ridge).fit(&model, &coder, &samples, &targets);
        assert_eq!(argument(error.unwrap_err()), "ridge");
    }
    let few = targets.subcols(0, 10).to_owned();
    let error = Paired::new().fit(&model, &coder, &samples, &few).unwrap_err();
    assert_eq!(argument(error), "targets of the samples");
    let none = Mat::<f32>::zeros(24, 0);
    let error = Paired::new().fit(&model, &coder, &none, &Mat::zeros(DIM, 0)).unwrap_err();
    assert!(matches!(error, Error::NoSamples { .. }), "{error}");

    assert_eq!(argument(PairedSums::<f32>::new(0, 3).unwrap_err()), "atoms");
    assert_eq!(argument(PairedSums::<f32>::new(3, 0).unwrap_err()), "dim");
    let mut sums = sums_of(&codes, &targets);
    let before = Paired::new().solve(&sums).unwrap();
    let other = SparseCodes::<f32>::new(ATOMS + 1, 6000, 3);
    assert_eq!(argument(sums.add(&other, targets.as_ref()).unwrap_err()), "codes");
    assert_eq!(argument(sums.add(&codes, samples.as_ref()).unwrap_err()), "targets");
    assert_eq!(argument(sums.add(&codes, few.as_ref()).unwrap_err()), "targets of the codes");
    let mut broken = targets.clone();
    broken[(2, 17)] = f32::NAN;
    match sums.add(&codes, broken.as_ref()).unwrap_err() {
        Error::NotFinite { sample: 6017, coordinate: 2, .. } => {}
        error => panic!("{error}"),
    }
    let mut infinite = codes.clone();
    infinite.set(3, &[1], &[f32::INFINITY]);
    assert_eq!(argument(sums.add(&infinite, targets.as_ref()).unwrap_err()), "codes");
    assert_eq!(sums.samples(), 6000);
    assert!(Paired::new().solve(&sums).unwrap() == before, "errors leave sums as they were");
    assert_eq!(
        argument(sums.merge(&PairedSums::new(3, DIM).unwrap()).unwrap_err()),
        "atoms of other"
    );
    assert_eq!(argument(sums.merge(&PairedSums::new(ATOMS, 3).unwrap()).unwrap_err()), "other");

    assert_eq!(argument(before.predict(&other).unwrap_err()), "codes");
    let mut quality = PairedQuality::new(DIM);
    assert_eq!(argument(quality.add(&before, &other, targets.as_ref()).unwrap_err()), "codes");
    assert_eq!(argument(quality.add(&before, &codes, samples.as_ref()).unwrap_err()), "targets");
    assert!(quality.add(&before, &codes, broken.as_ref()).is_err());
    assert_eq!(quality, PairedQuality::new(DIM));
    let error = PairedQuality::new(3).add(&before, &codes, targets.as_ref()).unwrap_err();
    assert_eq!(argument(error), "paired");
    let error = before.evaluate(&model, &coder, &none, &Mat::zeros(DIM, 0)).unwrap_err();
    assert!(matches!(error, Error::NoSamples { .. }), "{error}");
}

/// However large a ridge is, it is used as it was given.
#[test]
fn a_large_ridge_is_used_as_given() {
    let mut codes = SparseCodes::<f64>::new(2, 2, 2);
    codes.set(0, &[0], &[2.0]);
    codes.set(1, &[1], &[1.0]);
    let mut sums = PairedSums::<f64>::new(2, 1).unwrap();
    sums.add(&codes, mat![[3.0, 5.0]].as_ref()).unwrap();
    let ridge = 1e6;
    let found = Paired::new().offset(false).ridge(ridge).solve(&sums).unwrap();
    assert_eq!(found.ridge(), ridge);
    // B (A + λI)⁻¹ with λ = ridge · tr(A)/m.
    let lambda = ridge * 2.5;
    for (j, expected) in [6.0 / (4.0 + lambda), 5.0 / (1.0 + lambda)].into_iter().enumerate() {
        assert!((found.as_mat()[(0, j)] / expected - 1.0).abs() < 1e-12);
    }
}

#[test]
fn sums_that_overflow_are_refused() {
    let mut codes = SparseCodes::<f64>::new(2, 1, 1);
    codes.set(0, &[0], &[1e200]);
    let mut sums = PairedSums::<f64>::new(2, 1).unwrap();
    sums.add(&codes, mat![[1.0]].as_ref()).unwrap();
    let error = Paired::new().solve(&sums).unwrap_err();
    assert!(matches!(error, Error::Argument { argument: "sums", .. }), "{error}");

    // Sums of squares are in range, and products are not.
    codes.set(0, &[0], &[1e100]);
    let mut sums = PairedSums::<f64>::new(2, 1).unwrap();
    sums.add(&codes, mat![[1e300]].as_ref()).unwrap();
    let error = Paired::new().offset(false).solve(&sums).unwrap_err();
    assert!(matches!(error, Error::Argument { argument: "sums", .. }), "{error}");

    // All is in range but the atom, which is not in single precision.
    let mut codes = SparseCodes::<f32>::new(2, 1, 1);
    codes.set(0, &[0], &[1e-3]);
    let mut sums = PairedSums::<f32>::new(2, 1).unwrap();
    sums.add(&codes, mat![[3e38_f32]].as_ref()).unwrap();
    let error = Paired::new().offset(false).solve(&sums).unwrap_err();
    assert!(error.to_string().contains("finite in f32"), "{error}");
}
