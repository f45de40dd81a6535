//! The samples: those learned from, those held out, and their principal directions.

use std::path::Path;

use dbksvd::Dictionary;
use dbksvd::faer::{Mat, MatRef, Side};
use dbksvd::source::{self, SampleSource};

use crate::program::Outcome;

/// A column a sample; the last ones are held out.
pub struct Data {
    samples: Mat<f32>,
    learned: usize,
}

impl Data {
    pub fn read(path: &Path, held_out: usize) -> Outcome<Self> {
        let file = source::open(path, None)?;
        let (dim, count) = (SampleSource::<f32>::dim(&file), SampleSource::<f32>::len(&file));
        if held_out + 2 > count {
            let path = path.display();
            return Err(format!("--held-out {held_out}: {path} has {count} rows").into());
        }
        source::check_rounding::<f32>(&file)?;
        let mut values = vec![0.0_f32; dim * count];
        file.read(0..count, &mut values)?;
        let samples = MatRef::from_column_major_slice(&values, dim, count).to_owned();
        Ok(Self { samples, learned: count - held_out })
    }

    pub fn all(&self) -> MatRef<'_, f32> {
        self.samples.as_ref()
    }

    pub fn learned(&self) -> MatRef<'_, f32> {
        self.samples.as_ref().subcols(0, self.learned)
    }

    pub fn held_out(&self) -> MatRef<'_, f32> {
        self.samples.as_ref().subcols(self.learned, self.samples.ncols() - self.learned)
    }

    pub fn dim(&self) -> usize {
        self.samples.nrows()
    }

    /// The coordinates of all samples in the first principal directions of those learned from, less
    /// their mean.
    pub fn reduced(&self, directions: usize) -> Outcome<Self> {
        let Principal { mean, directions } = self.principal(directions)?;
        let centred = Mat::from_fn(self.dim(), self.samples.ncols(), |i, n| {
            f64::from(self.samples[(i, n)]) - mean[i]
        });
        let coordinates = directions.transpose() * &centred;
        let samples = Mat::from_fn(coordinates.nrows(), coordinates.ncols(), |i, n| {
            coordinates[(i, n)] as f32
        });
        Ok(Self { samples, learned: self.learned })
    }

    /// The first principal directions of the samples learned from, the largest variance first.
    pub fn principal(&self, directions: usize) -> Outcome<Principal> {
        let dim = self.dim();
        if directions == 0 || directions > dim {
            return Err(format!("{directions} principal directions of dimension {dim}").into());
        }
        let samples = self.learned();
        let count = samples.ncols() as f64;
        let mean: Vec<f64> = (0..dim)
            .map(|i| samples.row(i).iter().map(|&x| f64::from(x)).sum::<f64>() / count)
            .collect();
        let centred =
            Mat::from_fn(dim, samples.ncols(), |i, n| f64::from(samples[(i, n)]) - mean[i]);
        let covariance = &centred * centred.transpose();
        let eigen = covariance
            .self_adjoint_eigen(Side::Lower)
            .map_err(|error| format!("no principal directions: {error:?}"))?;
        let last = eigen.U().subcols(dim - directions, directions);
        Ok(Principal { mean, directions: last.reverse_cols().to_owned() })
    }
}

/// What principal component analysis gives.
pub struct Principal {
    pub mean: Vec<f64>,
    /// d × directions, orthonormal.
    pub directions: Mat<f64>,
}

impl Principal {
    pub fn dictionary(&self) -> Outcome<Dictionary<f32>> {
        let directions = &self.directions;
        Ok(Dictionary::normalized(Mat::from_fn(directions.nrows(), directions.ncols(), |i, j| {
            directions[(i, j)] as f32
        }))?)
    }

    pub fn mean(&self) -> Vec<f32> {
        self.mean.iter().map(|&x| x as f32).collect()
    }
}
