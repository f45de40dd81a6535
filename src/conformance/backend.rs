//! The test suite for [`Backend`]s, which compares every kernel with [`Reference`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use faer::{Mat, MatRef};

use super::{assert_same_bits, download, on_threads, squared, upload};
use crate::Scalar;
use crate::backend::Backend;
use crate::codes::SparseCodes;
use crate::reference::Reference;
use crate::synthetic::{Kind, Planted};

/// d, m and N: the smallest sizes that are possible, sizes that no vector width divides, and more
/// samples than fit into one block of columns.
const SHAPES: [(usize, usize, usize); 5] =
    [(1, 1, 1), (3, 5, 2), (16, 32, 128), (17, 7, 129), (9, 65, 531)];

/// Compares every kernel of `backend` with [`Reference`]. It checks results and their shapes, that
/// results do not depend on the former content of the destination, zero and empty matrices, that
/// bits are the same on one and on several threads (and beside uploads on another thread, for a
/// backend that [overlaps](Backend::overlaps_uploads) them), and that errors and panics occur where
/// they must. Matrices are only uploaded and downloaded.
///
/// # Panics
/// If `backend` breaks the contract of [`Backend`].
#[track_caller]
pub fn backend<B: Backend>(backend: &B) {
    for (dim, atoms, samples) in SHAPES {
        let planted = Planted::new(dim, atoms, 1, samples).kind(Kind::Anisotropic).seed(5);
        let data = planted.generate::<B::Scalar>().expect("a legal problem");
        let (d, y) = (data.dictionary.as_mat(), data.samples.as_ref());
        transfers(backend, y);
        columns(backend, y);
        codes_and_residual(backend, d, y);
        norms(backend, y);
        unit_columns(backend, y);
        threads(backend, y);
        if backend.overlaps_uploads() {
            uploads_meanwhile(backend, y);
        }
    }
    empty_matrices(backend);
    refusals(backend);
}

/// Destinations that hold NaN: one of the requested shape, a larger one and a smaller one.
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

/// Panics unless the two numbers differ by at most `bound`; NaN always fails.
#[track_caller]
fn assert_near(found: f64, expected: f64, bound: f64, what: impl Fn() -> String) {
    let near = (found - expected).abs() <= bound;
    assert!(near, "{} is {found:e}, expected {expected:e} to {bound:e}", what());
}

/// Columns that are downloaded by index are unchanged, and uploading one column changes only that
/// one.
fn columns<B: Backend>(backend: &B, y: MatRef<'_, B::Scalar>) {
    let named = [y.ncols() - 1, 0, y.ncols() / 2];
    let expected = Mat::from_fn(y.nrows(), named.len(), |i, j| y[(i, named[j])]);
    let mut matrix = upload(backend, y);
    let found = backend.download_columns(&matrix, &named).expect("memory for a small matrix");
    assert_same_bits(found.as_ref(), expected.as_ref(), "download_columns");
    let ones = vec![B::Scalar::narrow(1.0); y.nrows()];
    backend.upload_column(&ones, &mut matrix, y.ncols() / 2).expect("a sound device");
    let mut expected = y.to_owned();
    expected.col_as_slice_mut(y.ncols() / 2).copy_from_slice(&ones);
    let found = download(backend, &matrix);
    assert_same_bits(found.as_ref(), expected.as_ref(), "upload_column");
}

/// Codes of up to two of m atoms.
fn some_codes<T: Scalar>(atoms: usize, samples: usize) -> SparseCodes<T> {
    let mut codes = SparseCodes::new(atoms, samples, 2);
    for i in 0..samples {
        let pair = [i % atoms, (3 * i + 1) % atoms].map(|j| j as u32);
        let values = [1.5, -0.25].map(|x| T::narrow(x * (1.0 + i as f64)));
        let count = if pair[0] == pair[1] { 1 } else { i % 3 };
        codes.set(i, &pair[..count.min(2)], &values[..count.min(2)]);
    }
    codes
}

/// Downloaded codes are those that were uploaded, with the same number of nonzeros. Y − DX is that
/// of the reference, and Y − D·0 is Y, bit by bit.
fn codes_and_residual<B: Backend>(backend: &B, d: MatRef<'_, B::Scalar>, y: MatRef<'_, B::Scalar>) {
    let (atoms, samples) = (d.ncols(), y.ncols());
    let mut codes = backend.codes(atoms, samples, 2).expect("memory for small codes");
    let found = backend.download_codes(&codes).expect("memory for small codes");
    assert_eq!(found, SparseCodes::new(atoms, samples, 2), "codes just made");
    let (device_d, device_y) = (upload(backend, d), upload(backend, y));
    for mut r in stale(backend, y.nrows(), samples) {
        backend.residual(&mut r, &device_y, &device_d, &codes);
        assert_same_bits(download(backend, &r).as_ref(), y, "the residual of empty codes");
    }
    let host = some_codes::<B::Scalar>(atoms, samples);
    backend.upload_codes(&host, &mut codes).expect("memory for small codes");
    let found = backend.download_codes(&codes).expect("memory for small codes");
    assert_eq!(found, host, "codes that were uploaded");
    assert_eq!(backend.nonzeros(&codes).expect("a sound device"), host.nnz(), "nonzeros");
    let mut r = upload(backend, y);
    backend.residual(&mut r, &device_y, &device_d, &codes);
    let found = download(backend, &r);
    let mut expected = Mat::zeros(0, 0);
    Reference::default().residual(&mut expected, &y.to_owned(), &d.to_owned(), &host);
    for i in 0..samples {
        let sizes = host.values(i).iter().map(|x| x.widen().abs()).sum::<f64>();
        let bound =
            8.0 * B::Scalar::EPSILON * (sizes + squared(y.col(i).iter().map(|y| y.widen())).sqrt());
        for row in 0..y.nrows() {
            let what = || format!("the residual at ({row}, {i})");
            assert_near(found[(row, i)].widen(), expected[(row, i)].widen(), bound, what);
        }
    }
}

/// Squares are summed in f64 for every scalar.
fn norms<B: Backend>(backend: &B, y: MatRef<'_, B::Scalar>) {
    let expected = Reference::default().squared_norm(&y.to_owned()).expect("host memory");
    let found = backend.squared_norm(&upload(backend, y)).expect("a sound device");
    let bound = (y.nrows() * y.ncols() + 2) as f64 * f64::EPSILON * expected;
    assert_near(found, expected, bound, || format!("squared_norm of {:?}", y.shape()));
    let zeros = backend.zeros(y.nrows(), y.ncols()).expect("memory for a small matrix");
    assert_eq!(backend.squared_norm(&zeros).expect("a sound device"), 0.0, "squared_norm of zeros");
}

/// Columns that are large, small and zero are scaled to norm 1.
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
fn threads<B: Backend>(backend: &B, y: MatRef<'_, B::Scalar>) {
    let run = || {
        let (y, mut unit) = (upload(backend, y), upload(backend, y));
        backend.normalize_columns(&mut unit);
        (download(backend, &unit), backend.squared_norm(&y).expect("a sound device"))
    };
    let (alone, norm_alone) = on_threads(1, run);
    let (together, norm_together) = on_threads(3, run);
    assert_same_bits(together.as_ref(), alone.as_ref(), "on three threads");
    assert_eq!(norm_together.to_bits(), norm_alone.to_bits(), "squared_norm on three threads");
}

/// What a thread uploads and what another computes meanwhile have nothing to do with each other.
fn uploads_meanwhile<B: Backend>(backend: &B, y: MatRef<'_, B::Scalar>) {
    const TIMES: usize = 20;
    let unit_columns = || {
        let mut unit = upload(backend, y);
        backend.normalize_columns(&mut unit);
        backend.synchronize().expect("a sound device");
        download(backend, &unit)
    };
    let alone = unit_columns();
    std::thread::scope(|scope| {
        let uploader = scope.spawn(|| {
            let mut uploaded = upload(backend, y);
            for _ in 0..TIMES {
                backend.upload(y, &mut uploaded).expect("memory for a small matrix");
            }
            uploaded
        });
        for _ in 0..TIMES {
            assert_same_bits(unit_columns().as_ref(), alone.as_ref(), "a kernel beside uploads");
        }
        let uploaded = uploader.join().expect("a thread that uploads");
        let content = download(backend, &uploaded);
        assert_same_bits(content.as_ref(), y, "uploads beside kernels");
    });
}

/// Every kernel accepts matrices without columns.
fn empty_matrices<B: Backend>(backend: &B) {
    let ones = Mat::from_fn(3, 2, |_, _| B::Scalar::narrow(1.0));
    let (d, y) = (upload(backend, ones.as_ref()), upload(backend, ones.as_ref().subcols(0, 0)));
    let mut c = upload(backend, ones.as_ref());
    let codes = backend.codes(2, 0, 1).expect("memory for small codes");
    backend.residual(&mut c, &y, &d, &codes);
    assert_eq!(download(backend, &c).shape(), (3, 0), "the residual of no samples");
    backend.normalize_columns(&mut c);
    assert_eq!(
        backend.squared_norm(&c).expect("a sound device"),
        0.0,
        "squared_norm of no columns"
    );
}

/// A lack of memory is an error. A wrong shape is a bug of the caller, and so a panic that names
/// both shapes.
fn refusals<B: Backend>(backend: &B) {
    let beyond = backend.zeros(1 << 60, 1 << 60);
    assert!(beyond.is_err(), "zeros of more bytes than there are addresses is not an error");

    let matrix = |rows, cols| backend.zeros(rows, cols).expect("memory for a small matrix");
    let codes = backend.codes(13, 3, 1).expect("memory for small codes");
    assert_refused("the residual with 11 atoms and codes over 13", ["11", "13"], || {
        backend.residual(&mut matrix(0, 0), &matrix(7, 3), &matrix(7, 11), &codes);
    });
}

/// Panics unless `call` panics with a message that contains both numbers.
#[track_caller]
fn assert_refused(what: &str, numbers: [&str; 2], call: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(call)) else { panic!("{what} did not panic") };
    let message = panic.downcast_ref::<String>().map_or("", |message| message);
    let named = numbers.iter().all(|number| message.contains(number));
    assert!(named, "the panic of {what} does not name both shapes: {message:?}");
}
