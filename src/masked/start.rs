//! A dictionary to start from.

use faer::Mat;
use faer::mat::AsMatRef;
use rand::seq::SliceRandom;

use super::checks::Masked;
use super::complete::blend;
use crate::Scalar;
use crate::cpu::vector::loops;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::random::{RandomStream, generator};
use crate::source::AsSamples;

/// `atoms` different samples, drawn at random, as atoms of norm 1. A missing coordinate is the
/// weighted mean of it over all samples; one of weight w is a mixture of both, of which the share
/// w / (the largest weight of the sample) is the sample's own. O((d + m) N).
///
/// Samples are a matrix here, whose rows tell the dimension. The page of [`masked`](super) has an
/// example. The same `seed` draws the same atoms everywhere.
///
/// # Errors
/// [`Error::Argument`] for no atoms, or for more than there are samples that are not zero when
/// filled in; and the errors of [`MaskedKsvd::learn`](super::MaskedKsvd::learn) for samples and
/// weights.
pub fn draw_atoms<T: Scalar>(
    samples: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
    weights: impl AsSamples<T>,
    atoms: usize,
    seed: u64,
) -> Result<Dictionary<T>, Error> {
    let samples = samples.as_mat_ref();
    let masked = Masked::new(&samples, &weights, samples.nrows())?;
    masked.check_content()?;
    if atoms == 0 || atoms > masked.len() {
        let expected = format!("1 to {}, the number of samples", masked.len());
        return Err(Error::argument("atoms", atoms, expected));
    }
    let dim = masked.dim();
    let (mut sums, mut totals) = (vec![0.0; dim], vec![0.0; dim]);
    for i in 0..masked.len() {
        for (row, (y, w)) in masked.sample(i).iter().zip(masked.weights(i)).enumerate() {
            if *w > T::zero() {
                sums[row] += w.widen() * y.widen();
                totals[row] += w.widen();
            }
        }
    }
    let mean = |row: usize| if totals[row] > 0.0 { sums[row] / totals[row] } else { 0.0 };
    let mut order: Vec<usize> = (0..masked.len()).collect();
    order.shuffle(&mut generator(seed, RandomStream::Initialisation));
    let mut columns: Vec<Vec<T>> = Vec::with_capacity(atoms);
    for i in order {
        if columns.len() == atoms {
            break;
        }
        let known = masked.sample(i).iter().zip(masked.weights(i)).enumerate();
        let full = masked.largest_weight(i);
        let filled = known.map(|(row, (y, w))| blend(y.widen(), w.widen() / full, mean(row)));
        let mut column: Vec<T> = filled.map(T::narrow).collect();
        if full > 0.0 && loops::normalize(&mut column) > 0.0 && !columns.contains(&column) {
            columns.push(column);
        }
    }
    if columns.len() < atoms {
        let expected = format!("1 to {}, the samples that can be atoms", columns.len());
        return Err(Error::argument("atoms", atoms, expected));
    }
    Ok(Dictionary::trusted(Mat::from_fn(dim, atoms, |r, j| columns[j][r])))
}
