//! Sums over a minibatch that a dictionary is solved from: Σ x xᵀ and Σ y xᵀ of sparse codes.
//!
//! Both are computed column by column, a column an atom, in the order of the samples that use it:
//! columns are written in parallel, and their bits depend on no number of threads.

use faer::{MatMut, MatRef};
use pulp::Simd;
use rayon::prelude::*;

use crate::Scalar;
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::vector::{rows, vectorized};
use crate::matrix::{column, column_mut};

/// Atoms whose columns are made by one task.
const ATOMS_A_TASK: usize = 8;

/// A ← βA + Σ x xᵀ (m × m), in the scalar of A. O(m² + k · nonzeros).
pub(crate) fn add_code_products<T: Scalar, A: Scalar>(
    sums: MatMut<'_, A>,
    retention: f64,
    codes: &SparseCodes<T>,
    index: &AtomIndex,
) {
    for_each_column(sums, retention, |j, sums: &mut [A]| {
        for &Use { sample, slot } in index.uses(j) {
            let (support, values) = (codes.support(sample as usize), codes.values(sample as usize));
            let own = A::narrow(values[slot as usize].widen());
            for (&atom, value) in support.iter().zip(values) {
                sums[atom as usize] += own * A::narrow(value.widen());
            }
        }
    });
}

/// B ← βB + Σ y xᵀ (d × m), for `samples` y that may also be residuals. O(d (m + nonzeros)).
pub(crate) fn add_sample_products<T: Scalar>(
    sums: MatMut<'_, T>,
    retention: f64,
    samples: MatRef<'_, T>,
    codes: &SparseCodes<T>,
    index: &AtomIndex,
) {
    for_each_column(sums, retention, |j, sums: &mut [T]| {
        add_uses(sums, samples, codes, index.uses(j));
    });
}

/// Scales every column, then lets `add` add to it, in parallel.
fn for_each_column<T: Scalar>(
    sums: MatMut<'_, T>,
    retention: f64,
    add: impl Fn(usize, &mut [T]) + Sync,
) {
    sums.par_col_chunks_mut(ATOMS_A_TASK).enumerate().for_each(|(chunk, mut columns)| {
        for within in 0..columns.ncols() {
            let column = column_mut(columns.as_mut(), within);
            if retention == 0.0 {
                // Whatever was there, NaN included.
                column.fill(T::zero());
            } else if retention != 1.0 {
                let retention = T::narrow(retention);
                column.iter_mut().for_each(|value| *value *= retention);
            }
            add(chunk * ATOMS_A_TASK + within, column);
        }
    });
}

vectorized! {
    /// u ← u + Σ x_i y_i over the uses of one atom.
    fn add_uses<'a, T>(
        simd;
        u: &'a mut [T],
        samples: MatRef<'a, T>,
        codes: &'a SparseCodes<T>,
        uses: &'a [Use],
    ) -> () {
        let (eights, rest) = uses.as_chunks::<8>();
        for uses in eights {
            add_some(simd, u, samples, codes, uses);
        }
        for at in rest {
            add_some(simd, u, samples, codes, std::array::from_ref(at));
        }
    }
}

#[inline(always)]
fn add_some<T: Scalar, S: Simd, const Q: usize>(
    simd: S,
    u: &mut [T],
    samples: MatRef<'_, T>,
    codes: &SparseCodes<T>,
    uses: &[Use; Q],
) {
    let mut x = [T::zero(); Q];
    let mut rows: [&[T]; Q] = [&[]; Q];
    for q in 0..Q {
        let Use { sample, slot } = uses[q];
        x[q] = codes.values(sample as usize)[slot as usize];
        rows[q] = column(samples, sample as usize);
    }
    rows::gather(simd, u, x, rows);
}
