//! The dictionary D: unit-norm atoms as columns.

use faer::{Mat, MatRef};

use crate::Scalar;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::scalar::compiled;

/// A dictionary D (d × m): m atoms of dimension d, each of Euclidean norm 1.
///
/// The invariant holds to `√ε · 8` of the scalar, so that dictionaries survive a file in the same
/// precision; everything here that makes a dictionary checks it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dictionary<T: Scalar> {
    atoms: Mat<T>,
}

impl<T: Scalar> Dictionary<T> {
    /// A dictionary from unit-norm columns.
    ///
    /// # Errors
    /// [`Error::Argument`] without rows or columns, [`Error::NotFiniteAtom`], and
    /// [`Error::NotUnitAtom`] for a column whose norm is not 1.
    pub fn new(atoms: Mat<T>) -> Result<Self, Error> {
        let tolerance = 8.0 * T::EPSILON.sqrt();
        for (atom, norm) in checked_norms(atoms.as_ref())?.into_iter().enumerate() {
            if (norm - 1.0).abs() > tolerance {
                return Err(Error::NotUnitAtom { atom, norm });
            }
        }
        Ok(Self { atoms })
    }

    /// A dictionary from any nonzero columns, each scaled to norm 1.
    ///
    /// # Errors
    /// [`Error::Argument`] without rows or columns, [`Error::NotFiniteAtom`], and
    /// [`Error::ZeroAtom`] for a column without a direction.
    pub fn normalized(mut atoms: Mat<T>) -> Result<Self, Error> {
        normalize(&mut atoms)?;
        Ok(Self { atoms })
    }

    /// A dictionary whose atoms the caller has just normalised.
    pub(crate) fn trusted(atoms: Mat<T>) -> Self {
        debug_assert!(Self::new(atoms.clone()).is_ok(), "atoms are not of unit norm");
        Self { atoms }
    }

    /// The sample dimension d.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.atoms.nrows()
    }

    /// The number of atoms m.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.atoms.ncols()
    }

    /// Atom `j`, of length d. Panics if `j` ≥ m.
    #[must_use]
    pub fn atom(&self, j: usize) -> &[T] {
        self.atoms.col_as_slice(j)
    }

    /// The atoms as a d × m matrix.
    #[must_use]
    pub fn as_mat(&self) -> MatRef<'_, T> {
        self.atoms.as_ref()
    }

    /// The matrix itself.
    #[must_use]
    pub fn into_mat(self) -> Mat<T> {
        self.atoms
    }
}

/// The norm of every column, in f64; errors for an empty matrix and for values that are not finite.
fn checked_norms<T: Scalar>(atoms: MatRef<'_, T>) -> Result<Vec<f64>, Error> {
    if atoms.nrows() == 0 || atoms.ncols() == 0 {
        let found = format!("{} × {}", atoms.nrows(), atoms.ncols());
        return Err(Error::argument("dictionary", found, "at least one row and one column"));
    }
    (0..atoms.ncols())
        .map(|j| {
            let column = atoms.col(j).try_as_col_major().expect("columns of a Mat are contiguous");
            let column = column.as_slice();
            match loops::first_not_finite(column) {
                None => Ok(loops::energy(column).sqrt()),
                Some(i) => {
                    Err(Error::NotFiniteAtom { atom: j, coordinate: i, value: column[i].widen() })
                }
            }
        })
        .collect()
}

compiled! {
    /// Scales every column to norm 1.
    fn normalize<T>(atoms: &mut Mat<T>) -> Result<(), Error> {
        checked_norms(atoms.as_ref())?;
        for atom in 0..atoms.ncols() {
            if loops::normalize(atoms.col_as_slice_mut(atom)) == 0.0 {
                return Err(Error::ZeroAtom { atom });
            }
        }
        Ok(())
    }
}
