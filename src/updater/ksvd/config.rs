//! The parameters of K-SVD. The updater itself is its configuration.

use crate::backend::{AtomRule, LeadingPair};
use crate::error::Error;
use crate::parameters::Parameters;
use crate::problem::Sign;
use crate::updater::Renewal;

/// How much the statistics of earlier minibatches weigh, as a function of the run's progress.
///
/// In each step, the weight of an atom becomes w_j ← ρ (w_j + ‖x_j‖²), and w_j d_j is added to the
/// statistics E x, from which the atom's new direction is computed. ρ is 0 until progress `start`,
/// then rises linearly, reaches `retention` at `full`, and stays there. So atoms move fast in early
/// minibatches, and the noise of late minibatches averages out.
///
/// ```
/// use dbksvd::updater::{KSvd, Memory};
///
/// // Half of what earlier minibatches said is kept, from the first step on.
/// let memory = Memory { start: 0.0, full: 0.0, retention: 0.5 };
/// let updater = KSvd::new().memory(Some(memory));
/// assert!(KSvd::new().memory.is_some() && KSvd::textbook().memory.is_none());
/// dbksvd::DbKsvd::builder(64, 4).updater(updater).build()?;
/// # Ok::<(), dbksvd::Error>(())
/// ```
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
    /// ρ rises to 0.9 between 0.4 and 0.8 of the run.
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

/// How similar atoms may be after an update.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::updater::{Decorrelation, KSvd};
///
/// let data = Planted::new(16, 32, 3, 1000).generate::<f32>()?;
/// let updater = KSvd::new().decorrelation(Some(Decorrelation { tolerance: 0.1 }));
/// let learner = DbKsvd::builder(32, 3).epochs(2).updater(updater).build()?;
/// let (model, _) = learner.fit(&data.samples)?;
/// assert_eq!(model.atoms(), 32);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decorrelation {
    /// Cosines up to this, in units of 1/√d, are left unchanged; at least 0.
    pub tolerance: f64,
}

impl From<Decorrelation> for Parameters {
    fn from(decorrelation: Decorrelation) -> Self {
        Self::of("decorrelation").with("tolerance", decorrelation.tolerance)
    }
}

impl Default for Decorrelation {
    /// 2.8/√d. A lower value also separates atoms that do not overlap.
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
/// | [`leading_pair`](Self::leading_pair) | one power step | | how the leading singular pair is computed |
/// | [`atom_rule`](Self::atom_rule) | refitted | | which residual the coefficients are computed from |
/// | [`atom_sign`](Self::atom_sign) | signed | | the sign of atoms' entries |
/// | [`sweeps`](Self::sweeps) | 2 | ≥ 1 | passes over all atoms per minibatch |
/// | [`memory`](Self::memory) | ramp to 0.9 | | weight of earlier minibatches |
/// | [`decorrelation`](Self::decorrelation) | none | | how similar atoms may be |
/// | [`renewal`](Self::renewal) | on | | replaces dead and duplicate atoms |
///
/// Complexity per sweep: O(d · nonzeros) per power step. Memory: the residual (d × N of the
/// minibatch), d × m for new atoms, 8 bytes per nonzero for the index, 4 to 8 bytes per nonzero of
/// the atoms of a batch, d for every 128 of the latter, and up to 6·d for each of up to 64 atoms at
/// a time. All of it is kept from update to update: an update that needs no more memory than
/// earlier ones allocates nothing, unless a renewal is due. [`LeadingPair::Exact`] takes about four
/// times d × uses of the atom per thread, for each atom.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::updater::{KSvd, Renewal};
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// let updater = KSvd::new().atom_batch(8).renewal(Some(Renewal::default()));
/// let learner = DbKsvd::builder(32, 3).epochs(5).updater(updater).build()?;
/// let (_, report) = learner.fit(&data.samples)?;
/// assert!(report.epochs[4].fvu < report.epochs[0].fvu);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KSvd {
    /// The most atoms updated in parallel from one residual.
    pub atom_batch: usize,
    /// How the leading singular pair is computed.
    pub leading_pair: LeadingPair,
    /// Which residual the coefficients of a batch are computed from.
    pub atom_rule: AtomRule,
    /// The sign of the entries of atoms.
    pub atom_sign: Sign,
    /// Passes over all atoms per minibatch.
    pub sweeps: usize,
    /// The weight of earlier minibatches.
    pub memory: Option<Memory>,
    /// How similar atoms may be after an update.
    pub decorrelation: Option<Decorrelation>,
    /// How dead and duplicate atoms are replaced.
    pub renewal: Option<Renewal>,
}

impl Default for KSvd {
    fn default() -> Self {
        Self {
            atom_batch: 32,
            leading_pair: LeadingPair::Power { iterations: 1 },
            atom_rule: AtomRule::Refitted,
            atom_sign: Sign::Signed,
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

    /// K-SVD as published: the exact pair, one atom at a time, one sweep, without memory and
    /// renewal.
    #[must_use]
    pub fn textbook() -> Self {
        Self {
            atom_batch: 1,
            leading_pair: LeadingPair::Exact,
            atom_rule: AtomRule::Refitted,
            atom_sign: Sign::Signed,
            sweeps: 1,
            memory: None,
            decorrelation: None,
            renewal: None,
        }
    }

    /// The most atoms updated in parallel from one residual. After a batch has raised the error,
    /// batches are smaller for a while. Large batches are faster on many threads, and the
    /// dictionaries learned differ little (`docs/study/ablation` in the repository).
    #[must_use]
    pub fn atom_batch(mut self, atoms: usize) -> Self {
        self.atom_batch = atoms;
        self
    }

    /// How the leading singular pair is computed.
    #[must_use]
    pub fn leading_pair(mut self, pair: LeadingPair) -> Self {
        self.leading_pair = pair;
        self
    }

    /// Which residual the coefficients of a batch are computed from.
    #[must_use]
    pub fn atom_rule(mut self, rule: AtomRule) -> Self {
        self.atom_rule = rule;
        self
    }

    /// The sign of the entries of atoms. With [`Sign::NonNegative`], entries that a power step
    /// makes negative become 0 before the atom is scaled to norm 1, which gives the best
    /// non-negative direction for the coefficients at hand, so errors fall as they do otherwise.
    /// Together with non-negative codes this is sparse non-negative matrix factorisation.
    ///
    /// It is NN-K-SVD (M. Aharon, M. Elad & A. Bruckstein, *K-SVD and its non-negative variant for
    /// dictionary design*, SPIE Wavelets XI, 2005), in which each atom and its coefficients take
    /// several such steps in turn ([`LeadingPair::Power`]), begun at the singular pair with
    /// negative entries taken out. Here they begin at the coefficients at hand: from the singular
    /// pair, the error could rise.
    ///
    /// Before an update, atoms with negative entries lose these, as the first dictionary may have
    /// some; an atom without a positive entry is turned around. Renewal treats samples likewise.
    /// [`Incoherent`](crate::updater::Incoherent) around this updater may give atoms negative
    /// entries again. Not with [`decorrelation`](Self::decorrelation), nor on devices.
    ///
    /// ```
    /// use dbksvd::synthetic::Planted;
    /// use dbksvd::updater::KSvd;
    /// use dbksvd::{DbKsvd, Sign};
    ///
    /// // Samples without negative entries.
    /// let mut samples = Planted::new(16, 24, 2, 600).generate::<f32>()?.samples;
    /// samples.col_iter_mut().for_each(|mut y| y.iter_mut().for_each(|y| *y = y.abs()));
    /// let updater = KSvd::new().atom_sign(Sign::NonNegative);
    /// let learner = DbKsvd::builder(24, 4).sign(Sign::NonNegative).updater(updater).epochs(5);
    /// let (model, _) = learner.build()?.fit(&samples)?;
    /// assert!((0..24).all(|j| model.dictionary().atom(j).iter().all(|&d| d >= 0.0)));
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    #[must_use]
    pub fn atom_sign(mut self, sign: Sign) -> Self {
        self.atom_sign = sign;
        self
    }

    /// Passes over all atoms per minibatch.
    #[must_use]
    pub fn sweeps(mut self, sweeps: usize) -> Self {
        self.sweeps = sweeps;
        self
    }

    /// The weight of earlier minibatches; with `None`, they have no weight.
    #[must_use]
    pub fn memory(mut self, memory: Option<Memory>) -> Self {
        self.memory = memory;
        self
    }

    /// How similar atoms may be after an update; `None` sets no limit. Moving atoms apart raises
    /// the error, so use this to find true features, not to get the least error.
    #[must_use]
    pub fn decorrelation(mut self, decorrelation: Option<Decorrelation>) -> Self {
        self.decorrelation = decorrelation;
        self
    }

    /// How dead and duplicate atoms are replaced; with `None`, they stay.
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
        if let (Sign::NonNegative, Some(Decorrelation { tolerance })) =
            (self.atom_sign, self.decorrelation)
        {
            let expected = "none, if atoms have no negative entries";
            return Err(Error::argument("decorrelation", tolerance, expected));
        }
        self.renewal.map_or(Ok(()), |renewal| renewal.check())
    }
}
