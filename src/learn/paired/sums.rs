//! Sums over pairs of a code and a target, from which a second dictionary is solved.

use std::marker::PhantomData;

use faer::{Mat, MatMut, MatRef};
use rayon::prelude::*;

use super::{agree, check_codes, check_targets};
use crate::Scalar;
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::sweep::sums::add_code_products;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::matrix::{column_mut, zeros};
use crate::source::AsSamples;

/// An atom counts as constant if Σ (x − x̄)² is at most this share of Σ x².
const CONSTANT: f64 = 1e-12;

/// Atoms whose sums one task makes.
const ATOMS_A_TASK: usize = 8;

/// Σ x xᵀ, Σ z xᵀ, Σ x and Σ z over pairs of a code x and a target z, in f64.
///
/// Pairs are added one after the other, each atom's on its own: the bits depend on the pairs and
/// their order, and neither on the number of threads nor on how pairs are cut into minibatches.
/// Memory: m² + d₂·m + m + d₂ doubles, and while a minibatch is added, 8 bytes for each of its
/// nonzeros and a copy of its targets.
///
/// ```
/// use dbksvd::SparseCodes;
/// use dbksvd::faer::mat;
/// use dbksvd::learn::{Paired, PairedSums};
///
/// let mut codes = SparseCodes::new(2, 2, 1);
/// codes.set(0, &[0], &[1.0]);
/// codes.set(1, &[1], &[2.0]);
/// let mut sums = PairedSums::new(2, 1)?;
/// sums.add(&codes, mat![[3.0, 4.0]].as_ref())?;
/// let paired = Paired::new().offset(false).ridge(0.0).solve(&sums)?;
/// assert_eq!(paired.as_mat(), mat![[3.0, 2.0]].as_ref());
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PairedSums<T> {
    samples: usize,
    /// A, m × m.
    codes: Mat<f64>,
    /// B, d₂ × m.
    targets: Mat<f64>,
    /// a, of length m.
    code_sum: Vec<f64>,
    /// b, of length d₂.
    target_sum: Vec<f64>,
    index: AtomIndex,
    scalar: PhantomData<T>,
}

impl<T: Scalar> PairedSums<T> {
    /// Sums of nothing, for codes over `atoms` atoms and targets of dimension `dim`.
    ///
    /// # Errors
    /// [`Error::Argument`] if one of them is 0, [`Error::Backend`] if memory cannot be had.
    pub fn new(atoms: usize, dim: usize) -> Result<Self, Error> {
        for (argument, size) in [("atoms", atoms), ("dim", dim)] {
            if size == 0 {
                return Err(Error::argument(argument, size, "at least 1"));
            }
        }
        Ok(Self {
            samples: 0,
            codes: zeros(atoms, atoms)?,
            targets: zeros(dim, atoms)?,
            code_sum: vec![0.0; atoms],
            target_sum: vec![0.0; dim],
            index: AtomIndex::default(),
            scalar: PhantomData,
        })
    }

    /// The number of pairs added.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The number of atoms m.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.codes.ncols()
    }

    /// The dimension d₂ of targets.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.targets.nrows()
    }

    /// Adds a minibatch of codes and their targets (d₂ × n, a column for each code).
    ///
    /// # Errors
    /// [`Error::Dimension`] if the codes are for another number of atoms, targets are of another
    /// dimension, or there are not as many as codes, and [`Error::Source`] for a slice that ends
    /// within a target; [`Error::NotFinite`] for a target, whose index
    /// is counted from the first pair that was added; [`Error::Argument`] for a coefficient that is
    /// not finite, and for more than 2³² − 1 codes. After an error, the sums are as they were.
    pub fn add(&mut self, codes: &SparseCodes<T>, targets: impl AsSamples<T>) -> Result<(), Error> {
        let targets = targets.as_samples(self.dim())?;
        agree("codes", codes.atoms(), self.atoms())?;
        agree("targets", targets.nrows(), self.dim())?;
        agree("targets of the codes", targets.ncols(), codes.samples())?;
        if u32::try_from(codes.samples()).is_err() {
            return Err(Error::argument("codes", codes.samples(), "below 2³²"));
        }
        check_codes(codes)?;
        check_targets(targets, self.samples)?;
        let targets = Mat::from_fn(targets.nrows(), targets.ncols(), |i, j| targets[(i, j)]);
        let Self { codes: products, targets: of_targets, code_sum, target_sum, index, .. } = self;
        index.rebuild(codes);
        let index = &*index;
        add_code_products(products.as_mut(), 1.0, codes, index);
        of_targets
            .par_col_chunks_mut(ATOMS_A_TASK)
            .zip(code_sum.par_chunks_mut(ATOMS_A_TASK))
            .enumerate()
            .for_each(|(chunk, (mut columns, sums))| {
                for (within, sum) in sums.iter_mut().enumerate() {
                    let column = column_mut(columns.as_mut(), within);
                    for &Use { sample, slot } in index.uses(chunk * ATOMS_A_TASK + within) {
                        let i = sample as usize;
                        let x = codes.values(i)[slot as usize].widen();
                        loops::add_wide(column, x, targets.col_as_slice(i));
                        *sum += x;
                    }
                }
            });
        for i in 0..targets.ncols() {
            loops::add_wide(target_sum, 1.0, targets.col_as_slice(i));
        }
        self.samples += codes.samples();
        Ok(())
    }

    /// Adds the pairs of other sums after those of these: the bits differ, by rounding, from those
    /// of adding one pair after the other.
    ///
    /// # Errors
    /// [`Error::Dimension`] if `other` is for another number of atoms or another dimension.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        agree("atoms of other", other.atoms(), self.atoms())?;
        agree("other", other.dim(), self.dim())?;
        self.samples += other.samples;
        self.codes += &other.codes;
        self.targets += &other.targets;
        self.code_sum.iter_mut().zip(&other.code_sum).for_each(|(sum, x)| *sum += x);
        self.target_sum.iter_mut().zip(&other.target_sum).for_each(|(sum, z)| *sum += z);
        Ok(())
    }

    /// `products` ← A, and returns B: with an offset, both around the means.
    pub(super) fn products(
        &self,
        offset: bool,
        mut products: MatMut<'_, f64>,
    ) -> Result<Mat<f64>, Error> {
        products.copy_from(&self.codes);
        let mut targets = zeros(self.dim(), self.atoms())?;
        targets.copy_from(&self.targets);
        if offset {
            let n = self.samples as f64;
            for (j, &sum) in self.code_sum.iter().enumerate() {
                let mean = sum / n;
                loops::add_wide(column_mut(products.as_mut(), j), -mean, &self.code_sum);
                loops::add_wide(targets.col_as_slice_mut(j), -mean, &self.target_sum);
            }
            // What rounding leaves of an atom that all codes use alike is nothing.
            for j in 0..self.atoms() {
                if products[(j, j)] <= CONSTANT * self.codes[(j, j)] {
                    products.as_mut().col_mut(j).fill(0.0);
                    products.as_mut().row_mut(j).fill(0.0);
                    targets.col_mut(j).fill(0.0);
                }
            }
        }
        Ok(targets)
    }

    /// c = (b − D₂ a)/n.
    pub(super) fn offset(&self, dictionary: MatRef<'_, f64>) -> Vec<f64> {
        let mut offset = self.target_sum.clone();
        for (j, &sum) in self.code_sum.iter().enumerate() {
            let atom = dictionary.col(j);
            offset.iter_mut().zip(atom.iter()).for_each(|(c, d)| *c -= sum * d);
        }
        offset.iter_mut().for_each(|c| *c /= self.samples as f64);
        offset
    }
}
