//! What can be set: the updater itself is its configuration.

use crate::backend::{AtomRule, LeadingPair};
use crate::error::Error;
use crate::parameters::Parameters;
use crate::updater::Renewal;

/// How much the statistics of earlier minibatches weigh, as a function of the run's progress.
///
/// An atom keeps w_j ← ρ (w_j + ‖x_j‖²) from step to step, and w_j d_j is added to the statistics
/// E x that make its new direction. ρ is 0 until `start`, rises linearly to `retention` at `full`,
/// and stays there: early minibatches move fast, late ones average out their noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Progress at which ρ begins to rise, in `0.0..=1.0`.
    pub start: f64,
    /// Progress from which ρ is `retention`, in `start..=1.0`.
    pub full: f64,
    /// The final ρ, in `0.0..1.0`.
    pub retention: f64,
}

impl From<Memory> for Parameters {
    fn from(memory: Memory) -> Self {
        let Memory { start, full, retention } = memory;
        Self::of("ramp").with("start", start).with("full", full).with("retention", retention)
    }
}

impl Default for Memory {
    /// From 0.4 to 0.8 of the run up to ρ = 0.9.
    fn default() -> Self {
        Self { start: 0.4, full: 0.8, retention: 0.9 }
    }
}

impl Memory {
    pub(super) fn retention_at(&self, progress: f64) -> f64 {
        if progress >= self.full {
            self.retention
        } else if progress <= self.start {
            0.0
        } else {
            self.retention * (progress - self.start) / (self.full - self.start)
        }
    }
}

/// How far atoms may overlap after an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decorrelation {
    /// Cosines up to this, in units of 1/√d, stay; at least 0.
    pub tolerance: f64,
}

impl From<Decorrelation> for Parameters {
    fn from(decorrelation: Decorrelation) -> Self {
        Self::of("decorrelation").with("tolerance", decorrelation.tolerance)
    }
}

impl Default for Decorrelation {
    /// 2.8/√d: less takes apart what is no overlap.
    fn default() -> Self {
        Self { tolerance: 2.8 }
    }
}

impl Decorrelation {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.tolerance >= 0.0 && self.tolerance.is_finite() {
            return Ok(());
        }
        Err(Error::argument("decorrelation", self.tolerance, "finite and at least 0"))
    }
}

/// The K-SVD dictionary update, in batches of atoms.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | [`atom_batch`](Self::atom_batch) | 32 | ≥ 1 | most atoms updated in parallel from one residual |
/// | [`leading_pair`](Self::leading_pair) | one power step | | precision of the singular pair |
/// | [`atom_rule`](Self::atom_rule) | refitted | | which residual gives the coefficients |
/// | [`sweeps`](Self::sweeps) | 2 | ≥ 1 | passes over all atoms per minibatch |
/// | [`memory`](Self::memory) | ramp to 0.9 | | weight of earlier minibatches |
/// | [`decorrelation`](Self::decorrelation) | none | | how far atoms may overlap |
/// | [`renewal`](Self::renewal) | on | | care for dead and duplicate atoms |
///
/// Complexity per sweep: O(d · nonzeros) per power step. Memory: the residual (d × N of the
/// minibatch), d × m for new atoms, 8 bytes a nonzero for the index, 4 to 8 a nonzero of the atoms
/// of a batch, d for every 128 of those, and up to 6·d for each of up to 64 atoms at a time. All of
/// it is kept from update to update: one that needs no more than those before allocates nothing,
/// but where a renewal is due. [`LeadingPair::Exact`] takes about four times d × uses of the atom,
/// each thread, for each atom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KSvd {
    /// The most atoms updated in parallel from one residual.
    pub atom_batch: usize,
    /// How the leading pair is found.
    pub leading_pair: LeadingPair,
    /// From which residual a batch takes its coefficients.
    pub atom_rule: AtomRule,
    /// Passes over all atoms per minibatch.
    pub sweeps: usize,
    /// The weight of earlier minibatches.
    pub memory: Option<Memory>,
    /// How far atoms may overlap after an update.
    pub decorrelation: Option<Decorrelation>,
    /// The care for dead and duplicate atoms.
    pub renewal: Option<Renewal>,
}

impl Default for KSvd {
    fn default() -> Self {
        Self {
            atom_batch: 32,
            leading_pair: LeadingPair::Power { iterations: 1 },
            atom_rule: AtomRule::Refitted,
            sweeps: 2,
            memory: Some(Memory::default()),
            decorrelation: None,
            renewal: Some(Renewal::default()),
        }
    }
}

impl KSvd {
    /// The defaults in the table above.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// K-SVD as published: the exact pair, one atom at a time, one sweep, no memory, no renewal.
    #[must_use]
    pub fn textbook() -> Self {
        Self {
            atom_batch: 1,
            leading_pair: LeadingPair::Exact,
            atom_rule: AtomRule::Refitted,
            sweeps: 1,
            memory: None,
            decorrelation: None,
            renewal: None,
        }
    }

    /// The most atoms updated in parallel from one residual; fewer for a while after a batch has
    /// raised the error. Large batches are faster on many threads; what is learned differs little
    /// (`docs/study/ablation` in the repository).
    #[must_use]
    pub fn atom_batch(mut self, atoms: usize) -> Self {
        self.atom_batch = atoms;
        self
    }

    /// How the leading pair is found.
    #[must_use]
    pub fn leading_pair(mut self, pair: LeadingPair) -> Self {
        self.leading_pair = pair;
        self
    }

    /// From which residual a batch takes its coefficients.
    #[must_use]
    pub fn atom_rule(mut self, rule: AtomRule) -> Self {
        self.atom_rule = rule;
        self
    }

    /// Passes over all atoms per minibatch.
    #[must_use]
    pub fn sweeps(mut self, sweeps: usize) -> Self {
        self.sweeps = sweeps;
        self
    }

    /// The weight of earlier minibatches; `None` for none.
    #[must_use]
    pub fn memory(mut self, memory: Option<Memory>) -> Self {
        self.memory = memory;
        self
    }

    /// How far atoms may overlap after an update; `None` leaves that to the data. The error rises
    /// by what atoms give up: for true features, not for the least error.
    #[must_use]
    pub fn decorrelation(mut self, decorrelation: Option<Decorrelation>) -> Self {
        self.decorrelation = decorrelation;
        self
    }

    /// The care for dead and duplicate atoms; `None` for none.
    #[must_use]
    pub fn renewal(mut self, renewal: Option<Renewal>) -> Self {
        self.renewal = renewal;
        self
    }

    /// Checks every field.
    pub(super) fn check_fields(&self) -> Result<(), Error> {
        for (argument, value) in [("atom_batch", self.atom_batch), ("sweeps", self.sweeps)] {
            if value == 0 {
                return Err(Error::argument(argument, value, "at least 1"));
            }
        }
        if self.leading_pair == (LeadingPair::Power { iterations: 0 }) {
            return Err(Error::argument("iterations", 0, "at least 1 power step"));
        }
        if let Some(Memory { start, full, retention }) = self.memory {
            if !(0.0..=1.0).contains(&start) || !(start..=1.0).contains(&full) {
                let found = format!("{start} to {full}");
                return Err(Error::argument("memory", found, "0 ≤ start ≤ full ≤ 1"));
            }
            if !(0.0..1.0).contains(&retention) {
                let expected = "at least 0 and below 1";
                return Err(Error::argument("memory.retention", retention, expected));
            }
        }
        self.decorrelation.map_or(Ok(()), |decorrelation| decorrelation.check())?;
        self.renewal.map_or(Ok(()), |renewal| renewal.check())
    }
}
