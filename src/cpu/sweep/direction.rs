//! Phase (a): the leading left singular vector of E_Ω = R_Ω + d xᵀ, without forming E_Ω.

use std::ops::Range;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Mat, MatMut, MatRef, Par};
use num_traits::Float;
use pulp::Simd;

use super::exchange::Products;
use crate::backend::LeadingPair;
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::vector::{loops, prefetch, rows, vectorized};
use crate::matrix::{column, column_mut};
use crate::{Scalar, Sign};

/// Power steps after which an exact non-negative pair is taken as it is.
const MOST_STEPS: usize = 200;

/// Uses that are summed by one task, to a vector of their own. Fixed, so that sums do not depend on
/// the number of threads, and small, so that an atom that most samples use is no longer chain than
/// the others.
const CHUNK: usize = 128;

/// Uses whose rows are fetched while as many are summed.
const AHEAD: usize = 8;

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
                atom.improve(self.pair, T::narrow(self.weights[j as usize]), fresh, spare.as_mut());
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

/// One atom with the samples Ω that use it.
pub(crate) struct Atom<'a, T: Scalar> {
    pub(crate) residual: MatRef<'a, T>,
    pub(crate) codes: &'a SparseCodes<T>,
    pub(crate) index: &'a AtomIndex,
    /// The first part of each shard in the index, and the end of those of the last.
    pub(crate) parts: &'a [usize],
    pub(crate) j: usize,
    /// d.
    pub(crate) direction: &'a [T],
    pub(crate) sign: Sign,
}

impl<T: Scalar> Atom<'_, T> {
    /// Writes the improved direction, of norm 1, with a weight w of earlier minibatches: E is
    /// extended by the column √w d. An atom that no sample uses, or whose E x is zero, keeps its
    /// direction.
    fn improve(&self, pair: LeadingPair, weight: T, into: &mut [T], spare: MatMut<'_, T>) {
        let improved = !self.uses(0..self.shards()).is_empty()
            && match (pair, self.sign) {
                (LeadingPair::Exact, Sign::Signed) => self.decompose(weight, into),
                _ => self.iterate(most_steps(pair), weight, into, spare),
            };
        if !improved {
            into.copy_from_slice(self.direction);
        }
    }

    /// Up to `steps` power steps, the first from the coefficients at hand.
    fn iterate(&self, steps: usize, weight: T, into: &mut [T], mut spare: MatMut<'_, T>) -> bool {
        let all = 0..self.shards();
        let squares = self.sum(None, all.clone(), into, spare.as_mut());
        if !first_direction(self.direction, weight, squares, into) {
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
            if next_direction(self.direction, weight, step, products, into) {
                break;
            }
        }
        true
    }

    /// Shards of the samples here.
    pub(crate) fn shards(&self) -> usize {
        self.parts.len() - 1
    }

    /// The uses of the atom in some shards.
    #[inline(always)]
    pub(crate) fn uses(&self, shards: Range<usize>) -> &[Use] {
        self.index.uses_in(self.j, self.parts[shards.start]..self.parts[shards.end])
    }

    /// Columns of scratch memory that [`sum`](Self::sum) needs.
    pub(crate) fn spare_columns(&self) -> usize {
        let shards = self.shards();
        if self.uses(0..shards).len() <= CHUNK {
            return depth(shards);
        }
        self.columns_of(0..shards)
    }

    /// Columns that the sum over these shards needs beside that which it is written to.
    fn columns_of(&self, shards: Range<usize>) -> usize {
        let uses = self.uses(shards.clone()).len();
        if uses <= CHUNK {
            return depth(shards.len());
        }
        if shards.len() == 1 {
            return uses.div_ceil(CHUNK) - 1;
        }
        let middle = shards.start.midpoint(shards.end);
        1 + self.columns_of(shards.start..middle) + self.columns_of(middle..shards.end)
    }

    /// u ← Σ c_i r_i over the samples of these shards, and returns Σ c_i x_i. Sums of shards are
    /// added in their tree, in which shards without a use are no nodes.
    pub(crate) fn sum(
        &self,
        step: Option<Step<'_, T>>,
        shards: Range<usize>,
        into: &mut [T],
        spare: MatMut<'_, T>,
    ) -> T {
        let uses = self.uses(shards.clone());
        if uses.len() <= CHUNK {
            return self.sum_in_turn(step, shards, into, spare, &mut self.ahead(uses));
        }
        let Some((left, right)) = self.halves(&shards) else {
            return self.sum_chunks(step, uses, into, spare);
        };
        if self.uses(left.clone()).is_empty() {
            return self.sum(step, right, into, spare);
        }
        if self.uses(right.clone()).is_empty() {
            return self.sum(step, left, into, spare);
        }
        let (partial, spare) = spare.split_at_col_mut(1);
        let (spare, spare_right) = spare.split_at_col_mut(self.columns_of(left.clone()));
        let partial = column_mut(partial, 0);
        let (a, b) = rayon::join(
            || self.sum(step, left, into, spare),
            || self.sum(step, right, partial, spare_right),
        );
        loops::add(into, T::one(), partial);
        a + b
    }

    /// The same on this thread, for few uses.
    fn sum_in_turn(
        &self,
        step: Option<Step<'_, T>>,
        shards: Range<usize>,
        into: &mut [T],
        spare: MatMut<'_, T>,
        ahead: &mut &[Use],
    ) -> T {
        let Some((left, right)) = self.halves(&shards) else {
            let (uses, upcoming) = (self.uses(shards), *ahead);
            *ahead = &upcoming[uses.len().min(upcoming.len())..];
            return sum_here(self, step, uses, upcoming, into);
        };
        if self.uses(left.clone()).is_empty() {
            return self.sum_in_turn(step, right, into, spare, ahead);
        }
        if self.uses(right.clone()).is_empty() {
            return self.sum_in_turn(step, left, into, spare, ahead);
        }
        let (partial, mut spare) = spare.split_at_col_mut(1);
        let partial = column_mut(partial, 0);
        let a = self.sum_in_turn(step, left, into, spare.as_mut(), ahead);
        let b = self.sum_in_turn(step, right, partial, spare, ahead);
        loops::add(into, T::one(), partial);
        a + b
    }

    /// The two halves of more than one shard.
    fn halves(&self, shards: &Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
        let middle = shards.start.midpoint(shards.end);
        (shards.len() > 1).then_some((shards.start..middle, middle..shards.end))
    }

    /// The same over many uses of one shard: in parallel over chunks, added in a fixed order.
    fn sum_chunks(
        &self,
        step: Option<Step<'_, T>>,
        uses: &[Use],
        into: &mut [T],
        spare: MatMut<'_, T>,
    ) -> T {
        if uses.len() <= CHUNK {
            return sum_here(self, step, uses, self.ahead(uses), into);
        }
        let chunks = uses.len().div_ceil(CHUNK);
        let (left, right) = uses.split_at(chunks / 2 * CHUNK);
        let (partial, spare) = spare.split_at_col_mut(1);
        let (spare, spare_right) = spare.split_at_col_mut(chunks / 2 - 1);
        let partial = column_mut(partial, 0);
        let (a, b) = rayon::join(
            || self.sum_chunks(step, left, into, spare),
            || self.sum_chunks(step, right, partial, spare_right),
        );
        loops::add(into, T::one(), partial);
        a + b
    }

    /// Begins to fetch the rows of `uses`, which are about to be summed in order: what is left of
    /// them is to be fetched while they are.
    fn ahead<'u>(&self, uses: &'u [Use]) -> &'u [Use] {
        let mut ahead = uses.iter();
        self.fetch(&mut ahead, AHEAD);
        ahead.as_slice()
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
pub(crate) struct Step<'a, T> {
    pub(crate) v: &'a [T],
    /// d·v.
    pub(crate) overlap: T,
}

/// Power steps that are made at most, but for the exact pair of signed codes.
pub(crate) fn most_steps(pair: LeadingPair) -> usize {
    match pair {
        LeadingPair::Exact => MOST_STEPS,
        LeadingPair::Power { iterations } => iterations,
    }
}

/// Levels of the tree over so many shards below its top.
fn depth(shards: usize) -> usize {
    shards.next_power_of_two().ilog2() as usize
}

/// u ← E x + w d = Σ x_i r_i + d (‖x‖² + w), scaled to norm 1, from the sums of the first step;
/// `false` if it has no direction.
pub(crate) fn first_direction<T: Scalar>(d: &[T], weight: T, squares: T, u: &mut [T]) -> bool {
    loops::add(u, weight + squares, d);
    scale_to_unit(u)
}

/// u ← E Eᵀ v + w d (d·v), scaled to norm 1, from the sums of a later step, with c = Eᵀv:
/// c_i = r_i·v + x_i (d·v). Says whether that is v again; u is v where it has no direction.
pub(crate) fn next_direction<T: Scalar>(
    d: &[T],
    weight: T,
    step: Step<'_, T>,
    products: T,
    u: &mut [T],
) -> bool {
    loops::add(u, weight * step.overlap + products, d);
    if !scale_to_unit(u) {
        u.copy_from_slice(step.v);
        return true;
    }
    let difference = |(a, b): (&T, &T)| (a.widen() - b.widen()).powi(2);
    let change: f64 = step.v.iter().zip(&*u).map(difference).sum();
    change.sqrt() < 4.0 * T::EPSILON
}

vectorized! {
    /// u ← Σ c_i r_i, and returns Σ c_i x_i, where c = x without a step.
    fn sum_here<'a, T>(
        simd;
        atom: &'a Atom<'a, T>,
        step: Option<Step<'a, T>>,
        uses: &'a [Use],
        upcoming: &'a [Use],
        u: &'a mut [T],
    ) -> T {
        u.fill(T::zero());
        let mut along = T::zero();
        let mut upcoming = upcoming.iter();
        let (eights, rest) = uses.as_chunks::<AHEAD>();
        for uses in eights {
            atom.fetch(&mut upcoming, AHEAD);
            along += add_uses(simd, atom, step, uses, u);
        }
        atom.fetch(&mut upcoming, rest.len());
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
    let norm = loops::normalize(u);
    norm.is_finite() && norm > 0.0
}
