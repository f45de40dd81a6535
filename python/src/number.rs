//! The two scalars that everything is computed in.

use dbksvd::Scalar;
use dbksvd::faer::{Mat, MatRef};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

/// Something in one of the two precisions.
#[derive(Clone, Debug)]
pub enum Either<A, B> {
    F32(A),
    F64(B),
}

/// Evaluates an expression for whichever of the two it is.
macro_rules! each {
    ($either:expr, $name:ident => $body:expr) => {
        match $either {
            $crate::number::Either::F32($name) => $body,
            $crate::number::Either::F64($name) => $body,
        }
    };
}
pub(crate) use each;

/// A scalar that NumPy has as well.
pub trait Number: Scalar + numpy::Element {
    /// Puts a value into the place of its precision.
    fn either<F: Family>(value: F::Of<Self>) -> Either<F::Of<f32>, F::Of<f64>>;
}

/// A type for each scalar.
pub trait Family {
    type Of<T: Number>;
}

impl Number for f32 {
    fn either<F: Family>(value: F::Of<Self>) -> Either<F::Of<f32>, F::Of<f64>> {
        Either::F32(value)
    }
}

impl Number for f64 {
    fn either<F: Family>(value: F::Of<Self>) -> Either<F::Of<f32>, F::Of<f64>> {
        Either::F64(value)
    }
}

/// A matrix (d × n) as an array of n rows.
pub fn rows_of<'py, T: Number>(
    py: Python<'py>,
    matrix: MatRef<'_, T>,
) -> PyResult<Bound<'py, PyArray2<T>>> {
    let values: Vec<T> = (0..matrix.ncols()).flat_map(|j| matrix.col(j).iter().copied()).collect();
    PyArray1::from_vec(py, values).reshape([matrix.ncols(), matrix.nrows()])
}

/// Rows of dimension `dim`, one after the other, as the columns of a matrix.
pub fn columns_of<T: Number>(values: &[T], dim: usize) -> Mat<T> {
    MatRef::from_column_major_slice(values, dim, values.len() / dim.max(1)).to_owned()
}
