//! Seeded permutations of any size that take no memory.
//!
//! A Feistel network permutes the numbers of 2b bits: each step (l, r) → (r, l ⊕ f(r)) can be
//! undone, whatever f is. We take the least b for which the network covers `0..n`. A result that is
//! not in `0..n` is permuted again until it is in `0..n` (cycle walking), which takes at most four
//! rounds on average and gives a permutation of `0..n` itself (Black & Rogaway, "Ciphers with
//! arbitrary finite domains", CT-RSA 2002).

use rand::Rng;

use crate::random::{RandomStream, generator};

/// Luby & Rackoff need four rounds if f is a random function; ours is only a good mixing function.
const ROUNDS: usize = 8;

/// A permutation of `0..len` whose elements are computed one by one.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    len: u64,
    /// The number of bits of a half.
    half: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..len` that belongs to `seed` and `purpose`.
    pub(crate) fn new(len: usize, seed: u64, purpose: RandomStream) -> Self {
        let len = len as u64;
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let mut random = generator(seed, purpose);
        Self { len, half: bits.div_ceil(2).max(1), keys: [(); ROUNDS].map(|()| random.next_u64()) }
    }

    /// The place to which `index` is moved. Both are below `len`.
    pub(crate) fn at(&self, index: usize) -> usize {
        self.walk(index, |number| {
            self.keys.iter().fold(number, |number, &key| {
                let (left, right) = self.halves(number);
                right << self.half | (left ^ self.mix(right, key))
            })
        })
    }

    /// The index that is moved to `place`: the inverse of [`at`](Self::at).
    pub(crate) fn origin(&self, place: usize) -> usize {
        self.walk(place, |number| {
            self.keys.iter().rev().fold(number, |number, &key| {
                let (left, right) = self.halves(number);
                (right ^ self.mix(left, key)) << self.half | left
            })
        })
    }

    fn walk(&self, start: usize, next: impl Fn(u64) -> u64) -> usize {
        debug_assert!((start as u64) < self.len, "{start} of {}", self.len);
        let mut number = next(start as u64);
        while number >= self.len {
            number = next(number);
        }
        number as usize
    }

    fn halves(&self, number: u64) -> (u64, u64) {
        (number >> self.half, number & self.mask())
    }

    fn mask(&self) -> u64 {
        (1 << self.half) - 1
    }

    /// The finaliser of SplitMix64 (Steele, Lea & Flood 2014), reduced to the bits of a half.
    fn mix(&self, half: u64, key: u64) -> u64 {
        let mut z = half.wrapping_add(key);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) & self.mask()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_once_and_back(len in 1_usize..600, seed: u64) {
            let permutation = Permutation::new(len, seed, RandomStream::Epoch(3));
            let mut seen = vec![false; len];
            for i in 0..len {
                let place = permutation.at(i);
                prop_assert!(!std::mem::replace(&mut seen[place], true));
                prop_assert_eq!(permutation.origin(place), i);
            }
        }
    }

    /// χ² statistics, over many seeds, of the place of the first element and of the difference
    /// between the places of neighbours: both are uniform to within 6 standard deviations.
    #[test]
    fn places_and_differences_are_uniform() {
        let (len, seeds) = (23, 46_000);
        let (mut places, mut differences) = (vec![0.0; len], vec![0.0; len]);
        for seed in 0..seeds {
            let permutation = Permutation::new(len, seed, RandomStream::Epoch(1));
            let (first, second) = (permutation.at(7), permutation.at(8));
            places[first] += 1.0;
            differences[(second + len - first) % len] += 1.0;
        }
        let chi_squared = |counts: &[f64]| -> f64 {
            let expected = seeds as f64 / counts.len() as f64;
            counts.iter().map(|count| (count - expected).powi(2) / expected).sum()
        };
        // The difference is never 0, so only 22 of its counts can be nonzero.
        for (name, chi, degrees) in [
            ("places", chi_squared(&places), 22.0_f64),
            ("differences", chi_squared(&differences[1..]), 21.0),
        ] {
            assert!((chi - degrees).abs() < 6.0 * (2.0 * degrees).sqrt(), "{name}: χ² {chi}");
        }
    }

    #[test]
    fn the_largest_sizes_work() {
        for len in [1 << 31, usize::MAX >> 8] {
            let permutation = Permutation::new(len, 5, RandomStream::Epoch(0));
            assert_eq!(permutation.origin(permutation.at(len - 1)), len - 1);
        }
    }
}
