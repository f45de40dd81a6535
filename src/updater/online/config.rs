//! The parameters of online learning. The updater itself is its configuration.

use crate::error::Error;
use crate::parameters::Parameters;
use crate::problem::Sign;
use crate::updater::Renewal;

/// How much of the statistics of earlier minibatches is kept when a new minibatch comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Forgetting {
    /// β = (1 − 1/t)^exponent at minibatch t, as in Mairal et al. (2009, section 3.4). About the
    /// last 1/exponent of the run counts, however long it is. With 0, nothing is forgotten.
    Power {
        /// At least 0, finite.
        exponent: f64,
    },
    /// The same β at every minibatch: about the last 1/(1 − β) minibatches count. 0 forgets all
    /// earlier minibatches, 1 forgets none.
    Retention {
        /// β, in `0.0..=1.0`.
        retention: f64,
    },
}

impl From<Forgetting> for Parameters {
    fn from(forgetting: Forgetting) -> Self {
        match forgetting {
            Forgetting::Power { exponent } => Self::of("power").with("exponent", exponent),
            Forgetting::Retention { retention } => {
                Self::of("retention").with("retention", retention)
            }
        }
    }
}

impl Default for Forgetting {
    /// The power law with exponent 24.
    fn default() -> Self {
        Self::Power { exponent: 24.0 }
    }
}

impl Forgetting {
    /// β at minibatch `number`, counted from 1.
    pub(super) fn retention_at(self, number: u64) -> f64 {
        match self {
            Self::Power { exponent } => (1.0 - 1.0 / number as f64).powf(exponent),
            Self::Retention { retention } => retention,
        }
    }

    fn check(self) -> Result<(), Error> {
        match self {
            Self::Power { exponent } if !(exponent >= 0.0 && exponent.is_finite()) => {
                Err(Error::argument("exponent", exponent, "a finite number, at least 0"))
            }
            Self::Retention { retention } if !(0.0..=1.0).contains(&retention) => {
                Err(Error::argument("retention", retention, "0 to 1"))
            }
            _ => Ok(()),
        }
    }
}

/// Online dictionary learning: statistics of all minibatches so far, and a descent on the atoms.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | [`forgetting`](Self::forgetting) | power 24 | | weight of earlier minibatches |
/// | [`sweeps`](Self::sweeps) | 1 | ≥ 1 | passes over all atoms per minibatch |
/// | [`atom_sign`](Self::atom_sign) | signed | | the sign of atoms' entries |
/// | [`renewal`](Self::renewal) | on | | replaces dead and duplicate atoms |
///
/// Complexity: O((d + k) · nonzeros) for the statistics, and d·m² multiplications per sweep, most
/// of them in parallel products. The number of samples has little influence. Memory: m² + d·m
/// scalars of statistics, 64·(d + m) of scratch, the residual (d × N of the minibatch) and its
/// index.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::updater::Online;
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(5).updater(Online::new()).build()?;
/// let (_, report) = learner.fit(&data.samples)?;
/// assert!(report.epochs[4].fvu < report.epochs[0].fvu);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Online {
    /// The weight of earlier minibatches.
    pub forgetting: Forgetting,
    /// Passes over all atoms per minibatch.
    pub sweeps: usize,
    /// How dead and duplicate atoms are replaced.
    pub renewal: Option<Renewal>,
    /// The sign of the entries of atoms.
    pub atom_sign: Sign,
}

impl Default for Online {
    fn default() -> Self {
        let renewal = Some(Renewal::default());
        let forgetting = Forgetting::default();
        Self { forgetting, sweeps: 1, renewal, atom_sign: Sign::Signed }
    }
}

impl Online {
    /// The defaults in the table above.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The weight of earlier minibatches.
    #[must_use]
    pub fn forgetting(mut self, forgetting: Forgetting) -> Self {
        self.forgetting = forgetting;
        self
    }

    /// Passes over all atoms per minibatch.
    #[must_use]
    pub fn sweeps(mut self, sweeps: usize) -> Self {
        self.sweeps = sweeps;
        self
    }

    /// How dead and duplicate atoms are replaced; with `None`, they stay.
    #[must_use]
    pub fn renewal(mut self, renewal: Option<Renewal>) -> Self {
        self.renewal = renewal;
        self
    }

    /// The sign of the entries of atoms: with [`Sign::NonNegative`], the step on an atom ends at
    /// the best vector without negative entries, as scikit-learn's with `positive_dict`. Before an
    /// update, and in renewal, negative entries are treated as
    /// [`KSvd`](crate::updater::KSvd::atom_sign) does.
    #[must_use]
    pub fn atom_sign(mut self, sign: Sign) -> Self {
        self.atom_sign = sign;
        self
    }

    /// Checks every field.
    pub(super) fn check_fields(&self) -> Result<(), Error> {
        if self.sweeps == 0 {
            return Err(Error::argument("sweeps", 0, "at least 1"));
        }
        self.forgetting.check()?;
        self.renewal.map_or(Ok(()), |renewal| renewal.check())
    }
}
