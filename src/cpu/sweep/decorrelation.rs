//! One-sided decorrelation: rarer atoms give up what they share with more frequent ones.
//!
//! ```text
//! sort atoms by use, the most used first
//! C ← the strict upper triangle of DᵀD,  S ← sign(C) · max(|C| − t, 0)
//! D ← normalise(D − D S)
//! ```
//! Features that occur together leave traces of each other in their atoms: a child's atom keeps
//! some of its parent. What two atoms share belongs to the one that occurs without the other, the
//! more frequent one. Cosines up to t are those of chance: those of random directions have a
//! standard deviation of 1/√d.

use faer::{Mat, MatMut};
use num_traits::Float;
use rayon::prelude::*;

use crate::Scalar;
use crate::cpu::product::multiply;
use crate::cpu::vector::loops;
use crate::matrix::column_mut;

/// Atoms whose cosines are computed by one product.
const BLOCK: usize = 128;

/// The norm up to which what is left of an atom is rounding.
const NOTHING: f64 = 1e-6;

/// Decorrelates the atoms of a dictionary by how often they are used.
/// O(dm²/2), in parallel; 2·d·m scalars of memory.
pub(crate) fn decorrelate<T: Scalar>(
    mut dictionary: MatMut<'_, T>,
    counts: &[u64],
    tolerance: f64,
) {
    let (dim, atoms) = (dictionary.nrows(), dictionary.ncols());
    let mut order: Vec<u32> = (0..atoms as u32).collect();
    order.sort_by_key(|&j| (std::cmp::Reverse(counts[j as usize]), j));
    let mut sorted = Mat::<T>::zeros(dim, atoms);
    for (place, &j) in order.iter().enumerate() {
        sorted.col_mut(place).copy_from(dictionary.as_ref().col(j as usize));
    }
    let mut fresh = sorted.clone();
    let tolerance = T::narrow(tolerance);
    fresh.par_col_chunks_mut(BLOCK).enumerate().for_each(|(block, mut fresh)| {
        let (start, width) = (block * BLOCK, fresh.ncols());
        let earlier = sorted.as_ref().subcols(0, start + width);
        let mut cosines = Mat::<T>::zeros(start + width, width);
        let own = sorted.as_ref().subcols(start, width);
        let product = cosines.as_mut();
        multiply(product, earlier.transpose(), own);
        for j in 0..width {
            let atom = column_mut(fresh.as_mut(), j);
            let mut changed = false;
            for (i, &c) in cosines.col_as_slice(j)[..start + j].iter().enumerate() {
                if Float::abs(c) > tolerance {
                    let excess = c - Float::copysign(tolerance, c);
                    loops::add(atom, -excess, sorted.col_as_slice(i));
                    changed = true;
                }
            }
            // An atom of which nothing is left stays as it is.
            if changed && loops::normalize(atom) <= NOTHING {
                atom.copy_from_slice(sorted.col_as_slice(start + j));
            }
        }
    });
    for (place, &j) in order.iter().enumerate() {
        column_mut(dictionary.as_mut(), j as usize).copy_from_slice(fresh.col_as_slice(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Kind, Planted};

    /// Coherent atoms, and how often each is used.
    fn problem(dim: usize, atoms: usize) -> (Mat<f64>, Vec<u64>) {
        let planted = Planted::new(dim, atoms, 1, 1).kind(Kind::Correlated);
        let dictionary = planted.generate().expect("a legal problem").dictionary.into_mat();
        let mut counts = vec![0; atoms];
        for i in 0..4 * atoms {
            counts[(i * i) % atoms] += 1;
            counts[(i * i + 1) % atoms] += 1;
        }
        (dictionary, counts)
    }

    /// The formula at the head of this file.
    fn naive(dictionary: &Mat<f64>, counts: &[u64], tolerance: f64) -> Mat<f64> {
        let mut order: Vec<usize> = (0..dictionary.ncols()).collect();
        order.sort_by_key(|&j| (std::cmp::Reverse(counts[j]), j));
        let mut out = dictionary.clone();
        for (place, &j) in order.iter().enumerate() {
            for &i in &order[..place] {
                let c: f64 = dictionary.col(i).transpose() * dictionary.col(j);
                let excess = c.signum() * (c.abs() - tolerance).max(0.0);
                for r in 0..dictionary.nrows() {
                    out[(r, j)] -= excess * dictionary[(r, i)];
                }
            }
            loops::normalize(out.col_as_slice_mut(j));
        }
        out
    }

    #[test]
    fn atoms_are_those_of_the_formula() {
        for (dim, atoms) in [(16, 40), (30, 300)] {
            let (mut dictionary, counts) = problem(dim, atoms);
            let tolerance = 1.5;
            let tolerance = tolerance / (dim as f64).sqrt();
            let expected = naive(&dictionary, &counts, tolerance);
            decorrelate(dictionary.as_mut(), &counts, tolerance);
            assert!((&dictionary - &expected).norm_max() < 1e-12, "d {dim}, m {atoms}");
        }
    }

    #[test]
    fn atoms_that_share_no_more_than_is_allowed_stay_as_they_are() {
        let (mut dictionary, counts) = problem(16, 40);
        let before = dictionary.clone();
        decorrelate(dictionary.as_mut(), &counts, 1.0);
        assert_eq!(dictionary, before);
    }

    #[test]
    fn of_two_equal_atoms_both_stay_finite_and_of_norm_one() {
        let (mut dictionary, counts) = problem(16, 40);
        let first = dictionary.col(0).to_owned();
        dictionary.col_mut(1).copy_from(&first);
        dictionary.col_mut(2).copy_from(-&first);
        decorrelate(dictionary.as_mut(), &counts, 0.0);
        for atom in dictionary.col_iter() {
            assert!((atom.norm_l2() - 1.0).abs() < 1e-12);
        }
    }
}
