//! The backend to read: every kernel as the loop its formula is. Slow; the oracle of the tests.

use std::marker::PhantomData;

mod pursuit;
mod sweep;

pub use pursuit::ReferencePursuits;

use faer::{ColRef, Mat, MatMut, MatRef};

use crate::Scalar;
use crate::backend::{Backend, PursuitKernels, PursuitRule, SampleShards};
use crate::codes::SparseCodes;
use crate::cpu::HostBackend;
use crate::error::BackendError;
use crate::problem::ProblemShape;

/// Naive loops over host matrices, each sum in f64.
///
/// ```
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Faer, Reference};
///
/// // What a backend of your own can be compared with, on small problems.
/// let data = Planted::new(8, 12, 2, 200).generate::<f64>()?;
/// let naive = DbKsvd::builder_on(Reference::<f64>::default(), 12, 2).epochs(2).build()?;
/// let fast = DbKsvd::builder_on(Faer::<f64>::default(), 12, 2).epochs(2).build()?;
/// let [naive, fast] = [naive.fit(&data.samples)?.1, fast.fit(&data.samples)?.1];
/// assert!((naive.epochs[1].fvu - fast.epochs[1].fvu).abs() < 0.01);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference<T> {
    scalar: PhantomData<T>,
}

impl<T: Scalar> Backend for Reference<T> {
    type Scalar = T;
    type Matrix = Mat<T>;
    type Codes = SparseCodes<T>;

    fn zeros(&self, rows: usize, cols: usize) -> Result<Mat<T>, BackendError> {
        crate::matrix::zeros(rows, cols)
    }

    fn upload(&self, host: MatRef<'_, T>, dst: &mut Mat<T>) -> Result<(), BackendError> {
        *dst = host.to_owned();
        Ok(())
    }

    fn download_columns(&self, matrix: &Mat<T>, columns: &[usize]) -> Result<Mat<T>, BackendError> {
        Ok(Mat::from_fn(matrix.nrows(), columns.len(), |i, j| matrix[(i, columns[j])]))
    }

    fn upload_column(
        &self,
        values: &[T],
        matrix: &mut Mat<T>,
        column: usize,
    ) -> Result<(), BackendError> {
        matrix.col_as_slice_mut(column).copy_from_slice(values);
        Ok(())
    }

    fn download(&self, matrix: &Mat<T>) -> Result<Mat<T>, BackendError> {
        Ok(matrix.clone())
    }

    fn codes(
        &self,
        atoms: usize,
        samples: usize,
        sparsity: usize,
    ) -> Result<SparseCodes<T>, BackendError> {
        Ok(SparseCodes::new(atoms, samples, sparsity))
    }

    fn upload_codes(
        &self,
        host: &SparseCodes<T>,
        dst: &mut SparseCodes<T>,
    ) -> Result<(), BackendError> {
        dst.clone_from(host);
        Ok(())
    }

    fn nonzeros(&self, codes: &SparseCodes<T>) -> Result<usize, BackendError> {
        Ok(codes.nnz())
    }

    fn download_codes(&self, codes: &SparseCodes<T>) -> Result<SparseCodes<T>, BackendError> {
        Ok(codes.clone())
    }

    fn residual(&self, r: &mut Mat<T>, y: &Mat<T>, d: &Mat<T>, x: &SparseCodes<T>) {
        assert!(
            y.nrows() == d.nrows() && y.ncols() == x.samples() && d.ncols() == x.atoms(),
            "Y − DX of Y {:?}, D {:?}, X ({}, {})",
            y.shape(),
            d.shape(),
            x.atoms(),
            x.samples()
        );
        *r = Mat::from_fn(y.nrows(), y.ncols(), |row, i| {
            let coded = x.support(i).iter().zip(x.values(i));
            let sum: f64 =
                coded.map(|(&j, value)| d[(row, j as usize)].widen() * value.widen()).sum();
            T::narrow(y[(row, i)].widen() - sum)
        });
    }

    fn squared_norms(
        &self,
        a: &Mat<T>,
        shards: &SampleShards,
        norms: &mut [f64],
    ) -> Result<(), BackendError> {
        for (shard, norm) in norms.iter_mut().enumerate() {
            let columns = shards.range(shard);
            let values = columns.flat_map(|i| a.col_as_slice(i));
            *norm = values.map(|a| a.widen() * a.widen()).sum();
        }
        Ok(())
    }

    fn columns(&self, a: &Mat<T>) -> usize {
        a.ncols()
    }

    fn normalize_columns(&self, d: &mut Mat<T>) {
        for j in 0..d.ncols() {
            let squares: f64 = (0..d.nrows()).map(|i| d[(i, j)].widen() * d[(i, j)].widen()).sum();
            if squares > 0.0 {
                for i in 0..d.nrows() {
                    d[(i, j)] = T::narrow(d[(i, j)].widen() / squares.sqrt());
                }
            }
        }
    }
}

impl<T: Scalar> PursuitKernels for Reference<T> {
    type Pursuits = ReferencePursuits;

    fn prepare_pursuits(
        &self,
        rule: &PursuitRule,
        shape: &ProblemShape,
        _: usize,
    ) -> Result<ReferencePursuits, BackendError> {
        Ok(ReferencePursuits { rule: *rule, shape: *shape })
    }

    fn set_pursuit_dictionary(
        &self,
        _: &mut ReferencePursuits,
        _: &Mat<T>,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    fn pursue(
        &self,
        pursuits: &ReferencePursuits,
        dictionary: &Mat<T>,
        y: &Mat<T>,
        codes: &mut SparseCodes<T>,
    ) -> Result<(), BackendError> {
        let widened = |column: ColRef<'_, T>| column.iter().map(|x| x.widen()).collect();
        let d: Vec<Vec<f64>> = dictionary.col_iter().map(widened).collect();
        codes.reset(y.ncols());
        for (i, sample) in y.col_iter().enumerate() {
            let sample: Vec<f64> = widened(sample);
            let (support, values) = pursuits.code(&d, &sample);
            codes.set(i, &support, &values);
        }
        Ok(())
    }
}

impl<T: Scalar> HostBackend for Reference<T> {
    fn view<'a>(&self, matrix: &'a Mat<T>) -> MatRef<'a, T> {
        matrix.as_ref()
    }

    fn view_mut<'a>(&self, matrix: &'a mut Mat<T>) -> MatMut<'a, T> {
        matrix.as_mut()
    }

    fn product_tn(&self, mut c: MatMut<'_, T>, a: MatRef<'_, T>, b: MatRef<'_, T>) {
        for j in 0..b.ncols() {
            for i in 0..a.ncols() {
                let terms = (0..a.nrows()).map(|row| a[(row, i)].widen() * b[(row, j)].widen());
                c[(i, j)] = T::narrow(terms.sum());
            }
        }
    }
}
