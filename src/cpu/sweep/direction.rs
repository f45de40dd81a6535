//! Phase (a): the leading left singular vector of E_Ω = R_Ω + d xᵀ, without forming E_Ω.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Mat, MatMut, MatRef, Par};
use num_traits::Float;

use super::atom_sums::{Atom, Step};
use super::exchange::Products;
use crate::backend::LeadingPair;
use crate::codes::{AtomIndex, SparseCodes};
use crate::cpu::vector::loops;
use crate::matrix::{column, column_mut};
use crate::{Scalar, Sign};

/// Power steps after which an exact non-negative pair is taken as it is.
const MOST_STEPS: usize = 200;

/// Tasks that a batch is divided into at most. Each has scratch memory of its own.
const MOST_TASKS: usize = 64;

/// What the directions of a batch are made from.
pub(crate) struct Directions<'a, T: Scalar> {
    pub(crate) residual: MatRef<'a, T>,
    pub(crate) dictionary: MatRef<'a, T>,
    pub(crate) codes: &'a SparseCodes<T>,
    pub(crate) index: &'a AtomIndex,
    /// The first part of each shard in the index, and the end of those of the last.
    pub(crate) parts: &'a [usize],
    pub(crate) weights: &'a [f64],
    pub(crate) pair: LeadingPair,
    pub(crate) sign: Sign,
    /// The sign of the entries of directions.
    pub(crate) atom_sign: Sign,
    /// Atoms that one task takes: [`atoms_a_task`].
    pub(crate) atoms_a_task: usize,
}

/// Atoms of a batch of so many that one task takes.
pub(crate) fn atoms_a_task(batch: usize) -> usize {
    batch.div_ceil(MOST_TASKS).max(1)
}

/// Where the directions of a batch go.
pub(crate) struct Found<'a, T: Scalar> {
    /// d'_j, a column an atom.
    pub(crate) fresh: MatMut<'a, T>,
    pub(crate) products: &'a mut [Products],
    /// Scratch memory: [`Directions::spare_columns`].
    pub(crate) spare: MatMut<'a, T>,
}

impl<T: Scalar> Directions<'_, T> {
    /// Finds the directions of the atoms of `batch`, in parallel.
    pub(crate) fn find(&self, batch: &[u32], into: Found<'_, T>) {
        let Found { mut fresh, products, mut spare } = into;
        if batch.len() <= self.atoms_a_task {
            for (member, (&j, products)) in batch.iter().zip(products).enumerate() {
                let fresh = column_mut(fresh.as_mut(), member);
                let atom = self.atom(j);
                let weight = T::narrow(self.weights[j as usize]);
                atom.improve(self.pair, self.atom_sign, weight, fresh, spare.as_mut());
                *products = Products::of(atom.direction, fresh);
            }
            return;
        }
        let (left, right) = batch.split_at(batch.len() / 2);
        let (fresh, fresh_right) = fresh.split_at_col_mut(left.len());
        let (products, products_right) = products.split_at_mut(left.len());
        let (spare, spare_right) = spare.split_at_col_mut(self.spare_columns(left));
        let into = Found { fresh, products, spare };
        let into_right = Found { fresh: fresh_right, products: products_right, spare: spare_right };
        rayon::join(|| self.find(left, into), || self.find(right, into_right));
    }

    /// Columns of scratch memory that a batch needs: partial sums, and the direction before a step.
    pub(crate) fn spare_columns(&self, batch: &[u32]) -> usize {
        if batch.len() <= self.atoms_a_task {
            let before = usize::from(self.pair != LeadingPair::Power { iterations: 1 });
            let columns = batch.iter().map(|&j| self.atom(j).spare_columns());
            return before + columns.max().unwrap_or(0);
        }
        let (left, right) = batch.split_at(batch.len() / 2);
        self.spare_columns(left) + self.spare_columns(right)
    }

    fn atom(&self, j: u32) -> Atom<'_, T> {
        Atom {
            residual: self.residual,
            codes: self.codes,
            index: self.index,
            parts: self.parts,
            j: j as usize,
            direction: column(self.dictionary, j as usize),
            sign: self.sign,
        }
    }
}

impl<T: Scalar> Atom<'_, T> {
    /// Writes the improved direction, of norm 1, with a weight w of earlier minibatches: E is
    /// extended by the column √w d. An atom that no sample uses, or whose E x is zero, keeps its
    /// direction.
    fn improve(
        &self,
        pair: LeadingPair,
        atom_sign: Sign,
        weight: T,
        into: &mut [T],
        spare: MatMut<'_, T>,
    ) {
        let improved = !self.uses(0..self.shards()).is_empty()
            && match (pair, self.sign, atom_sign) {
                (LeadingPair::Exact, Sign::Signed, Sign::Signed) => self.decompose(weight, into),
                _ => self.iterate(most_steps(pair), atom_sign, weight, into, spare),
            };
        if !improved {
            into.copy_from_slice(self.direction);
        }
    }

    /// Up to `steps` power steps, the first from the coefficients at hand.
    fn iterate(
        &self,
        steps: usize,
        atom_sign: Sign,
        weight: T,
        into: &mut [T],
        mut spare: MatMut<'_, T>,
    ) -> bool {
        let all = 0..self.shards();
        let squares = self.sum(None, all.clone(), into, spare.as_mut());
        if !first_direction(self.direction, weight, squares, atom_sign, into) {
            return false;
        }
        if steps == 1 {
            return true;
        }
        let (before, mut spare) = spare.split_at_col_mut(1);
        let before = column_mut(before, 0);
        for _ in 1..steps {
            before.copy_from_slice(into);
            let step = Step { v: before, overlap: loops::product(self.direction, before) };
            let products = self.sum(Some(step), all.clone(), into, spare.as_mut());
            if next_direction(self.direction, weight, step, products, atom_sign, into) {
                break;
            }
        }
        true
    }

    /// The leading left singular vector of [E, √w d] by a full decomposition, with the sign that
    /// points along d.
    fn decompose(&self, weight: T, into: &mut [T]) -> bool {
        let all = self.uses(0..self.shards());
        let (dim, uses) = (into.len(), all.len());
        let mut e = Mat::<T>::zeros(dim, uses + 1);
        for (i, &at) in all.iter().enumerate() {
            let column = e.col_as_slice_mut(i);
            column.copy_from_slice(self.residual(at));
            loops::axpy(column, *self.coefficient(at), self.direction);
        }
        loops::axpy(e.col_as_slice_mut(uses), Float::sqrt(weight), self.direction);

        let size = dim.min(uses + 1);
        let (mut u, mut v) = (Mat::<T>::zeros(dim, size), Mat::<T>::zeros(uses + 1, size));
        let mut sigma = faer::diag::Diag::<T>::zeros(size);
        let thin = ComputeSvdVectors::Thin;
        let request = svd_scratch::<T>(dim, uses + 1, thin, thin, Par::Seq, Default::default());
        let mut memory = MemBuffer::new(request);
        let decomposed = svd(
            e.as_ref(),
            sigma.as_mut(),
            Some(u.as_mut()),
            Some(v.as_mut()),
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        );
        // A decomposition that does not settle, or an E of zero, leaves the atom as it is.
        if decomposed.is_err() || sigma.column_vector()[0] <= T::zero() {
            return false;
        }
        into.copy_from_slice(u.col_as_slice(0));
        if loops::dot(into, self.direction) < T::zero() {
            into.iter_mut().for_each(|x| *x = -*x);
        }
        scale_to_unit(Sign::Signed, into)
    }
}

/// Power steps that are made at most, but for the exact pair of signed codes.
pub(crate) fn most_steps(pair: LeadingPair) -> usize {
    match pair {
        LeadingPair::Exact => MOST_STEPS,
        LeadingPair::Power { iterations } => iterations,
    }
}

/// u ← E x + w d = Σ x_i r_i + d (‖x‖² + w), of this sign and scaled to norm 1, from the sums of
/// the first step; `false` if it has no direction.
pub(crate) fn first_direction<T: Scalar>(
    d: &[T],
    weight: T,
    squares: T,
    atom_sign: Sign,
    u: &mut [T],
) -> bool {
    loops::add(u, weight + squares, d);
    scale_to_unit(atom_sign, u)
}

/// u ← E Eᵀ v + w d (d·v), of this sign and scaled to norm 1, from the sums of a later step, with c
/// = Eᵀv: c_i = r_i·v + x_i (d·v). Says whether that is v again; u is v where it has no direction.
pub(crate) fn next_direction<T: Scalar>(
    d: &[T],
    weight: T,
    step: Step<'_, T>,
    products: T,
    atom_sign: Sign,
    u: &mut [T],
) -> bool {
    loops::add(u, weight * step.overlap + products, d);
    if !scale_to_unit(atom_sign, u) {
        u.copy_from_slice(step.v);
        return true;
    }
    let difference = |(a, b): (&T, &T)| (a.widen() - b.widen()).powi(2);
    let change: f64 = step.v.iter().zip(&*u).map(difference).sum();
    change.sqrt() < 4.0 * T::EPSILON
}

/// Makes entries of the wrong sign 0, and scales to norm 1; `false` for a vector without a
/// direction.
fn scale_to_unit<T: Scalar>(atom_sign: Sign, u: &mut [T]) -> bool {
    if atom_sign == Sign::NonNegative {
        u.iter_mut().for_each(|x| *x = atom_sign.project(*x));
    }
    let norm = loops::normalize(u);
    norm.is_finite() && norm > 0.0
}
