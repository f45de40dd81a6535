//! What a sweep over the atoms is told: how it finds directions and coefficients.

use crate::parameters::Parameters;
use crate::problem::Sign;

/// How the leading singular pair of E_Ω is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeadingPair {
    /// The singular value decomposition of E_Ω; for non-negative codes, projected power steps
    /// until they settle.
    Exact,
    /// This many power steps, started from the coefficients at hand. Atoms change little from one
    /// step of learning to the next, so one step nearly always suffices.
    Power {
        /// Number of steps, at least 1.
        iterations: usize,
    },
}

impl From<LeadingPair> for Parameters {
    fn from(pair: LeadingPair) -> Self {
        match pair {
            LeadingPair::Exact => Self::of("exact"),
            LeadingPair::Power { iterations } => Self::of("power").with("iterations", iterations),
        }
    }
}

/// From which residual the atoms of a batch take their new coefficients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AtomRule {
    /// From the live residual, one atom after the other; a batch that raises the error is undone
    /// and taken in two. Safe for any batch.
    #[default]
    Refitted,
    /// From the residual at the start of the batch, as KSVD.jl does: for comparison. The error may
    /// rise, and on coherent data diverge, for batches that are not small.
    Shared,
}

impl From<AtomRule> for Parameters {
    fn from(rule: AtomRule) -> Self {
        Self::of(match rule {
            AtomRule::Refitted => "refitted",
            AtomRule::Shared => "shared",
        })
    }
}

/// What a sweep is told besides the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepRule {
    /// How the leading pair is found.
    pub leading_pair: LeadingPair,
    /// From which residual a batch takes its coefficients.
    pub atom_rule: AtomRule,
    /// The most atoms of a batch.
    pub atom_batch: usize,
    /// The sign of the entries of new directions. With [`Sign::NonNegative`], negative ones become
    /// 0 before a direction is scaled to norm 1, in every power step; an atom of which nothing is
    /// left keeps its direction. [`LeadingPair::Exact`] then means power steps until they settle. A
    /// backend without this answers
    /// [`Unsupported`](crate::error::BackendError::Unsupported) to
    /// [`prepare_sweep`](super::SweepKernels::prepare_sweep).
    pub atom_sign: Sign,
}

impl SweepRule {
    /// Batches of at most so many atoms of any sign, by one power step, refitted.
    #[must_use]
    pub fn new(atom_batch: usize) -> Self {
        let leading_pair = LeadingPair::Power { iterations: 1 };
        let atom_rule = AtomRule::Refitted;
        Self { leading_pair, atom_rule, atom_batch, atom_sign: Sign::Signed }
    }
}
