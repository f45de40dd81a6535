//! The test suite for [`SparseCoder`]s.

use faer::{Mat, MatRef};

use super::{
    assert_same_bits, assert_sound, download, magnitude, on_threads, residual, squared, upload,
};
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::codes::SparseCodes;
use crate::synthetic::{Kind, Planted};
use crate::{ProblemShape, Scalar, Sign};

/// d, m, k, N and the kind of data: the smallest sizes that are possible, m below and above d, k =
/// d = m, and more samples than fit into one block, at sizes that no vector width divides.
const PROBLEMS: [(usize, usize, usize, usize, Kind); 5] = [
    (1, 1, 1, 8, Kind::Planted),
    (8, 24, 3, 150, Kind::Correlated),
    (12, 5, 4, 20, Kind::Planted),
    (9, 9, 9, 20, Kind::Anisotropic),
    (33, 65, 5, 40, Kind::Anisotropic),
];

/// Checks `coder` on `backend` against the contract of [`SparseCoder`]: the budget, distinct atoms,
/// finite coefficients and their sign, the empty code for the zero sample, and errors that are
/// never above ‖y‖. It also checks, bit by bit, that the code of a sample does not depend on the
/// samples beside it, on its position, on the number of threads, on other threads that encode at
/// the same time with the same state, or on earlier use of the state and the codes.
///
/// With the codes, it also checks [`Backend::residual`] and [`Backend::download_codes`].
///
/// # Panics
/// If `coder` breaks the contract, or refuses small problems for both signs.
#[track_caller]
pub fn coder<B: Backend, C: SparseCoder<B>>(backend: &B, coder: &C) {
    check(backend, coder, Errors::AtMostTheSamples);
}

/// The same as [`coder`](coder()), for coders whose coefficients are not fitted to the sample, such
/// as the activations of an autoencoder's encoder. The error of their codes may be above ‖y‖ and is
/// not checked.
///
/// # Panics
/// See [`coder`](coder()).
#[track_caller]
pub fn unfitted_coder<B: Backend, C: SparseCoder<B>>(backend: &B, coder: &C) {
    check(backend, coder, Errors::Any);
}

/// How large the error of a sample's code may be.
#[derive(Clone, Copy, PartialEq)]
enum Errors {
    AtMostTheSamples,
    Any,
}

#[track_caller]
fn check<B: Backend, C: SparseCoder<B>>(backend: &B, coder: &C, errors: Errors) {
    let mut accepted = false;
    for sign in [Sign::Signed, Sign::NonNegative] {
        for (dim, atoms, sparsity, samples, kind) in PROBLEMS {
            let shape = ProblemShape { dim, atoms, sparsity, sign };
            // A coder may accept one sign only.
            if coder.check(&shape).is_err() {
                continue;
            }
            accepted = true;
            let (dictionary, samples) = problem::<B::Scalar>(&shape, samples, kind);
            Suite { backend, coder, shape, dictionary, samples }.run(errors);
        }
    }
    assert!(accepted, "the coder refuses every small problem");
    refuses_bad_shapes(backend, coder);
}

/// Threads that share a state.
const SHARING: usize = 4;

/// Samples of which some are zero, some are repeated, some are atoms, and some are large or small.
/// The last atom is a copy of the first.
fn problem<T: Scalar>(shape: &ProblemShape, samples: usize, kind: Kind) -> (Mat<T>, Mat<T>) {
    let planted = Planted::new(shape.dim, shape.atoms, shape.sparsity, samples);
    let data = planted.kind(kind).noise(0.1).seed(9).generate::<T>().expect("a legal problem");
    let mut dictionary = data.dictionary.into_mat();
    for i in 0..shape.dim {
        dictionary[(i, shape.atoms - 1)] = dictionary[(i, 0)];
    }
    let samples = Mat::from_fn(shape.dim, samples, |row, i| match i % 7 {
        1 => T::zero(),
        2 => data.samples[(row, i - 2)],
        3 => dictionary[(row, i % shape.atoms)],
        4 => T::narrow(1e9 * data.samples[(row, i)].widen()),
        5 => T::narrow(1e-9 * data.samples[(row, i)].widen()),
        _ => data.samples[(row, i)],
    });
    (dictionary, samples)
}

/// One coder on one problem.
struct Suite<'a, B: Backend, C> {
    backend: &'a B,
    coder: &'a C,
    shape: ProblemShape,
    dictionary: Mat<B::Scalar>,
    samples: Mat<B::Scalar>,
}

impl<B: Backend, C: SparseCoder<B>> Suite<'_, B, C> {
    fn run(&self, errors: Errors) {
        let codes = self.encode(self.samples.as_ref());
        self.codes_are_sound(&codes);
        if errors == Errors::AtMostTheSamples {
            self.errors_do_not_exceed_the_samples(&codes);
        }
        self.codes_depend_on_nothing_else(&codes);
        self.used_state_codes_alike(&codes);
        self.threads_share_a_state(&codes);
        self.residuals_are_those_of_the_codes();
    }

    /// The codes that a fresh state gives.
    fn encode(&self, samples: MatRef<'_, B::Scalar>) -> SparseCodes<B::Scalar> {
        let mut state = self.coder.prepare(self.backend, &self.shape).expect("memory");
        let dictionary = upload(self.backend, self.dictionary.as_ref());
        self.coder.set_dictionary(self.backend, &mut state, &dictionary).expect("a sound device");
        let mut codes = self.empty_codes();
        self.encode_with(&state, &dictionary, samples, &mut codes)
    }

    fn encode_with(
        &self,
        state: &C::State,
        dictionary: &B::Matrix,
        samples: MatRef<'_, B::Scalar>,
        codes: &mut B::Codes,
    ) -> SparseCodes<B::Scalar> {
        let y = upload(self.backend, samples);
        self.coder.encode(self.backend, state, dictionary, &y, codes).expect("a sound device");
        self.backend.synchronize().expect("a sound device");
        self.backend.download_codes(codes).expect("memory for small codes")
    }

    fn empty_codes(&self) -> B::Codes {
        let ProblemShape { atoms, sparsity, .. } = self.shape;
        self.backend.codes(atoms, 0, sparsity).expect("memory for small codes")
    }

    fn codes_are_sound(&self, codes: &SparseCodes<B::Scalar>) {
        let ProblemShape { atoms, sparsity, .. } = self.shape;
        let shape = (codes.atoms(), codes.samples(), codes.sparsity());
        assert_eq!(shape, (atoms, self.samples.ncols(), sparsity), "the shape (m, N, k) of codes");
        for i in 0..codes.samples() {
            assert_sound(codes, &self.shape, i);
            let zero = self.samples.col(i).iter().all(|y| y.widen() == 0.0);
            let support = codes.support(i);
            assert!(!zero || support.is_empty(), "sample {i} is zero and uses {support:?}");
        }
    }

    fn errors_do_not_exceed_the_samples(&self, codes: &SparseCodes<B::Scalar>) {
        let (d, y) = (self.dictionary.as_ref(), self.samples.as_ref());
        let rounding = 4.0 * (self.shape.dim + self.shape.sparsity) as f64 * B::Scalar::EPSILON;
        for i in 0..codes.samples() {
            let error = squared(residual(y, d, codes, i)).sqrt();
            let norm = squared(y.col(i).iter().map(|y| y.widen())).sqrt();
            let bound = norm + rounding * magnitude(y, codes, i);
            let shape = self.shape;
            assert!(error <= bound, "sample {i} of norm {norm:e} leaves {error:e}: {shape:?}");
        }
    }

    fn codes_depend_on_nothing_else(&self, codes: &SparseCodes<B::Scalar>) {
        let (y, n) = (self.samples.as_ref(), self.samples.ncols());
        for threads in [1, 3] {
            let found = on_threads(threads, || self.encode(y));
            assert_eq!(&found, codes, "on {threads} threads");
        }
        let backwards = Mat::from_fn(y.nrows(), n, |row, i| y[(row, n - 1 - i)]);
        let reversed = self.encode(backwards.as_ref());
        for i in 0..n {
            assert_same_code(&reversed, n - 1 - i, codes, i, "in reverse order");
        }
        for i in (0..n).step_by(n.div_ceil(5)).chain([n - 1]) {
            assert_same_code(&self.encode(y.subcols(i, 1)), 0, codes, i, "alone");
        }
        assert_eq!(self.encode(y.subcols(0, 0)).samples(), 0, "no samples have no codes");
    }

    /// A state that was used for another dictionary and other samples, and codes that are full,
    /// give the same codes.
    fn used_state_codes_alike(&self, codes: &SparseCodes<B::Scalar>) {
        let y = self.samples.as_ref();
        let mut state = self.coder.prepare(self.backend, &self.shape).expect("memory");
        let mut device_codes = self.empty_codes();
        let reversed = self.dictionary.as_ref().reverse_cols().to_owned();
        let other = upload(self.backend, reversed.as_ref());
        self.coder.set_dictionary(self.backend, &mut state, &other).expect("a sound device");
        self.encode_with(&state, &other, y, &mut device_codes);

        let dictionary = upload(self.backend, self.dictionary.as_ref());
        self.coder.set_dictionary(self.backend, &mut state, &dictionary).expect("a sound device");
        for part in [y.ncols(), y.ncols().div_ceil(2), y.ncols()] {
            let samples = y.subcols(0, part);
            let found = self.encode_with(&state, &dictionary, samples, &mut device_codes);
            assert_eq!(found.samples(), part, "codes take the sample count of y");
            for i in 0..part {
                assert_same_code(&found, i, codes, i, "with used state");
            }
        }
        let after = download(self.backend, &dictionary);
        assert_same_bits(after.as_ref(), self.dictionary.as_ref(), "the dictionary after coding");
    }

    /// Threads that encode at the same time with one state, each samples of its own, get the codes
    /// of one thread.
    fn threads_share_a_state(&self, codes: &SparseCodes<B::Scalar>) {
        let (y, n) = (self.samples.as_ref(), self.samples.ncols());
        let mut state = self.coder.prepare(self.backend, &self.shape).expect("memory");
        let dictionary = upload(self.backend, self.dictionary.as_ref());
        self.coder.set_dictionary(self.backend, &mut state, &dictionary).expect("a sound device");
        let (state, dictionary) = (&state, &dictionary);
        std::thread::scope(|scope| {
            for first in (0..n).step_by(n.div_ceil(SHARING)) {
                scope.spawn(move || {
                    let mut device_codes = self.empty_codes();
                    for count in [1, n.div_ceil(SHARING).min(n - first)] {
                        let part = y.subcols(first, count);
                        let found = self.encode_with(state, dictionary, part, &mut device_codes);
                        for i in 0..count {
                            assert_same_code(&found, i, codes, first + i, "beside other threads");
                        }
                    }
                });
            }
        });
    }

    /// The backend's R ← Y − DX agrees with the sum in f64.
    fn residuals_are_those_of_the_codes(&self) {
        let backend = self.backend;
        let (d, y) = (self.dictionary.as_ref(), self.samples.as_ref());
        let mut state = self.coder.prepare(backend, &self.shape).expect("memory");
        let (device_d, device_y) = (upload(backend, d), upload(backend, y));
        self.coder.set_dictionary(backend, &mut state, &device_d).expect("a sound device");
        let mut device_codes = self.empty_codes();
        let codes = self.encode_with(&state, &device_d, y, &mut device_codes);
        let nan = Mat::from_fn(y.nrows(), y.ncols(), |_, _| B::Scalar::narrow(f64::NAN));
        let mut r = upload(backend, nan.as_ref());
        backend.residual(&mut r, &device_y, &device_d, &device_codes);
        let r = download(backend, &r);
        assert_eq!(r.shape(), y.shape(), "the residual's shape");
        for i in 0..y.ncols() {
            let expected = residual(y, d, &codes, i);
            let terms = (self.shape.sparsity + 2) as f64;
            let bound = terms * B::Scalar::EPSILON * magnitude(y, &codes, i);
            for (row, expected) in expected.into_iter().enumerate() {
                let found = r[(row, i)].widen();
                let near = (found - expected).abs() <= bound;
                assert!(near, "residual at ({row}, {i}): {found:e}, expected {expected:e}");
            }
        }
    }
}

/// Panics unless code `i` of `found` has the same bits as code `j` of `expected`.
#[track_caller]
fn assert_same_code<T: Scalar>(
    found: &SparseCodes<T>,
    i: usize,
    expected: &SparseCodes<T>,
    j: usize,
    what: &str,
) {
    let bits = |values: &[T]| -> Vec<u64> { values.iter().map(|x| x.widen().to_bits()).collect() };
    let same = found.support(i) == expected.support(j)
        && bits(found.values(i)) == bits(expected.values(j));
    assert!(
        same,
        "sample {j} {what}: {:?} {:?}, expected {:?} {:?}",
        found.support(i),
        found.values(i),
        expected.support(j),
        expected.values(j)
    );
}

/// `check` must refuse every shape that [`ProblemShape::check`] refuses.
fn refuses_bad_shapes<B: Backend, C: SparseCoder<B>>(_: &B, coder: &C) {
    let good = ProblemShape { dim: 4, atoms: 8, sparsity: 2, sign: Sign::Signed };
    for bad in [
        ProblemShape { dim: 0, ..good },
        ProblemShape { atoms: 0, ..good },
        ProblemShape { sparsity: 0, ..good },
        ProblemShape { sparsity: 5, ..good },
        ProblemShape { dim: 16, sparsity: 9, ..good },
    ] {
        assert!(coder.check(&bad).is_err(), "the coder accepts {bad:?}");
    }
}
