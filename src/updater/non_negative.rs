//! Atoms without negative entries.

use num_traits::Zero;

use crate::Scalar;
use crate::backend::Backend;
use crate::cpu::vector::outlined;
use crate::error::BackendError;
use crate::problem::Sign;

/// Makes negative entries 0. A vector without a positive entry is turned around instead, so that a
/// direction is left.
pub(super) fn take_out_negatives<T: Scalar>(vector: &mut [T]) {
    if vector.iter().any(|&x| x > T::zero()) {
        vector.iter_mut().filter(|x| **x < T::zero()).for_each(|x| *x = T::zero());
    } else {
        vector.iter_mut().for_each(|x| *x = T::zero() - *x);
    }
}

/// D ← normalise(max(D, 0)) for the atoms that have negative entries, if atoms may have none: those
/// of a first dictionary, and of one that something else has changed. Says whether there were any.
pub(super) fn project_atoms<B: Backend>(
    backend: &B,
    dictionary: &mut B::Matrix,
    atom_sign: Sign,
) -> Result<bool, BackendError> {
    if atom_sign == Sign::Signed {
        return Ok(false);
    }
    let mut atoms = backend.download(dictionary)?;
    let mut found = false;
    for j in 0..atoms.ncols() {
        let atom = atoms.col_as_slice_mut(j);
        if atom.iter().any(|&x| x < B::Scalar::zero()) {
            take_out_negatives(atom);
            outlined::normalize(atom);
            found = true;
        }
    }
    if found {
        backend.upload(atoms.as_ref(), dictionary)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::take_out_negatives;

    #[test]
    fn a_direction_is_left() {
        for (mut vector, expected) in [
            ([1.0, -2.0, 0.5], [1.0, 0.0, 0.5]),
            ([-1.0, -2.0, 0.0], [1.0, 2.0, 0.0]),
            ([0.0, 3.0, 0.0], [0.0, 3.0, 0.0]),
        ] {
            take_out_negatives(&mut vector);
            assert_eq!(vector, expected);
        }
    }
}
