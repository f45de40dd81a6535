//! The data that updaters keep between minibatches, as plain arrays that a checkpoint can hold.

use faer::{MatMut, MatRef};

use crate::Scalar;
use crate::error::Error;

/// The largest sum of counts. Up to it, counts are exact in f64, and no run gets that far.
const MOST: u64 = 1 << 53;

/// An array of one of the types that updaters save.
#[derive(Clone, Debug, PartialEq)]
pub enum SavedArray<T> {
    /// Sums and weights.
    F64(Vec<f64>),
    /// Counts.
    U64(Vec<u64>),
    /// Matrices in the scalar of the backend, column by column.
    Scalars(Vec<T>),
}

/// Named arrays: all data that an updater keeps from one minibatch to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedState<T> {
    /// The arrays, sorted by name.
    arrays: Vec<(String, SavedArray<T>)>,
}

impl<T> Default for SavedState<T> {
    fn default() -> Self {
        Self { arrays: Vec::new() }
    }
}

impl<T: Scalar> SavedState<T> {
    /// A saved state without arrays.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an array. An array of the same name is replaced.
    pub fn insert(&mut self, name: impl Into<String>, array: SavedArray<T>) {
        let name = name.into();
        match self.place_of(&name) {
            Ok(place) => self.arrays[place].1 = array,
            Err(place) => self.arrays.insert(place, (name, array)),
        }
    }

    /// The place of the array of this name, or the place where it would be inserted.
    fn place_of(&self, name: &str) -> Result<usize, usize> {
        self.arrays.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }

    fn get(&self, name: &str) -> Option<&SavedArray<T>> {
        Some(&self.arrays[self.place_of(name).ok()?].1)
    }

    /// Adds a matrix, column by column.
    pub fn insert_matrix(&mut self, name: impl Into<String>, matrix: MatRef<'_, T>) {
        let columns = (0..matrix.ncols()).flat_map(|j| matrix.col(j).iter().copied());
        self.insert(name, SavedArray::Scalars(columns.collect()));
    }

    /// Fills `matrix` with the saved matrix of this name, which must have the same number of
    /// entries.
    ///
    /// # Errors
    /// The errors of [`scalars`](Self::scalars).
    pub fn restore_matrix(&self, name: &str, mut matrix: MatMut<'_, T>) -> Result<(), Error> {
        let (rows, columns) = (matrix.nrows(), matrix.ncols());
        let values = self.scalars(name, rows * columns)?;
        matrix.copy_from(MatRef::from_column_major_slice(values, rows, columns));
        Ok(())
    }

    /// The arrays with their names, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SavedArray<T>)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array))
    }

    /// The array `name` of f64 numbers, of length `len`.
    ///
    /// # Errors
    /// [`Error::SavedState`] if the array is missing, or is of another type or length.
    pub fn f64s(&self, name: &str, len: usize) -> Result<&[f64], Error> {
        match self.get(name) {
            Some(SavedArray::F64(values)) if values.len() == len => Ok(values),
            other => Err(unlike(name, other, "f64", len)),
        }
    }

    /// The array `name` of counts, of length `len`.
    ///
    /// # Errors
    /// The same as for [`f64s`](Self::f64s).
    pub fn u64s(&self, name: &str, len: usize) -> Result<&[u64], Error> {
        match self.get(name) {
            Some(SavedArray::U64(values)) if values.len() == len => Ok(values),
            other => Err(unlike(name, other, "u64", len)),
        }
    }

    /// The array `name` of counts, of length `len`, that can be added to without overflow.
    pub(crate) fn counts(&self, name: &str, len: usize) -> Result<&[u64], Error> {
        let counts = self.u64s(name, len)?;
        let sum = counts.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count));
        if sum.is_some_and(|sum| sum <= MOST) {
            return Ok(counts);
        }
        let (found, expected) = ("a sum of counts above 2^53", "counts of a run");
        let (found, expected) = (found.to_owned(), expected.to_owned());
        Err(Error::SavedState { name: name.to_owned(), found, expected })
    }

    /// The array `name` of scalars, of length `len`.
    ///
    /// # Errors
    /// The same as for [`f64s`](Self::f64s).
    pub fn scalars(&self, name: &str, len: usize) -> Result<&[T], Error> {
        match self.get(name) {
            Some(SavedArray::Scalars(values)) if values.len() == len => Ok(values),
            other => Err(unlike(name, other, T::NAME, len)),
        }
    }
}

fn unlike<T: Scalar>(
    name: &str,
    found: Option<&SavedArray<T>>,
    scalar: &'static str,
    len: usize,
) -> Error {
    let found = match found {
        None => "missing".to_owned(),
        Some(SavedArray::F64(values)) => format!("{} f64", values.len()),
        Some(SavedArray::U64(values)) => format!("{} u64", values.len()),
        Some(SavedArray::Scalars(values)) => format!("{} {}", values.len(), T::NAME),
    };
    Error::SavedState { name: name.to_owned(), found, expected: format!("{len} {scalar}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_no_run_has_are_refused() {
        let mut saved = SavedState::<f32>::new();
        for (counts, is_ok) in [
            ([3, 4], true),
            ([MOST - 1, 1], true),
            ([MOST, 1], false),
            ([u64::MAX, 0], false),
            ([u64::MAX, 2], false),
        ] {
            saved.insert("uses", SavedArray::U64(counts.to_vec()));
            assert_eq!(saved.counts("uses", 2).is_ok(), is_ok, "{counts:?}");
        }
        let error = saved.counts("uses", 2).unwrap_err().to_string();
        assert!(error.contains("`uses`") && error.contains("2^53"), "{error}");
    }
}
