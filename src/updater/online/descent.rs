//! Block coordinate descent on the atoms, by matrix products.
//!
//! ```text
//! for each batch J of atoms in the given order:
//!     P ← D A_J                                 d × |J|, in parallel over columns
//!     for each j ∈ J in order, with p its column of P:
//!         d' ← normalise(b_j − p + A_jj d_j)
//!         P_l ← P_l + A_jl (d' − d_j)           for the l ∈ J that come after
//!         d_j ← d'
//! ```
//! So when it is the turn of atom j, p is D a_j for the dictionary at that time, as if atoms were
//! updated one by one. But of the d·m² multiplications, all except d·m·|J|/2 are done by a matrix
//! product.

use faer::{Mat, MatMut, MatRef};
use num_traits::One;
use rayon::prelude::*;

use crate::Scalar;
use crate::cpu::product::multiply;
use crate::cpu::vector::loops;
use crate::error::BackendError;
use crate::matrix::{column, column_mut, zeros};
use crate::problem::Sign;

/// The number of atoms in a batch.
const BATCH: usize = 64;

/// Columns of P that one task computes. The number is fixed, so that results do not depend on the
/// number of threads.
const COLUMNS_A_TASK: usize = 16;

/// Scratch memory of the descent.
#[derive(Debug)]
pub(super) struct Descent<T> {
    /// A_J, m × |J|.
    codes: Mat<T>,
    /// P, d × |J|.
    products: Mat<T>,
    /// d', later d' − d.
    fresh: Vec<T>,
}

impl<T: Scalar> Descent<T> {
    pub(super) fn new(dim: usize, atoms: usize) -> Result<Self, BackendError> {
        let batch = BATCH.min(atoms);
        Ok(Self {
            codes: zeros(atoms, batch)?,
            products: zeros(dim, batch)?,
            fresh: vec![T::zero(); dim],
        })
    }

    /// Makes one step on every atom, in the given order, on D (d × m) with A (m × m) and B (d × m).
    /// Entries of atoms get this sign.
    pub(super) fn sweep(
        &mut self,
        mut dictionary: MatMut<'_, T>,
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        order: &[u32],
        atom_sign: Sign,
    ) {
        // An energy that rounding or forgetting has made this small is not worth a step.
        let atoms = a.ncols().max(1) as f64;
        let mean = (0..a.ncols()).map(|j| a[(j, j)].widen()).sum::<f64>() / atoms;
        let least = T::narrow(T::EPSILON * mean);
        for batch in order.chunks(BATCH) {
            self.multiply(dictionary.as_ref(), a, batch);
            for (place, &j) in batch.iter().enumerate() {
                let j = j as usize;
                if a[(j, j)] > least {
                    let later = &batch[place + 1..];
                    let atom = column_mut(dictionary.as_mut(), j);
                    self.step(atom, (a, b), j, place, later, atom_sign);
                }
            }
        }
    }

    /// P ← D A_J.
    fn multiply(&mut self, dictionary: MatRef<'_, T>, a: MatRef<'_, T>, batch: &[u32]) {
        let products = self.products.as_mut().subcols_mut(0, batch.len());
        let codes = self.codes.as_mut().subcols_mut(0, batch.len());
        products
            .par_col_chunks_mut(COLUMNS_A_TASK)
            .zip(codes.par_col_chunks_mut(COLUMNS_A_TASK))
            .zip(batch.par_chunks(COLUMNS_A_TASK))
            .for_each(|((products, mut codes), atoms)| {
                for (within, &j) in atoms.iter().enumerate() {
                    column_mut(codes.as_mut(), within).copy_from_slice(column(a, j as usize));
                }
                multiply(products, dictionary, codes.as_ref());
            });
    }

    /// Makes the step on atom j, which is at index `place` of its batch, before the atoms `later`.
    fn step(
        &mut self,
        atom: &mut [T],
        (a, b): (MatRef<'_, T>, MatRef<'_, T>),
        j: usize,
        place: usize,
        later: &[u32],
        atom_sign: Sign,
    ) {
        let Self { products, fresh, .. } = self;
        // u ← b_j − D a_j + A_jj d_j
        fresh.copy_from_slice(column(b, j));
        loops::add(fresh, -<T as One>::one(), products.col_as_slice(place));
        loops::add(fresh, a[(j, j)], atom);
        if atom_sign == Sign::NonNegative {
            fresh.iter_mut().for_each(|x| *x = atom_sign.project(*x));
        }
        let norm = loops::normalize(fresh);
        if !(norm.is_finite() && norm > 0.0) {
            return;
        }
        for (new, old) in fresh.iter_mut().zip(atom) {
            let difference = *new - *old;
            *old = *new;
            *new = difference;
        }
        for (place, &l) in (place + 1..).zip(later) {
            let product = a[(l as usize, j)];
            if product != T::zero() {
                loops::add(products.col_as_slice_mut(place), product, fresh);
            }
        }
    }
}
