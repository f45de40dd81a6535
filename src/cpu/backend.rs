//! The backend to use: faer's products, rayon across blocks of columns.

use std::marker::PhantomData;

use faer::{Mat, MatMut, MatRef};
use rayon::prelude::*;

use super::pursuit::batch::Pursuits;
use crate::Scalar;
use crate::backend::{Backend, PursuitKernels, PursuitRule, SampleShards};
use crate::codes::SparseCodes;
use crate::cpu::HostBackend;
use crate::cpu::product::multiply;
use crate::cpu::vector::{instructions, loops, rows, vectorized};
use crate::error::BackendError;
use crate::group::Group;
use crate::matrix::{column, column_mut, zeros};
use crate::problem::ProblemShape;
use crate::scalar::compiled;

/// Columns of a product computed by one task. faer's products reach their speed from about 128
/// columns on; fixed, so that results do not depend on the number of threads.
const BLOCK: usize = 256;

/// Host matrices and faer's products, in parallel on the current rayon pool.
///
/// Inside a task faer runs sequentially: the pool is the caller's, and results are the same on any
/// number of threads.
///
/// ```
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Faer};
///
/// // In double precision; `DbKsvd::builder` computes in single precision.
/// let data = Planted::new(16, 32, 3, 1000).generate::<f64>()?;
/// let learner = DbKsvd::builder_on(Faer::<f64>::default(), 32, 3).epochs(2).build()?;
/// let (model, _) = learner.fit(&data.samples)?;
/// assert_eq!(model.atoms(), 32);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Faer<T> {
    scalar: PhantomData<T>,
}

impl<T: Scalar> Backend for Faer<T> {
    type Scalar = T;
    type Matrix = Mat<T>;
    type Codes = SparseCodes<T>;

    fn zeros(&self, rows: usize, cols: usize) -> Result<Mat<T>, BackendError> {
        zeros(rows, cols)
    }

    fn upload(&self, host: MatRef<'_, T>, dst: &mut Mat<T>) -> Result<(), BackendError> {
        dst.resize_with(host.nrows(), host.ncols(), |_, _| T::zero());
        dst.as_mut().par_col_chunks_mut(BLOCK).zip(host.par_col_chunks(BLOCK)).for_each(
            |(mut dst, host)| {
                dst.copy_from(host);
            },
        );
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
        residual(r, y, d, x);
    }

    fn squared_norms(
        &self,
        a: &Mat<T>,
        shards: &SampleShards,
        norms: &mut [f64],
    ) -> Result<(), BackendError> {
        squared_norms(a, shards, norms);
        Ok(())
    }

    fn columns(&self, a: &Mat<T>) -> usize {
        a.ncols()
    }

    fn instructions(&self) -> &'static str {
        instructions()
    }

    fn normalize_columns(&self, d: &mut Mat<T>) {
        normalize_columns(d);
    }
}

compiled! {
    /// [`Pursuits::set_dictionary`].
    fn set_dictionary<T>(pursuits: &mut Pursuits<T>, dictionary: &Mat<T>) {
        pursuits.set_dictionary(dictionary);
    }
}

compiled! {
    /// [`Pursuits::set_dictionary_together`].
    fn set_dictionary_together<T>(
        pursuits: &mut Pursuits<T>,
        dictionary: &Mat<T>,
        group: &dyn Group,
    ) -> Result<(), BackendError> {
        pursuits.set_dictionary_together(dictionary, group)
    }
}

compiled! {
    /// [`Pursuits::run`].
    fn pursue<T>(pursuits: &Pursuits<T>, d: &Mat<T>, y: &Mat<T>, x: &mut SparseCodes<T>) {
        pursuits.run(d, y, x);
    }
}

impl<T: Scalar> PursuitKernels for Faer<T> {
    type Pursuits = Pursuits<T>;

    fn prepare_pursuits(
        &self,
        rule: &PursuitRule,
        shape: &ProblemShape,
        memory: usize,
    ) -> Result<Pursuits<T>, BackendError> {
        Pursuits::new(rule, shape, memory)
    }

    fn set_pursuit_dictionary(
        &self,
        pursuits: &mut Pursuits<T>,
        dictionary: &Mat<T>,
    ) -> Result<(), BackendError> {
        set_dictionary(pursuits, dictionary);
        Ok(())
    }

    fn set_pursuit_dictionary_together(
        &self,
        pursuits: &mut Pursuits<T>,
        dictionary: &Mat<T>,
        group: &dyn Group,
    ) -> Result<(), BackendError> {
        set_dictionary_together(pursuits, dictionary, group)
    }

    fn pursue(
        &self,
        pursuits: &Pursuits<T>,
        dictionary: &Mat<T>,
        y: &Mat<T>,
        codes: &mut SparseCodes<T>,
    ) -> Result<(), BackendError> {
        pursue(pursuits, dictionary, y, codes);
        Ok(())
    }
}

impl<T: Scalar> HostBackend for Faer<T> {
    fn view<'a>(&self, matrix: &'a Mat<T>) -> MatRef<'a, T> {
        matrix.as_ref()
    }

    fn view_mut<'a>(&self, matrix: &'a mut Mat<T>) -> MatMut<'a, T> {
        matrix.as_mut()
    }

    fn product_tn(&self, c: MatMut<'_, T>, a: MatRef<'_, T>, b: MatRef<'_, T>) {
        multiply(c, a.transpose(), b);
    }
}

compiled! {
    /// R ← Y − DX, in parallel by blocks of samples.
    fn residual<T>(r: &mut Mat<T>, y: &Mat<T>, d: &Mat<T>, x: &SparseCodes<T>) {
        r.resize_with(y.nrows(), y.ncols(), |_, _| T::zero());
        r.as_mut().par_col_chunks_mut(BLOCK).enumerate().for_each(|(block, mut r)| {
            for within in 0..r.ncols() {
                let (i, r) = (block * BLOCK + within, column_mut(r.as_mut(), within));
                r.copy_from_slice(y.col_as_slice(i));
                subtract_atoms(r, d.as_ref(), x.support(i), x.values(i));
            }
        });
    }
}

compiled! {
    /// Scales every column to norm 1.
    fn normalize_columns<T>(d: &mut Mat<T>) {
        d.as_mut().par_col_chunks_mut(1).for_each(|atom| {
            loops::normalize(column_mut(atom, 0));
        });
    }
}

compiled! {
    /// [`norms_of_shards`].
    fn squared_norms<T>(a: &Mat<T>, shards: &SampleShards, norms: &mut [f64]) {
        norms_of_shards(a.as_ref(), shards, norms);
    }
}

/// ‖A‖²_F of the columns of each of these shards, in parallel.
pub(crate) fn norms_of_shards<T: Scalar>(
    a: MatRef<'_, T>,
    shards: &SampleShards,
    norms: &mut [f64],
) {
    norms.par_iter_mut().enumerate().for_each(|(shard, norm)| {
        let columns = shards.range(shard);
        *norm = sum_of_squares(a.subcols(columns.start, columns.len()));
    });
}

vectorized! {
    /// r ← r − Σ x_j d_j over the atoms j of one sample's code.
    fn subtract_atoms<'a, T>(
        simd;
        r: &'a mut [T],
        dictionary: MatRef<'a, T>,
        support: &'a [u32],
        values: &'a [T],
    ) -> () {
        let (eights, rest) = support.as_chunks::<8>();
        let (value_eights, value_rest) = values.as_chunks::<8>();
        for (support, values) in eights.iter().zip(value_eights) {
            let (mut atoms, mut x): ([&[T]; 8], _) = ([&[]; 8], [T::zero(); 8]);
            for q in 0..8 {
                atoms[q] = column(dictionary, support[q] as usize);
                x[q] = -values[q];
            }
            rows::gather(simd, r, x, atoms);
        }
        for (&j, &x) in rest.iter().zip(value_rest) {
            rows::gather(simd, r, [-x], [column(dictionary, j as usize)]);
        }
    }
}

/// ‖A‖²_F: halves of the columns are added in the same order on any number of threads.
fn sum_of_squares<T: Scalar>(a: MatRef<'_, T>) -> f64 {
    if a.ncols() <= BLOCK {
        return (0..a.ncols()).map(|i| loops::energy(column(a, i))).sum();
    }
    let (left, right) = a.split_at_col(a.ncols() / 2);
    let (left, right) = rayon::join(|| sum_of_squares(left), || sum_of_squares(right));
    left + right
}
