//! The data of a round, in the forms that the crates want.

use dbksvd::coder::BatchOmp;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::metrics::reconstruction;
use dbksvd::synthetic::Planted;
use dbksvd::{Dictionary, Model, Sign, SparseCodes};
use oxicuda_cs::LcgRng;
use oxicuda_cs::dictionary::k_svd;

use crate::Arguments;
use crate::program::Outcome;

/// Samples that are measured on, and never learned from.
pub const HELD_OUT: usize = 10_000;
const NOISE: f64 = 0.05;

/// Samples of a planted dictionary, 5% noise, and the dictionary that all learners start from.
pub struct Problem {
    pub seed: u64,
    pub sparsity: usize,
    pub passes: usize,
    /// The planted dictionary.
    pub truth: Dictionary<f64>,
    /// Distinct samples, as `oxicuda-cs` draws them: it takes no dictionary to start from.
    pub start: Dictionary<f64>,
    /// d × N, a sample a column.
    pub train: Mat<f64>,
    pub train_f32: Mat<f32>,
    /// The same, row by row.
    pub train_rows: Vec<f64>,
    pub held_out: Mat<f64>,
    pub held_out_f32: Mat<f32>,
    /// How many of the held-out samples a coder gets that takes one at a time.
    pub coded: usize,
}

impl Problem {
    pub fn draw(asked: &Arguments, seed: u64) -> Outcome<Self> {
        let [dim, atoms, sparsity] = asked.shape;
        let samples = asked.samples;
        let planted = Planted::new(dim, atoms, sparsity, samples + HELD_OUT);
        let data = planted.noise(NOISE).seed(seed).generate::<f64>()?;
        let train = data.samples.subcols(0, samples).to_owned();
        let held_out = data.samples.subcols(samples, HELD_OUT).to_owned();
        let train_rows = rows(train.as_ref());
        // No iteration at all gives its start.
        let rng = &mut LcgRng::new(seed);
        let start = k_svd(&train_rows, dim, samples, atoms, sparsity, 0, 0.0, rng)?.dict;
        Ok(Self {
            seed,
            sparsity,
            passes: asked.passes,
            truth: data.dictionary,
            start: dictionary(&start, dim)?,
            train_f32: single(train.as_ref()),
            train,
            train_rows,
            held_out_f32: single(held_out.as_ref()),
            held_out,
            coded: asked.coded,
        })
    }

    /// (d, m, k).
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.truth.dim(), self.truth.atoms(), self.sparsity)
    }

    /// A model that codes with `dictionary`.
    pub fn model(&self, dictionary: &Dictionary<f64>) -> Outcome<Model<f64>> {
        Ok(Model::new(dictionary.clone(), None, self.sparsity, Sign::Signed)?)
    }

    /// ‖Y − DX‖² / ‖Y‖² of the held-out samples, by this crate's OMP in double precision.
    pub fn error(&self, dictionary: &Dictionary<f64>) -> Outcome<f64> {
        let codes = self.model(dictionary)?.encode(&BatchOmp::new(), &self.held_out)?;
        self.error_of(dictionary, &codes)
    }

    /// The same of the first held-out samples, those that `codes` are of.
    pub fn error_of(&self, dictionary: &Dictionary<f64>, codes: &SparseCodes<f64>) -> Outcome<f64> {
        let samples = self.held_out.subcols(0, codes.samples());
        Ok(reconstruction(&self.model(dictionary)?, samples, codes)?.relative_error())
    }
}

/// Row by row, as `oxicuda-cs` has its matrices.
pub fn rows(matrix: MatRef<'_, f64>) -> Vec<f64> {
    matrix.row_iter().flat_map(|row| row.iter().copied()).collect()
}

/// The atoms of a d × m matrix that lies row by row. Atoms that came to nothing are left out.
pub fn dictionary(rows: &[f64], dim: usize) -> Outcome<Dictionary<f64>> {
    let all = MatRef::from_row_major_slice(rows, dim, rows.len() / dim);
    let alive: Vec<_> = all.col_iter().filter(|atom| atom.norm_l2() > 0.0).collect();
    Ok(Dictionary::normalized(Mat::from_fn(dim, alive.len(), |i, j| alive[j][i]))?)
}

/// Rounded to single precision.
pub fn single(matrix: MatRef<'_, f64>) -> Mat<f32> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)] as f32)
}
