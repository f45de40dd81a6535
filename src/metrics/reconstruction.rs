//! How well codes reproduce samples, and how often the codes use each atom.

use rayon::prelude::*;

use super::batch::{BLOCK, Batch, agree};
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::vector::vectorized;
use crate::error::Error;
use crate::model::Model;
use crate::samples::moments::{Figures, PairOfSums};
use crate::samples::spectrum::{Massive, Spectrum};
use crate::source::AsSamples;

/// Errors, variance and uses of atoms, over any number of batches of samples and their codes.
///
/// Sums are in f64. The variance is accumulated around a moving mean (Chan, Golub & LeVeque 1983),
/// so a mean that is far larger than the spread does not cancel it. Memory: 2d + m numbers, a few
/// for each class of norms and, while a batch is added, 2d more for each 256 of its samples. A
/// batch costs O(N (d + k d)), in parallel. The same batches give the same bits on any number of
/// threads.
///
/// A few samples of a hundred times the usual norm can hold nearly all of the variance, and so
/// decide every measure that is based on it. If the model has a norm limit, the same measures are
/// therefore also given for the samples [within](crate::Preprocessing::is_within) this limit.
///
/// ```
/// use dbksvd::faer::mat;
/// use dbksvd::metrics::Reconstruction;
/// use dbksvd::{Dictionary, Model, Sign, SparseCodes};
///
/// let dictionary = Dictionary::new(mat![[1.0, 0.0], [0.0, 1.0]])?;
/// let model = Model::new(dictionary, None, 1, Sign::Signed)?;
/// let samples = mat![[2.0, -2.0], [1.0, 1.0]];
/// let mut codes = SparseCodes::new(2, 2, 1);
/// codes.set(0, &[0], &[2.0]);
/// codes.set(1, &[0], &[-1.0]);
/// let mut measured = Reconstruction::new(2, 2);
/// measured.add(&model, samples.as_ref(), &codes)?;
/// assert_eq!(measured.fvu(), 3.0 / 8.0); // ‖(0, 1)‖² + ‖(−1, 1)‖² over 2 · 2²
/// assert_eq!(measured.dead_atoms().collect::<Vec<_>>(), [1]);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstruction {
    figures: Figures,
    /// Of the samples around the mean of their batch.
    spectrum: Spectrum,
    usage: Vec<u64>,
}

/// Measures `codes` as the codes of `samples` (d × N, one sample per column) under `model`. Codes
/// are decoded in double precision, and not rounded to `T` as [`Model::decode`] does.
///
/// # Errors
/// [`Error::NoSamples`] if N = 0, and those of [`Reconstruction::add`].
pub fn reconstruction<T: Scalar>(
    model: &Model<T>,
    samples: impl AsSamples<T>,
    codes: &SparseCodes<T>,
) -> Result<Reconstruction, Error> {
    let samples = samples.as_samples(model.dim())?;
    if samples.ncols() == 0 {
        return Err(Error::NoSamples { argument: "samples" });
    }
    let mut measured = Reconstruction::new(model.dim(), model.atoms());
    measured.add(model, samples, codes)?;
    Ok(measured)
}

impl Reconstruction {
    /// Measures without samples yet, for dimension `dim` and `atoms` atoms.
    #[must_use]
    pub fn new(dim: usize, atoms: usize) -> Self {
        let (figures, spectrum) = (Figures::new(dim), Spectrum::default());
        Self { figures, spectrum, usage: vec![0; atoms] }
    }

    /// Adds a batch: `samples` (d × N) and their `codes` (m × N), which are decoded by `model` in
    /// double precision.
    ///
    /// # Errors
    /// [`Error::Dimension`] if model, samples and codes do not agree in d, m and N, or do not agree
    /// with [`new`](Self::new), and [`Error::Source`] for a slice that ends within a sample;
    /// [`Error::NotFinite`] for a sample, whose index is counted from the
    /// first sample of the first batch; [`Error::Argument`] for a coefficient that is not finite or
    /// an atom that does not exist. After an error, nothing of the batch has been added.
    pub fn add<T: Scalar>(
        &mut self,
        model: &Model<T>,
        samples: impl AsSamples<T>,
        codes: &SparseCodes<T>,
    ) -> Result<(), Error> {
        let samples = samples.as_samples(model.dim())?;
        let (dim, atoms) = (self.figures.all.mean.len(), self.usage.len());
        agree("model", model.dim(), dim)?;
        agree("atoms of the model", model.atoms(), atoms)?;
        let batch = Batch::new(model, samples, codes, self.samples())?;
        let blocks: Vec<Result<Figures, Error>> = (0..samples.ncols().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| figures(&batch, model, block * BLOCK))
            .collect();
        // The blocks are added in order, so that the first bad sample is reported and sums are
        // always the same.
        let mut figures = Figures::new(dim);
        for block in blocks {
            figures.merge(&block?);
        }
        self.spectrum.merge(&spectrum(&batch, &figures.all.mean)?);
        self.figures.merge(&figures);
        for (support, values) in codes.iter() {
            for (&atom, &value) in support.iter().zip(values) {
                self.usage[atom as usize] += u64::from(value != T::zero());
            }
        }
        Ok(())
    }

    /// Adds the samples that `other` has measured.
    ///
    /// # Errors
    /// [`Error::Dimension`] if `other` is for another dimension or number of atoms.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        agree("other", other.figures.all.mean.len(), self.figures.all.mean.len())?;
        agree("atoms of other", other.usage.len(), self.usage.len())?;
        self.figures.merge(&other.figures);
        self.spectrum.merge(&other.spectrum);
        self.usage.iter_mut().zip(&other.usage).for_each(|(sum, &uses)| *sum += uses);
        Ok(())
    }

    /// Number of samples N added so far.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.figures.all.samples
    }

    /// Number of these samples that lie [within](crate::Preprocessing::is_within) the norm limit of
    /// the model with which they were added. Without a norm limit, all samples count.
    #[must_use]
    pub fn samples_within(&self) -> usize {
        self.figures.within.samples
    }

    /// The mean ȳ of the samples, of length d; zero before the first sample.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.figures.all.mean
    }

    /// Σ‖y − ŷ‖².
    #[must_use]
    pub fn squared_error(&self) -> f64 {
        self.figures.all.error
    }

    /// Fraction of variance unexplained, Σ‖y − ŷ‖² / Σ‖y − ȳ‖². 0 is perfect, 1 is reached by the
    /// mean alone, and values above 1 are possible.
    ///
    /// Equal samples, and a single sample, have no variance. The value is then NaN if they are
    /// reproduced exactly, and infinite otherwise. Without samples it is NaN.
    #[must_use]
    pub fn fvu(&self) -> f64 {
        self.figures.all.fvu()
    }

    /// The fraction of variance unexplained of the samples within the norm limit, around their own
    /// mean. Use this figure if other samples are of extreme norm. If all samples are within the
    /// limit, or none is, it equals [`fvu`](Self::fvu).
    #[must_use]
    pub fn fvu_within(&self) -> f64 {
        self.figures.fvu_within()
    }

    /// The few samples that hold most of the variance, if there are such: under 1% of all that hold
    /// over half of it. [`fvu`](Self::fvu) is then mostly theirs. Distances are from the mean of
    /// the batch with which a sample was added, so batches should have some thousands of samples.
    #[must_use]
    pub fn massive(&self) -> Option<Massive> {
        self.spectrum.massive()
    }

    /// Explained variance, 1 − [`fvu`](Self::fvu). It is NaN or −∞ if the samples have no variance.
    #[must_use]
    pub fn explained_variance(&self) -> f64 {
        1.0 - self.fvu()
    }

    /// Σ‖y − ŷ‖² / Σ‖y‖²: 0 is perfect, 1 is reached by empty codes. If all samples are zero, the
    /// value is 0 if they are reproduced exactly, and infinite otherwise. Without samples it is
    /// NaN.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        self.figures.all.relative_error()
    }

    /// L0: the mean number of coefficients ≠ 0 per sample; NaN without samples.
    #[must_use]
    pub fn l0(&self) -> f64 {
        self.usage.iter().sum::<u64>() as f64 / self.samples() as f64
    }

    /// For each atom, the number of samples that use it with a coefficient ≠ 0.
    #[must_use]
    pub fn usage(&self) -> &[u64] {
        &self.usage
    }

    /// For each atom, the share of samples that use it, 0 to 1; NaN without samples.
    #[must_use]
    pub fn densities(&self) -> Vec<f64> {
        self.usage.iter().map(|&uses| uses as f64 / self.samples() as f64).collect()
    }

    /// The atoms that no sample uses, in order.
    pub fn dead_atoms(&self) -> impl Iterator<Item = usize> {
        (0..self.usage.len()).filter(|&atom| self.usage[atom] == 0)
    }
}

/// The figures of one block of the samples of `batch`; the block starts at sample `first`.
fn figures<T: Scalar>(
    batch: &Batch<'_, T>,
    model: &Model<T>,
    first: usize,
) -> Result<Figures, Error> {
    let dim = batch.dim();
    let last = (first + BLOCK).min(batch.samples());
    let (mut sample, mut decoded) = (vec![T::zero(); dim], vec![0.0; dim]);
    let (mut sums, mut scratch) = (PairOfSums::new(dim), Vec::new());
    // Squared differences per coordinate: of the samples within the limit, and of the others.
    let (mut within, mut outside) = (vec![0.0; dim], vec![0.0; dim]);
    for i in first..last {
        batch.read(i, &mut sample)?;
        let is_outside = !model.preprocessing().is_within_by(&sample, &mut scratch);
        sums.add(&sample, is_outside);
        batch.decode(i, &mut decoded)?;
        let errors = if is_outside { &mut outside } else { &mut within };
        add_squared_differences(errors, &sample, &decoded);
    }
    let within: f64 = within.iter().sum();
    Ok(sums.finish(within + outside.iter().sum::<f64>(), within))
}

/// The spectrum of all samples of `batch` around `mean`, by blocks in their order.
fn spectrum<T: Scalar>(batch: &Batch<'_, T>, mean: &[f64]) -> Result<Spectrum, Error> {
    let blocks: Vec<Result<Spectrum, Error>> = (0..batch.samples().div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let mut sample = vec![T::zero(); batch.dim()];
            let mut spectrum = Spectrum::default();
            for i in block * BLOCK..((block + 1) * BLOCK).min(batch.samples()) {
                batch.read(i, &mut sample)?;
                spectrum.include(&sample, mean);
            }
            Ok(spectrum)
        })
        .collect();
    let mut spectrum = Spectrum::default();
    for block in blocks {
        spectrum.merge(&block?);
    }
    Ok(spectrum)
}

vectorized! {
    /// squares ← squares + (a − b)², coordinate by coordinate.
    fn add_squared_differences<'a, T>(squares: &'a mut [f64], a: &'a [T], b: &'a [f64]) {
        for ((square, a), b) in squares.iter_mut().zip(a).zip(b) {
            let difference = a.widen() - b;
            *square += difference * difference;
        }
    }
}
