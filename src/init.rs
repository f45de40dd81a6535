//! The dictionary a run starts from.

use std::collections::HashSet;

use faer::Mat;
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};

use crate::Scalar;
use crate::backend::zeros;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::kernel;
use crate::problem::{ProblemShape, Sign};
use crate::random::{Purpose, generator};
use crate::samples::check_finite;
use crate::source::SampleSource;

/// How the first dictionary is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Initialisation<T: Scalar> {
    /// Distinct samples, drawn without replacement and scaled to norm 1. Zero samples and
    /// duplicates are passed over (equal directions, to 64 ε a coordinate; opposite ones too if
    /// codes are signed); if the data run out of distinct samples, Gaussian atoms follow.
    #[default]
    Samples,
    /// Directions uniform on the sphere.
    Gaussian,
    /// This dictionary.
    Given(Dictionary<T>),
}

impl<T: Scalar> Initialisation<T> {
    /// Draws a dictionary of `atoms` atoms from `source`, whose samples are centred by `mean`.
    pub(crate) fn draw(
        &self,
        source: &impl SampleSource<T>,
        mean: Option<&[T]>,
        shape: &ProblemShape,
        seed: u64,
    ) -> Result<Dictionary<T>, Error> {
        let atoms = shape.atoms;
        let mut matrix = zeros::<T>(shape.dim, atoms)?;
        let filled = match self {
            Self::Given(dictionary) => return Ok(dictionary.clone()),
            Self::Gaussian => 0,
            Self::Samples => fill_with_samples(&mut matrix, source, mean, shape.sign, seed)?,
        };
        let mut random = generator(seed, Purpose::Initialisation);
        for j in filled..atoms {
            let atom = matrix.col_as_slice_mut(j);
            while kernel::normalize(atom) == 0.0 {
                atom.fill_with(|| T::narrow(StandardNormal.sample(&mut random)));
            }
        }
        Ok(Dictionary::trusted(matrix))
    }
}

/// Fills columns with distinct samples, as many as there are; returns how many.
fn fill_with_samples<T: Scalar>(
    matrix: &mut Mat<T>,
    source: &impl SampleSource<T>,
    mean: Option<&[T]>,
    sign: Sign,
    seed: u64,
) -> Result<usize, Error> {
    let (dim, atoms, samples) = (source.dim(), matrix.ncols(), source.len());
    let mut random = generator(seed, Purpose::Initialisation);
    let mut seen: HashSet<Vec<u64>> = HashSet::with_capacity(atoms);
    let mut sample = vec![T::zero(); dim];
    let mut filled = 0;
    // Zeros and duplicates are few in real data: one draw of twice the atoms nearly always
    // suffices, and the whole source otherwise.
    for amount in [samples.min(2 * atoms), samples] {
        for i in index::sample(&mut random, samples, amount) {
            if filled == atoms {
                return Ok(filled);
            }
            source.read(i..i + 1, &mut sample)?;
            check_finite(&sample, dim, i)?;
            if let Some(mean) = mean {
                kernel::axpy(&mut sample, -T::narrow(1.0), mean);
            }
            if kernel::normalize(&mut sample) > 0.0 && seen.insert(direction_bits(&sample, sign)) {
                matrix.col_as_slice_mut(filled).copy_from_slice(&sample);
                filled += 1;
            }
        }
        if amount == samples {
            break;
        }
    }
    Ok(filled)
}

/// A key that is equal for equal directions, to a few digits less than the scalar's; of either sign
/// if codes are signed.
fn direction_bits<T: Scalar>(unit: &[T], sign: Sign) -> Vec<u64> {
    let larger = |a: f64, b: f64| if b.abs() > a.abs() { b } else { a };
    let orientation = match sign {
        Sign::Signed => unit.iter().map(|x| x.widen()).fold(0.0, larger).signum(),
        Sign::NonNegative => 1.0,
    };
    let scale = orientation / (64.0 * T::EPSILON);
    unit.iter().map(|x| (x.widen() * scale).round() as i64 as u64).collect()
}

/// The mean of all samples, by one pass in f64.
pub(crate) fn mean<T: Scalar>(source: &impl SampleSource<T>) -> Result<Vec<T>, Error> {
    const BATCH: usize = 1024;
    let (dim, samples) = (source.dim(), source.len());
    let mut sum = vec![0.0_f64; dim];
    let mut buffer = vec![T::zero(); dim * BATCH.min(samples)];
    for start in (0..samples).step_by(BATCH) {
        let end = (start + BATCH).min(samples);
        let batch = &mut buffer[..(end - start) * dim];
        source.read(start..end, batch)?;
        check_finite(batch, dim, start)?;
        for sample in batch.chunks_exact(dim) {
            sum.iter_mut().zip(sample).for_each(|(sum, x)| *sum += x.widen());
        }
    }
    Ok(sum.into_iter().map(|sum| T::narrow(sum / samples as f64)).collect())
}
