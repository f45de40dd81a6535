//! What a pursuit is told besides the problem: how it chooses atoms, and when it ends.

use crate::error::Error;
use crate::parameters::Parameters;

/// How the next atom is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
pub enum Tolerance {
    /// Stop once ‖r‖₂ is at most this.
    Absolute(f64),
    /// Stop once ‖r‖₂ / ‖y‖₂ is at most this.
    Relative(f64),
}

/// What decides which atoms a pursuit takes and when it ends, besides the budget k.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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

    /// The residual's squared norm at which a sample of squared norm `energy` is done.
    pub(crate) fn squared_tolerance(&self, energy: f64) -> f64 {
        match self.tolerance {
            None => -1.0,
            Some(Tolerance::Absolute(norm)) => norm * norm,
            Some(Tolerance::Relative(ratio)) => ratio * ratio * energy,
        }
    }
}
