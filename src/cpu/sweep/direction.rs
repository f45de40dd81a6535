//! Phase (a): the leading left singular vector of E_Ω = R_Ω + d xᵀ, without forming E_Ω.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Mat, MatMut, MatRef, Par};
use num_traits::Float;
use pulp::Simd;

use super::exchange::Products;
use crate::backend::LeadingPair;
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::vector::{loops, prefetch, rows};
use crate::matrix::{column, column_mut};
use crate::{Scalar, Sign};

/// Power steps after which an exact non-negative pair is taken as it is.
const MOST_STEPS: usize = 200;

/// Uses that are summed by one task, to a vector of their own. Fixed, so that sums do not depend on
/// the number of threads, and small, so that an atom that most samples use is no longer chain than
/// the others.
const CHUNK: usize = 128;

/// What the directions of a batch are made from.
pub(crate) struct Directions<'a, T: Scalar> {
    pub(crate) residual: MatRef<'a, T>,
    pub(crate) dictionary: MatRef<'a, T>,
    pub(crate) codes: &'a SparseCodes<T>,
    pub(crate) index: &'a AtomIndex,
    pub(crate) weights: &'a [f64],
    pub(crate) pair: LeadingPair,
    pub(crate) sign: Sign,
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
        let Found { fresh, products, spare } = into;
        if let [j] = *batch {
            let (j, fresh) = (j as usize, column_mut(fresh, 0));
            let atom = Atom {
                residual: self.residual,
                codes: self.codes,
                uses: self.index.uses(j),
                direction: column(self.dictionary, j),
                weight: T::narrow(self.weights[j]),
                sign: self.sign,
            };
            atom.improve(self.pair, fresh, spare);
            products[0] = Products::of(atom.direction, fresh);
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
        let before = usize::from(self.pair != LeadingPair::Power { iterations: 1 });
        let partial =
            |&j: &u32| self.index.uses(j as usize).len().div_ceil(CHUNK).saturating_sub(1);
        batch.iter().map(partial).sum::<usize>() + batch.len() * before
    }
}

/// One atom with the samples Ω that use it.
struct Atom<'a, T: Scalar> {
    residual: MatRef<'a, T>,
    codes: &'a SparseCodes<T>,
    uses: &'a [Use],
    /// d.
    direction: &'a [T],
    /// w, the weight of earlier minibatches: E is extended by the column √w d.
    weight: T,
    sign: Sign,
}

impl<T: Scalar> Atom<'_, T> {
    /// Writes the improved direction, of norm 1. An atom that no sample uses, or whose E x is
    /// zero, keeps its direction.
    fn improve(&self, pair: LeadingPair, into: &mut [T], spare: MatMut<'_, T>) {
        let improved = !self.uses.is_empty()
            && match (pair, self.sign) {
                (LeadingPair::Exact, Sign::Signed) => self.decompose(into),
                (LeadingPair::Exact, Sign::NonNegative) => self.iterate(MOST_STEPS, into, spare),
                (LeadingPair::Power { iterations }, _) => self.iterate(iterations, into, spare),
            };
        if !improved {
            into.copy_from_slice(self.direction);
        }
    }

    /// Up to `steps` power steps, the first from the coefficients at hand.
    fn iterate(&self, steps: usize, into: &mut [T], mut spare: MatMut<'_, T>) -> bool {
        // u ← E x + w d = Σ x_i r_i + d (‖x‖² + w)
        let squares = self.sum(None, self.uses, into, spare.as_mut());
        rows::add(into, self.weight + squares, self.direction);
        if !scale_to_unit(into) {
            return false;
        }
        if steps == 1 {
            return true;
        }
        let (before, mut spare) = spare.split_at_col_mut(1);
        let before = column_mut(before, 0);
        for _ in 1..steps {
            // u ← E Eᵀ v + w d (d·v), with c = Eᵀv: c_i = r_i·v + x_i (d·v).
            before.copy_from_slice(into);
            let overlap = loops::product(self.direction, before);
            let along = Step { v: before, overlap };
            let products = self.sum(Some(along), self.uses, into, spare.as_mut());
            rows::add(into, self.weight * overlap + products, self.direction);
            if !scale_to_unit(into) {
                into.copy_from_slice(before);
                break;
            }
            let difference = |(a, b): (&T, &T)| (a.widen() - b.widen()).powi(2);
            let change: f64 = before.iter().zip(&*into).map(difference).sum();
            if change.sqrt() < 4.0 * T::EPSILON {
                break;
            }
        }
        true
    }

    /// u ← Σ c_i r_i, and returns Σ c_i x_i: in parallel over chunks, added in a fixed order.
    fn sum(
        &self,
        step: Option<Step<'_, T>>,
        uses: &[Use],
        into: &mut [T],
        spare: MatMut<'_, T>,
    ) -> T {
        if uses.len() <= CHUNK {
            return sum_here(self, step, uses, into);
        }
        let chunks = uses.len().div_ceil(CHUNK);
        let (left, right) = uses.split_at(chunks / 2 * CHUNK);
        let (partial, spare) = spare.split_at_col_mut(1);
        let (spare, spare_right) = spare.split_at_col_mut(chunks / 2 - 1);
        let partial = column_mut(partial, 0);
        let (a, b) = rayon::join(
            || self.sum(step, left, into, spare),
            || self.sum(step, right, partial, spare_right),
        );
        rows::add(into, T::one(), partial);
        a + b
    }

    /// The leading left singular vector of [E, √w d] by a full decomposition, with the sign that
    /// points along d.
    fn decompose(&self, into: &mut [T]) -> bool {
        let (dim, uses) = (into.len(), self.uses.len());
        let mut e = Mat::<T>::zeros(dim, uses + 1);
        for (i, &at) in self.uses.iter().enumerate() {
            let column = e.col_as_slice_mut(i);
            column.copy_from_slice(self.residual(at));
            loops::axpy(column, *self.coefficient(at), self.direction);
        }
        loops::axpy(e.col_as_slice_mut(uses), Float::sqrt(self.weight), self.direction);

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
        scale_to_unit(into)
    }

    #[inline(always)]
    fn coefficient(&self, at: Use) -> &T {
        &self.codes.values(at.sample as usize)[at.slot as usize]
    }

    #[inline(always)]
    fn residual(&self, at: Use) -> &[T] {
        column(self.residual, at.sample as usize)
    }

    /// Begins to fetch the rows and coefficients of the next few `uses`.
    #[inline(always)]
    fn fetch(&self, uses: &mut std::slice::Iter<'_, Use>, count: usize) {
        for &at in uses.take(count) {
            prefetch::fetch(self.residual(at));
            prefetch::fetch(std::slice::from_ref(self.coefficient(at)));
        }
    }
}

/// A power step from v: c_i = r_i·v + x_i (d·v).
#[derive(Clone, Copy)]
struct Step<'a, T> {
    v: &'a [T],
    /// d·v.
    overlap: T,
}

rows::with_simd! {
    /// u ← Σ c_i r_i, and returns Σ c_i x_i, where c = x without a step.
    fn sum_here<'a, T>(
        simd;
        atom: &'a Atom<'a, T>,
        step: Option<Step<'a, T>>,
        uses: &'a [Use],
        u: &'a mut [T],
    ) -> T {
        u.fill(T::zero());
        let mut along = T::zero();
        // Eight uses are asked for while eight are summed.
        let mut upcoming = uses.iter();
        atom.fetch(&mut upcoming, 8);
        let (eights, rest) = uses.as_chunks::<8>();
        for uses in eights {
            atom.fetch(&mut upcoming, 8);
            along += add_uses(simd, atom, step, uses, u);
        }
        let (fours, rest) = rest.as_chunks::<4>();
        for uses in fours {
            along += add_uses(simd, atom, step, uses, u);
        }
        for at in rest {
            along += add_uses(simd, atom, step, std::array::from_ref(at), u);
        }
        along
    }
}

/// u ← u + Σ c_i r_i, and returns Σ c_i x_i, over a few uses.
#[inline(always)]
fn add_uses<T: Scalar, S: Simd, const Q: usize>(
    simd: S,
    atom: &Atom<'_, T>,
    step: Option<Step<'_, T>>,
    uses: &[Use; Q],
    u: &mut [T],
) -> T {
    let mut x = [T::zero(); Q];
    let mut rows: [&[T]; Q] = [&[]; Q];
    for q in 0..Q {
        x[q] = *atom.coefficient(uses[q]);
        rows[q] = atom.residual(uses[q]);
    }
    let mut c = x;
    if let Some(Step { v, overlap }) = step {
        let dots = rows::dots(simd, rows, [v]);
        for q in 0..Q {
            c[q] = atom.sign.project(dots[q][0] + x[q] * overlap);
        }
    }
    rows::gather(simd, u, c, rows);
    let mut along = T::zero();
    for q in 0..Q {
        along += c[q] * x[q];
    }
    along
}

/// Scales to norm 1; `false` for a vector without a direction.
fn scale_to_unit<T: Scalar>(u: &mut [T]) -> bool {
    let norm = rows::normalize(u);
    norm.is_finite() && norm > 0.0
}
