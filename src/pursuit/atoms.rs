//! Atoms of any norm: checked, scaled to norm 1, and coefficients scaled back.

use faer::{Mat, MatRef};

use crate::Scalar;
use crate::codes::CodesBlock;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::matrix::{column, zeros};

/// Atoms scaled to norm 1, in double precision, and the norms that they had.
#[derive(Debug)]
pub(crate) struct UnitAtoms {
    /// d × m.
    pub(crate) atoms: Mat<f64>,
    pub(crate) norms: Vec<f64>,
}

impl UnitAtoms {
    pub(crate) fn new<T: Scalar>(given: MatRef<'_, T>) -> Result<Self, Error> {
        let (dim, count) = given.shape();
        if dim == 0 || count == 0 {
            let found = format!("{dim} × {count}");
            return Err(Error::argument("dictionary", found, "at least one row and one column"));
        }
        let mut atoms: Mat<f64> = zeros(dim, count)?;
        let mut norms = Vec::with_capacity(count);
        for atom in 0..count {
            let values = atoms.col_as_slice_mut(atom);
            for (coordinate, (into, value)) in
                values.iter_mut().zip(given.col(atom).iter()).enumerate()
            {
                *into = value.widen();
                if !into.is_finite() {
                    return Err(Error::NotFiniteAtom { atom, coordinate, value: *into });
                }
            }
            let norm = loops::normalize(values);
            if norm == 0.0 {
                return Err(Error::ZeroAtom { atom });
            }
            if !norm.is_finite() {
                let found = format!("of norm {norm} in column {atom}");
                return Err(Error::argument("dictionary", found, "atoms of finite norm"));
            }
            norms.push(norm);
        }
        Ok(Self { atoms, norms })
    }

    /// The coefficient of an atom as it was given, from `scale` times that of the unit atom.
    pub(crate) fn coefficient<T: Scalar>(
        &self,
        atom: u32,
        (unit, scale): (f64, f64),
        sample: usize,
    ) -> Result<T, Error> {
        let norm = self.norms[atom as usize];
        // Neither order over- or underflows where the coefficient itself does not.
        let value = if norm > 1.0 { unit / norm * scale } else { unit * scale / norm };
        let value = T::narrow(value);
        if value.widen().is_finite() {
            return Ok(value);
        }
        let found = format!("of norm {norm:e} in column {atom}");
        let expected = format!("atoms for which sample {sample} has a finite coefficient");
        Err(Error::argument("dictionary", found, expected))
    }

    /// Writes the code of sample `i` of a block: `scale` times these coefficients of unit atoms.
    pub(crate) fn write<T: Scalar>(
        &self,
        block: &mut CodesBlock<'_, T>,
        i: usize,
        (support, unit): (&[u32], &[f64]),
        scale: f64,
    ) -> Result<(), Error> {
        let (sample, mut outcome) = (block.first() + i, Ok(()));
        block.write(i, |atoms, values| {
            for (n, (&atom, &unit)) in support.iter().zip(unit).enumerate() {
                match self.coefficient(atom, (unit, scale), sample) {
                    Ok(value) => (atoms[n], values[n]) = (atom, value),
                    Err(error) => {
                        outcome = Err(error);
                        return n;
                    }
                }
            }
            support.len()
        });
        outcome
    }
}

/// Refuses samples, or correlations of samples with atoms, that are not of this dimension.
pub(crate) fn check_dimension<T>(
    argument: &'static str,
    samples: MatRef<'_, T>,
    expected: usize,
) -> Result<(), Error> {
    match samples.nrows() {
        found if found == expected => Ok(()),
        found => Err(Error::Dimension { argument, found, expected }),
    }
}

/// Refuses samples, or correlations of samples with atoms, that are not finite.
pub(crate) fn check_finite<T: Scalar>(samples: MatRef<'_, T>) -> Result<(), Error> {
    for sample in 0..samples.ncols() {
        let values = samples.col(sample);
        if let Some(coordinate) = values.iter().position(|value| !value.widen().is_finite()) {
            let value = values[coordinate].widen();
            return Err(Error::NotFinite { sample, coordinate, value });
        }
    }
    Ok(())
}

/// A matrix whose columns are contiguous: the one given, or a copy.
pub(crate) enum Contiguous<'a, T> {
    Given(MatRef<'a, T>),
    Copied(Mat<T>),
}

impl<T: Scalar> Contiguous<'_, T> {
    pub(crate) fn as_ref(&self) -> MatRef<'_, T> {
        match self {
            Self::Given(matrix) => *matrix,
            Self::Copied(matrix) => matrix.as_ref(),
        }
    }

    pub(crate) fn column(&self, j: usize) -> &[T] {
        column(self.as_ref(), j)
    }
}

/// The matrix itself if its columns are contiguous, and a copy otherwise.
pub(crate) fn contiguous<T: Scalar>(matrix: MatRef<'_, T>) -> Result<Contiguous<'_, T>, Error> {
    if matrix.row_stride() == 1 {
        return Ok(Contiguous::Given(matrix));
    }
    let mut copy = zeros(matrix.nrows(), matrix.ncols())?;
    copy.copy_from(matrix);
    Ok(Contiguous::Copied(copy))
}
