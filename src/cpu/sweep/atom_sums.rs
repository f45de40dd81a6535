//! Sums over the samples that use an atom, from which its direction follows: shard by shard, then
//! in the tree over shards.

use std::ops::Range;

use faer::{MatMut, MatRef};
use pulp::Simd;

use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::vector::{loops, prefetch, rows, vectorized};
use crate::matrix::{column, column_mut};
use crate::{Scalar, Sign};

/// Uses that are summed by one task, to a vector of their own. Fixed, so that sums do not depend on
/// the number of threads, and small, so that an atom that most samples use is no longer chain than
/// the others.
const CHUNK: usize = 128;

/// Uses whose rows are fetched while as many are summed.
const AHEAD: usize = 8;

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

/// A power step from v: c_i = r_i·v + x_i (d·v).
#[derive(Clone, Copy)]
pub(crate) struct Step<'a, T> {
    pub(crate) v: &'a [T],
    /// d·v.
    pub(crate) overlap: T,
}

impl<T: Scalar> Atom<'_, T> {
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

    #[inline(always)]
    pub(crate) fn coefficient(&self, at: Use) -> &T {
        &self.codes.values(at.sample as usize)[at.slot as usize]
    }

    #[inline(always)]
    pub(crate) fn residual(&self, at: Use) -> &[T] {
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

/// Levels of the tree over so many shards below its top.
fn depth(shards: usize) -> usize {
    shards.next_power_of_two().ilog2() as usize
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
