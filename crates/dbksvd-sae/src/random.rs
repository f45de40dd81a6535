//! Seeded randomness: a portable generator, with one stream for each purpose.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// The purpose for which random numbers are drawn. Each purpose has a stream of its own, so that
/// drawing more numbers for one does not change the numbers of another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RandomStream {
    /// The features of a benchmark, and the distributions that decide when they fire.
    Features,
    /// The samples on which probes are trained and tested.
    Split,
    /// The samples that are left out to make classes equally large.
    Balance,
    /// One block of samples of a benchmark.
    Draw(u64),
}

/// The generator for a purpose: ChaCha8, whose streams are independent, and the same on every
/// machine.
pub(crate) fn generator(seed: u64, purpose: RandomStream) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    // The numbers of the streams must stay the same, since results for a seed depend on them. A
    // block's number is always below 2⁶¹.
    generator.set_stream(match purpose {
        RandomStream::Features => 4,
        RandomStream::Split => 20,
        RandomStream::Balance => 24,
        RandomStream::Draw(block) => block << 3 | 3,
    });
    generator
}

/// A draw from N(0, 1).
pub(crate) fn gaussian(random: &mut ChaCha8Rng) -> f64 {
    random.sample(StandardNormal)
}
