//! The dictionary D: unit-norm atoms as columns.

use faer::mat::AsMatRef;
use faer::{Mat, MatRef};

use crate::Scalar;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::scalar::compiled;

/// A dictionary D (d × m): m atoms of dimension d, each of Euclidean norm 1.
///
/// Norms are 1 within `√ε · 8`, where ε is that of the scalar, so a dictionary is still valid after
/// it was saved and read in the same precision. Every function here that makes a dictionary checks
/// this.
///
/// ```
/// use dbksvd::Dictionary;
/// use dbksvd::faer::mat;
///
/// let dictionary = Dictionary::normalized(mat![[3.0_f32, 0.0], [4.0, 2.0]])?;
/// assert_eq!((dictionary.dim(), dictionary.atoms()), (2, 2));
/// assert_eq!(dictionary.atom(1), [0.0, 1.0]);
/// assert!((dictionary.atom(0)[1] - 0.8).abs() < 1e-6);
/// assert!(Dictionary::new(mat![[3.0_f32], [4.0]]).is_err()); // of norm 5
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dictionary<T: Scalar> {
    atoms: Mat<T>,
}

impl<T: Scalar> Dictionary<T> {
    /// Makes a dictionary from columns of norm 1.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are no rows or no columns, [`Error::NotFiniteAtom`] for a NaN
    /// or an infinity, and [`Error::NotUnitAtom`] for a column whose norm is not 1.
    pub fn new(atoms: Mat<T>) -> Result<Self, Error> {
        let tolerance = 8.0 * T::EPSILON.sqrt();
        for (atom, norm) in checked_norms(atoms.as_ref())?.into_iter().enumerate() {
            if (norm - 1.0).abs() > tolerance {
                return Err(Error::NotUnitAtom { atom, norm });
            }
        }
        Ok(Self { atoms })
    }

    /// Makes a dictionary from any nonzero columns by scaling each to norm 1.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are no rows or no columns, [`Error::NotFiniteAtom`] for a NaN
    /// or an infinity, and [`Error::ZeroAtom`] for a column that is zero and so has no direction.
    pub fn normalized(mut atoms: Mat<T>) -> Result<Self, Error> {
        normalize(&mut atoms)?;
        Ok(Self { atoms })
    }

    /// Makes a dictionary from atoms that the caller has just scaled to norm 1, without a check.
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

    /// Takes the d × m matrix out of the dictionary.
    #[must_use]
    pub fn into_mat(self) -> Mat<T> {
        self.atoms
    }
}

/// A dictionary is accepted where a matrix is wanted, as in [`omp`](crate::omp).
impl<T: Scalar> AsMatRef for Dictionary<T> {
    type T = T;
    type Rows = usize;
    type Cols = usize;
    type Owned = Mat<T>;

    fn as_mat_ref(&self) -> MatRef<'_, T> {
        self.as_mat()
    }
}

/// The norm of every column, in f64. An empty matrix and values that are not finite are errors.
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
