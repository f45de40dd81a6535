//! When a pursuit in the scalar has to hand a sample over.

use crate::Scalar;
use crate::backend::Stop;

/// When the digits of a scalar of precision ε do not say which atom is the best one.
///
/// Correlations that are kept by recurrences are off by some ε‖y‖, heights ‖(I − P) d‖² by some ε.
/// A choice is certain if the best scores differ by more than 10⁻⁴ of themselves, which leaves the
/// factors below. `tests/differential` holds all coders to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    /// The correlation |dᵀr| below which it begins.
    pub(crate) correlation: f64,
    /// ‖r‖² below which a tolerance cannot be checked; zero if there is none.
    pub(crate) residual: f64,
    /// ‖y‖².
    energy: f64,
}

impl Doubt {
    /// The height ‖(I − P) d‖² of a chosen atom, or of any other if atoms are scored by it, below
    /// which doubt begins.
    pub(crate) fn height<T: Scalar>() -> T {
        T::narrow(1e5 * T::EPSILON)
    }

    /// For a sample of squared norm `energy`, whose pursuit ends there.
    #[inline(always)]
    pub(crate) fn new<T: Scalar>(stop: &Stop<T>, energy: f64) -> Self {
        let near = |value: f64, bound: f64| if value >= bound { 0.0 } else { bound };
        // Where the pursuit ends before its digits are lost, nothing is in doubt.
        let residual = match stop.squared_tolerance() {
            None => 0.0,
            Some(done) => near(done, 1e3 * T::EPSILON * energy),
        };
        let correlation = near(stop.least().widen(), 2e4 * T::EPSILON * energy.sqrt());
        Self { correlation, residual, energy }
    }

    /// No doubt.
    pub(crate) fn none() -> Self {
        Self { correlation: 0.0, residual: 0.0, energy: 0.0 }
    }

    /// Whether the rounding of these coefficients may be as large as what they leave, ‖r‖².
    #[inline(always)]
    pub(crate) fn is_of<T: Scalar>(&self, gamma: &[T], residual: f64) -> bool {
        let size = gamma.iter().map(|gamma| gamma.widen() * gamma.widen()).sum::<f64>();
        self.is_of_size::<T>(size, residual)
    }

    /// As [`is_of`](Self::is_of), for coefficients of the squared norm `size`.
    #[inline(always)]
    pub(crate) fn is_of_size<T: Scalar>(&self, size: f64, residual: f64) -> bool {
        residual < 1e2 * T::EPSILON * f64::max(self.energy, size)
    }
}
