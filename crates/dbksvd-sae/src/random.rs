//! Seeded randomness: a portable generator, one stream for each purpose.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// What random numbers are drawn for. Each has a stream of its own, so that drawing more numbers
/// for one purpose does not shift those of another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RandomStream {
    /// The features of a benchmark, and the laws by which they fire.
    Features,
    /// Which samples probes are trained and tested on.
    Split,
    /// Which of them are left out to make classes equally large.
    Balance,
    /// A block of samples of a benchmark.
    Draw(u64),
}

/// The generator of a purpose: ChaCha8, whose streams are independent and the same everywhere.
pub(crate) fn generator(seed: u64, purpose: RandomStream) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    // The numbers of the streams are part of what a seed stands for. A block never reaches 2⁶¹.
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
