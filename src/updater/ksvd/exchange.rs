//! Phase (b): samples exchange the old atoms of a batch for the new ones.

use faer::{MatMut, MatRef};

use super::{AtomRule, project};
use crate::backend::{column, column_mut};
use crate::codes::{CodesBlock, Use};
use crate::kernel;
use crate::{Scalar, Sign};

/// Fewest uses of a batch's atoms that are worth a task of their own.
const GRAIN: usize = 128;

/// A sample that uses an atom of the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swap<T> {
    pub(super) at: Use,
    /// The atom's place in the batch.
    pub(super) member: u32,
    /// The coefficient before the exchange.
    pub(super) previous: T,
}

/// ‖r‖², summed over the samples that use an atom of the batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Errors {
    pub(super) before: f64,
    pub(super) after: f64,
}

/// The old and the new atoms of a batch.
pub(super) struct Exchange<'a, T: Scalar> {
    dictionary: MatRef<'a, T>,
    fresh: MatRef<'a, T>,
    batch: &'a [u32],
    /// d_j · d'_j.
    overlaps: Vec<T>,
    rule: AtomRule,
    sign: Sign,
}

impl<'a, T: Scalar> Exchange<'a, T> {
    pub(super) fn new(
        dictionary: MatRef<'a, T>,
        fresh: MatRef<'a, T>,
        batch: &'a [u32],
        rule: AtomRule,
        sign: Sign,
    ) -> Self {
        let overlap = |(b, &j): (usize, &u32)| {
            kernel::product(column(dictionary, j as usize), column(fresh, b))
        };
        let overlaps = batch.iter().enumerate().map(overlap).collect();
        Self { dictionary, fresh, batch, overlaps, rule, sign }
    }

    /// Carries out `swaps`, sorted by sample, on the samples of `block` and their residuals.
    pub(super) fn run(
        &self,
        swaps: &mut [Swap<T>],
        residual: MatMut<'_, T>,
        block: CodesBlock<'_, T>,
    ) -> Errors {
        let Some(cut) = cut(swaps) else {
            return run_here(self, swaps, residual, block);
        };
        // Samples on either side of the cut share nothing.
        let at = swaps[cut].at.sample as usize - block.first();
        let (left, right) = swaps.split_at_mut(cut);
        let (residual_left, residual_right) = residual.split_at_col_mut(at);
        let (block_left, block_right) = block.split_at(at);
        let (left, right) = rayon::join(
            || self.run(left, residual_left, block_left),
            || self.run(right, residual_right, block_right),
        );
        Errors { before: left.before + right.before, after: left.after + right.after }
    }

    /// Takes `swaps` back: coefficients as they were, residuals up to rounding.
    pub(super) fn undo(
        &self,
        swaps: &[Swap<T>],
        residual: MatMut<'_, T>,
        block: CodesBlock<'_, T>,
    ) {
        let Some(cut) = cut(swaps) else {
            return undo_here(self, swaps, residual, block);
        };
        let at = swaps[cut].at.sample as usize - block.first();
        let (left, right) = swaps.split_at(cut);
        let (residual_left, residual_right) = residual.split_at_col_mut(at);
        let (block_left, block_right) = block.split_at(at);
        rayon::join(
            || self.undo(left, residual_left, block_left),
            || self.undo(right, residual_right, block_right),
        );
    }

    /// c = r·d' + x (d·d')
    #[inline(always)]
    fn coefficient(&self, swap: &Swap<T>, r: &[T], values: &[T]) -> T {
        let member = swap.member as usize;
        let x = values[swap.at.slot as usize];
        let c = kernel::dot(r, column(self.fresh, member)) + x * self.overlaps[member];
        project(c, self.sign)
    }

    /// r ← r + x d − c d',  x ← c
    #[inline(always)]
    fn swap(&self, swap: &mut Swap<T>, r: &mut [T], values: &mut [T], c: T) {
        let (old, new) = self.atoms(swap);
        swap.previous = std::mem::replace(&mut values[swap.at.slot as usize], c);
        let x = swap.previous;
        for ((r, &old), &new) in r.iter_mut().zip(old).zip(new) {
            *r = *r + x * old - c * new;
        }
    }

    /// d and d'.
    #[inline(always)]
    fn atoms(&self, swap: &Swap<T>) -> (&[T], &[T]) {
        let member = swap.member as usize;
        (column(self.dictionary, self.batch[member] as usize), column(self.fresh, member))
    }
}

/// Where to cut `swaps` in two, between samples; `None` if they are not worth two tasks.
fn cut<T>(swaps: &[Swap<T>]) -> Option<usize> {
    if swaps.len() < 2 * GRAIN {
        return None;
    }
    let middle = swaps[swaps.len() / 2].at.sample;
    let cut = swaps.partition_point(|swap| swap.at.sample < middle);
    (cut > 0).then_some(cut)
}

kernel::vectorized! {
    /// Carries out `swaps` one after the other.
    fn run_here<'a, T>(
        exchange: &'a Exchange<'a, T>,
        swaps: &'a mut [Swap<T>],
        residual: MatMut<'a, T>,
        block: CodesBlock<'a, T>,
    ) -> Errors {
        let (mut residual, mut block) = (residual, block);
        let mut errors = Errors::default();
        let mut coefficients = Vec::new();
        for of_sample in swaps.chunk_by_mut(|a, b| a.at.sample == b.at.sample) {
            let i = of_sample[0].at.sample as usize - block.first();
            let (r, values) = (column_mut(residual.as_mut(), i), block.values_mut(i));
            errors.before += kernel::dot(r, r).widen();
            match exchange.rule {
                AtomRule::Refitted => {
                    for swap in of_sample {
                        let c = exchange.coefficient(swap, r, values);
                        exchange.swap(swap, r, values, c);
                    }
                }
                AtomRule::Shared => {
                    coefficients.clear();
                    coefficients
                        .extend(of_sample.iter().map(|swap| exchange.coefficient(swap, r, values)));
                    for (swap, &c) in of_sample.iter_mut().zip(&coefficients) {
                        exchange.swap(swap, r, values, c);
                    }
                }
            }
            errors.after += kernel::dot(r, r).widen();
        }
        errors
    }
}

kernel::vectorized! {
    /// Takes `swaps` back one after the other.
    fn undo_here<'a, T>(
        exchange: &'a Exchange<'a, T>,
        swaps: &'a [Swap<T>],
        residual: MatMut<'a, T>,
        block: CodesBlock<'a, T>,
    ) {
        let (mut residual, mut block) = (residual, block);
        for swap in swaps {
            let i = swap.at.sample as usize - block.first();
            let r = column_mut(residual.as_mut(), i);
            let c = &mut block.values_mut(i)[swap.at.slot as usize];
            let (old, new) = exchange.atoms(swap);
            // r ← r − x d + c d',  c ← x
            for ((r, &old), &new) in r.iter_mut().zip(old).zip(new) {
                *r = *r - swap.previous * old + *c * new;
            }
            *c = swap.previous;
        }
    }
}
