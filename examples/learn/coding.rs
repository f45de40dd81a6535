//! Codes and measures of any number of rows, batch by batch.

use std::time::Instant;

use dbksvd::coder::Selection;
use dbksvd::faer::MatRef;
use dbksvd::learn::Seconds;
use dbksvd::metrics::Reconstruction;
use dbksvd::source::{SampleSource, Subset, check_rounding};
use dbksvd::{Error, Model, Scalar, SparseCodes};

use crate::dataset::{Rows, failure};
use crate::failure::Failure;
use crate::model_encoder::ModelEncoder;

/// Rows read and coded at a time.
const BATCH: usize = 4096;

/// Codes of all rows of files; rows that are left out have empty ones.
pub struct Kept<T> {
    pub codes: SparseCodes<T>,
    /// Of each row, whether it is used and within the norm limit.
    pub within: Vec<bool>,
}

/// Codes rows with a model that no longer changes.
pub struct Coding<'a, T: Scalar> {
    model: &'a Model<T>,
    encoder: ModelEncoder<T>,
    seconds: Seconds,
}

impl<'a, T: Scalar> Coding<'a, T> {
    /// By a pursuit with this selection, or by the model's own coder.
    pub fn new(model: &'a Model<T>, selection: Option<Selection>) -> Result<Self, Failure> {
        let start = Instant::now();
        let encoder = ModelEncoder::new(model, selection)?;
        let elapsed = start.elapsed().as_secs_f64();
        Ok(Self {
            model,
            encoder,
            seconds: Seconds { encode: elapsed, total: elapsed, ..Seconds::default() },
        })
    }

    /// Empty codes of so many rows.
    pub fn kept(&self, rows: usize) -> Kept<T> {
        Kept {
            codes: SparseCodes::new(self.model.atoms(), rows, self.model.sparsity()),
            within: vec![false; rows],
        }
    }

    /// Measures of no rows yet.
    pub fn nothing(&self) -> Reconstruction {
        Reconstruction::new(self.model.dim(), self.model.atoms())
    }

    /// Adds to `measured` how well `rows` are reproduced, and puts their codes into `keep`, each in
    /// the place that its row has in the files.
    pub fn measure(
        &mut self,
        rows: &Subset<&Rows>,
        measured: &mut Reconstruction,
        mut keep: Option<&mut Kept<T>>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let (model, dim) = (self.model, self.model.dim());
        let in_rows = |error: Error| failure(error, rows.source());
        check_rounding::<T>(rows).map_err(in_rows)?;
        let mut buffer = vec![T::default(); dim * BATCH.min(rows.samples())];
        for first in (0..rows.samples()).step_by(BATCH) {
            let last = (first + BATCH).min(rows.samples());
            let values = &mut buffer[..(last - first) * dim];
            rows.read(first..last, values).map_err(|error| in_rows(error.into()))?;
            let samples = MatRef::from_column_major_slice(values, dim, last - first);
            let encode = Instant::now();
            let codes = self
                .encoder
                .encode(samples)
                .map_err(|error| in_rows(counted_from(rows, first, error)))?;
            self.seconds.encode += encode.elapsed().as_secs_f64();
            measured.add(model, samples, &codes)?;
            if let Some(Kept { codes: all, within }) = &mut keep {
                let places = rows.ranges_in_source(first..last).flatten();
                let preprocessing = model.preprocessing();
                for ((place, (support, values)), row) in
                    places.zip(codes.iter()).zip(values.chunks(dim))
                {
                    all.set(place, support, values);
                    within[place] = preprocessing.is_within(row);
                }
            }
        }
        self.seconds.total += start.elapsed().as_secs_f64();
        Ok(())
    }

    /// The time it took; `other` is reading and measuring.
    pub fn seconds(&self) -> Seconds {
        Seconds { other: self.seconds.total - self.seconds.encode, ..self.seconds }
    }
}

/// An error about a batch as one about the files that the batch begins at row `first` of.
fn counted_from(rows: &Subset<&Rows>, first: usize, error: Error) -> Error {
    match error {
        Error::NotFinite { sample, coordinate, value } => {
            let sample = SampleSource::<f32>::origin(rows, first + sample);
            Error::NotFinite { sample, coordinate, value }
        }
        error => error,
    }
}
