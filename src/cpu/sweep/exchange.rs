//! Phase (b): samples exchange the old atoms of a batch for the new ones.

use std::ops::Range;

use faer::{MatMut, MatRef};
use pulp::Simd;

use crate::backend::{AtomRule, Change};
use crate::codes::{AtomIndex, CodesBlock, Use};
use crate::cpu::vector::rows::{self, Rows};
use crate::cpu::vector::{loops, prefetch, vectorized};
use crate::matrix::column;
use crate::{Scalar, Sign};

/// Uses of a batch's atoms that are worth a task of their own.
pub(crate) const GRAIN: usize = 192;

/// Inner products of an old atom d and the new one d', exact enough to be subtracted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Products {
    /// d·d.
    old: f64,
    /// d'·d'.
    new: f64,
    /// d·d'.
    overlap: f64,
}

impl Products {
    pub(crate) fn of<T: Scalar>(old: &[T], new: &[T]) -> Self {
        let [old, overlap, new] = loops::wide_products(old, new);
        Self { old, new, overlap }
    }
}

/// The old and the new atoms of a batch.
pub(crate) struct Exchange<'a, T: Scalar> {
    pub(crate) dictionary: MatRef<'a, T>,
    pub(crate) fresh: MatRef<'a, T>,
    pub(crate) batch: &'a [u32],
    pub(crate) products: &'a [Products],
    pub(crate) index: &'a AtomIndex,
    pub(crate) rule: AtomRule,
    pub(crate) sign: Sign,
}

/// Samples of consecutive parts of the index, and what an exchange changes of them.
pub(crate) struct Samples<'a, T: Scalar> {
    pub(crate) residual: MatMut<'a, T>,
    pub(crate) codes: CodesBlock<'a, T>,
    /// The coefficients before the exchange: by part, then atom of the batch, then use.
    pub(crate) previous: &'a mut [T],
}

impl<T: Scalar> Exchange<'_, T> {
    /// Exchanges the atoms in the samples of the shards from `first` on, one for each of `changes`,
    /// which become what that changed; `starts` says which part of the index is a shard's first.
    pub(crate) fn run(
        &self,
        first: usize,
        starts: &[usize],
        samples: Samples<'_, T>,
        changes: &mut [Change],
    ) {
        match changes {
            [] => {}
            [change] => {
                let parts = starts[first]..starts[first + 1];
                let uses = self.uses_in(parts.clone());
                *change = Change { uses, ..self.run_parts(parts.start, parts.end, samples) };
            }
            _ => {
                let middle = first + changes.len() / 2;
                let parts = starts[first]..starts[first + changes.len()];
                let (changes, changes_right) = changes.split_at_mut(middle - first);
                let (left, right) = self.split(parts.start, starts[middle], samples);
                let of_left = || self.run(first, starts, left, changes);
                let of_right = || self.run(middle, starts, right, changes_right);
                if self.uses_in(parts) > GRAIN {
                    rayon::join(of_left, of_right);
                } else {
                    of_left();
                    of_right();
                }
            }
        }
    }

    /// Exchanges the atoms in the samples of the parts `first..end`.
    fn run_parts(&self, first: usize, end: usize, samples: Samples<'_, T>) -> Change {
        if end - first == 1 {
            return match self.rule {
                AtomRule::Refitted => refit(self, first, samples),
                AtomRule::Shared => share(self, first, samples),
            };
        }
        let middle = first.midpoint(end);
        let (left, right) = self.split(first, middle, samples);
        let (left, right) = rayon::join(
            || self.run_parts(first, middle, left),
            || self.run_parts(middle, end, right),
        );
        Change {
            error: left.error + right.error,
            energy: left.energy + right.energy,
            uses: left.uses + right.uses,
        }
    }

    /// Takes [`run`](Self::run) back: coefficients as they were, residuals up to rounding.
    pub(crate) fn undo(&self, first: usize, end: usize, samples: Samples<'_, T>) {
        if end - first == 1 {
            return take_back(self, first, samples);
        }
        let middle = first.midpoint(end);
        let (left, right) = self.split(first, middle, samples);
        rayon::join(|| self.undo(first, middle, left), || self.undo(middle, end, right));
    }

    /// Parts share no sample.
    fn split<'s>(
        &self,
        first: usize,
        middle: usize,
        samples: Samples<'s, T>,
    ) -> (Samples<'s, T>, Samples<'s, T>) {
        let Samples { residual, codes, previous } = samples;
        let at = self.index.start_of(middle) - self.index.start_of(first);
        let uses = self.uses_in(first..middle);
        let (residual, residual_right) = residual.split_at_col_mut(at);
        let (codes, codes_right) = codes.split_at(at);
        let (previous, previous_right) = previous.split_at_mut(uses);
        let right =
            Samples { residual: residual_right, codes: codes_right, previous: previous_right };
        (Samples { residual, codes, previous }, right)
    }

    /// Uses of the batch's atoms in consecutive parts.
    fn uses_in(&self, parts: Range<usize>) -> usize {
        self.batch.iter().map(|&j| self.index.range_in(j as usize, parts.clone()).len()).sum()
    }

    /// One atom alone cannot raise the error: its direction lies between the old one and the
    /// best, on an arc along which ‖Eᵀd'‖ grows. Only rounding can say otherwise.
    pub(crate) fn can_raise_the_error(&self) -> bool {
        self.rule == AtomRule::Refitted && self.batch.len() > 1
    }

    /// An atom of the batch, with its uses in a part.
    #[inline(always)]
    fn member(&self, member: usize, part: usize) -> Member<'_, T> {
        let (j, next) = (self.batch[member] as usize, self.batch.get(member + 1));
        Member {
            old: column(self.dictionary, j),
            new: column(self.fresh, member),
            products: self.products[member],
            overlap: T::narrow(self.products[member].overlap),
            uses: self.index.uses_in(j, part..part + 1),
            next: next.map_or(&[], |&j| self.index.uses_in(j as usize, part..part + 1)),
            start: self.index.start_of(part),
            sign: self.sign,
        }
    }
}

/// An atom with its uses in a part.
struct Member<'a, T> {
    /// d.
    old: &'a [T],
    /// d'.
    new: &'a [T],
    products: Products,
    /// d·d'.
    overlap: T,
    uses: &'a [Use],
    /// Those of the atom that comes after it in the batch.
    next: &'a [Use],
    /// The first sample of the part.
    start: usize,
    sign: Sign,
}

impl<T: Scalar> Member<'_, T> {
    /// c = r·d' + x (d·d')
    #[inline(always)]
    fn coefficient(&self, x: T, r_new: T) -> T {
        self.sign.project(r_new + x * self.overlap)
    }

    /// The coefficient of a use.
    #[inline(always)]
    fn value<'c>(&self, codes: &'c mut CodesBlock<'_, T>, at: Use) -> &'c mut T {
        &mut codes.values_mut(at.sample as usize - self.start)[at.slot as usize]
    }

    /// Begins to fetch the rows of the next few `uses`.
    #[inline(always)]
    fn fetch(&self, residual: MatRef<'_, T>, uses: &mut std::slice::Iter<'_, Use>, count: usize) {
        for &at in uses.take(count) {
            prefetch::fetch(column(residual, at.sample as usize - self.start));
        }
    }

    /// c ← r·d' + x (d·d'),  r ← r + x d − c d',  x ← c  for several uses at a time.
    #[inline(always)]
    fn refit<S: Simd, const Q: usize, const MEASURED: bool>(
        &self,
        simd: S,
        uses: &[Use; Q],
        rows: [&mut [T]; Q],
        codes: &mut CodesBlock<'_, T>,
        previous: &mut [T],
        change: &mut Change,
    ) {
        let (mut x, mut c) = ([T::zero(); Q], [T::zero(); Q]);
        let mut shared: [&[T]; Q] = [&[]; Q];
        for q in 0..Q {
            x[q] = *self.value(codes, uses[q]);
            shared[q] = &*rows[q];
        }
        if MEASURED {
            let dots = rows::dots(simd, shared, [self.new, self.old]);
            for q in 0..Q {
                let [with_new, with_old] = dots[q];
                c[q] = self.coefficient(x[q], with_new);
                let (x, c) = (x[q].widen(), c[q].widen());
                // ‖r + x d − c d'‖² − ‖r‖²
                let Products { old, new, overlap } = self.products;
                let alone = x * x * old + c * c * new - 2.0 * x * c * overlap;
                let crossed = x * with_old.widen() - c * with_new.widen();
                change.error += alone + 2.0 * crossed;
                change.energy += x * x;
            }
        } else {
            let dots = rows::dots(simd, shared, [self.new]);
            for q in 0..Q {
                c[q] = self.coefficient(x[q], dots[q][0]);
            }
        }
        rows::exchange(simd, rows, (x, self.old), (c, self.new));
        for q in 0..Q {
            *self.value(codes, uses[q]) = c[q];
        }
        previous.copy_from_slice(&x);
    }
}

/// Calls `$body` with every four uses and their rows and coefficients, then with the two and the
/// one that may be left. Meanwhile the rows of the next atom are fetched: those of this one are
/// few, and at hand when its turn comes.
macro_rules! by_fours {
    ($member:ident, $residual:ident, $previous:ident, |$uses:ident, $rows:ident, $before:ident| $body:expr) => {
        let mut next = $member.next.iter();
        let (fours, rest) = $member.uses.as_chunks::<4>();
        let (twos, rest) = rest.as_chunks::<2>();
        let (ones, _) = rest.as_chunks::<1>();
        by_fours!(@ fours, [a, b, c, d], next, $member, $residual, $previous, |$uses, $rows, $before| $body);
        by_fours!(@ twos, [a, b], next, $member, $residual, $previous, |$uses, $rows, $before| $body);
        by_fours!(@ ones, [a], next, $member, $residual, $previous, |$uses, $rows, $before| $body);
    };
    (@ $groups:ident, [$($row:ident),*], $next:ident, $member:ident, $residual:ident, $previous:ident, |$uses:ident, $rows:ident, $before:ident| $body:expr) => {
        for $uses in $groups {
            $member.fetch($residual.as_ref(), &mut $next, $uses.len());
            let (mut group, rest) = ($uses.iter(), Rows::new($residual.as_mut(), $member.start));
            $(
                let sample = group.next().map_or(0, |at| at.sample as usize);
                let ($row, rest) = rest.take(sample);
            )*
            let _ = rest;
            let $rows = [$($row),*];
            let ($before, after) = std::mem::take(&mut $previous).split_at_mut($uses.len());
            $previous = after;
            $body
        }
    };
}

vectorized! {
    /// Each atom in turn takes its coefficients from the live residual.
    fn refit<'a, T>(simd; exchange: &'a Exchange<'a, T>, part: usize, samples: Samples<'a, T>) -> Change {
        let Samples { mut residual, mut codes, mut previous } = samples;
        let mut change = Change::default();
        for member in 0..exchange.batch.len() {
            let member = exchange.member(member, part);
            if exchange.can_raise_the_error() {
                by_fours!(member, residual, previous, |uses, rows, before| {
                    member.refit::<_, _, true>(simd, uses, rows, &mut codes, before, &mut change)
                });
            } else {
                by_fours!(member, residual, previous, |uses, rows, before| {
                    member.refit::<_, _, false>(simd, uses, rows, &mut codes, before, &mut change)
                });
            }
        }
        change
    }
}

vectorized! {
    /// All atoms take their coefficients from the residual as it was.
    fn share<'a, T>(simd; exchange: &'a Exchange<'a, T>, part: usize, samples: Samples<'a, T>) -> Change {
        let Samples { mut residual, mut codes, previous } = samples;
        let mut kept = previous.iter_mut();
        for member in 0..exchange.batch.len() {
            let member = exchange.member(member, part);
            for (&at, previous) in member.uses.iter().zip(&mut kept) {
                let r = column(residual.as_ref(), at.sample as usize - member.start);
                let x = member.value(&mut codes, at);
                *previous = *x;
                *x = member.coefficient(*x, rows::dots(simd, [r], [member.new])[0][0]);
            }
        }
        let mut previous = previous;
        for member in 0..exchange.batch.len() {
            let member = exchange.member(member, part);
            by_fours!(member, residual, previous, |uses, rows, before| {
                let mut x = uses.map(|_| T::zero());
                x.copy_from_slice(before);
                let c = uses.map(|at| *member.value(&mut codes, at));
                rows::exchange(simd, rows, (x, member.old), (c, member.new));
            });
        }
        Change::default()
    }
}

vectorized! {
    /// r ← r − x d + c d',  c ← x
    fn take_back<'a, T>(simd; exchange: &'a Exchange<'a, T>, part: usize, samples: Samples<'a, T>) -> () {
        let Samples { mut residual, mut codes, mut previous } = samples;
        for member in 0..exchange.batch.len() {
            let member = exchange.member(member, part);
            by_fours!(member, residual, previous, |uses, rows, before| {
                let mut x = uses.map(|_| T::zero());
                x.copy_from_slice(before);
                let c = uses.map(|at| std::mem::replace(member.value(&mut codes, at), T::zero()));
                rows::exchange(simd, rows, (c, member.new), (x, member.old));
                for (&at, &x) in uses.iter().zip(&x) {
                    *member.value(&mut codes, at) = x;
                }
            });
        }
    }
}
