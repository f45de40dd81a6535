//! The best atom, found within the pass over all of them.

use num_traits::One;
use pulp::Simd;

use super::pass::OUT;
use crate::Scalar;
use crate::scalar::registers::lanes;

/// Numbers in a register, at most.
const MOST_LANES: usize = 16;

/// Registers whose best scores are kept apart; [`CHUNK`] is a multiple of twice as many.
pub(crate) const STEPS: usize = 4;

/// The best score so far, in every lane of [`STEPS`] registers: no branches, and no second pass.
pub(crate) struct Best<T: Scalar, S: Simd> {
    /// |α|, or α² where heights are given.
    size: [T::V<S>; STEPS],
    /// −h.
    negated: [T::V<S>; STEPS],
    /// The largest −h of all offers.
    highest: [T::V<S>; STEPS],
    /// Minus how many offers came before its: the largest is the first.
    offer: [T::V<S>; STEPS],
    next: T::V<S>,
}

impl<T: Scalar, S: Simd> Best<T, S> {
    #[inline(always)]
    pub(crate) fn new(simd: S) -> Self {
        let zero = T::splat(simd, T::zero());
        let negated = [T::splat(simd, -<T as One>::one()); STEPS];
        let highest = [T::splat(simd, T::narrow(-OUT)); STEPS];
        Self { size: [zero; STEPS], negated, highest, offer: [zero; STEPS], next: zero }
    }

    /// Takes in the next [`STEPS`] registers.
    #[inline(always)]
    pub(crate) fn offer(
        &mut self,
        simd: S,
        alpha: &[T::V<S>; STEPS],
        negated: Option<&[T::V<S>; STEPS]>,
    ) {
        for r in 0..STEPS {
            match negated {
                None => {
                    let size = T::magnitude(simd, alpha[r]);
                    let old = self.size[r];
                    self.offer[r] = T::where_greater(simd, size, old, self.next, self.offer[r]);
                    self.size[r] = T::larger(simd, size, old);
                }
                Some(negated) => {
                    // α²/h are compared as products with the other's h: divisions are slow.
                    let (square, negated) = (T::times(simd, alpha[r], alpha[r]), negated[r]);
                    let new = T::times(simd, square, self.negated[r]);
                    let old = T::times(simd, self.size[r], negated);
                    let pick =
                        |new_value, value| T::where_greater(simd, old, new, new_value, value);
                    self.size[r] = pick(square, self.size[r]);
                    self.negated[r] = pick(negated, self.negated[r]);
                    self.highest[r] = T::larger(simd, negated, self.highest[r]);
                    self.offer[r] = pick(self.next, self.offer[r]);
                }
            }
        }
        self.next = T::minus(simd, self.next, T::splat(simd, <T as One>::one()));
    }

    /// The least height that was offered.
    #[inline(always)]
    pub(crate) fn lowest(&self, simd: S) -> T {
        let [h0, h1, h2, h3] = self.highest;
        -T::largest(simd, T::larger(simd, T::larger(simd, h0, h1), T::larger(simd, h2, h3)))
    }

    /// The index of the best, the lowest of equals.
    #[inline(always)]
    pub(crate) fn place(self, simd: S, by_height: bool) -> Option<usize> {
        let mut score = self.size;
        if by_height {
            for (score, negated) in score.iter_mut().zip(self.negated) {
                let height = T::minus(simd, T::splat(simd, T::zero()), negated);
                *score = T::over(simd, *score, height);
            }
        }
        let [s0, s1, s2, s3] = score;
        let best = T::larger(simd, T::larger(simd, s0, s1), T::larger(simd, s2, s3));
        let best = T::largest(simd, best);
        if best <= T::zero() {
            return None;
        }
        let mut negative = [T::zero(); STEPS * MOST_LANES];
        for (index, negative) in negative.iter_mut().enumerate() {
            *negative = -T::from_int(index as i32);
        }
        let (within, _) = T::registers::<S>(&negative);
        let width = T::splat(simd, T::from_int((STEPS * lanes::<T, S>()) as i32));
        let (best, none) = (T::splat(simd, best), T::splat(simd, T::narrow(-1e9)));
        let mut place = none;
        for r in 0..STEPS {
            // Minus the index of the atom.
            let of_score = T::fused(simd, self.offer[r], width, within[r]);
            let of_best = T::where_greater(simd, best, score[r], none, of_score);
            place = T::larger(simd, of_best, place);
        }
        Some(-T::largest(simd, place).truncate() as usize)
    }
}
