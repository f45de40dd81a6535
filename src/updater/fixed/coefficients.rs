//! Coefficients of fixed atoms: taken over from copies, and refitted.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::{Place, SAMPLES_A_TASK};
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::vector::{loops, vectorized};
use crate::matrix::{column, column_mut};
use crate::problem::Sign;

/// Gives the coefficients of copies to the atoms that they are copies of, on the live residual.
pub(super) fn give_to_originals<T: Scalar>(
    dictionary: MatRef<'_, T>,
    residual: MatMut<'_, T>,
    codes: &mut SparseCodes<T>,
    originals: &[Option<u32>],
    sign: Sign,
) {
    let original = |atom: u32| originals[atom as usize];
    codes.par_blocks_mut(SAMPLES_A_TASK).zip(residual.par_col_chunks_mut(SAMPLES_A_TASK)).for_each(
        |(mut block, mut residual)| {
            for i in 0..block.len() {
                let (support, values) = block.code(i);
                if support.iter().all(|&atom| original(atom).is_none()) {
                    continue;
                }
                let mut code: Vec<_> = support.iter().copied().zip(values.to_vec()).collect();
                let r = column_mut(residual.as_mut(), i);
                while let Some(copy) = code.iter().position(|&(atom, _)| original(atom).is_some()) {
                    let (atom, x) = code.remove(copy);
                    let Some(fixed) = original(atom) else { break };
                    loops::add(r, x, column(dictionary, atom as usize));
                    let direction = column(dictionary, fixed as usize);
                    let place = code.iter().position(|&(atom, _)| atom == fixed);
                    let before = place.map_or(T::zero(), |place| code[place].1);
                    let c = sign.project(loops::product(r, direction) + before);
                    loops::add(r, before - c, direction);
                    match place {
                        Some(place) => code[place].1 = c,
                        None if c != T::zero() => code.push((fixed, c)),
                        None => {}
                    }
                }
                block.write(i, |support, values| {
                    let slots = support.iter_mut().zip(values);
                    slots.zip(&code).map(|(slot, &entry)| (*slot.0, *slot.1) = entry).count()
                });
            }
        },
    );
}

/// Improves the coefficients of fixed atoms one by one on the live residual.
pub(super) fn refit<T: Scalar>(
    dictionary: MatRef<'_, T>,
    residual: MatMut<'_, T>,
    codes: &mut SparseCodes<T>,
    places: &[Place],
    sign: Sign,
) {
    codes.par_blocks_mut(SAMPLES_A_TASK).zip(residual.par_col_chunks_mut(SAMPLES_A_TASK)).for_each(
        |(mut codes, mut residual)| {
            for i in 0..codes.len() {
                let (support, values) = codes.code_mut(i);
                let r = column_mut(residual.as_mut(), i);
                refit_one(dictionary, r, support, values, places, sign);
            }
        },
    );
}

vectorized! {
    fn refit_one<'a, T>(
        dictionary: MatRef<'a, T>,
        r: &'a mut [T],
        support: &'a [u32],
        values: &'a mut [T],
        places: &'a [Place],
        sign: Sign,
    ) {
        for (x, &j) in values.iter_mut().zip(support) {
            if places[j as usize].is_fixed {
                let atom = column(dictionary, j as usize);
                let c = sign.project(loops::dot(r, atom) + *x);
                loops::axpy(r, *x - c, atom);
                *x = c;
            }
        }
    }
}
