//! The suite for [`Backend`]s: every kernel against [`Reference`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use faer::{Mat, MatRef};

use super::{assert_same_bits, download, on_threads, squared, upload};
use crate::Scalar;
use crate::backend::{Backend, Reference};
use crate::codes::SparseCodes;
use crate::synthetic::{Kind, Planted};

/// d, m and N: the least there is, sizes that no vector width divides, and more samples than a
/// block of columns takes.
const SHAPES: [(usize, usize, usize); 5] =
    [(1, 1, 1), (3, 5, 2), (16, 32, 128), (17, 7, 129), (9, 65, 531)];

/// Compares every kernel of `backend` with [`Reference`]: results, their shapes, independence of
/// what the destination held, zero and empty matrices, bits on one and on several threads,
/// refusals. Matrices go in by `upload` and out by `download` alone.
///
/// Codes cannot be uploaded, so [`Backend::residual`] is checked here on empty codes, and on those
/// of a coder by [`coder`](super::coder()).
///
/// # Panics
/// Where `backend` breaks the contract of [`Backend`].
#[track_caller]
pub fn backend<B: Backend>(backend: &B) {
    for (dim, atoms, samples) in SHAPES {
        let planted = Planted::new(dim, atoms, 1, samples).kind(Kind::Anisotropic).seed(5);
        let data = planted.generate::<B::Scalar>().expect("a legal problem");
        let (d, y) = (data.dictionary.as_mat(), data.samples.as_ref());
        transfers(backend, y);
        products(backend, d, y);
        residual_of_empty_codes(backend, d, y);
        norms(backend, y);
        unit_columns(backend, y);
        threads(backend, d, y);
    }
    empty_matrices(backend);
    refusals(backend);
}

/// A destination that holds NaN: of the shape asked for, of a larger and of a smaller one.
fn stale<B: Backend>(backend: &B, rows: usize, cols: usize) -> [B::Matrix; 3] {
    [(rows, cols), (rows + 3, cols + 2), (rows.div_ceil(2), cols.div_ceil(2))].map(
        |(rows, cols)| {
            let nan = Mat::from_fn(rows, cols, |_, _| B::Scalar::narrow(f64::NAN));
            upload(backend, nan.as_ref())
        },
    )
}

fn transfers<B: Backend>(backend: &B, y: MatRef<'_, B::Scalar>) {
    let zeros = backend.zeros(y.nrows(), y.ncols()).expect("memory for a small matrix");
    let zeros = download(backend, &zeros);
    assert_same_bits(zeros.as_ref(), Mat::zeros(y.nrows(), y.ncols()).as_ref(), "zeros");
    let part = y.submatrix(y.nrows() / 2, 0, y.nrows() - y.nrows() / 2, y.ncols());
    for (host, what) in
        [(y, "upload"), (y.transpose(), "upload of rows"), (part, "upload of a part")]
    {
        for mut matrix in stale(backend, host.nrows(), host.ncols()) {
            backend.upload(host, &mut matrix).expect("memory for a small matrix");
            assert_same_bits(download(backend, &matrix).as_ref(), host, what);
        }
    }
}

fn products<B: Backend>(backend: &B, d: MatRef<'_, B::Scalar>, y: MatRef<'_, B::Scalar>) {
    let (device_d, device_y) = (upload(backend, d), upload(backend, y));
    for mut c in stale(backend, d.ncols(), y.ncols()) {
        backend.matmul_tn(&mut c, &device_d, &device_y);
        assert_product(&download(backend, &c), d, y, "matmul_tn");
    }
    for mut g in stale(backend, d.ncols(), d.ncols()) {
        backend.gram(&mut g, &device_d);
        assert_product(&download(backend, &g), d, d, "gram");
    }
    assert_same_bits(download(backend, &device_d).as_ref(), d, "an input of matmul_tn");
    assert_same_bits(download(backend, &device_y).as_ref(), y, "an input of matmul_tn");
}

/// Each entry is off by at most ε times its number of terms, times ‖a_i‖ ‖b_j‖.
#[track_caller]
fn assert_product<T: Scalar>(found: &Mat<T>, a: MatRef<'_, T>, b: MatRef<'_, T>, what: &str) {
    let mut expected = Mat::zeros(0, 0);
    Reference::default().matmul_tn(&mut expected, &a.to_owned(), &b.to_owned());
    assert_eq!(found.shape(), expected.shape(), "{what}: shapes differ");
    let (a_norms, b_norms) = (column_norms(a), column_norms(b));
    let rounding = (a.nrows() + 2) as f64 * T::EPSILON;
    for j in 0..expected.ncols() {
        for i in 0..expected.nrows() {
            let bound = rounding * a_norms[i] * b_norms[j];
            assert_near(found[(i, j)].widen(), expected[(i, j)].widen(), bound, || {
                format!("{what} at ({i}, {j})")
            });
        }
    }
}

/// Fails unless the two are within `bound`; NaN never is.
#[track_caller]
fn assert_near(found: f64, expected: f64, bound: f64, what: impl Fn() -> String) {
    let near = (found - expected).abs() <= bound;
    assert!(near, "{} is {found:e}, expected {expected:e} to {bound:e}", what());
}

fn column_norms<T: Scalar>(a: MatRef<'_, T>) -> Vec<f64> {
    a.col_iter().map(|column| squared(column.iter().map(|x| x.widen())).sqrt()).collect()
}

/// Y − D·0 = Y, bit by bit; and codes come down as they were made.
fn residual_of_empty_codes<B: Backend>(
    backend: &B,
    d: MatRef<'_, B::Scalar>,
    y: MatRef<'_, B::Scalar>,
) {
    let codes = backend.codes(d.ncols(), y.ncols(), 1).expect("memory for small codes");
    let found = backend.download_codes(&codes).expect("memory for small codes");
    assert_eq!(found, SparseCodes::new(d.ncols(), y.ncols(), 1), "codes just made");
    let (device_d, device_y) = (upload(backend, d), upload(backend, y));
    for mut r in stale(backend, y.nrows(), y.ncols()) {
        backend.residual(&mut r, &device_y, &device_d, &codes);
        assert_same_bits(download(backend, &r).as_ref(), y, "the residual of empty codes");
    }
}

/// Squares are added in f64, whatever the scalar.
fn norms<B: Backend>(backend: &B, y: MatRef<'_, B::Scalar>) {
    let expected = Reference::default().squared_norm(&y.to_owned());
    let found = backend.squared_norm(&upload(backend, y));
    let bound = (y.nrows() * y.ncols() + 2) as f64 * f64::EPSILON * expected;
    assert_near(found, expected, bound, || format!("squared_norm of {:?}", y.shape()));
    let zeros = backend.zeros(y.nrows(), y.ncols()).expect("memory for a small matrix");
    assert_eq!(backend.squared_norm(&zeros), 0.0, "squared_norm of zeros");
}

/// Columns large, small and zero.
fn unit_columns<B: Backend>(backend: &B, y: MatRef<'_, B::Scalar>) {
    let scaled = Mat::from_fn(y.nrows(), y.ncols(), |i, j| {
        B::Scalar::narrow(y[(i, j)].widen() * [1.0, 0.0, 1e9, 1e-9][j % 4])
    });
    let mut expected = scaled.clone();
    Reference::default().normalize_columns(&mut expected);
    let mut matrix = upload(backend, scaled.as_ref());
    backend.normalize_columns(&mut matrix);
    let found = download(backend, &matrix);
    assert_eq!(found.shape(), expected.shape(), "normalize_columns: shapes differ");
    let bound = (y.nrows() + 4) as f64 * B::Scalar::EPSILON;
    for j in 0..expected.ncols() {
        for i in 0..expected.nrows() {
            let what = || format!("normalize_columns at ({i}, {j})");
            assert_near(found[(i, j)].widen(), expected[(i, j)].widen(), bound, what);
        }
    }
    for j in (1..y.ncols()).step_by(4) {
        let zero = found.col(j).iter().all(|x| x.widen() == 0.0);
        assert!(zero, "normalize_columns: column {j} was zero and is not any more");
    }
}

/// Every kernel gives the same bits on one thread and on three.
fn threads<B: Backend>(backend: &B, d: MatRef<'_, B::Scalar>, y: MatRef<'_, B::Scalar>) {
    let run = || {
        let (d, y) = (upload(backend, d), upload(backend, y));
        let [mut c, mut g, mut unit] = [(); 3].map(|()| upload(backend, Mat::new().as_ref()));
        backend.matmul_tn(&mut c, &d, &y);
        backend.gram(&mut g, &d);
        backend.upload(download(backend, &y).as_ref(), &mut unit).expect("memory");
        backend.normalize_columns(&mut unit);
        ([c, g, unit].map(|matrix| download(backend, &matrix)), backend.squared_norm(&y))
    };
    let (alone, norm_alone) = on_threads(1, run);
    let (together, norm_together) = on_threads(3, run);
    for (alone, together) in alone.iter().zip(&together) {
        assert_same_bits(together.as_ref(), alone.as_ref(), "on three threads");
    }
    assert_eq!(norm_together.to_bits(), norm_alone.to_bits(), "squared_norm on three threads");
}

/// Matrices without columns go through every kernel.
fn empty_matrices<B: Backend>(backend: &B) {
    let ones = Mat::from_fn(3, 2, |_, _| B::Scalar::narrow(1.0));
    let (d, y) = (upload(backend, ones.as_ref()), upload(backend, ones.as_ref().subcols(0, 0)));
    let mut c = upload(backend, ones.as_ref());
    backend.matmul_tn(&mut c, &d, &y);
    assert_eq!(download(backend, &c).shape(), (2, 0), "the product with no columns");
    let codes = backend.codes(2, 0, 1).expect("memory for small codes");
    backend.residual(&mut c, &y, &d, &codes);
    assert_eq!(download(backend, &c).shape(), (3, 0), "the residual of no samples");
    backend.normalize_columns(&mut c);
    assert_eq!(backend.squared_norm(&c), 0.0, "squared_norm of no columns");
}

/// What cannot be done is an error if it is a matter of memory, and a panic that names both shapes
/// if it is the caller's bug.
fn refusals<B: Backend>(backend: &B) {
    let beyond = backend.zeros(1 << 60, 1 << 60);
    assert!(beyond.is_err(), "zeros of more bytes than there are addresses is not an error");

    let matrix = |rows, cols| backend.zeros(rows, cols).expect("memory for a small matrix");
    assert_refused("matmul_tn of 7 × 2 and 11 × 3", ["7", "11"], || {
        backend.matmul_tn(&mut matrix(0, 0), &matrix(7, 2), &matrix(11, 3));
    });
    let codes = backend.codes(13, 3, 1).expect("memory for small codes");
    assert_refused("the residual with 11 atoms and codes over 13", ["11", "13"], || {
        backend.residual(&mut matrix(0, 0), &matrix(7, 3), &matrix(7, 11), &codes);
    });
}

/// Fails unless `call` panics with a message that holds both numbers.
#[track_caller]
fn assert_refused(what: &str, numbers: [&str; 2], call: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else { panic!("{what} did not panic") };
    let message = panic.downcast_ref::<String>().map_or("", |message| message);
    let named = numbers.iter().all(|number| message.contains(number));
    assert!(named, "the panic of {what} does not name both shapes: {message:?}");
}
