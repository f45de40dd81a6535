//! Pursuits of the device beside those of the reference, in double precision.

use std::sync::LazyLock;

use dbksvd::backend::{Backend, Selection, Tolerance};
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Faer, ProblemShape, Reference, Sign, SparseCodes};
use dbksvd_gpu::{Adapter, Gpu};

/// The device that tests share, since its kernels are compiled once.
fn gpu() -> Gpu {
    static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("an adapter"));
    GPU.clone()
}

fn code<B: Backend<Scalar = f32>>(
    backend: &B,
    coder: &BatchOmp,
    shape: &ProblemShape,
    (dictionary, samples): (MatRef<'_, f32>, MatRef<'_, f32>),
) -> SparseCodes<f32>
where
    BatchOmp: SparseCoder<B>,
{
    let upload = |host: MatRef<'_, f32>| {
        let mut matrix = backend.zeros(0, 0).expect("no memory");
        backend.upload(host, &mut matrix).expect("memory for a small matrix");
        matrix
    };
    let (d, y) = (upload(dictionary), upload(samples));
    let mut state = coder.prepare(backend, shape).expect("memory");
    let mut codes = backend.codes(shape.atoms, 0, shape.sparsity).expect("memory");
    coder.set_dictionary(backend, &mut state, &d).expect("a sound device");
    coder.encode(backend, &state, &d, &y, &mut codes).expect("a sound device");
    backend.download_codes(&codes).expect("a sound device")
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

/// y − Dx as a norm, relative to ‖y‖.
fn left(d: MatRef<'_, f32>, y: MatRef<'_, f32>, codes: &SparseCodes<f32>, i: usize) -> f64 {
    let mut r: Vec<f64> = y.col(i).iter().map(|&y| f64::from(y)).collect();
    for (&j, &x) in codes.support(i).iter().zip(codes.values(i)) {
        for (r, &d) in r.iter_mut().zip(d.col(j as usize).iter()) {
            *r -= f64::from(x) * f64::from(d);
        }
    }
    r.iter().map(|r| r * r).sum::<f64>().sqrt() / norm(y.col(i).iter().copied())
}

/// Atoms and coefficients are those of `BatchOmp` on the reference, in double precision, by rows of
/// the Gram matrix in 32 bits, in 16, and without it.
#[track_caller]
fn compare(coder: &BatchOmp, shape: &ProblemShape, d: &Mat<f32>, y: &Mat<f32>, what: &str) {
    let data = (d.as_ref(), y.as_ref());
    let gpu = gpu();
    let expected = code(&Reference::<f32>::default(), coder, shape, data);
    let halves = coder.gram_limit(3 * shape.atoms * shape.atoms);
    let mut forms = vec![(*coder, "by G"), (coder.gram_limit(0), "without G")];
    if coder.rule.selection == Selection::Correlation {
        forms.push((halves, "by G in 16 bits"));
    }
    for (coder, form) in forms {
        let found = code(&gpu, &coder, shape, data);
        compare_codes(&found, &expected, data, &format!("{what}, {form}"));
    }
}

/// Atoms and coefficients are those expected, for all samples but those whose next two atoms tie:
/// then one code is as good as the other.
#[track_caller]
fn compare_codes(
    found: &SparseCodes<f32>,
    expected: &SparseCodes<f32>,
    data: (MatRef<'_, f32>, MatRef<'_, f32>),
    what: &str,
) {
    let y = data.1;
    let (found_rows, expected_rows) = (found.to_csr_parts(), expected.to_csr_parts());
    let mut ties = 0;
    for i in 0..y.ncols() {
        let rows = |parts: &dbksvd::codes::CsrParts<f32>| {
            let range = parts.offsets[i]..parts.offsets[i + 1];
            (parts.indices[range.clone()].to_vec(), parts.values[range].to_vec())
        };
        let ((atoms, values), (expected_atoms, expected_values)) =
            (rows(&found_rows), rows(&expected_rows));
        if atoms != expected_atoms {
            let (a, b) = (left(data.0, y, found, i), left(data.0, y, expected, i));
            assert!((a - b).abs() < 1e-5, "{what}: sample {i} leaves {a}, by the book {b}");
            ties += 1;
            continue;
        }
        let apart = norm(values.iter().zip(&expected_values).map(|(a, b)| a - b));
        let size = norm(expected_values.iter().copied()).max(norm(y.col(i).iter().copied()));
        assert!(apart <= 1e-5 * size, "{what}: sample {i} is off by {apart:e} of {size:e}");
    }
    assert!(ties <= y.ncols() / 100, "{what}: {ties} samples with other atoms");
}

#[test]
fn atoms_and_coefficients_are_those_of_double_precision() {
    for kind in [Kind::Planted, Kind::Correlated, Kind::Anisotropic] {
        for (dim, atoms, sparsity) in [(64, 256, 8), (50, 333, 12)] {
            let planted = Planted::new(dim, atoms, sparsity, 100).kind(kind).noise(0.1).seed(7);
            let data = planted.generate::<f32>().expect("a legal problem");
            for sign in [Sign::Signed, Sign::NonNegative] {
                let shape = ProblemShape { dim, atoms, sparsity, sign };
                for selection in [Selection::Correlation, Selection::LeastSquares] {
                    let coder = BatchOmp::new().selection(selection);
                    let what = format!("{kind:?}, {shape:?}, {selection:?}");
                    let d = data.dictionary.as_mat().to_owned();
                    compare(&coder, &shape, &d, &data.samples, &what);
                }
            }
        }
    }
}

#[test]
fn tolerances_and_least_correlations_end_pursuits_where_double_precision_does() {
    let data = Planted::new(40, 160, 6, 200).noise(0.2).seed(3).generate::<f32>().expect("legal");
    let d = data.dictionary.as_mat().to_owned();
    for sign in [Sign::Signed, Sign::NonNegative] {
        let shape = ProblemShape { dim: 40, atoms: 160, sparsity: 15, sign };
        for coder in [
            BatchOmp::new().tolerance(Tolerance::Relative(0.25)),
            BatchOmp::new().tolerance(Tolerance::Absolute(0.7)),
            BatchOmp::new().tolerance(Tolerance::Absolute(0.0)),
            BatchOmp::new().min_correlation(0.3),
        ] {
            compare(&coder, &shape, &d, &data.samples, &format!("{coder:?}, {shape:?}"));
        }
    }
}

/// Samples that their atoms make up exactly, and near copies of atoms: rounding alone would choose.
#[test]
fn samples_without_noise_and_near_copies_are_coded_in_double_precision() {
    let data = Planted::new(32, 96, 3, 100).seed(5).generate::<f32>().expect("legal");
    let mut d = data.dictionary.as_mat().to_owned();
    for j in (1..96).step_by(8) {
        let mut atom: Vec<f32> = d.col_as_slice(j - 1).to_vec();
        atom[j % 32] += 1e-3;
        let norm = norm(atom.iter().copied()) as f32;
        d.col_as_slice_mut(j).iter_mut().zip(atom).for_each(|(d, a)| *d = a / norm);
    }
    let samples = Mat::from_fn(32, 100, |i, j| {
        let scale = [1.0, 1e-20, 1e20, 3.0][j % 4];
        scale * (2.0 * d[(i, j % 96)] - d[(i, (j * 7 + 3) % 96)] + 0.5 * d[(i, (j * 5 + 1) % 96)])
    });
    for sparsity in [3, 6] {
        let shape = ProblemShape { dim: 32, atoms: 96, sparsity, sign: Sign::Signed };
        compare(&BatchOmp::new(), &shape, &d, &samples, &format!("{shape:?}"));
    }
}

/// A Gram matrix that the device's bindings do not hold, and one of 16 GiB, are done without.
#[test]
fn codes_of_large_dictionaries_are_those_of_the_processor() {
    let limited = Gpu::with_binding_limit(&Adapter::Best, 1 << 20).expect("an adapter");
    let whole = gpu();
    for (gpu, dim, atoms, sparsity, samples) in
        [(&limited, 64, 2048, 8, 40), (&whole, 16, 65_536, 4, 6)]
    {
        let planted = Planted::new(dim, atoms, sparsity, samples).noise(0.1).seed(17);
        let data = planted.generate::<f32>().expect("a legal problem");
        let host = (data.dictionary.as_mat(), data.samples.as_ref());
        for sign in [Sign::Signed, Sign::NonNegative] {
            let shape = ProblemShape { dim, atoms, sparsity, sign };
            for selection in [Selection::Correlation, Selection::LeastSquares] {
                let coder = BatchOmp::new().selection(selection);
                let found = code(gpu, &coder, &shape, host);
                let expected = code(&Faer::<f32>::default(), &coder, &shape, host);
                compare_codes(&found, &expected, host, &format!("{shape:?}, {selection:?}"));
            }
        }
    }
}

#[test]
fn codes_may_have_128_atoms() {
    let data = Planted::new(160, 300, 20, 8).noise(0.5).seed(5).generate::<f32>().expect("legal");
    let d = data.dictionary.as_mat().to_owned();
    let shape = ProblemShape { dim: 160, atoms: 300, sparsity: 128, sign: Sign::Signed };
    compare(&BatchOmp::new(), &shape, &d, &data.samples, "128 atoms");
}

#[test]
fn two_runs_give_the_same_bits() {
    let data = Planted::new(48, 200, 6, 150).noise(0.1).generate::<f32>().expect("legal");
    for sign in [Sign::Signed, Sign::NonNegative] {
        let shape = ProblemShape { dim: 48, atoms: 200, sparsity: 6, sign };
        for bytes in [usize::MAX, 3 * 200 * 200, 0] {
            let coder = BatchOmp::new().gram_limit(bytes);
            let run = || {
                let gpu = Gpu::new().expect("an adapter");
                let host = (data.dictionary.as_mat(), data.samples.as_ref());
                code(&gpu, &coder, &shape, host)
            };
            assert_eq!(run(), run());
        }
    }
}

#[test]
fn problems_beyond_the_limits_are_refused_in_words() {
    let gpu = Gpu::new().expect("an adapter");
    let shape = ProblemShape { dim: 300, atoms: 400, sparsity: 129, sign: Sign::Signed };
    let refused = |coder: BatchOmp, shape: &ProblemShape| {
        let error = coder.prepare(&gpu, shape).expect_err("beyond the limits");
        error.to_string()
    };
    let message = refused(BatchOmp::new(), &shape);
    assert!(message.contains("129") && message.contains("128"), "{message}");
    let shape = ProblemShape { sparsity: 8, atoms: 65_537, ..shape };
    let message = refused(BatchOmp::new(), &shape);
    assert!(message.contains("65537") && message.contains("65536"), "{message}");
}
