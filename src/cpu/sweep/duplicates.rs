//! Pairs of atoms that can stand in for each other, mostly without the whole Gram matrix.

use faer::{Mat, MatRef};
use num_traits::Float;
use rayon::prelude::*;

use crate::cpu::product::multiply;
use crate::cpu::vector::{loops, vectorized};
use crate::matrix::column;
use crate::{Scalar, Sign};

/// Atoms whose cosines are computed by one product.
const BLOCK: usize = 128;

/// One coordinate in so many is screened by.
const SCREENED: usize = 4;

/// Coordinates below which screening is not worth its while.
const FEW: usize = 64;

/// Where more than one pair in so many passes the screening, the whole product is cheaper than
/// the cosines of these pairs one by one.
const RARE: usize = 64;

/// Atoms by which the loudness of coordinates is judged.
const HEARD: usize = 128;

/// All pairs i < j of likeness above `threshold`, in order.
///
/// With the coordinates in two parts, d_i·d_j = h_i·h_j + t_i·t_j, and |t_i·t_j| ≤ ‖t_i‖‖t_j‖:
/// unless a pair is very much alike, the product of the heads h alone shows that it is not. The
/// loudest coordinates make the heads, which leaves short tails t.
pub(crate) fn coherent_pairs<T: Scalar>(
    dictionary: MatRef<'_, T>,
    threshold: f64,
    sign: Sign,
) -> Vec<(u32, u32)> {
    let atoms = dictionary.ncols();
    // Products are rounded.
    let least = T::narrow(threshold - 16.0 * dictionary.nrows() as f64 * T::EPSILON);
    let (heads, tails) = heads_and_tails(dictionary);
    let no_tails = vec![T::zero(); atoms];
    let mut pairs: Vec<(u32, u32)> = (0..atoms.div_ceil(BLOCK))
        .into_par_iter()
        .flat_map_iter(|block| {
            let (start, end) = (block * BLOCK, (block * BLOCK + BLOCK).min(atoms));
            let most = end * (end - start) / RARE;
            let mut pairs = likely_pairs(heads.as_ref(), &tails, start..end, least, most)
                .or_else(|| likely_pairs(dictionary, &no_tails, start..end, least, usize::MAX))
                .unwrap_or_default();
            pairs.retain(|&(i, j)| {
                let (i, j) = (column(dictionary, i as usize), column(dictionary, j as usize));
                sign.likeness(loops::product(i, j)) > threshold
            });
            pairs
        })
        .collect();
    pairs.sort_unstable();
    pairs
}

/// The loudest coordinates of each atom, and the norm of the others.
fn heads_and_tails<T: Scalar>(dictionary: MatRef<'_, T>) -> (Mat<T>, Vec<T>) {
    let dim = dictionary.nrows();
    let mut loudness = vec![0.0; dim];
    // Any coordinates give the same pairs: some hundred atoms show well enough which are loud.
    for j in (0..dictionary.ncols()).step_by(dictionary.ncols().div_ceil(HEARD)) {
        for (loudness, x) in loudness.iter_mut().zip(column(dictionary, j)) {
            *loudness += x.widen() * x.widen();
        }
    }
    let mut coordinates: Vec<usize> = (0..dim).collect();
    coordinates.sort_by(|&a, &b| loudness[b].total_cmp(&loudness[a]).then(a.cmp(&b)));
    let screened = if dim < FEW { dim } else { dim / SCREENED };
    let (head, tail) = coordinates.split_at(screened);
    let mut heads = Mat::zeros(screened, dictionary.ncols());
    let mut tails = vec![T::zero(); dictionary.ncols()];
    heads.par_col_chunks_mut(1).zip(&mut tails).enumerate().for_each(|(j, (mut heads, norm))| {
        let atom = column(dictionary, j);
        for (h, &coordinate) in head.iter().enumerate() {
            heads[(h, 0)] = atom[coordinate];
        }
        let squares: f64 = tail.iter().map(|&coordinate| atom[coordinate].widen().powi(2)).sum();
        *norm = T::narrow(squares.sqrt());
    });
    (heads, tails)
}

/// The pairs i < j, of which j is in `block`, with |h_i·h_j| + ‖t_i‖‖t_j‖ ≥ `least`; `None` if
/// they are more than `most`.
fn likely_pairs<T: Scalar>(
    heads: MatRef<'_, T>,
    tails: &[T],
    block: std::ops::Range<usize>,
    least: T,
    most: usize,
) -> Option<Vec<(u32, u32)>> {
    // Rows 0..end of the Gram matrix suffice for the columns of the block.
    let mut gram = Mat::<T>::zeros(block.end, block.len());
    multiply(
        gram.as_mut(),
        heads.subcols(0, block.end).transpose(),
        heads.subcols(block.start, block.len()),
    );
    let mut pairs = Vec::new();
    for j in block.clone() {
        let (cosines, tails_i) = (&gram.col_as_slice(j - block.start)[..j], &tails[..j]);
        let count = count_likely(cosines, tails_i, tails[j], least);
        if pairs.len() + count > most {
            return None;
        }
        if count > 0 {
            let likely = |i: &usize| is_likely(cosines[*i], tails_i[*i], tails[j], least);
            pairs.extend((0..j).filter(likely).map(|i| (i as u32, j as u32)));
        }
    }
    Some(pairs)
}

#[inline(always)]
fn is_likely<T: Scalar>(cosine: T, tail_i: T, tail_j: T, least: T) -> bool {
    Float::abs(cosine) + tail_i * tail_j >= least
}

vectorized! {
    /// How many of the pairs with one atom are likely.
    fn count_likely<'a, T>(cosines: &'a [T], tails: &'a [T], tail: T, least: T) -> usize {
        let mut count = 0_u32;
        for (&cosine, &other) in cosines.iter().zip(tails) {
            count += u32::from(is_likely(cosine, other, tail, least));
        }
        count as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Kind, Planted};

    /// Atoms of `kind` of which every fifth is nearly, or the opposite of, the one before.
    fn dictionary(kind: Kind, dim: usize) -> Mat<f64> {
        let data = Planted::new(dim, 300, 4, 1).kind(kind).generate().expect("a legal problem");
        let mut atoms = data.dictionary.into_mat();
        for j in (5..300).step_by(5) {
            let sign = if j % 2 == 0 { 1.0 } else { -1.0 };
            for i in 0..dim {
                atoms[(i, j)] = sign * atoms[(i, j - 1)] + 0.02 * atoms[(i, j)];
            }
            loops::normalize(atoms.col_as_slice_mut(j));
        }
        atoms
    }

    fn naive(atoms: &Mat<f64>, threshold: f64, sign: Sign) -> Vec<(u32, u32)> {
        let cosine = |i, j| atoms.col_as_slice(i).iter().zip(atoms.col_as_slice(j));
        let mut pairs = Vec::new();
        for i in 0..atoms.ncols() {
            for j in i + 1..atoms.ncols() {
                let cosine: f64 = cosine(i, j).map(|(a, b)| a * b).sum();
                if sign.likeness(cosine) > threshold {
                    pairs.push((i as u32, j as u32));
                }
            }
        }
        pairs
    }

    #[test]
    fn pairs_are_those_of_the_whole_gram_matrix() {
        // Anisotropic atoms have short tails, planted ones long ones; a low threshold lets many
        // pairs pass the screening, and 20 coordinates are too few for one.
        for kind in [Kind::Planted, Kind::Anisotropic, Kind::Correlated] {
            for dim in [20, 96] {
                let atoms = dictionary(kind, dim);
                for sign in [Sign::Signed, Sign::NonNegative] {
                    for threshold in [0.3, 0.9, 0.98] {
                        let found = coherent_pairs(atoms.as_ref(), threshold, sign);
                        let expected = naive(&atoms, threshold, sign);
                        assert!(found.len() >= 29, "{kind:?}, {dim}: {} pairs", found.len());
                        assert_eq!(found, expected, "{kind:?}, {dim}, {sign:?}, {threshold}");
                    }
                }
            }
        }
    }
}
