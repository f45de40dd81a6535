//! Atoms of any norm: checked, scaled to norm 1, and codes scaled back.

use faer::{Mat, MatRef};

use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::matrix::{column, zeros};

/// Atoms scaled to norm 1, and the norms that they had.
#[derive(Debug)]
pub(crate) struct UnitAtoms<T> {
    /// d × m.
    pub(crate) atoms: Mat<T>,
    pub(crate) norms: Vec<f64>,
}

impl<T: Scalar> UnitAtoms<T> {
    pub(crate) fn new(given: MatRef<'_, T>) -> Result<Self, Error> {
        let (dim, count) = given.shape();
        if dim == 0 || count == 0 {
            let found = format!("{dim} × {count}");
            return Err(Error::argument("dictionary", found, "at least one row and one column"));
        }
        let mut atoms = zeros(dim, count)?;
        atoms.copy_from(given);
        let mut norms = Vec::with_capacity(count);
        for atom in 0..count {
            let values = atoms.col_as_slice_mut(atom);
            if let Some(coordinate) = loops::first_not_finite(values) {
                let value = values[coordinate].widen();
                return Err(Error::NotFiniteAtom { atom, coordinate, value });
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

    /// Codes on the unit atoms as codes on the atoms that were given.
    pub(crate) fn rescaled(&self, mut codes: SparseCodes<T>) -> Result<SparseCodes<T>, Error> {
        let mut block = codes.as_block_mut();
        for i in 0..block.len() {
            let (support, values) = block.code_mut(i);
            for (&atom, value) in support.iter().zip(values) {
                *value = self.coefficient(atom, value.widen(), i)?;
            }
        }
        Ok(codes)
    }

    /// The coefficient of an atom as it was given, from that of the unit atom.
    pub(crate) fn coefficient(&self, atom: u32, unit: f64, sample: usize) -> Result<T, Error> {
        let norm = self.norms[atom as usize];
        let value = T::narrow(unit / norm);
        if value.widen().is_finite() {
            return Ok(value);
        }
        let found = format!("of norm {norm:e} in column {atom}");
        let expected = format!("atoms for which sample {sample} has a finite coefficient");
        Err(Error::argument("dictionary", found, expected))
    }
}

/// Refuses samples of another dimension, and values that are not finite.
pub(crate) fn check_samples<T: Scalar>(samples: MatRef<'_, T>, dim: usize) -> Result<(), Error> {
    if samples.nrows() != dim {
        let found = samples.nrows();
        return Err(Error::Dimension { argument: "samples", found, expected: dim });
    }
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
