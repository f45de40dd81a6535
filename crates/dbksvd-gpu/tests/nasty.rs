//! Data as they come in practice, on which coders and runs have been wrong: baselines, massive
//! coordinates, coefficients over ten decades, sinks and padding, duplicates, a clamped number. The
//! device has to do what the processor does.

use std::sync::LazyLock;

use dbksvd::backend::{PursuitKernels, Selection, SweepKernels};
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::faer::Mat;
use dbksvd::source::HeldOut;
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Faer, Outliers, ProblemShape, Sign, SparseCodes};
use dbksvd_gpu::Gpu;

/// The device that tests share, since its kernels are compiled once.
fn gpu() -> Gpu {
    static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("an adapter"));
    GPU.clone()
}

fn unit(column: &[f64]) -> Vec<f32> {
    let norm = column.iter().map(|x| x * x).sum::<f64>().sqrt();
    column.iter().map(|x| (x / norm) as f32).collect()
}

fn code<B: PursuitKernels<Scalar = f32>>(
    backend: &B,
    coder: &BatchOmp,
    (dictionary, samples): (&Mat<f32>, &Mat<f32>),
    sparsity: usize,
) -> SparseCodes<f32> {
    let (dim, atoms) = dictionary.shape();
    let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::Signed };
    let (mut d, mut y) =
        (backend.zeros(0, 0).expect("memory"), backend.zeros(0, 0).expect("memory"));
    backend.upload(dictionary.as_ref(), &mut d).expect("memory");
    backend.upload(samples.as_ref(), &mut y).expect("memory");
    let mut state = coder.prepare(backend, &shape).expect("memory");
    let mut codes = backend.codes(atoms, 0, sparsity).expect("memory");
    coder.set_dictionary(backend, &mut state, &d).expect("a sound device");
    coder.encode(backend, &state, &d, &y, &mut codes).expect("a sound device");
    backend.download_codes(&codes).expect("a sound device")
}

/// ‖Y − DX‖² in double precision.
fn error((d, y): (&Mat<f32>, &Mat<f32>), codes: &SparseCodes<f32>) -> f64 {
    let of = |i: usize| {
        let mut r: Vec<f64> = y.col(i).iter().map(|&y| f64::from(y)).collect();
        for (&j, &x) in codes.support(i).iter().zip(codes.values(i)) {
            for (r, &d) in r.iter_mut().zip(d.col(j as usize).iter()) {
                *r -= f64::from(x) * f64::from(d);
            }
        }
        r.iter().map(|r| r * r).sum::<f64>()
    };
    (0..y.ncols()).map(of).sum()
}

/// The codes of the device have the supports of the processor's and no larger error.
#[track_caller]
fn compare(name: &str, data: (&Mat<f32>, &Mat<f32>), sparsity: usize) {
    let (gpu, faer) = (gpu(), Faer::<f32>::default());
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        let coder = BatchOmp::new().selection(selection);
        let expected = code(&faer, &coder, data, sparsity);
        let halves = coder.gram_limit(3 * data.0.ncols() * data.0.ncols());
        let mut forms = vec![(coder, "by G"), (coder.gram_limit(0), "without G")];
        if selection == Selection::Correlation {
            forms.push((halves, "by G in 16 bits"));
        }
        for (coder, form) in forms {
            let name = format!("{name}, {selection:?}, {form}");
            let found = code(&gpu, &coder, data, sparsity);
            let others = (0..data.1.ncols()).filter(|&i| found.support(i) != expected.support(i));
            let others = others.count();
            let (error, of_expected) = (error(data, &found), error(data, &expected));
            assert!(others <= data.1.ncols() / 50, "{name}: {others} other supports");
            let size = f64::from(data.1.norm_l2() * f32::EPSILON);
            let near = error <= 1.01 * of_expected + size * size;
            assert!(near, "{name}: error {error:e}, on the processor {of_expected:e}");
        }
    }
}

#[test]
fn pursuits_are_those_of_the_processor() {
    let planted = Planted::new(64, 255, 5, 100).seed(7).generate::<f32>().expect("legal");
    let d = planted.dictionary.as_mat();
    let with_baseline = Mat::from_fn(64, 256, |i, j| if j < 255 { d[(i, j)] } else { 0.125 });
    for height in [0.0, 500.0, 5000.0, 50_000.0] {
        let y = Mat::from_fn(64, 100, |i, j| planted.samples[(i, j)] + height);
        compare(&format!("a baseline of {height}"), (&with_baseline, &y), 6);
    }

    let basis = Mat::from_fn(64, 64, |i, j| if i == j { 1.0 } else { 0.0 });
    let decades = Mat::from_fn(64, 50, |i, j| {
        let place = (i + 11 * j) % 64;
        if place < 6 { [1.0, -1e-2, 1e-4, 1e-6, -1e-8, 1e-10][place] } else { 0.0 }
    });
    compare("ten decades", (&basis, &decades), 6);

    let planted =
        Planted::new(32, 64, 3, 100).noise(0.01).seed(1).generate::<f32>().expect("legal");
    let d = planted.dictionary.as_mat();
    let mut massive = Mat::<f32>::zeros(32, 65);
    massive[(0, 0)] = 1.0;
    for j in 0..64 {
        let tilt = if j < 16 { 200.0 } else { 0.0 };
        let atom: Vec<f64> =
            (0..32).map(|i| f64::from(d[(i, j)]) + if i == 0 { tilt } else { 0.0 }).collect();
        massive.col_as_slice_mut(j + 1).copy_from_slice(&unit(&atom));
    }
    let y = Mat::from_fn(32, 100, |i, j| match i {
        0 => 4500.0 + 1500.0 * ((j as f32 * 0.7).sin() + (j as f32 * 1.3).cos()),
        _ => planted.samples[(i, j)],
    });
    compare("a massive coordinate", (&massive, &y), 4);
}

/// What is done to samples before a run learns from them.
#[derive(Clone, Copy)]
struct Care {
    center: bool,
    outliers: Outliers,
}

const NONE: Care = Care { center: false, outliers: Outliers::Keep };

/// The held-out FVU of a run of four epochs.
fn fit<B>(backend: B, samples: &Mat<B::Scalar>, (sign, care, seed): (Sign, Care, u64)) -> f64
where
    B: PursuitKernels + SweepKernels,
{
    let builder = DbKsvd::builder_on(backend, 64, 3).sign(sign).minibatch(300).epochs(4).seed(seed);
    let builder = builder.center(care.center).outliers(care.outliers);
    let learner = builder.held_out(HeldOut::Share(0.2)).build().expect("legal");
    let (_, report) = learner.fit(samples).expect("a fit");
    report.evaluations.last().expect("an evaluation").fvu
}

fn planted() -> Mat<f32> {
    Planted::new(32, 64, 3, 600).noise(0.05).seed(3).generate::<f32>().expect("legal").samples
}

fn changed(change: impl FnMut(usize, usize) -> f32) -> Mat<f32> {
    Mat::from_fn(32, 600, change)
}

#[test]
fn fits_are_as_good_as_on_the_processor() {
    let y = planted();
    let with_sinks = |i: usize, j: usize| match (i, j % 60) {
        (5, 0) => 300.0 + y[(i, j)],
        _ => y[(i, j)],
    };
    let padded = |i: usize, j: usize| if j % 5 == 1 { 0.0 } else { with_sinks(i, j) };
    let clamped = |i: usize, j: usize| if (i, j) == (4, 123) { 65_504.0 } else { y[(i, j)] };
    let center = |outliers| Care { center: true, outliers };
    for (name, samples, care) in [
        ("a strong mean, subtracted", changed(|i, j| y[(i, j)] + 50.0), center(Outliers::Keep)),
        ("sinks and padding", changed(padded), NONE),
        ("sinks and padding, clipped", changed(padded), center(Outliers::Clip(3.0))),
        ("sinks and padding, dropped", changed(padded), center(Outliers::Drop(3.0))),
        ("a clamped number", changed(clamped), NONE),
    ] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            let run = (sign, care, 2);
            let found = fit(gpu(), &samples, run);
            let expected = fit(Faer::<f32>::default(), &samples, run);
            let near = (found - expected).abs() <= 0.01 * expected;
            assert!(near, "{name}, {sign:?}: FVU {found}, on the processor {expected}");
        }
    }
}

/// Atoms that are nearly parallel, and samples that are atoms and occur again: a unit in the last
/// place then decides which atoms the next step takes, so that runs part. Runs of the processor
/// part as far from each other if they differ in precision, or if samples are off by such a unit.
#[test]
fn where_runs_part_those_of_the_device_are_no_worse() {
    let y = planted();
    for (name, samples) in [
        ("a strong mean", changed(|i, j| y[(i, j)] + 50.0)),
        ("a massive coordinate", changed(|i, j| if i == 0 { 3000.0 } else { 1.0 } * y[(i, j)])),
        ("duplicates", changed(|i, j| y[(i, j % 150)])),
    ] {
        let wide = Mat::from_fn(32, 600, |i, j| f64::from(samples[(i, j)]));
        let unit =
            |i: usize, j: usize| if (3 * i + 7 * j).is_multiple_of(5) { f32::EPSILON } else { 0.0 };
        let off = changed(|i, j| samples[(i, j)] * (1.0 + unit(i, j)));
        let (mut apart, mut spread, mut sums) = (0.0_f64, 0.0_f64, [0.0; 4]);
        for seed in 0..8 {
            let run = (Sign::Signed, NONE, seed);
            let fvu = [
                fit(Faer::<f32>::default(), &samples, run),
                fit(Faer::<f64>::default(), &wide, run),
                fit(Faer::<f32>::default(), &off, run),
                fit(gpu(), &samples, run),
            ];
            sums.iter_mut().zip(fvu).for_each(|(sum, fvu)| *sum += fvu);
            let from_first = |other: f64| (other / fvu[0] - 1.0).abs();
            spread = spread.max(from_first(fvu[1])).max(from_first(fvu[2]));
            apart = apart.max(from_first(fvu[3]));
        }
        assert!(apart <= 1.5 * spread, "{name}: {apart} apart, on the processor {spread}");
        let worst = sums[0].max(sums[1]).max(sums[2]);
        assert!(sums[3] <= 1.01 * worst, "{name}: {} in sum, on the processor {sums:?}", sums[3]);
    }
}
