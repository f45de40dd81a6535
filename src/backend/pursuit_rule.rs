//! What a pursuit is told besides the problem: how it chooses atoms, and when it ends.

use num_traits::Float;

use crate::Scalar;
use crate::error::Error;
use crate::parameters::Parameters;

/// Most steps of a pursuit for each atom that a code may have.
const STEPS_PER_ATOM: usize = 4;

/// How the next atom is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Selection {
    /// The largest correlation |d_jᵀ r| with the residual: orthogonal matching pursuit (OMP).
    #[default]
    Correlation,
    /// The largest drop of the error, |d_jᵀ r| / ‖(I − P) d_j‖: orthogonal least squares (OLS,
    /// also called ORMP). Costs little more and has a lower error on coherent dictionaries.
    /// Squares of correlations are compared: they must neither over- nor underflow (in `f32`,
    /// 10⁻¹⁸ < |dᵀr| < 10¹⁸).
    LeastSquares,
}

/// When a sample is coded well enough.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Tolerance {
    /// Stop once ‖r‖₂ is at most this.
    Absolute(f64),
    /// Stop once ‖r‖₂ / ‖y‖₂ is at most this.
    Relative(f64),
}

/// What decides which atoms a pursuit takes and when it ends, besides the budget k.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PursuitRule {
    /// How the next atom is chosen.
    pub selection: Selection,
    /// Ends the pursuit once the residual is this small.
    pub tolerance: Option<Tolerance>,
    /// Ends the pursuit once the next atom's correlation |dᵀr| is below this: such an atom
    /// explains noise.
    pub min_correlation: Option<f64>,
}

impl From<Selection> for Parameters {
    fn from(selection: Selection) -> Self {
        Self::of(match selection {
            Selection::Correlation => "correlation",
            Selection::LeastSquares => "least squares",
        })
    }
}

impl From<Tolerance> for Parameters {
    fn from(tolerance: Tolerance) -> Self {
        match tolerance {
            Tolerance::Absolute(value) => Self::of("absolute").with("value", value),
            Tolerance::Relative(value) => Self::of("relative").with("value", value),
        }
    }
}

impl PursuitRule {
    /// The rule as the parameters of a coder of that name.
    pub(crate) fn parameters(&self, coder: &str) -> Parameters {
        let Self { selection, tolerance, min_correlation } = *self;
        Parameters::of(coder)
            .with("selection", selection)
            .with("tolerance", tolerance)
            .with("min_correlation", min_correlation)
    }

    /// Checks that thresholds are finite and not negative.
    ///
    /// # Errors
    /// [`Error::Argument`], naming `tolerance` or `min_correlation`.
    pub fn check(&self) -> Result<(), Error> {
        let tolerance = self.tolerance.map(|t| match t {
            Tolerance::Absolute(value) | Tolerance::Relative(value) => value,
        });
        for (argument, value) in
            [("tolerance", tolerance), ("min_correlation", self.min_correlation)]
        {
            match value {
                Some(value) if !(value.is_finite() && value >= 0.0) => {
                    return Err(Error::argument(argument, value, "a finite number, at least 0"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What ends the pursuit of a sample of squared norm `energy` that may have `budget` atoms.
    #[inline(always)]
    pub(crate) fn stop<T: Scalar>(&self, budget: usize, energy: f64) -> Stop<T> {
        let done = match self.tolerance {
            None => -1.0,
            Some(Tolerance::Absolute(norm)) => norm * norm,
            Some(Tolerance::Relative(ratio)) => ratio * ratio * energy,
        };
        Stop { budget, done, least: T::narrow(self.min_correlation.unwrap_or(0.0)) }
    }
}

/// What ends the pursuit of one sample: a [`PursuitRule`] in the numbers of that sample.
///
/// A pursuit asks before each step, and ends at the first of these: it has as many atoms as it may
/// have, the residual is within the tolerance, the best atom is not worth its place, or no atom is
/// left that could be chosen, which is for the pursuit to find.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop<T> {
    budget: usize,
    /// ‖r‖² up to which the residual is within the tolerance; negative if there is none.
    done: f64,
    /// The least correlation that is worth an atom.
    least: T,
}

impl<T: Scalar> Stop<T> {
    /// No end but the budget.
    pub(crate) fn at_budget(budget: usize) -> Self {
        PursuitRule::default().stop(budget, 0.0)
    }

    /// The same, where less than `least` is worth no atom in any case.
    pub(crate) fn with_least(self, least: f64) -> Self {
        Self { least: Float::max(self.least, T::narrow(least)), ..self }
    }

    /// Whether a code of `chosen` atoms has no room for another.
    #[inline(always)]
    pub(crate) fn is_full(&self, chosen: usize) -> bool {
        chosen >= self.budget
    }

    /// Whether a pursuit has taken as many steps as it may, of which not every one adds an atom to
    /// the code: an atom may be dependent, or chosen again, or leave a non-negative code and come
    /// back. The error falls each time, but by rounding alone this might go on for long.
    #[inline(always)]
    pub(crate) fn is_out_of_steps(&self, steps: usize) -> bool {
        steps >= STEPS_PER_ATOM * self.budget
    }

    /// Whether a residual of this squared norm is within the tolerance.
    #[inline(always)]
    pub(crate) fn is_done(&self, residual: f64) -> bool {
        residual <= self.done
    }

    /// Whether an atom of this correlation |dᵀr| with the residual is not worth its place.
    #[inline(always)]
    pub(crate) fn is_too_little(&self, correlation: T) -> bool {
        Float::abs(correlation) < self.least
    }

    /// ‖r‖² up to which the residual is within the tolerance, if there is one.
    #[inline(always)]
    pub(crate) fn squared_tolerance(&self) -> Option<f64> {
        (self.done >= 0.0).then_some(self.done)
    }

    /// The least correlation that is worth an atom.
    #[inline(always)]
    pub(crate) fn least(&self) -> T {
        self.least
    }
}
