//! One-sided decorrelation: rarer atoms give up what they share with more frequent ones.
//!
//! ```text
//! sort atoms by use, the most used first
//! C ← the strict upper triangle of DᵀD,  S ← sign(C) · max(|C| − t, 0)
//! D ← normalise(D − D S)
//! ```
//! Features that occur together leave traces of each other in their atoms: a child's atom keeps some
//! of its parent. What two atoms share belongs to the one that occurs without the other, the more
//! frequent one. Cosines up to t are those of chance: those of random directions have a standard
//! deviation of 1/√d.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, Par};
use num_traits::{Float, One};
use rayon::prelude::*;

use crate::Scalar;
use crate::backend::column_mut;
use crate::codes::AtomIndex;
use crate::error::Error;
use crate::rows;

/// Atoms whose cosines are computed by one product.
const BLOCK: usize = 128;

/// How far atoms may overlap after an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decorrelation {
    /// Cosines up to this, in units of 1/√d, stay; at least 0.
    pub tolerance: f64,
}

impl Default for Decorrelation {
    /// 2.8/√d: less takes apart what is no overlap.
    fn default() -> Self {
        Self { tolerance: 2.8 }
    }
}

impl Decorrelation {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.tolerance >= 0.0 && self.tolerance.is_finite() {
            return Ok(());
        }
        Err(Error::argument("decorrelation", self.tolerance, "finite and at least 0"))
    }

    /// Decorrelates the atoms of `dictionary`, of which `index` tells how often they are used. O(dm²/2),
    /// in parallel; 2·d·m scalars of memory.
    pub(super) fn apply<T: Scalar>(&self, mut dictionary: MatMut<'_, T>, index: &AtomIndex) {
        let (dim, atoms) = (dictionary.nrows(), dictionary.ncols());
        let mut order: Vec<u32> = (0..atoms as u32).collect();
        order.sort_by_key(|&j| (std::cmp::Reverse(index.uses(j as usize).len()), j));
        let mut sorted = Mat::<T>::zeros(dim, atoms);
        for (place, &j) in order.iter().enumerate() {
            sorted.col_mut(place).copy_from(dictionary.as_ref().col(j as usize));
        }
        let mut fresh = sorted.clone();
        let tolerance = T::narrow(self.tolerance / (dim as f64).sqrt());
        fresh.par_col_chunks_mut(BLOCK).enumerate().for_each(|(block, mut fresh)| {
            let (start, width) = (block * BLOCK, fresh.ncols());
            let earlier = sorted.as_ref().subcols(0, start + width);
            let mut cosines = Mat::<T>::zeros(start + width, width);
            let own = sorted.as_ref().subcols(start, width);
            let product = cosines.as_mut();
            matmul(product, Accum::Replace, earlier.transpose(), own, <T as One>::one(), Par::Seq);
            for j in 0..width {
                let atom = column_mut(fresh.as_mut(), j);
                let mut changed = false;
                for (i, &c) in cosines.col_as_slice(j)[..start + j].iter().enumerate() {
                    if Float::abs(c) > tolerance {
                        let excess = c - Float::copysign(tolerance, c);
                        rows::add(atom, -excess, sorted.col_as_slice(i));
                        changed = true;
                    }
                }
                // An atom of which nothing is left stays as it is.
                if changed && !(rows::normalize(atom) > f64::from(f32::EPSILON)) {
                    atom.copy_from_slice(sorted.col_as_slice(start + j));
                }
            }
        });
        for (place, &j) in order.iter().enumerate() {
            column_mut(dictionary.as_mut(), j as usize).copy_from_slice(fresh.col_as_slice(place));
        }
    }
}
