//! The best score of all atoms.

use num_traits::Float;

use crate::Scalar;
use crate::backend::Selection;
use crate::cpu::vector::loops::LANES;
use crate::cpu::vector::vectorized;
use crate::problem::Sign;

/// The next atom, or `None` if no correlation is left. Ties go to the lowest index.
///
/// `heights` are ‖(I − P) d‖², of which `least` is the smallest that tells an atom from a
/// combination of those chosen.
pub(crate) fn select<T: Scalar>(
    alpha: &[T],
    heights: &[T],
    least: T,
    selection: Selection,
    sign: Sign,
) -> Option<usize> {
    match (selection, sign) {
        (Selection::Correlation, Sign::Signed) => largest(alpha),
        (Selection::Correlation, Sign::NonNegative) => largest_positive(alpha),
        (Selection::LeastSquares, Sign::Signed) => largest_drop(alpha, heights, least),
        (Selection::LeastSquares, Sign::NonNegative) => {
            largest_positive_drop(alpha, heights, least)
        }
    }
}

vectorized! {
    fn largest<'a, T>(alpha: &'a [T]) -> Option<usize> {
        argmax(alpha, alpha, |a, _| Float::abs(a))
    }
}

vectorized! {
    fn largest_positive<'a, T>(alpha: &'a [T]) -> Option<usize> {
        argmax(alpha, alpha, |a, _| a)
    }
}

vectorized! {
    fn largest_drop<'a, T>(alpha: &'a [T], heights: &'a [T], least: T) -> Option<usize> {
        argmax(alpha, heights, |a, h| drop_of_error(a, h, least))
    }
}

vectorized! {
    fn largest_positive_drop<'a, T>(alpha: &'a [T], heights: &'a [T], least: T) -> Option<usize> {
        let positive = |a| Float::max(a, T::zero());
        argmax(alpha, heights, |a, h| drop_of_error(positive(a), h, least))
    }
}

/// α² / ‖(I − P) d‖², and zero for atoms in the span of the chosen ones.
#[inline(always)]
fn drop_of_error<T: Scalar>(correlation: T, height: T, least: T) -> T {
    let drop = correlation * correlation / height;
    if height > least { drop } else { T::zero() }
}

/// Index of the largest positive score, the lowest of equals; `None` if no score is positive.
///
/// Two passes, the maximum and then its place, since a pass that carries indices along is a chain
/// of dependent selects.
#[inline(always)]
fn argmax<T: Scalar>(a: &[T], b: &[T], score: impl Fn(T, T) -> T) -> Option<usize> {
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for l in 0..LANES {
            let s = score(a[l], b[l]);
            lanes[l] = if s > lanes[l] { s } else { lanes[l] };
        }
    }
    let mut best = T::zero();
    for s in lanes.into_iter().chain(a_rest.iter().zip(b_rest).map(|(&a, &b)| score(a, b))) {
        best = if s > best { s } else { best };
    }
    if best.is_zero() {
        return None;
    }
    for (c, (a, b)) in a_chunks.iter().zip(b_chunks).enumerate() {
        let mut found = false;
        for l in 0..LANES {
            found |= score(a[l], b[l]) == best;
        }
        if found {
            let within = (0..LANES).find(|&l| score(a[l], b[l]) == best)?;
            return Some(c * LANES + within);
        }
    }
    let within = a_rest.iter().zip(b_rest).position(|(&a, &b)| score(a, b) == best)?;
    Some(a_chunks.len() * LANES + within)
}
