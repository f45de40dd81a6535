//! Seeded randomness: a portable generator, one stream for each purpose.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for. Purposes have streams of their own, so that drawing more for
/// one does not shift another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The initial dictionary.
    Initialisation,
    /// Planted problems.
    Synthetic,
    /// Which samples are held out.
    HeldOut,
    /// Which samples the statistics of the data are taken from.
    Statistics,
    /// Which samples may become atoms of a dictionary that grows.
    Extension,
    /// Which samples probes are trained and tested on.
    Split,
    /// Which of them are left out to make classes equally large.
    Balance,
    /// Which samples are compared with what rounding makes of them.
    Rounding,
    /// The order of samples in an epoch.
    Epoch(u64),
    /// The order of atoms in a step.
    Step(u64),
    /// Which residuals become atoms when a dictionary grows at a step.
    Growth(u64),
    /// A block of samples of made-up features.
    Draw(u64),
}

/// The generator of a purpose: ChaCha8, whose streams are independent and the same everywhere.
pub(crate) fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    // The low bits tell the counted purposes apart; a count never reaches 2⁶¹.
    generator.set_stream(match purpose {
        Purpose::Initialisation => 0,
        Purpose::Synthetic => 4,
        Purpose::HeldOut => 8,
        Purpose::Statistics => 12,
        Purpose::Extension => 16,
        Purpose::Split => 20,
        Purpose::Balance => 24,
        Purpose::Rounding => 28,
        Purpose::Epoch(epoch) => epoch << 2 | 1,
        Purpose::Step(step) => step << 2 | 2,
        Purpose::Draw(block) => block << 3 | 3,
        Purpose::Growth(step) => step << 3 | 7,
    });
    generator
}
