//! Phase (b): samples exchange the old atoms of a batch for the new ones.

use faer::{MatMut, MatRef};

use super::direction::column;
use super::{AtomRule, project};
use crate::codes::{CodesBlock, Use};
use crate::kernel;
use crate::{Scalar, Sign};

/// Fewest uses of a batch's atoms that are worth a task of their own.
const GRAIN: usize = 512;

/// A sample that uses an atom of the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swap {
    pub(super) at: Use,
    /// The atom's place in the batch.
    pub(super) member: u32,
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
            kernel::vectorized(overlap, (column(dictionary, j as usize), column(fresh, b)))
        };
        let overlaps = batch.iter().enumerate().map(overlap).collect();
        Self { dictionary, fresh, batch, overlaps, rule, sign }
    }

    /// Carries out `swaps`, sorted by sample, on the samples of `block` and their residuals.
    pub(super) fn run(&self, swaps: &[Swap], residual: MatMut<'_, T>, block: CodesBlock<'_, T>) {
        let middle = swaps.get(swaps.len() / 2).map_or(0, |swap| swap.at.sample as usize);
        let cut = swaps.partition_point(|swap| (swap.at.sample as usize) < middle);
        if swaps.len() < 2 * GRAIN || cut == 0 {
            return kernel::vectorized(Self::run_here, (self, swaps, residual, block));
        }
        // Samples on either side of the cut share nothing.
        let ((left, right), at) = (swaps.split_at(cut), middle - block.first());
        let (residual_left, residual_right) = residual.split_at_col_mut(at);
        let (block_left, block_right) = block.split_at(at);
        rayon::join(
            || self.run(left, residual_left, block_left),
            || self.run(right, residual_right, block_right),
        );
    }

    #[inline(always)]
    fn run_here(
        (exchange, swaps, mut residual, mut block): (
            &Self,
            &[Swap],
            MatMut<'_, T>,
            CodesBlock<'_, T>,
        ),
    ) {
        let mut coefficients = Vec::new();
        for of_sample in swaps.chunk_by(|a, b| a.at.sample == b.at.sample) {
            let i = of_sample[0].at.sample as usize - block.first();
            let r = residual.as_mut().col_mut(i).try_as_col_major_mut().expect("contiguous");
            let (r, values) = (r.as_slice_mut(), block.values_mut(i));
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
                    for (swap, &c) in of_sample.iter().zip(&coefficients) {
                        exchange.swap(swap, r, values, c);
                    }
                }
            }
        }
    }

    /// c = r·d' + x (d·d')
    #[inline(always)]
    fn coefficient(&self, swap: &Swap, r: &[T], values: &[T]) -> T {
        let member = swap.member as usize;
        let x = values[swap.at.slot as usize];
        let c = kernel::dot(r, column(self.fresh, member)) + x * self.overlaps[member];
        project(c, self.sign)
    }

    /// r ← r + x d − c d',  x ← c
    #[inline(always)]
    fn swap(&self, swap: &Swap, r: &mut [T], values: &mut [T], c: T) {
        let member = swap.member as usize;
        let (old, new) =
            (column(self.dictionary, self.batch[member] as usize), column(self.fresh, member));
        let x = std::mem::replace(&mut values[swap.at.slot as usize], c);
        for ((r, &old), &new) in r.iter_mut().zip(old).zip(new) {
            *r = *r + x * old - c * new;
        }
    }
}

/// d_j · d'_j
#[inline(always)]
fn overlap<T: Scalar>((old, new): (&[T], &[T])) -> T {
    kernel::dot(old, new)
}
