//! Seeded randomness: a portable generator, one stream for each purpose.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are drawn for. Each has a stream of its own, so that drawing more numbers
/// for one purpose does not shift those of another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RandomStream {
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
    /// Which samples are compared with what rounding makes of them.
    Rounding,
    /// The order of samples in an epoch.
    Epoch(u64),
    /// The order of atoms in a step.
    Step(u64),
    /// Which residuals become atoms when a dictionary grows at a step.
    Growth(u64),
    /// The atoms that no residual of that step can be.
    GrowthFill(u64),
    /// The atoms of an extended dictionary that no sample can be.
    ExtensionFill,
}

/// The generator of a purpose: ChaCha8, whose streams are independent and the same everywhere.
pub(crate) fn generator(seed: u64, purpose: RandomStream) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    // The low bits tell the counted purposes apart; a count never reaches 2⁶¹.
    generator.set_stream(match purpose {
        RandomStream::Initialisation => 0,
        RandomStream::Synthetic => 4,
        RandomStream::HeldOut => 8,
        RandomStream::Statistics => 12,
        RandomStream::Extension => 16,
        RandomStream::Rounding => 28,
        RandomStream::Epoch(epoch) => epoch << 2 | 1,
        RandomStream::Step(step) => step << 2 | 2,
        RandomStream::Growth(step) => step << 3 | 7,
        RandomStream::GrowthFill(step) => step << 3 | 3,
        RandomStream::ExtensionFill => 20,
    });
    generator
}
