//! How faithful the reconstructions of single samples are, by the measures of SAE tools.

use dbksvd::faer::MatRef;
use dbksvd::source::AsSamples;
use dbksvd::{Error, Model, Scalar, SparseCodes};
use rayon::prelude::*;

use crate::vector::first_not_finite;

/// Samples that one task sums. The number is fixed, so that results do not depend on the number of
/// threads.
const BLOCK: usize = 256;

/// Comparisons of samples y with their reconstructions ŷ, as means over the samples, and the ratios
/// that SAE tools print beside these means.
///
/// A mean of ratios gives every sample the same weight, however small the sample is. A ratio of
/// sums ([`Reconstruction`](dbksvd::metrics::Reconstruction)) weighs samples by their energy. The
/// two differ, and some tools use the same name for different measures. Each method therefore says
/// whose measure it is.
///
/// ```
/// use dbksvd::faer::mat;
/// use dbksvd::{Dictionary, Model, Sign, SparseCodes};
/// use dbksvd_sae::metrics::fidelity;
///
/// let dictionary = Dictionary::new(mat![[1.0, 0.0], [0.0, 1.0]])?;
/// let model = Model::new(dictionary, None, 1, Sign::Signed)?;
/// let mut codes = SparseCodes::new(2, 2, 1);
/// codes.set(0, &[0], &[3.0]);
/// codes.set(1, &[1], &[1.0]);
/// let measured = fidelity(&model, mat![[3.0, 0.0], [4.0, 2.0]].as_ref(), &codes)?;
/// assert_eq!(measured.cosine(), (0.6 + 1.0) / 2.0);
/// assert_eq!(measured.l2_ratio(), (0.6 + 0.5) / 2.0);
/// assert_eq!(measured.mean_relative_error(), (0.64 + 0.25) / 2.0);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fidelity {
    samples: usize,
    /// Number of samples that are not zero.
    nonzero: usize,
    /// Number of samples that differ from the mean of all samples.
    spread: usize,
    cosines: f64,
    ratios: f64,
    relative_errors: f64,
    legacy: f64,
    error: f64,
    decoded_energy: f64,
    overlap: f64,
}

/// Compares `samples` (d × N) with their `codes`, which are decoded by `model` in double precision.
///
/// O(N (d + k d)), in parallel. Memory: 2d numbers for each 256 samples. Results have the same bits
/// on any number of threads.
///
/// # Errors
/// [`Error::NoSamples`] if N = 0; [`Error::Dimension`] if samples, codes and model do not fit
/// together, and [`Error::Source`] for a slice that ends within a sample; [`Error::NotFinite`] for
/// a sample; [`Error::Argument`] for a coefficient that is not finite or an atom that does not
/// exist.
pub fn fidelity<T: Scalar>(
    model: &Model<T>,
    samples: impl AsSamples<T>,
    codes: &SparseCodes<T>,
) -> Result<Fidelity, Error> {
    let batch = Batch::new(model, samples.as_samples(model.dim())?, codes)?;
    if batch.samples() == 0 {
        return Err(Error::NoSamples { argument: "samples" });
    }
    let blocks = || (0..batch.samples().div_ceil(BLOCK)).into_par_iter();
    let sums: Vec<_> = blocks().map(|block| sum(&batch, block * BLOCK)).collect();
    let mut mean = vec![0.0; batch.dim()];
    for sum in sums {
        mean.iter_mut().zip(sum?).for_each(|(mean, sum)| *mean += sum);
    }
    mean.iter_mut().for_each(|mean| *mean /= batch.samples() as f64);

    let parts: Vec<_> = blocks().map(|block| compare(&batch, &mean, block * BLOCK)).collect();
    let mut all = Fidelity::default();
    for part in parts {
        all.add(&part?);
    }
    Ok(all)
}

impl Fidelity {
    /// Number of samples N.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Mean of ‖y − ŷ‖², which is a sum over coordinates (SAELens' `mse`).
    #[must_use]
    pub fn mean_squared_error(&self) -> f64 {
        self.error / self.samples as f64
    }

    /// Mean of ‖y − ŷ‖² / ‖y‖² over the samples that are not zero, ≥ 0: the
    /// `normalized_mean_squared_error` of OpenAI's sparse autoencoders. NaN if all samples are
    /// zero. (If a paper divides by the error of the mean, its measure is
    /// [`fvu`](dbksvd::metrics::Reconstruction::fvu). If it divides sums, its measure is
    /// [`relative_error`](dbksvd::metrics::Reconstruction::relative_error).)
    #[must_use]
    pub fn mean_relative_error(&self) -> f64 {
        self.relative_errors / self.nonzero as f64
    }

    /// Mean of 1 − ‖y − ŷ‖² / ‖y − ȳ‖², where ȳ is the mean of these samples: the
    /// `explained_variance_legacy` of SAEBench and SAELens, for comparison with published tables. A
    /// single sample close to the mean can give it any value, so prefer
    /// [`explained_variance`](dbksvd::metrics::Reconstruction::explained_variance). Samples equal
    /// to ȳ are left out (the tools divide by zero); NaN if all samples are equal to ȳ. The tools
    /// compute ȳ for each of their batches; here it is the mean of all samples.
    #[must_use]
    pub fn explained_variance_legacy(&self) -> f64 {
        self.legacy / self.spread as f64
    }

    /// Mean of cos(y, ŷ) over the samples that are not zero, −1 to 1 (`cossim` of SAEBench and
    /// SAELens). A reconstruction that is zero counts as 0, where these tools give NaN. NaN if all
    /// samples are zero.
    #[must_use]
    pub fn cosine(&self) -> f64 {
        self.cosines / self.nonzero as f64
    }

    /// Mean of ‖ŷ‖ / ‖y‖ over the samples that are not zero. Below 1, reconstructions are too small
    /// (`l2_ratio` of SAEBench and SAELens, which replace norms below 10⁻⁴ by 1; the shrinkage of
    /// SynthSAEBench). NaN if all samples are zero.
    #[must_use]
    pub fn l2_ratio(&self) -> f64 {
        self.ratios / self.nonzero as f64
    }

    /// γ = Σ‖ŷ‖² / Σ yᵀŷ (`relative_reconstruction_bias`). It is 1 if no scaling of the
    /// reconstructions lowers the error, and below 1 if they are too small. NaN or infinite if
    /// samples and reconstructions do not correlate.
    ///
    /// Reference: S. Rajamanoharan et al., *Improving dictionary learning with gated sparse
    /// autoencoders*, 2024, arXiv:2404.16014, equation 10.
    #[must_use]
    pub fn relative_reconstruction_bias(&self) -> f64 {
        self.decoded_energy / self.overlap
    }

    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.nonzero += other.nonzero;
        self.spread += other.spread;
        self.cosines += other.cosines;
        self.ratios += other.ratios;
        self.relative_errors += other.relative_errors;
        self.legacy += other.legacy;
        self.error += other.error;
        self.decoded_energy += other.decoded_energy;
        self.overlap += other.overlap;
    }
}

/// The sums of one block of samples.
fn sum<T: Scalar>(batch: &Batch<'_, T>, first: usize) -> Result<Vec<f64>, Error> {
    let (mut sample, mut sum) = (vec![T::zero(); batch.dim()], vec![0.0; batch.dim()]);
    for i in first..(first + BLOCK).min(batch.samples()) {
        batch.read(i, &mut sample)?;
        sum.iter_mut().zip(&sample).for_each(|(sum, value)| *sum += value.widen());
    }
    Ok(sum)
}

fn compare<T: Scalar>(batch: &Batch<'_, T>, mean: &[f64], first: usize) -> Result<Fidelity, Error> {
    let (mut sample, mut decoded) = (vec![T::zero(); batch.dim()], vec![0.0; batch.dim()]);
    let mut sums = Fidelity::default();
    for i in first..(first + BLOCK).min(batch.samples()) {
        batch.read(i, &mut sample)?;
        batch.decode(i, &mut decoded)?;
        let [energy, decoded_energy, overlap, error, deviation] = products(&sample, &decoded, mean);
        sums.samples += 1;
        sums.error += error;
        sums.decoded_energy += decoded_energy;
        sums.overlap += overlap;
        if deviation > 0.0 {
            sums.spread += 1;
            sums.legacy += 1.0 - error / deviation;
        }
        if energy > 0.0 {
            sums.nonzero += 1;
            sums.ratios += (decoded_energy / energy).sqrt();
            sums.relative_errors += error / energy;
            let norms = energy.sqrt() * decoded_energy.sqrt();
            sums.cosines += if norms > 0.0 { overlap / norms } else { 0.0 };
        }
    }
    Ok(sums)
}

/// ‖y‖², ‖ŷ‖², yᵀŷ, ‖y − ŷ‖², ‖y − ȳ‖².
fn products<T: Scalar>(y: &[T], decoded: &[f64], mean: &[f64]) -> [f64; 5] {
    let mut sums = [0.0; 5];
    for ((y, decoded), mean) in y.iter().zip(decoded).zip(mean) {
        let y = y.widen();
        sums[0] += y * y;
        sums[1] += decoded * decoded;
        sums[2] += y * decoded;
        sums[3] += (y - decoded) * (y - decoded);
        sums[4] += (y - mean) * (y - mean);
    }
    sums
}

/// The arguments of one call, whose sizes were checked to agree.
struct Batch<'a, T: Scalar> {
    model: &'a Model<T>,
    samples: MatRef<'a, T>,
    codes: &'a SparseCodes<T>,
}

impl<'a, T: Scalar> Batch<'a, T> {
    fn new(
        model: &'a Model<T>,
        samples: MatRef<'a, T>,
        codes: &'a SparseCodes<T>,
    ) -> Result<Self, Error> {
        for (argument, found, expected) in [
            ("samples", samples.nrows(), model.dim()),
            ("codes", codes.atoms(), model.atoms()),
            ("samples of the codes", codes.samples(), samples.ncols()),
        ] {
            if found != expected {
                return Err(Error::Dimension { argument, found, expected });
            }
        }
        Ok(Self { model, samples, codes })
    }

    fn dim(&self) -> usize {
        self.model.dim()
    }

    fn samples(&self) -> usize {
        self.samples.ncols()
    }

    /// Reads sample i and checks that it is finite.
    fn read(&self, i: usize, sample: &mut [T]) -> Result<(), Error> {
        sample.iter_mut().zip(self.samples.col(i).iter()).for_each(|(into, &value)| *into = value);
        match first_not_finite(sample) {
            None => Ok(()),
            Some(coordinate) => {
                let value = sample[coordinate].widen();
                Err(Error::NotFinite { sample: i, coordinate, value })
            }
        }
    }

    /// ŷ ← scale · D x_i + mean, in double precision. In single precision, a large coefficient
    /// would round away the parts that small ones explain.
    fn decode(&self, i: usize, decoded: &mut [f64]) -> Result<(), Error> {
        let dictionary = self.model.dictionary();
        decoded.fill(0.0);
        for (&atom, &value) in self.codes.support(i).iter().zip(self.codes.values(i)) {
            if !value.widen().is_finite() {
                return Err(Error::argument("codes", value, "finite coefficients"));
            }
            if atom as usize >= dictionary.atoms() {
                let expected = format!("atoms below {}", dictionary.atoms());
                return Err(Error::argument("codes", atom, expected));
            }
            add(decoded, value.widen(), dictionary.atom(atom as usize));
        }
        let preprocessing = self.model.preprocessing();
        decoded.iter_mut().for_each(|x| *x *= preprocessing.scale());
        if let Some(mean) = preprocessing.mean() {
            add(decoded, 1.0, mean);
        }
        Ok(())
    }
}

/// y ← y + c x, in f64.
fn add<T: Scalar>(y: &mut [f64], c: f64, x: &[T]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += c * x.widen();
    }
}
