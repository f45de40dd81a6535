//! What codes say of missing coordinates.

use faer::mat::AsMatRef;
use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::checks::Masked;
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::pursuit::wide;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::matrix::{column, column_mut, zeros};
use crate::source::AsSamples;

/// The samples (d × N) with what their codes say of what is missing: w y + (1 − w) D x in each
/// coordinate of weight w. O(kd) a sample, in parallel.
///
/// ```
/// use dbksvd::SparseCodes;
/// use dbksvd::faer::mat;
/// use dbksvd::masked::complete;
///
/// let dictionary = mat![[0.6_f64], [0.8]];
/// let mut codes = SparseCodes::new(1, 1, 1);
/// codes.set(0, &[0], &[10.0]);
/// let (samples, weights) = (mat![[f64::NAN], [7.0]], mat![[0.0], [1.0]]);
/// assert_eq!(complete(&dictionary, &codes, &samples, &weights)?, mat![[6.0], [7.0]]);
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Errors
/// [`Error::Dimension`] and [`Error::Argument`] for shapes that do not fit together, and for
/// samples and weights as [`MaskedOmp::encode`](super::MaskedOmp::encode) refuses them;
/// [`Error::Backend`] if memory cannot be allocated.
pub fn complete<T: Scalar>(
    dictionary: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
    codes: &SparseCodes<T>,
    samples: impl AsSamples<T>,
    weights: impl AsSamples<T>,
) -> Result<Mat<T>, Error> {
    let dictionary = crate::pursuit::contiguous(dictionary.as_mat_ref())?;
    let dictionary = dictionary.as_ref();
    let masked = Masked::new(&samples, &weights, dictionary.nrows())?;
    if codes.atoms() != dictionary.ncols() {
        let (found, expected) = (codes.atoms(), dictionary.ncols());
        return Err(Error::Dimension { argument: "codes", found, expected });
    }
    if codes.samples() != masked.len() {
        let expected = format!("{}, as many as samples", masked.len());
        return Err(Error::argument("codes", codes.samples(), expected));
    }
    let mut filled = zeros(masked.dim(), masked.len())?;
    filled.as_mut().par_col_chunks_mut(1).enumerate().for_each_init(
        Vec::new,
        |decoded, (i, into)| {
            let completed = completed(&masked, (i, 1.0), dictionary, (codes, decoded));
            column_mut(into, 0).copy_from_slice(&completed);
        },
    );
    Ok(filled)
}

/// Sample `i` with what its code says of what is missing, where a weight of `full` misses nothing.
/// `decoded` is scratch.
pub(super) fn completed<T: Scalar>(
    masked: &Masked<'_, T>,
    (i, full): (usize, f64),
    dictionary: MatRef<'_, T>,
    (codes, decoded): (&SparseCodes<T>, &mut Vec<f64>),
) -> Vec<T> {
    decoded.clear();
    decoded.resize(masked.dim(), 0.0);
    for (atom, value) in wide::terms(codes.support(i), codes.values(i)) {
        loops::add_wide(decoded, value, column(dictionary, atom as usize));
    }
    let known = masked.sample(i).iter().zip(masked.weights(i));
    let filled = known.zip(&*decoded).map(|((y, w), &d)| blend(y.widen(), w.widen() / full, d));
    filled.map(T::narrow).collect()
}

/// w y + (1 − w) ŷ, where y may be anything for w = 0.
pub(super) fn blend(value: f64, weight: f64, decoded: f64) -> f64 {
    if weight > 0.0 { weight * value + (1.0 - weight) * decoded } else { decoded }
}
