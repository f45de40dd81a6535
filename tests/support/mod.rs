//! What the integration tests share: fixtures from `.npy` files, one call to code, comparisons.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use dbksvd::HostBackend;
use dbksvd::coder::SparseCoder;
use dbksvd::codes::{CsrParts, SparseCodes};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::{Dictionary, Encoder, Error, Model, Scalar, Sign};

/// Arrays by name, from lines `name rows columns values...`, row-major.
pub struct Arrays(HashMap<String, (usize, Vec<f64>)>);

impl Arrays {
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| {
            let mut words = line.split(' ');
            let name = words.next().expect("a name").to_owned();
            let columns = words.nth(1).expect("columns").parse().expect("a count");
            (name, (columns, words.map(|word| word.parse().expect("a number")).collect()))
        });
        Self(lines.collect())
    }

    pub fn vector(&self, name: &str) -> &[f64] {
        &self.0[name].1
    }

    pub fn number(&self, name: &str) -> f64 {
        self.vector(name)[0]
    }

    /// Whole numbers.
    pub fn indices(&self, name: &str) -> Vec<usize> {
        self.vector(name).iter().map(|&value| value as usize).collect()
    }

    /// The rows of the array as columns.
    pub fn columns<T: Scalar>(&self, name: &str) -> Mat<T> {
        let (dim, values) = &self.0[name];
        Mat::from_fn(*dim, values.len() / dim, |r, i| T::narrow(values[i * dim + r]))
    }
}

/// The values of a C-order `.npy` file below `tests/`, and its shape.
pub fn array<T: npyz::Deserialize>(path: &str) -> (Vec<usize>, Vec<T>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = npyz::NpyFile::new(BufReader::new(file)).expect("a .npy header");
    assert_eq!(file.order(), npyz::Order::C, "{}", path.display());
    let shape = file.shape().iter().map(|&size| size as usize).collect();
    (shape, file.into_vec().expect("values of the type asked for"))
}

/// A (rows, cols) file as a cols × rows matrix: samples and atoms, rows there, are columns here.
pub fn columns(path: &str) -> Mat<f64> {
    let (shape, values) = array::<f64>(path);
    let [rows, cols] = shape[..] else { panic!("{path}: shape {shape:?}, expected two axes") };
    MatRef::from_column_major_slice(&values, cols, rows).to_owned()
}

/// The matrix rounded to `T`.
pub fn narrow<T: Scalar>(matrix: MatRef<'_, f64>) -> Mat<T> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| T::narrow(matrix[(i, j)]))
}

/// The nonzeros of X (m × N) as codes of budget `sparsity`.
pub fn sparse<T: Scalar>(dense: MatRef<'_, T>, sparsity: usize) -> SparseCodes<T> {
    let mut parts = CsrParts { indices: vec![], values: vec![], offsets: vec![0] };
    for column in dense.col_iter() {
        let nonzeros = column.iter().enumerate().filter(|(_, value)| value.widen() != 0.0);
        for (atom, &value) in nonzeros {
            parts.indices.push(atom as u32);
            parts.values.push(value);
        }
        parts.offsets.push(parts.indices.len());
    }
    SparseCodes::from_csr_parts(dense.nrows(), sparsity, &parts).expect("codes within budget")
}

/// X (m × N) with its zeros.
pub fn dense<T: Scalar>(codes: &SparseCodes<T>) -> Mat<f64> {
    let mut dense = Mat::zeros(codes.atoms(), codes.samples());
    for (i, (support, values)) in codes.iter().enumerate() {
        for (&atom, value) in support.iter().zip(values) {
            dense[(atom as usize, i)] = value.widen();
        }
    }
    dense
}

/// The atoms a code uses, ascending.
pub fn sorted(support: &[u32]) -> Vec<u32> {
    let mut support = support.to_vec();
    support.sort_unstable();
    support
}

/// Codes of `samples` (d × N) with at most `sparsity` nonzeros on `dictionary`, by `coder` on the
/// backend `B`.
pub fn encode<B, C>(
    coder: C,
    dictionary: &Mat<B::Scalar>,
    samples: MatRef<'_, B::Scalar>,
    sparsity: usize,
    sign: Sign,
) -> SparseCodes<B::Scalar>
where
    B: HostBackend + Default,
    C: SparseCoder<B>,
{
    let dictionary = Dictionary::new(dictionary.clone()).expect("unit atoms");
    let model = Model::new(dictionary, None, sparsity, sign).expect("a budget within range");
    let encoder = Encoder::new(B::default(), coder, &model).expect("a coder for this shape");
    let codes = encoder.encode(samples).expect("finite samples");
    // Folds by `max` pass over what is not a number.
    assert!(codes.iter().all(|(_, values)| values.iter().all(|x| x.widen().is_finite())));
    codes
}

/// The sign of ⟨found_j, expected_j⟩, for every atom j.
pub fn signs(found: MatRef<'_, f64>, expected: MatRef<'_, f64>) -> Vec<f64> {
    (0..expected.ncols()).map(|j| (found.col(j).transpose() * expected.col(j)).signum()).collect()
}

/// The columns of `matrix`, each times its sign.
pub fn flip_columns(matrix: MatRef<'_, f64>, signs: &[f64]) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)] * signs[j])
}

/// The rows of `matrix`, each times its sign.
pub fn flip_rows(matrix: MatRef<'_, f64>, signs: &[f64]) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)] * signs[i])
}

/// Asserts that two matrices agree to `tolerance` in every entry, and names the worst one.
#[track_caller]
pub fn assert_close(found: MatRef<'_, f64>, expected: MatRef<'_, f64>, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape());
    for j in 0..expected.ncols() {
        for i in 0..expected.nrows() {
            let (found, expected) = (found[(i, j)], expected[(i, j)]);
            assert!(
                (found - expected).abs() <= tolerance,
                "entry ({i}, {j}) is {found}, expected {expected} to {tolerance:e}"
            );
        }
    }
}

/// Runs on a pool of so many threads.
pub fn on_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

/// The argument that an error names.
#[track_caller]
pub fn argument(error: Error) -> &'static str {
    match error {
        Error::Argument { argument, .. }
        | Error::Range { argument, .. }
        | Error::Dimension { argument, .. }
        | Error::NoSamples { argument } => argument,
        error => panic!("{error}"),
    }
}
